//! Settings: the defaults, and above them a file, the environment and the flags, in this order.
//!
//! Owns which value holds and where it came from; what a value means is known where its struct is declared. Invariants: a name that
//! is no setting is refused with the nearest one that is; every value is checked by its own type as it comes in, so that an
//! error names the setting, the value and the place; a secret is never told.

mod explain;
mod layers;
mod log;
mod named;
mod units;

pub(super) use explain::{Entry, TEMPLATE, entries};
#[cfg(test)]
use layers::flat;
pub(super) use layers::{Loaded, Place, Sources};
pub(super) use log::{Log, LogFormat, LogLevel};
pub(super) use units::Unit;

#[cfg(feature = "mirror")]
use crate::MirrorOptions;
use crate::{Options, ProviderOptions, Providers, Result, server};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that can be set, as the file's sections have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Settings {
    /// How the store uses the machine.
    pub(super) store: Options,
    /// How the mirror goes about its work, and where its database is.
    #[cfg(feature = "mirror")]
    pub(super) mirror: MirrorOptions,
    /// Who may ask the server, and for how much.
    pub(super) server: server::Options,
    /// What a server tells.
    pub(super) log: Log,
    /// Who makes vectors of texts, by the names that collections have for them.
    pub(super) embedding: BTreeMap<String, ProviderOptions>,
}

/// The section whose parts have names that people give.
const EMBEDDING: &str = "embedding";
/// What stands for such a name where all settings are explained.
pub(super) const EXAMPLE: &str = "openai";

impl Settings {
    /// The providers of embeddings, checked.
    pub(super) fn providers(&self) -> Result<Providers> {
        Providers::new(self.embedding.clone())
    }
}

/// The one setting that is never told; its struct does not write it out.
const SECRET: &str = "mirror.database.url";

/// Whether a setting must not be told.
pub(super) fn is_secret(key: &str) -> bool {
    key == SECRET
}

/// Whether a change of the setting takes effect in a server that runs. A store keeps the options that it was opened with.
pub(super) fn is_live(key: &str) -> bool {
    key.starts_with("server.limits.") || key == "log.level"
}

#[cfg(test)]
mod tests;
