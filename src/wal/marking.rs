//! What a commit says to the mirror, after its rows: which of them are dirty, which older ones are again, which graves come and go.
//!
//! Invariant: it has one encoding, and nothing follows it.

use crate::ids::{ChunkId, Slot};
use crate::record::{Grave, encode_grave, encode_id, parse_grave, parse_id};

const WORD_BITS: usize = u32::BITS as usize;

/// What a commit says to the mirror, beside which of its rows are dirty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marking {
    /// Rows of before that are dirty from now on.
    pub(crate) soiled: Vec<Slot>,
    /// Graves that come, or are different now.
    pub(crate) graves: Vec<(ChunkId, Grave)>,
    /// Ids whose graves go, because a row came.
    pub(crate) risen: Vec<ChunkId>,
}

impl Marking {
    pub(crate) fn is_empty(&self) -> bool {
        self.soiled.is_empty() && self.graves.is_empty() && self.risen.is_empty()
    }

    pub(super) fn encode(&self, dirty: impl Iterator<Item = bool>, out: &mut Vec<u8>) {
        let mut words: Vec<u32> = Vec::new();
        for (row, is_dirty) in dirty.enumerate() {
            if row.is_multiple_of(WORD_BITS) {
                words.push(0);
            }
            if let Some(word) = words.last_mut() {
                *word |= u32::from(is_dirty) << (row % WORD_BITS);
            }
        }
        words.push(self.soiled.len() as u32);
        words.extend(self.soiled.iter().map(|slot| slot.0));
        words.push(self.graves.len() as u32);
        out.extend(words.into_iter().flat_map(u32::to_le_bytes));
        self.graves.iter().for_each(|(id, grave)| encode_grave(id, grave, out));
        out.extend((self.risen.len() as u32).to_le_bytes());
        self.risen.iter().for_each(|id| encode_id(id, out));
    }

    /// Which of `rows` rows are dirty, and the rest; `None` for anything but exactly that. Nothing is allocated for a count that
    /// the bytes do not bear out.
    pub(super) fn parse(mut bytes: &[u8], rows: usize) -> Option<(Vec<bool>, Self)> {
        let rest = &mut bytes;
        let (words, after) = rest.split_at_checked(rows.div_ceil(WORD_BITS).checked_mul(4)?)?;
        *rest = after;
        let words: Vec<u32> = words.as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        let bit =
            |row: usize| words.get(row / WORD_BITS).is_some_and(|word| word >> (row % WORD_BITS) & 1 == 1);
        let is_sound = (rows..words.len() * WORD_BITS).all(|row| !bit(row));
        let mut marking = Self::default();
        for _ in 0..number(rest)? {
            marking.soiled.push(Slot(number(rest)?));
        }
        for _ in 0..number(rest)? {
            marking.graves.push(parse_grave(rest)?);
        }
        for _ in 0..number(rest)? {
            marking.risen.push(parse_id(rest)?);
        }
        (is_sound && rest.is_empty()).then(|| ((0..rows).map(bit).collect(), marking))
    }
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Ver;
    use proptest::prelude::*;

    fn marking() -> impl Strategy<Value = Marking> {
        let id = "[a-z]{1,9}".prop_map(|id| ChunkId::from(id.as_str()));
        let grave = (any::<i64>(), 1..=i64::MAX as u64, any::<bool>());
        let grave = grave.prop_map(|(ver, node, is_dirty)| Grave { ver: Ver(ver), node, is_dirty });
        let soiled = proptest::collection::vec(any::<u32>().prop_map(Slot), 0..5);
        let graves = proptest::collection::vec((id.clone(), grave), 0..5);
        (soiled, graves, proptest::collection::vec(id, 0..5)).prop_map(|(soiled, graves, risen)| Marking {
            soiled,
            graves,
            risen,
        })
    }

    proptest! {
        #[test]
        fn a_marking_reads_back(dirty in proptest::collection::vec(any::<bool>(), 0..99), marking in marking()) {
            let mut bytes = Vec::new();
            marking.encode(dirty.iter().copied(), &mut bytes);
            prop_assert_eq!(Marking::parse(&bytes, dirty.len()), Some((dirty.clone(), marking)));
            prop_assert!((0..bytes.len()).all(|len| Marking::parse(&bytes[..len], dirty.len()).is_none()));
            bytes.push(0);
            prop_assert!(Marking::parse(&bytes, dirty.len()).is_none());
        }

        #[test]
        fn l7_any_bytes_are_a_marking_with_one_encoding_or_none(
            bytes in proptest::collection::vec(0u8..3, 0..80),
            rows in 0usize..40,
        ) {
            if let Some((dirty, marking)) = Marking::parse(&bytes, rows) {
                let mut again = Vec::new();
                marking.encode(dirty.into_iter(), &mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
