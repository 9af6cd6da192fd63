//! Linking new rows (algorithm 1), from any number of threads, while searches run.

use super::FlatGraph;
use super::levels::level_of;
use super::links::Lists;
use super::search::{Enough, Pools, Sight};
use super::select::{select, victim};
use crate::codes::{BATCH, QueryCode};
use crate::graph::pool::{pack, unpack};
use crate::graph::{Near, Scratch, Space};
use crate::ids::{Level, Slot};
use crate::metrics::Work;
use crate::sets::SlotBits;

/// The nearest candidates that are compared byte for byte with a new row.
const TWIN_CANDIDATES: usize = 4;

impl FlatGraph {
    /// Links `slot`; as a node of its own, unless there is a node with the same code that it may join.
    pub(super) fn link_node(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        slot: Slot,
        may_join: &dyn Fn(Slot) -> bool,
        scratch: &mut Scratch,
    ) -> Work {
        let mut work = Work::default();
        let level = level_of(slot);
        let mut first = None;
        if self.entry().is_none_or(|(_, top)| level > top) {
            first = Some(self.entry_lock.lock());
        }
        let Some((entry, top)) = self.entry() else {
            self.set_entry(slot, level);
            return work;
        };
        if level <= top {
            first = None;
        }
        let Scratch { visited, beam, found, query, row, keys, chosen, .. } = scratch;
        if !space.codes.query_of(slot, query) {
            return work;
        }
        let blocks = self.blocks.load();
        let sight = Sight { lists: Lists(&blocks), codes: space.codes, query };
        let reached = Level(level.0.min(top.0));
        let ef = self.ef_construction;
        let mut pools = Pools { visited, beam, found };
        pools.reset(ef, ef);
        pools.visited.insert(slot);
        let mut near = sight.descend(entry, top, reached, &mut pools, &mut work);
        let mut lists: Vec<(Level, Vec<u64>)> = Vec::with_capacity(reached.0 as usize + 1);
        for l in (0..=reached.0).rev().map(Level) {
            if l < reached {
                pools.restart(ef, near);
                pools.visited.insert(slot);
            }
            sight.walk_all(l, Enough::NEVER, &mut pools, false, &mut work);
            keys.clear();
            keys.extend(pools.beam.iter().filter(|n| n.slot != slot).map(|n| pack(n.distance, n.slot)));
            let Some(&nearest) = keys.first() else { continue };
            near = unpack(nearest);
            if l == Level(0) && self.join_twin(&sight, slot, keys, may_join) {
                return work;
            }
            prefer_live(keys, live, self.m);
            select(space.codes, keys, self.m, row, chosen, &mut work);
            lists.push((l, chosen.clone()));
        }
        // The node's own lists, on all levels, before any link to it.
        for (l, links) in &lists {
            sight.lists.list(slot, *l).store(links.iter().map(|&k| unpack(k).slot));
        }
        for (l, links) in lists.iter().rev() {
            for &key in links {
                self.link_back(&sight, unpack(key), slot, *l, row, keys, &mut work);
            }
        }
        if level > top {
            self.set_entry(slot, level);
        }
        drop(first);
        work
    }

    /// Hangs `slot` on a node with the same code, if one of the nearest `keys` is one.
    fn join_twin(
        &self,
        sight: &Sight<'_>,
        slot: Slot,
        keys: &[u64],
        may_join: &dyn Fn(Slot) -> bool,
    ) -> bool {
        let mut near = keys.iter().take(TWIN_CANDIDATES).map(|&k| unpack(k).slot);
        let Some(node) = near.find(|&s| sight.codes.same(s, slot) && may_join(s)) else { return false };
        self.chain(sight.lists, node, slot);
        true
    }

    /// Puts `slot`, which hangs on nothing that can be reached, at the head of the chain of `node`.
    pub(super) fn chain(&self, lists: Lists<'_>, node: Slot, slot: Slot) {
        let (Some(of_node), Some(of_slot)) = (lists.block_of(node), lists.block_of(slot)) else { return };
        let _writer = self.write_lock(node).lock();
        // The rest of the chain first: a reader that sees `slot` sees all behind it.
        // What follows a node that starts no chain is another node's chain: in files that lie there are such nodes.
        of_slot.set_next_twin(slot, of_node.next_twin(node).filter(|_| of_node.has_twins(node)));
        of_node.set_next_twin(node, Some(slot));
        of_node.set_has_twins(node, true);
    }

    /// Adds `to` to the list of `from`, dropping the link that is worth least when the list is full.
    #[allow(clippy::too_many_arguments, reason = "a hot call that shares its caller's buffers")]
    fn link_back(
        &self,
        sight: &Sight<'_>,
        from: Near,
        to: Slot,
        level: Level,
        row: &mut QueryCode,
        keys: &mut Vec<u64>,
        work: &mut Work,
    ) {
        let _writer = self.write_lock(from.slot).lock();
        let list = sight.lists.list(from.slot, level);
        let mut slots = [0u32; BATCH];
        let n = list.copy_to(&mut slots);
        if slots[..n].contains(&to.0) {
            return;
        }
        if n < list.capacity() {
            list.set(n, to);
            return;
        }
        let mut out = [0.0; BATCH];
        slots[n] = to.0;
        sight.codes.query_of(from.slot, row);
        sight.codes.distances(row, &slots[..=n], &mut out);
        work.distances += n as u64 + 1;
        keys.clear();
        keys.extend(slots[..=n].iter().zip(&out).map(|(&s, &d)| pack(d, Slot(s))));
        keys.sort_unstable();
        let drop = unpack(keys[victim(sight.codes, keys, row, work)]).slot;
        if let Some(at) = slots[..n].iter().position(|&s| s == drop.0) {
            list.set(at, to);
        }
    }
}

/// Drops dead candidates, unless hardly any is alive.
fn prefer_live(keys: &mut Vec<u64>, live: &SlotBits, m: usize) {
    let alive = keys.iter().filter(|&&k| live.contains(unpack(k).slot)).count();
    if alive >= m.min(keys.len()) && alive < keys.len() {
        keys.retain(|&k| live.contains(unpack(k).slot));
    }
}
