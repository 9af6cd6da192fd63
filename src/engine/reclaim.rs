//! Giving back the room of dead rows: blocks that are mostly dead are emptied by storing their live rows again, healed around,
//! and dropped.
//!
//! Invariants: a row that moves keeps its version and its id, so nobody but the store notices; a block is dropped when none of
//! its rows is live and no list names one; the block that grows stays.

use super::draft::{Change, Order};
use super::inner::{Chores, Inner};
use super::view::View;
use crate::ids::{BlockId, Slot};
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

/// The block to empty next: the one with the fewest live rows.
fn sparsest(fills: impl Iterator<Item = Fill>) -> Option<BlockId> {
    fills.filter(|fill| fill.is_sparse()).min_by_key(|fill| fill.live).map(|fill| fill.block)
}

impl Inner {
    /// One step; false if there is nothing to do. The caller holds the chores.
    pub(super) fn reclaim_step(self: &Arc<Self>, chores: &mut Chores, budget: usize) -> bool {
        let view = self.view.load_full();
        let Some(block) = chores.evacuating.or_else(|| sparsest(fills(&view))) else { return false };
        chores.evacuating = Some(block);
        let first = Slot::new(block, 0);
        let live: Vec<Slot> = view
            .live
            .iter_from(first)
            .take_while(|slot| slot.block() == block)
            .take(budget.min(MOVE_ROWS))
            .collect();
        if !live.is_empty() {
            let order = Order { collection: self.clone(), tenant: None, change: Change::Move(live) };
            // A full disk, say: tried again later, from the start.
            let moved = self.line.commit(order).is_ok_and(|done| done.removed > 0);
            if !moved {
                chores.evacuating = None;
            }
            self.link_waiting(MOVE_ROWS);
            return moved;
        }
        if view.linked.iter_from(first).next().is_some_and(|slot| slot.block() == block) {
            self.begin_healing(chores);
            return true;
        }
        chores.evacuating = None;
        self.drop_block(block);
        true
    }

    /// Drops every block whose rows are gone and that no list names. The caller holds the chores.
    pub(super) fn drop_empty_blocks(&self) {
        let view = self.view.load_full();
        let is_in = |set: &crate::sets::SlotBits, block: BlockId| {
            set.iter_from(Slot::new(block, 0)).next().is_some_and(|slot| slot.block() == block)
        };
        let empty = fills(&view).filter(|fill| fill.live == 0 && fill.rows > 0).map(|fill| fill.block);
        let blocks: Vec<BlockId> = empty.filter(|block| !is_in(&view.linked, *block)).collect();
        blocks.into_iter().for_each(|block| self.drop_block(block));
    }

    fn drop_block(&self, block: BlockId) {
        let view = self.view.load_full();
        self.forget_names(&view, block);
        {
            let _alone = self.linking.write();
            // Without memory for an empty block the full one stays, unused.
            if self.graph.drop_block(block.index(), &view.ready).is_err() {
                return;
            }
        }
        let _writer = self.writer.lock();
        let mut view = View::clone(&self.view.load());
        let Ok(tables) = view.tables.without(block.index()) else { return };
        view.tables = Arc::new(tables);
        self.view.store(Arc::new(view));
        let mut files = self.files.lock();
        files.dropped.insert(block.0);
        files.block_seqs.remove(&block.0);
        files.missing.retain(|slot| slot.block() != block);
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

/// Blocks that take no more rows.
fn fills(view: &View) -> impl Iterator<Item = Fill> + '_ {
    let vectors = &view.tables.vectors;
    (0..vectors.next_slot().block().0).map(BlockId).map(|block| Fill {
        block,
        rows: vectors.rows_in(block.index()),
        live: view.live.count_in(block),
    })
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
            (vec![fill(0, 100, 40), fill(1, 100, 7), fill(2, 10, 0)], Some(BlockId(2))),
        ] {
            assert_eq!(sparsest(fills.iter().copied()), chosen, "{fills:?}");
        }
    }
}
