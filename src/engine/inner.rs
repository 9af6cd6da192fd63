//! The shared state behind a collection's handles, and the locks that order its writers.
//!
//! Order of locks: `chores`, `linking`, `writer`, then the small ones (`ids`, `members`, a field index, `files`), last `marks`.
//! `writer` and the small ones are never held across a call to the graph, nor across a sync.

use super::commit::Line;
use super::damage::Damage;
use super::filters::FilterCache;
use super::keeper::Bell;
use super::link::Unlinked;
use super::missing::Missing;
use super::names::Names;
use super::replay::Described;
use super::restore::block_slots;
use super::tap::{Digests, Marks};
use super::view::{Tables, View};
use crate::config::{GraphKind, Options, Schema};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{FlatGraph, Graph, Scratch};
use crate::ids::{Seq, Slot};
use crate::sets::SlotBits;
use arc_swap::ArcSwap;
use crossbeam::queue::ArrayQueue;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Scratches that are kept between calls: as many as searches usually run at once.
const SCRATCHES_KEPT: usize = 64;

pub(super) struct Inner {
    /// Names it in the log and on disk; a name may come again after a drop, a number never.
    pub(super) number: u32,
    pub(super) id_seed: u64,
    pub(super) name: Box<str>,
    pub(super) schema: Schema,
    pub(super) options: Options,
    /// The store's line of commits, shared by its collections.
    pub(super) line: Arc<Line>,
    pub(super) dropped: AtomicBool,
    pub(super) view: ArcSwap<View>,
    /// Held by whoever writes into the tables or publishes a view.
    pub(super) writer: Mutex<Writer>,
    pub(super) names: Names,
    pub(super) graph: Box<dyn Graph>,
    /// Read while rows are linked; written while codes are replaced or lists are healed.
    pub(super) linking: RwLock<()>,
    pub(super) unlinked: Unlinked,
    pub(super) chores: Mutex<Chores>,
    /// Slots that died since the lists were last led around the dead.
    pub(super) dead: AtomicUsize,
    /// Tables that were replaced, until nobody looks at them.
    pub(super) retired: Mutex<Vec<Arc<Tables>>>,
    /// Blocks whose lists and codes were moved from files into memory, or tried to.
    pub(super) warmed: AtomicUsize,
    /// Steps that changed lists.
    pub(super) link_steps: AtomicU64,
    /// Slots linked since the last search for lost ones.
    pub(super) unmended: AtomicUsize,
    /// Rows with a vector when the codec was last trained.
    pub(super) trained_at: AtomicUsize,
    pub(super) filters: FilterCache,
    pub(super) files: Mutex<Files>,
    pub(super) damage: Damage,
    /// What the mirror's database does not know yet.
    pub(super) marks: Mutex<Marks>,
    pub(super) digests: Digests,
    /// Wakes who does the background work; nobody does in a store in memory.
    pub(super) background: Option<Arc<Bell>>,
    scratches: ArrayQueue<Box<Scratch>>,
}

/// What a collection is made of.
pub(super) struct Parts {
    pub(super) number: u32,
    pub(super) name: Box<str>,
    pub(super) schema: Schema,
    pub(super) id_seed: u64,
    pub(super) view: View,
    pub(super) graph: Box<dyn Graph>,
    pub(super) files: Files,
    /// Raised by the files of rows.
    pub(super) alarm: Arc<AtomicBool>,
    pub(super) marks: Marks,
}

/// What a checkpoint needs to know beside the view.
#[derive(Default)]
pub(super) struct Files {
    /// The first commit that put a row into each block that no file holds.
    pub(super) block_seqs: BTreeMap<u16, Seq>,
    /// Rows that are damaged.
    pub(super) missing: Missing,
    /// Files of rows that cannot be used at all, until a copy stands in the quarantine.
    pub(super) unusable: Vec<String>,
    /// Blocks whose codes were made again: what their file holds is not to be used.
    pub(super) remade: BTreeSet<u16>,
    /// The file of sets is bad: the next checkpoint writes another, whether anything has changed or not.
    pub(super) has_bad_sets: bool,
    /// The file that the lists came from is bad: no file is made from them, so that the next opening links anew.
    pub(super) has_bad_links: bool,
    /// Which codec made the codes: one more each time that it is trained anew.
    pub(super) codec: u32,
    /// [`Inner::link_steps`] when links were last saved; `None` if no file holds them.
    pub(super) links_saved: Option<u64>,
    /// Blocks that were given back, and how many of them the manifest knows of.
    pub(super) dropped: BTreeSet<u16>,
    pub(super) dropped_saved: usize,
}

/// What only the writer needs.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) work: Vec<f32>,
}

/// How far the chores are. Whoever holds it does them.
#[derive(Default)]
pub(super) struct Chores {
    /// The pass of healing that is under way.
    pub(super) healing: Option<Healing>,
}

/// A pass over all lists.
pub(super) struct Healing {
    /// Where it stands.
    pub(super) from: Slot,
    /// Linked slots that were dead when it began: no list names them when it is through.
    pub(super) dead: Vec<Slot>,
}

impl Inner {
    /// A collection without rows.
    pub(super) fn new(
        number: u32,
        name: &str,
        schema: Schema,
        options: Options,
        line: Arc<Line>,
        id_seed: u64,
    ) -> Result<Self> {
        let view = View {
            seq: line.token().seq,
            tables: Arc::new(Tables::new(&schema)),
            live: SlotBits::default(),
            ready: SlotBits::default(),
            tail: Arc::default(),
            linked: SlotBits::default(),
        };
        let graph = graph_of(&schema)?;
        let (files, alarm) = Default::default();
        let marks = Marks::default();
        let parts = Parts { number, name: name.into(), schema, id_seed, view, graph, files, alarm, marks };
        Ok(Self::of(parts, options, line))
    }

    /// A collection with rows that are there already.
    pub(super) fn of(parts: Parts, options: Options, line: Arc<Line>) -> Self {
        let Parts { number, name, schema, id_seed, view, graph, files, alarm, marks } = parts;
        let view_dead = view.linked.len() - view.linked.and(&view.ready).len();
        Self {
            number,
            name,
            graph,
            filters: FilterCache::new(options.filter_cache_bytes),
            names: Names::new(id_seed),
            unlinked: Unlinked::of(&view.tail),
            // Codes that no file holds were made untrained.
            trained_at: AtomicUsize::new(if files.codec > 0 { view.ready.len() } else { 0 }),
            damage: Damage::new(alarm, !files.missing.is_empty()),
            files: Mutex::new(files),
            marks: Mutex::new(marks),
            digests: Digests::default(),
            id_seed,
            schema,
            options,
            line,
            dropped: AtomicBool::new(false),
            view: ArcSwap::from_pointee(view),
            writer: Mutex::default(),
            linking: RwLock::new(()),
            chores: Mutex::default(),
            dead: AtomicUsize::new(view_dead),
            link_steps: AtomicU64::new(0),
            retired: Mutex::default(),
            warmed: AtomicUsize::new(0),
            unmended: AtomicUsize::new(0),
            background: None,
            scratches: ArrayQueue::new(SCRATCHES_KEPT),
        }
    }

    /// The same with somebody who does the background work.
    pub(super) fn with_background(mut self, bell: Option<Arc<Bell>>) -> Self {
        self.background = bell;
        self
    }

    /// What the log says of it when it comes or goes.
    pub(super) fn describe(&self) -> String {
        let described =
            Described { number: self.number, name: self.name.to_string(), schema: self.schema.clone() };
        serde_json::to_string(&described).unwrap_or_default()
    }

    /// Slots of a block: as many as fit into its bytes.
    pub(super) fn block_slots(&self) -> usize {
        block_slots(&self.schema, &self.options)
    }

    /// The live slots of a document, those of a tenant alone if one is named.
    pub(super) fn document_slots(&self, view: &View, document: &str, tenant: Option<&str>) -> Vec<Slot> {
        let members = self.members();
        let slots = members.documents.get(document).into_iter().flatten().map(Slot);
        let mine = |s: &Slot| tenant.is_none() || view.tables.rows.tenant(*s) == tenant;
        slots.filter(|s| view.live.contains(*s) && mine(s)).collect()
    }

    /// The slots of `set` that are of the tenant; all if none is named.
    pub(super) fn of_tenant(&self, set: SlotBits, tenant: Option<&str>) -> SlotBits {
        let Some(tenant) = tenant else { return set };
        let of_tenant = self.members().tenants.get(tenant).map(SlotBits::of_roaring);
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

pub(super) fn graph_of(schema: &Schema) -> Result<Box<dyn Graph>> {
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
