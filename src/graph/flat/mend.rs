//! Finding and linking slots that no walk reaches.

use super::FlatGraph;
use super::links::Lists;
use super::search::{Enough, Pools, Sight};
use crate::graph::{Lost, Scratch, Space};
use crate::ids::{Level, Slot};
use crate::metrics::Work;
use crate::sets::SlotBits;

/// Near nodes that are tried for a place for a lost slot.
const HOSTS: usize = 64;

/// A cell of level 0 that a link may be written to, and the link that stands there.
struct Place {
    host: Slot,
    at: usize,
    old: Option<Slot>,
}

/// Where in the list of a host, which holds such links and has room for so many, a link may go.
type Fits<'a> = dyn Fn(Slot, &[Slot], usize) -> Option<usize> + 'a;

impl FlatGraph {
    /// The slots of `live` that level 0 does not reach from the entry without a slot of `gone`.
    pub(super) fn find_lost(&self, live: &SlotBits, gone: &SlotBits) -> Lost {
        let blocks = self.blocks.load();
        let mut lost = Lost::among(blocks.len() << 16, gone);
        if let Some((entry, _)) = self.entry() {
            reach(&mut lost, Lists(&blocks), entry);
        }
        for slot in live.iter() {
            if !lost.is_reached(slot) {
                lost.push(slot);
            }
        }
        lost
    }

    pub(super) fn mend_some(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        lost: &mut Lost,
        budget: usize,
        scratch: &mut Scratch,
    ) -> usize {
        let mut mended = 0;
        for _ in 0..budget {
            let Some(slot) = lost.take() else { break };
            // One that was mended may have led to others.
            if live.contains(slot) && !lost.is_reached(slot) {
                self.mend_one(space, live, slot, lost, scratch);
                mended += usize::from(lost.is_reached(slot));
            }
        }
        mended
    }

    /// Links a slot that has no list anew, as a twin if it is one; links to the others, which their neighbours dropped,
    /// are forced in.
    fn mend_one(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        slot: Slot,
        lost: &mut Lost,
        scratch: &mut Scratch,
    ) {
        let blocks = self.blocks.load();
        let lists = Lists(&blocks);
        let Some(block) = lists.block_of(slot) else { return };
        if block.has_twins(slot) || lists.list(slot, Level(0)).iter().next().is_some() {
            return self.force_link(space, live, slot, lost, scratch);
        }
        // It hung on a node that is out of reach. The others of that chain are lost too, and come one by one.
        block.set_next_twin(slot, None);
        // A walk may come upon that very node through an upper level: put at the head of the chain that it still hangs in,
        // the slot would make a ring of it.
        self.link_node(space, live, slot, &|node| lost.is_reached(node), scratch);
        reach(lost, lists, slot);
    }

    /// Puts a link to `slot` into the list of a near node: where there is room, else in place of one that others hold too.
    fn force_link(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        slot: Slot,
        lost: &mut Lost,
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
        pools.reset(HOSTS, HOSTS);
        sight.descend(entry, top, Level(0), &mut pools, &mut work);
        sight.walk_all(Level(0), Enough::NEVER, &mut pools, false, &mut work);
        // A walk may end in another lost part through an upper level: only reached hosts help.
        let mut hosts: Vec<Slot> =
            beam.iter().map(|n| n.slot).filter(|&s| s != slot && lost.is_reached(s)).collect();
        if hosts.is_empty() && entry != slot {
            hosts.push(entry);
        }
        let Some(place) = place_for(slot, sight.lists, &hosts, live, lost) else { return };
        if place.old != Some(slot) {
            let _writer = self.write_lock(place.host).lock();
            sight.lists.list(place.host, Level(0)).set(place.at, slot);
            if let Some(old) = place.old {
                lost.unlink(old);
            }
        }
        reach(lost, sight.lists, slot);
    }
}

/// Where a link to `slot` costs least: where it stands already; at the end of a live host's list; in place of the farthest
/// spare link of the nearest host that has one.
fn place_for(slot: Slot, lists: Lists<'_>, hosts: &[Slot], live: &SlotBits, lost: &Lost) -> Option<Place> {
    let find = |fits: &Fits<'_>| {
        hosts.iter().find_map(|&host| {
            let list = lists.list(host, Level(0));
            let links: Vec<Slot> = list.iter().collect();
            let at = fits(host, &links, list.capacity())?;
            Some(Place { host, at, old: links.get(at).copied() })
        })
    };
    // What else leads through a dead slot is not known, unless walks keep off it.
    let is_spare = |l: &Slot| lost.links_to(*l) > 1 || lost.is_gone(*l);
    let is_dead = |l: &Slot| !live.contains(*l);
    find(&|_, links, _| links.iter().position(|l| *l == slot))
        .or_else(|| {
            find(&|host, links, room| (live.contains(host) && links.len() < room).then_some(links.len()))
        })
        .or_else(|| find(&|_, links, _| links.iter().rposition(is_spare)))
        .or_else(|| find(&|_, links, _| links.iter().rposition(is_dead)))
}

/// Counts one more link to `slot`, and to all that its list and its chain lead to if it is the first.
fn reach(lost: &mut Lost, lists: Lists<'_>, slot: Slot) {
    let mut open = vec![slot];
    while let Some(slot) = open.pop() {
        if lost.link(slot) {
            open.extend(lists.list(slot, Level(0)).iter());
            open.extend(lists.twins(slot));
        }
    }
}
