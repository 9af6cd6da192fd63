//! A collection and a model to take it to.

mod comparing;
mod filling;
mod killed;
mod mirrored;
mod switching;

use super::*;
use crate::config::{Metric, Options, Schema};
use crate::disk::sim::SimDisk;
use crate::embed::{Embedder, Hashed};
use crate::record::Chunk;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Numbers of a vector, before and after.
const BEFORE: usize = 64;
const AFTER: usize = 96;

type Meanwhile = Box<dyn FnOnce() + Send>;

/// The new model: counts the texts, refuses some, may be away, and does something while it is asked.
#[derive(Default)]
struct Model {
    asked: AtomicUsize,
    away: AtomicBool,
    /// Texts after which it is away.
    away_after: AtomicUsize,
    lenient: AtomicBool,
    /// How often a text by itself was refused.
    refused: AtomicUsize,
    meanwhile: Mutex<Vec<Meanwhile>>,
}

impl Model {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Does one after the other, in the first calls.
    fn meanwhile(&self, what: Meanwhile) {
        self.meanwhile.lock().insert(0, what);
    }
}

impl Embedder for Model {
    fn model(&self) -> &str {
        "after"
    }

    fn dim(&self) -> usize {
        AFTER
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let meanwhile = self.meanwhile.lock().pop();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        let limit = self.away_after.load(Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) || limit > 0 && self.asked() >= limit {
            return Err(Error::new(ErrorKind::Unavailable, "away for now"));
        }
        if !self.lenient.load(Ordering::Relaxed) && texts.iter().any(|text| text.contains("BAD")) {
            self.refused.fetch_add(usize::from(texts.len() == 1), Ordering::Relaxed);
            return Err(Error::invalid("not this text"));
        }
        self.asked.fetch_add(texts.len(), Ordering::Relaxed);
        Hashed::new(AFTER)?.embed(texts)
    }
}

fn vector(dim: usize, text: &str) -> Vec<f32> {
    Hashed::new(dim).unwrap().embed(&[text]).unwrap().remove(0)
}

/// A row as the old model has it.
fn row(id: usize) -> Chunk {
    worded(id, &format!("the text of row {id} tells of thing {} and no other", id * 7 % 31))
}

fn worded(id: usize, text: &str) -> Chunk {
    let chunk = Chunk::new(id.to_string()).text(text).vector(vector(BEFORE, text)).embedding_model("before");
    let chunk = chunk.meta("n", id as u64).document(format!("doc-{}", id / 5), (id % 5) as u32);
    if id.is_multiple_of(3) { chunk.tenant(format!("t{}", id % 2)) } else { chunk }
}

fn schema() -> Schema {
    Schema::new(BEFORE, Metric::Cosine)
}

fn options() -> Options {
    Options::default().disk_reserve_bytes(0)
}

fn still(disk: &SimDisk) -> Store {
    Store::open_still(Arc::new(disk.clone()), options()).unwrap()
}

fn filled_with(store: &Store, rows: usize) -> Collection {
    let docs = store.create_collection("docs", schema()).unwrap();
    docs.upsert((0..rows).map(row)).unwrap();
    docs
}

fn all(collection: &Collection) -> Vec<Chunk> {
    let mut chunks = collection.scroll(None, None, usize::MAX).unwrap().chunks;
    chunks.sort_by(|a, b| a.id.cmp(&b.id));
    chunks
}

/// What a caller stored of them.
fn contents(chunks: Vec<Chunk>) -> Vec<Chunk> {
    chunks.into_iter().map(|chunk| Chunk { vector: None, embedding_model: None, ..chunk }).collect()
}

/// Every row of `next` has the new model's vector of its own text.
fn check_vectors(next: &Collection) {
    for chunk in all(next) {
        let own = vector(AFTER, chunk.text.as_deref().unwrap());
        assert_eq!(
            (chunk.vector, chunk.embedding_model.as_deref()),
            (Some(own), Some("after")),
            "row {}",
            chunk.id
        );
    }
}

fn names(store: &Store) -> Vec<String> {
    store.collections().iter().map(|c| c.name().to_owned()).collect()
}

fn batches(batch: usize) -> MigrationOptions {
    MigrationOptions { batch, ..MigrationOptions::default() }
}

fn fill(migration: &Migration, model: &Model) -> Result<MigrationStatus> {
    migration.fill(model, batches(16), &mut |_| true)
}

fn switch(migration: &Migration, model: &Model) -> Result<Switched> {
    let options = SwitchOptions { fill: batches(16), ..SwitchOptions::default() };
    migration.switch(model, &options, &mut |_| true)
}
