//! `nearfield migrate`: a collection goes to another embedding model, step by step; here, or on a running server.

use super::api::{asked, done};
use super::embedder::{Chosen, EmbedderArgs, OldEmbedderArgs};
use super::progress::Progress;
use super::{Global, expect_store};
use crate::server::{MigrateBody, MigrateResult, MigrateStep, MigratedBy, NewEmbedding, NewModel, Object};
use crate::{Embedder, Error, ErrorKind, Providers, Result, Store};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod report;

pub(super) const EXIT_CODES: &str = "Exit codes: 0 done (fill: every row with a text has its vector), 1 refused, failed or not complete (what was \
                                     filled is there), 2 the command line is wrong.";
/// How long closing may link rows that wait.
const CLOSE: Duration = Duration::from_secs(600);

/// Which collection, and what of it.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Name of the collection
    collection: String,
    /// Name of the collection that is filled [default: that of the collection with .next behind]
    #[arg(long, value_name = "NAME", global = true)]
    next: Option<String>,
    /// Name that the collection of now is kept under [default: its own with .old behind]
    #[arg(long, value_name = "NAME", global = true)]
    old: Option<String>,
    #[command(subcommand)]
    step: Step,
}

#[derive(clap::Subcommand)]
enum Step {
    /// Say what it takes: texts, tokens, money, time, room; changes nothing
    Estimate(EstimateArgs),
    /// Make the second collection, or go on making it, until it has all
    Fill(FillArgs),
    /// Ask both collections the same, and say how far they agree
    Compare(CompareArgs),
    /// Give the name to the second collection, after a last look
    Switch(SwitchArgs),
    /// Give the name back to what had it before
    Undo(UndoArgs),
    /// Drop what is kept since the switch, for good
    Drop(DropArgs),
}

#[derive(clap::Args)]
struct EstimateArgs {
    #[command(flatten)]
    embedder: EmbedderArgs,
    /// Price of a million tokens, in your currency
    #[arg(long, value_name = "PRICE")]
    price: Option<f64>,
    /// Tokens that come through in a second
    #[arg(long, value_name = "N")]
    tokens_per_s: Option<u64>,
}

#[derive(clap::Args)]
struct FillArgs {
    #[command(flatten)]
    embedder: EmbedderArgs,
    #[command(flatten)]
    pace: PaceArgs,
    /// Say what there is to do, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
struct PaceArgs {
    /// Tokens a second at most, by estimate [default: as the provider's settings say, or no limit]
    #[arg(long, value_name = "N")]
    tokens_per_s: Option<u64>,
    /// Tokens in all, by estimate; then it ends [default: as the provider's settings say, or no limit]
    #[arg(long, value_name = "N")]
    tokens_max: Option<u64>,
}

#[derive(clap::Args)]
struct CompareArgs {
    #[command(flatten)]
    embedder: EmbedderArgs,
    #[command(flatten)]
    old_embedder: OldEmbedderArgs,
    /// Rows whose texts are asked for [default: 100]
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    /// Which rows: the same number, the same rows [default: 42]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// File of questions, a line each, instead of rows; the model of the vectors that are there must be known
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rows", "seed"])]
    queries: Option<PathBuf>,
    /// Neighbours that are compared [default: 10]
    #[arg(long, value_name = "N")]
    k: Option<usize>,
    /// For whom questions of a file are asked, where the collection requires a tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

#[derive(clap::Args)]
struct SwitchArgs {
    #[command(flatten)]
    embedder: EmbedderArgs,
    #[command(flatten)]
    pace: PaceArgs,
    /// Leave rows behind that have no text or were refused
    #[arg(long)]
    incomplete: bool,
    /// Say what there is to do first, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
struct UndoArgs {
    /// Leave what was written since the switch in the other collection
    #[arg(long)]
    yes: bool,
    /// Say what was written since the switch, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(clap::Args)]
struct DropArgs {
    /// Drop what was filled and not switched instead: the migration is given up
    #[arg(long)]
    filled: bool,
    /// Nothing else says that it is meant
    #[arg(long, required_unless_present = "dry_run")]
    yes: bool,
    /// Say what would go, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// True if what was asked for is done.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<bool> {
    let order = args.order()?;
    let result = if global.url.is_some() { there(args, order, global)? } else { here(args, &order, global)? };
    report::tell(&result, global.json, out)?;
    Ok(result.is_whole())
}

/// By a running server, which knows who makes the vectors.
fn there(args: &Args, mut order: MigrateBody, global: &Global) -> Result<MigrateResult> {
    if let Some(embedder) = args.embedder() {
        let (profile, dim) = embedder.of_server()?;
        order.embedding = Some(Object(NewEmbedding { provider: profile.provider, model: profile.model }));
        order.dim = dim;
    }
    if let Step::Compare(CompareArgs { old_embedder, .. }) = &args.step
        && old_embedder.is_given()
    {
        return Err(Error::invalid(
            "a server knows who made the vectors that are there; leave --old-embedder away",
        ));
    }
    let body = serde_json::to_value(&order).unwrap_or_default();
    let told = asked(global, |way| {
        let bar = Progress::new(global.quiet).bar(order.step.word(), 0);
        done(way, "/v1/admin/migrate", &body, &bar)
    })?;
    serde_json::from_value(told).map_err(|e| {
        let message =
            "the server tells of a migration what this program does not know: take the same version of both";
        Error::new(ErrorKind::Unavailable, message).with_source(e)
    })
}

/// In a store of this machine.
fn here(args: &Args, order: &MigrateBody, global: &Global) -> Result<MigrateResult> {
    expect_store(global.data())?;
    let settings = global.settings()?.settings;
    let providers = settings.providers()?;
    let store = Store::open(global.data(), settings.store)?;
    let result = in_store(args, order, global, &store, &providers);
    let closed = store.close(CLOSE);
    let result = result?;
    closed?;
    Ok(result)
}

fn in_store(
    args: &Args,
    order: &MigrateBody,
    global: &Global,
    store: &Store,
    providers: &Providers,
) -> Result<MigrateResult> {
    let rows = store.open_collection(&args.collection)?.stats().rows;
    let bar = Progress::new(global.quiet).bar(order.step.word(), rows);
    let tell = &mut |done: usize, of: usize| {
        bar.at(done as u64, of as u64);
        true
    };
    order.run(store, &Flags { args, store, providers }, tell)
}

/// Who makes vectors, as the flags say.
struct Flags<'a> {
    args: &'a Args,
    store: &'a Store,
    providers: &'a Providers,
}

impl MigratedBy for Flags<'_> {
    /// The collection's own profile is that of the old one.
    fn new_model(&self) -> Result<NewModel> {
        let embedder = self.args.embedder().ok_or_else(|| Error::invalid("this step needs no model"))?;
        let chosen = embedder.open(self.store, self.providers, None)?;
        let budget = chosen.budget();
        let Chosen { embedder, profile, .. } = chosen;
        Ok(NewModel { embedder, profile, budget, rate: None })
    }

    fn old_model(&self) -> Result<Option<Arc<dyn Embedder>>> {
        let Step::Compare(CompareArgs { embedder, old_embedder, .. }) = &self.args.step else {
            return Ok(None);
        };
        let collection = self.store.open_collection(&self.args.collection)?;
        old_embedder.open(embedder, collection.schema(), self.store, self.providers)
    }
}

impl Args {
    fn embedder(&self) -> Option<&EmbedderArgs> {
        match &self.step {
            Step::Estimate(args) => Some(&args.embedder),
            Step::Fill(args) => Some(&args.embedder),
            Step::Compare(args) => Some(&args.embedder),
            Step::Switch(args) => Some(&args.embedder),
            Step::Undo(_) | Step::Drop(_) => None,
        }
    }

    /// All but who makes the vectors.
    fn order(&self) -> Result<MigrateBody> {
        let flag = |given: bool| given.then_some(true);
        let new = |step| MigrateBody {
            next: self.next.clone(),
            old: self.old.clone(),
            ..MigrateBody::new(&self.collection, step)
        };
        let order = match &self.step {
            Step::Estimate(args) => MigrateBody {
                price_per_million: args.price,
                tokens_per_s: args.tokens_per_s,
                ..new(MigrateStep::Estimate)
            },
            Step::Fill(args) => MigrateBody {
                tokens_per_s: args.pace.tokens_per_s,
                tokens_max: args.pace.tokens_max,
                dry_run: flag(args.dry_run),
                ..new(MigrateStep::Fill)
            },
            Step::Compare(args) => MigrateBody {
                rows: args.rows,
                seed: args.seed,
                queries: args.queries.as_ref().map(lines).transpose()?,
                k: args.k,
                tenant: args.tenant.clone(),
                ..new(MigrateStep::Compare)
            },
            Step::Switch(args) => MigrateBody {
                tokens_per_s: args.pace.tokens_per_s,
                tokens_max: args.pace.tokens_max,
                incomplete: flag(args.incomplete),
                dry_run: flag(args.dry_run),
                ..new(MigrateStep::Switch)
            },
            Step::Undo(args) => {
                MigrateBody { yes: flag(args.yes), dry_run: flag(args.dry_run), ..new(MigrateStep::Undo) }
            }
            Step::Drop(args) => MigrateBody {
                filled: flag(args.filled),
                yes: flag(args.yes),
                dry_run: flag(args.dry_run),
                ..new(MigrateStep::Drop)
            },
        };
        Ok(order)
    }
}

/// Questions, a line each.
fn lines(file: &PathBuf) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        Error::new(ErrorKind::Invalid, format!("{} cannot be read", file.display())).with_source(e)
    })?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}
