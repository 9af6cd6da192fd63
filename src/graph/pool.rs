//! A sorted pool of candidates in packed 64-bit keys: 31 bits of distance, 32 bits of slot, one bit "expanded".
//!
//! Invariants: keys ascend, so nearest first and, at equal distance, lowest slot first; at most `capacity` keys;
//! every key before `next` is expanded.

use crate::ids::Slot;

/// A slot and its estimated distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Near {
    pub(crate) distance: f32,
    pub(crate) slot: Slot,
}

/// The flag of a key that was expanded, or needs not be.
pub(crate) const EXPANDED: u64 = 1;

/// Orders like `(distance, slot)`; the last bit is clear. Distances lose their lowest bit of 24.
#[inline(always)]
pub(crate) fn pack(distance: f32, slot: Slot) -> u64 {
    let bits = distance.to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(ordered >> 1) << 33 | u64::from(slot.0) << 1
}

#[inline(always)]
pub(crate) fn unpack(key: u64) -> Near {
    let ordered = ((key >> 33) as u32) << 1;
    let bits = if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered };
    Near { distance: f32::from_bits(bits), slot: Slot((key >> 1) as u32) }
}

#[derive(Default)]
pub(crate) struct Pool {
    keys: Vec<u64>,
    capacity: usize,
    next: usize,
}

impl Pool {
    pub(crate) fn reset(&mut self, capacity: usize) {
        self.keys.clear();
        self.keys.reserve(capacity + 1);
        self.capacity = capacity;
        self.next = 0;
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Keys at or beyond this would not be kept.
    #[inline(always)]
    pub(crate) fn bound(&self) -> u64 {
        if self.keys.len() < self.capacity { u64::MAX } else { self.keys.last().copied().unwrap_or(0) }
    }

    /// Keeps `key` if it is near enough and not kept already; says whether it did.
    #[inline(always)]
    pub(crate) fn insert(&mut self, key: u64) -> bool {
        if key >= self.bound() {
            return false;
        }
        let at = self.keys.partition_point(|&k| k < key & !EXPANDED);
        if self.keys.get(at).is_some_and(|&k| k | EXPANDED == key | EXPANDED) {
            return false;
        }
        if self.keys.len() >= self.capacity {
            self.keys.pop();
        }
        self.keys.insert(at, key);
        self.next = self.next.min(at);
        true
    }

    /// Keeps those of `slots` that are near enough.
    pub(crate) fn offer(&mut self, slots: &[u32], distances: &[f32]) {
        for (&slot, &distance) in slots.iter().zip(distances) {
            let key = pack(distance, Slot(slot));
            if key < self.bound() {
                self.insert(key);
            }
        }
    }

    /// Drops the candidates at or beyond `bound`.
    pub(crate) fn forget_from(&mut self, bound: u64) {
        if self.keys.last().is_some_and(|&last| last >= bound) {
            self.keys.truncate(self.keys.partition_point(|&k| k < bound));
            self.next = self.next.min(self.keys.len());
        }
    }

    /// The nearest candidate that was not expanded yet, now marked as expanded.
    #[inline(always)]
    pub(crate) fn pop_next(&mut self) -> Option<Near> {
        while let Some(key) = self.keys.get_mut(self.next) {
            self.next += 1;
            if *key & EXPANDED == 0 {
                *key |= EXPANDED;
                return Some(unpack(*key));
            }
        }
        None
    }

    /// The candidate with `n` nearer ones.
    #[inline(always)]
    pub(crate) fn nth(&self, n: usize) -> Option<Near> {
        self.keys.get(n).map(|&k| unpack(k))
    }

    /// The candidates, nearest first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Near> + '_ {
        self.keys.iter().map(|&k| unpack(k))
    }
}
