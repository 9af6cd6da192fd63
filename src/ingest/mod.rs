//! From files to chunks: which files of a folder are meant, the text that a file holds, where it is cut, and what of it is new.
//!
//! Owns extraction, the cuts and the metadata that they leave; a document's life in a collection is in `document.rs`. Invariants: a
//! file, however damaged, costs itself alone; a document changes in one commit, and what did not change is not embedded again.
//!
//! Knows the engine's public API and writes on a condition; no terminal, no HTTP.

mod backfill;
mod decode;
mod document;
mod extract;
mod folder;
mod follow;
mod html;
mod kind;
mod migrate;
mod pack;
mod pdf;
mod sections;
mod sentences;
#[cfg(test)]
mod tests;

pub use backfill::{Backfill, BackfillOptions, BackfillState, BackfillStatus, ParkedRow, TokenRate};
pub use document::{DocumentReport, Documents};
pub use extract::{Content, Cut};
pub use folder::{FolderOptions, Found, FoundFile, find_files};
pub use follow::{Follow, FollowReport};
#[cfg_attr(not(feature = "server"), allow(unused_imports, reason = "the command line is their user"))]
pub(crate) use follow::{is_of_file, remove_gone};
pub use kind::Kind;
pub use migrate::{
    Comparison, ComparisonOptions, Differences, Dropped, Migration, MigrationEstimate, MigrationOptions,
    MigrationRates, MigrationState, MigrationStatus, Queries, SideComparison, SwitchOptions, Switched,
    Undone,
};

use crate::config::within;
use crate::embed::Embedder;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Tokens of a chunk: below, a chunk says nothing; above, no model reads it.
const TOKENS_MIN: usize = 16;
const TOKENS_MAX: usize = 32_768;

/// How large chunks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chunking {
    /// Tokens of a chunk at most, by [`estimate_tokens`](crate::estimate_tokens): 16 to 32,768. Default: 384, which models of 512 tokens take.
    pub tokens: usize,
    /// Tokens of the chunk before that a chunk repeats at most, in whole sentences; at most half of `tokens`. Default: 48.
    pub overlap: usize,
}

impl Default for Chunking {
    fn default() -> Self {
        Self { tokens: 384, overlap: 48 }
    }
}

impl Chunking {
    /// The default, or less for a model that reads less: three quarters of what it reads, because tokens are estimated, and an eighth of that
    /// repeats.
    #[must_use]
    pub fn for_model(embedder: &dyn Embedder) -> Self {
        let default = Self::default();
        let most = embedder.tokens_max().map_or(default.tokens, |max| max / 4 * 3);
        let tokens = default.tokens.min(most).max(TOKENS_MIN);
        Self { tokens, overlap: tokens / 8 }
    }

    pub(crate) fn validate(&self) -> Result<()> {
        within("tokens", self.tokens, TOKENS_MIN, TOKENS_MAX, "384 is the default")?;
        within("overlap", self.overlap, 0, self.tokens / 2, "48 is the default")
    }
}
