//! An in-process vector index that can prove it equals your Postgres.

mod block;
#[cfg(feature = "server")]
pub mod cli;
mod codes;
mod config;
mod disk;
mod embed;
mod engine;
mod error;
mod filter;
mod graph;
mod ids;
#[cfg(feature = "server")]
mod import;
#[cfg(feature = "ingest")]
mod ingest;
#[allow(unsafe_code, reason = "vector instructions; each block has its argument")]
mod kernels;
pub mod limits;
mod manifest;
mod metrics;
#[cfg(feature = "mirror")]
mod mirror;
#[cfg(feature = "mirror")]
mod postgres;
mod record;
#[cfg(feature = "server")]
pub mod server;
mod sets;
#[cfg(feature = "text")]
mod text;
mod wal;
#[cfg(feature = "watch")]
mod watch;

pub use config::{Durability, EmbeddingProfile, GraphKind, Io, Language, Metric, Options, Schema};
#[cfg(feature = "embed")]
pub use embed::{CacheStats, Cached, HttpEmbedder, HttpOptions, ProviderOptions, Providers, VectorCache};
pub use embed::{Embedder, Hashed, estimate_tokens};
#[cfg(feature = "local-model")]
pub use embed::{LocalEmbedder, LocalOptions};
pub use engine::{
    Ack, Bytes, Collection, Diagnosis, DocumentStats, Explain, Finding, Fusion, Hit, Include, Leg, LogStats,
    Page, PlacedChunk, RangeSearch, Response, RowResult, Search, SnapshotReport, Snippet, Source, Stats,
    Store, StoreStats, TextStats, TextWork, Token, doctor,
};
pub use error::{Error, ErrorKind, Result};
pub use filter::{Filter, Plan};
pub use ids::{ChunkId, Seq};
#[cfg(feature = "ingest")]
pub use ingest::{
    Backfill, BackfillOptions, BackfillState, BackfillStatus, Chunking, Comparison, ComparisonOptions,
    Content, Cut, Differences, DocumentReport, Documents, Dropped, FolderOptions, Follow, FollowReport,
    Found, FoundFile, Kind, Migration, MigrationEstimate, MigrationOptions, MigrationRates, MigrationState,
    MigrationStatus, ParkedRow, Queries, SideComparison, SwitchOptions, Switched, TokenRate, Undone,
    find_files,
};
pub use kernels::instruction_set;
pub use metrics::{Times, Work};
#[cfg(feature = "mirror")]
pub use mirror::{
    AuditProgress, AuditReport, Breaker, DatabaseIndex, DatabaseInfo, DatabaseOptions, DeadLetter, Fallback,
    FallbackStatus, LastAudit, Migrate, Mirror, MirrorOptions, MirrorState, MirrorStatus, OnChange,
    OnRebuild, RebuildPolicy, RebuildProgress, Root, Trust,
};
pub use record::Chunk;
#[cfg(feature = "watch")]
pub use watch::{Watch, WatchOptions, WatchStatus};

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
