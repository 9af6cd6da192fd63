//! From texts to vectors.
//!
//! Owns the trait that every source of vectors is behind, the one source that needs nothing ([`Hashed`]), models behind HTTP, models in this
//! process, the cache that embeds nothing twice, and what a collection's profile stands for. Knows no chunk; of a store only where its
//! files are.

#[cfg(feature = "embed")]
mod cache;
mod hashed;
#[cfg(feature = "embed")]
mod http;
#[cfg(feature = "local-model")]
mod local;
#[cfg(feature = "embed")]
mod providers;
mod tokens;

#[cfg(feature = "embed")]
pub use cache::{CacheStats, Cached, VectorCache};
pub use hashed::Hashed;
#[cfg(feature = "embed")]
pub use http::{HttpEmbedder, HttpOptions};
#[cfg(feature = "local-model")]
pub use local::{LocalEmbedder, LocalOptions};
#[cfg(feature = "embed")]
pub use providers::{ProviderOptions, Providers};
pub use tokens::estimate_tokens;

use crate::error::{Error, ErrorKind, Result};
use std::time::Duration;

/// Somebody who turns texts into vectors of one width.
pub trait Embedder: Send + Sync {
    /// What its vectors are called: rows remember it, because vectors of two models cannot be compared.
    fn model(&self) -> &str;

    /// Numbers of a vector.
    fn dim(&self) -> usize;

    /// Tokens of a text that it reads, where that is known: what stands behind them is in no vector.
    fn tokens_max(&self) -> Option<usize> {
        None
    }

    /// One vector for each text, in their order. All of them or an error.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>>;

    /// The same for somebody who waits: an error of kind [`ErrorKind::Unavailable`] when `patience` is over. Whoever asks nobody takes its
    /// time all the same.
    fn embed_within(&self, texts: &[&str], patience: Duration) -> Result<Vec<Vec<f32>>> {
        let _ = patience;
        self.embed(texts)
    }

    /// A vector or an error for each text, in their order: what one text is to blame for (an error of kind
    /// [`ErrorKind::Invalid`]) costs no other its vector.
    fn embed_each(&self, texts: &[&str]) -> Vec<Result<Vec<f32>>> {
        match self.embed(texts) {
            Ok(vectors) if vectors.len() == texts.len() => vectors.into_iter().map(Ok).collect(),
            Ok(vectors) => {
                let (model, got) = (self.model(), vectors.len());
                let message =
                    format!("{model} made {got} vectors of {} texts; please report this", texts.len());
                texts.iter().map(|_| Err(Error::new(ErrorKind::Internal, message.clone()))).collect()
            }
            Err(e) if e.kind() == ErrorKind::Invalid && texts.len() > 1 => {
                let (left, right) = texts.split_at(texts.len() / 2);
                let mut each = self.embed_each(left);
                each.extend(self.embed_each(right));
                each
            }
            Err(e) => texts.iter().map(|_| Err(e.again())).collect(),
        }
    }
}

impl<E: Embedder + ?Sized> Embedder for std::sync::Arc<E> {
    fn model(&self) -> &str {
        (**self).model()
    }

    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn tokens_max(&self) -> Option<usize> {
        (**self).tokens_max()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        (**self).embed(texts)
    }

    fn embed_within(&self, texts: &[&str], patience: Duration) -> Result<Vec<Vec<f32>>> {
        (**self).embed_within(texts, patience)
    }

    fn embed_each(&self, texts: &[&str]) -> Vec<Result<Vec<f32>>> {
        (**self).embed_each(texts)
    }
}

#[cfg(test)]
mod tests;
