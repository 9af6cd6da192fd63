//! The mirror: how a store and a database stay equal, and how they prove it.
//!
//! A row's way out: the engine marks it dirty (`engine/tap/`), `push` sends it in a batch, the database answers, it is clean. A row's way
//! in: `feed` reads what changed between two snapshots and applies it by version. `audit` compares fingerprints and names
//! the rows that differ; `repair` brings one side up to the other; `rebuild` fills a store. `worker` decides whose turn it is.
//!
//! Invariants: those of `mirror.md`, M1 to M24; tests name them.
//!
//! Knows the engine's tap and the [`Remote`](remote::Remote) trait. Knows no SQL, and no URL.

#[cfg(test)]
pub(crate) mod conformance;
pub(crate) mod remote;
