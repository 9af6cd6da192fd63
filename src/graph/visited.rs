//! The slots a search has seen: a direct-mapped table that lives in the first two cache levels.
//!
//! It forgets: a slot that falls on another's place replaces it, and may then be offered again. That costs a distance,
//! never a wrong answer, because a pool keeps a slot once. In return an insert has no branch and no probe loop, and
//! memory per searcher follows the beam, not the collection.

use crate::ids::Slot;

/// Never a visited slot: no list holds it.
const EMPTY: u32 = u32::MAX;
/// Places per unit of beam width. A search sees about 16 slots per unit; at 64 places hardly one is forgotten.
const PLACES_PER_EF: usize = 64;
const PLACES_MIN: usize = 1 << 11;
const PLACES_MAX: usize = 1 << 17;

#[derive(Default)]
pub(crate) struct Visited {
    places: Vec<u32>,
    shift: u32,
}

impl Visited {
    pub(crate) fn reset(&mut self, ef: usize) {
        let places = (ef * PLACES_PER_EF).next_power_of_two().clamp(PLACES_MIN, PLACES_MAX);
        self.places.clear();
        self.places.resize(places, EMPTY);
        self.shift = 32 - places.trailing_zeros();
    }

    /// True when `slot` was not seen, or was forgotten.
    #[inline(always)]
    pub(crate) fn insert(&mut self, slot: Slot) -> bool {
        // `places` is a power of two, so the shifted hash is always inside; `get_mut` says so without a panic.
        match self.places.get_mut((slot.0.wrapping_mul(0x9e37_79b1) >> self.shift) as usize) {
            Some(place) => std::mem::replace(place, slot.0) != slot.0,
            None => true,
        }
    }
}
