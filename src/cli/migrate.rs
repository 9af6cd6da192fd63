//! `nearfield migrate`: a collection goes to another embedding model, step by step.

use super::embedder::{Chosen, EmbedderArgs, OldEmbedderArgs};
use super::import::json;
use super::progress::Progress;
use super::{Global, expect_store, output};
use crate::{
    ComparisonOptions, Error, ErrorKind, Migration, MigrationOptions, MigrationRates, MigrationState,
    MigrationStatus, Providers, Queries, Result, Store, SwitchOptions,
};
use report::Told;
use std::io::Write;
use std::path::PathBuf;
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
    tokens_per_s: Option<f64>,
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
    /// Tokens a second at most, by estimate [default: no limit]
    #[arg(long, value_name = "N")]
    tokens_per_s: Option<u64>,
    /// Tokens in all, by estimate; then it ends [default: no limit]
    #[arg(long, value_name = "N")]
    tokens_max: Option<u64>,
}

#[derive(clap::Args)]
struct CompareArgs {
    #[command(flatten)]
    embedder: EmbedderArgs,
    #[command(flatten)]
    old_embedder: OldEmbedderArgs,
    /// Rows whose texts are asked for
    #[arg(long, value_name = "N", default_value_t = 100)]
    rows: usize,
    /// Which rows: the same number, the same rows
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// File of questions, a line each, instead of rows; with --old-embedder
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rows", "seed"])]
    queries: Option<PathBuf>,
    /// Neighbours that are compared
    #[arg(long, value_name = "N", default_value_t = 10)]
    k: usize,
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
    expect_store(global.data())?;
    let settings = global.settings()?.settings;
    let providers = settings.providers()?;
    let store = Store::open(global.data(), settings.store)?;
    let mut migration = Migration::of(&store, &args.collection);
    if let Some(next) = &args.next {
        migration = migration.next(next);
    }
    if let Some(old) = &args.old {
        migration = migration.old(old);
    }
    let done = Run { args, global, store: &store, providers, migration }.step();
    let closed = store.close(CLOSE);
    let (told, is_good) = done?;
    closed?;
    if global.json {
        told.json(out)?;
    } else {
        told.text(out).map_err(output)?;
    }
    Ok(is_good)
}

struct Run<'a> {
    args: &'a Args,
    global: &'a Global,
    store: &'a Store,
    providers: Providers,
    migration: Migration,
}

impl Run<'_> {
    fn step(&self) -> Result<(Told, bool)> {
        let migration = &self.migration;
        match &self.args.step {
            Step::Estimate(args) => {
                let rates = MigrationRates { price_per_million: args.price, tokens_per_s: args.tokens_per_s };
                Ok((self.estimate(&args.embedder, &rates)?, true))
            }
            Step::Fill(FillArgs { embedder, pace, dry_run: true }) => {
                Ok((self.estimate(embedder, &pace.rates())?, true))
            }
            Step::Fill(args) => {
                let Chosen { embedder, profile, .. } = self.chosen(&args.embedder)?;
                let migration = migration.clone().profile(profile);
                let status = migration.fill(&*embedder, args.pace.options(), &mut self.bar("fill")?)?;
                let is_good = status.state == MigrationState::Done && status.refused == 0;
                Ok((Told::Filled(Box::new(status)), is_good))
            }
            Step::Compare(args) => self.compare(args),
            Step::Switch(SwitchArgs { embedder, pace, dry_run: true, .. }) => {
                Ok((self.estimate(embedder, &pace.rates())?, true))
            }
            Step::Switch(args) => {
                let Chosen { embedder, profile, .. } = self.chosen(&args.embedder)?;
                let migration = migration.clone().profile(profile);
                let options = SwitchOptions {
                    fill: args.pace.options(),
                    incomplete: args.incomplete,
                    ..SwitchOptions::default()
                };
                let switched = migration.switch(&*embedder, &options, &mut self.bar("switch")?)?;
                Ok((Told::Switched(Box::new(switched)), true))
            }
            Step::Undo(UndoArgs { dry_run: true, .. }) => {
                Ok((Told::Differences(migration.differences()?), true))
            }
            Step::Undo(args) => Ok((Told::Undone(migration.undo(args.yes)?), true)),
            Step::Drop(args) => self.drop(args),
        }
    }

    /// The new model. The collection's own profile is that of the old one.
    fn chosen(&self, embedder: &EmbedderArgs) -> Result<Chosen> {
        embedder.open(self.store, &self.providers, None)
    }

    fn estimate(&self, embedder: &EmbedderArgs, rates: &MigrationRates) -> Result<Told> {
        let embedder = self.chosen(embedder)?.embedder;
        let estimate = self.migration.estimate(embedder.model(), embedder.dim(), rates)?;
        Ok(Told::Estimate { model: embedder.model().to_owned(), dim: embedder.dim(), estimate })
    }

    fn compare(&self, args: &CompareArgs) -> Result<(Told, bool)> {
        let new = self.chosen(&args.embedder)?.embedder;
        let dim = self.store.open_collection(&self.args.collection)?.schema().dim;
        let old = args.old_embedder.open(&args.embedder, dim, self.store, &self.providers)?;
        let queries = match &args.queries {
            None => Queries::Rows { rows: args.rows, seed: args.seed },
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|e| {
                    let message = format!("{} cannot be read", file.display());
                    Error::new(ErrorKind::Invalid, message).with_source(e)
                })?;
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                Queries::Texts(lines.map(str::to_owned).collect())
            }
        };
        let options = ComparisonOptions { queries, k: args.k, tenant: args.tenant.clone() };
        let comparison = self.migration.compare(old.as_deref(), &*new, &options)?;
        Ok((Told::Compared(comparison), true))
    }

    fn drop(&self, args: &DropArgs) -> Result<(Told, bool)> {
        let migration = &self.migration;
        let told = match (args.filled, args.dry_run) {
            (true, true) => Told::WouldDrop(migration.next_name(), None),
            (true, false) => Told::Dropped(migration.drop_next()?),
            (false, true) => Told::WouldDrop(migration.old_name().to_owned(), Some(migration.differences()?)),
            (false, false) => Told::Dropped(migration.drop_old(args.yes)?),
        };
        Ok((told, true))
    }

    /// A bar over the rows of the collection.
    fn bar(&self, what: &str) -> Result<impl FnMut(&MigrationStatus) -> bool + use<>> {
        let rows = self.store.open_collection(&self.args.collection)?.stats().rows;
        let bar = Progress::new(self.global.quiet).bar(what, rows);
        Ok(move |status: &MigrationStatus| {
            bar.at(status.filled as u64, status.rows.max(status.filled) as u64);
            true
        })
    }
}

impl PaceArgs {
    fn options(&self) -> MigrationOptions {
        let Self { tokens_per_s, tokens_max } = *self;
        MigrationOptions { tokens_per_s, tokens_max, ..MigrationOptions::default() }
    }

    fn rates(&self) -> MigrationRates {
        MigrationRates { price_per_million: None, tokens_per_s: self.tokens_per_s.map(|rate| rate as f64) }
    }
}
