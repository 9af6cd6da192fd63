//! An in-process vector index that can prove it equals your Postgres.

#[cfg(feature = "server")]
pub mod cli;
mod error;
#[allow(dead_code)]
mod ids;
pub mod limits;

pub use error::{Error, ErrorKind, Result};
pub use ids::{ChunkId, Seq};
