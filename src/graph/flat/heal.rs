//! Leading lists around dead slots.
//!
//! A pass has three parts, each in steps: chains of twins are taken off the dead, what is reached through the dead alone is
//! mended ([`super::mend`]), lists are led around them. Lists keep every link to a slot that was not dead when the pass
//! began, so what was reached without the dead before the third part is reached in it and after.

use super::FlatGraph;
use super::levels::level_of;
use super::links::{List, Lists};
use super::search::Sight;
use super::select::fill;
use crate::codes::BATCH;
use crate::graph::pool::{pack, unpack};
use crate::graph::{Pass, Scratch, Space};
use crate::ids::{Level, Slot};
use crate::metrics::Work;
use crate::sets::SlotBits;
use std::sync::Arc;

/// Neighbours' neighbours that a healed list is chosen from, at most.
const CANDIDATES_MAX: usize = 400;

impl FlatGraph {
    pub(super) fn hand_over_some(
        &self,
        space: Space<'_>,
        pass: Pass<'_>,
        from: Slot,
        budget: usize,
        scratch: &mut Scratch,
    ) -> Option<Slot> {
        let Pass { live, gone, .. } = pass;
        if from == Slot(0) {
            self.gone.store(Arc::new(gone.clone()));
        }
        let slots: Vec<Slot> = gone.iter_from(from).take(budget + 1).collect();
        for &slot in slots.iter().take(budget) {
            self.promote(space, Lists(&self.blocks.load()), live, slot, scratch);
        }
        let next = slots.get(budget).copied();
        if next.is_none() {
            self.choose_entry(live);
        }
        next
    }

    pub(super) fn heal_some(
        &self,
        space: Space<'_>,
        pass: Pass<'_>,
        from: Slot,
        budget: usize,
        scratch: &mut Scratch,
    ) -> Option<Slot> {
        let Pass { live, linked, gone } = pass;
        let stay = linked.iter_from(from).filter(|s| !gone.contains(*s));
        let slots: Vec<Slot> = stay.take(budget + 1).collect();
        for &slot in slots.iter().take(budget) {
            self.prune(Lists(&self.blocks.load()), live, slot);
            for level in (0..=level_of(slot).0).map(Level) {
                self.promote_behind(space, live, slot, level, scratch);
                self.heal_list(space, pass, slot, level, scratch);
            }
        }
        let next = slots.get(budget).copied();
        if next.is_none() {
            // The entry stays, though it may have died meanwhile: what is reached from it need not be from another.
            self.gone.store(Arc::default());
        }
        next
    }

    /// Makes a node of a live twin of every dead node that the list names.
    fn promote_behind(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        slot: Slot,
        level: Level,
        scratch: &mut Scratch,
    ) {
        let blocks = self.blocks.load();
        let lists = Lists(&blocks);
        let dead: Vec<Slot> =
            lists.list(slot, level).iter().chain([slot]).filter(|s| !live.contains(*s)).collect();
        for node in dead {
            self.promote(space, lists, live, node, scratch);
        }
    }

    /// Takes the chain off the dead `node`, links its first live twin and leaves the other live ones hanging on that.
    fn promote(
        &self,
        space: Space<'_>,
        lists: Lists<'_>,
        live: &SlotBits,
        node: Slot,
        scratch: &mut Scratch,
    ) {
        let Some(first) = lists.twins(node).find(|t| live.contains(*t)) else { return };
        self.link_node(space, live, first, &|_| false, scratch);
        // What follows the heir in the old chain is its own chain now; only then may the old one go.
        if let Some(block) = lists.block_of(first).filter(|b| b.next_twin(first).is_some()) {
            let _writer = self.write_lock(first).lock();
            block.set_has_twins(first, true);
        }
        self.prune(lists, live, first);
        if let Some(block) = lists.block_of(node) {
            let _writer = self.write_lock(node).lock();
            block.set_has_twins(node, false);
            block.set_next_twin(node, None);
        }
    }

    /// Takes the dead out of the chain of `node`. They keep pointing on, so a reader that stands on one loses nothing.
    fn prune(&self, lists: Lists<'_>, live: &SlotBits, node: Slot) {
        let Some(block) = lists.block_of(node).filter(|b| b.has_twins(node)) else { return };
        let _writer = self.write_lock(node).lock();
        let mut last = node;
        for twin in lists.twins(node).filter(|t| live.contains(*t)).map(Some).chain([None]) {
            if let Some(block) = lists.block_of(last).filter(|b| b.next_twin(last) != twin) {
                block.set_next_twin(last, twin);
            }
            last = twin.unwrap_or(last);
        }
        if last == node {
            block.set_has_twins(node, false);
        }
    }

    fn heal_list(
        &self,
        space: Space<'_>,
        Pass { live, gone, .. }: Pass<'_>,
        slot: Slot,
        level: Level,
        scratch: &mut Scratch,
    ) {
        let blocks = self.blocks.load();
        let Scratch { visited, query, row, keys, chosen, .. } = scratch;
        if !space.codes.query_of(slot, query) {
            return;
        }
        let sight = Sight { lists: Lists(&blocks), codes: space.codes, query };
        let _writer = self.write_lock(slot).lock();
        let list = sight.lists.list(slot, level);
        if !list.iter().any(|s| gone.contains(s)) {
            return;
        }
        visited.reset(CANDIDATES_MAX / 16);
        visited.insert(slot);
        let mut candidates: Vec<u32> = Vec::with_capacity(CANDIDATES_MAX);
        let mut dead: Vec<Slot> = Vec::new();
        let mut sort = |list: List<'_>, candidates: &mut Vec<u32>, dead: &mut Vec<Slot>| {
            // The visited table forgets: without the first condition a slot may come to link to itself.
            for s in list.iter().filter(|s| *s != slot && visited.insert(*s)) {
                if live.contains(s) { candidates.push(s.0) } else { dead.push(s) }
            }
        };
        sort(list, &mut candidates, &mut dead);
        // Through the dead, breadth first, until there is enough to choose from.
        let mut at = 0;
        while at < dead.len() && at < CANDIDATES_MAX {
            let through = dead[at];
            at += 1;
            if at > list.capacity() && candidates.len() >= list.capacity() {
                break;
            }
            sort(sight.lists.list(through, level), &mut candidates, &mut dead);
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.truncate(CANDIDATES_MAX);
        let mut work = Work::default();
        keys.clear();
        let mut out = [0.0; BATCH];
        for part in candidates.chunks(BATCH) {
            space.codes.distances(query, part, &mut out);
            keys.extend(part.iter().zip(&out).map(|(&s, &d)| pack(d, Slot(s))));
        }
        keys.sort_unstable();
        let old: Vec<Slot> = list.iter().collect();
        // Other links stay: a list chosen anew drops links that others live by. After eight passes, each over a sixteenth of
        // the rows, 5 % of the rows were lost and recall at ef 64 had fallen from .98 to .94.
        let held: Vec<Slot> = old.iter().copied().filter(|s| !gone.contains(*s)).collect();
        fill(space.codes, keys, &held, old.len(), row, chosen, &mut work);
        let mut added = chosen.iter().map(|&k| unpack(k).slot);
        // In place, so that a reader misses no link that stays.
        let new = old.into_iter().filter_map(|s| if gone.contains(s) { added.next() } else { Some(s) });
        list.store(new);
    }

    /// The live slot on the highest level becomes the entry, if the present one is dead.
    pub(super) fn choose_entry(&self, live: &SlotBits) {
        if self.entry().is_some_and(|(slot, _)| live.contains(slot)) {
            return;
        }
        let _first = self.entry_lock.lock();
        let blocks = self.blocks.load();
        let is_node = |s: &Slot| {
            blocks.get(s.block().index()).is_some_and(|b| b.list(*s, Level(0)).iter().next().is_some())
        };
        let best = live.iter().filter(is_node).max_by_key(|s| level_of(*s));
        if let Some(slot) = best.or_else(|| live.iter().next()) {
            self.set_entry(slot, level_of(slot));
        }
    }
}
