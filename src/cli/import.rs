//! `nearfield import`: the flags of an import, its bar, its report.

use super::api::asked;
use super::progress::Progress;
use super::{Global, expect_store, output};
use crate::import::{
    Extra, Format, Mode, Report, Request, RollbackReport, Spec, Step, csv_mapping, rollback, run as import,
    send,
};
use crate::{Error, ErrorKind, Metric, Options, Result, Store};
use clap::ArgGroup;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const EXIT_CODES: &str = "Exit codes: 0 imported (or undone, or nothing found wrong by --dry-run), 1 refused or failed and \
                                     nothing was changed, 2 the command line is wrong.";
/// How long closing may link rows that wait.
const CLOSE: Duration = Duration::from_secs(600);

/// What to import, and where to.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["file", "rollback"]))]
pub(super) struct Args {
    /// The file; for hnsw-rs what its two files begin with, for pickle also the folder
    file: Option<PathBuf>,
    /// Name of the collection
    #[arg(long, value_name = "NAME", required_unless_present = "rollback")]
    into: Option<String>,
    /// create: there must be none of that name; append: rows of the same ids are replaced, all others stay; replace: it
    /// holds what the file holds, and nothing else
    #[arg(long, default_value = "create")]
    mode: Mode,
    /// What the file is, if its name and its first bytes do not say it: jsonl, npy, vecs, csv, parquet, hnsw-rs, faiss, hnswlib, pickle
    #[arg(long)]
    format: Option<Format>,
    /// How vectors are compared, if the file does not say it: cosine, l2, dot, l1
    #[arg(long)]
    metric: Option<Metric>,
    /// Dimensions that vectors must have; needed where the first rows have no vector
    #[arg(long)]
    dim: Option<usize>,
    /// Ids of npy, vecs and faiss, by row: lines, or whole numbers in .npy or .ivecs [default: row numbers]
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Texts, metadata and all else of npy, vecs and faiss, by row: lines of JSON, also .zst
    #[arg(long, value_name = "FILE")]
    docs: Option<PathBuf>,
    /// Of csv and parquet: which column is which field, such as id=key,text=body; of csv, vector=e* for columns e0, e1, ...
    #[arg(long, value_name = "FIELD=COLUMN", value_delimiter = ',', value_parser = csv_mapping)]
    columns: Vec<(String, String)>,
    /// What to do with fields that a chunk does not have: refuse the row, ignore them, or put them into its metadata
    #[arg(long, default_value = "refuse")]
    extra: Extra,
    /// Tenant of rows that name none
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Embedding model of rows that name none
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Rows that may be left out because they cannot be stored; with one more nothing is imported
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_rejects: u64,
    /// List all of them here, a line of JSON each
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Rows in one commit
    #[arg(long, value_name = "N", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch: u32,
    /// Threads that link rows [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Read and check everything, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Undo the last import, whatever it was; --into is not needed
    #[arg(long, conflicts_with_all = ["into", "dry_run", "mode"])]
    rollback: bool,
    /// Replace rows that are there; with --rollback, lose what was written since
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<()> {
    if args.rollback {
        if global.url.is_some() {
            return Err(Error::invalid(
                "an import into a server is not undone; delete its rows, or drop the collection that it made",
            ));
        }
        return undo(args, global, out);
    }
    let (Some(file), Some(into)) = (&args.file, &args.into) else {
        return Err(Error::invalid("name a file, and a collection with --into"));
    };
    let request = Request {
        spec: Spec {
            path: file.clone(),
            format: args.format,
            ids: args.ids.clone(),
            docs: args.docs.clone(),
            extra: args.extra,
            columns: args.columns.clone(),
            tenant: args.tenant.clone(),
            embedding_model: args.model.clone(),
        },
        into: into.clone(),
        mode: args.mode,
        metric: args.metric,
        dim: args.dim,
        batch_rows: args.batch as usize,
        rejects_max: args.max_rejects,
        rejects: args.rejects.clone(),
        dry_run: args.dry_run,
        yes: args.yes,
    };
    let bar = Progress::new(global.quiet).bar("read", 0);
    let mut tell = |step: Step, done: u64, of: Option<u64>| {
        bar.says(match step {
            Step::Stage => "stage",
            Step::Verify => "verify",
            Step::Switch => "switch",
        });
        bar.at(done, of.unwrap_or(done));
    };
    if global.url.is_some() {
        let report = asked(global, |way| send(way, &request, &mut tell))?;
        drop(bar);
        return if global.json { json(&report, out) } else { told(&report, out).map_err(output) };
    }
    let data = global.data();
    // A dry run makes no store; what is there is asked only where there is one.
    let store = if args.dry_run && expect_store(data).is_err() { None } else { Some(open(data, args)?) };
    let done = import(store.as_ref(), &request, &mut tell);
    drop(bar);
    // What went wrong first is what is told.
    let closed = store.map_or(Ok(()), |store| store.close(CLOSE));
    let report = done?;
    closed?;
    if global.json {
        return json(&report, out);
    }
    told(&report, out).map_err(output)
}

fn open(data: &Path, args: &Args) -> Result<Store> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Store::open(data, Options::default().build_threads(args.threads.unwrap_or(cores)))
}

fn undo(args: &Args, global: &Global, out: &mut dyn Write) -> Result<()> {
    expect_store(global.data())?;
    let store = open(global.data(), args)?;
    let done = rollback(&store, args.yes);
    let closed = store.close(CLOSE);
    let report = done?;
    closed?;
    if global.json {
        return json(&report, out);
    }
    let RollbackReport { source, into, rows_after, notes, .. } = &report;
    let now = match rows_after {
        Some(rows) => format!("it has {rows} rows, as before"),
        None => "it is not there any more, as before".to_owned(),
    };
    writeln!(out, "undone: the import of {source} into {into}; {now}").map_err(output)?;
    notes.iter().try_for_each(|note| writeln!(out, "  note: {note}")).map_err(output)
}

pub(super) fn json(report: &impl serde::Serialize, out: &mut dyn Write) -> Result<()> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|e| Error::new(ErrorKind::Internal, "the report is no JSON").with_source(e))?;
    writeln!(out, "{text}").map_err(output)
}

fn told(report: &Report, out: &mut dyn Write) -> std::io::Result<()> {
    let Report { source, into, rows, dim, metric, digest, rejected, resumed, .. } = report;
    let seconds = report.stage_seconds + report.verify_seconds + report.switch_seconds;
    let rate = *rows as f64 / seconds.max(1e-9);
    let source = source.display();
    if report.dry_run {
        writeln!(
            out,
            "{source}: {rows} rows x {dim}, {metric}, could be imported into {into}; nothing was written"
        )?;
    } else {
        writeln!(
            out,
            "{source}: {rows} rows x {dim}, {metric}, imported into {into}, which has {}",
            report.rows_after
        )?;
        writeln!(
            out,
            "  {seconds:.2} s, {rate:.0} rows/s (stage {:.2}, verify {:.2}, switch {:.2})",
            report.stage_seconds, report.verify_seconds, report.switch_seconds
        )?;
    }
    writeln!(out, "  digest {digest}")?;
    if let Some(recall) = report.verified.recall {
        let n = report.verified.searches;
        writeln!(out, "  {n} exact searches agree with the file; recall of default ones {recall:.3}")?;
    }
    if *resumed > 0 {
        writeln!(out, "  {resumed} rows were there from an earlier run that was cut short")?;
    }
    if *rejected > 0 {
        writeln!(out, "  {rejected} rows were left out:")?;
        for reject in &report.rejects {
            let id = reject.id.as_ref().map_or(String::new(), |id| format!(", id {id}"));
            writeln!(out, "    {}{id}: {}", reject.place, reject.reason)?;
        }
    }
    report.notes.iter().try_for_each(|note| writeln!(out, "  note: {note}"))
}
