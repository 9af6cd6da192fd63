//! What is done in the background so that searches stay fast and room comes back.

pub(super) mod keeper;
pub(super) mod maintain;
pub(super) mod pauses;
pub(super) mod reclaim;
pub(super) mod warm;
