//! Sets of slots: dense bits where every search tests membership, Roaring where there are many sets of few slots.
//!
//! Invariant: a [`SlotBits`] never changes; a change makes a new one that shares the blocks it does not touch. That is
//! what lets a search hold the live set of one instant.

mod bits;

pub(crate) use bits::{BlockBits, SlotBits, WORDS};
