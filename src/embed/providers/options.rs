//! A provider as its settings say it: plain data.
//!
//! Invariant: no key stands here, only where it is; an address that could hold one is refused and not repeated.

use super::super::HttpOptions;
use crate::config::{EmbeddingProfile, within};
use crate::error::{Error, Result};
use crate::limits;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// A connection takes no longer than this, however long an answer may.
const CONNECT: Duration = Duration::from_secs(10);
/// A call with all its tries, in times that one request may take.
const TIMEOUTS_OF_CALL: u32 = 5;

/// Rows that a backfill takes together.
const ROWS_MAX: usize = 2_048;

/// A service that makes vectors, behind OpenAI's interface (OpenAI, LiteLLM, vLLM, Ollama, TEI).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderOptions {
    /// Address of the service, what stands before `/v1/embeddings`. Default: none, it must be given. A key does not belong into it.
    pub url: String,
    /// File whose first line is the service's key. Default: none.
    pub key_file: Option<PathBuf>,
    /// Variable of the environment that holds the service's key. Default: none.
    pub key_env: Option<String>,
    /// Numbers of the vectors of its models: a collection of another width is refused when it is made. Default: 0, not known, and
    /// the first answer tells. Leave it so if the models of one service differ.
    pub dimensions: usize,
    /// Texts of one request, 1 to 2,048. Default: 256.
    pub batch: usize,
    /// Requests at a time, 1 to 64; texts of searches come on top. Default: 4.
    pub concurrency: usize,
    /// How long one request may take, in milliseconds. Default: 60,000. A search waits no longer than it has time.
    pub timeout_ms: u64,
    /// Tokens a second at most, by estimate, of all collections together; texts of searches do not count. Default: 0, no limit.
    pub tokens_per_s: u64,
    /// Tokens that are embedded in the background for one collection, by estimate, until the next start; the rest waits. Default: 0,
    /// no limit.
    pub tokens_max: u64,
}

impl Default for ProviderOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            key_file: None,
            key_env: None,
            dimensions: 0,
            batch: 256,
            concurrency: 4,
            timeout_ms: 60_000,
            tokens_per_s: 0,
            tokens_max: 0,
        }
    }
}

impl ProviderOptions {
    /// The service at `url`, all else at its default.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), ..Self::default() }
    }

    /// Refuses an address that may hold a secret. It is not repeated.
    pub(crate) fn check_url(url: &str) -> Result<()> {
        if url.contains(['@', '?', '#']) {
            return Err(Error::invalid(
                "the address of an embedding service holds a name, a password or parameters; give the key by key_file or key_env",
            ));
        }
        Ok(())
    }

    /// Rows that keep all requests busy that may be under way: more would be lost if the process were killed.
    pub(crate) fn rows(&self) -> usize {
        self.batch.saturating_mul(self.concurrency).clamp(1, ROWS_MAX)
    }

    pub(super) fn validate(&self) -> Result<()> {
        Self::check_url(&self.url)?;
        if self.key_file.is_some() && self.key_env.is_some() {
            return Err(Error::invalid("both key_file and key_env; give one"));
        }
        within("dimensions", self.dimensions, 0, limits::DIM_MAX, "0 is not known")?;
        within("timeout_ms", self.timeout_ms, 1, 3_600_000, "60000 is the default")?;
        self.without_key(&EmbeddingProfile::new("any", "any"), None).validate()
    }

    /// How its model is asked for vectors of `dim` numbers. Reads the key.
    pub(super) fn http(&self, profile: &EmbeddingProfile, dim: Option<usize>) -> Result<HttpOptions> {
        let options = self.without_key(profile, dim);
        match (&self.key_file, &self.key_env) {
            (Some(file), _) => options.key_file(file),
            (None, Some(name)) => options.key_env(name),
            (None, None) => Ok(options),
        }
    }

    fn without_key(&self, profile: &EmbeddingProfile, dim: Option<usize>) -> HttpOptions {
        let timeout = Duration::from_millis(self.timeout_ms);
        let options = HttpOptions::new(&self.url, &profile.model)
            .batch(self.batch)
            .concurrency(self.concurrency)
            .timeouts(timeout.min(CONNECT), timeout)
            .patience(timeout * TIMEOUTS_OF_CALL);
        match dim {
            Some(dim) => options.dim(dim),
            None => options,
        }
    }
}
