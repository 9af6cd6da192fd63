//! The order of sections in a checkpoint of the lists, and what its description says.
//!
//! Cells stand in the file as in memory: the complement of a slot, 0 for none.

use super::levels::LEVEL_MAX;
use serde::{Deserialize, Serialize};

pub(super) const MAGIC: [u8; 8] = *b"NFLINKS\0";
pub(super) const VERSION: u32 = 1;

/// Sections of a block: the lists of level 0 and of each level above, the next twins, bits that say where a chain starts.
pub(super) const LEVELS: usize = 0;
pub(super) const NEXT_TWINS: usize = LEVELS + LEVEL_MAX as usize + 1;
pub(super) const HEADS: usize = NEXT_TWINS + 1;
/// Those that a graph has in memory.
pub(super) const ARRAYS: usize = HEADS + 1;
/// Bits that say which slots were linked when the file was written.
pub(super) const LINKED: usize = ARRAYS;
pub(super) const SECTIONS: usize = LINKED + 1;
const _: () = assert!(SECTIONS == 8);

/// Slots in one cell of bits.
pub(super) const CELL_SLOTS: usize = 32;
pub(super) const CELL_BYTES: usize = 4;

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Description {
    pub(super) m: usize,
    /// Where walks start, and its level.
    pub(super) entry: Option<u32>,
    pub(super) level: u8,
    /// Slots of each block; 0 where it was dropped.
    pub(super) rows: Vec<usize>,
}
