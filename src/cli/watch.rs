//! `nearfield watch`: a folder and a collection kept equal, in the foreground, until a signal.

use super::add::{Cuts, Which, open};
use super::embedder::EmbedderArgs;
use super::import::json;
use super::{Global, output};
use crate::{Collection, Error, ErrorKind, Providers, Result, Store, Watch, WatchOptions, WatchStatus};
use std::io::Write;
use std::path::PathBuf;
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
    #[command(flatten)]
    embedder: EmbedderArgs,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    cuts: Cuts,
}

/// Watches until a signal.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<()> {
    let settings = global.settings()?.settings;
    let providers = settings.providers()?;
    let store = Store::open(global.data(), settings.store)?;
    let done = watch(args, global, &providers, &store, out);
    let closed = store.close(CLOSE);
    done.and(closed)
}

fn watch(
    args: &Args,
    global: &Global,
    providers: &Providers,
    store: &Store,
    out: &mut dyn Write,
) -> Result<()> {
    let there = store.open_collection(&args.into).ok();
    let chosen = args.embedder.open(store, providers, there.as_ref().map(Collection::schema))?;
    let docs = open(&args.into, store, || Ok((Some(chosen.embedder.dim()), chosen.profile.clone())))?;
    let options = WatchOptions {
        root: args.dir.clone(),
        base: args.cuts.base(),
        files: args.which.options(),
        chunking: args.cuts.chunking(Some(&*chosen.embedder))?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Error::new(ErrorKind::Unavailable, "a runtime cannot be made").with_source(e))?;
    if let Some(note) = args.cuts.note(&*chosen.embedder) {
        match global.json {
            true => json(&serde_json::json!({ "note": note }), out)?,
            false => writeln!(out, "note: {note}").map_err(output)?,
        }
    }
    let watch = Watch::start(&docs, Some(chosen.embedder), options)?;
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
