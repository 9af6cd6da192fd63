//! The `sets` file: which slots are live.

use super::format::{BLOCK_BYTES, SETS_BITS, SETS_BLOCKS, SETS_MAGIC, SETS_VERSION, WORD_BYTES};
use crate::disk::{Disk, Named, damaged, read_named_envelope, write_envelope};
use crate::error::Result;
use crate::sets::{SlotBits, WORDS};

/// Writes the set. The caller syncs the folder.
pub(crate) fn write_sets(disk: &dyn Disk, path: &str, live: &SlotBits) -> Result<Named> {
    write_envelope(disk, path, SETS_MAGIC, SETS_VERSION, &encode(live))
}

/// Reads the set that a manifest names.
pub(crate) fn read_sets(disk: &dyn Disk, path: &str, named: &Named) -> Result<SlotBits> {
    let (_, body) = read_named_envelope(disk, path, SETS_MAGIC, SETS_VERSION, named)?;
    decode(&body).ok_or_else(|| damaged(path, 0, "it does not hold the blocks that it claims"))
}

pub(super) fn encode(live: &SlotBits) -> Vec<u8> {
    let blocks = live.blocks_len();
    let mut body = Vec::with_capacity(SETS_BITS + blocks * BLOCK_BYTES);
    // No set has more blocks than a slot has numbers for.
    body.extend_from_slice(&(blocks as u32).to_le_bytes());
    body.extend_from_slice(&[0; 4]);
    for words in (0..blocks).filter_map(|block| live.words(block)) {
        body.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    body
}

pub(super) fn decode(body: &[u8]) -> Option<SlotBits> {
    let blocks = u32::from_le_bytes(*body.get(SETS_BLOCKS..)?.first_chunk()?) as usize;
    let (bits, rest) = body.get(SETS_BITS..)?.as_chunks::<BLOCK_BYTES>();
    if bits.len() != blocks || !rest.is_empty() || u16::try_from(blocks.saturating_sub(1)).is_err() {
        return None;
    }
    Some(SlotBits::of_words(bits.iter().map(|block| {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<WORD_BYTES>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        words
    })))
}
