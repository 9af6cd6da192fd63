//! `bench pauses`: what each background job holds up. A phase makes one job happen and lasts until it is done; one thread searches
//! all the while. That the job happened is read from the store's own counts.

use super::args::from_1_to;
use super::data::Matrix;
use super::generate::{Mixture, Recipe};
use super::pauses::Summary;
use super::report::{Machine, grouped, json};
use super::scratch::Scratch;
use super::searches::Searches;
use crate::cli::progress::Progress;
use crate::cli::{Global, output};
use crate::limits::DIM_MAX;
use crate::{Chunk, Collection, Metric, Options, Result, Schema, Store, Times};
use clap::Args;
use serde::Serialize;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

const K: usize = 10;
const BATCH: usize = 1_024;
const CLUSTERS: usize = 200;
const QUERY_ROWS: usize = 1_000;
/// Seconds of searches beside nothing.
const IDLE: Duration = Duration::from_secs(3);
/// A job that is not done by then does not happen.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(500);

/// What is made, and how large.
#[derive(Args)]
pub(in crate::cli) struct PausesArgs {
    /// Rows in the store: more than a block of 65,536, so that one is sealed
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 80_000)]
    #[arg(value_parser = from_1_to(10_000_000))]
    rows: usize,
    /// Dimensions of the generated vectors
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 128, value_parser = from_1_to(DIM_MAX))]
    dim: usize,
    /// Seed of the generated vectors
    #[arg(long, value_name = "N", help_heading = "Data", default_value_t = 42)]
    seed: u64,
    /// Share of a core that background work may take
    #[arg(long, value_name = "SHARE", help_heading = "Data", default_value_t = 0.5)]
    background_cpu: f64,
}

/// A run. Units are the last word of a name.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    machine: Machine,
    rows: usize,
    dim: usize,
    phases: Vec<Phase>,
    /// How long each job held what writes wait for.
    pauses: Vec<(&'static str, Times)>,
}

#[derive(Serialize)]
struct Phase {
    name: &'static str,
    seconds: f64,
    search: Summary,
    /// The time that the searching thread was on a core.
    search_cpu: Summary,
}

struct Bed {
    store: Store,
    docs: Collection,
    base: Matrix,
    queries: Matrix,
}

/// Runs it, and tells the result to `out`.
pub(super) fn run(args: &PausesArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let progress = Progress::new(global.quiet);
    let scratch = Scratch::inside(global.data())?;
    let mixture = Mixture::new(Recipe { seed: args.seed, dim: args.dim, clusters: CLUSTERS });
    let store = Store::open(scratch.join("store"), Options::default().background_cpu(args.background_cpu))?;
    let docs = store.create_collection("bench", Schema::new(args.dim, Metric::Cosine))?;
    let (base, queries) = (mixture.base(args.rows, 2), mixture.queries(QUERY_ROWS, 2));
    let bed = Bed { store, docs, base, queries };
    let bar = progress.bar("phases", 6);
    let mut phases = Vec::new();
    let all = args.rows;
    // Every row of the first two thirds but each tenth, then all of them: first lists are healed, then a block is emptied.
    let most = |n: &usize| *n < all * 2 / 3 && !n.is_multiple_of(10);
    let steps: [(&'static str, &dyn Fn() -> Result<()>); 6] = [
        ("fill: link, train", &|| bed.fill(all)),
        ("seal", &|| bed.until("seal")),
        ("nothing", &|| bed.rest()),
        ("checkpoint", &|| bed.store.checkpoint()),
        ("heal", &|| bed.delete(&|n| *n % 5 == 0).and_then(|()| bed.until("heal"))),
        ("move, heal, drop", &|| bed.delete(&most).and_then(|()| bed.until("drop"))),
    ];
    for (name, step) in steps {
        phases.push(bed.beside(name, step)?);
        bar.add(1);
    }
    let pauses = bed.store.stats().pauses;
    bed.store.close(Duration::ZERO)?;
    let machine = Machine::here();
    let version = env!("CARGO_PKG_VERSION");
    let report = Report { version, machine, rows: args.rows, dim: args.dim, phases, pauses };
    if global.json { json(&report, out) } else { report.text(out) }.map_err(output)
}

impl Bed {
    fn fill(&self, rows: usize) -> Result<()> {
        for first in (0..rows).step_by(BATCH) {
            let batch = first..(first + BATCH).min(rows);
            self.docs.upsert(batch.map(|n| Chunk::new(n.to_string()).vector(self.base.row(n).to_vec())))?;
        }
        let until = Instant::now() + PATIENCE;
        while self.docs.stats().tail > 0 && Instant::now() < until {
            sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn delete(&self, which: &dyn Fn(&usize) -> bool) -> Result<()> {
        let ids: Vec<String> = (0..self.base.rows()).filter(which).map(|n| n.to_string()).collect();
        ids.chunks(BATCH).try_for_each(|part| self.docs.delete(part.iter().map(String::as_str)).map(drop))
    }

    fn count(&self, job: &str) -> u64 {
        self.store.stats().pauses.iter().find(|(name, _)| *name == job).map_or(0, |(_, times)| times.count)
    }

    /// Until the job has happened and does not any more; one that does not happen is missing in the report.
    fn until(&self, job: &'static str) -> Result<()> {
        let (start, mut last) = (Instant::now(), 0);
        while start.elapsed() < PATIENCE {
            sleep(LOOK);
            let count = self.count(job);
            if count > 0 && count == last {
                break;
            }
            last = count;
        }
        Ok(())
    }

    fn rest(&self) -> Result<()> {
        sleep(IDLE);
        Ok(())
    }

    fn beside(&self, name: &'static str, step: &dyn Fn() -> Result<()>) -> Result<Phase> {
        let is_over = AtomicBool::new(false);
        let start = Instant::now();
        scope(|scope| {
            let searcher = scope.spawn(|| {
                Searches::until(&self.docs, &self.queries, K, &|_| is_over.load(Ordering::Acquire))
            });
            let done = step();
            is_over.store(true, Ordering::Release);
            let seconds = start.elapsed().as_secs_f64();
            let searches = searcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            done?;
            let (search, search_cpu) = (searches.wall.summary(), searches.cpu.summary());
            Ok(Phase { name, seconds, search, search_cpu })
        })
    }
}

impl Report {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { version, machine, rows, dim, phases, pauses } = self;
        writeln!(out, "data     {} x {dim}, cosine", grouped(*rows))?;
        writeln!(out, "machine  {machine}, nearfield {version}")?;
        writeln!(out, "== searches of one thread beside each job, us (second line: on a core)")?;
        writeln!(out, "   {:<30}{:>9}{}", "job", "seconds", Summary::HEAD)?;
        for Phase { name, seconds, search, search_cpu } in phases {
            writeln!(out, "   {name:<30}{seconds:>9.1}{search}")?;
            writeln!(out, "   {:<39}{search_cpu}", "")?;
        }
        pauses_text(pauses, out)
    }
}

/// The table of what background work held up.
pub(super) fn pauses_text(pauses: &[(&'static str, Times)], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "== how long background work held what writes wait for, us")?;
    writeln!(out, "   {:<12}{:>9}{:>9}{:>9}{:>9}", "job", "times", "p50", "p99", "max")?;
    for (job, Times { count, p50_us, p99_us, max_us }) in pauses {
        writeln!(out, "   {job:<12}{count:>9}{p50_us:>9}{p99_us:>9}{max_us:>9}")?;
    }
    Ok(())
}
