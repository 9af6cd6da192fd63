//! The shared state behind a collection's handles, and the locks that order its writers.
//!
//! Order of locks: `turn` (of two collections, that of the lower number first), `chores`, `linking`, `writer`, then the small ones (`ids`, `members`, a field index, `files`), last `marks`.
//! `writer` and the small ones are never held across a call to the graph, nor across a sync.

use super::damage::alarm::Damage;
use super::damage::missing::Missing;
use super::files::replay::Described;
use super::files::restore::block_slots;
use super::read::filters::FilterCache;
use super::tables::names::Names;
use super::tap::{Digests, Lack, Marks};
use super::upkeep::keeper::Bell;
use super::view::{Tables, View};
use super::words::Words;
use super::write::commit::Line;
use super::write::link::Unlinked;
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

pub(crate) struct Inner {
    /// Names it in the log and on disk; a name may come again after a drop, a number never.
    pub(crate) number: u32,
    pub(crate) id_seed: u64,
    /// Of now: see [`Self::name`].
    called: RwLock<Called>,
    /// Held by callers' writes, and alone by whoever gives its name to another collection: see [`Collection::writes`].
    ///
    /// [`Collection::writes`]: super::collection::Collection::writes
    pub(crate) turn: RwLock<()>,
    /// It gave its name away, or got another's, while handles may be held that were opened before.
    pub(crate) was_switched: AtomicBool,
    pub(crate) schema: Schema,
    pub(crate) options: Options,
    /// The store's line of commits, shared by its collections.
    pub(crate) line: Arc<Line>,
    pub(crate) dropped: AtomicBool,
    pub(crate) view: ArcSwap<View>,
    /// Held by whoever writes into the tables or publishes a view.
    pub(crate) writer: Mutex<Writer>,
    pub(crate) names: Names,
    pub(crate) graph: Box<dyn Graph>,
    /// Read while rows are linked; written while codes are replaced or lists are healed.
    pub(crate) linking: RwLock<()>,
    pub(crate) unlinked: Unlinked,
    pub(crate) chores: Mutex<Chores>,
    /// Slots that died since the lists were last led around the dead.
    pub(crate) dead: AtomicUsize,
    /// Tables that were replaced, until nobody looks at them.
    pub(crate) retired: Mutex<Vec<Arc<Tables>>>,
    /// Blocks whose lists and codes were moved from files into memory, or tried to.
    pub(crate) warmed: AtomicUsize,
    /// Steps that changed lists.
    pub(crate) link_steps: AtomicU64,
    /// Slots linked since the last search for lost ones.
    pub(crate) unmended: AtomicUsize,
    /// Rows with a vector when the codec was last trained.
    pub(crate) trained_at: AtomicUsize,
    pub(crate) filters: FilterCache,
    pub(crate) words: Words,
    pub(crate) files: Mutex<Files>,
    pub(crate) damage: Damage,
    /// What the mirror's database does not know yet.
    pub(crate) marks: Mutex<Marks>,
    pub(crate) digests: Digests,
    /// What the mirror's database has and this collection does not, yet.
    pub(crate) lack: Lack,
    /// Wakes who does the background work; nobody does in a store in memory.
    pub(crate) background: Option<Arc<Bell>>,
    scratches: ArrayQueue<Box<Scratch>>,
}

/// What a collection is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    pub(crate) here: Arc<str>,
    /// In the mirror's database, where that is another name.
    pub(crate) there: Option<Arc<str>>,
}

/// What a collection is made of.
pub(crate) struct Parts {
    pub(crate) number: u32,
    pub(crate) called: Called,
    pub(crate) schema: Schema,
    pub(crate) id_seed: u64,
    pub(crate) view: View,
    pub(crate) graph: Box<dyn Graph>,
    pub(crate) files: Files,
    /// Raised by the files of rows.
    pub(crate) alarm: Arc<AtomicBool>,
    pub(crate) marks: Marks,
    pub(crate) words: Words,
}

/// What a checkpoint needs to know beside the view.
#[derive(Default)]
pub(crate) struct Files {
    /// The first commit that put a row into each block that no file holds.
    pub(crate) block_seqs: BTreeMap<u16, Seq>,
    /// Rows that are damaged.
    pub(crate) missing: Missing,
    /// Files of rows that cannot be used at all, until a copy stands in the quarantine.
    pub(crate) unusable: Vec<String>,
    /// Blocks whose codes were made again: what their file holds is not to be used.
    pub(crate) remade: BTreeSet<u16>,
    /// The file of sets is bad: the next checkpoint writes another, whether anything has changed or not.
    pub(crate) has_bad_sets: bool,
    /// The file that the lists came from is bad: no file is made from them, so that the next opening links anew.
    pub(crate) has_bad_links: bool,
    /// Which codec made the codes: one more each time that it is trained anew.
    pub(crate) codec: u32,
    /// [`Inner::link_steps`] when links were last saved; `None` if no file holds them.
    pub(crate) links_saved: Option<u64>,
    /// Blocks that were given back, and how many of them the manifest knows of.
    pub(crate) dropped: BTreeSet<u16>,
    pub(crate) dropped_saved: usize,
}

/// What only the writer needs.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) work: Vec<f32>,
}

/// How far the chores are. Whoever holds it does them.
#[derive(Default)]
pub(crate) struct Chores {
    /// The pass of healing that is under way.
    pub(crate) healing: Option<Healing>,
}

/// A pass over all lists.
pub(crate) struct Healing {
    /// Linked slots that were dead when it began: no list names them when it is through.
    pub(crate) gone: SlotBits,
    /// Whether what hung on those is provided for, and lists are led around them.
    pub(crate) leads: bool,
    /// Where it stands: in `gone`, then in all slots.
    pub(crate) from: Slot,
}

impl Called {
    pub(crate) fn new(here: &str, there: Option<&str>) -> Self {
        Self { here: here.into(), there: there.filter(|there| *there != here).map(Arc::from) }
    }

    pub(crate) fn there(&self) -> &Arc<str> {
        self.there.as_ref().unwrap_or(&self.here)
    }
}

impl Inner {
    /// A collection without rows.
    pub(crate) fn new(
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
        let words = Words::new(number, &schema)?;
        let parts = Parts {
            number,
            called: Called::new(name, None),
            schema,
            id_seed,
            view,
            graph,
            files,
            alarm,
            marks,
            words,
        };
        Ok(Self::of(parts, options, line))
    }

    /// A collection with rows that are there already.
    pub(crate) fn of(parts: Parts, options: Options, line: Arc<Line>) -> Self {
        let Parts { number, called, schema, id_seed, view, graph, files, alarm, marks, words } = parts;
        let view_dead = view.linked.len() - view.linked.and(&view.ready).len();
        Self {
            number,
            called: RwLock::new(called),
            turn: RwLock::new(()),
            was_switched: AtomicBool::new(false),
            graph,
            filters: FilterCache::new(options.filter_cache_bytes),
            names: Names::new(id_seed),
            words,
            unlinked: Unlinked::of(&view.tail),
            // Codes that no file holds were made untrained.
            trained_at: AtomicUsize::new(if files.codec > 0 { view.ready.len() } else { 0 }),
            damage: Damage::new(alarm, !files.missing.is_empty()),
            files: Mutex::new(files),
            marks: Mutex::new(marks),
            digests: Digests::default(),
            lack: Lack::default(),
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

    /// What it is called. It may be called something else after any commit.
    pub(crate) fn name(&self) -> Arc<str> {
        self.called.read().here.clone()
    }

    /// What the mirror's database calls it.
    pub(crate) fn mirror_name(&self) -> Arc<str> {
        self.called.read().there().clone()
    }

    pub(crate) fn called(&self) -> Called {
        self.called.read().clone()
    }

    /// It is called that from now on: whoever says so has committed it.
    pub(crate) fn set_called(&self, called: Called) {
        *self.called.write() = called;
    }

    /// The same with somebody who does the background work.
    pub(crate) fn with_background(mut self, bell: Option<Arc<Bell>>) -> Self {
        self.background = bell;
        self
    }

    /// What the log says of it when it comes or goes.
    pub(crate) fn describe(&self) -> String {
        let Called { here, there } = self.called();
        let (name, mirror_name) = (here.to_string(), there.map(|there| there.to_string()));
        let described = Described { number: self.number, name, mirror_name, schema: self.schema.clone() };
        serde_json::to_string(&described).unwrap_or_default()
    }

    /// Slots of a block: as many as fit into its bytes.
    pub(crate) fn block_slots(&self) -> usize {
        block_slots(&self.schema, &self.options)
    }

    /// The live slots of a document, those of a tenant alone if one is named.
    pub(crate) fn document_slots(&self, view: &View, document: &str, tenant: Option<&str>) -> Vec<Slot> {
        let members = self.members();
        let slots = members.documents.get(document).into_iter().flatten().map(Slot);
        let mine = |s: &Slot| tenant.is_none() || view.tables.rows.tenant(*s) == tenant;
        slots.filter(|s| view.live.contains(*s) && mine(s)).collect()
    }

    /// The slots of `set` that are of the tenant; all if none is named.
    pub(crate) fn of_tenant(&self, set: SlotBits, tenant: Option<&str>) -> SlotBits {
        let Some(tenant) = tenant else { return set };
        let of_tenant = self.members().tenants.get(tenant).map(SlotBits::of_roaring);
        set.and(&of_tenant.unwrap_or_default())
    }

    pub(crate) fn with_scratch<T>(&self, call: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = self.scratches.pop().unwrap_or_default();
        let answer = call(&mut scratch);
        // A full pool drops it.
        let _ = self.scratches.push(scratch);
        answer
    }

    pub(crate) fn ensure_open(&self) -> Result<()> {
        if self.dropped.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::NotFound, format!("collection {:?} was dropped", self.name())));
        }
        Ok(())
    }
}

pub(crate) fn graph_of(schema: &Schema) -> Result<Box<dyn Graph>> {
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
