//! `bench reclaim`: what comes back, in memory and on the disk, when most rows of a store are deleted and its keeper is let work.
//!
//! Memory is the process's resident set after every row was read, before and after alike: a mapped file that nobody reads takes
//! none, which would flatter both.

use super::args::from_1_to;
use super::open::{MadeArgs, Subject};
use super::report::{Machine, grouped, json};
use super::scratch::Scratch;
use super::usage::{self, Usage};
use crate::cli::progress::Progress;
use crate::cli::{Global, output};
use crate::limits::K_MAX;
use crate::{Collection, Error, ErrorKind, Options, Result, Store};
use clap::Args;
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

const BATCH: usize = 4_096;
const LOOK: Duration = Duration::from_millis(500);
/// Looks that find nothing changed before the keeper counts as done.
const QUIET_LOOKS: usize = 10;

/// What is made, and how much of it goes.
#[derive(Args)]
pub(in crate::cli) struct ReclaimArgs {
    #[command(flatten)]
    made: MadeArgs,
    /// Rows of each hundred that are deleted, evenly over the store
    #[arg(long, value_name = "N", help_heading = "Measurement", default_value_t = 80, value_parser = from_1_to(99))]
    percent: usize,
    /// Neighbours that the searches ask for
    #[arg(long, value_name = "N", help_heading = "Measurement", default_value_t = 10, value_parser = from_1_to(K_MAX))]
    k: usize,
    /// Seconds to wait for the space at most
    #[arg(long, value_name = "S", help_heading = "Measurement", default_value_t = 3_600)]
    #[arg(value_parser = from_1_to(86_400))]
    patience: usize,
    /// Share of a core that background work may take
    #[arg(long, value_name = "SHARE", help_heading = "Measurement", default_value_t = 0.5)]
    background_cpu: f64,
}

/// A run. Units are the last word of a name.
#[derive(Serialize)]
struct Report {
    version: &'static str,
    machine: Machine,
    source: String,
    dim: usize,
    before: Sizes,
    after: Sizes,
    /// From the first deletion until nothing changed any more.
    seconds: f64,
    /// Share of the bytes before that came back.
    disk_back: f64,
    memory_back: f64,
    /// Bytes of a row on the disk over those it cannot do without, after.
    disk_ratio: f64,
    /// Of the default search against the exact one, after.
    recall: f64,
}

#[derive(Serialize)]
struct Sizes {
    rows: usize,
    dead: usize,
    disk: Usage,
    /// Resident memory of the process; 0 where the system does not say.
    resident_bytes: u64,
    /// What the store says of itself.
    counted_bytes: usize,
}

/// Runs it, and tells the result to `out`.
pub(super) fn run(args: &ReclaimArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let progress = Progress::new(global.quiet);
    let scratch = Scratch::inside(global.data())?;
    let at = scratch.join("store");
    let options =
        Options::default().build_threads(args.made.build_threads).background_cpu(args.background_cpu);
    let subject = Subject::made(&args.made, &at, &options, progress)?;
    let store = Store::open(&at, options)?;
    let docs = store.open_collection(&subject.name)?;
    let before = sizes(&docs, &at)?;
    let start = Instant::now();
    let bar = progress.bar("delete", subject.rows * args.percent / 100);
    let ids: Vec<String> =
        (0..subject.rows).filter(|n| goes(*n, args.percent)).map(|n| format!("row-{n}")).collect();
    for part in ids.chunks(BATCH) {
        docs.delete(part.iter().map(String::as_str))?;
        bar.add(part.len());
    }
    let expected = subject.rows - ids.len();
    drop(ids);
    let seconds = settle(&store, &at, start, Duration::from_secs(args.patience as u64))?;
    let after = sizes(&docs, &at)?;
    if after.rows != expected {
        let message = format!("{} rows are left of {expected}; please report this", after.rows);
        return Err(Error::new(ErrorKind::Internal, message));
    }
    let recall = recall(&docs, &subject.queries, args.k)?;
    let back = |before: u64, after: u64| 1.0 - after as f64 / before.max(1) as f64;
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::here(),
        source: subject.source,
        dim: subject.dim,
        seconds,
        disk_back: back(before.disk.bytes, after.disk.bytes),
        memory_back: back(before.resident_bytes, after.resident_bytes),
        disk_ratio: after.disk.bytes_per_row / subject.ideal.total(),
        recall,
        before,
        after,
    };
    if global.json { json(&report, out) } else { report.text(out) }.map_err(output)
}

/// Whether a row is one of those that are deleted: `percent` of each hundred neighbours, scattered.
fn goes(row: usize, percent: usize) -> bool {
    // 37 has no factor in common with 100: every remainder comes once.
    row * 37 % 100 < percent
}

/// Reads every row, and tells what the store takes then.
fn sizes(docs: &Collection, at: &Path) -> Result<Sizes> {
    let mut cursor = None;
    loop {
        cursor = docs.scroll(None, cursor, BATCH)?.next;
        if cursor.is_none() {
            break;
        }
    }
    let stats = docs.stats();
    let mut disk = usage::of(at)?;
    disk.per(stats.rows);
    Ok(Sizes {
        rows: stats.rows,
        dead: stats.dead,
        disk,
        resident_bytes: resident(),
        counted_bytes: stats.bytes.total(),
    })
}

/// Waits until background work has nothing left to do; says how long that took from `start`.
fn settle(store: &Store, at: &Path, start: Instant, patience: Duration) -> Result<f64> {
    let state = || -> Result<(u64, u64)> {
        let jobs = store.stats().pauses.iter().map(|(_, times)| times.count).sum();
        Ok((jobs, usage::of(at)?.bytes))
    };
    let (mut last, mut changed, mut quiet) = (state()?, Instant::now(), 0);
    while quiet < QUIET_LOOKS && start.elapsed() < patience {
        sleep(LOOK);
        // A file that is removed between two looks is a change, no fault.
        let now = state().unwrap_or_default();
        if now == last {
            quiet += 1;
        } else {
            (last, changed, quiet) = (now, Instant::now(), 0);
        }
    }
    Ok(changed.duration_since(start).as_secs_f64())
}

fn recall(docs: &Collection, queries: &[Vec<f32>], k: usize) -> Result<f64> {
    let (mut hit, mut exist) = (0, 0);
    for query in queries {
        let truth = docs.search(query).k(k).exact(true).run()?;
        let found = docs.search(query).k(k).run()?;
        exist += truth.hits.len();
        hit += truth.hits.iter().filter(|t| found.hits.iter().any(|h| h.id == t.id)).count();
    }
    Ok(if exist == 0 { 1.0 } else { hit as f64 / exist as f64 })
}

/// Resident memory of this process, as Linux says it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

impl Report {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { version, machine, source, dim, before, after, .. } = self;
        writeln!(out, "data     {} x {dim}; {source}", grouped(before.rows))?;
        writeln!(out, "machine  {machine}, nearfield {version}")?;
        writeln!(out, "== space, in MiB, after every row was read")?;
        writeln!(
            out,
            "   {:<8}{:>12}{:>10}{:>10}{:>10}{:>10}",
            "", "rows", "dead", "disk", "resident", "counted"
        )?;
        for (name, s) in [("before", before), ("after", after)] {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            write!(out, "   {name:<8}{:>12}{:>10}", grouped(s.rows), grouped(s.dead))?;
            let (disk, resident) = (mib(s.disk.bytes), mib(s.resident_bytes));
            writeln!(out, "{disk:>10.1}{resident:>10.1}{:>10.1}", mib(s.counted_bytes as u64))?;
        }
        let percent = |share: f64| 100.0 * share;
        writeln!(
            out,
            "   back     {:.1} % of the disk, {:.1} % of the memory, after {:.1} s",
            percent(self.disk_back),
            percent(self.memory_back),
            self.seconds
        )?;
        writeln!(
            out,
            "   disk     {:.2} times what the rows cannot do without: {}",
            self.disk_ratio, after.disk
        )?;
        writeln!(out, "   recall   {:.4} of the exact answers", self.recall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_rows_go_as_are_asked_for() {
        for percent in [1, 20, 80, 99] {
            assert_eq!((0..1_000).filter(|n| goes(*n, percent)).count(), 10 * percent);
        }
    }
}
