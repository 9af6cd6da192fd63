//! How a run is told: as text while it goes, or as one JSON document at its end.
//!
//! The text begins like the peers' script of the project prints (`== name: build s`, `   ef recall qps`, `   qps@..`), so
//! that the same eyes and tools read both.

use super::curve::{Mark, Point};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

/// A run. Units are the last word of a name.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) machine: Machine,
    pub(super) data: Data,
    pub(super) index: Index,
    pub(super) search: Search,
    pub(super) build: Build,
    pub(super) memory: Memory,
    pub(super) curve: Vec<Point>,
    pub(super) qps_at_recall: Vec<Mark>,
}

/// Where it ran.
#[derive(Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) isa: &'static str,
    pub(super) arch: &'static str,
    pub(super) os: &'static str,
}

impl Machine {
    pub(super) fn here() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self { cores, isa: crate::instruction_set(), arch: std::env::consts::ARCH, os: std::env::consts::OS }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cores, {} ({} {})", self.cores, self.isa, self.arch, self.os)
    }
}

/// What was indexed and asked.
#[derive(Serialize)]
pub(super) struct Data {
    pub(super) source: String,
    pub(super) rows: usize,
    pub(super) dim: usize,
    pub(super) queries: usize,
    pub(super) metric: String,
    pub(super) filter: Option<String>,
    /// Where the exact neighbours come from.
    pub(super) truth: &'static str,
}

/// The settings of the index.
#[derive(Serialize)]
pub(super) struct Index {
    pub(super) graph: String,
    pub(super) m: usize,
    pub(super) ef_construction: usize,
    pub(super) build_threads: usize,
    pub(super) batch: usize,
}

/// The settings of the searches.
#[derive(Serialize)]
pub(super) struct Search {
    pub(super) k: usize,
    pub(super) threads: usize,
    pub(super) rounds: usize,
}

/// How long the index took.
#[derive(Serialize)]
pub(super) struct Build {
    pub(super) seconds: f64,
    pub(super) rows_per_s: f64,
}

/// What the index holds in memory, by its own account.
#[derive(Serialize)]
pub(super) struct Memory {
    pub(super) bytes: usize,
    pub(super) bytes_per_row: f64,
    pub(super) components_bytes_per_row: BTreeMap<String, f64>,
}

impl Report {
    /// Everything that is known before the first search.
    pub(super) fn head(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { version, machine: m, data: d, index: i, search: s, .. } = self;
        let (rows, queries) = (grouped(d.rows), grouped(d.queries));
        writeln!(out, "data     {rows} x {}, {queries} queries, {}; {}", d.dim, d.metric, d.source)?;
        if let Some(filter) = &d.filter {
            writeln!(out, "filter   {filter}")?;
        }
        writeln!(out, "truth    {}", d.truth)?;
        writeln!(out, "machine  {m}, nearfield {version}")?;
        writeln!(out, "index    {}, m {}, ef_construction {}", i.graph, i.m, i.ef_construction)?;
        let (threads, rounds) = (plural(s.threads, "thread"), plural(s.rounds, "pass"));
        writeln!(out, "search   k {}, {threads}, best of {rounds}", s.k)?;

        writeln!(out, "== nearfield {}: build {:.2} s", i.graph, self.build.seconds)?;
        let (rate, batch) = (grouped(self.build.rows_per_s as usize), grouped(i.batch));
        writeln!(out, "   {rate} rows/s on {}, {batch} rows a batch", plural(i.build_threads, "thread"))?;
        let parts = self.memory.components_bytes_per_row.iter().filter(|(_, bytes)| **bytes >= 0.05);
        let parts: Vec<String> = parts.map(|(name, bytes)| format!("{name} {bytes:.1}")).collect();
        let (per_row, mib) = (self.memory.bytes_per_row, self.memory.bytes as f64 / f64::from(1 << 20));
        writeln!(out, "   {per_row:.1} bytes a row ({}), {mib:.1} MiB in all", parts.join(", "))
    }

    /// The interpolated speeds, last.
    pub(super) fn foot(&self, out: &mut dyn Write) -> io::Result<()> {
        let marks: Vec<String> = self.qps_at_recall.iter().map(Mark::to_string).collect();
        writeln!(out, "   {}", marks.join(" "))
    }

    pub(super) fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        json(self, out)
    }
}

/// The whole report as one document.
pub(super) fn json(report: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

/// One width of the beam.
pub(super) fn line(p: &Point, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "   ef {:4}  recall {:.4}  qps {:9.0}", p.ef, p.recall, p.qps)?;
    write!(out, "  p50 {:7.1}  p95 {:7.1}  p99 {:7.1} us", p.p50_us, p.p95_us, p.p99_us)?;
    write!(out, "  visited {:7.1}  distances {:7.1}", p.visited, p.distances)?;
    if p.short > 0 {
        write!(out, "  short {}", p.short)?;
    }
    let plans: Vec<String> = p.plans.iter().map(|(plan, count)| format!("{plan} {count}")).collect();
    writeln!(out, "  {}", plans.join(" "))
}

pub(super) fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn plural(n: usize, word: &str) -> String {
    match (n, word.ends_with('s')) {
        (1, _) => format!("1 {word}"),
        (_, true) => format!("{n} {word}es"),
        (_, false) => format!("{n} {word}s"),
    }
}

#[cfg(test)]
mod tests;
