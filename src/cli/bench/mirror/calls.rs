//! Writes and searches of a host, beside its mirror or without one.

use super::super::data::Matrix;
use super::super::pauses::Pauses;
use crate::{Chunk, Collection, Result};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

const REWRITE_BATCH: usize = 1_000;

/// One writer and one searcher, at once.
pub(super) struct Calls<'a> {
    base: &'a Matrix,
    queries: &'a Matrix,
    how: How,
    /// Rows are written anew in turn.
    next: usize,
}

#[derive(Clone, Copy)]
pub(super) struct How {
    /// Rows of one upsert.
    pub(super) batch: usize,
    /// From the beginning of one to that of the next; zero for as many as go.
    pub(super) every: Duration,
    pub(super) lasting: Duration,
}

/// What they took.
#[derive(Default)]
pub(super) struct Took {
    pub(super) write: Pauses,
    pub(super) search: Pauses,
}

impl Took {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { write: self.write.and(other.write), search: self.search.and(other.search) }
    }
}

impl<'a> Calls<'a> {
    pub(super) fn new(base: &'a Matrix, queries: &'a Matrix, how: How) -> Self {
        Self { base, queries, how, next: 0 }
    }

    pub(super) fn measure(&mut self, docs: &Collection) -> Result<Took> {
        let (is_over, queries) = (AtomicBool::new(false), self.queries);
        let (writes, searches) = scope(|scope| {
            let searcher = scope.spawn(|| search(docs, queries, &is_over));
            let writes = self.write(docs);
            is_over.store(true, Ordering::Release);
            (writes, searcher.join())
        });
        let lost = |_| crate::Error::new(crate::ErrorKind::Internal, "the searcher panicked");
        Ok(Took { write: writes?, search: searches.map_err(lost)?? })
    }

    /// Writes `rows` rows anew, as fast as it goes.
    pub(super) fn rewrite(&mut self, docs: &Collection, rows: usize) -> Result<()> {
        for _ in 0..rows.div_ceil(REWRITE_BATCH) {
            let chunks = self.chunks(REWRITE_BATCH);
            docs.upsert(chunks)?;
        }
        Ok(())
    }

    fn chunks(&mut self, rows: usize) -> Vec<Chunk> {
        let some = (self.next..self.next + rows).map(|row| row % self.base.rows());
        self.next += rows;
        some.map(|row| Chunk::new(row.to_string()).vector(self.base.row(row).to_vec())).collect()
    }

    fn write(&mut self, docs: &Collection) -> Result<Pauses> {
        let (mut pauses, start) = (Pauses::default(), Instant::now());
        let mut due = Duration::ZERO;
        while start.elapsed() < self.how.lasting {
            let chunks = self.chunks(self.how.batch);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            let from = Instant::now();
            docs.upsert(chunks)?;
            pauses.record(start, from);
            // Who is late does not hurry after: what is measured is a call, not a jam.
            due = (due + self.how.every).max(start.elapsed());
        }
        Ok(pauses)
    }
}

fn search(docs: &Collection, queries: &Matrix, is_over: &AtomicBool) -> Result<Pauses> {
    let (mut pauses, start) = (Pauses::default(), Instant::now());
    for query in (0..queries.rows()).cycle() {
        if is_over.load(Ordering::Acquire) {
            break;
        }
        let from = Instant::now();
        black_box(docs.search(queries.row(query)).k(10).run()?);
        pauses.record(start, from);
    }
    Ok(pauses)
}
