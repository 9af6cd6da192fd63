//! An in-process vector index that can prove it equals your Postgres.

mod error;
#[allow(dead_code)]
mod ids;
pub mod limits;

pub use error::{Error, ErrorKind, Result};
pub use ids::{ChunkId, Seq};
