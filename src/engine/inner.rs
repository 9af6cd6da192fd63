//! The shared state behind a collection's handles, and the locks that order its writers.
//!
//! Order of locks: `writer`, then `linking`, then the small ones (`ids`, `members`, a field index), which are never held
//! across a call to the graph.

use super::filters::FilterCache;
use super::ids::IdTable;
use super::rows::RowTable;
use super::view::{Tables, View};
use crate::codes::{CodeTable, Codec, VectorTable};
use crate::config::{GraphKind, Options, Schema};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{FlatGraph, Graph, Scratch};
use crate::ids::{BLOCK_SLOTS, Seq, Slot};
use crate::limits;
use crate::sets::SlotBits;
use arc_swap::ArcSwap;
use crossbeam::queue::ArrayQueue;
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Scratches that are kept between calls: as many as searches usually run at once.
const SCRATCHES_KEPT: usize = 64;

pub(super) struct Inner {
    pub(super) name: Box<str>,
    pub(super) schema: Schema,
    pub(super) options: Options,
    /// The store's commit counter, shared by its collections.
    pub(super) seq: Arc<AtomicU64>,
    pub(super) dropped: AtomicBool,
    pub(super) view: ArcSwap<View>,
    pub(super) writer: Mutex<Writer>,
    pub(super) ids: RwLock<IdTable>,
    pub(super) members: RwLock<Members>,
    pub(super) graph: Box<dyn Graph>,
    /// Read while rows are linked; written while codes are replaced or lists are healed.
    pub(super) linking: RwLock<()>,
    pub(super) filters: FilterCache,
    scratches: ArrayQueue<Box<Scratch>>,
}

/// What only the writer needs.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) work: Vec<f32>,
    /// Rows with a vector when the codec was last trained.
    pub(super) trained_at: usize,
    /// Slots that died since the lists were last led around the dead.
    pub(super) dead: usize,
    /// How many of them had died when the present pass of healing began, and where it stands.
    pub(super) healing: Option<(usize, Slot)>,
    /// Slots linked since the last search for lost ones.
    pub(super) unmended: usize,
}

/// Slots by document and by tenant. Dead slots stay in until their block goes; every reader intersects with `live`.
#[derive(Default)]
pub(super) struct Members {
    pub(super) documents: HashMap<Arc<str>, RoaringBitmap>,
    pub(super) tenants: HashMap<Arc<str>, RoaringBitmap>,
    pub(super) models: HashMap<Arc<str>, ()>,
}

impl Inner {
    pub(super) fn new(name: &str, schema: Schema, options: Options, seq: Arc<AtomicU64>) -> Result<Self> {
        let tables = Tables {
            codes: CodeTable::new(Codec::untrained(schema.metric, schema.dim)),
            vectors: VectorTable::new(schema.dim),
            rows: RowTable::default(),
            fields: Vec::new(),
        };
        let view = View {
            seq: Seq(seq.load(Ordering::Acquire)),
            tables: Arc::new(tables),
            live: SlotBits::default(),
            ready: SlotBits::default(),
            tail: Arc::default(),
            linked: 0,
        };
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), name);
        Ok(Self {
            name: name.into(),
            graph: graph_of(&schema)?,
            filters: FilterCache::new(options.filter_cache_bytes),
            schema,
            options,
            seq,
            dropped: AtomicBool::new(false),
            view: ArcSwap::from_pointee(view),
            writer: Mutex::default(),
            ids: RwLock::new(IdTable::new(seed)),
            members: RwLock::default(),
            linking: RwLock::new(()),
            scratches: ArrayQueue::new(SCRATCHES_KEPT),
        })
    }

    /// Slots of a block: as many as fit into its bytes.
    pub(super) fn block_slots(&self) -> usize {
        (limits::BLOCK_BYTES_MAX / (self.schema.dim * size_of::<f32>())).clamp(1, BLOCK_SLOTS)
    }

    pub(super) fn with_scratch<T>(&self, call: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = self.scratches.pop().unwrap_or_default();
        let answer = call(&mut scratch);
        // A full pool drops it.
        let _ = self.scratches.push(scratch);
        answer
    }

    pub(super) fn ensure_open(&self) -> Result<()> {
        if self.dropped.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::NotFound, format!("collection {:?} was dropped", self.name)));
        }
        Ok(())
    }
}

fn graph_of(schema: &Schema) -> Result<Box<dyn Graph>> {
    match schema.graph {
        GraphKind::Flat => Ok(Box::new(FlatGraph::new(schema.m, schema.ef_construction))),
        #[cfg(feature = "hnsw-rs")]
        GraphKind::HnswRs => Ok(Box::new(crate::graph::HnswRsGraph::new(
            schema.metric,
            schema.dim,
            schema.m,
            schema.ef_construction,
        ))),
        #[cfg(not(feature = "hnsw-rs"))]
        GraphKind::HnswRs => {
            Err(Error::invalid("graph hnsw_rs needs the feature `hnsw-rs`, which this build lacks"))
        }
    }
}
