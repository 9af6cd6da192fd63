//! The mirror: how a store and a database stay equal, and how they prove it.
//!
//! A row's way out: the engine marks it dirty (`engine/tap/`), `push` sends it in a batch, the database answers, it is clean. A row's way
//! in: `feed` reads what changed between two snapshots and applies it by version. `audit` compares fingerprints and names
//! the rows that differ; `repair` brings one side up to the other; `rebuild` fills a store, and `fallback` answers searches meanwhile. `worker` decides whose turn it is.
//!
//! Invariants: those of `mirror.md`, M1 to M24; tests name them.
//!
//! Knows the engine's tap and the [`Remote`](remote::Remote) trait. Knows no SQL, and no URL.

mod audit;
mod backoff;
mod batch;
mod compare;
#[cfg(test)]
pub(crate) mod conformance;
mod cursor;
mod database;
mod deep;
mod dropping;
mod fallback;
mod feed;
mod flight;
mod gate;
mod greet;
mod guards;
mod handle;
mod index;
mod job;
pub(crate) mod join;
mod letters;
mod memory;
mod options;
mod push;
mod rebuild;
pub(crate) mod remote;
mod repair;
mod report;
mod retention;
mod sides;
mod stand_back;
mod status;
#[cfg(test)]
mod tests;
mod trouble;
#[cfg(test)]
pub(crate) mod twin;
mod worker;

pub use backoff::Breaker;
pub use database::{DatabaseIndex, DatabaseOptions, Migrate};
pub use deep::AuditProgress;
pub use gate::FallbackStatus;
pub use handle::Mirror;
pub use letters::DeadLetter;
pub use options::{Fallback, MirrorOptions, OnChange, OnRebuild, RebuildPolicy, Trust};
pub use rebuild::RebuildProgress;
pub use report::{AuditReport, Root};
pub use status::{DatabaseInfo, LastAudit, MirrorState, MirrorStatus};
