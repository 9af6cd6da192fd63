//! A collection's way to another embedding model: the order of a step, and what it came to.

use super::{NewEmbedding, Object, whole};
use crate::{Comparison, Differences, Dropped, MigrationEstimate, MigrationStatus, Switched, Undone};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A step of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MigrateStep {
    /// Say what it takes; changes nothing.
    Estimate,
    /// Make the second collection, or go on making it, until it has all.
    Fill,
    /// Ask both collections the same, and say how far they agree.
    Compare,
    /// Give the name to the second collection, after a last look.
    Switch,
    /// Give the name back to what had it before.
    Undo,
    /// Drop what is kept since the switch, for good.
    Drop,
}

/// What to do about a collection's way to another embedding model.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MigrateBody {
    pub(crate) collection: String,
    pub(crate) step: MigrateStep,
    /// Who makes the new vectors: for `estimate`, `fill`, `compare` and `switch`, which need it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<NewEmbedding>)]
    pub(crate) embedding: Option<Object<NewEmbedding>>,
    /// How many numbers they have. As the provider's settings say, or as it answers, if it is not given.
    #[serde(default, deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16000)]
    pub(crate) dim: Option<usize>,
    /// The collection that is filled. Default: the collection's name with `.next` behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
    /// What is replaced is kept under this name. Default: the collection's with `.old` behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) old: Option<String>,
    /// Tokens a second at most: for `estimate`, `fill` and `switch`. Default: as the provider's settings say.
    #[serde(default, deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub(crate) tokens_per_s: Option<u64>,
    /// Tokens in all, then it ends: for `fill` and `switch`. Default: as the provider's settings say.
    #[serde(default, deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub(crate) tokens_max: Option<u64>,
    /// For `estimate`: what a million tokens cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub(crate) price_per_million: Option<f64>,
    /// For `compare`: rows whose texts are asked. Default: 100.
    #[serde(default, deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10000)]
    pub(crate) rows: Option<usize>,
    /// For `compare`: which rows; the same for the same number.
    #[serde(default, deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<u64>,
    /// For `compare`: questions instead of rows. The collection must say who made its vectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 10000)]
    pub(crate) queries: Option<Vec<String>>,
    /// For `compare`: neighbours that are compared. Default: 10.
    #[serde(default, deserialize_with = "whole::maybe", skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1000)]
    pub(crate) k: Option<usize>,
    /// For `compare`: for whom questions are asked, where a tenant is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// For `switch`: leave rows behind that have no text or were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incomplete: Option<bool>,
    /// For `undo` and `drop`: what only the collection that goes has is not wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) yes: Option<bool>,
    /// For `drop`: what was filled and not switched instead; the migration is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) filled: Option<bool>,
    /// Say what there is to do, and do nothing: for all but `estimate` and `compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dry_run: Option<bool>,
}

/// What a step came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub(crate) enum MigrateResult {
    Estimate(Estimated),
    Filled(Box<MigrationStatus>),
    Compared(Comparison),
    Switched(Box<Switched>),
    Differences(Differences),
    Undone(Undone),
    WouldDrop(WouldDrop),
    Dropped(Dropped),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Estimated {
    pub(crate) model: String,
    pub(crate) dim: usize,
    #[serde(flatten)]
    pub(crate) estimate: MigrationEstimate,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WouldDrop {
    pub(crate) name: String,
    /// What only it has; nothing of what was filled, which has nothing of its own.
    #[serde(flatten)]
    pub(crate) differences: Option<Differences>,
}
