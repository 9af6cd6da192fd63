//! `nearfield watch`: a folder and a collection kept equal, in the foreground, until a signal.

use super::add::Which;
use super::embedder::EmbedderArgs;
use super::import::json;
use super::{Global, output};
use crate::{Chunking, Error, ErrorKind, Metric, Result, Schema, Store, Watch, WatchOptions, WatchStatus};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long closing may link rows that wait.
const CLOSE: Duration = Duration::from_secs(60);
/// How often what has changed is told.
const TELL: Duration = Duration::from_millis(500);

/// What to watch.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The folder
    dir: PathBuf,
    /// Name of the collection; made if there is none
    #[arg(long, value_name = "NAME", default_value = "docs")]
    into: String,
    /// Documents are named by their paths from here [default: this folder]
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    #[command(flatten)]
    embedder: EmbedderArgs,
    #[command(flatten)]
    which: Which,
    /// Tokens of a chunk at most, by estimate
    #[arg(long, value_name = "N", default_value_t = 384)]
    tokens: usize,
    /// Tokens of the chunk before that a chunk repeats
    #[arg(long, value_name = "N", default_value_t = 48)]
    overlap: usize,
}

/// Watches until a signal.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<()> {
    let store = Store::open(global.data(), global.settings()?.settings.store)?;
    let done = watch(args, global, &store, out);
    let closed = store.close(CLOSE);
    done.and(closed)
}

fn watch(args: &Args, global: &Global, store: &Store, out: &mut dyn Write) -> Result<()> {
    let embedder = args.embedder.open(store)?;
    let docs = match store.open_collection(&args.into) {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            store.create_collection(&args.into, Schema::new(embedder.dim(), Metric::Cosine))?
        }
        opened => opened?,
    };
    let options = WatchOptions {
        root: args.dir.clone(),
        base: args.base.clone().unwrap_or_else(|| PathBuf::from(".")),
        files: args.which.options(),
        chunking: Chunking { tokens: args.tokens, overlap: args.overlap },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Error::new(ErrorKind::Unavailable, "a runtime cannot be made").with_source(e))?;
    let watch = Watch::start(&docs, Some(Arc::from(embedder)), options)?;
    runtime.block_on(async {
        let mut ends = std::pin::pin!(super::serve::signal()?);
        let mut told = WatchStatus::default();
        loop {
            let status = watch.status();
            if status.passes != told.passes || status.fault != told.fault {
                tell(&status, &told, global.json, out)?;
                told = status;
            }
            if tokio::time::timeout(TELL, &mut ends).await.is_ok() {
                return Ok(());
            }
        }
    })
}

/// A line for what has changed since; nothing if nothing has.
fn tell(now: &WatchStatus, before: &WatchStatus, is_json: bool, out: &mut dyn Write) -> Result<()> {
    if is_json {
        return json(now, out).and_then(|()| out.flush().map_err(output));
    }
    let (stored, removed) = (now.stored - before.stored, now.removed - before.removed);
    let embedded = now.embedded - before.embedded;
    if stored + removed > 0 || before.passes == 0 && now.passes > 0 {
        let files = now.last.files;
        writeln!(out, "{files} files: {stored} stored, {removed} removed, {embedded} chunks embedded")
            .map_err(output)?;
    }
    for (file, why) in now.last.failed.iter().filter(|(file, _)| !before.last.failed.contains_key(*file)) {
        writeln!(out, "  {file}: {why}").map_err(output)?;
    }
    if let Some(fault) = &now.fault {
        writeln!(out, "  tried again soon: {fault}").map_err(output)?;
    }
    out.flush().map_err(output)
}
