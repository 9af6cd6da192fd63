//! Leading lists around dead slots, and finding and linking slots that no walk reaches.

use super::FlatGraph;
use super::levels::level_of;
use super::links::{List, Lists};
use super::search::{Enough, Pools, Sight};
use super::select::fill;
use crate::codes::BATCH;
use crate::graph::pool::{pack, unpack};
use crate::graph::{Scratch, Space};
use crate::ids::{Level, Slot};
use crate::metrics::Work;
use crate::sets::SlotBits;

/// Neighbours' neighbours that a healed list is chosen from, at most.
const CANDIDATES_MAX: usize = 400;
/// Rounds of [`FlatGraph::mend_all`]: a link forced in may push another slot's last one out.
const MEND_ROUNDS: usize = 8;
/// Near nodes that are tried for a place for a lost slot.
const MEND_HOSTS: usize = 64;

impl FlatGraph {
    pub(super) fn heal_some(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        from: Slot,
        budget: usize,
        scratch: &mut Scratch,
    ) -> Option<Slot> {
        let slots: Vec<Slot> = live.iter_from(from).take(budget + 1).collect();
        for &slot in slots.iter().take(budget) {
            self.prune(Lists(&self.blocks.load()), live, slot);
            for level in (0..=level_of(slot).0).map(Level) {
                self.promote_behind(space, live, slot, level, scratch);
                self.heal_list(space, live, slot, level, scratch);
            }
        }
        let next = slots.get(budget).copied();
        if next.is_none() {
            self.choose_entry(live);
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
        self.link_node(space, live, first, false, scratch);
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

    fn heal_list(&self, space: Space<'_>, live: &SlotBits, slot: Slot, level: Level, scratch: &mut Scratch) {
        let blocks = self.blocks.load();
        let Scratch { visited, query, row, keys, chosen, .. } = scratch;
        if !space.codes.query_of(slot, query) {
            return;
        }
        let sight = Sight { lists: Lists(&blocks), codes: space.codes, query };
        let _writer = self.write_lock(slot).lock();
        let list = sight.lists.list(slot, level);
        if list.iter().all(|s| live.contains(s)) {
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
        // Live links stay: a list chosen anew drops links that others live by. After eight passes, each over a sixteenth of
        // the rows, 5 % of the rows were lost and recall at ef 64 had fallen from .98 to .94.
        let held: Vec<Slot> = old.iter().copied().filter(|s| live.contains(*s)).collect();
        fill(space.codes, keys, &held, old.len(), row, chosen, &mut work);
        let mut added = chosen.iter().map(|&k| unpack(k).slot);
        // In place, so that a reader misses no link that stays.
        let new = old.into_iter().filter_map(|s| if live.contains(s) { Some(s) } else { added.next() });
        list.store(new);
    }

    /// The live slot on the highest level becomes the entry, if the present one is dead.
    fn choose_entry(&self, live: &SlotBits) {
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

    pub(super) fn mend_all(&self, space: Space<'_>, live: &SlotBits, scratch: &mut Scratch) -> usize {
        let mut lost_first = 0;
        for round in 0..MEND_ROUNDS {
            let mut reach = self.reach();
            let lost: Vec<Slot> = live.iter().filter(|s| !reach.contains(*s)).collect();
            if round == 0 {
                lost_first = lost.len();
            }
            if lost.is_empty() {
                break;
            }
            for slot in lost {
                if !reach.contains(slot) {
                    self.mend_one(space, live, slot, &mut reach, scratch);
                }
            }
        }
        lost_first
    }

    /// Links a slot that has no list anew, as a twin if it is one; links to the others, which their neighbours dropped,
    /// are forced in.
    fn mend_one(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        slot: Slot,
        reach: &mut Reach,
        scratch: &mut Scratch,
    ) {
        let blocks = self.blocks.load();
        let lists = Lists(&blocks);
        let Some(block) = lists.block_of(slot) else { return };
        if block.has_twins(slot) || lists.list(slot, Level(0)).iter().next().is_some() {
            return self.force_link(space, live, slot, reach, scratch);
        }
        // It hung on a node that is out of reach. The others of that chain are lost too, and come one by one.
        block.set_next_twin(slot, None);
        self.link_node(space, live, slot, true, scratch);
        reach.add(lists, slot);
    }

    /// Puts a link to `slot` into the list of a near node: where there is room, else in place of one that others hold too.
    fn force_link(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        slot: Slot,
        reach: &mut Reach,
        scratch: &mut Scratch,
    ) {
        let blocks = self.blocks.load();
        let Scratch { visited, beam, found, query, .. } = scratch;
        if !space.codes.query_of(slot, query) {
            return;
        }
        let Some((entry, top)) = self.entry() else { return };
        let sight = Sight { lists: Lists(&blocks), codes: space.codes, query };
        let mut work = Work::default();
        let mut pools = Pools { visited, beam, found };
        pools.reset(MEND_HOSTS, MEND_HOSTS);
        sight.descend(entry, top, Level(0), &mut pools, &mut work);
        sight.walk_all(Level(0), Enough::NEVER, &mut pools, false, &mut work);
        // A walk may end in another lost part through an upper level: only reached hosts help.
        let hosts: Vec<Slot> =
            beam.iter().map(|n| n.slot).filter(|&s| s != slot && reach.contains(s)).collect();
        let hosts = if hosts.is_empty() { vec![entry] } else { hosts };
        let has_room = |s: &&Slot| {
            let list = sight.lists.list(**s, Level(0));
            live.contains(**s) && list.iter().count() < list.capacity()
        };
        if let Some(&host) = hosts.iter().find(has_room) {
            let _writer = self.write_lock(host).lock();
            let list = sight.lists.list(host, Level(0));
            list.set(list.iter().count(), slot);
        } else {
            // The farthest spare link of the nearest host that has one.
            let spare = hosts.iter().find_map(|&host| {
                let links: Vec<Slot> = sight.lists.list(host, Level(0)).iter().collect();
                links
                    .iter()
                    .rposition(|l| reach.links_to(*l) > 1 || !live.contains(*l))
                    .map(|at| (host, at, links[at]))
            });
            let Some((host, at, old)) = spare else { return };
            let _writer = self.write_lock(host).lock();
            sight.lists.list(host, Level(0)).set(at, slot);
            reach.unlink(old);
        }
        reach.add(sight.lists, slot);
    }

    /// Everything that level 0 reaches from the entry.
    pub(super) fn reach(&self) -> Reach {
        let blocks = self.blocks.load();
        let mut reach = Reach { in_links: vec![0; blocks.len() << 16] };
        if let Some((entry, _)) = self.entry() {
            reach.add(Lists(&blocks), entry);
        }
        reach
    }
}

/// Which slots are reached, and how many reached lists name each.
pub(super) struct Reach {
    in_links: Vec<u16>,
}

impl Reach {
    pub(super) fn contains(&self, slot: Slot) -> bool {
        self.links_to(slot) > 0
    }

    fn links_to(&self, slot: Slot) -> u16 {
        self.in_links.get(slot.0 as usize).copied().unwrap_or(0)
    }

    fn unlink(&mut self, slot: Slot) {
        if let Some(n) = self.in_links.get_mut(slot.0 as usize) {
            *n = n.saturating_sub(1);
        }
    }

    /// One more link to `slot`, and to all that its list leads to if it is the first.
    fn add(&mut self, lists: Lists<'_>, slot: Slot) {
        let mut open = vec![slot];
        while let Some(slot) = open.pop() {
            let Some(n) = self.in_links.get_mut(slot.0 as usize) else { continue };
            *n = n.saturating_add(1);
            if *n == 1 {
                open.extend(lists.list(slot, Level(0)).iter());
                open.extend(lists.twins(slot));
            }
        }
    }
}
