//! Whom to ask, for what, and how patiently.
//!
//! Invariant: the key is shown nowhere: not in debug output, not in errors.

use crate::config::within;
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::limits;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Inputs of one request: OpenAI's limit.
const BATCH_MAX: usize = 2_048;
const CONCURRENCY_MAX: usize = 64;
/// Longer than any key there is.
const KEY_BYTES_MAX: usize = 4_096;

/// A model behind an OpenAI-compatible address (OpenAI, LiteLLM, vLLM, Ollama, TEI). All but the address and the model has a default.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    pub(super) base_url: String,
    pub(super) model: String,
    pub(super) dim: Option<usize>,
    pub(super) asks_dim: bool,
    pub(super) key: Option<Key>,
    pub(super) batch: usize,
    pub(super) batch_tokens: usize,
    pub(super) concurrency: usize,
    pub(super) connect: Duration,
    pub(super) request: Duration,
    pub(super) total: Duration,
    pub(super) backoff_ms: (u64, u64),
    pub(super) tries: u32,
    pub(super) normalized: bool,
}

/// A secret.
#[derive(Clone)]
pub(super) struct Key(String);

impl Key {
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl HttpOptions {
    /// The model `model` at `base_url`, which is what stands before `/v1/embeddings`; with or without its `/v1`.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            dim: None,
            asks_dim: false,
            key: None,
            batch: 256,
            batch_tokens: 100_000,
            concurrency: 4,
            connect: Duration::from_secs(10),
            request: Duration::from_secs(60),
            total: Duration::from_secs(300),
            backoff_ms: (500, 30_000),
            tries: 8,
            normalized: false,
        }
    }

    /// How wide its vectors are. Default: one text is embedded to see it.
    #[must_use]
    pub fn dim(mut self, dim: usize) -> Self {
        self.dim = Some(dim);
        self
    }

    /// Asks the model to shorten its vectors to this width. Not every model can. Default: not asked for.
    #[must_use]
    pub fn shortened_to(mut self, dim: usize) -> Self {
        (self.dim, self.asks_dim) = (Some(dim), true);
        self
    }

    /// The key that is sent as a bearer token. Default: none.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(Key(key.into()));
        self
    }

    /// The same from the first line of a file.
    pub fn key_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| {
            Error::new(ErrorKind::NotFound, format!("the key's file {} cannot be read", path.display()))
                .with_source(e)
        })?;
        Ok(self.key(text.lines().next().unwrap_or_default().trim()))
    }

    /// The same from a variable of the environment.
    pub fn key_env(self, name: &str) -> Result<Self> {
        match std::env::var(name) {
            Ok(key) if !key.trim().is_empty() => Ok(self.key(key.trim())),
            _ => Err(Error::new(
                ErrorKind::NotFound,
                format!("{name} holds no key; set it to the service's key"),
            )),
        }
    }

    /// Texts of one request, 1 to 2,048. Default: 256.
    #[must_use]
    pub fn batch(mut self, texts: usize) -> Self {
        self.batch = texts;
        self
    }

    /// Tokens of one request, about; a longer text goes alone. Default: 100,000.
    #[must_use]
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = tokens;
        self
    }

    /// Requests at a time, 1 to 64. Default: 4.
    #[must_use]
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests;
        self
    }

    /// How long a connection may take to be made, and one request to be answered. Defaults: 10 s and 60 s.
    #[must_use]
    pub fn timeouts(mut self, connect: Duration, request: Duration) -> Self {
        (self.connect, self.request) = (connect, request);
        self
    }

    /// How long one call may take, with all its requests, waits and tries. Default: 300 s.
    #[must_use]
    pub fn patience(mut self, total: Duration) -> Self {
        self.total = total;
        self
    }

    /// Times that a request is sent at most, and the shortest and the longest wait between two, unless the service names one.
    /// Defaults: 8 times, 0.5 s growing to 30 s.
    #[must_use]
    pub fn tries(mut self, tries: u32, wait_min: Duration, wait_max: Duration) -> Self {
        let ms = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        (self.tries, self.backoff_ms) = (tries, (ms(wait_min), ms(wait_max)));
        self
    }

    /// Brings vectors to length one. Default: they stay as the model made them.
    #[must_use]
    pub fn normalized(mut self, normalized: bool) -> Self {
        self.normalized = normalized;
        self
    }

    /// Refuses what cannot work, with the reason.
    pub(in crate::embed) fn validate(&self) -> Result<()> {
        self.address()?;
        if self.model.is_empty() || self.model.len() > limits::ID_BYTES_MAX {
            let (n, max) = (self.model.len(), limits::ID_BYTES_MAX);
            return Err(Error::invalid(format!("the model's name has {n} bytes; it must have 1 to {max}")));
        }
        if let Some(dim) = self.dim {
            within("dim", dim, 1, limits::DIM_MAX, "ask the model for shorter vectors")?;
        }
        within("batch", self.batch, 1, BATCH_MAX, "services refuse more texts in a request")?;
        within("batch_tokens", self.batch_tokens, 1, usize::MAX, "100000 is the default")?;
        within("concurrency", self.concurrency, 1, CONCURRENCY_MAX, "4 is the default")?;
        within("tries", self.tries as usize, 1, 100, "8 is the default")?;
        let Some(Key(key)) = &self.key else { return Ok(()) };
        let is_header = key.bytes().all(|b| b.is_ascii_graphic());
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !is_header {
            // It is a secret even where it is wrong.
            let n = key.len();
            return Err(Error::invalid(format!(
                "the key ({n} bytes) is empty, too long, or has characters that no header can carry; check its file or variable"
            )));
        }
        Ok(())
    }

    /// Where requests go.
    pub(super) fn address(&self) -> Result<String> {
        let base = self.base_url.trim_end_matches('/');
        let rest = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"));
        let host = rest.map(|rest| rest.split('/').next().unwrap_or_default());
        match host {
            Some(host) if host.contains('@') => Err(Error::invalid(
                "the address of the embedding service holds a name or password; give the key by a file or a variable",
            )),
            Some(host) if !host.is_empty() && !base.contains(['?', '#', ' ']) => {
                let base = base.strip_suffix("/v1").unwrap_or(base);
                Ok(format!("{base}/v1/embeddings"))
            }
            _ => Err(Error::invalid(format!(
                "{} is no address of an embedding service; write it like https://api.openai.com",
                excerpt(&self.base_url)
            ))),
        }
    }
}
