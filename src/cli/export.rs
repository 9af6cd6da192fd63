//! `nearfield export`: the flags of an export, its bar, its report.

use super::api::asked;
use super::import::json;
use super::progress::Progress;
use super::{Global, expect_store, output};
use crate::import::{Elsewhere, ExportReport, ExportRequest, VectorForm, bring, export};
use crate::{Filter, Result, Store};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const EXIT_CODES: &str =
    "Exit codes: 0 exported, 1 refused or failed and no file was changed, 2 the command line is wrong.";
const CLOSE: Duration = Duration::from_secs(60);

/// What to export, and where to.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the collection
    collection: String,
    /// The file: .jsonl, .jsonl.zst, or .npy with --ids
    to: PathBuf,
    /// Rows that match, as a filter in JSON, such as {"lang": "en"} [default: all]
    #[arg(long, value_name = "JSON", value_parser = Filter::parse)]
    filter: Option<Filter>,
    /// How lines say a vector: b64 (base64 of little-endian float32) or json (numbers); both keep every bit
    #[arg(long, default_value = "b64")]
    vectors: VectorForm,
    /// Beside .npy: ids, a line each
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// Beside .npy: everything else, a line of JSON each
    #[arg(long, value_name = "FILE")]
    docs: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<()> {
    let request = ExportRequest {
        to: args.to.clone(),
        ids: args.ids.clone(),
        docs: args.docs.clone(),
        filter: args.filter.clone(),
        form: args.vectors,
        yes: args.yes,
    };
    let report =
        if global.url.is_some() { there(args, global, &request)? } else { here(args, global, &request)? };
    if global.json {
        return json(&report, out);
    }
    let mib = report.bytes as f64 / f64::from(1 << 20);
    let (name, to, rows) = (&report.collection, report.to.display(), report.rows);
    writeln!(out, "{name}: {rows} rows to {to}, {mib:.1} MiB, {:.2} s", report.seconds).map_err(output)?;
    writeln!(out, "  digest {}", report.digest).map_err(output)
}

/// Of a store of this machine: all rows of one state.
fn here(args: &Args, global: &Global, request: &ExportRequest) -> Result<ExportReport> {
    expect_store(global.data())?;
    let store = Store::open(global.data(), global.settings()?.settings.store)?;
    let exported = store.open_collection(&args.collection).and_then(|collection| {
        let rows = collection.stats().rows;
        let bar = Progress::new(global.quiet).bar("export", rows);
        export(&collection, request, &mut |done| bar.at(done, rows as u64))
    });
    let closed = store.close(CLOSE);
    exported.and_then(|report| closed.map(|()| report))
}

/// Of a server.
fn there(args: &Args, global: &Global, request: &ExportRequest) -> Result<ExportReport> {
    asked(global, |way| {
        let rows = way.find(&args.collection)?.map_or(0, |(_, rows)| rows);
        let bar = Progress::new(global.quiet).bar("export", rows);
        bring(way, &args.collection, request, &mut |done| bar.at(done, (rows as u64).max(done)))
    })
}
