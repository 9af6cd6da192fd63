//! `bench write`: what a durable write costs, what it costs the searches beside it, and how both compare with the bare disk.

mod args;
mod case;
mod floor;
mod import;
mod report;

pub(in crate::cli) use args::WriteArgs;

use super::generate::{Mixture, Recipe};
use super::jobs::pauses_text;
use super::report::Machine;
use super::report::json;
use super::scratch::Scratch;
use crate::cli::progress::Progress;
use crate::cli::{Global, output};
use crate::{Chunk, Options, Result, Schema, Store};
use case::{Bed, Case};
use report::{Data, Report};
use std::io::Write;
use std::time::Duration;

/// Rows handed over at once before anything is measured.
const PRELOAD_BATCH: usize = 4_096;
/// Vectors that writers take in turn, each time a little different.
const POOL_ROWS: usize = 20_000;
const QUERY_ROWS: usize = 1_000;
const CLUSTERS: usize = 200;
/// What is left to link when the folder is about to go may stay unlinked.
const CLOSE: Duration = Duration::ZERO;

/// Runs it, and tells the result to `out`.
pub(super) fn run(args: &WriteArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let progress = Progress::new(global.quiet);
    let scratch = Scratch::inside(global.data())?;
    if let Some(folder) = &args.data_set {
        let report = import::run(args, folder, &scratch, progress)?;
        let told = if global.json { json(&report, out) } else { report.text(out) };
        return told.map_err(output);
    }
    let bed = bed(args, &scratch, progress)?;
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::here(),
        data: Data {
            folder: global.data().display().to_string(),
            rows: args.rows,
            dim: args.dim,
            metric: args.metric.to_string(),
            durability: args.durability.to_string(),
            k: args.k,
            seconds: args.seconds,
        },
        cases: Vec::new(),
        pauses: Vec::new(),
    };
    if !global.json {
        report.head(out).map_err(output)?;
    }
    let cases = args.batch.iter().flat_map(|&batch| args.writers.iter().map(move |&w| (batch, w)));
    let bar = progress.bar("write", args.batch.len() * args.writers.len());
    for (batch, writers) in cases {
        let case = Case { batch, writers, seconds: args.seconds };
        let measured = bed.measure(case)?;
        bar.add(1);
        if !global.json {
            // Worth seeing before the next is done.
            measured.text(out).and_then(|()| out.flush()).map_err(output)?;
        }
        report.cases.push(measured);
    }
    report.pauses = bed.store.stats().pauses;
    if !global.json {
        pauses_text(&report.pauses, out).map_err(output)?;
    }
    bed.store.close(CLOSE)?;
    if global.json { json(&report, out).map_err(output) } else { Ok(()) }
}

/// A store with rows, linked.
fn bed(args: &WriteArgs, scratch: &Scratch, progress: Progress) -> Result<Bed> {
    let mixture = Mixture::new(Recipe { seed: args.seed, dim: args.dim, clusters: CLUSTERS });
    let threads = args.build_threads;
    let options = Options::default().build_threads(threads).durability(args.durability);
    let store = Store::open(scratch.join("store"), options)?;
    let docs = store.create_collection("bench", Schema::new(args.dim, args.metric))?;
    let base = mixture.base(args.rows + POOL_ROWS, threads);
    let bar = progress.bar("preload", args.rows);
    for first in (0..args.rows).step_by(PRELOAD_BATCH) {
        let rows = first..(first + PRELOAD_BATCH).min(args.rows);
        bar.add(rows.len());
        docs.upsert(rows.map(|row| Chunk::new(row.to_string()).vector(base.row(row).to_vec())))?;
    }
    Ok(Bed {
        store,
        docs,
        queries: mixture.queries(QUERY_ROWS, threads),
        k: args.k,
        folder: scratch.folder().to_owned(),
        first: args.rows,
        pool: POOL_ROWS,
        base,
    })
}
