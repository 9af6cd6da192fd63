//! Writes and searches of a host, while its mirror is in some state.

use super::super::data::Matrix;
use super::super::pauses::{Pauses, Summary};
use crate::{Chunk, Collection, Result};
use serde::Serialize;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

/// One writer and one searcher, at once.
pub(super) struct Calls<'a> {
    base: &'a Matrix,
    queries: &'a Matrix,
    batch: usize,
    lasting: Duration,
    /// Rows are written anew in turn.
    next: usize,
}

/// What they took in one state.
#[derive(Serialize)]
pub(super) struct State {
    pub(super) mirror: &'static str,
    pub(super) write: Summary,
    pub(super) search: Summary,
}

impl<'a> Calls<'a> {
    pub(super) fn new(base: &'a Matrix, queries: &'a Matrix, batch: usize, lasting: Duration) -> Self {
        Self { base, queries, batch, lasting, next: 0 }
    }

    pub(super) fn measure(&mut self, mirror: &'static str, docs: &Collection) -> Result<State> {
        let (is_over, queries) = (AtomicBool::new(false), self.queries);
        let (writes, searches) = scope(|scope| {
            let searcher = scope.spawn(|| search(docs, queries, &is_over));
            let writes = self.write(docs);
            is_over.store(true, Ordering::Release);
            (writes, searcher.join())
        });
        let lost = |_| crate::Error::new(crate::ErrorKind::Internal, "the searcher panicked");
        Ok(State { mirror, write: writes?.summary(), search: searches.map_err(lost)??.summary() })
    }

    fn write(&mut self, docs: &Collection) -> Result<Pauses> {
        let (mut pauses, start) = (Pauses::default(), Instant::now());
        while start.elapsed() < self.lasting {
            let rows = (self.next..self.next + self.batch).map(|row| row % self.base.rows());
            let chunks: Vec<Chunk> =
                rows.map(|row| Chunk::new(row.to_string()).vector(self.base.row(row).to_vec())).collect();
            self.next += self.batch;
            let from = Instant::now();
            docs.upsert(chunks)?;
            pauses.record(start, from);
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
