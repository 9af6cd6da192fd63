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

/// When a walk may stop before all that its beam keeps are expanded.
///
/// A walk that has its `k` answers goes on for as long as what it would expand next is not farther than the k-th answer by
/// more than a share of `ef / 256`. An easy query stops early, a hard one gets a beam three times `ef` wide; at equal
/// recall that took 11 to 30 % fewer distances than a beam of fixed width on the five sets it was tried on. An `ef` does not
/// mean quite what it means in a fixed beam: most widths find more, 32 finds a little less on two of three sets.
#[derive(Clone, Copy)]
pub(super) struct Enough {
    k: usize,
    slack: f32,
}

const SLACK_PER_EF: f32 = 1.0 / 256.0;
const BEAM_PER_EF: usize = 3;
const SEEN_PER_KEPT: usize = 4;

impl Enough {
    /// Never: expand everything.
    pub(super) const NEVER: Self = Self { k: usize::MAX, slack: 0.0 };

    fn of(k: usize, ef: usize) -> Self {
        Self { k, slack: ef as f32 * SLACK_PER_EF }
    }

    #[inline(always)]
    fn reached(self, beam: &Pool, next: Near) -> bool {
        beam.nth(self.k.saturating_sub(1))
            .is_some_and(|kth| next.distance > kth.distance + self.slack * kth.distance.abs())
    }
}

/// The pools of one walk.
pub(super) struct Pools<'a> {
    pub(super) visited: &'a mut Visited,
    pub(super) beam: &'a mut Pool,
    pub(super) found: &'a mut Pool,
}

impl Pools<'_> {
    /// Makes ready for a walk that sees about as many slots as one of width `ef`, and keeps `width` candidates.
    pub(super) fn reset(&mut self, ef: usize, width: usize) {
        self.visited.reset(ef);
        self.beam.reset(width);
    }

    /// The same, from a node that an earlier walk has found.
    pub(super) fn restart(&mut self, ef: usize, from: Near) {
        self.reset(ef, ef);
        self.visited.insert(from.slot);
        self.beam.insert(pack(from.distance, from.slot));
    }
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
        let mut pools = Pools { visited, beam, found };
        let width = match ask.walk {
            Walk::All => (ask.ef * BEAM_PER_EF).max(ask.k),
            Walk::InGraph(_) => WALK_CANDIDATES_MAX.max(ask.ef),
            Walk::FilterFirst(_) => ask.ef + 1,
        };
        // A walk under a set sees more slots for each that it keeps.
        let seen = if matches!(ask.walk, Walk::All) { ask.ef } else { ask.ef * SEEN_PER_KEPT };
        pools.reset(seen, width);
        let start = sight.descend(entry, top, Level(0), &mut pools, &mut work);
        match ask.walk {
            Walk::All => {
                sight.walk_all(Level(0), Enough::of(ask.k, ask.ef), &mut pools, true, &mut work);
                near.extend(pools.beam.iter());
            }
            Walk::InGraph(accepted) => {
                pools.found.reset(ask.ef * BEAM_PER_EF);
                sight.walk_in_graph(accepted, Enough::of(ask.k, ask.ef), &mut pools, &mut work);
                near.extend(pools.found.iter());
            }
            Walk::FilterFirst(accepted) => {
                sight.walk_filter_first(start, accepted, &mut pools, &mut work);
                near.extend(pools.beam.iter().filter(|n| accepted.contains(n.slot)).take(ask.ef));
            }
        }
        work
    }
}

impl Sight<'_> {
    /// Walks greedily from `entry` on level `from` down to the nearest node it finds on level `to + 1`. Whatever it has
    /// compared stays in the beam: it stands on the levels below too, and may well be an answer.
    pub(super) fn descend(
        &self,
        entry: Slot,
        from: Level,
        to: Level,
        pools: &mut Pools<'_>,
        work: &mut Work,
    ) -> Near {
        let Pools { visited, beam, .. } = pools;
        let mut slots = [0u32; BATCH];
        let mut keys = [0u64; BATCH];
        let mut out = [0.0; BATCH];
        self.codes.distances(self.query, &[entry.0], &mut out);
        work.distances += 1;
        visited.insert(entry);
        let mut best = pack(out[0], entry);
        beam.insert(best);
        for level in (to.0 + 1..=from.0).rev().map(Level) {
            loop {
                let before = best;
                let n = self.lists.list(unpack(best).slot, level).unseen(visited, &mut slots);
                for &key in self.keys_below(&slots[..n], beam.bound(), &mut keys, work) {
                    beam.insert(key);
                    best = best.min(key);
                }
                if best == before {
                    break;
                }
            }
        }
        self.lists.list(unpack(best).slot, to).prefetch();
        unpack(best)
    }

    /// Expands the nearest candidates until there is enough, or all that the beam keeps are expanded.
    pub(super) fn walk_all(
        &self,
        level: Level,
        enough: Enough,
        pools: &mut Pools<'_>,
        twins: bool,
        work: &mut Work,
    ) {
        let Pools { visited, beam, .. } = pools;
        if twins {
            self.add_twins(beam);
        }
        let mut slots = [0u32; BATCH];
        let mut keys = [0u64; BATCH];
        while let Some(near) = beam.pop_next() {
            if enough.reached(beam, near) {
                break;
            }
            let n = self.lists.list(near.slot, level).unseen(visited, &mut slots);
            for &key in self.keys_below(&slots[..n], beam.bound(), &mut keys, work) {
                if self.keep(beam, key, twins) {
                    self.lists.list(unpack(key).slot, level).prefetch();
                }
            }
        }
    }

    /// Walks over every slot and collects accepted ones, until there is enough, or `found` is full of nearer ones than any
    /// left to expand.
    fn walk_in_graph(&self, accepted: &SlotBits, enough: Enough, pools: &mut Pools<'_>, work: &mut Work) {
        let Pools { visited, beam, found } = pools;
        let mut slots = [0u32; BATCH];
        let mut keys = [0u64; BATCH];
        for near in beam.iter() {
            self.collect(found, pack(near.distance, near.slot), accepted);
        }
        while let Some(near) = beam.pop_next() {
            if pack(near.distance, near.slot) > found.bound() || enough.reached(found, near) {
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
            beam.forget_from(found.bound());
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
        let compared: Vec<Near> = beam.iter().collect();
        beam.reset(beam.capacity());
        // Only the start may be kept without being accepted.
        beam.insert(pack(start.distance, start.slot));
        for near in compared.iter().filter(|n| self.hits(accepted, n.slot)) {
            self.keep_accepted(beam, pack(near.distance, near.slot), accepted);
        }
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

    /// Adds the twins of what the descent has left in the beam.
    fn add_twins(&self, beam: &mut Pool) {
        let with_twins: Vec<Near> = beam
            .iter()
            .filter(|n| self.lists.block_of(n.slot).is_some_and(|b| b.has_twins(n.slot)))
            .collect();
        for near in with_twins {
            for twin in self.lists.twins(near.slot) {
                beam.insert(pack(near.distance, twin) | EXPANDED);
            }
        }
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
