//! From texts to vectors.
//!
//! Owns the trait that every source of vectors is behind, and the one source that needs nothing: [`Hashed`]. Knows no store and no
//! chunk.

mod hashed;

pub use hashed::Hashed;

use crate::error::Result;

/// Somebody who turns texts into vectors of one width.
pub trait Embedder: Send + Sync {
    /// What its vectors are called: rows remember it, because vectors of two models cannot be compared.
    fn model(&self) -> &str;

    /// Numbers of a vector.
    fn dim(&self) -> usize;

    /// One vector for each text, in their order. All of them or an error.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>>;
}

#[cfg(test)]
mod tests;
