//! Constants of a file of words. It is sections; its description is JSON.

use serde::{Deserialize, Serialize};

pub(super) const MAGIC: [u8; 8] = *b"NFtext\r\n";
pub(super) const VERSION: u32 = 1;

/// How this crate cuts texts into words: one more whenever that changes.
pub(super) const ANALYZER: u32 = 1;

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    /// The collection's number.
    pub(super) collection: u32,
    pub(super) block: u16,
    /// Places in the block that it covers, and the one after.
    pub(super) first: u32,
    pub(super) end: u32,
    pub(super) language: String,
    pub(super) analyzer: u32,
    /// The version of tantivy's own format.
    pub(super) engine: u32,
    /// Words of all texts.
    pub(super) tokens: u64,
    /// Names, each of a section after the first.
    pub(super) files: Vec<String>,
}

/// Section 0: the place in its block of each document's row, ascending.
pub(super) const PLACES: usize = 0;
pub(super) const PLACE_BYTES: usize = size_of::<u16>();

/// Files of tantivy that one segment has, at most.
pub(super) const FILES_MAX: usize = 64;
