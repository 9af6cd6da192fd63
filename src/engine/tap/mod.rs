//! The mirror's door to the engine: what is to be sent, what came in, what is there.
//!
//! Per row: *dirty* (accepted here, not yet acknowledged by the database) or *clean*. Of a deletion stays a *grave*, which is
//! dirty, then clean, then forgotten.
//!
//! Invariants:
//! - a store that was never attached keeps none of this: attaching makes every row dirty;
//! - every row older in the database than here is dirty here (M3): a write, and a newer row that meets an older head, dirties;
//! - of two versions the greater stamp is live here, whichever came first (M4, M5); a grave is a version (M15);
//! - a slot is one version: an acknowledgement of a slot that is gone or replaced changes nothing (M2);
//! - dirty rows and graves survive a crash; acknowledgements may be lost, for sending again is nothing.
//!
//! Nothing here waits for the mirror, and the mirror is told of a commit by a call that does not wait.

mod digests;
mod elsewhere;
mod here;
mod incoming;
mod ledger;
mod marks;
mod outgoing;
mod stage;
#[cfg(test)]
mod tests;
mod tie;

pub(crate) use digests::Digests;
pub(crate) use elsewhere::{Answer, Elsewhere, Lack, Neighbour, Pick, Question};
pub(crate) use ledger::Ledger;
pub(crate) use marks::{Marks, Step};
pub(crate) use outgoing::Sheaf;
pub(crate) use stage::Tapped;
pub(crate) use tie::Tie;

use super::damage::repair::{LostRow, Refetch};
use super::inner::Inner;
use super::store::{Shared, Store};
use super::write::upsert::Token;
use crate::config::Schema;
use crate::error::Result;
use crate::ids::{ChunkId, Seq, Slot, Ver};
use crate::record::Edition;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A store, as its mirror sees it. It does not keep the store open: after that every call is `Closed`.
#[derive(Clone)]
pub(crate) struct Tap {
    shared: Arc<Shared>,
}

/// A collection, as its mirror sees it.
#[derive(Clone)]
pub(crate) struct TapCollection {
    inner: Arc<Inner>,
    name: Arc<str>,
}

/// What is to be acknowledged, exactly.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ticket {
    Row(Slot),
    Grave(ChunkId, Ver),
}

/// A dirty version on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) ticket: Ticket,
    pub(crate) edition: Edition,
}

/// How much is dirty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dirty {
    pub(crate) rows: usize,
    pub(crate) graves: usize,
    /// When the oldest was written, about.
    pub(crate) oldest_unix_ms: Option<u64>,
}

/// What became of versions from the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) stored: usize,
    /// Deletions, those of rows that were not here among them.
    pub(crate) deleted: usize,
    /// Not newer than what is here.
    pub(crate) passed_over: usize,
    /// Dirty versions that lost, by id.
    pub(crate) conflicts: Vec<ChunkId>,
    /// What cannot be stored here, and why.
    pub(crate) refused: Vec<(ChunkId, String)>,
}

/// What a head from the database means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Fetch it: it is newer than what is here, or edited by hand.
    Wanted,
    /// The same version is here; it is clean now.
    Same,
    /// What is here is newer; it is dirty now.
    Older,
}

impl Store {
    /// The mirror's door.
    pub(crate) fn tap(&self) -> Tap {
        Tap { shared: self.alive.shared.clone() }
    }
}

impl Tap {
    /// The data directory's name in the database; random for a store in memory.
    pub(crate) fn node(&self) -> u64 {
        self.tie().node()
    }

    /// The last commit.
    pub(crate) fn token(&self) -> Result<Token> {
        self.tie().ensure_open()?;
        Ok(self.shared.line.token())
    }

    /// From now on dirty rows and graves are kept, durably. Once in a store's life; does nothing after that.
    pub(crate) fn attach(&self) -> Result<()> {
        let tie = self.tie();
        tie.ensure_open()?;
        if tie.is_attached() {
            return Ok(());
        }
        // First on the disk: what is marked after is read back as marked.
        tie.remember(self.disk(), None)?;
        let collections = self.shared.collections.read();
        // Between two commits: what is committed from here on says what it dirties.
        self.shared.line.between(|mark| {
            for inner in collections.values() {
                let (view, mut marks) = inner.marked_view();
                marks.attach(view.live.clone(), mark.seq);
            }
            tie.set_attached();
        });
        drop(collections);
        tie.committed();
        Ok(())
    }

    /// What the mirror remembered last, if it can be read.
    pub(crate) fn remembered(&self) -> Result<Option<Vec<u8>>> {
        self.tie().ensure_open()?;
        Ok(self.tie().remembered())
    }

    /// Remembers `state` durably, in place of what was remembered before.
    pub(crate) fn remember(&self, state: &[u8]) -> Result<()> {
        if !self.tie().is_attached() {
            self.attach()?;
        }
        self.tie().remember(self.disk(), Some(state))
    }

    /// Digests are made with `seed` from now on. Cheap if it is the one before.
    pub(crate) fn set_seed(&self, seed: u64) {
        self.tie().set_seed(seed);
    }

    /// Calls `wake` after each commit, and when the store closes, from the committer: it must not wait. One at a time.
    pub(crate) fn on_commit(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.tie().set_waker(wake);
    }

    /// Calls `wake` when rows are found damaged, after they were written down: see [`TapCollection::lost`]. It must not wait.
    pub(crate) fn on_lost(&self, wake: Arc<dyn Fn() + Send + Sync>) {
        *self.shared.refetch.write() = Some(Arc::new(OnLost(wake)));
    }

    /// Versions seen in the database move the clock, unless they are more than five minutes ahead of it.
    pub(crate) fn observe(&self, ver: Ver) {
        self.shared.line.observe(ver);
    }

    pub(crate) fn collections(&self) -> Result<Vec<TapCollection>> {
        self.tie().ensure_open()?;
        Ok(self.shared.shown_collections().into_iter().map(TapCollection::new).collect())
    }

    /// Opens or makes the collection that the database calls so.
    pub(crate) fn collection(&self, name: &str, schema: &Schema) -> Result<TapCollection> {
        self.tie().ensure_open()?;
        let inner = match self.shared.find_there(name) {
            Some(inner) => inner,
            None => self.shared.adopt(name, schema)?,
        };
        Ok(TapCollection::new(inner))
    }

    /// What the database calls the collection that a caller calls so.
    pub(crate) fn name_there(&self, name: &str) -> String {
        self.shared.name_there(name)
    }

    /// The other way round: what to call the database's collection before a caller.
    pub(crate) fn name_here(&self, there: &str) -> String {
        self.shared.name_here(there)
    }

    /// Everything up to this commit is clean in all collections, or was replaced since; wakes who waits for it in
    /// [`wait_clean`](Self::wait_clean). What is dirty since before this opening may be of any commit: then it is 0.
    pub(crate) fn clean_seq(&self) -> Seq {
        // Before the marks: they know of every commit up to this one.
        let last = self.shared.line.token().seq;
        let collections = self.shared.shown_collections();
        let dirty = collections.iter().filter_map(|inner| inner.marks().first_dirty()).min();
        dirty.map_or(last, |dirty| last.min(Seq(dirty.0.saturating_sub(1))))
    }

    /// Waits until the commit of `token` is clean; false if `timeout` passed first.
    pub(crate) fn wait_clean(&self, token: Token, timeout: Duration) -> Result<bool> {
        self.tie().wait(Instant::now() + timeout, &|| self.clean_seq() >= token.seq)
    }

    fn tie(&self) -> &Tie {
        self.shared.line.tie()
    }

    fn disk(&self) -> Option<&dyn crate::disk::Disk> {
        self.shared.home.as_ref().map(|home| &*home.disk)
    }
}

impl TapCollection {
    fn new(inner: Arc<Inner>) -> Self {
        Self { name: inner.mirror_name(), inner }
    }

    /// What the database calls it. Callers may have another name for it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Another one after it was dropped and made again.
    pub(crate) fn number(&self) -> u32 {
        self.inner.number
    }

    pub(crate) fn schema(&self) -> Schema {
        self.inner.schema.clone()
    }

    /// Live rows.
    pub(crate) fn rows(&self) -> usize {
        self.inner.view.load().live.len()
    }

    fn ensure_open(&self) -> Result<()> {
        self.inner.tie().ensure_open()?;
        self.inner.ensure_open()
    }
}

/// Passes on that rows were lost; who asks is told which.
struct OnLost(Arc<dyn Fn() + Send + Sync>);

impl Refetch for OnLost {
    fn lost(&self, _rows: &[LostRow]) {
        (self.0)();
    }
}

impl TapCollection {
    /// How many of these ids are live rows here: so many are gone when all are deleted.
    pub(crate) fn count_live(&self, ids: &[ChunkId]) -> Result<usize> {
        self.ensure_open()?;
        let table = self.inner.ids();
        let view = self.inner.view.load_full();
        Ok(ids.iter().filter(|id| table.get(&view.tables.rows, id).is_some()).count())
    }
}
