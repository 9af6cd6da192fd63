//! The best of what is found.
//!
//! Invariant: what is kept is the first `k` by score and then by the caller's order, whatever the order it comes in.

use crate::ids::Slot;
use std::cmp::Ordering;

/// Which of two rows with one score stands first.
pub(crate) type Order<'a> = dyn Fn(Slot, Slot) -> Ordering + 'a;

/// What was found, and what it took.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    /// The best first.
    pub(crate) hits: Vec<(f32, Slot)>,
    /// What a text of average length scores that holds each word and phrase once.
    pub(crate) plain: f32,
    /// Texts whose score was looked at.
    pub(crate) scored: u64,
    pub(crate) segments: usize,
    /// Rows of the tail.
    pub(crate) tail: usize,
}

pub(super) struct Best<'a> {
    k: usize,
    order: &'a Order<'a>,
    hits: Vec<(f32, Slot)>,
}

impl<'a> Best<'a> {
    pub(super) fn new(k: usize, order: &'a Order<'a>) -> Self {
        Self { k, order, hits: Vec::new() }
    }

    /// A score that is not above this is none of the best.
    pub(super) fn threshold(&self) -> f32 {
        match self.hits.last() {
            // One that has the last one's score may stand before it.
            Some((score, _)) if self.hits.len() >= self.k => score.next_down(),
            _ => f32::MIN,
        }
    }

    pub(super) fn offer(&mut self, score: f32, slot: Slot) {
        if score <= self.threshold() || self.k == 0 {
            return;
        }
        let stands_before = |other: &(f32, Slot)| {
            other.0.total_cmp(&score).reverse().then_with(|| (self.order)(other.1, slot)) != Ordering::Greater
        };
        let at = self.hits.partition_point(stands_before);
        if at < self.k {
            self.hits.truncate(self.k - 1);
            self.hits.insert(at.min(self.hits.len()), (score, slot));
        }
    }

    pub(super) fn into_hits(self) -> Vec<(f32, Slot)> {
        self.hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_are_kept_in_order(scores in proptest::collection::vec(0u8..6, 0..60), k in 0usize..12) {
            let order = |a: Slot, b: Slot| b.cmp(&a);
            let mut best = Best::new(k, &order);
            let mut all: Vec<(f32, Slot)> =
                scores.iter().zip(0u32..).map(|(score, slot)| (f32::from(*score), Slot(slot * 7 % 61))).collect();
            all.iter().for_each(|(score, slot)| best.offer(*score, *slot));
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
            all.truncate(k);
            prop_assert_eq!(best.into_hits(), all);
        }
    }
}
