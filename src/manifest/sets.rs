//! The `sets` file: which slots are live, which of those have a vector; in a store with a mirror, which are dirty, and the graves.

use super::format::{
    BLOCK_BYTES, GRAVES_HEAD_BYTES, SETS_BITS, SETS_BLOCKS, SETS_MAGIC, SETS_MIRRORED_VERSION, SETS_VERSION,
    WORD_BYTES,
};
use crate::disk::{Disk, Named, damaged, read_named_envelope, write_envelope};
use crate::error::Result;
use crate::ids::ChunkId;
use crate::record::{Grave, encode_grave, parse_grave};
use crate::sets::{SlotBits, WORDS};

/// The sets of one collection.
#[derive(Clone, Default)]
pub(crate) struct Sets {
    pub(crate) live: SlotBits,
    /// Those of `live` that have a vector.
    pub(crate) ready: SlotBits,
    /// Nothing in a store that was never attached to a database.
    pub(crate) marked: Option<Marked>,
}

/// What the mirror has to know of one collection.
#[derive(Clone, Default)]
pub(crate) struct Marked {
    /// Those of `live` that the database does not know yet.
    pub(crate) dirty: SlotBits,
    /// By id, ascending.
    pub(crate) graves: Vec<(ChunkId, Grave)>,
}

/// Writes the sets. The caller syncs the folder.
pub(crate) fn write_sets(disk: &dyn Disk, path: &str, sets: &Sets) -> Result<Named> {
    let version = if sets.marked.is_some() { SETS_MIRRORED_VERSION } else { SETS_VERSION };
    write_envelope(disk, path, SETS_MAGIC, version, &encode(sets))
}

/// Reads the sets that a manifest names.
pub(crate) fn read_sets(disk: &dyn Disk, path: &str, named: &Named) -> Result<Sets> {
    let (version, body) = read_named_envelope(disk, path, SETS_MAGIC, SETS_MIRRORED_VERSION, named)?;
    decode(version, &body).ok_or_else(|| damaged(path, 0, "it does not hold the blocks that it claims"))
}

pub(super) fn encode(sets: &Sets) -> Vec<u8> {
    let blocks = sets.live.blocks_len();
    let mut body = Vec::with_capacity(SETS_BITS + 3 * blocks * BLOCK_BYTES);
    // No set has more blocks than a slot has numbers for.
    body.extend_from_slice(&(blocks as u32).to_le_bytes());
    body.extend_from_slice(&[0; 4]);
    let dirty = sets.marked.as_ref().map(|marked| &marked.dirty);
    for set in [Some(&sets.live), Some(&sets.ready), dirty].into_iter().flatten() {
        for block in 0..blocks {
            let words = set.words(block).unwrap_or(&[0; WORDS]);
            body.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
    }
    if let Some(marked) = &sets.marked {
        body.extend_from_slice(&(marked.graves.len() as u32).to_le_bytes());
        body.extend_from_slice(&[0; 4]);
        marked.graves.iter().for_each(|(id, grave)| encode_grave(id, grave, &mut body));
    }
    body
}

pub(super) fn decode(version: u32, body: &[u8]) -> Option<Sets> {
    let is_mirrored = version == SETS_MIRRORED_VERSION;
    let blocks = u32::from_le_bytes(*body.get(SETS_BLOCKS..)?.first_chunk()?) as usize;
    if u16::try_from(blocks.saturating_sub(1)).is_err() {
        return None;
    }
    let sets_len = if is_mirrored { 3 } else { 2 };
    let (bits, rest) = body.get(SETS_BITS..)?.split_at_checked(sets_len * blocks * BLOCK_BYTES)?;
    let mut sets = bits.as_chunks::<BLOCK_BYTES>().0.chunks(blocks.max(1)).map(set_of);
    let (live, ready) = (sets.next().unwrap_or_default(), sets.next().unwrap_or_default());
    let marked = if is_mirrored {
        Some(Marked { dirty: sets.next().unwrap_or_default(), graves: graves_of(rest)? })
    } else {
        rest.is_empty().then_some(None)?
    };
    Some(Sets { live, ready, marked })
}

fn set_of(bits: &[[u8; BLOCK_BYTES]]) -> SlotBits {
    SlotBits::of_words(bits.iter().map(|block| {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(block.as_chunks::<WORD_BYTES>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        words
    }))
}

/// Graves in order, and nothing after them.
fn graves_of(body: &[u8]) -> Option<Vec<(ChunkId, Grave)>> {
    let (head, mut rest) = body.split_first_chunk::<GRAVES_HEAD_BYTES>()?;
    let count = u32::from_le_bytes(*head.first_chunk()?);
    let mut graves: Vec<(ChunkId, Grave)> = Vec::new();
    for _ in 0..count {
        let grave = parse_grave(&mut rest)?;
        if graves.last().is_some_and(|(before, _)| *before >= grave.0) {
            return None;
        }
        graves.push(grave);
    }
    rest.is_empty().then_some(graves)
}
