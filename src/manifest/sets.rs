//! The `sets` file: which slots are live, and which of those have a vector.

use super::format::{BLOCK_BYTES, SETS_BITS, SETS_BLOCKS, SETS_MAGIC, SETS_VERSION, WORD_BYTES};
use crate::disk::{Disk, Named, damaged, read_named_envelope, write_envelope};
use crate::error::Result;
use crate::sets::{SlotBits, WORDS};

/// The sets of one collection.
#[derive(Clone, Default)]
pub(crate) struct Sets {
    pub(crate) live: SlotBits,
    /// Those of `live` that have a vector.
    pub(crate) ready: SlotBits,
}

/// Writes the sets. The caller syncs the folder.
pub(crate) fn write_sets(disk: &dyn Disk, path: &str, sets: &Sets) -> Result<Named> {
    write_envelope(disk, path, SETS_MAGIC, SETS_VERSION, &encode(sets))
}

/// Reads the sets that a manifest names.
pub(crate) fn read_sets(disk: &dyn Disk, path: &str, named: &Named) -> Result<Sets> {
    let (_, body) = read_named_envelope(disk, path, SETS_MAGIC, SETS_VERSION, named)?;
    decode(&body).ok_or_else(|| damaged(path, 0, "it does not hold the blocks that it claims"))
}

pub(super) fn encode(sets: &Sets) -> Vec<u8> {
    let blocks = sets.live.blocks_len();
    let mut body = Vec::with_capacity(SETS_BITS + 2 * blocks * BLOCK_BYTES);
    // No set has more blocks than a slot has numbers for.
    body.extend_from_slice(&(blocks as u32).to_le_bytes());
    body.extend_from_slice(&[0; 4]);
    for set in [&sets.live, &sets.ready] {
        for block in 0..blocks {
            let words = set.words(block).unwrap_or(&[0; WORDS]);
            body.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
    }
    body
}

pub(super) fn decode(body: &[u8]) -> Option<Sets> {
    let blocks = u32::from_le_bytes(*body.get(SETS_BLOCKS..)?.first_chunk()?) as usize;
    let (bits, rest) = body.get(SETS_BITS..)?.as_chunks::<BLOCK_BYTES>();
    let is_whole = bits.len() == blocks.checked_mul(2)? && rest.is_empty();
    if !is_whole || u16::try_from(blocks.saturating_sub(1)).is_err() {
        return None;
    }
    let set = |bits: &[[u8; BLOCK_BYTES]]| {
        SlotBits::of_words(bits.iter().map(|block| {
            let mut words = [0; WORDS];
            for (word, bytes) in words.iter_mut().zip(block.as_chunks::<WORD_BYTES>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            words
        }))
    };
    let (live, ready) = bits.split_at(blocks);
    Some(Sets { live: set(live), ready: set(ready) })
}
