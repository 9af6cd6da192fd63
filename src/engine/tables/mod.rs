//! What a slot stands for beside its vector, and how it is found by name.

pub(super) mod fields;
pub(super) mod ids;
pub(super) mod names;
pub(super) mod rows;
