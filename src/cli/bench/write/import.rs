//! `bench write --data-set`: a folder of vectors, texts and metadata, into a store on the disk and into one in memory by turns.

use super::super::data::{Doc, Matrix, load_docs};
use super::super::report::{Machine, grouped};
use super::super::scratch::Scratch;
use super::super::tally::median;
use super::super::usage::{self, Usage};
use super::args::WriteArgs;
use crate::cli::progress::{Bar, Progress};
use crate::{Chunk, Collection, Error, ErrorKind, Options, Result, Schema, Store};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Importing is done when everything is linked and in files, however long that takes.
const CLOSE: Duration = Duration::from_secs(3_600);

/// All rounds. Units are the last word of a name; numbers without a round are medians.
#[derive(Serialize)]
pub(super) struct Report {
    version: &'static str,
    machine: Machine,
    source: String,
    rows: usize,
    dim: usize,
    metric: String,
    durability: String,
    with_docs: bool,
    batch: usize,
    build_threads: usize,
    durable_seconds: f64,
    durable_rows_per_s: f64,
    /// Closing the store afterwards: what is left to link, and a checkpoint.
    close_seconds: f64,
    memory_seconds: f64,
    memory_rows_per_s: f64,
    /// Durable over memory, of the rounds of one run.
    ratio: f64,
    disk: Usage,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy, Serialize)]
struct Round {
    durable_seconds: f64,
    close_seconds: f64,
    memory_seconds: f64,
}

struct Source<'a> {
    args: &'a WriteArgs,
    base: Matrix,
    docs: Option<Vec<Doc>>,
    schema: Schema,
    options: Options,
}

pub(super) fn run(args: &WriteArgs, folder: &Path, scratch: &Scratch, progress: Progress) -> Result<Report> {
    let (base, docs) = load_docs(folder, args.docs.as_deref())?;
    let schema = Schema::new(base.dim, args.metric);
    let options = Options::default().build_threads(args.build_threads).durability(args.durability);
    let source = Source { args, base, docs, schema, options };
    let (mut rounds, mut disk) = (Vec::new(), Usage::default());
    for round in 0..args.rounds {
        let at = scratch.join(&format!("round-{round}"));
        let bar = progress.bar(&format!("round {}", round + 1), 2 * source.base.rows());
        // Who comes second finds warmer caches, and a warmer machine: they take turns.
        let (durable, memory) = match round % 2 {
            0 => {
                let memory = source.in_memory(&bar)?;
                (source.durable(&at, &bar)?, memory)
            }
            _ => (source.durable(&at, &bar)?, source.in_memory(&bar)?),
        };
        disk = usage::of(&at)?;
        // It need not stay until all are done.
        let _ = std::fs::remove_dir_all(&at);
        let seconds = [durable.0, durable.1, memory].map(|t| t.as_secs_f64());
        let [durable_seconds, close_seconds, memory_seconds] = seconds;
        rounds.push(Round { durable_seconds, close_seconds, memory_seconds });
    }
    Ok(source.report(folder, rounds, disk))
}

impl Source<'_> {
    fn in_memory(&self, bar: &Bar) -> Result<Duration> {
        let store = Store::memory_with(self.options.clone())?;
        self.fill(&store.create_collection("bench", self.schema.clone())?, bar)
    }

    /// The times of importing and of closing.
    fn durable(&self, at: &Path, bar: &Bar) -> Result<(Duration, Duration)> {
        let store = Store::open(at, self.options.clone())?;
        let docs = store.create_collection("bench", self.schema.clone())?;
        let took = self.fill(&docs, bar)?;
        let start = Instant::now();
        store.close(CLOSE)?;
        Ok((took, start.elapsed()))
    }

    fn fill(&self, docs: &Collection, bar: &Bar) -> Result<Duration> {
        let rows = self.base.rows();
        let start = Instant::now();
        for first in (0..rows).step_by(self.args.import_batch) {
            let batch = first..(first + self.args.import_batch).min(rows);
            bar.add(batch.len());
            let ack = docs.upsert(batch.map(|row| self.chunk(row)))?;
            if let Some(refused) = ack.results.into_iter().find(|row| row.rejected.is_some()) {
                let why = refused.rejected.unwrap_or_default();
                let message = format!("the row of id {:?} is refused: {why}", &*refused.id);
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(start.elapsed())
    }

    fn chunk(&self, row: usize) -> Chunk {
        let mut chunk = Chunk::new(row.to_string()).vector(self.base.row(row).to_vec());
        let Some(doc) = self.docs.as_ref().map(|docs| &docs[row]) else { return chunk };
        if let Some(id) = &doc.id {
            chunk.id.clone_from(id);
        }
        if let Some(document) = &doc.document_id {
            chunk = chunk.document(document.as_str(), row as u32);
        }
        chunk.text.clone_from(&doc.text);
        chunk.metadata(doc.metadata.clone())
    }

    fn report(&self, folder: &Path, rounds: Vec<Round>, mut disk: Usage) -> Report {
        let rows = self.base.rows();
        disk.per(rows);
        let of = |pick: fn(&Round) -> f64| median(rounds.iter().map(pick).collect());
        let (durable_seconds, memory_seconds) = (of(|r| r.durable_seconds), of(|r| r.memory_seconds));
        Report {
            version: env!("CARGO_PKG_VERSION"),
            machine: Machine::here(),
            source: folder.display().to_string(),
            rows,
            dim: self.base.dim,
            metric: self.args.metric.to_string(),
            durability: self.args.durability.to_string(),
            with_docs: self.docs.is_some(),
            batch: self.args.import_batch,
            build_threads: self.args.build_threads,
            durable_seconds,
            durable_rows_per_s: rows as f64 / durable_seconds,
            close_seconds: of(|r| r.close_seconds),
            memory_seconds,
            memory_rows_per_s: rows as f64 / memory_seconds,
            ratio: of(|r| r.durable_seconds / r.memory_seconds),
            disk,
            rounds,
        }
    }
}

impl Report {
    pub(super) fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let with = if self.with_docs { "texts and metadata" } else { "vectors alone" };
        let Self { version, machine, dim, metric, durability, source, .. } = self;
        writeln!(out, "data     {} x {dim}, {metric}, {with}; from {source}", grouped(self.rows))?;
        writeln!(out, "machine  {machine}, nearfield {version}")?;
        let (batch, threads) = (grouped(self.batch), self.build_threads);
        writeln!(out, "writes   {durability}, {batch} rows a batch, {threads} threads link")?;
        let rate = |rows_per_s: f64| grouped(rows_per_s as usize);
        writeln!(out, "== import: {:.2} times the build in memory", self.ratio)?;
        let (durable, close) = (self.durable_seconds, self.close_seconds);
        writeln!(out, "   durable  {durable:8.2} s  {:>9} rows/s", rate(self.durable_rows_per_s))?;
        writeln!(
            out,
            "   memory   {:8.2} s  {:>9} rows/s",
            self.memory_seconds,
            rate(self.memory_rows_per_s)
        )?;
        writeln!(out, "   close    {close:8.2} s  links and a checkpoint")?;
        let rounds: Vec<String> =
            self.rounds.iter().map(|r| format!("{:.2}/{:.2}", r.durable_seconds, r.memory_seconds)).collect();
        writeln!(out, "   rounds   {} s", rounds.join("  "))?;
        writeln!(out, "   disk     {}", self.disk)
    }
}
