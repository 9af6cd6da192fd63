//! A small store on a simulated disk that has every kind of file, and what must be in it.

use crate::config::{Metric, Options, Schema, Tiny};
use crate::disk::sim::{Random, SimDisk};
use crate::engine::{Collection, Store};
use crate::record::Chunk;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const DIM: usize = 256;
/// Vectors of a block fill the first two pieces of its file and a little of the third, where its index and bodies are.
pub(super) const BLOCK_ROWS: usize = 128;

pub(super) type Model = BTreeMap<String, Chunk>;

pub(super) struct Bed {
    pub(super) disk: SimDisk,
    /// The rows after each commit; the last state holds.
    pub(super) states: Vec<Model>,
    /// Every row there ever was, by id and version.
    pub(super) ever: BTreeMap<(String, u64), Chunk>,
}

pub(super) fn options() -> Options {
    let tiny = Tiny { block_slots: BLOCK_ROWS, log_file_bytes: 64 << 20 };
    Options { tiny: Some(tiny), disk_reserve_bytes: 0, ..Options::default() }
}

pub(super) fn open(disk: &SimDisk) -> crate::Result<Store> {
    Store::open_still(Arc::new(disk.clone()), options())
}

pub(super) fn docs(store: &Store) -> Collection {
    store.open_collection("docs").unwrap()
}

pub(super) fn chunk(id: usize, version: u64) -> Chunk {
    let mut random = Random::new(version << 32 | id as u64);
    let vector: Vec<f32> = (0..DIM).map(|_| random.below(2001) as f32 / 1000.0 - 1.0).collect();
    let chunk = Chunk::new(format!("id-{id}"))
        .text(format!("text {version} of {id} {}", "x".repeat(id % 300)))
        .document(format!("doc-{}", id % 7), id as u32)
        .meta("version", version);
    if id % 11 == 5 { chunk } else { chunk.vector(vector) }
}

impl Bed {
    /// Two blocks that are sealed, one that grew until the store was closed, and a log with writes after that.
    pub(super) fn new() -> Self {
        Self::make(|_| {})
    }

    /// The same of a store that got a mirror on the way.
    pub(super) fn attached() -> Self {
        Self::make(|store| {
            store.tap().attach().unwrap();
            store.tap().remember(b"a cursor").unwrap();
        })
    }

    fn make(on_the_way: impl FnOnce(&Store)) -> Self {
        let disk = SimDisk::new();
        let mut bed = Self { disk: disk.clone(), states: vec![Model::new()], ever: BTreeMap::new() };
        let store = open(&disk).unwrap();
        let docs = store.create_collection("docs", Schema::new(DIM, Metric::Cosine)).unwrap();
        bed.states.push(Model::new());
        for part in [0..50, 50..180, 180..290] {
            bed.upsert(&docs, part.map(|id| chunk(id, 1)).collect());
        }
        store.checkpoint().unwrap();
        on_the_way(&store);
        bed.delete(&docs, &["id-3", "id-120", "id-200"]);
        bed.upsert(&docs, (60..70).map(|id| chunk(id, 2)).collect());
        store.close(Duration::from_secs(60)).unwrap();
        drop((store, docs));
        let store = open(&disk).unwrap();
        let docs = store.open_collection("docs").unwrap();
        bed.upsert(&docs, (300..305).map(|id| chunk(id, 3)).collect());
        bed.upsert(&docs, vec![chunk(10, 3), chunk(301, 4)]);
        bed.delete(&docs, &["id-11", "id-302"]);
        bed
    }

    pub(super) fn key(chunk: &Chunk) -> (String, u64) {
        (chunk.id.clone(), chunk.metadata.get("version").and_then(|v| v.as_u64()).unwrap_or(0))
    }

    pub(super) fn model(&self) -> &Model {
        self.states.last().unwrap()
    }

    fn upsert(&mut self, docs: &Collection, chunks: Vec<Chunk>) {
        let mut next = self.model().clone();
        for chunk in chunks {
            docs.upsert([chunk.clone()]).unwrap();
            self.ever.insert(Self::key(&chunk), chunk.clone());
            next.insert(chunk.id.clone(), chunk);
            self.states.push(next.clone());
        }
    }

    fn delete(&mut self, docs: &Collection, ids: &[&str]) {
        docs.delete(ids.iter().copied()).unwrap();
        let mut next = self.model().clone();
        next.retain(|id, _| !ids.contains(&id.as_str()));
        self.states.push(next);
    }
}
