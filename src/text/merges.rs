//! Which segments become one: a pure function over their sizes.
//!
//! A block's segments are made of a thousand texts each. Four neighbours of like size become one, so that a text is written three
//! times until its block is full, and a growing block has some ten segments at most; a block that takes no more rows ends with one.

use std::ops::Range;

/// What is known of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) docs: usize,
    pub(super) bytes: u64,
}

/// Neighbours that become one.
const FAN: usize = 4;
/// Texts of a segment of the lowest tier.
const DOCS_LOW: usize = 2_048;
/// A merge works in memory, so it is bounded: what has more bytes stays in pieces.
const BYTES_MAX: u64 = 192 << 20;

/// The next segments of one block to merge: neighbours. `is_whole`: no more come.
pub(super) fn next(sizes: &[Size], is_whole: bool) -> Option<Range<usize>> {
    let fits = |range: &Range<usize>| sizes[range.clone()].iter().map(|s| s.bytes).sum::<u64>() <= BYTES_MAX;
    if is_whole {
        // As many as fit, from the first that has a neighbour that fits.
        let pair = (1..sizes.len()).map(|at| at - 1..at + 1).find(fits)?;
        let longest = (pair.end..=sizes.len()).map(|end| pair.start..end).take_while(fits).last();
        return longest;
    }
    let of_one_tier = |range: &Range<usize>| {
        let mut tiers = sizes[range.clone()].iter().map(|size| tier(size.docs));
        let first = tiers.next();
        tiers.all(|tier| Some(tier) == first)
    };
    (FAN..=sizes.len()).map(|end| end - FAN..end).find(|range| of_one_tier(range) && fits(range))
}

fn tier(docs: usize) -> u32 {
    (docs / DOCS_LOW).checked_ilog(FAN).map_or(0, |tier| tier + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(docs: &[usize]) -> Vec<Size> {
        docs.iter().map(|docs| Size { docs: *docs, bytes: *docs as u64 * 200 }).collect()
    }

    #[test]
    fn four_neighbours_of_a_tier_or_all_of_a_whole_block() {
        type Case<'c> = (&'c [usize], bool, Option<Range<usize>>);
        let table: [Case<'_>; 9] = [
            (&[], false, None),
            (&[1024, 1024, 1024], false, None),
            (&[1024, 1024, 1024, 1030], false, Some(0..4)),
            (&[4096, 1024, 1024, 1024, 1024], false, Some(1..5)),
            (&[4096, 4096, 4100, 4096, 1024], false, Some(0..4)),
            (&[4096, 4096, 1024, 4096, 4096], false, None),
            (&[16_400, 4096, 1024], true, Some(0..3)),
            (&[65_536], true, None),
            (&[0, 0], true, Some(0..2)),
        ];
        for (docs, is_whole, expected) in table {
            assert_eq!(next(&sizes(docs), is_whole), expected, "{docs:?} {is_whole}");
        }
    }

    #[test]
    fn a_merge_is_bounded_and_others_go_on() {
        let big = Size { docs: 9_000, bytes: BYTES_MAX - 5 };
        let small = Size { docs: 9_000, bytes: 3 };
        assert_eq!(next(&[big, big, small, small], true), Some(1..3));
        assert_eq!(next(&[big, big, big, big], false), None);
        assert_eq!(next(&[big, big], true), None);
    }

    #[test]
    fn segments_of_a_growing_block_stay_few_and_each_text_is_written_few_times() {
        let (mut held, mut written) = (Vec::new(), 0);
        let mut most = 0;
        for _ in 0..64 {
            held.push(Size { docs: 1_024, bytes: 200_000 });
            while let Some(range) = next(&held, false) {
                let docs: usize = held[range.clone()].iter().map(|s| s.docs).sum();
                written += docs;
                held.splice(range, [Size { docs, bytes: docs as u64 * 200 }]);
            }
            most = most.max(held.len());
        }
        assert!(most <= 10 && written <= 3 * 65_536, "{most} segments, {written} texts written");
    }
}
