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

use super::store::Store;
use super::write::Token;
use crate::config::Schema;
use crate::error::Result;
use crate::ids::{ChunkId, Seq, Slot, Ver};
use crate::record::{Edition, Head};
use std::ops::Range;
use std::sync::Arc;

/// A store, as its mirror sees it. It does not keep the store open: after that every call is `Closed`.
#[derive(Clone)]
pub(crate) struct Tap {}

/// A collection, as its mirror sees it.
#[derive(Clone)]
pub(crate) struct TapCollection {}

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

/// All clean live rows of one seq in the order of their ids, with digests.
pub(crate) struct Ledger {}

impl Store {
    /// The mirror's door.
    pub(crate) fn tap(&self) -> Tap {
        Tap {}
    }
}

impl Tap {
    /// The data directory's name in the database; random for a store in memory.
    pub(crate) fn node(&self) -> u64 {
        0
    }

    /// The last commit.
    pub(crate) fn token(&self) -> Result<Token> {
        Ok(Token::default())
    }

    /// From now on dirty rows and graves are kept, durably. Once in a store's life; does nothing after that.
    pub(crate) fn attach(&self) -> Result<()> {
        Ok(())
    }

    /// What the mirror remembered last, if it can be read.
    pub(crate) fn remembered(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Remembers `state` durably, in place of what was remembered before.
    pub(crate) fn remember(&self, _state: &[u8]) -> Result<()> {
        Ok(())
    }

    /// Digests are made with `seed` from now on. Cheap if it is the one before.
    pub(crate) fn set_seed(&self, _seed: u64) {}

    /// Calls `wake` after each commit, and when the store closes, from the committer: it must not wait. One at a time.
    pub(crate) fn on_commit(&self, _wake: Arc<dyn Fn() + Send + Sync>) {}

    /// Versions seen in the database move the clock, unless they are more than five minutes ahead of it.
    pub(crate) fn observe(&self, _ver: Ver) {}

    pub(crate) fn collections(&self) -> Result<Vec<TapCollection>> {
        Ok(Vec::new())
    }

    /// Opens or makes a collection.
    pub(crate) fn collection(&self, _name: &str, _schema: &Schema) -> Result<TapCollection> {
        Ok(TapCollection {})
    }

    /// Everything up to this commit is clean in all collections; wakes who waits for it in [`wait_clean`](Self::wait_clean).
    pub(crate) fn clean_seq(&self) -> Seq {
        Seq(0)
    }

    /// Waits until the commit of `token` is clean; false if `timeout` passed first.
    pub(crate) fn wait_clean(&self, _token: Token, _timeout: std::time::Duration) -> Result<bool> {
        Ok(true)
    }
}

impl TapCollection {
    pub(crate) fn name(&self) -> &str {
        ""
    }

    pub(crate) fn schema(&self) -> Schema {
        Schema::new(1, crate::config::Metric::L2)
    }

    pub(crate) fn dirty(&self) -> Dirty {
        Dirty::default()
    }

    /// Live rows.
    pub(crate) fn rows(&self) -> usize {
        0
    }

    /// The oldest dirty versions for which `skip` is false, by id, no id twice: at most `rows_max`, and one more byte than
    /// `bytes_max` ends it.
    pub(crate) fn outgoing(
        &self,
        _rows_max: usize,
        _bytes_max: usize,
        _skip: &dyn Fn(&Ticket) -> bool,
    ) -> Result<Vec<Outgoing>> {
        Ok(Vec::new())
    }

    /// These versions are in the database, or newer ones are.
    pub(crate) fn acknowledge(&self, _tickets: &[Ticket]) {}

    /// What each head means here. Marks what it says it marks.
    pub(crate) fn judge(&self, _heads: &[Head]) -> Result<Vec<Verdict>> {
        Ok(Vec::new())
    }

    /// Applies versions from the database, at one seq, durably; a row is admitted like any other. What is equal to what is here
    /// becomes clean. With `force` the content also replaces what is newer here, as a version of this store's own that
    /// is newer than both and dirty: the database was chosen to be right, and versions never go back (M4).
    pub(crate) fn apply(&self, _editions: Vec<Edition>, _force: bool) -> Result<Applied> {
        Ok(Applied::default())
    }

    /// Removes rows that the database does not have, if they are clean still and of the version of the head.
    pub(crate) fn drop_clean(&self, _heads: &[Head]) -> Result<usize> {
        Ok(0)
    }

    /// These live rows are dirty from now on, with a new version if `renew`: what stands in the database loses.
    pub(crate) fn soil(&self, _ids: &[ChunkId], _renew: bool) -> Result<usize> {
        Ok(0)
    }

    /// What an audit compares. Digests are made once for each row and kept.
    pub(crate) fn ledger(&self) -> Result<Ledger> {
        Ok(Ledger {})
    }

    /// Graves that became clean before `seq` are not needed any more: nobody holds an older snapshot.
    pub(crate) fn forget_graves(&self, _before: Seq) {}

    /// Rows that are damaged: their ids as far as they can be read, and how many cannot.
    pub(crate) fn lost(&self) -> (Vec<ChunkId>, usize) {
        (Vec::new(), 0)
    }
}

impl Ledger {
    pub(crate) fn seq(&self) -> Seq {
        Seq(0)
    }

    pub(crate) fn len(&self) -> usize {
        0
    }

    /// Ids that are left out because they are dirty, rows and graves, sorted.
    pub(crate) fn dirty(&self) -> &[ChunkId] {
        &[]
    }

    /// The place of the first row whose id is not below `id`.
    pub(crate) fn place(&self, _id: &str) -> usize {
        0
    }

    /// The row at a place.
    pub(crate) fn head(&self, _place: usize) -> Option<Head> {
        None
    }

    /// Number of rows, XOR of `digest ^ ver` and sum of digests modulo 2^64, in constant time.
    pub(crate) fn fingerprint(&self, _places: Range<usize>) -> (u64, u64, u64) {
        (0, 0, 0)
    }

    /// Makes the digest of the row at a place again, from its bytes.
    pub(crate) fn digest_again(&self, _place: usize) -> Option<u64> {
        None
    }
}

impl TapCollection {
    /// How many of these ids are live rows here.
    pub(crate) fn count_live(&self, _ids: &[ChunkId]) -> Result<usize> {
        Ok(0)
    }
}
