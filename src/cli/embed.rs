//! `nearfield embed`: vectors for chunks that were stored without.

use super::embedder::EmbedderArgs;
use super::import::json;
use super::progress::Progress;
use super::{Global, expect_store, output};
use crate::{
    Backfill, BackfillOptions, BackfillState, BackfillStatus, ParkedRow, ProviderOptions, Providers, Result,
    Store,
};
use std::io::Write;
use std::time::Duration;

pub(super) const EXIT_CODES: &str = "Exit codes: 0 every chunk with a text has a vector, 1 some have none (they were refused, now or before, or --tokens-max is used \
                                     up) or the service is away, 2 the command line is wrong.";
/// How long closing may link rows that wait.
const CLOSE: Duration = Duration::from_secs(600);
/// Chunks that are told one by one on a terminal.
const TOLD: usize = 20;

/// What to embed.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the collection
    #[arg(default_value = "docs")]
    collection: String,
    #[command(flatten)]
    embedder: EmbedderArgs,
    /// Tokens a second at most, by estimate [default: no limit]
    #[arg(long, value_name = "N")]
    tokens_per_s: Option<u64>,
    /// Tokens in all, by estimate; then it ends [default: no limit]
    #[arg(long, value_name = "N")]
    tokens_max: Option<u64>,
    /// Try chunks again that were refused before
    #[arg(long)]
    retry: bool,
    /// Tell which chunks were refused, and why, and embed nothing
    #[arg(long, conflicts_with_all = ["retry", "dry_run"])]
    list_parked: bool,
    /// Say how much waits, and embed nothing
    #[arg(long)]
    dry_run: bool,
}

/// True if nothing waits any more.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<bool> {
    expect_store(global.data())?;
    let settings = global.settings()?.settings;
    let providers = settings.providers()?;
    let store = Store::open(global.data(), settings.store)?;
    if args.list_parked {
        let parked = parked(args, &store);
        let closed = store.close(CLOSE);
        let parked = parked?;
        closed?;
        return list(args, &parked, global.json, out).map(|()| true);
    }
    let done = fill(args, global, &providers, &store);
    let closed = store.close(CLOSE);
    let status = done?;
    closed?;
    if global.json {
        json(&status, out)?
    } else {
        told(&status, out).map_err(output)?
    }
    Ok(status.pending == 0)
}

fn parked(args: &Args, store: &Store) -> Result<Vec<ParkedRow>> {
    let docs = store.open_collection(&args.collection)?;
    Backfill::parked(&docs, &args.embedder.model_name(docs.schema())?)
}

fn list(args: &Args, parked: &[ParkedRow], is_json: bool, out: &mut dyn Write) -> Result<()> {
    if is_json {
        return json(&serde_json::json!({"collection": args.collection, "parked": parked}), out);
    }
    let lines = parked.iter().try_for_each(|row| writeln!(out, "{}: {}", row.id, row.why));
    lines
        .and_then(|()| writeln!(out, "{} chunks of {} were refused", parked.len(), args.collection))
        .map_err(output)
}

fn fill(args: &Args, global: &Global, providers: &Providers, store: &Store) -> Result<BackfillStatus> {
    let docs = store.open_collection(&args.collection)?;
    let chosen = args.embedder.open(store, providers, Some(docs.schema()))?;
    if args.retry && !args.dry_run {
        Backfill::forget_parked(&docs, chosen.embedder.model());
    }
    let (tokens_per_s, tokens_max) = chosen.budget();
    let batch = chosen.options.as_ref().map_or(BackfillOptions::default().batch, ProviderOptions::rows);
    let embedder = chosen.embedder;
    let options = BackfillOptions {
        tokens_per_s: args.tokens_per_s.or(tokens_per_s),
        tokens_max: if args.dry_run { Some(0) } else { args.tokens_max.or(tokens_max) },
        batch,
        ..BackfillOptions::default()
    };
    let bar = Progress::new(global.quiet).bar("embed", docs.stats().pending);
    Backfill::run(&docs, embedder, options, &mut |status| {
        bar.at(status.embedded, status.embedded + status.pending as u64);
        true
    })
}

fn told(status: &BackfillStatus, out: &mut dyn Write) -> std::io::Result<()> {
    let BackfillStatus { embedded, tokens, pending, coverage, parked, overtaken, .. } = status;
    writeln!(
        out,
        "{embedded} chunks embedded, about {tokens} tokens; {pending} wait, {:.1} % have a vector",
        coverage * 100.0
    )?;
    if *overtaken > 0 {
        writeln!(out, "  {overtaken} were changed meanwhile")?;
    }
    if status.state == BackfillState::Spent {
        writeln!(out, "  the tokens that are allowed are used up")?;
    }
    for row in status.parked_rows.iter().take(TOLD) {
        writeln!(out, "  {} was refused: {}", row.id, row.why)?;
    }
    let rest = parked.saturating_sub(TOLD);
    if rest > 0 {
        writeln!(out, "  and {rest} more")?;
    }
    if *parked > 0 { writeln!(out, "  --retry tries them again, --list-parked names all") } else { Ok(()) }
}
