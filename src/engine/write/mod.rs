//! The life of a write: checked, drafted, committed to the log, applied, linked.

pub(super) mod apply;
pub(super) mod commit;
pub(super) mod draft;
pub(super) mod link;
pub(super) mod log;
pub(crate) mod swap;
pub(super) mod upsert;
