//! What several scenarios share: generated data with its truth, and nothing of the library's inside.

pub(crate) mod data;
pub(crate) mod random;
