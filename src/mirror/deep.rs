//! The bytes of both sides, before a deep comparison: every digest is made anew, here and from what the database sends.
//!
//! What is wrong with a row is in the row, whatever the snapshot: so this reads in transactions that are short (M24), one after the
//! other, as many as it takes. What seems to be wrong is looked at again at the snapshot of the comparison that follows.

use super::compare::{DIFFERENCES_MAX, Suspects, after, says_otherwise};
use super::remote::{IdRange, Reading, Remote};
use super::sides::Sides;
use super::trouble::Step;
use crate::engine::tap::TapCollection;
use crate::record::Edition;
use serde::Serialize;

/// Rows, and milliseconds, after which a transaction ends (M24).
const STEP_ROWS: u64 = 100_000;
const STEP_MS: u64 = 10_000;
/// Rows of this store between two looks up.
const ROWS: usize = 20_000;

/// How far a deep comparison has come, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditProgress {
    /// The collection.
    pub collection: String,
    /// Rows whose bytes were read, on both sides.
    pub rows: u64,
    /// Rows that there are on both sides, about.
    pub of_rows: u64,
}

impl<R: Remote> Sides<R> {
    pub(super) async fn suspects(&mut self, collection: &TapCollection) -> Step<Suspects> {
        let seed = self.database.as_ref().map_or(0, |database| database.digest_seed);
        let name = collection.name().to_owned();
        let of_rows = 2 * collection.rows() as u64;
        self.auditing = Some(AuditProgress { collection: name, rows: 0, of_rows });
        let mut suspects = Suspects { seed, ..Suspects::default() };
        let read = match self.read_here(collection, &mut suspects) {
            Ok(()) => self.read_there(collection, &mut suspects).await,
            failed => failed,
        };
        self.auditing = None;
        read.map(|()| suspects)
    }

    fn read_here(&mut self, collection: &TapCollection, suspects: &mut Suspects) -> Step<()> {
        let ledger = collection.ledger()?;
        for first in (0..ledger.len()).step_by(ROWS) {
            let places = first..(first + ROWS).min(ledger.len());
            self.came(places.len() as u64);
            for place in places {
                let Some(head) = ledger.head(place) else { continue };
                if ledger.digest_again(place) != head.digest {
                    suspects.here.push(head.id);
                }
            }
        }
        Ok(())
    }

    async fn read_there(&mut self, collection: &TapCollection, suspects: &mut Suspects) -> Step<()> {
        let mut left = IdRange::default();
        loop {
            let (started_ms, clock) = (self.now_ms(), self.clock.clone());
            let (mut rows, mut last, mut is_done) = (0, None, true);
            let mut each = |editions: Vec<Edition>| {
                rows += editions.len() as u64;
                last = editions.last().map(|edition| edition.id.clone()).or(last.take());
                let wrong = editions.iter().filter(|edition| says_otherwise(edition, suspects.seed));
                suspects.there.extend(wrong.map(|edition| edition.id.clone()));
                is_done = rows < STEP_ROWS && clock().saturating_sub(started_ms) < STEP_MS;
                is_done && suspects.there.len() < DIFFERENCES_MAX
            };
            let mut reading = self.remote.read().await?;
            reading.scan(collection.name(), &left, &mut each).await?;
            reading.finish().await?;
            self.counts.statements += 1;
            self.came(rows);
            match last {
                Some(last) if !is_done => left.from = Some(after(&last)),
                _ => return Ok(()),
            }
        }
    }

    fn came(&mut self, rows: u64) {
        if let Some(progress) = &mut self.auditing {
            progress.rows += rows;
            progress.of_rows = progress.of_rows.max(progress.rows);
        }
        self.stepped();
    }
}
