//! Walking the graph: greedy descent through the upper levels (algorithm 5), beam search on one level (algorithm 2),
//! and its two forms under a set of accepted slots.

use super::FlatGraph;
use super::links::Lists;
use crate::codes::{BATCH, CodeTable, QueryCode};
use crate::graph::pool::{EXPANDED, Pool, pack, unpack};
use crate::graph::visited::Visited;
use crate::graph::{Ask, Near, Scratch, Space, Walk};
use crate::ids::{Level, Slot};
use crate::metrics::Work;
use crate::sets::SlotBits;

/// Candidates a walk under a set may hold beyond those it answers with.
const WALK_CANDIDATES_MAX: usize = 1 << 14;

/// The graph as one search sees it.
pub(super) struct Sight<'a> {
    pub(super) lists: Lists<'a>,
    pub(super) codes: &'a CodeTable,
    pub(super) query: &'a QueryCode,
}

/// The pools of one walk.
pub(super) struct Pools<'a> {
    pub(super) visited: &'a mut Visited,
    pub(super) beam: &'a mut Pool,
    pub(super) found: &'a mut Pool,
}

impl FlatGraph {
    pub(super) fn find(&self, space: Space<'_>, ask: &Ask<'_>, scratch: &mut Scratch) -> Work {
        let mut work = Work::default();
        let Scratch { visited, beam, found, query, near, .. } = scratch;
        near.clear();
        let Some((entry, top)) = self.entry() else { return work };
        space.codes.codec().query(ask.query, query);
        let blocks = self.blocks.load();
        let sight = Sight { lists: Lists(&blocks), codes: space.codes, query };
        let start = sight.descend(entry, top, Level(0), &mut work);
        visited.reset(ask.ef);
        let mut pools = Pools { visited, beam, found };
        match ask.walk {
            Walk::All => {
                pools.beam.reset(ask.ef);
                sight.walk_all(start, Level(0), &mut pools, true, &mut work);
                near.extend(pools.beam.iter());
            }
            Walk::InGraph(accepted) => {
                pools.beam.reset(WALK_CANDIDATES_MAX.max(ask.ef));
                pools.found.reset(ask.ef);
                sight.walk_in_graph(start, accepted, &mut pools, &mut work);
                near.extend(pools.found.iter());
            }
            Walk::FilterFirst(accepted) => {
                pools.beam.reset(ask.ef + 1);
                sight.walk_filter_first(start, accepted, &mut pools, &mut work);
                near.extend(pools.beam.iter().filter(|n| accepted.contains(n.slot)).take(ask.ef));
            }
        }
        work
    }
}

impl Sight<'_> {
    /// Walks greedily from `entry` on level `from` down to the nearest node it finds on level `to + 1`.
    pub(super) fn descend(&self, entry: Slot, from: Level, to: Level, work: &mut Work) -> Near {
        let mut slots = [0u32; BATCH];
        let mut out = [0.0; BATCH];
        self.codes.distances(self.query, &[entry.0], &mut out);
        let mut best = Near { distance: out[0], slot: entry };
        work.distances += 1;
        for level in (to.0 + 1..=from.0).rev().map(Level) {
            loop {
                let from = best.slot;
                let n = self.lists.list(from, level).copy_to(&mut slots);
                self.codes.distances(self.query, &slots[..n], &mut out);
                work.visited += 1;
                work.distances += n as u64;
                for (&slot, &distance) in slots[..n].iter().zip(&out) {
                    if distance < best.distance {
                        best = Near { distance, slot: Slot(slot) };
                    }
                }
                if best.slot == from {
                    break;
                }
            }
        }
        best
    }

    /// Expands the nearest candidates until all that the beam keeps are expanded.
    pub(super) fn walk_all(
        &self,
        start: Near,
        level: Level,
        pools: &mut Pools<'_>,
        twins: bool,
        work: &mut Work,
    ) {
        let Pools { visited, beam, .. } = pools;
        visited.insert(start.slot);
        self.keep(beam, pack(start.distance, start.slot), twins);
        let mut slots = [0u32; BATCH];
        let mut keys = [0u64; BATCH];
        while let Some(near) = beam.pop_next() {
            let n = self.lists.list(near.slot, level).unseen(visited, &mut slots);
            for &key in self.keys_below(&slots[..n], beam.bound(), &mut keys, work) {
                if self.keep(beam, key, twins) {
                    self.lists.list(unpack(key).slot, level).prefetch();
                }
            }
        }
    }

    /// Walks over every slot and collects accepted ones, until `found` is full of nearer ones than any left to expand.
    fn walk_in_graph(&self, start: Near, accepted: &SlotBits, pools: &mut Pools<'_>, work: &mut Work) {
        let Pools { visited, beam, found } = pools;
        let mut slots = [0u32; BATCH];
        let mut keys = [0u64; BATCH];
        visited.insert(start.slot);
        let key = pack(start.distance, start.slot);
        beam.insert(key);
        self.collect(found, key, accepted);
        while let Some(near) = beam.pop_next() {
            if pack(near.distance, near.slot) > found.bound() {
                break;
            }
            let n = self.lists.list(near.slot, Level(0)).unseen(visited, &mut slots);
            for &key in self.keys_below(&slots[..n], found.bound(), &mut keys, work) {
                if key < found.bound() && beam.insert(key) {
                    let slot = unpack(key).slot;
                    self.lists.list(slot, Level(0)).prefetch();
                    self.collect(found, key, accepted);
                }
            }
        }
    }

    /// Walks over accepted slots alone. A neighbour that is not accepted stands in for its own neighbours (ACORN-1), so
    /// distances are computed for accepted slots only.
    fn walk_filter_first(&self, start: Near, accepted: &SlotBits, pools: &mut Pools<'_>, work: &mut Work) {
        let Pools { visited, beam, .. } = pools;
        let mut direct = [0u32; BATCH];
        let mut behind = [0u32; BATCH];
        let mut wanted = [0u32; BATCH];
        let mut keys = [0u64; BATCH];
        visited.insert(start.slot);
        self.keep_accepted(beam, pack(start.distance, start.slot), accepted);
        // Only the start may be kept without being accepted.
        beam.insert(pack(start.distance, start.slot));
        while let Some(near) = beam.pop_next() {
            let mut n = 0;
            let direct_n = self.lists.list(near.slot, Level(0)).unseen(visited, &mut direct);
            for &slot in &direct[..direct_n] {
                self.lists.list(Slot(slot), Level(0)).prefetch();
            }
            for slot in direct[..direct_n].iter().copied().map(Slot) {
                let through = if self.hits(accepted, slot) {
                    behind[0] = slot.0;
                    1
                } else {
                    self.lists.list(slot, Level(0)).unseen(visited, &mut behind)
                };
                for &slot in behind[..through].iter().filter(|&&s| self.hits(accepted, Slot(s))) {
                    wanted[n] = slot;
                    n += 1;
                    if n == BATCH {
                        for &key in self.keys_below(&wanted, beam.bound(), &mut keys, work) {
                            self.keep_accepted(beam, key, accepted);
                        }
                        n = 0;
                    }
                }
            }
            for &key in self.keys_below(&wanted[..n], beam.bound(), &mut keys, work) {
                self.keep_accepted(beam, key, accepted);
            }
            work.visited += direct_n as u64;
        }
    }

    /// Packs those of `slots` that are nearer than `bound`.
    #[inline(always)]
    fn keys_below<'k>(
        &self,
        slots: &[u32],
        bound: u64,
        keys: &'k mut [u64; BATCH],
        work: &mut Work,
    ) -> &'k [u64] {
        let mut out = [0.0; BATCH];
        self.codes.distances(self.query, slots, &mut out);
        work.visited += 1;
        work.distances += slots.len() as u64;
        let mut n = 0;
        for (&slot, &distance) in slots.iter().zip(&out) {
            let key = pack(distance, Slot(slot));
            if let Some(place) = keys.get_mut(n) {
                *place = key;
            }
            n += usize::from(key < bound);
        }
        &keys[..n]
    }

    /// Keeps a node and, where asked, its twins. Twins have no lists, so they count as expanded.
    #[inline(always)]
    fn keep(&self, beam: &mut Pool, key: u64, twins: bool) -> bool {
        let kept = beam.insert(key);
        if kept && twins {
            let near = unpack(key);
            for twin in self.lists.twins(near.slot) {
                if !beam.insert(pack(near.distance, twin) | EXPANDED) {
                    break;
                }
            }
        }
        kept
    }

    /// Keeps a node whose slot, or one of its twins, is accepted, and those twins.
    fn keep_accepted(&self, beam: &mut Pool, key: u64, accepted: &SlotBits) {
        let near = unpack(key);
        beam.insert(key);
        for twin in self.lists.twins(near.slot).filter(|t| accepted.contains(*t)) {
            beam.insert(pack(near.distance, twin) | EXPANDED);
        }
    }

    /// Puts a node and its twins into `found`, those of them that are accepted.
    #[inline(always)]
    fn collect(&self, found: &mut Pool, key: u64, accepted: &SlotBits) {
        let near = unpack(key);
        if accepted.contains(near.slot) {
            found.insert(key);
        }
        for twin in self.lists.twins(near.slot).filter(|t| accepted.contains(*t)) {
            found.insert(pack(near.distance, twin));
        }
    }

    fn hits(&self, accepted: &SlotBits, slot: Slot) -> bool {
        accepted.contains(slot) || self.lists.twins(slot).any(|t| accepted.contains(t))
    }
}
