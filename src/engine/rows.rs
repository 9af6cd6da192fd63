//! What a slot stands for beside its vector: id, version and payload. Written once, read without a lock.

use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BLOCK_SLOTS, ChunkId, Slot, Ver};
use crate::record::{Payload, RowRef};
use std::sync::{Arc, OnceLock};

/// Rows that are given memory together.
const SEGMENT_ROWS: usize = 1 << 8;

pub(super) struct StoredRow {
    pub(super) id: ChunkId,
    pub(super) ver: Ver,
    pub(super) node: u64,
    pub(super) payload: Option<Box<Payload>>,
}

type Segment = Box<[OnceLock<StoredRow>]>;

/// The rows of a collection, block by block. Growing by a block makes a new table that shares the old blocks.
#[derive(Clone, Default)]
pub(super) struct RowTable {
    blocks: Vec<RowBlock>,
}

#[derive(Clone, Default)]
struct RowBlock {
    segments: Arc<[OnceLock<Segment>]>,
}

impl RowTable {
    pub(super) fn with_block(&self) -> Self {
        let mut table = self.clone();
        let segments = (0..BLOCK_SLOTS / SEGMENT_ROWS).map(|_| OnceLock::new()).collect();
        table.blocks.push(RowBlock { segments });
        table
    }

    /// Writes the row of a slot that was never written.
    pub(super) fn put(&self, slot: Slot, row: StoredRow) -> Result<()> {
        let twice = || {
            Error::new(ErrorKind::Internal, format!("slot {} was written twice; please report this", slot.0))
        };
        let block = self.blocks.get(slot.block().index()).ok_or_else(twice)?;
        let segment = block.segments.get(slot.index() / SEGMENT_ROWS).ok_or_else(twice)?;
        let rows = segment.get_or_init(|| (0..SEGMENT_ROWS).map(|_| OnceLock::new()).collect());
        rows[slot.index() % SEGMENT_ROWS].set(row).map_err(|_| twice())
    }

    #[inline]
    pub(super) fn get(&self, slot: Slot) -> Option<RowRef<'_>> {
        let row = self.stored(slot)?;
        let body = RowRef::of(row.id.as_str(), row.payload.as_deref(), row.ver);
        Some(RowRef { node: row.node, ..body })
    }

    pub(super) fn id(&self, slot: Slot) -> &str {
        self.stored(slot).map_or("", |row| row.id.as_str())
    }

    pub(super) fn tenant(&self, slot: Slot) -> Option<&str> {
        self.get(slot)?.tenant
    }

    pub(super) fn document(&self, slot: Slot) -> Option<&str> {
        self.get(slot)?.document
    }

    /// Bytes of the tables themselves for `rows` rows, without payloads and long ids.
    pub(super) fn bytes(&self, rows: usize) -> usize {
        rows.next_multiple_of(SEGMENT_ROWS) * size_of::<OnceLock<StoredRow>>()
            + self.blocks.len() * BLOCK_SLOTS / SEGMENT_ROWS * size_of::<OnceLock<Segment>>()
    }

    /// Bytes on the heap of one row: a long id and the payload.
    pub(super) fn heap_bytes(&self, slot: Slot) -> (usize, usize) {
        self.stored(slot).map_or((0, 0), |row| {
            let payload = row.payload.as_ref().map_or(0, |p| size_of_val(&**p) + p.heap_bytes());
            (row.id.heap_bytes(), payload)
        })
    }

    #[inline]
    fn stored(&self, slot: Slot) -> Option<&StoredRow> {
        let block = self.blocks.get(slot.block().index())?;
        block.segments.get(slot.index() / SEGMENT_ROWS)?.get()?[slot.index() % SEGMENT_ROWS].get()
    }
}
