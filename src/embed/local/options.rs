//! How a local model is to be run.

use crate::config::within;
use crate::error::Result;
use crate::limits;

const THREADS_MAX: usize = 256;
/// The two that stand around a text, and one of its own.
const TOKENS_MIN: usize = 3;

/// How a [`LocalEmbedder`](super::LocalEmbedder) is to run its model. Each option has a default.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    pub(super) threads: usize,
    pub(super) max_tokens: Option<usize>,
    pub(super) refuse_long: bool,
    pub(super) name: Option<String>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self { threads: 1, max_tokens: None, refuse_long: false, name: None }
    }
}

impl LocalOptions {
    /// Threads that work on one call, the caller's among them; 1 is the default. None outlives the call.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Fewer tokens of a text than the model can take: a text costs less, and what comes after is not looked at.
    #[must_use]
    pub fn max_tokens(mut self, max_tokens: usize) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    /// Whether a text that is too long is an error; by default what comes after is not looked at.
    #[must_use]
    pub fn refuse_long(mut self, refuse_long: bool) -> Self {
        self.refuse_long = refuse_long;
        self
    }

    /// What the model is called; the folder's name is the default. A hash of the model follows it.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn validate(&self) -> Result<()> {
        within("threads", self.threads, 1, THREADS_MAX, "1 is the default")?;
        if let Some(name) = &self.name {
            within(
                "the model's name in bytes",
                name.len(),
                1,
                limits::ID_BYTES_MAX / 2,
                "give a shorter one",
            )?;
        }
        let tokens = self.max_tokens.unwrap_or(TOKENS_MIN);
        within("max_tokens", tokens, TOKENS_MIN, usize::MAX, "the model's own maximum is the default")
    }
}
