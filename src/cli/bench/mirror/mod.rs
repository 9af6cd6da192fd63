//! `bench mirror`: what a mirror costs, and what the database could do at best.

mod args;
mod calls;
mod cpu;
mod relay;
mod report;
mod server;
mod states;

pub(in crate::cli) use args::MirrorArgs;

use super::data::{self, Doc, Matrix};
use super::generate::{Mixture, Recipe};
use super::report::{Machine, json};
use super::scratch::Scratch;
use crate::cli::progress::Progress;
use crate::cli::{Global, output};
use crate::postgres::{Settings, floor};
use crate::{
    Chunk, Collection, DatabaseOptions, Error, ErrorKind, Mirror, MirrorOptions, Options, Result, Schema,
    Store,
};
use calls::{Calls, How};
use relay::Relay;
use report::{Audited, Pushed, Rebuilt, Report};
use server::Server;
use states::Stage;
use std::io::Write;
use std::time::{Duration, Instant};

const CLUSTERS: usize = 200;
const QUERIES: usize = 1_000;
const FILL_BATCH: usize = 4_096;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(3_600);
const CLOSE: Duration = Duration::from_secs(60);

struct Bed<'a> {
    args: &'a MirrorArgs,
    base: Matrix,
    queries: Matrix,
    docs: Option<Vec<Doc>>,
    source: String,
    relay: Relay,
    /// By way of the relay.
    url: String,
    progress: Progress,
}

/// Runs it, and tells the result to `out`.
pub(super) fn run(args: &MirrorArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let server = Server::of(args.database_url.as_deref())?;
    let scratch = Scratch::inside(global.data())?;
    let bed = bed(args, server.url(), Progress::new(global.quiet))?;
    let alone = Store::open(scratch.join("alone"), options(args))?;
    let of_alone = alone.create_collection("bench", Schema::new(bed.base.dim, args.metric))?;
    let build = bed.fill(&of_alone)?;
    let store = Store::open(scratch.join("a"), options(args))?;
    let docs = store.create_collection("bench", Schema::new(bed.base.dim, args.metric))?;
    bed.fill(&docs)?;

    bed.prepare()?;
    let (mirror, pushed) = bed.push(&store)?;
    let floor = floor(&Settings { url: bed.url.clone(), ..Settings::default() })?;
    let audited = bed.audit(&mirror)?;
    let calls = || Calls::new(&bed.base, &bed.queries, how(args));
    let stage = Stage {
        mirror: &mirror,
        relay: &bed.relay,
        mirrored: &docs,
        alone: &of_alone,
        server: server.process(),
    };
    let states = stage.measure(args.rounds, &mut calls(), &mut calls())?;
    mirror.wait_mirrored(store.token(), LONG)?;
    let filled = docs.count(None)?;
    // What they still do in the background is no part of a rebuild.
    mirror.stop(CLOSE)?;
    store.close(CLOSE)?;
    alone.close(CLOSE)?;
    let rebuilt = bed.rebuild(&scratch, filled)?;

    let rows = bed.base.rows() as f64;
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::here(),
        source: bed.source.clone(),
        rows: bed.base.rows(),
        dim: bed.base.dim,
        metric: args.metric.to_string(),
        pushed: Pushed {
            copy_in_rows_per_s: rows / floor.copy_in.as_secs_f64(),
            per_copy_in: pushed.0 / (rows / floor.copy_in.as_secs_f64()),
            rows_per_s: pushed.0,
            wire_bytes_per_row: pushed.1 / rows,
        },
        rebuilt: Rebuilt {
            rows_per_s: rebuilt,
            copy_out_rows_per_s: rows / floor.copy_out.as_secs_f64(),
            build_rows_per_s: rows / build.as_secs_f64(),
            per_both: rows / rebuilt / (floor.copy_out + build).as_secs_f64(),
        },
        rounds: args.rounds,
        audited,
        states,
    };
    if global.json { json(&report, out) } else { report.text(out) }.map_err(output)
}

fn options(args: &MirrorArgs) -> Options {
    Options::default().build_threads(args.build_threads)
}

fn how(args: &MirrorArgs) -> How {
    let every = if args.upserts == 0 { 0.0 } else { 1.0 / args.upserts as f64 };
    How {
        batch: args.batch,
        every: Duration::from_secs_f64(every),
        lasting: Duration::from_secs(args.seconds as u64),
    }
}

fn bed<'a>(args: &'a MirrorArgs, url: &str, progress: Progress) -> Result<Bed<'a>> {
    let (base, queries, docs, source) = match (&args.base, &args.queries) {
        (Some(base), Some(queries)) => {
            let (vectors, queries, docs) = data::load_pair(base, queries, args.docs.as_deref())?;
            (vectors, queries, docs, base.display().to_string())
        }
        _ => {
            let mixture = Mixture::new(Recipe { seed: args.seed, dim: args.dim, clusters: CLUSTERS });
            let queries = mixture.queries(QUERIES, args.build_threads);
            let source = format!("generated from seed {}", args.seed);
            (mixture.base(args.rows, args.build_threads), queries, None, source)
        }
    };
    let (relay, url) = server::relayed(url)?;
    Ok(Bed { args, base, queries, docs, source, relay, url, progress })
}

impl Bed<'_> {
    /// The defaults, but for how soon it tries again: what is measured is how it goes on, not how long it waits.
    fn options(&self) -> MirrorOptions {
        let database = DatabaseOptions { url: self.url.clone(), connect_ms_max: 1_000, ..Default::default() };
        MirrorOptions::default().database(database).audit_seconds(0).retry_ms_max(500)
    }

    fn fill(&self, docs: &Collection) -> Result<Duration> {
        let rows = self.base.rows();
        let bar = self.progress.bar("fill", rows);
        let start = Instant::now();
        for first in (0..rows).step_by(FILL_BATCH) {
            let batch = first..(first + FILL_BATCH).min(rows);
            bar.add(batch.len());
            let ack = docs.upsert(batch.map(|row| self.chunk(row)))?;
            if let Some(why) = ack.results.into_iter().find_map(|row| row.rejected) {
                return Err(Error::invalid(format!("a row of the base is refused: {why}")));
            }
        }
        Ok(start.elapsed())
    }

    fn chunk(&self, row: usize) -> Chunk {
        let chunk = Chunk::new(row.to_string()).vector(self.base.row(row).to_vec());
        match self.docs.as_ref().map(|docs| &docs[row]) {
            Some(doc) => Chunk { text: doc.text.clone(), ..chunk }.metadata(doc.metadata.clone()),
            None => chunk.text(format!("row {row}")).meta("row", row as u64),
        }
    }

    /// Makes the tables: they are no part of what is measured.
    fn prepare(&self) -> Result<()> {
        let store = Store::memory();
        let mirror = Mirror::start(&store, self.options())?;
        mirror.connect()?;
        mirror.stop(CLOSE)
    }

    /// A mirror, with the rows a second and the bytes on the wire of its first fill, connecting included.
    fn push(&self, store: &Store) -> Result<(Mirror, (f64, f64))> {
        let (start, before, rows) = (Instant::now(), self.relay.bytes(), self.base.rows());
        let mirror = Mirror::start(store, self.options())?;
        mirror.wait_mirrored(store.token(), LONG)?;
        let pushed = (rows as f64 / start.elapsed().as_secs_f64(), (self.relay.bytes() - before) as f64);
        Ok((mirror, pushed))
    }

    fn audit(&self, mirror: &Mirror) -> Result<Audited> {
        // The first brings what the feed has left, and the table to rest.
        mirror.audit("bench", false)?;
        let (start, before) = (Instant::now(), self.relay.bytes());
        let report = mirror.audit("bench", false)?;
        let (seconds, wire_bytes) = (start.elapsed().as_secs_f64(), self.relay.bytes() - before);
        let start = Instant::now();
        let deep = mirror.audit("bench", true)?;
        if !report.is_equal() || !deep.is_equal() {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("both sides differ in {} rows", report.drift()),
            ));
        }
        Ok(Audited { seconds, wire_bytes, deep_seconds: start.elapsed().as_secs_f64() })
    }

    /// Rows a second into an empty store, all of them.
    fn rebuild(&self, scratch: &Scratch, rows: usize) -> Result<f64> {
        let store = Store::open(scratch.join("b"), options(self.args))?;
        let start = Instant::now();
        let mirror = Mirror::start(&store, self.options().manual(true))?;
        mirror.pull_now()?;
        let took = start.elapsed();
        let came = store.open_collection("bench")?.count(None)?;
        if came != rows {
            return Err(Error::new(ErrorKind::Internal, format!("{came} of {rows} rows came")));
        }
        Ok(rows as f64 / took.as_secs_f64())
    }
}
