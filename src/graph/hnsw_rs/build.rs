//! One `Hnsw` and what stands beside it: which slots are in, chains of twins, strays.
//!
//! *Twins* are equal rows. The first is a point of the crate's graph, the others hang on it in a chain, as in the flat
//! graph: the crate prunes candidates on equality and cuts full lists by distance alone, so a few hundred equal rows
//! shut themselves and their neighbours off (measured: 97 of 3,100 reachable, with 3,000 equal ones).
//!
//! *Strays* are points that a narrow search for their own row missed right after they were inserted, or that no list
//! leads to any more; the same cut by distance makes them, of rows far from all others most of all. Every search
//! compares the query with each of them. Measured on 20,000 rows in 3 to 200 clusters, with 200 far from all (24
//! dimensions, `l1`, `ef` 64): up to 102 of the 200 were not found, and all are since; 50 to 213 strays.
//!
//! Under `dot` most rows of a cluster are no other row's near one, so most are strays after a [`Build::find_strays`]
//! (17,000 of 20,000 at worst); that is right, and makes a search a scan. Rows of one length do not show it: they order as under cosine.
//!
//! The crate's `keep_pruned` stays off: it filled lists with neighbours of one side, and recall at `ef` 64 fell from 1.0
//! to .78 on 2,000 rows in 20 clusters (`l2`).
//!
//! Invariants: a slot comes in once, claimed in its cell, whoever asks how often; a chain only grows, from its head; the
//! first point is inserted alone, for two at once may both find the graph empty and stay unlinked.

use super::closing::Closing;
use super::order::{Order, counted};
use crate::codes::{Exact, VectorTable};
use crate::config::Metric;
use crate::disk::Cells;
use crate::error::Result;
use crate::graph::{Ask, Near, Walk};
use crate::ids::Slot;
use crate::sets::SlotBits;
use ::hnsw_rs::prelude::{Hnsw, Neighbour};
use arc_swap::ArcSwap;
use hashbrown::HashTable;
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use xxhash_rust::xxh3::Xxh3;

/// Levels the crate knows.
const LEVELS: usize = 16;
/// The cell of a slot that is not in.
const ABSENT: u32 = 0;

/// The numbers a graph is built with.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) order: Order,
    pub(super) m: usize,
    pub(super) ef_construction: usize,
}

pub(super) struct Build {
    order: Order,
    m: usize,
    hnsw: Closing,
    /// The complement of the next twin's slot; of the own slot at the end of a chain; [`ABSENT`].
    cells: ArcSwap<Vec<Arc<Cells>>>,
    /// The point that stands for its twins, by the hash of its row.
    points: Mutex<HashTable<(u32, Slot)>>,
    strays: RwLock<Vec<Slot>>,
    has_first: AtomicBool,
    first: Mutex<()>,
}

impl Build {
    /// An empty graph; `rows` is how many are expected, a hint.
    pub(super) fn new(plan: Plan, rows: usize) -> Self {
        let hnsw = Hnsw::new(plan.m, rows, LEVELS, plan.ef_construction, plan.order);
        Self {
            order: plan.order,
            m: plan.m,
            hnsw: Closing::new(hnsw),
            cells: ArcSwap::default(),
            points: Mutex::default(),
            strays: RwLock::default(),
            has_first: AtomicBool::new(false),
            first: Mutex::new(()),
        }
    }

    /// Makes room for one more block.
    pub(super) fn grow(&self, capacity: usize) -> Result<()> {
        let mut blocks = Vec::clone(&self.cells.load());
        blocks.push(Arc::new(Cells::new(capacity)?));
        self.cells.store(Arc::new(blocks));
        Ok(())
    }

    /// Makes room for the blocks that `other` has room for.
    pub(super) fn grow_like(&self, other: &Self) -> Result<()> {
        for block in other.cells.load().iter().skip(self.cells.load().len()) {
            self.grow(block.all().len())?;
        }
        Ok(())
    }

    pub(super) fn contains(&self, slot: Slot) -> bool {
        cell(&self.cells.load(), slot).is_some_and(|c| c.load(Ordering::Acquire) != ABSENT)
    }

    /// Whether a slot is in that is not in `live`.
    pub(super) fn holds_dead(&self, live: &SlotBits) -> bool {
        let blocks = self.cells.load();
        blocks.iter().enumerate().any(|(b, block)| {
            let dead = |i: usize| !live.contains(Slot((b as u32) << 16 | i as u32));
            block.all().iter().enumerate().any(|(i, c)| c.load(Ordering::Acquire) != ABSENT && dead(i))
        })
    }

    /// Takes `slot` in, if it is not in and its row has a distance to others. Says how many distances that took.
    pub(super) fn link(&self, vectors: &VectorTable, slot: Slot) -> u64 {
        let Some(row) = vectors.get(slot) else { return 0 };
        let (Some(hnsw), Some(form)) = (self.hnsw.get(), self.order.form(row)) else { return 0 };
        let blocks = self.cells.load();
        let Some(own) = cell(&blocks, slot) else { return 0 };
        if own.compare_exchange(ABSENT, !slot.0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return 0;
        }
        let hash = hash_of(row);
        let twin = |&(h, s): &(u32, Slot)| h == hash && vectors.get(s) == Some(row);
        {
            let points = self.points.lock();
            if let Some((_, point)) = points.find(u64::from(hash), twin)
                && let Some(head) = cell(&blocks, *point)
            {
                let next = Slot(!head.load(Ordering::Acquire));
                // The rest of the chain first: a reader that sees `slot` sees all behind it.
                own.store(if next == *point { !slot.0 } else { !next.0 }, Ordering::Release);
                head.store(!slot.0, Ordering::Release);
                return 0;
            }
        }
        let (is_found, computed) = counted(|| {
            self.insert(hnsw, &form, slot);
            self.finds(hnsw, &form, slot)
        });
        if !is_found {
            self.strays.write().push(slot);
        }
        // Only now, so that a twin hangs on nothing that a search cannot find. Twins that race here are points both.
        let mut points = self.points.lock();
        if points.find(u64::from(hash), twin).is_none() {
            points.insert_unique(u64::from(hash), (hash, slot), |(h, _)| u64::from(*h));
        }
        computed
    }

    fn insert(&self, hnsw: &Hnsw<'static, f32, Order>, form: &[f32], slot: Slot) {
        if !self.has_first.load(Ordering::Acquire) {
            let _first = self.first.lock();
            if !self.has_first.load(Ordering::Acquire) {
                hnsw.insert_slice((form, slot.0 as usize));
                self.has_first.store(true, Ordering::Release);
                return;
            }
        }
        hnsw.insert_slice((form, slot.0 as usize));
    }

    /// Whether a narrow search for its own row comes upon `slot`. Under `dot` that says nothing: a row is seldom the
    /// nearest to itself.
    fn finds(&self, hnsw: &Hnsw<'static, f32, Order>, form: &[f32], slot: Slot) -> bool {
        let ef = 2 * self.m;
        self.order.metric() == Metric::Dot || hnsw.search(form, ef, ef).iter().any(|n| slot_of(n) == slot)
    }

    /// Fills `near`; says how many distances that took.
    pub(super) fn search(&self, vectors: &VectorTable, ask: &Ask<'_>, near: &mut Vec<Near>) -> u64 {
        near.clear();
        let accepted = match ask.walk {
            Walk::All => None,
            Walk::InGraph(set) | Walk::FilterFirst(set) => Some(set),
        };
        let (Some(hnsw), Some(query)) = (self.hnsw.get(), self.order.form(ask.query)) else { return 0 };
        if ask.ef.max(ask.k) == 0 || accepted.is_some_and(|set| set.len() == 0) {
            return 0;
        }
        let blocks = self.cells.load();
        // With a beam of 1 and a filter the crate loses hits.
        let ef = ask.ef.max(ask.k).max(2);
        let is_answer = |s: &Slot| accepted.is_none_or(|set| set.contains(*s));
        let (found, mut computed) = counted(|| {
            let accept = |id: &usize| chain(&blocks, Slot(*id as u32)).any(|s| is_answer(&s));
            match accepted {
                None => hnsw.search(&query, ef, ef),
                Some(_) => hnsw.search_filter(&query, ef, ef, Some(&accept)),
            }
        });
        let exact = Exact::new(self.order.metric(), ask.query);
        let strays = self.strays.read();
        for point in found.iter().map(|n| Slot(n.d_id as u32)).chain(strays.iter().copied()) {
            for slot in chain(&blocks, point).filter(is_answer).take(ef) {
                if let Some(row) = vectors.get(slot) {
                    near.push(Near { distance: exact.distance(row), slot });
                    computed += 1;
                }
            }
        }
        near.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot)));
        near.dedup_by_key(|n| n.slot);
        near.truncate(ask.ef.max(ask.k));
        computed
    }

    /// Makes strays of the points that no list leads to.
    pub(super) fn find_strays(&self) {
        let (lists, reached) = self.reach();
        let mut strays = self.strays.write();
        strays.extend(lists.iter().map(|l| l.slot).filter(|s| !reached.contains(s)));
        strays.sort_unstable();
        strays.dedup();
    }

    /// The slots of `live` that no search can find.
    pub(super) fn lost(&self, live: &SlotBits) -> Vec<Slot> {
        let (_, reached) = self.reach();
        let blocks = self.cells.load();
        let strays = self.strays.read();
        let found: HashSet<Slot> =
            reached.iter().chain(strays.iter()).flat_map(|point| chain(&blocks, *point)).collect();
        live.iter().filter(|s| !found.contains(s)).collect()
    }

    /// The first broken rule, if one is.
    pub(super) fn broken(&self) -> Option<String> {
        let lists = self.lists();
        let points: HashSet<Slot> = lists.iter().map(|l| l.slot).collect();
        if points.len() != lists.len() {
            return Some(format!("{} points stand for {} slots", lists.len(), points.len()));
        }
        for List { slot, links } in &lists {
            if !self.contains(*slot) {
                return Some(format!("slot {} is a point, but was never taken in", slot.0));
            }
            if let Some(bad) = links.iter().find(|l| !points.contains(l)) {
                return Some(format!("the list of slot {} names slot {}, which is no point", slot.0, bad.0));
            }
        }
        None
    }

    /// The lists of all points, and the points that they lead to from the one that searches enter by.
    fn reach(&self) -> (Vec<List>, HashSet<Slot>) {
        let lists = self.lists();
        let at: HashMap<Slot, usize> = lists.iter().enumerate().map(|(i, l)| (l.slot, i)).collect();
        let mut reached = HashSet::new();
        // Entered by the highest point, the oldest of those.
        let mut open: Vec<Slot> = lists.last().map(|l| l.slot).into_iter().collect();
        while let Some(slot) = open.pop() {
            if reached.insert(slot) {
                open.extend(at.get(&slot).into_iter().flat_map(|&i| lists[i].links.iter().copied()));
            }
        }
        (lists, reached)
    }

    /// The lists of all points on level 0. Points come from the lowest level up, of each level the youngest first.
    fn lists(&self) -> Vec<List> {
        let Some(hnsw) = self.hnsw.get() else { return Vec::new() };
        let points = hnsw.get_point_indexation();
        let mut lists = Vec::new();
        // Not its iterator over all points: that one locks again what it holds, and waits for ever beside an insert.
        for level in 0..LEVELS {
            let level: Vec<_> = points.get_layer_iterator(level).collect();
            lists.extend(level.iter().rev().map(|p| List {
                slot: Slot(p.get_origin_id() as u32),
                links: p.get_neighborhood_id().first().into_iter().flatten().map(slot_of).collect(),
            }));
        }
        lists
    }
}

struct List {
    slot: Slot,
    links: Vec<Slot>,
}

fn slot_of(neighbour: &Neighbour) -> Slot {
    Slot(neighbour.d_id as u32)
}

fn cell(blocks: &[Arc<Cells>], slot: Slot) -> Option<&AtomicU32> {
    blocks.get(slot.block().index())?.all().get(slot.index())
}

/// `point` and its twins.
fn chain(blocks: &[Arc<Cells>], point: Slot) -> impl Iterator<Item = Slot> {
    std::iter::successors(Some(point), move |slot| {
        let next = !cell(blocks, *slot)?.load(Ordering::Acquire);
        (next != slot.0 && next != !ABSENT).then_some(Slot(next))
    })
}

/// Equal for equal rows: the two zeros are.
fn hash_of(row: &[f32]) -> u32 {
    let mut hash = Xxh3::new();
    for x in row {
        hash.update(&(x + 0.0).to_bits().to_le_bytes());
    }
    hash.digest() as u32
}
