//! Vectors for those who wait: texts of searches, and chunks of providers that answer at once.

use super::Desk;
use crate::{Chunk, Collection, Embedder, EmbeddingProfile, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Whoever gives a provider less time than this, and gets no vector, has said nothing about it.
const FAIR: Duration = Duration::from_secs(1);

/// All that callers are told of keys and addresses.
const NOT_SET_UP: &str = "it does not serve this server as it is set up; /v1/admin/status says why";

/// Why there is no vector of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unable {
    /// The text is to blame.
    Refused(String),
    /// The provider is away, or refuses this server.
    Away(String),
}

/// One for each text.
pub(crate) type Made = Result<Vec<Vec<f32>>, Unable>;

impl Desk {
    /// Whether vectors of the collection's texts are made here at once.
    pub(crate) fn is_local(&self, collection: &Collection) -> bool {
        let profile = collection.schema().embedding.as_ref();
        profile.is_some_and(|profile| self.shared.bench.providers.is_local(profile))
    }

    /// The vectors of texts that are searched for. It waits: not for threads that serve sockets.
    pub(crate) fn embed(&self, collection: &Collection, texts: &[&str], patience: Duration) -> Made {
        let Some(profile) = &collection.schema().embedding else {
            return Err(Unable::Refused("the collection has no profile of embeddings".to_owned()));
        };
        let start = Instant::now();
        let made = self.asked(profile, collection.schema().dim, texts, patience);
        let counts = &self.shared.counts;
        let count = match &made {
            Ok(_) => &counts.answered,
            Err(Unable::Refused(_)) => &counts.refused,
            Err(Unable::Away(_)) => &counts.away,
        };
        count.fetch_add(texts.len() as u64, Ordering::Relaxed);
        counts.took.record(start.elapsed());
        made
    }

    fn asked(&self, profile: &EmbeddingProfile, dim: usize, texts: &[&str], patience: Duration) -> Made {
        let line = self.shared.bench.line(&profile.provider);
        let start = Instant::now();
        if let Some(why) = line.rest.lock().refuses(start) {
            return Err(Unable::Away(why.to_owned()));
        }
        let embedder = match self.shared.bench.embedder(profile, dim) {
            Ok(embedder) => embedder,
            // Nobody was asked: these are about names and widths.
            Err(e) if matches!(e.kind(), ErrorKind::Invalid | ErrorKind::Conflict) => {
                return Err(Unable::Away(e.message().to_owned()));
            }
            Err(error) => {
                tracing::warn!(provider = profile.provider, %error, "no texts of searches can be embedded");
                return Err(Unable::Away(NOT_SET_UP.to_owned()));
            }
        };
        let error = match embedder.embed_within(texts, patience) {
            Ok(vectors) => {
                line.rest.lock().succeeded();
                return Ok(vectors);
            }
            Err(error) => error,
        };
        let why = match error.kind() {
            ErrorKind::Invalid => return Err(Unable::Refused(error.message().to_owned())),
            ErrorKind::Unavailable => error.message().to_owned(),
            // These may tell of keys and addresses.
            _ => NOT_SET_UP.to_owned(),
        };
        tracing::debug!(provider = profile.provider, %error, "no vector of a text that is searched for");
        if patience >= FAIR || start.elapsed() < patience / 2 {
            line.rest.lock().failed(Instant::now(), &why);
        }
        Err(Unable::Away(why))
    }

    /// Gives chunks that came with a text and no vector theirs, where that takes no time. What is refused is left as it is: it waits, and
    /// the background says why.
    pub(crate) fn fill_in<'c>(&self, collection: &Collection, chunks: impl Iterator<Item = &'c mut Chunk>) {
        let Some(profile) = collection.schema().embedding.as_ref().filter(|_| self.is_local(collection))
        else {
            return;
        };
        let Ok(embedder) = self.shared.bench.embedder(profile, collection.schema().dim) else { return };
        let mut bare: Vec<&mut Chunk> =
            chunks.filter(|chunk| chunk.vector.is_none() && chunk.text.is_some()).collect();
        let made = {
            let texts: Vec<&str> =
                bare.iter().map(|chunk| chunk.text.as_deref().unwrap_or_default()).collect();
            each_alone(&embedder, &texts)
        };
        for (chunk, vector) in bare.iter_mut().zip(made) {
            if let Some(vector) = vector {
                chunk.vector = Some(vector);
                chunk.embedding_model = Some(embedder.model().to_owned());
            }
        }
    }
}

fn each_alone(embedder: &Arc<dyn Embedder>, texts: &[&str]) -> Vec<Option<Vec<f32>>> {
    embedder.embed_each(texts).into_iter().map(Result::ok).collect()
}
