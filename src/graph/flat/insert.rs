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
            let back = Back { graph: self, sight: &sight, live, to: slot, level: *l };
            let mut takers = 0;
            for &key in links {
                takers += usize::from(back.link(unpack(key), row, keys, &mut work));
            }
            if let (0, Level(0), Some(&nearest)) = (takers, *l, links.first()) {
                back.come_between(unpack(nearest).slot);
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
}

/// A new node on its way into the lists of those that its own list names.
struct Back<'a> {
    graph: &'a FlatGraph,
    sight: &'a Sight<'a>,
    live: &'a SlotBits,
    to: Slot,
    level: Level,
}

impl Back<'_> {
    /// Adds the new node to the list of `from`, dropping the link that is worth least when the list is full. Says whether it
    /// stands there: it may be worth least itself.
    fn link(&self, from: Near, row: &mut QueryCode, keys: &mut Vec<u64>, work: &mut Work) -> bool {
        let _writer = self.graph.write_lock(from.slot).lock();
        let list = self.sight.lists.list(from.slot, self.level);
        let mut slots = [0u32; BATCH];
        let n = list.copy_to(&mut slots);
        if slots[..n].contains(&self.to.0) {
            return true;
        }
        if n < list.capacity() {
            list.set(n, self.to);
            return true;
        }
        let mut out = [0.0; BATCH];
        slots[n] = self.to.0;
        self.sight.codes.query_of(from.slot, row);
        self.sight.codes.distances(row, &slots[..=n], &mut out);
        work.distances += n as u64 + 1;
        keys.clear();
        keys.extend(slots[..=n].iter().zip(&out).map(|(&s, &d)| pack(d, Slot(s))));
        keys.sort_unstable();
        let held = &slots[..n];
        let mut drop = |key: u64| {
            let slot = unpack(key).slot;
            slot == self.to
                || self.give_up(from.slot, slot, || {
                    if let Some(at) = held.iter().position(|&s| s == slot.0) {
                        list.set(at, self.to);
                    }
                })
        };
        match victim(self.sight.codes, keys, row, &mut drop, work) {
            Some(at) => unpack(keys[at]).slot != self.to,
            None => false,
        }
    }

    /// Takes a place in the list of `from`, whose every link is wanted: what stood there is linked to from here.
    fn come_between(&self, from: Slot) {
        let list = |slot| self.sight.lists.list(slot, self.level);
        for at in (0..list(from).capacity()).rev() {
            let Some(displaced) = list(from).iter().nth(at).filter(|s| *s != self.to) else { continue };
            {
                let _writer = self.graph.write_lock(self.to).lock();
                let own: Vec<Slot> = list(self.to).iter().collect();
                if !own.contains(&displaced) && own.len() < list(self.to).capacity() {
                    list(self.to).set(own.len(), displaced);
                } else if !own.contains(&displaced) {
                    return;
                }
            }
            let _writer = self.graph.write_lock(from).lock();
            // Another thread may have been there meanwhile.
            if list(from).iter().nth(at) == Some(displaced) && !list(from).iter().any(|s| s == self.to) {
                list(from).set(at, self.to);
                return;
            }
        }
    }

    /// Does `drop`, which takes the link to `slot` out of the list of `from`, unless no walk came to `slot` without that
    /// link. The lock of `slot` keeps two lists from each counting on the other; it is not waited for, since a lock is held.
    fn give_up(&self, from: Slot, slot: Slot, drop: impl FnOnce()) -> bool {
        if self.level.0 > 0 {
            drop();
            return true;
        }
        let Some(_others) = self.graph.write_lock(slot).try_lock() else { return false };
        let is_spare = self.holders(slot, from).any(|holder| self.holders(holder, slot).next().is_some());
        if is_spare {
            drop();
        }
        is_spare
    }

    /// Live slots but `but` that `slot` links to and that link to it.
    fn holders(&self, slot: Slot, but: Slot) -> impl Iterator<Item = Slot> {
        let lists = self.sight.lists;
        let mutual = move |s: &Slot| lists.list(*s, Level(0)).iter().any(|l| l == slot);
        lists.list(slot, Level(0)).iter().filter(move |s| *s != but && self.live.contains(*s)).filter(mutual)
    }
}

/// Drops dead candidates, unless hardly any is alive.
fn prefer_live(keys: &mut Vec<u64>, live: &SlotBits, m: usize) {
    let alive = keys.iter().filter(|&&k| live.contains(unpack(k).slot)).count();
    if alive >= m.min(keys.len()) && alive < keys.len() {
        keys.retain(|&k| live.contains(unpack(k).slot));
    }
}
