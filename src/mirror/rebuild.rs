//! Filling a collection from the database: disjoint ranges, two at a time, each in short transactions of its own.
//!
//! Rows are applied to the live collection by version; no second collection is built and swapped in. That needs no second copy in
//! memory, searches and writes go on in the one generation there is (M21), a kill loses at most one step (M20), and what else
//! arrives meanwhile, by the feed or from the host, wins or loses by its version as ever. What stands here and not in the
//! database is found by the comparison that follows. The price: rows that are the same on both sides are not written anew.
//!
//! Invariant: the feed's cursor is older than every transaction here, so what changes behind a range comes by the feed.

use super::compare::after;
use super::join::join;
use super::remote::{IdRange, Reading, Remote};
use super::sides::{Clock, Sides};
use super::trouble::Step;
use crate::engine::tap::{Applied, TapCollection};
use crate::error::Error;
use crate::record::Edition;
use serde::{Deserialize, Serialize};

/// Rows, and milliseconds, after which a transaction ends (M24).
const STEP_ROWS: usize = 20_000;
const STEP_MS: u64 = 10_000;
/// Rows, and bytes of them, that are written here at once: threads that link together wait for each other at the end of a turn, and
/// small commits make small turns.
const PIECE_ROWS: usize = 4_096;
const PIECE_BYTES: u64 = 8 << 20;

/// How far a filling has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fill {
    /// What is left of each range.
    left: Vec<IdRange>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Rows that there were at its start.
    pub(super) of_rows: u64,
    pub(super) started_ms: u64,
}

/// How far filling a collection has come, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuildProgress {
    /// The collection.
    pub collection: String,
    /// Rows that came.
    pub rows: u64,
    /// Rows that there were when it began.
    pub of_rows: u64,
    /// Bytes that came, about.
    pub bytes: u64,
    /// Milliseconds since it began.
    pub elapsed_ms: u64,
    /// Milliseconds that are left, if it goes on as it went.
    pub left_ms: Option<u64>,
}

impl Fill {
    pub(super) fn progress(&self, collection: &str, now_ms: u64) -> RebuildProgress {
        let elapsed_ms = now_ms.saturating_sub(self.started_ms);
        let left = self.of_rows.saturating_sub(self.rows);
        let left_ms = (self.rows > 0).then(|| (elapsed_ms as f64 / self.rows as f64 * left as f64) as u64);
        let Self { rows, bytes, of_rows, .. } = *self;
        RebuildProgress { collection: collection.to_owned(), rows, of_rows, bytes, elapsed_ms, left_ms }
    }
}

/// What one transaction brought of one range.
#[derive(Default)]
struct Scanned {
    rows: u64,
    bytes: u64,
    last: Option<String>,
    is_done: bool,
    applied: Vec<Applied>,
    failed: Option<Error>,
    refused: Vec<super::remote::Refused>,
}

impl<R: Remote> Sides<R> {
    /// One step of filling. True when all has come.
    pub(super) async fn fill(&mut self, collection: &TapCollection) -> Step<bool> {
        let name = collection.name().to_owned();
        let mut fill = match self.memory.collections.get(&name).and_then(|known| known.fill.clone()) {
            Some(fill) => fill,
            None => {
                // Told first: it is written down with the plan.
                self.note_lack(collection)?;
                self.begin_fill(&name).await?
            }
        };
        let mut left = fill.left.iter().cloned();
        let (first, second) = (left.next(), left.next());
        drop(left);
        let (remote, clock) = (self.remote.clone(), self.clock.clone());
        let scan = |range: &IdRange| scan(remote.clone(), collection.clone(), range.clone(), clock.clone());
        let scanned = match (first, second) {
            (Some(first), Some(second)) => {
                let (a, b) = join(scan(&first), scan(&second)).await;
                vec![a, b]
            }
            (Some(first), None) => vec![scan(&first).await],
            _ => vec![],
        };
        let mut done = Vec::new();
        let mut trouble = Ok(());
        for (at, scanned) in scanned.into_iter().enumerate() {
            self.counts.statements += 1;
            match scanned {
                Ok(scanned) => {
                    fill.rows += scanned.rows;
                    fill.bytes += scanned.bytes;
                    if let Some(last) = &scanned.last {
                        fill.left[at].from = Some(after(last));
                    }
                    if scanned.is_done {
                        done.push(at);
                    }
                    trouble = trouble.and(self.book(&name, scanned));
                }
                Err(fault) => trouble = trouble.and(Err(fault)),
            }
        }
        for at in done.into_iter().rev() {
            fill.left.remove(at);
        }
        let is_done = fill.left.is_empty();
        if let Some(known) = self.memory.collections.get_mut(&name) {
            known.fill = Some(fill);
        }
        self.persist()?;
        trouble.map(|()| is_done)
    }

    fn book(&mut self, name: &str, scanned: Scanned) -> Step<()> {
        for applied in scanned.applied {
            self.counts.pulled += (applied.stored + applied.deleted) as u64;
            self.counts.conflicts += applied.conflicts.len() as u64;
            for (id, reason) in applied.refused {
                self.letters.refuse(name, id, reason);
            }
        }
        for refused in scanned.refused {
            self.letters.refuse(name, refused.head.id, refused.reason);
        }
        scanned.failed.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn begin_fill(&mut self, name: &str) -> Step<Fill> {
        let mut reading = self.remote.read().await?;
        let count = reading.fingerprints(name, &[IdRange::default()], &[]).await?;
        let left = reading.split(name, self.options.rebuild_ranges).await?;
        reading.finish().await?;
        let of_rows = count.first().map_or(0, |print| print.rows);
        let fill = Fill { left, of_rows, started_ms: self.now_ms(), ..Fill::default() };
        // Before the first rows: whoever is killed among them finds a collection that is neither empty nor full (M20).
        if let Some(known) = self.memory.collections.get_mut(name) {
            known.fill = Some(fill.clone());
        }
        self.persist()?;
        Ok(fill)
    }

    /// Filling begins. Rows are missing if no row of the database's is here, or if some are damaged beyond a name.
    fn note_lack(&mut self, collection: &TapCollection) -> Step<()> {
        let lacks = collection.rows() <= collection.dirty().rows || collection.lost().1 > 0;
        if let Some(known) = self.memory.collections.get_mut(collection.name()) {
            known.lacks |= lacks;
        }
        Ok(self.tell_filling()?)
    }

    /// Fills a collection anew, whatever is here. It goes on step by step.
    pub(super) fn start_fill(&mut self, name: &str) -> Step<()> {
        self.expect(name)?;
        self.filled.remove(name);
        if let Some(known) = self.memory.collections.get_mut(name) {
            known.is_verified = false;
            known.fill = None;
        }
        Ok(())
    }

    pub(super) fn progress(&self) -> Option<RebuildProgress> {
        let now = self.now_ms();
        self.memory
            .collections
            .iter()
            .find_map(|(name, known)| Some(known.fill.as_ref()?.progress(name, now)))
    }
}

/// Rows that came and are not written yet.
#[derive(Default)]
struct Piece {
    editions: Vec<Edition>,
    bytes: u64,
}

impl Scanned {
    /// Writes what came. False if that cannot be.
    fn take(&mut self, collection: &TapCollection, piece: &mut Piece) -> bool {
        let Piece { editions, bytes } = std::mem::take(piece);
        let Some(last) = editions.last().map(|edition| edition.id.to_string()) else { return true };
        let rows = editions.len() as u64;
        match collection.apply(editions, false) {
            Ok(applied) => self.applied.push(applied),
            Err(error) => {
                self.failed = Some(error);
                return false;
            }
        }
        self.last = Some(last);
        self.rows += rows;
        self.bytes += bytes;
        true
    }
}

async fn scan<R: Remote>(
    remote: std::sync::Arc<R>,
    collection: TapCollection,
    range: IdRange,
    clock: Clock,
) -> Step<Scanned> {
    let started_ms = clock();
    let mut scanned = Scanned { is_done: true, ..Scanned::default() };
    let mut reading = remote.read().await?;
    let mut piece = Piece::default();
    let mut each = |mut editions: Vec<Edition>| {
        let rows = editions.iter().filter_map(|edition| edition.row.as_ref());
        piece.bytes += rows.map(crate::record::Row::bytes).sum::<usize>() as u64;
        piece.editions.append(&mut editions);
        let is_full = piece.editions.len() >= PIECE_ROWS || piece.bytes >= PIECE_BYTES;
        let goes_on = (!is_full || scanned.take(&collection, &mut piece))
            && scanned.rows + (piece.editions.len() as u64) < STEP_ROWS as u64
            && clock().saturating_sub(started_ms) < STEP_MS;
        scanned.is_done = goes_on;
        goes_on
    };
    let answer = reading.scan(collection.name(), &range, &mut each).await;
    scanned.refused = reading.refused();
    scanned.is_done &= scanned.take(&collection, &mut piece);
    match answer {
        Ok(()) => reading.finish().await?,
        // What came before the line broke is here, and counts.
        Err(fault) if scanned.rows == 0 => return Err(fault.into()),
        Err(_) => scanned.is_done = false,
    }
    Ok(scanned)
}

impl<R: Remote> Sides<R> {
    /// Fills a collection to its end, and compares it.
    pub(super) async fn rebuild(&mut self, name: &str) -> Step<()> {
        let collection = self.expect(name)?;
        self.start_fill(name)?;
        while !self.fill(&collection).await? {
            self.stepped();
        }
        self.filled.insert(name.to_owned());
        while !self.verify(name).await? {}
        Ok(())
    }

    /// Everything that the database has by now, here.
    pub(super) async fn pull(&mut self) -> Step<()> {
        while let Some(name) = self.memory.unverified().map(str::to_owned) {
            self.verify(&name).await?;
            self.stepped();
        }
        let mut reading = self.remote.read().await?;
        self.feed_up_to(&mut reading).await?;
        reading.finish().await?;
        self.stamp().await?;
        Ok(())
    }
}
