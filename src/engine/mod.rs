//! The store: collections of chunks, written by one writer at a time and searched by any number of threads.
//!
//! Invariants:
//! - A search loads one [`view::View`] and looks at nothing newer: it sees exactly the state of one seq, all of a batch or
//!   nothing of it.
//! - Rows, codes and ids are written once, before the view that shows them is published.
//! - Writers of one collection take turns; searches wait for nobody.
//! - A row that is not linked yet stands in the view's tail and is compared with every query.
//!
//! Knows nothing of HTTP or databases.

mod collection;
mod damage;
mod files;
mod inner;
mod names;
mod read;
mod stats;
mod store;
mod tables;
#[cfg_attr(not(feature = "mirror"), allow(dead_code, unused_imports, reason = "the mirror is its user"))]
pub(crate) mod tap;
#[cfg(test)]
mod tests;
#[cfg_attr(not(feature = "ingest"), allow(dead_code, reason = "migrations are its user"))]
mod turns;
mod upkeep;
mod view;
mod words;
mod write;

pub use collection::{Collection, Page};
pub use damage::diagnosis::{Diagnosis, Finding};
pub use damage::doctor::doctor;
pub use files::snapshot::SnapshotReport;
#[cfg_attr(not(feature = "server"), allow(unused_imports, reason = "imports are its user"))]
pub(crate) use names::check_name;
pub use read::answer::{Explain, Hit, Include, Leg, Response, Snippet, Source, TextWork};
#[cfg_attr(not(feature = "ingest"), allow(unused_imports, reason = "migrations are its user"))]
pub(crate) use read::apart::{Alike, Lacking};
pub use read::documents::{DocumentStats, PlacedChunk};
pub use read::fuse::Fusion;
#[cfg_attr(not(feature = "ingest"), allow(unused_imports, reason = "the backfill is its user"))]
pub(crate) use read::pending::Pending;
pub use read::search::{RangeSearch, Search};
pub use stats::{Bytes, LogStats, Stats, StoreStats, TextStats};
pub use store::Store;
#[cfg_attr(not(feature = "ingest"), allow(unused_imports, reason = "migrations are its user"))]
pub(crate) use turns::Turns;
#[cfg_attr(not(feature = "ingest"), allow(unused_imports, reason = "the backfill is its user"))]
pub(crate) use write::swap::CHANGED;
pub use write::upsert::{Ack, RowResult, Token};
