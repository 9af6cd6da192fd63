//! An in-process vector index that can prove it equals your Postgres.

#[allow(dead_code, unused_imports, reason = "repair, snapshots and doctor are users to come")]
mod block;
#[cfg(feature = "server")]
pub mod cli;
#[allow(dead_code, reason = "space reclaim is a user to come")]
mod codes;
mod config;
#[allow(dead_code, unused_imports, reason = "repair, snapshots and doctor are users to come")]
mod disk;
#[allow(dead_code, reason = "space reclaim is a user to come")]
mod engine;
mod error;
mod filter;
mod graph;
mod ids;
#[allow(unsafe_code, reason = "vector instructions; each block has its argument")]
mod kernels;
pub mod limits;
#[allow(dead_code, unused_imports, reason = "repair, snapshots and doctor are users to come")]
mod manifest;
mod metrics;
#[cfg(feature = "mirror")]
#[allow(dead_code, reason = "under construction")]
mod mirror;
#[cfg(feature = "mirror")]
#[allow(dead_code, unused_imports, reason = "under construction")]
mod postgres;
mod record;
mod sets;
#[allow(dead_code, unused_imports, reason = "repair, snapshots and doctor are users to come")]
mod wal;

pub use config::{Durability, GraphKind, Io, Metric, Options, Schema};
pub use engine::{
    Ack, Bytes, Collection, Diagnosis, Explain, Finding, Hit, Include, LogStats, Page, RangeSearch, Response,
    RowResult, Search, SnapshotReport, Stats, Store, StoreStats, Token, doctor,
};
pub use error::{Error, ErrorKind, Result};
pub use filter::{Filter, Plan};
pub use ids::{ChunkId, Seq};
pub use kernels::instruction_set;
pub use metrics::{Times, Work};
#[cfg(feature = "mirror")]
pub use mirror::{
    AuditReport, Breaker, DatabaseIndex, DatabaseInfo, DatabaseOptions, DeadLetter, LastAudit, Migrate,
    Mirror, MirrorOptions, MirrorState, MirrorStatus, OnChange, RebuildPolicy, RebuildProgress, Root, Trust,
};
pub use record::Chunk;

/// How the crate is built, for people who change it.
#[cfg(doc)]
#[doc = include_str!("ARCHITECTURE.md")]
pub mod architecture {}

/// What `benches/` measures and nobody else may use.
#[doc(hidden)]
pub mod bench_support {
    pub use crate::kernels::{Kernels, Rows, prefetch, prefetch_f32};
}

/// The README's examples run with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub mod readme {}
