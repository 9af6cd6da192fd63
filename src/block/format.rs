//! Constants of the two files of a block: `.rows` and `.codes`. Both are sections; their descriptions are JSON.

use crate::codes::Form;
use serde::{Deserialize, Serialize};

pub(super) const ROWS_MAGIC: [u8; 8] = *b"NFrows\r\n";
pub(super) const ROWS_VERSION: u32 = 1;

/// What a `.rows` file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowsHead {
    /// The collection's number.
    pub(crate) collection: u32,
    pub(crate) block: u16,
    pub(crate) dim: u32,
    pub(crate) rows: u32,
}

/// Sections of `.rows`.
pub(super) const VECTORS: usize = 0;
pub(super) const INDEX: usize = VECTORS + 1;
pub(super) const BODIES: usize = INDEX + 1;
pub(super) const ROWS_SECTIONS: usize = BODIES + 1;

pub(super) const FLOAT_BYTES: usize = size_of::<f32>();

/// An entry of the index.
pub(super) const BODY_OFFSET: usize = 0;
pub(super) const ID_HASH: usize = BODY_OFFSET + 8;
pub(super) const BODY_BYTES: usize = ID_HASH + 8;
pub(super) const INDEX_ZERO: usize = BODY_BYTES + 4;
pub(super) const INDEX_BYTES: usize = INDEX_ZERO + 4;
const _: () = assert!(INDEX_BYTES == 24);

pub(super) const CODES_MAGIC: [u8; 8] = *b"NFcode\r\n";
pub(super) const CODES_VERSION: u32 = 1;

/// What a `.codes` file says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CodesHead {
    /// The collection's number.
    pub(crate) collection: u32,
    pub(crate) block: u16,
    pub(crate) dim: u32,
    pub(crate) rows: u32,
    /// Which codec of the collection: one more each time that it was trained anew.
    pub(crate) codec: u32,
    pub(crate) form: Form,
    pub(crate) cosine: bool,
    /// An `f32`, exactly.
    pub(crate) scale: f64,
    /// Bytes of a code.
    pub(crate) stride: u32,
    /// Whether rows have terms.
    pub(crate) terms: bool,
}

/// Sections of `.codes`.
pub(super) const CENTER: usize = 0;
pub(super) const CODES: usize = CENTER + 1;
pub(super) const TERMS: usize = CODES + 1;
pub(super) const CODES_SECTIONS: usize = TERMS + 1;

/// `factor` and `offset` of a row.
pub(super) const TERMS_PER_ROW: usize = 2;
