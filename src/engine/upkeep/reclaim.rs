//! Giving back the room of dead rows: blocks that are mostly dead are emptied by storing their live rows again, healed around,
//! and dropped.
//!
//! Invariants: a row that moves keeps its version and its id, so nobody but the store notices; a block is dropped when none of
//! its rows is live and no list names one; the block that grows stays.

use super::pauses::Job;
use crate::engine::inner::Inner;
use crate::engine::view::{Tables, View};
use crate::engine::write::draft::{Change, Order};
use crate::ids::{BlockId, Slot};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A block with fewer than one live row in so many is emptied.
const LIVE_SHARE: usize = 2;
/// Rows stored again in one step.
const MOVE_ROWS: usize = 64;
/// Rows whose names are forgotten at a time.
const FORGET_ROWS: usize = 256;

/// Rows of a block that takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fill {
    block: BlockId,
    rows: usize,
    live: usize,
}

impl Fill {
    /// Whether emptying it gives back more than it costs.
    fn is_sparse(self) -> bool {
        self.rows > 0 && self.live * LIVE_SHARE < self.rows
    }
}

/// The block to empty next: the one with the fewest live rows, while it has any.
fn sparsest(fills: impl Iterator<Item = Fill>) -> Option<BlockId> {
    fills.filter(|fill| fill.is_sparse() && fill.live > 0).min_by_key(|fill| fill.live).map(|fill| fill.block)
}

impl Inner {
    /// Stores some live rows of the sparsest block again; false if no block is worth it. The caller holds the chores.
    pub(crate) fn move_step(self: &Arc<Self>, rows: usize) -> bool {
        let view = self.view.load_full();
        let Some(block) = sparsest(self.fills(&view)) else { return false };
        let live = view.live.iter_from(Slot::new(block, 0)).take_while(|slot| slot.block() == block);
        let change = Change::Move(live.take(rows.min(MOVE_ROWS)).collect());
        // On a full disk, say, nothing moves: it is tried again later.
        let order = Order { collection: self.clone(), tenant: None, change };
        let pause = self.line.pauses.begin(Job::Move);
        let moved = self.line.commit(order).is_ok_and(|done| done.removed > 0);
        drop(pause);
        self.link_waiting(MOVE_ROWS);
        moved
    }

    /// Whether lists name slots of a block whose rows are all gone.
    pub(crate) fn has_empty_block_to_heal(&self) -> bool {
        let view = self.view.load();
        self.empty_blocks(&view).any(|block| view.linked.count_in(block) > 0)
    }

    /// Drops every block whose rows are gone and that no list names; false if there is none. The caller holds the chores.
    pub(crate) fn drop_empty_blocks(&self) -> bool {
        let view = self.view.load_full();
        let blocks: Vec<BlockId> =
            self.empty_blocks(&view).filter(|block| view.linked.count_in(*block) == 0).collect();
        blocks.iter().for_each(|block| self.drop_block(*block));
        !blocks.is_empty()
    }

    /// Blocks whose rows are all gone.
    fn empty_blocks<'v>(&self, view: &'v View) -> impl Iterator<Item = BlockId> + 'v {
        self.fills(view).filter(|fill| fill.live == 0 && fill.rows > 0).map(|fill| fill.block)
    }

    /// Blocks that take no more rows. One with damaged rows stays: it is the evidence, and they may come back.
    fn fills<'v>(&self, view: &'v View) -> impl Iterator<Item = Fill> + 'v {
        let damaged: BTreeSet<BlockId> = self.files.lock().missing.slots().map(Slot::block).collect();
        let vectors = &view.tables.vectors;
        let whole = (0..vectors.next_slot().block().0).map(BlockId);
        whole.filter(move |block| !damaged.contains(block)).map(|block| Fill {
            block,
            rows: vectors.rows_in(block.index()),
            live: view.live.count_in(block),
        })
    }

    /// Keeps tables that were replaced until no search looks at them: freeing a block takes longer than a search may.
    pub(crate) fn retire(&self, tables: Arc<Tables>) {
        self.retired.lock().push(tables);
    }

    /// Frees the retired tables that nobody looks at any more.
    pub(crate) fn free_retired(&self) {
        let mut retired = self.retired.lock();
        let (free, held): (Vec<_>, Vec<_>) =
            retired.drain(..).partition(|tables| Arc::strong_count(tables) == 1);
        *retired = held;
        drop(retired);
        drop(free);
    }

    fn drop_block(&self, block: BlockId) {
        let view = self.view.load_full();
        self.forget_names(&view, block);
        self.words.drop_block(block);
        {
            let _pause = self.line.pauses.begin(Job::Drop);
            let _alone = self.linking.write();
            // Without memory for an empty block the full one stays, unused.
            if self.graph.drop_block(block.index(), &view.ready).is_err() {
                return;
            }
        }
        let _writer = self.writer.lock();
        let _pause = self.line.pauses.begin(Job::Drop);
        let mut view = View::clone(&self.view.load());
        let Ok(tables) = view.tables.without(block.index()) else { return };
        self.retire(std::mem::replace(&mut view.tables, Arc::new(tables)));
        self.view.store(Arc::new(view));
        let mut files = self.files.lock();
        files.dropped.insert(block.0);
        self.digests.forget(block.index());
        files.block_seqs.remove(&block.0);
        self.link_steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the slots of a block out of the sets of documents and tenants, some at a time: others wait for these sets.
    fn forget_names(&self, view: &View, block: BlockId) {
        let slots: Vec<Slot> = (0..view.tables.vectors.rows_in(block.index()))
            .map(|index| Slot::new(block, index as u16))
            .collect();
        for part in slots.chunks(FORGET_ROWS) {
            let mut members = self.members_mut();
            for (slot, row) in part.iter().filter_map(|s| Some((*s, view.tables.rows.get(*s)?))) {
                members.forget(slot, row.document, row.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sparsest_block_below_one_half_goes_first() {
        let fill = |block, rows, live| Fill { block: BlockId(block), rows, live };
        for (fills, chosen) in [
            (vec![], None),
            (vec![fill(0, 100, 50)], None),
            (vec![fill(0, 100, 49)], Some(BlockId(0))),
            (vec![fill(0, 0, 0), fill(1, 100, 100)], None),
            (vec![fill(0, 100, 40), fill(1, 100, 7), fill(2, 10, 0)], Some(BlockId(1))),
        ] {
            assert_eq!(sparsest(fills.iter().copied()), chosen, "{fills:?}");
        }
    }
}
