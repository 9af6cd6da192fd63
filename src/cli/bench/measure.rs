//! What is timed and what is counted.
//!
//! At each width: one pass that counts recall and work (and warms the caches), then the timed passes, which do nothing but
//! search, then one pass with a clock around each query. Counting and per-query clocks stay out of the timed passes, so
//! that they cost them nothing.

use super::curve::Point;
use super::data::{Matrix, NO_ROW, Neighbours, Workload};
use super::tally::{Tally, percentile};
use crate::cli::progress::Progress;
use crate::{Chunk, Collection, Error, ErrorKind, Filter, Options, Response, Result, Schema, Store};
use std::hint::black_box;
use std::ops::Range;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Upserts the base in batches; the time includes making the chunks, as every host must.
pub(super) fn build(
    workload: &Workload,
    (schema, options): (Schema, Options),
    batch: usize,
    progress: Progress,
) -> Result<(Collection, Duration)> {
    let base = &workload.base;
    let docs = Store::memory_with(options)?.create_collection("bench", schema)?;
    let bar = progress.bar("build", base.rows());
    let start = Instant::now();
    for first in (0..base.rows()).step_by(batch) {
        let rows = first..(first + batch).min(base.rows());
        bar.add(rows.len());
        docs.upsert(rows.map(|row| chunk(workload, row)))?;
    }
    let took = start.elapsed();
    let (found, given) = (docs.stats().rows, base.rows());
    if found != given {
        let message =
            format!("the engine took {found} of {given} rows: the others have values that it refuses");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    Ok((docs, took))
}

fn chunk(workload: &Workload, row: usize) -> Chunk {
    let chunk = Chunk::new(row.to_string()).vector(workload.base.row(row).to_vec());
    match &workload.metadata {
        Some(metadata) => chunk.metadata(metadata[row].clone()),
        None => chunk,
    }
}

/// How every query of a run is asked.
pub(super) struct Asker<'a> {
    pub(super) docs: &'a Collection,
    pub(super) queries: &'a Matrix,
    pub(super) filter: Option<&'a Filter>,
    pub(super) k: usize,
    pub(super) threads: usize,
}

impl Asker<'_> {
    fn ask(&self, query: usize, ef: usize, exact: bool) -> Result<Response> {
        let search = self.docs.search(self.queries.row(query)).k(self.k).ef(ef).exact(exact);
        match self.filter {
            Some(filter) => search.filter(filter.clone()).run(),
            None => search.run(),
        }
    }

    /// The engine's own exact answer to every query: the truth under a filter, which nothing else here can evaluate.
    pub(super) fn exact(&self, progress: Progress) -> Result<Neighbours> {
        let bar = progress.bar("truth", self.queries.rows());
        let (parts, _) = self.pass(|queries| {
            let mut rows = vec![NO_ROW; queries.len() * self.k];
            for (query, rows) in queries.zip(rows.chunks_mut(self.k)) {
                for (slot, hit) in rows.iter_mut().zip(&self.ask(query, self.k, true)?.hits) {
                    *slot = row_of(&hit.id)?;
                }
                bar.add(1);
            }
            Ok(rows)
        })?;
        Ok(Neighbours { width: self.k, rows: parts.concat() })
    }

    /// Everything that is reported about one width.
    pub(super) fn point(
        &self,
        ef: usize,
        truth: &Neighbours,
        rounds: usize,
        progress: Progress,
    ) -> Result<Point> {
        let bar = progress.bar(&format!("ef {ef}"), rounds + 2);
        let (tallies, _) = self.pass(|queries| self.count(queries, ef, truth))?;
        bar.add(1);
        let tally = tallies.into_iter().fold(Tally::default(), Tally::and);
        let mut best = Duration::MAX;
        for _ in 0..rounds {
            let (_, took) = self.pass(|queries| {
                for query in queries {
                    black_box(self.ask(query, ef, false)?);
                }
                Ok(())
            })?;
            best = best.min(took);
            bar.add(1);
        }
        let (parts, _) = self.pass(|queries| self.clock(queries, ef))?;
        let mut nanos = parts.concat();
        nanos.sort_unstable();
        let us = |share: f64| percentile(&nanos, share) as f64 / 1e3;
        let count = self.queries.rows() as f64;
        Ok(Point {
            ef,
            recall: tally.recall(),
            qps: count / best.as_secs_f64(),
            p50_us: us(0.50),
            p95_us: us(0.95),
            p99_us: us(0.99),
            visited: tally.visited as f64 / count,
            distances: tally.distances as f64 / count,
            short: tally.short,
            plans: tally.plans,
        })
    }

    fn count(&self, queries: Range<usize>, ef: usize, truth: &Neighbours) -> Result<Tally> {
        let mut tally = Tally::default();
        for query in queries {
            let response = self.ask(query, ef, false)?;
            let found = response.hits.iter().map(|hit| row_of(&hit.id)).collect::<Result<Vec<u32>>>()?;
            tally.judge(&found, truth.of(query, self.k));
            tally.visited += response.explain.work.visited;
            tally.distances += response.explain.work.distances;
            *tally.plans.entry(response.explain.plan.to_string()).or_default() += 1;
        }
        Ok(tally)
    }

    /// Nanoseconds of each query. The end of one is the start of the next: one clock call each.
    fn clock(&self, queries: Range<usize>, ef: usize) -> Result<Vec<u64>> {
        let mut nanos = Vec::with_capacity(queries.len());
        let mut last = Instant::now();
        for query in queries {
            black_box(self.ask(query, ef, false)?);
            let now = Instant::now();
            nanos.push((now - last).as_nanos() as u64);
            last = now;
        }
        Ok(nanos)
    }

    /// One pass over all queries, each thread over its own run of them, in the order of the queries. It lasts from the first
    /// thread's start to the last one's end, by their own clocks: this thread may be woken late on a busy machine.
    fn pass<T: Send>(&self, work: impl Fn(Range<usize>) -> Result<T> + Sync) -> Result<(Vec<T>, Duration)> {
        let count = self.queries.rows();
        let share = |t: usize| count * t / self.threads..count * (t + 1) / self.threads;
        let ready = Barrier::new(self.threads);
        let timed = |t| {
            ready.wait();
            let start = Instant::now();
            let part = work(share(t))?;
            Ok((part, start, Instant::now()))
        };
        let done: Vec<Result<(T, Instant, Instant)>> = match self.threads {
            1 => vec![timed(0)],
            threads => std::thread::scope(|scope| {
                let timed = &timed;
                let running: Vec<_> = (0..threads).map(|t| scope.spawn(move || timed(t))).collect();
                running.into_iter().map(joined).collect()
            }),
        };
        let done = done.into_iter().collect::<Result<Vec<_>>>()?;
        let start = done.iter().map(|(_, start, _)| *start).min();
        let end = done.iter().map(|(_, _, end)| *end).max();
        let took = end.zip(start).map(|(end, start)| end - start).unwrap_or_default();
        Ok((done.into_iter().map(|(part, _, _)| part).collect(), took))
    }
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The row number that an id was made from.
fn row_of(id: &str) -> Result<u32> {
    id.parse().map_err(|_| {
        Error::new(ErrorKind::Internal, format!("a hit has the id `{id}`, which no row was given"))
    })
}
