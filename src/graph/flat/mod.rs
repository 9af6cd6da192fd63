//! HNSW over int8 codes, with flat lists: 2 `M` links of a slot stand in two cache lines, no pointers, no locks for readers.
//!
//! Letters as in the paper (Malkov and Yashunin, 2016): `M`, `M0 = 2M`, `ef`, `efConstruction`.
//!
//! Invariants:
//! - a list names only slots whose codes are readable, and its own slot never;
//! - links fill a list from the front; the first empty cell ends it;
//! - a node's own lists, on all its levels, are published before any other node links to it. The other order lets
//!   concurrent searches fall into nodes without a way out: with two builders the recall ceiling fell from .999 to .967;
//! - the level of a slot follows from its number alone (see [`levels`]), so levels are not stored;
//! - dead slots stay traversable until [`heal`] has led every list around them;
//! - a link that is the last by which a live slot is reached is not dropped: not for a nearer one ([`insert`]), not when the
//!   slot that holds it is led around ([`heal`]). Threads that link at once, and rings of slots that hold each other and
//!   nothing else holds, may still lose one: [`mend`] finds those;
//! - a chain of twins ends, whatever the file was that it came from ([`load`]): a slot joins a node's chain only if it hangs
//!   on nothing that walks reach.

mod check;
mod format;
mod heal;
mod insert;
mod levels;
mod links;
mod load;
mod mend;
mod save;
mod search;
mod select;
#[cfg(test)]
mod tests;

use super::{Ask, Graph, Lost, Pass, Scratch, Space};
use crate::disk::{Disk, Named};
use crate::error::Result;
use crate::ids::{Level, Slot};
use crate::metrics::Work;
use crate::sets::SlotBits;
use arc_swap::ArcSwap;
use links::LinkBlock;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Locks that writers of lists share. Two writers meet on one with a chance of 1 in this.
const WRITE_LOCKS: usize = 1 << 12;

pub(crate) struct FlatGraph {
    m: usize,
    ef_construction: usize,
    blocks: ArcSwap<Vec<Arc<LinkBlock>>>,
    /// `level << 32 | slot`, or [`NO_ENTRY`].
    entry: AtomicU64,
    /// Held while a node that will be the new entry is linked.
    entry_lock: Mutex<()>,
    write_locks: Box<[Mutex<()>]>,
    /// What the pass of healing that is under way leads around; nothing is hung on those any more.
    gone: ArcSwap<SlotBits>,
}

const NO_ENTRY: u64 = u64::MAX;

impl FlatGraph {
    pub(crate) fn new(m: usize, ef_construction: usize) -> Self {
        Self {
            m,
            ef_construction,
            blocks: ArcSwap::default(),
            entry: AtomicU64::new(NO_ENTRY),
            entry_lock: Mutex::new(()),
            gone: ArcSwap::default(),
            write_locks: (0..WRITE_LOCKS).map(|_| Mutex::new(())).collect(),
        }
    }

    fn entry(&self) -> Option<(Slot, Level)> {
        match self.entry.load(Ordering::Acquire) {
            NO_ENTRY => None,
            e => Some((Slot(e as u32), Level((e >> 32) as u8))),
        }
    }

    fn set_entry(&self, slot: Slot, level: Level) {
        self.entry.store(u64::from(level.0) << 32 | u64::from(slot.0), Ordering::Release);
    }

    /// Puts `new` in the place of a block.
    fn replace(&self, block: usize, new: LinkBlock) {
        let new = Arc::new(new);
        self.blocks.rcu(|blocks| {
            let mut blocks = Vec::clone(blocks);
            if let Some(old) = blocks.get_mut(block) {
                *old = new.clone();
            }
            blocks
        });
    }

    fn write_lock(&self, slot: Slot) -> &Mutex<()> {
        &self.write_locks[slot.0.wrapping_mul(0x9e37_79b1) as usize >> 20 & (WRITE_LOCKS - 1)]
    }
}

impl Graph for FlatGraph {
    fn grow(&self, capacity: usize) -> Result<()> {
        let block = Arc::new(LinkBlock::new(self.m, capacity)?);
        // Another block may be replaced meanwhile.
        self.blocks.rcu(|blocks| blocks.iter().chain([&block]).cloned().collect::<Vec<_>>());
        Ok(())
    }

    fn drop_block(&self, block: usize, live: &SlotBits) -> Result<()> {
        let empty = LinkBlock::new(self.m, 0)?;
        let stands_in = |entry: Option<(Slot, Level)>| entry.is_some_and(|(s, _)| s.block().index() == block);
        if stands_in(self.entry()) {
            self.choose_entry(live);
        }
        // Nobody is left: the next slot to be linked is the first.
        if stands_in(self.entry()) {
            self.entry.store(NO_ENTRY, Ordering::Release);
        }
        self.replace(block, empty);
        Ok(())
    }

    fn warm_block(&self, block: usize) -> Result<bool> {
        let blocks = self.blocks.load();
        let Some(old) = blocks.get(block).filter(|b| b.is_in_file()) else { return Ok(false) };
        self.replace(block, old.copied(old.capacity())?);
        Ok(true)
    }

    fn link(&self, space: Space<'_>, live: &SlotBits, slot: Slot, scratch: &mut Scratch) -> Work {
        let gone = self.gone.load();
        self.link_node(space, live, slot, &|node| !gone.contains(node), scratch)
    }

    fn search(&self, space: Space<'_>, ask: &Ask<'_>, scratch: &mut Scratch) -> Work {
        self.find(space, ask, scratch)
    }

    fn hand_over(
        &self,
        space: Space<'_>,
        pass: Pass<'_>,
        from: Slot,
        budget: usize,
        scratch: &mut Scratch,
    ) -> Option<Slot> {
        self.hand_over_some(space, pass, from, budget, scratch)
    }

    fn heal(
        &self,
        space: Space<'_>,
        pass: Pass<'_>,
        from: Slot,
        budget: usize,
        scratch: &mut Scratch,
    ) -> Option<Slot> {
        self.heal_some(space, pass, from, budget, scratch)
    }

    fn lost(&self, live: &SlotBits, gone: &SlotBits) -> Lost {
        self.find_lost(live, gone)
    }

    fn mend(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        lost: &mut Lost,
        budget: usize,
        scratch: &mut Scratch,
    ) -> usize {
        self.mend_some(space, live, lost, budget, scratch)
    }

    fn check(&self, live: &SlotBits) -> std::result::Result<usize, String> {
        self.check_all(live)
    }

    fn save(
        &self,
        disk: &dyn Disk,
        path: &str,
        covered: &SlotBits,
        pace: &dyn Fn(usize),
    ) -> Result<Option<Named>> {
        self.save_links(disk, path, covered, pace).map(Some)
    }

    fn bytes(&self, rows: usize) -> usize {
        // One slot in 16 has an upper list, one in 256 two, and so on; a word and a bit for twins.
        let upper_lists = rows / 16 + rows / 256 + rows / 4096 + rows / 65_536;
        rows * 2 * self.m * 4 + upper_lists * self.m * 4 + rows * 4 + rows / 8
    }
}
