//! What a slot stands for beside its vector: id and payload. Written once, read without a lock.

use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BLOCK_SLOTS, ChunkId, Slot};
use crate::record::Payload;
use std::sync::{Arc, OnceLock};

/// Rows that are given memory together.
const SEGMENT_ROWS: usize = 1 << 8;

pub(super) struct StoredRow {
    pub(super) id: ChunkId,
    pub(super) payload: Option<Box<Payload>>,
}

type Segment = Box<[OnceLock<StoredRow>]>;

/// The rows of a collection, block by block. Growing by a block makes a new table that shares the old blocks.
#[derive(Clone, Default)]
pub(super) struct RowTable {
    blocks: Vec<Arc<[OnceLock<Segment>]>>,
}

impl RowTable {
    pub(super) fn with_block(&self) -> Self {
        let mut table = self.clone();
        table.blocks.push((0..BLOCK_SLOTS / SEGMENT_ROWS).map(|_| OnceLock::new()).collect());
        table
    }

    /// Writes the row of a slot that was never written.
    pub(super) fn put(&self, slot: Slot, row: StoredRow) -> Result<()> {
        let twice = || {
            Error::new(ErrorKind::Internal, format!("slot {} was written twice; please report this", slot.0))
        };
        let segment = self.blocks.get(slot.block().index()).and_then(|b| b.get(slot.index() / SEGMENT_ROWS));
        let segment = segment.ok_or_else(twice)?;
        let rows = segment.get_or_init(|| (0..SEGMENT_ROWS).map(|_| OnceLock::new()).collect());
        rows[slot.index() % SEGMENT_ROWS].set(row).map_err(|_| twice())
    }

    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<&StoredRow> {
        self.blocks.get(slot.block().index())?.get(slot.index() / SEGMENT_ROWS)?.get()?
            [slot.index() % SEGMENT_ROWS]
            .get()
    }

    pub(super) fn id(&self, slot: Slot) -> &str {
        self.get(slot).map_or("", |row| row.id.as_str())
    }

    pub(super) fn tenant(&self, slot: Slot) -> Option<&str> {
        self.get(slot)?.payload.as_ref()?.tenant.as_deref()
    }

    pub(super) fn document(&self, slot: Slot) -> Option<&str> {
        self.get(slot)?.payload.as_ref()?.document.as_deref()
    }

    /// Bytes of the tables themselves for `rows` rows, without payloads and long ids.
    pub(super) fn bytes(&self, rows: usize) -> usize {
        rows.next_multiple_of(SEGMENT_ROWS) * size_of::<OnceLock<StoredRow>>()
            + self.blocks.len() * BLOCK_SLOTS / SEGMENT_ROWS * size_of::<OnceLock<Segment>>()
    }
}
