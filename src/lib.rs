//! An in-process vector index that can prove it equals your Postgres.

mod error;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the engine uses it next"))]
mod filter;
#[allow(dead_code)]
mod ids;
pub mod limits;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the engine uses it next"))]
mod record;

pub use error::{Error, ErrorKind, Result};
pub use filter::Filter;
pub use ids::{ChunkId, Seq};
pub use record::Chunk;
