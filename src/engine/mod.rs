//! The store: collections of chunks, written by one writer at a time and searched by any number of threads.
//!
//! Invariants:
//! - A search loads one [`view::View`] and looks at nothing newer: it sees exactly the state of one seq, all of a batch or
//!   nothing of it.
//! - Rows, codes and ids are written once, before the view that shows them is published.
//! - Writers of one collection take turns; searches wait for nobody.
//! - A row that is not linked yet stands in the view's tail and is compared with every query.
//!
//! Knows nothing of files (yet), HTTP or databases.

mod answer;
mod apply;
mod checkpoint;
mod collection;
mod commit;
mod damage;
mod diagnosis;
mod doctor;
mod draft;
mod fields;
mod filters;
mod health;
mod home;
mod ids;
mod inner;
mod keeper;
mod link;
mod log;
mod maintain;
mod missing;
mod names;
mod open;
mod rank;
mod reclaim;
mod repair;
mod replay;
mod restore;
mod rows;
mod run;
mod scrub;
mod seal;
mod search;
mod snapshot;
mod stats;
mod store;
#[allow(dead_code, reason = "the mirror is its user")]
pub(crate) mod tap;
#[cfg(test)]
mod tests;
mod verify;
mod view;
mod warm;
mod write;

pub use answer::{Explain, Hit, Include, Response};
pub use collection::{Collection, Page};
pub use diagnosis::{Diagnosis, Finding};
pub use doctor::doctor;
pub use search::{RangeSearch, Search};
pub use snapshot::SnapshotReport;
pub use stats::{Bytes, LogStats, Stats, StoreStats};
pub use store::Store;
pub use write::{Ack, RowResult, Token};
