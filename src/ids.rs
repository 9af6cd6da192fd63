//! A newtype for every number that names something, and the id of a chunk.
//!
//! A slot is never reused; its high 16 bits are its block, so a block of 65,536 slots is one Roaring container.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Slots in a block.
pub(crate) const BLOCK_SLOTS: usize = 1 << 16;

/// A row's name inside one collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    pub(crate) const fn new(block: BlockId, index: u16) -> Self {
        Self((block.0 as u32) << 16 | index as u32)
    }

    pub(crate) const fn block(self) -> BlockId {
        BlockId((self.0 >> 16) as u16)
    }

    pub(crate) const fn index(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// The slot after it, where a block has `block_slots`.
    pub(crate) const fn following(self, block_slots: usize) -> Self {
        if self.index() + 1 < block_slots { Self(self.0 + 1) } else { Self(((self.0 >> 16) + 1) << 16) }
    }
}

/// A block of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockId(pub(crate) u16);

impl BlockId {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A floor of the graph; 0 holds every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Level(pub(crate) u8);

/// Local commit sequence number: one more per batch, never back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Version of a row, a hybrid logical clock: `unix_ms << 16 | counter`. The higher one wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ver(pub(crate) i64);

/// The user's name of a chunk: 1 to 512 bytes of UTF-8. Up to 22 bytes are kept without an allocation.
#[derive(Clone)]
pub struct ChunkId(Repr);

const INLINE_BYTES_MAX: usize = 22;

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE_BYTES_MAX] },
    Heap(Box<str>),
}

const _: () = assert!(size_of::<ChunkId>() == 24);

impl ChunkId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // The bytes came from a `&str`, so the check never fails; it costs less than an allocation would.
            Repr::Inline { len, bytes } => std::str::from_utf8(&bytes[..*len as usize]).unwrap_or_default(),
            Repr::Heap(s) => s,
        }
    }

    /// Bytes on the heap, beyond the value itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Inline { .. } => 0,
            Repr::Heap(s) => s.len(),
        }
    }
}

impl From<&str> for ChunkId {
    fn from(s: &str) -> Self {
        let len = s.len();
        if len > INLINE_BYTES_MAX {
            return Self(Repr::Heap(s.into()));
        }
        let mut bytes = [0; INLINE_BYTES_MAX];
        bytes[..len].copy_from_slice(s.as_bytes());
        Self(Repr::Inline { len: len as u8, bytes })
    }
}

impl std::borrow::Borrow<str> for ChunkId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl std::ops::Deref for ChunkId {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for ChunkId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}
impl Eq for ChunkId {}
impl PartialEq<str> for ChunkId {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}
impl PartialEq<&str> for ChunkId {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}
impl PartialOrd for ChunkId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ChunkId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}
impl std::hash::Hash for ChunkId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}
impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
impl Serialize for ChunkId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_its_block_and_its_index() {
        let slot = Slot::new(BlockId(0x1234), 0xabcd);
        assert_eq!((slot.0, slot.block(), slot.index()), (0x1234_abcd, BlockId(0x1234), 0xabcd));
    }

    #[test]
    fn chunk_ids_keep_their_text_on_both_sides_of_the_inline_limit() {
        for len in [1, INLINE_BYTES_MAX - 1, INLINE_BYTES_MAX, INLINE_BYTES_MAX + 1, 512] {
            let text: String = "x\u{e9}z".chars().cycle().take(len).collect();
            assert_eq!(ChunkId::from(text.as_str()).as_str(), text);
        }
    }
}
