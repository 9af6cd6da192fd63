//! One run of `bench search`, in order: data, truth, build, a point for each width, the marks.

use super::args::SearchArgs;
use super::curve;
use super::data::{self, Matrix, Neighbours, Workload};
use super::generate::{Mixture, Recipe};
use super::measure::{self, Asker};
use super::report::{self, Build, Data, Index, Machine, Memory, Report, Search};
use super::tally::Tally;
use super::truth;
use crate::cli::progress::Progress;
use crate::cli::{Global, output};
use crate::{Collection, Error, ErrorKind, Options, Result, Schema};
use std::io::Write;
use std::time::Duration;

/// Queries that a truth from a file is checked on.
const CHECKED_QUERIES: usize = 16;
/// Not 1: of equally near rows, a file may name others.
const AGREEMENT_MIN: f64 = 0.9;

/// Runs it, and tells the result to `out`.
pub(super) fn search(args: &SearchArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let progress = Progress::new(global.quiet);
    let workload = match data::load(args)? {
        Some(workload) => workload,
        None => generated(args),
    };
    let known = known_truth(args, &workload, progress)?;
    let schema = Schema::new(workload.base.dim, args.metric)
        .m(args.m)
        .ef_construction(args.ef_construction)
        .graph(args.graph);
    let options = Options::default().build_threads(args.build_threads);
    let (docs, took) = measure::build(&workload, (schema, options), args.batch, progress)?;
    let mut asker = Asker {
        docs: &docs,
        queries: &workload.queries,
        filter: args.filter.as_ref().map(|f| &f.filter),
        k: args.k,
        threads: args.build_threads,
    };
    let (neighbours, origin) = match known {
        Some(known) => known,
        None => (asker.exact(progress)?, "the engine's own exact search"),
    };
    asker.threads = args.threads;

    let mut report = report_of(args, &workload, origin, &docs, took);
    if !global.json {
        report.head(out).map_err(output)?;
    }
    for ef in args.widths() {
        let point = asker.point(ef, &neighbours, args.rounds, progress)?;
        if !global.json {
            // A line is worth seeing before the next width is done.
            report::line(&point, out).and_then(|()| out.flush()).map_err(output)?;
        }
        report.curve.push(point);
    }
    let points: Vec<(f64, f64)> = report.curve.iter().map(|p| (p.recall, p.qps)).collect();
    report.qps_at_recall = curve::marks(&points);
    if global.json { report.json(out) } else { report.foot(out) }.map_err(output)
}

fn generated(args: &SearchArgs) -> Workload {
    let SearchArgs { seed, dim, clusters, .. } = *args;
    let mixture = Mixture::new(Recipe { seed, dim, clusters });
    Workload {
        source: format!("generated from seed {seed}, {clusters} clusters"),
        base: mixture.base(args.rows, args.build_threads),
        queries: mixture.queries(args.query_rows, args.build_threads),
        truth: None,
        metadata: None,
    }
}

/// The exact neighbours and where they come from; `None` where only the engine can tell, because it alone evaluates filters.
fn known_truth(
    args: &SearchArgs,
    workload: &Workload,
    progress: Progress,
) -> Result<Option<(Neighbours, &'static str)>> {
    let computed = |queries: &Matrix| {
        let bar = progress.bar("truth", queries.rows());
        truth::exact(&workload.base, queries, args.metric, args.k, args.build_threads, &bar)
    };
    Ok(match (&workload.truth, &args.filter) {
        (Some(truth), filter) => {
            if filter.is_none() {
                agree(truth, &computed(&workload.queries.first(CHECKED_QUERIES)), args)?;
            }
            Some((truth.clone(), "from its file"))
        }
        (None, Some(_)) => None,
        (None, None) => Some((computed(&workload.queries), "brute force")),
    })
}

/// A truth of another metric or base would make every figure a lie that looks like low recall.
fn agree(given: &Neighbours, computed: &Neighbours, args: &SearchArgs) -> Result<()> {
    let mut tally = Tally::default();
    for query in 0..computed.rows.len() / computed.width {
        let given: Vec<u32> = given.of(query, args.k).collect();
        tally.judge(&given, computed.of(query, args.k));
    }
    if tally.recall() >= AGREEMENT_MIN {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "the truth names {:.0} % of the neighbours that brute force finds under {}: it belongs to another metric or \
             base; give --base and --queries without --truth to have it computed",
            100.0 * tally.recall(),
            args.metric
        ),
    ))
}

fn report_of(
    args: &SearchArgs,
    workload: &Workload,
    truth: &'static str,
    docs: &Collection,
    took: Duration,
) -> Report {
    let rows = workload.base.rows();
    let (seconds, bytes) = (took.as_secs_f64(), docs.stats().bytes);
    let per_row = |bytes: usize| bytes as f64 / rows as f64;
    let components = bytes.components().into_iter().map(|(name, bytes)| (name.to_owned(), per_row(bytes)));
    Report {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::here(),
        data: Data {
            source: workload.source.clone(),
            rows,
            dim: workload.base.dim,
            queries: workload.queries.rows(),
            metric: args.metric.to_string(),
            filter: args.filter.as_ref().map(|f| f.text.clone()),
            truth,
        },
        index: Index {
            graph: args.graph.to_string(),
            m: args.m,
            ef_construction: args.ef_construction,
            build_threads: args.build_threads,
            batch: args.batch,
        },
        search: Search { k: args.k, threads: args.threads, rounds: args.rounds },
        build: Build { seconds, rows_per_s: rows as f64 / seconds },
        memory: Memory {
            bytes: bytes.total(),
            bytes_per_row: per_row(bytes.total()),
            components_bytes_per_row: components.collect(),
        },
        curve: Vec::new(),
        qps_at_recall: Vec::new(),
    }
}
