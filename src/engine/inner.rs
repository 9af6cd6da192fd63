//! The shared state behind a collection's handles, and the locks that order its writers.
//!
//! Order of locks: `chores`, `linking`, `writer`, then the small ones (`ids`, `members`, a field index). `writer` and the
//! small ones are never held across a call to the graph, nor across a sync.

use super::commit::Line;
use super::filters::FilterCache;
use super::ids::IdTable;
use super::link::Unlinked;
use super::rows::RowTable;
use super::view::{Tables, View};
use crate::codes::{CodeTable, Codec, VectorTable};
use crate::config::{GraphKind, Options, Schema};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{FlatGraph, Graph, Scratch};
use crate::ids::{BLOCK_SLOTS, Slot};
use crate::limits;
use crate::sets::SlotBits;
use arc_swap::ArcSwap;
use crossbeam::queue::ArrayQueue;
use parking_lot::{Mutex, RwLock};
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Scratches that are kept between calls: as many as searches usually run at once.
const SCRATCHES_KEPT: usize = 64;

pub(super) struct Inner {
    pub(super) name: Box<str>,
    pub(super) schema: Schema,
    pub(super) options: Options,
    /// The store's line of commits, shared by its collections.
    pub(super) line: Arc<Line>,
    pub(super) dropped: AtomicBool,
    pub(super) view: ArcSwap<View>,
    /// Held by whoever writes into the tables or publishes a view.
    pub(super) writer: Mutex<Writer>,
    pub(super) ids: RwLock<IdTable>,
    pub(super) members: RwLock<Members>,
    pub(super) graph: Box<dyn Graph>,
    /// Read while rows are linked; written while codes are replaced or lists are healed.
    pub(super) linking: RwLock<()>,
    pub(super) unlinked: Unlinked,
    pub(super) chores: Mutex<Chores>,
    /// Slots that died since the lists were last led around the dead.
    pub(super) dead: AtomicUsize,
    /// Slots linked since the last search for lost ones.
    pub(super) unmended: AtomicUsize,
    /// Rows with a vector when the codec was last trained.
    pub(super) trained_at: AtomicUsize,
    pub(super) filters: FilterCache,
    scratches: ArrayQueue<Box<Scratch>>,
}

/// What only the writer needs.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) work: Vec<f32>,
}

/// How far the chores are. Whoever holds it does them.
#[derive(Default)]
pub(super) struct Chores {
    /// How many slots were dead when the present pass of healing began, and where it stands.
    pub(super) healing: Option<(usize, Slot)>,
}

/// Slots by document and by tenant. Dead slots stay in until their block goes; every reader intersects with `live`.
#[derive(Default)]
pub(super) struct Members {
    pub(super) documents: HashMap<Arc<str>, RoaringBitmap>,
    pub(super) tenants: HashMap<Arc<str>, RoaringBitmap>,
    pub(super) models: HashMap<Arc<str>, ()>,
}

impl Inner {
    pub(super) fn new(name: &str, schema: Schema, options: Options, line: Arc<Line>) -> Result<Self> {
        let tables = Tables {
            codes: CodeTable::new(Codec::untrained(schema.metric, schema.dim)),
            vectors: VectorTable::new(schema.dim),
            rows: RowTable::default(),
            fields: Vec::new(),
        };
        let view = View {
            seq: line.token().seq,
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
            line,
            dropped: AtomicBool::new(false),
            view: ArcSwap::from_pointee(view),
            writer: Mutex::default(),
            ids: RwLock::new(IdTable::new(seed)),
            members: RwLock::default(),
            linking: RwLock::new(()),
            unlinked: Unlinked::default(),
            chores: Mutex::default(),
            dead: AtomicUsize::new(0),
            unmended: AtomicUsize::new(0),
            trained_at: AtomicUsize::new(0),
            scratches: ArrayQueue::new(SCRATCHES_KEPT),
        })
    }

    /// Slots of a block: as many as fit into its bytes.
    pub(super) fn block_slots(&self) -> usize {
        (limits::BLOCK_BYTES_MAX / (self.schema.dim * size_of::<f32>())).clamp(1, BLOCK_SLOTS)
    }

    /// The live slots of a document, those of a tenant alone if one is named.
    pub(super) fn document_slots(&self, view: &View, document: &str, tenant: Option<&str>) -> Vec<Slot> {
        let members = self.members.read();
        let slots = members.documents.get(document).into_iter().flatten().map(Slot);
        let mine = |s: &Slot| tenant.is_none() || view.tables.rows.tenant(*s) == tenant;
        slots.filter(|s| view.live.contains(*s) && mine(s)).collect()
    }

    /// The slots of `set` that are of the tenant; all if none is named.
    pub(super) fn of_tenant(&self, set: SlotBits, tenant: Option<&str>) -> SlotBits {
        let Some(tenant) = tenant else { return set };
        let of_tenant = self.members.read().tenants.get(tenant).map(SlotBits::of_roaring);
        set.and(&of_tenant.unwrap_or_default())
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
