//! The level of a slot: one in 16 slots stands on level 1, one in 256 on level 2, and so on to level 4.
//!
//! Of every 16 neighbouring slots exactly one, picked by a hash, leads; of 16 leaders one leads again. That is the
//! distribution of the paper at `M = 16`, evened out; it needs no storage, and the list of a slot on level `l` is found
//! at `index >> 4 l`.

use crate::ids::{Level, Slot};

pub(crate) const LEVEL_MAX: u8 = 4;
const GROUP_BITS: u32 = 4;
const GROUP_MASK: u32 = (1 << GROUP_BITS) - 1;

pub(crate) fn level_of(slot: Slot) -> Level {
    let mut member = slot.0;
    for level in 0..LEVEL_MAX {
        let group = member >> GROUP_BITS;
        if member & GROUP_MASK != leader(group, level) {
            return Level(level);
        }
        member = group;
    }
    Level(LEVEL_MAX)
}

/// Where in its block's lists of `level` the list of `slot` stands.
#[inline(always)]
pub(crate) fn list_index(slot: Slot, level: Level) -> usize {
    slot.index() >> (GROUP_BITS * u32::from(level.0))
}

fn leader(group: u32, level: u8) -> u32 {
    let mut z = (u64::from(group) << 8 | u64::from(level)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as u32 & GROUP_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_sixteen_leads_on_every_level() {
        let mut counts = [0usize; LEVEL_MAX as usize + 1];
        for slot in 0..1 << 20 {
            let level = level_of(Slot(slot));
            counts[level.0 as usize] += 1;
        }
        assert_eq!(counts, [983_040, 61_440, 3_840, 240, 16]);
    }

    #[test]
    fn two_slots_of_a_level_never_share_a_list() {
        let mut taken = std::collections::HashSet::new();
        for slot in 0..1 << 17 {
            let slot = Slot(slot);
            for level in 1..=level_of(slot).0 {
                assert!(taken.insert((slot.block(), level, list_index(slot, Level(level)))));
            }
        }
    }
}
