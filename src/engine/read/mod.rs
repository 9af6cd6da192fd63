//! The life of a search: the question, the plan and the walk, the ranking, the answer.

pub(super) mod answer;
#[cfg_attr(not(feature = "ingest"), allow(dead_code, reason = "migrations are its user"))]
pub(super) mod apart;
pub(super) mod documents;
pub(super) mod filling;
pub(super) mod filters;
pub(super) mod fuse;
mod hybrid;
pub(super) mod pending;
pub(super) mod rank;
pub(super) mod run;
pub(super) mod search;
