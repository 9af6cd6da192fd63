//! Vectors in two forms: int8 codes that the beam walks over, and full-precision rows that rescore the best.
//!
//! Invariants: code and row of a slot are written once and together; the estimate of a distance from codes and the
//! exact distance order vectors alike up to the code's rounding; only this module knows the width and layout of a code.
//!
//! Knows nothing of graphs, filters or which slots are live.

mod codec;
mod rotation;
mod table;
#[cfg(test)]
mod tests;
mod vectors;

pub(crate) use codec::{Codec, CodecParts, Form, QueryCode};
pub(crate) use table::{BATCH, CodeTable};
pub(crate) use vectors::{Exact, Sound, VectorTable};
