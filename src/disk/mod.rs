//! The only door to memory areas (and, with the durable store, to files).
//!
//! Owns mappings. Knows nothing of what the bytes mean.

mod map;
#[cfg(test)]
mod tests;

pub(crate) use map::{Cells, Rows};
