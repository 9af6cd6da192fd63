//! What each route does: take the request apart, make one call, tell what came of it.

pub(super) mod admin;
pub(super) mod bulk;
pub(super) mod chunks;
pub(super) mod collections;
pub(super) mod health;
pub(super) mod search;
pub(super) mod vectors;
