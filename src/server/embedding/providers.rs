//! Embedders as the server uses them: one for each profile, behind the store's cache, and what those of one provider share.

use super::left::{Leavable, Patience, Turn};
use super::rest::Rest;
use crate::{
    CacheStats, Embedder, EmbeddingProfile, ProviderOptions, Providers, Result, Store, TokenRate, VectorCache,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A profile, in the width of a collection.
type Key = (String, String, usize);

pub(super) struct Bench {
    store: Store,
    pub(super) providers: Providers,
    /// Opened when a service is first needed. A store in memory has none, nor has one whose host has its own.
    cache: OnceLock<Option<VectorCache>>,
    embedders: Mutex<BTreeMap<Key, Arc<dyn Embedder>>>,
    lines: Mutex<BTreeMap<String, Arc<Line>>>,
    /// How long jobs wait for providers.
    pub(super) patience: Patience,
}

/// What all who ask one provider share.
pub(super) struct Line {
    pub(super) rate: TokenRate,
    /// Background work asks in turns, so that no more requests are under way than the settings say.
    turn: Turn,
    /// For searches.
    pub(super) rest: Mutex<Rest>,
}

/// The same for jobs, which embed in turn with all others.
#[derive(Clone)]
pub(crate) struct Makers {
    bench: Arc<Bench>,
}

/// An embedder that waits for its turn.
struct InTurn {
    embedder: Arc<dyn Embedder>,
    turn: Turn,
}

impl Embedder for InTurn {
    fn model(&self) -> &str {
        self.embedder.model()
    }

    fn dim(&self) -> usize {
        self.embedder.dim()
    }

    fn tokens_max(&self) -> Option<usize> {
        self.embedder.tokens_max()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let _turn = self.turn.lock();
        self.embedder.embed(texts)
    }

    fn embed_each(&self, texts: &[&str]) -> Vec<Result<Vec<f32>>> {
        let _turn = self.turn.lock();
        self.embedder.embed_each(texts)
    }

    fn embed_within(&self, texts: &[&str], patience: Duration) -> Result<Vec<Vec<f32>>> {
        self.embedder.embed_within(texts, patience)
    }
}

impl Makers {
    pub(super) fn new(bench: Arc<Bench>) -> Self {
        Self { bench }
    }

    /// Who makes the vectors of a profile. Unless it is said how wide they are, the settings say it, or the provider is asked.
    pub(crate) fn of_any_width(
        &self,
        profile: &EmbeddingProfile,
        dim: Option<usize>,
    ) -> Result<Arc<dyn Embedder>> {
        let dim = match dim {
            Some(dim) => dim,
            None => self.seen_width(profile)?,
        };
        let (embedder, turn) = self.bench.embedder_and_turn(profile, dim)?;
        Ok(Arc::new(Leavable { embedder, turn, patience: self.bench.patience.clone() }))
    }

    fn seen_width(&self, profile: &EmbeddingProfile) -> Result<usize> {
        let (providers, profile) = (self.bench.providers.clone(), profile.clone());
        self.bench.patience.ask(move || Ok(providers.seen(&profile)?.dim()))?
    }

    /// Tokens a second and in all that a provider's settings allow.
    pub(crate) fn budget(&self, provider: &str) -> (Option<u64>, Option<u64>) {
        let settings = self.bench.providers.get(provider);
        let limit = |of: fn(&ProviderOptions) -> u64| settings.map(of).filter(|limit| *limit > 0);
        (limit(|settings| settings.tokens_per_s), limit(|settings| settings.tokens_max))
    }

    /// What all who ask a provider keep to together.
    pub(crate) fn rate(&self, provider: &str) -> TokenRate {
        self.bench.line(provider).rate.clone()
    }
}

impl Bench {
    pub(super) fn new(store: &Store, providers: Providers) -> Self {
        let (cache, embedders, lines) = (OnceLock::new(), Mutex::default(), Mutex::default());
        Self { store: store.clone(), providers, cache, embedders, lines, patience: Patience::default() }
    }

    /// Who makes the vectors of a profile.
    pub(super) fn embedder(&self, profile: &EmbeddingProfile, dim: usize) -> Result<Arc<dyn Embedder>> {
        let key = (profile.provider.clone(), profile.model.clone(), dim);
        if let Some(known) = self.embedders.lock().get(&key) {
            return Ok(known.clone());
        }
        let plain = self.providers.embedder(profile, dim)?;
        let made: Arc<dyn Embedder> = match self.cache(profile) {
            Some(cache) => Arc::new(cache.before(plain)),
            None => plain,
        };
        Ok(self.embedders.lock().entry(key).or_insert(made).clone())
    }

    /// The same for a backfill, which takes turns.
    pub(super) fn in_turn(&self, profile: &EmbeddingProfile, dim: usize) -> Result<Arc<dyn Embedder>> {
        let (embedder, turn) = self.embedder_and_turn(profile, dim)?;
        Ok(Arc::new(InTurn { embedder, turn }))
    }

    fn embedder_and_turn(&self, profile: &EmbeddingProfile, dim: usize) -> Result<(Arc<dyn Embedder>, Turn)> {
        Ok((self.embedder(profile, dim)?, self.line(&profile.provider).turn.clone()))
    }

    /// Makes it anew when it is needed again: its key may be another.
    pub(super) fn forget(&self, profile: &EmbeddingProfile) {
        self.embedders.lock().retain(|(provider, ..), _| *provider != profile.provider);
    }

    pub(super) fn line(&self, provider: &str) -> Arc<Line> {
        let mut lines = self.lines.lock();
        let per_s = self.providers.get(provider).map(|options| options.tokens_per_s).filter(|rate| *rate > 0);
        let new =
            || Arc::new(Line { rate: TokenRate::new(per_s), turn: Arc::default(), rest: Mutex::default() });
        lines.entry(provider.to_owned()).or_insert_with(new).clone()
    }

    pub(super) fn cache_stats(&self) -> Option<CacheStats> {
        self.cache.get()?.as_ref().map(VectorCache::stats)
    }

    /// What is made here costs less than looking it up.
    fn cache(&self, profile: &EmbeddingProfile) -> Option<VectorCache> {
        if self.providers.is_local(profile) {
            return None;
        }
        let open = || match VectorCache::open(&self.store, VectorCache::BYTES) {
            Ok(cache) => Some(cache),
            Err(error) => {
                tracing::info!(%error, "vectors are not remembered by their texts");
                None
            }
        };
        self.cache.get_or_init(open).clone()
    }
}
