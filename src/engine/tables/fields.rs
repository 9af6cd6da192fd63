//! The field index of one block: filled row by row while the block grows; for rows of a file, made when it is first asked for.

use super::rows::RowTable;
use crate::filter::FieldIndex;
use crate::ids::{BlockId, Slot};
use crate::record::Map;
use parking_lot::{Once, RwLock, RwLockReadGuard};

pub(crate) struct FieldBlock {
    index: RwLock<FieldIndex>,
    /// Rows that stand in a file are in the index.
    filled: Once,
    /// How many those are.
    from_file: usize,
    /// No more rows come.
    is_whole: bool,
}

impl Default for FieldBlock {
    fn default() -> Self {
        Self::of_file(0, false)
    }
}

impl FieldBlock {
    /// For a block whose first `rows` stand in a file.
    pub(crate) fn of_file(rows: usize, is_whole: bool) -> Self {
        Self { index: RwLock::default(), filled: Once::new(), from_file: rows, is_whole }
    }

    /// The index with all rows of the block. The first call on a block of a file reads the metadata of all its rows.
    pub(crate) fn read(&self, rows: &RowTable, block: BlockId) -> RwLockReadGuard<'_, FieldIndex> {
        self.fill(rows, block);
        self.index.read()
    }

    /// Adds a row; `last` if no more can come.
    pub(crate) fn insert(&self, rows: &RowTable, slot: Slot, metadata: &Map, last: bool) {
        self.fill(rows, slot.block());
        let mut index = self.index.write();
        index.insert(slot.index() as u16, metadata);
        if last {
            index.freeze();
        }
    }

    /// Bytes on the heap, now.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.index.read().heap_bytes()
    }

    fn fill(&self, rows: &RowTable, block: BlockId) {
        self.filled.call_once(|| {
            let mut index = self.index.write();
            for at in 0..self.from_file {
                let row = rows.get(Slot::new(block, at as u16));
                // A damaged row is in no answer, but it counts.
                index.insert(at as u16, &row.map(|row| row.metadata_map()).unwrap_or_default());
            }
            if self.is_whole {
                index.freeze();
            }
        });
    }
}
