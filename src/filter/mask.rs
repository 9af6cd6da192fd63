//! A dense set of the rows of one block: 8 KiB, whatever is in it. Set algebra on it is a loop the compiler widens.

use crate::ids::BLOCK_SLOTS;

pub(super) const WORDS: usize = BLOCK_SLOTS / 64;

/// Bit `i % 64` of word `i / 64` is the row with index `i` in its block.
pub(crate) type BlockMask = [u64; WORDS];

pub(super) const EMPTY: BlockMask = [0; WORDS];

pub(super) fn set(mask: &mut BlockMask, row: u16) {
    // A u16 divided by 64 is below `WORDS`, and the compiler knows.
    mask[usize::from(row / 64)] |= 1 << (row % 64);
}

pub(super) fn set_all(mask: &mut BlockMask, rows: &[u16]) {
    for &row in rows {
        set(mask, row);
    }
}

pub(super) fn or(mask: &mut BlockMask, other: &BlockMask) {
    for (word, other) in mask.iter_mut().zip(other) {
        *word |= other;
    }
}

pub(super) fn and(mask: &mut BlockMask, other: &BlockMask) {
    for (word, other) in mask.iter_mut().zip(other) {
        *word &= other;
    }
}

pub(super) fn and_not(mask: &mut BlockMask, other: &BlockMask) {
    for (word, other) in mask.iter_mut().zip(other) {
        *word &= !other;
    }
}

pub(super) fn is_empty(mask: &BlockMask) -> bool {
    mask.iter().all(|&word| word == 0)
}

pub(super) fn rows(mask: &BlockMask) -> impl Iterator<Item = u16> {
    mask.iter().enumerate().flat_map(|(i, &word)| {
        let mut left = word;
        std::iter::from_fn(move || {
            let bit = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            // 64 says that none was left; the last word has no such bit to count.
            (bit < 64).then(|| (i * 64) as u16 + bit as u16)
        })
    })
}

/// The same set as one Roaring container.
#[cfg(test)]
pub(crate) fn to_roaring(mask: &BlockMask) -> roaring::RoaringBitmap {
    let mut bytes = [0; WORDS * 8];
    for (out, word) in bytes.as_chunks_mut().0.iter_mut().zip(mask) {
        *out = word.to_le_bytes();
    }
    roaring::RoaringBitmap::from_lsb0_bytes(0, &bytes)
}
