//! A collection goes from one embedding model to another, while it is searched and written to.
//!
//! The vectors of the new model stand in a second collection beside the first, of the same ids, texts, metadata, documents and tenants:
//! `docs.next` beside `docs`. It is filled ([`fill`]), looked at ([`compare`]), and gets the name by one commit ([`switch`]); the first one
//! is kept as `docs.old` until it is dropped, and gets the name back if asked. Invariants: what was acknowledged under the name before the
//! switch is in the collection that has it after, or the switch does not happen; a text is embedded once, whatever is killed in between;
//! nothing is remembered but rows, so that any step may be called again, by anybody.
//!
//! Knows the engine's public API, how two collections differ, and names; no terminal, no database.

mod compare;
mod estimate;
mod fill;
mod switch;
#[cfg(test)]
mod tests;

pub use compare::{Comparison, ComparisonOptions, Queries, SideComparison};
pub use estimate::{MigrationEstimate, MigrationRates};
pub use fill::{MigrationOptions, MigrationState, MigrationStatus};
pub use switch::{Differences, Dropped, SwitchOptions, Switched, Undone};

use crate::config::EmbeddingProfile;
use crate::engine::{Collection, Store};
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::ingest::TokenRate;

/// Ids that are told by name; more are only counted.
const TOLD: usize = 1_000;
/// Rows that are looked at between two looks up.
const PAGE: usize = 1_024;

/// The way of a collection from one embedding model to another.
///
/// Handles to the collection that are held over the switch go on reading what they were opened to, and are refused writes: see
/// [`Collection`].
#[derive(Clone)]
pub struct Migration {
    store: Store,
    name: String,
    next: Option<String>,
    old: String,
    profile: Option<EmbeddingProfile>,
    rate: Option<TokenRate>,
}

impl Migration {
    /// Of the collection that is called `name`.
    pub fn of(store: &Store, name: &str) -> Self {
        Self {
            store: store.clone(),
            name: name.to_owned(),
            next: None,
            old: format!("{name}.old"),
            profile: None,
            rate: None,
        }
    }

    /// The name of the collection that is filled. Default: the collection's with `.next` behind, and a number if that is taken.
    #[must_use]
    pub fn next(self, name: &str) -> Self {
        Self { next: Some(name.to_owned()), ..self }
    }

    /// The name of what is replaced. Default: the collection's with `.old` behind.
    #[must_use]
    pub fn old(self, name: &str) -> Self {
        Self { old: name.to_owned(), ..self }
    }

    /// Who makes the vectors of the collection that is filled, for its schema. Default: nobody is named there.
    #[must_use]
    pub fn profile(self, profile: impl Into<Option<EmbeddingProfile>>) -> Self {
        Self { profile: profile.into(), ..self }
    }

    /// Tokens a second that others keep to as well, beside [`MigrationOptions::tokens_per_s`]. Default: none.
    #[must_use]
    pub fn rate(self, rate: impl Into<Option<TokenRate>>) -> Self {
        Self { rate: rate.into(), ..self }
    }

    /// The name of the collection that is filled, whether it is there or not.
    pub fn next_name(&self) -> String {
        let stem = format!("{}.next", self.name);
        let is_one = |name: &str| {
            let nth = name.strip_prefix(&stem);
            nth.is_some_and(|nth| nth.chars().all(|c| c.is_ascii_digit()))
        };
        let there =
            || self.store.collections().into_iter().map(|c| c.name().to_owned()).find(|name| is_one(name));
        self.next.clone().or_else(there).unwrap_or_else(|| self.store.free_name(&stem, None))
    }

    /// The name of what is replaced.
    pub fn old_name(&self) -> &str {
        &self.old
    }

    fn from(&self) -> Result<Collection> {
        self.store.open_collection(&self.name)
    }

    /// The collection that is filled, if it is there.
    fn next_if_there(&self) -> Result<Option<Collection>> {
        match self.store.open_collection(&self.next_name()) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    fn filled(&self) -> Result<Collection> {
        self.next_if_there()?.ok_or_else(|| {
            let kept = self.store.open_collection(&self.old).is_ok();
            let hint = if kept {
                format!("; {} is there, so it was switched already", excerpt(&self.old))
            } else {
                String::new()
            };
            let message =
                format!("there is no collection {}: fill it first{hint}", excerpt(&self.next_name()));
            Error::new(ErrorKind::NotFound, message)
        })
    }

    fn kept(&self) -> Result<Collection> {
        self.store.open_collection(&self.old).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                let message = format!(
                    "there is no collection {}: nothing was switched, or what it replaced was dropped",
                    excerpt(&self.old)
                );
                Error::new(ErrorKind::NotFound, message)
            }
            _ => e,
        })
    }
}
