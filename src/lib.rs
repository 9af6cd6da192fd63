//! An in-process vector index that can prove it equals your Postgres.

mod error;
#[allow(dead_code)]
mod ids;
#[allow(unsafe_code, reason = "vector instructions; each block has its argument")]
mod kernels;
pub mod limits;

pub use error::{Error, ErrorKind, Result};
pub use ids::{ChunkId, Seq};

/// How the crate is built, for people who change it.
#[cfg(doc)]
#[doc = include_str!("ARCHITECTURE.md")]
pub mod architecture {}

/// What `benches/` measures and nobody else may use.
#[doc(hidden)]
pub mod bench_support {
    pub use crate::kernels::{Kernels, Rows, prefetch, prefetch_f32};
}
