//! An in-process vector index that can prove it equals your Postgres.

mod error;
#[allow(dead_code)]
mod ids;
pub mod limits;

pub use error::{Error, ErrorKind, Result};
pub use ids::{ChunkId, Seq};

/// How the crate is built, for people who change it.
#[cfg(doc)]
#[doc = include_str!("ARCHITECTURE.md")]
pub mod architecture {}
