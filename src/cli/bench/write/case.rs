//! One pair of batch and writers: the bare disk, idle searches, then writers and a searcher at once.

use super::super::data::Matrix;
use super::super::pauses::Pauses;
use super::super::searches::Searches;
use super::floor;
use super::report::{Floor, Log, Measured};
use crate::{Chunk, Collection, Error, ErrorKind, Result, Store};
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};

/// How long background work may go on after a case before the next begins.
const SETTLE: Duration = Duration::from_secs(20);

/// Where it is measured.
pub(super) struct Bed {
    pub(super) store: Store,
    pub(super) docs: Collection,
    pub(super) queries: Matrix,
    pub(super) k: usize,
    pub(super) folder: PathBuf,
    pub(super) base: Matrix,
    /// The first row of `base` that is not in the store, and how many there are.
    pub(super) first: usize,
    pub(super) pool: usize,
}

/// What is measured.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) batch: usize,
    pub(super) writers: usize,
    pub(super) seconds: f64,
}

impl Bed {
    pub(super) fn measure(&self, case: Case) -> Result<Measured> {
        let lasting = Duration::from_secs_f64(case.seconds);
        self.settle();
        let (floor, took) = floor::measure(&self.folder, lasting / 2)?;
        let floor = Floor { syncs_per_s: floor.per_s(took), sync: floor.summary() };
        let idle = self.search_until(&|start| start.elapsed() >= lasting / 2)?;
        let before = self.store.stats().log;
        let (writes, during, took) = self.both(case, lasting)?;
        let log = Log::between(before, self.store.stats().log);
        let [search_idle, search_during] = [&idle, &during].map(|searches| searches.wall.summary());
        let [search_idle_cpu, search_during_cpu] = [&idle, &during].map(|searches| searches.cpu.summary());
        let commits_per_s = writes.per_s(took);
        Ok(Measured {
            batch: case.batch,
            writers: case.writers,
            commits_per_s,
            rows_per_s: commits_per_s * case.batch as f64,
            per_floor: commits_per_s / floor.syncs_per_s,
            write: writes.summary(),
            search_p99_ratio: search_during.p99_us / search_idle.p99_us.max(0.001),
            search_idle,
            search_during,
            search_idle_cpu,
            search_during_cpu,
            log,
            floor,
        })
    }

    /// Until nothing is left to link, or for long enough.
    fn settle(&self) {
        let until = Instant::now() + SETTLE;
        while self.docs.stats().tail > 0 && Instant::now() < until {
            sleep(Duration::from_millis(10));
        }
    }

    /// Writers and one searcher, for as long as the writers go.
    fn both(&self, case: Case, lasting: Duration) -> Result<(Pauses, Searches, Duration)> {
        let (is_over, next) = (AtomicBool::new(false), AtomicUsize::new(0));
        let ready = Barrier::new(case.writers + 1);
        let write = |writer| {
            ready.wait();
            let done = self.write(case, writer, &next, Instant::now() + lasting);
            // A writer that failed ends it.
            is_over.fetch_or(done.is_err(), Ordering::AcqRel);
            done
        };
        scope(|scope| {
            let write = &write;
            let writers: Vec<_> =
                (0..case.writers).map(|writer| scope.spawn(move || write(writer))).collect();
            let searcher = scope.spawn(|| {
                ready.wait();
                self.search_until(&|_| is_over.load(Ordering::Acquire))
            });
            let done: Vec<Result<(Pauses, Duration)>> = writers.into_iter().map(joined).collect();
            is_over.store(true, Ordering::Release);
            let searches = joined(searcher)?;
            let (mut writes, mut longest) = (Pauses::default(), Duration::ZERO);
            for one in done {
                let (pauses, took) = one?;
                (writes, longest) = (writes.and(pauses), longest.max(took));
            }
            Ok((writes, searches, longest))
        })
    }

    /// Upserts until `until`; what is timed is the call alone, but its rows are made between the calls.
    fn write(
        &self,
        case: Case,
        writer: usize,
        next: &AtomicUsize,
        until: Instant,
    ) -> Result<(Pauses, Duration)> {
        let (start, mut pauses) = (Instant::now(), Pauses::default());
        while Instant::now() < until {
            let first = next.fetch_add(case.batch, Ordering::Relaxed);
            let chunks: Vec<Chunk> = (first..first + case.batch)
                .map(|n| {
                    let id = format!("{}-{}-{writer}-{n}", case.batch, case.writers);
                    Chunk::new(id).vector(self.vector(n))
                })
                .collect();
            let from = Instant::now();
            let ack = self.docs.upsert(chunks)?;
            pauses.record(start, from);
            if let Some(why) = ack.results.into_iter().find_map(|row| row.rejected) {
                return Err(Error::new(ErrorKind::Internal, format!("a generated row was refused: {why}")));
            }
        }
        Ok((pauses, start.elapsed()))
    }

    /// A vector of the pool; the second time around a little different, so that there are no twins.
    fn vector(&self, n: usize) -> Vec<f32> {
        let (row, round) = (n % self.pool, n / self.pool);
        let mut vector = self.base.row(self.first + row).to_vec();
        let at = round % vector.len();
        if round > 0 {
            vector[at] += 0.1;
        }
        vector
    }

    fn search_until(&self, is_over: &dyn Fn(Instant) -> bool) -> Result<Searches> {
        Searches::until(&self.docs, &self.queries, self.k, is_over)
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
