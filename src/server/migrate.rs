//! The steps of a migration to another embedding model, as they are ordered over HTTP and on the command line: one order, one way to carry it
//! out, one report.
//!
//! Invariants: a field that is no matter of its step is refused, and not passed over; who makes the vectors is the caller's business.

use super::wire::{Estimated, MigrateBody, MigrateResult, MigrateStep, WouldDrop};
use crate::{
    ComparisonOptions, Embedder, EmbeddingProfile, Error, Migration, MigrationOptions, MigrationRates,
    MigrationState, MigrationStatus, Queries, Result, Store, SwitchOptions, TokenRate,
};
use MigrateStep::{Compare, Drop, Estimate, Fill, Switch, Undo};
use std::sync::Arc;

/// The fields of an order that not all steps take, and the steps that take them.
pub(super) const FIELDS: &[(&str, &[MigrateStep])] = &[
    ("embedding", EMBEDDING),
    ("dim", EMBEDDING),
    ("tokens_per_s", &[Estimate, Fill, Switch]),
    ("tokens_max", &[Fill, Switch]),
    ("price_per_million", &[Estimate]),
    ("rows", &[Compare]),
    ("seed", &[Compare]),
    ("queries", &[Compare]),
    ("k", &[Compare]),
    ("tenant", &[Compare]),
    ("incomplete", &[Switch]),
    ("yes", &[Undo, Drop]),
    ("filled", &[Drop]),
    ("dry_run", &[Fill, Switch, Undo, Drop]),
];
/// The steps that need somebody who makes vectors.
pub(super) const EMBEDDING: &[MigrateStep] = &[Estimate, Fill, Compare, Switch];

/// Who makes the new vectors.
pub(crate) struct NewModel {
    pub(crate) embedder: Arc<dyn Embedder>,
    /// What the second collection is to remember of it.
    pub(crate) profile: Option<EmbeddingProfile>,
    /// Tokens a second and in all, where the order says nothing.
    pub(crate) budget: (Option<u64>, Option<u64>),
    /// Tokens a second that others keep to as well, whatever the order says.
    pub(crate) rate: Option<TokenRate>,
}

/// Who makes vectors. Asked when a step needs it, which a step on names alone does not.
pub(crate) trait MigratedBy {
    fn new_model(&self) -> Result<NewModel>;
    /// Who made those that are there, if that is known.
    fn old_model(&self) -> Result<Option<Arc<dyn Embedder>>>;
}

impl MigrateBody {
    pub(crate) fn new(collection: &str, step: MigrateStep) -> Self {
        Self {
            collection: collection.to_owned(),
            step,
            embedding: None,
            dim: None,
            next: None,
            old: None,
            tokens_per_s: None,
            tokens_max: None,
            price_per_million: None,
            rows: None,
            seed: None,
            queries: None,
            k: None,
            tenant: None,
            incomplete: None,
            yes: None,
            filled: None,
            dry_run: None,
        }
    }

    /// Refuses what its step does not take.
    pub(crate) fn check(&self) -> Result<()> {
        let given = serde_json::to_value(self).unwrap_or_default();
        let is_strange =
            |(name, of): &&(&str, &[MigrateStep])| given.get(name).is_some() && !of.contains(&self.step);
        if let Some((name, _)) = FIELDS.iter().find(is_strange) {
            return Err(Error::invalid(format!(
                "{name} is no matter of the step {}: leave it out",
                self.step.word()
            )));
        }
        if self.queries.is_some() && (self.rows.is_some() || self.seed.is_some()) {
            return Err(Error::invalid("queries are asked instead of rows: leave rows and seed out"));
        }
        Ok(())
    }

    /// Whether its step needs somebody who makes vectors.
    pub(crate) fn embeds(&self) -> bool {
        EMBEDDING.contains(&self.step)
    }

    /// Carries it out. `tell` hears how many rows are done, and of how many, and says whether to go on.
    pub(crate) fn run(
        &self,
        store: &Store,
        models: &dyn MigratedBy,
        tell: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<MigrateResult> {
        self.check()?;
        let migration = self.migration(store);
        let is_dry = self.dry_run.unwrap_or(false);
        let tell = &mut |status: &MigrationStatus| tell(status.filled, status.rows.max(status.filled));
        match self.step {
            Estimate => self.estimate(&migration, models),
            Fill | Switch if is_dry => self.estimate(&migration, models),
            Fill => {
                let model = models.new_model()?;
                let migration = migration.profile(model.profile).rate(model.rate);
                let status = migration.fill(&*model.embedder, self.pace(model.budget), tell)?;
                Ok(MigrateResult::Filled(Box::new(status)))
            }
            Switch => {
                let model = models.new_model()?;
                let incomplete = self.incomplete.unwrap_or(false);
                let options =
                    SwitchOptions { fill: self.pace(model.budget), incomplete, ..SwitchOptions::default() };
                let switched = migration.rate(model.rate).switch(&*model.embedder, &options, tell)?;
                Ok(MigrateResult::Switched(Box::new(switched)))
            }
            Compare => self.compare(&migration, models),
            Undo if is_dry => Ok(MigrateResult::Differences(migration.differences()?)),
            Undo => Ok(MigrateResult::Undone(migration.undo(self.yes.unwrap_or(false))?)),
            Drop => self.drop(&migration, is_dry),
        }
    }

    fn migration(&self, store: &Store) -> Migration {
        let mut migration = Migration::of(store, &self.collection);
        if let Some(next) = &self.next {
            migration = migration.next(next);
        }
        if let Some(old) = &self.old {
            migration = migration.old(old);
        }
        migration
    }

    fn pace(&self, (per_s, max): (Option<u64>, Option<u64>)) -> MigrationOptions {
        MigrationOptions {
            tokens_per_s: self.tokens_per_s.or(per_s),
            tokens_max: self.tokens_max.or(max),
            ..MigrationOptions::default()
        }
    }

    fn estimate(&self, migration: &Migration, models: &dyn MigratedBy) -> Result<MigrateResult> {
        let NewModel { embedder, budget, .. } = models.new_model()?;
        let tokens_per_s = self.tokens_per_s.or(budget.0).map(|rate| rate as f64);
        let rates = MigrationRates { price_per_million: self.price_per_million, tokens_per_s };
        let estimate = migration.estimate(embedder.model(), embedder.dim(), &rates)?;
        let (model, dim) = (embedder.model().to_owned(), embedder.dim());
        Ok(MigrateResult::Estimate(Estimated { model, dim, estimate }))
    }

    fn compare(&self, migration: &Migration, models: &dyn MigratedBy) -> Result<MigrateResult> {
        let (new, old) = (models.new_model()?.embedder, models.old_model()?);
        let default = ComparisonOptions::default();
        let queries = match &self.queries {
            Some(texts) => Queries::Texts(texts.clone()),
            None => Queries::Rows { rows: self.rows.unwrap_or(100), seed: self.seed.unwrap_or(42) },
        };
        let options =
            ComparisonOptions { queries, k: self.k.unwrap_or(default.k), tenant: self.tenant.clone() };
        Ok(MigrateResult::Compared(migration.compare(old.as_deref(), &*new, &options)?))
    }

    fn drop(&self, migration: &Migration, is_dry: bool) -> Result<MigrateResult> {
        let is_wanted = self.yes.unwrap_or(false);
        if !is_dry && !is_wanted {
            return Err(Error::invalid("a collection is dropped for good: say yes, or have a dry run first"));
        }
        let would = |name: &str, differences| WouldDrop { name: name.to_owned(), differences };
        Ok(match (self.filled.unwrap_or(false), is_dry) {
            (true, true) => MigrateResult::WouldDrop(would(&migration.next_name(), None)),
            (true, false) => MigrateResult::Dropped(migration.drop_next()?),
            (false, true) => {
                MigrateResult::WouldDrop(would(migration.old_name(), Some(migration.differences()?)))
            }
            (false, false) => MigrateResult::Dropped(migration.drop_old(is_wanted)?),
        })
    }
}

impl MigrateStep {
    pub(super) const ALL: [Self; 6] = [Estimate, Fill, Compare, Switch, Undo, Drop];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Estimate => "estimate",
            Self::Fill => "fill",
            Self::Compare => "compare",
            Self::Switch => "switch",
            Self::Undo => "undo",
            Self::Drop => "drop",
        }
    }
}

impl MigrateResult {
    /// Whether all is there that was asked for.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Filled(status) => status.state == MigrationState::Done && status.refused == 0,
            _ => true,
        }
    }

    /// Whether it was told to stop.
    pub(crate) fn was_stopped(&self) -> bool {
        matches!(self, Self::Filled(status) if status.state == MigrationState::Stopped)
    }
}
