//! Dense immutable sets of slots, one bit each, block by block.

use crate::ids::{BLOCK_SLOTS, BlockId, Slot};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Words of a block.
pub(crate) const WORDS: usize = BLOCK_SLOTS / 64;

/// The slots of one block.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BlockBits(Box<[u64; WORDS]>);

impl Default for BlockBits {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl BlockBits {
    pub(crate) fn words_mut(&mut self) -> &mut [u64; WORDS] {
        &mut self.0
    }

    #[inline(always)]
    pub(crate) fn contains(&self, index: usize) -> bool {
        self.0[index / 64 % WORDS] >> (index % 64) & 1 == 1
    }

    fn set(&mut self, index: usize, value: bool) {
        let (word, bit) = (&mut self.0[index / 64 % WORDS], 1u64 << (index % 64));
        *word = if value { *word | bit } else { *word & !bit };
    }

    fn count(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }
}

/// An immutable set of slots. Cloning shares everything.
#[derive(Clone, Default)]
pub(crate) struct SlotBits {
    blocks: Vec<Arc<BlockBits>>,
    len: usize,
}

impl SlotBits {
    /// The set whose blocks are `blocks`, in order.
    pub(crate) fn of_blocks(blocks: Vec<Arc<BlockBits>>) -> Self {
        let len = blocks.iter().map(|b| b.count()).sum();
        Self { blocks, len }
    }

    /// The first so many slots of each block.
    #[cfg(test)]
    pub(crate) fn of_rows(rows: &[usize]) -> Self {
        let first = |rows: &usize| {
            let mut bits = BlockBits::default();
            for (at, word) in bits.0.iter_mut().enumerate() {
                let left = rows.saturating_sub(at * 64);
                *word = if left < 64 { (1 << left) - 1 } else { u64::MAX };
            }
            Arc::new(bits)
        };
        Self::of_blocks(rows.iter().map(first).collect())
    }

    /// The slots of `roaring`.
    pub(crate) fn of_roaring(roaring: &RoaringBitmap) -> Self {
        let mut blocks: Vec<BlockBits> = Vec::new();
        for slot in roaring.iter().map(Slot) {
            let block = slot.block().index();
            if blocks.len() <= block {
                blocks.resize_with(block + 1, BlockBits::default);
            }
            blocks[block].set(slot.index(), true);
        }
        Self { blocks: blocks.into_iter().map(Arc::new).collect(), len: roaring.len() as usize }
    }

    /// The set whose blocks have these words, in order.
    pub(crate) fn of_words(blocks: impl Iterator<Item = [u64; WORDS]>) -> Self {
        Self::of_blocks(blocks.map(|words| Arc::new(BlockBits(Box::new(words)))).collect())
    }

    /// The bits of block `block`, the lowest slot in the lowest bit of the first word.
    pub(crate) fn words(&self, block: usize) -> Option<&[u64; WORDS]> {
        self.blocks.get(block).map(|bits| &*bits.0)
    }

    /// Blocks, up to the last that ever held a slot.
    pub(crate) fn blocks_len(&self) -> usize {
        self.blocks.len()
    }

    /// How many slots.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many slots of one block.
    pub(crate) fn count_in(&self, block: BlockId) -> usize {
        self.blocks.get(block.index()).map_or(0, |b| b.count())
    }

    #[inline(always)]
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.blocks.get(slot.block().index()).is_some_and(|b| b.contains(slot.index()))
    }

    /// The slots of both sets.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let both = self.blocks.iter().zip(&other.blocks).map(|(a, b)| {
            let mut bits = BlockBits::default();
            for (word, (x, y)) in bits.0.iter_mut().zip(a.0.iter().zip(b.0.iter())) {
                *word = x & y;
            }
            Arc::new(bits)
        });
        Self::of_blocks(both.collect())
    }

    /// The set after `added` came and `removed` went.
    pub(crate) fn with(&self, added: &[Slot], removed: &[Slot]) -> Self {
        let mut set = self.clone();
        for (slots, value) in [(added, true), (removed, false)] {
            for &slot in slots {
                let block = slot.block().index();
                if set.blocks.len() <= block {
                    set.blocks.resize_with(block + 1, Arc::default);
                }
                if set.contains(slot) != value {
                    // Copies the block the first time only: from then on nobody else holds it.
                    Arc::make_mut(&mut set.blocks[block]).set(slot.index(), value);
                    set.len = if value { set.len + 1 } else { set.len - 1 };
                }
            }
        }
        set
    }

    /// The slots in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.iter_from(Slot(0))
    }

    /// The slots at or after `from`, in ascending order.
    pub(crate) fn iter_from(&self, from: Slot) -> impl Iterator<Item = Slot> + '_ {
        let first = from.block().index();
        self.blocks.iter().enumerate().skip(first).flat_map(move |(block, bits)| {
            let skip = if block == first { from.index() } else { 0 };
            bits.0.iter().enumerate().skip(skip / 64).flat_map(move |(at, &word)| {
                let mut word = if at == skip / 64 { word & u64::MAX << (skip % 64) } else { word };
                std::iter::from_fn(move || {
                    let bit = word.trailing_zeros();
                    (word != 0).then(|| {
                        word &= word - 1;
                        Slot::new(BlockId(block as u16), (at as u32 * 64 + bit) as u16)
                    })
                })
            })
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.blocks.len() * size_of::<[u64; WORDS]>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_first_rows_of_each_block() {
        let rows = [3, 0, 64, BLOCK_SLOTS, 65];
        let set = SlotBits::of_rows(&rows);
        let slots = rows.iter().zip(0u32..).flat_map(|(n, b)| (0..*n as u32).map(move |i| Slot(b << 16 | i)));
        assert!(set.iter().eq(slots));
        assert_eq!(set.len(), rows.iter().sum::<usize>());
    }

    fn slots() -> impl Strategy<Value = Vec<Slot>> {
        let slot = prop_oneof![0u32..200, 65_500..65_600u32, Just(3 << 16 | 0xffff)];
        proptest::collection::vec(slot.prop_map(Slot), 0..60)
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(first in slots(), added in slots(), removed in slots(), other in slots()) {
            let before = SlotBits::default().with(&first, &[]);
            let after = before.with(&added, &removed);
            let mut model: BTreeSet<Slot> = first.iter().copied().collect();
            prop_assert_eq!(before.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            model.extend(added.iter().copied());
            for slot in &removed {
                model.remove(slot);
            }
            prop_assert_eq!(after.iter().collect::<BTreeSet<_>>(), model.clone());
            prop_assert_eq!(after.len(), model.len());
            // The old set is untouched.
            prop_assert_eq!(before.len(), first.iter().collect::<BTreeSet<_>>().len());
            let other_set: BTreeSet<Slot> = other.iter().copied().collect();
            let roaring = RoaringBitmap::from_iter(other.iter().map(|s| s.0));
            let both = after.and(&SlotBits::of_roaring(&roaring));
            prop_assert_eq!(both.iter().collect::<BTreeSet<_>>(), model.intersection(&other_set).copied().collect());
            prop_assert!(model.iter().all(|&s| after.contains(s)));
            for from in added.iter().chain(&removed).copied() {
                prop_assert!(after.iter_from(from).eq(model.range(from..).copied()));
            }
        }
    }
}
