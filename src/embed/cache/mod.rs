//! Vectors by the text that they are of, so that nothing is embedded twice: not again after an edit elsewhere in the document, not
//! after a kill, not in another collection, and not by two at once.
//!
//! Owns the files in the folder `embeddings` of a store. Invariants: a vector that is handed out was made by that model, in that
//! width, of exactly that text (SHA-256 of the three), and its checksum holds; a vector is durable before it is handed out; a
//! fault of the cache costs time and never a vector. Bounded: the oldest vectors go first, an eighth of the room at a time.

mod format;
mod segments;
#[cfg(test)]
mod tests;
mod under_way;

use super::Embedder;
use crate::config::within;
use crate::disk::Disk;
use crate::engine::Store;
use crate::error::{Error, ErrorKind, Result};
use format::{Key, key};
use parking_lot::Mutex;
use segments::Segments;
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use under_way::{Claim, UnderWay};

/// What a kill can lose of one call, in texts.
const STEP: usize = 1_024;
const BYTES_MIN: usize = 1 << 20;

/// The vectors that a store's folder remembers. Cloning gives another handle to the same; there is one for each store.
#[derive(Clone)]
pub struct VectorCache {
    inner: Arc<Inner>,
}

struct Inner {
    segments: Mutex<Segments>,
    under_way: UnderWay,
    found: AtomicU64,
    embedded: AtomicU64,
    faults: AtomicU64,
}

/// What a [`VectorCache`] holds, and what it was good for since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CacheStats {
    /// Vectors that it holds.
    pub vectors: usize,
    /// Bytes of its files.
    pub bytes: u64,
    /// Texts whose vector was there.
    pub found: u64,
    /// Texts that were embedded.
    pub embedded: u64,
    /// Vectors that were dropped because their bytes were damaged.
    pub damaged: u64,
    /// Times that vectors could not be written; they were handed out all the same.
    pub faults: u64,
}

impl VectorCache {
    /// Room of a cache if nothing else is asked for: 1 GiB.
    pub const BYTES: usize = 1 << 30;

    /// The cache in the folder of `store`, of at most `bytes_max` bytes (1 MiB or more). One of a store at a time; a store in memory has none.
    pub fn open(store: &Store, bytes_max: usize) -> Result<Self> {
        let disk = store.disk().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                "a store in memory has no folder to remember vectors in; embed without a cache",
            )
        })?;
        Self::on(disk, bytes_max)
    }

    pub(super) fn on(disk: Arc<dyn Disk>, bytes_max: usize) -> Result<Self> {
        within("bytes_max", bytes_max, BYTES_MIN, usize::MAX, "1 GiB is the default")?;
        let segments = Mutex::new(Segments::open(disk, bytes_max as u64)?);
        let [found, embedded, faults] = [const { AtomicU64::new(0) }; 3];
        let under_way = UnderWay::default();
        Ok(Self { inner: Arc::new(Inner { segments, under_way, found, embedded, faults }) })
    }

    /// What it holds, and what it was good for.
    pub fn stats(&self) -> CacheStats {
        let segments = self.inner.segments.lock();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            vectors: segments.len(),
            bytes: segments.bytes(),
            found: load(&self.inner.found),
            embedded: load(&self.inner.embedded),
            damaged: segments.damaged,
            faults: load(&self.inner.faults),
        }
    }

    /// `embedder`, asked only for texts whose vectors are not here.
    pub fn before<E: Embedder>(&self, embedder: E) -> Cached<E> {
        Cached { cache: self.clone(), embedder }
    }

    fn put(&self, entries: &[(Key, Vec<f32>)]) {
        if !entries.is_empty() && self.inner.segments.lock().put(entries).is_err() {
            self.inner.faults.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for VectorCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

/// An embedder behind a cache.
#[derive(Debug)]
pub struct Cached<E> {
    cache: VectorCache,
    embedder: E,
}

/// One for each text.
type Each = Vec<Result<Vec<f32>>>;

impl<E: Embedder> Cached<E> {
    /// What is here, and for the rest what `ask` makes. With `waits`, what somebody else embeds now is waited for.
    fn step(&self, texts: &[&str], ask: &dyn Fn(&[&str]) -> Each, waits: bool) -> Each {
        let (model, dim) = (self.embedder.model(), self.embedder.dim());
        let keys: Vec<Key> = texts.iter().map(|text| key(model, dim, text)).collect();
        let mut known: HashMap<Key, Result<Vec<f32>>> = HashMap::new();
        let (mut seen, mut asked) = (HashSet::new(), 0);
        let mut open: Vec<(Key, &str)> =
            keys.iter().copied().zip(texts.iter().copied()).filter(|(key, _)| seen.insert(*key)).collect();
        while !open.is_empty() {
            let claim = self.claim(&mut open, &mut known, waits);
            if claim.texts.is_empty() {
                if let Some((first, _)) = open.first() {
                    self.cache.inner.under_way.wait_for(first);
                }
                continue;
            }
            asked += claim.texts.len();
            let made = ask(&claim.texts);
            known.extend(self.keep(claim, made));
        }
        self.cache.inner.found.fetch_add((texts.len() - asked) as u64, Ordering::Relaxed);
        let lost = || Err(Error::new(ErrorKind::Internal, "an embedder left a text out; please report this"));
        keys.iter()
            .map(|key| match known.get(key) {
                Some(Ok(vector)) => Ok(vector.clone()),
                Some(Err(e)) => Err(e.again()),
                None => lost(),
            })
            .collect()
    }

    /// Takes from `open` what is here, and what this call is to embed; what is left there somebody else embeds now.
    fn claim<'t>(
        &self,
        open: &mut Vec<(Key, &'t str)>,
        known: &mut HashMap<Key, Result<Vec<f32>>>,
        waits: bool,
    ) -> Claim<'_, 't> {
        let inner = &*self.cache.inner;
        let mut claim = Claim { of: &inner.under_way, keys: Vec::new(), own: Vec::new(), texts: Vec::new() };
        let mut segments = inner.segments.lock();
        open.retain(|(key, text)| {
            if let Some(vector) = segments.get(key) {
                known.insert(*key, Ok(vector));
                return false;
            }
            let is_own = inner.under_way.claim(key);
            if waits && !is_own {
                return true;
            }
            claim.keys.push(*key);
            claim.texts.push(text);
            claim.own.extend(is_own.then_some(*key));
            false
        });
        claim
    }

    /// Remembers what was made for a claim, which ends then.
    fn keep(&self, claim: Claim<'_, '_>, made: Each) -> Vec<(Key, Result<Vec<f32>>)> {
        let dim = self.embedder.dim();
        let good = |(key, made): (&Key, &Result<Vec<f32>>)| match made {
            Ok(vector) if vector.len() == dim => Some((*key, vector.clone())),
            _ => None,
        };
        let entries: Vec<_> = claim.keys.iter().zip(&made).filter_map(good).collect();
        self.cache.put(&entries);
        self.cache.inner.embedded.fetch_add(entries.len() as u64, Ordering::Relaxed);
        claim.keys.iter().copied().zip(made).collect()
    }
}

impl<E: Embedder> Embedder for Cached<E> {
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
        self.embed_each(texts).into_iter().collect()
    }

    fn embed_within(&self, texts: &[&str], patience: Duration) -> Result<Vec<Vec<f32>>> {
        let ask = |asked: &[&str]| match self.embedder.embed_within(asked, patience) {
            Ok(made) => made.into_iter().map(Ok).collect(),
            Err(e) => asked.iter().map(|_| Err(e.again())).collect(),
        };
        // Who has little patience does not spend it on another's call.
        self.step(texts, &ask, false).into_iter().collect()
    }

    fn embed_each(&self, texts: &[&str]) -> Vec<Result<Vec<f32>>> {
        let mut each: Vec<Result<Vec<f32>>> = Vec::with_capacity(texts.len());
        for part in texts.chunks(STEP) {
            // Where the service is away, nobody asks it for the rest.
            let away =
                each.last().and_then(|last| last.as_ref().err()).filter(|e| e.kind() != ErrorKind::Invalid);
            match away.map(Error::again) {
                Some(away) => each.extend(part.iter().map(|_| Err(away.again()))),
                None => each.extend(self.step(part, &|asked| self.embedder.embed_each(asked), true)),
            }
        }
        each
    }
}
