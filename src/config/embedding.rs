//! Who makes the vectors of a collection's texts: two names. What they stand for is known where embedders are.

use super::within;
use crate::error::{Error, Result, excerpt};
use crate::limits;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The provider and the model that make the vectors of a collection's texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingProfile {
    /// A provider's name, as the settings have it: a lower-case letter, then lower-case letters, digits, `-` and `_`; 1 to 64 bytes. Default:
    /// none, it must be given. `hashed` is built in.
    pub provider: String,
    /// What the provider calls the model, 1 to 512 bytes. Default: none, it must be given.
    pub model: String,
}

impl EmbeddingProfile {
    /// The model `model` of `provider`.
    pub fn new(provider: impl Into<String>, model: impl Into<String>) -> Self {
        Self { provider: provider.into(), model: model.into() }
    }

    /// Refuses names that cannot work, with the reason.
    pub(crate) fn validate(&self) -> Result<()> {
        check_provider(&self.provider)?;
        let name = "bytes of the embedding model's name";
        within(name, self.model.len(), 1, limits::ID_BYTES_MAX, "name the model as its provider does")?;
        if self.model.chars().any(char::is_control) || self.model.trim() != self.model {
            return Err(Error::invalid(format!(
                "the embedding model's name {} has spaces around it or characters that cannot be seen; leave them out",
                excerpt(&self.model)
            )));
        }
        Ok(())
    }
}

impl fmt::Display for EmbeddingProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.model, self.provider)
    }
}

/// Refuses a provider's name that no section of settings can have.
pub(crate) fn check_provider(name: &str) -> Result<()> {
    let is_plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    if is_plain
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= limits::PROVIDER_BYTES_MAX
    {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} is no provider's name; it has 1 to {} bytes: a lower-case letter, then lower-case letters, digits, - and _",
        excerpt(name),
        limits::PROVIDER_BYTES_MAX
    )))
}
