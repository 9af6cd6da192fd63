//! Both sides of a mirror and what it keeps in mind between steps. Steps stand in the rooms beside; each is one method here that runs
//! alone: two steps never overlap, so what a snapshot shows and what is acknowledged do not race.
//!
//! Does not know threads, runtimes or timers: whoever drives it hands in the clock.

use super::backoff::{Backoff, Random};
use super::batch::BatchRows;
use super::cursor::Poll;
use super::deep::AuditProgress;
use super::gate::Gate;
use super::guards::Block;
use super::letters::Letters;
use super::memory::Memory;
use super::options::{MirrorOptions, Trust};
use super::remote::{Database, Fault, FaultClass, NodeId, NodeMark, Reading, Remote};
use super::report::AuditReport;
use super::retention::Retention;
use super::status::MirrorStatus;
use super::trouble::{Step, Trouble};
use crate::engine::tap::{Elsewhere, Tap, TapCollection};
use crate::error::Result;
use crate::ids::{ChunkId, Seq};
use crate::record::Head;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Rows that are fetched with one statement.
const FETCH_ROWS: usize = 500;

/// Who is told how a long piece of work goes.
pub(super) type OnStep = Box<dyn Fn(MirrorStatus) + Send>;

/// Unix time in milliseconds.
pub(super) type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

pub(super) struct Sides<R: Remote> {
    pub(super) tap: Tap,
    pub(super) remote: Arc<R>,
    pub(super) options: MirrorOptions,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) memory: Memory,
    /// What the store holds of it.
    pub(super) written: Memory,
    /// Who answered last, unless a fault came since.
    pub(super) database: Option<Database>,
    pub(super) looked_ms: u64,
    pub(super) backoff: Backoff,
    pub(super) unknowns: u32,
    pub(super) blocked: Option<Block>,
    /// What a person decided, until what it was about is done.
    pub(super) verdict: Option<Trust>,
    pub(super) batch_rows: BatchRows,
    pub(super) retention: Retention,
    /// The database may have lost its last commits: send them again.
    pub(super) resend: bool,
    pub(super) letters: Letters,
    pub(super) poll: Poll,
    /// The feed has read all there was, at this time.
    pub(super) caught_up_ms: Option<u64>,
    /// Deletions of the window that is being read, by collection.
    pub(super) window_deletes: BTreeMap<String, usize>,
    /// The commit before the window that is being read was opened.
    pub(super) window_seq: Option<Seq>,
    /// Commits before windows that were read to their ends, and when: clean graves of before may go one day.
    pub(super) horizons: VecDeque<(u64, Seq)>,
    /// Rows edited by hand that were looked at, until the database knows.
    pub(super) stamps: BTreeMap<String, Vec<Head>>,
    /// Damaged rows that were asked for already, and how many nameless ones a comparison has covered.
    pub(super) asked: BTreeSet<(String, ChunkId)>,
    pub(super) nameless: BTreeMap<String, usize>,
    pub(super) filled: BTreeSet<String>,
    pub(super) audits: BTreeMap<String, AuditReport>,
    /// How far the deep comparison under way has come.
    pub(super) auditing: Option<AuditProgress>,
    pub(super) counts: Counts,
    pub(super) last_fault: Option<String>,
    pub(super) on_step: Option<OnStep>,
    /// The way of searches to the database, where the options have one.
    pub(super) fallback: Option<(Arc<dyn Elsewhere>, Arc<Gate>)>,
}

/// What was done since the mirror started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) pushed: u64,
    pub(super) pulled: u64,
    pub(super) conflicts: u64,
    pub(super) drift_found: u64,
    pub(super) drift_fixed: u64,
    pub(super) refetched: u64,
    pub(super) statements: u64,
}

impl<R: Remote> Sides<R> {
    pub(super) fn new(
        tap: Tap,
        remote: Arc<R>,
        options: MirrorOptions,
        clock: Clock,
        seed: u64,
    ) -> Result<Self> {
        tap.attach()?;
        let written = Memory::read(tap.remembered()?.as_deref());
        let mut memory = written.clone();
        let incarnation = tap.token()?.incarnation;
        // What was sent last before a crash is not known; less than one push a millisecond was.
        let from_clock = NodeMark { node: tap.node(), incarnation, pushes: clock() };
        memory.sent = NodeMark { node: tap.node(), ..memory.sent.max(from_clock) };
        let letters = Letters::of(&memory.letters);
        let mut sides = Self {
            remote,
            random: Random(seed),
            memory,
            written,
            database: None,
            looked_ms: 0,
            backoff: Backoff::new(options.retry_ms_max),
            unknowns: 0,
            blocked: None,
            verdict: None,
            batch_rows: BatchRows::new(options.batch_rows_max),
            retention: Retention::new(options.ack_retention_seconds * 1_000),
            resend: false,
            letters,
            poll: Poll::new(options.poll_ms_min, options.poll_ms_max),
            caught_up_ms: None,
            window_deletes: BTreeMap::new(),
            window_seq: None,
            horizons: VecDeque::new(),
            stamps: BTreeMap::new(),
            asked: BTreeSet::new(),
            nameless: BTreeMap::new(),
            filled: BTreeSet::new(),
            audits: BTreeMap::new(),
            auditing: None,
            counts: Counts::default(),
            last_fault: None,
            on_step: None,
            fallback: None,
            tap,
            options,
            clock,
        };
        sides.doubt()?;
        Ok(sides)
    }

    pub(super) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    pub(super) fn node(&self) -> NodeId {
        NodeId(self.tap.node())
    }

    /// A step of something longer was done.
    pub(super) fn stepped(&self) {
        if let (Some(on_step), Ok(status)) = (&self.on_step, self.status()) {
            on_step(status);
        }
    }

    /// Whether the database's collection of this name is mirrored. The options speak the names that callers have.
    pub(super) fn covers(&self, there: &str) -> bool {
        self.options.covers(&self.tap.name_here(there))
    }

    /// The collections that take part.
    pub(super) fn collections(&self) -> Result<Vec<TapCollection>> {
        let mut all = self.tap.collections()?;
        all.retain(|collection| self.memory.takes_part(collection.name()));
        Ok(all)
    }

    /// Whether a collection was made here since the sides last agreed on them, or made anew.
    pub(super) fn has_new_collection(&self) -> Result<bool> {
        let is_new = |c: &TapCollection| {
            let known = self.memory.collections.get(c.name());
            self.covers(c.name())
                && known.is_none_or(|known| known.number.is_some_and(|number| number != c.number()))
        };
        Ok(self.tap.collections()?.iter().any(is_new))
    }

    pub(super) fn find(&self, name: &str) -> Result<Option<TapCollection>> {
        Ok(self.collections()?.into_iter().find(|collection| collection.name() == name))
    }

    /// Makes what is in mind durable, if it is not.
    pub(super) fn persist(&mut self) -> Result<()> {
        if let Some(kept) = self.letters.changed() {
            self.memory.letters = kept;
        }
        let mut memory = self.memory.clone();
        if !self.stamps.is_empty() && memory.cursor.is_some() && self.written.cursor.is_some() {
            // Who forgets what the database is still to be told must read it again.
            memory.cursor.clone_from(&self.written.cursor);
        }
        if memory != self.written {
            self.tap.remember(&memory.write())?;
            self.written = memory;
        }
        Ok(())
    }

    /// What follows from a step that failed: how long to wait, whether to look again who answers, whether a person must decide.
    pub(super) fn note(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::Local(error) => {
                self.last_fault = Some(error.to_string());
                // A store that cannot write now may be able to later: its disk is full.
                self.backoff.fail(FaultClass::Resource, self.now_ms(), self.random.next());
            }
            Trouble::Blocked(block) => self.blocked = Some((**block).clone()),
            Trouble::Remote(fault) => self.note_fault(fault),
        }
    }

    fn note_fault(&mut self, fault: &Fault) {
        self.last_fault = Some(fault.to_string());
        self.database = None;
        self.caught_up_ms = None;
        self.unknowns = if fault.class == FaultClass::Unknown { self.unknowns + 1 } else { 0 };
        if fault.class == FaultClass::Demoted {
            self.resend = true;
            self.remote.hang_up();
        }
        self.backoff.fail(fault.class, self.now_ms(), self.random.next());
    }

    /// Fetches rows as a snapshot shows them and applies them. Says how many changed something here. With `force` they also replace
    /// what is newer here.
    pub(super) async fn take(
        &mut self,
        reading: &mut R::Reading,
        collection: &TapCollection,
        heads: &[Head],
        force: bool,
    ) -> Step<usize> {
        let mut changed = 0;
        for part in heads.chunks(FETCH_ROWS) {
            let ids: Vec<ChunkId> = part.iter().map(|head| head.id.clone()).collect();
            let editions = reading.rows(collection.name(), &ids).await?;
            for refused in reading.refused() {
                self.letters.refuse(&refused.collection, refused.head.id, refused.reason);
            }
            let looked_at = editions.iter().filter(|edition| {
                let is_unseen = |head: &&Head| head.id == edition.id && head.digest.is_none();
                part.iter().any(|head| is_unseen(&head))
            });
            let looked_at: Vec<Head> = looked_at.map(crate::record::Edition::head).collect();
            changed += self.apply(collection, editions, force)?;
            if !looked_at.is_empty() {
                self.stamps.entry(collection.name().to_owned()).or_default().extend(looked_at);
            }
        }
        Ok(changed)
    }

    pub(super) fn apply(
        &mut self,
        collection: &TapCollection,
        editions: Vec<crate::record::Edition>,
        force: bool,
    ) -> Step<usize> {
        for edition in &editions {
            self.letters.accept(collection.name(), &edition.id);
        }
        let applied = collection.apply(editions, force)?;
        self.counts.conflicts += applied.conflicts.len() as u64;
        self.counts.pulled += (applied.stored + applied.deleted) as u64;
        for (id, reason) in applied.refused {
            self.letters.refuse(collection.name(), id, reason);
        }
        Ok(applied.stored + applied.deleted)
    }

    /// Tells the database what rows edited by hand say, if that is known. Before the cursor that has passed them is written down.
    pub(super) async fn stamp(&mut self) -> Step<usize> {
        let mut stamped = 0;
        // They go from the list when the database has answered: this may be dropped at any await.
        for (name, heads) in self.stamps.clone() {
            let held = self.remote.stamp(&name, &heads).await?;
            stamped += heads.len() - held.len();
            if held.is_empty() {
                self.stamps.remove(&name);
            } else {
                self.stamps.insert(name, held);
            }
        }
        Ok(stamped)
    }
}
