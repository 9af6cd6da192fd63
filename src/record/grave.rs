//! What stays of a deletion until the database, and everybody who reads it, knows of it: id, version, who deleted. And the bytes
//! that it is in the log and in sets. `FORMAT.md`, section Grave, is the law.
//!
//! Invariant: a grave has one encoding; what parses encodes to the same bytes again.

use crate::ids::{ChunkId, Ver};
use crate::limits::ID_BYTES_MAX;

/// Strings end at a multiple of it.
const ALIGN: usize = 4;
const DIRTY: u8 = 1;

/// A deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Grave {
    pub(crate) ver: Ver,
    /// Who deleted; never 0.
    pub(crate) node: u64,
    /// The database does not know of it yet.
    pub(crate) is_dirty: bool,
}

/// Appends a grave with its id.
pub(crate) fn encode_grave(id: &str, grave: &Grave, out: &mut Vec<u8>) {
    out.extend(grave.ver.0.to_le_bytes());
    out.extend(grave.node.to_le_bytes());
    encode_head(id, if grave.is_dirty { DIRTY } else { 0 }, out);
}

/// Takes a grave from the front of `rest`; `None` if it is none.
pub(crate) fn parse_grave(rest: &mut &[u8]) -> Option<(ChunkId, Grave)> {
    let ver = Ver(i64::from_le_bytes(*chunk(rest)?));
    let node = u64::from_le_bytes(*chunk(rest)?);
    let (id, flags) = parse_head(rest)?;
    let is_sound = flags & !DIRTY == 0 && (1..=i64::MAX as u64).contains(&node);
    is_sound.then_some((id, Grave { ver, node, is_dirty: flags == DIRTY }))
}

/// Appends an id alone.
pub(crate) fn encode_id(id: &str, out: &mut Vec<u8>) {
    encode_head(id, 0, out);
}

/// Takes an id from the front of `rest`.
pub(crate) fn parse_id(rest: &mut &[u8]) -> Option<ChunkId> {
    parse_head(rest).filter(|(_, flags)| *flags == 0).map(|(id, _)| id)
}

/// Bytes of the id 2, flags 1, zero 1, the id, zeros. `admit` has checked the length.
fn encode_head(id: &str, flags: u8, out: &mut Vec<u8>) {
    out.extend((id.len() as u16).to_le_bytes());
    out.extend([flags, 0]);
    out.extend(id.as_bytes());
    out.resize(out.len() + id.len().next_multiple_of(ALIGN) - id.len(), 0);
}

fn parse_head(rest: &mut &[u8]) -> Option<(ChunkId, u8)> {
    let [low, high, flags, zero] = *chunk(rest)?;
    let len = usize::from(u16::from_le_bytes([low, high]));
    let (id, after) = rest.split_at_checked(len)?;
    let (padding, after) = after.split_at_checked(len.next_multiple_of(ALIGN) - len)?;
    *rest = after;
    let is_sound = zero == 0 && padding.iter().all(|b| *b == 0) && (1..=ID_BYTES_MAX).contains(&len);
    Some((ChunkId::from(std::str::from_utf8(id).ok().filter(|_| is_sound)?), flags))
}

fn chunk<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_grave_reads_back_and_nothing_else_does() {
        for (id, is_dirty) in [("a", true), ("abcd", false), ("x".repeat(512).as_str(), true)] {
            let grave = Grave { ver: Ver(-7), node: 9, is_dirty };
            let mut bytes = Vec::new();
            encode_grave(id, &grave, &mut bytes);
            assert!(bytes.len().is_multiple_of(4));
            let mut rest = &bytes[..];
            assert_eq!(parse_grave(&mut rest), Some((ChunkId::from(id), grave)));
            assert!(rest.is_empty());
            assert!((0..bytes.len()).all(|len| parse_grave(&mut &bytes[..len]).is_none()));
        }
    }

    proptest! {
        #[test]
        fn l7_any_bytes_are_a_grave_with_one_encoding_or_none(bytes in proptest::collection::vec(0u8..4, 0..60)) {
            let mut rest = &bytes[..];
            if let Some((id, grave)) = parse_grave(&mut rest) {
                let mut again = Vec::new();
                encode_grave(&id, &grave, &mut again);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - rest.len()]);
            }
        }
    }
}
