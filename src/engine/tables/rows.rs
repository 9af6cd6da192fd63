//! What a slot stands for beside its vector: id, version and payload. Written once, read without a lock.
//!
//! A row stands in the file of its block, once there is one, or on the heap. A row of a file that does not check is not there.

use crate::block::RowsFile;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BLOCK_SLOTS, ChunkId, Slot, Ver};
use crate::record::{Payload, RowRef};
use std::sync::{Arc, OnceLock};

/// Rows that are given memory together.
const SEGMENT_ROWS: usize = 1 << 8;

pub(crate) struct StoredRow {
    pub(crate) id: ChunkId,
    pub(crate) ver: Ver,
    pub(crate) origin: Origin,
    pub(crate) payload: Option<Box<Payload>>,
}

/// The node that wrote a row, and in the top bit, which no node has, whether the row has a vector.
#[derive(Clone, Copy)]
pub(crate) struct Origin(u64);

const HAS_VECTOR: u64 = 1 << 63;

impl Origin {
    pub(crate) fn new(node: u64, has_vector: bool) -> Self {
        Self(node & !HAS_VECTOR | if has_vector { HAS_VECTOR } else { 0 })
    }
}

type Segment = Box<[OnceLock<StoredRow>]>;

/// The rows of a collection, block by block. Growing by a block makes a new table that shares the old blocks.
#[derive(Clone, Default)]
pub(crate) struct RowTable {
    blocks: Vec<RowBlock>,
}

#[derive(Clone, Default)]
struct RowBlock {
    /// The first rows of the block.
    file: Option<Arc<RowsFile>>,
    /// The rows after those.
    segments: Arc<[OnceLock<Segment>]>,
}

impl RowTable {
    pub(crate) fn with_block(&self) -> Self {
        let mut table = self.clone();
        table.blocks.push(RowBlock { file: None, segments: segments() });
        table
    }

    /// The same table with one more block, whose first rows stand in `file`. If it `grows`, more come after them.
    pub(crate) fn with_file(&self, file: Arc<RowsFile>, grows: bool) -> Self {
        let mut table = self.clone();
        let segments = if grows { segments() } else { Arc::default() };
        table.blocks.push(RowBlock { file: Some(file), segments });
        table
    }

    /// The same table with one more block that has no rows.
    pub(crate) fn with_nothing(&self) -> Self {
        let mut table = self.clone();
        table.blocks.push(RowBlock::default());
        table
    }

    /// The same table with the rows of block `block` in `file`, or nowhere.
    pub(crate) fn with_moved(&self, block: usize, file: Option<Arc<RowsFile>>) -> Self {
        let mut table = self.clone();
        if let Some(place) = table.blocks.get_mut(block) {
            *place = RowBlock { file, segments: Arc::default() };
        }
        table
    }

    /// The file of a block.
    pub(crate) fn file(&self, block: usize) -> Option<&Arc<RowsFile>> {
        self.blocks.get(block)?.file.as_ref()
    }

    /// Whether rows come after those of the block's file.
    pub(crate) fn grows(&self, block: usize) -> bool {
        self.blocks.get(block).is_some_and(|b| !b.segments.is_empty())
    }

    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Writes the row of a slot that was never written.
    pub(crate) fn put(&self, slot: Slot, row: StoredRow) -> Result<()> {
        let twice = || {
            Error::new(ErrorKind::Internal, format!("slot {} was written twice; please report this", slot.0))
        };
        let block = self.blocks.get(slot.block().index()).ok_or_else(twice)?;
        let segment = block.segments.get(slot.index() / SEGMENT_ROWS).ok_or_else(twice)?;
        let rows = segment.get_or_init(|| (0..SEGMENT_ROWS).map(|_| OnceLock::new()).collect());
        rows[slot.index() % SEGMENT_ROWS].set(row).map_err(|_| twice())
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> Option<RowRef<'_>> {
        let block = self.blocks.get(slot.block().index())?;
        if let Some(file) = &block.file
            && slot.index() < file.rows()
        {
            return RowRef::parse(file.body(slot.index())?);
        }
        let row = block.stored(slot)?;
        let body = RowRef::of(row.id.as_str(), row.payload.as_deref(), row.ver);
        let Origin(origin) = row.origin;
        Some(RowRef { node: origin & !HAS_VECTOR, has_vector: origin & HAS_VECTOR != 0, ..body })
    }

    /// The id of a row; empty if the row is not there.
    pub(crate) fn id(&self, slot: Slot) -> &str {
        self.get(slot).map_or("", |row| row.id)
    }

    /// The hash of a row's id with the store's seed, from a file that holds it.
    pub(crate) fn id_hash(&self, slot: Slot) -> Option<u64> {
        self.blocks.get(slot.block().index())?.file.as_ref()?.id_hash(slot.index())
    }

    pub(crate) fn tenant(&self, slot: Slot) -> Option<&str> {
        self.get(slot)?.tenant
    }

    pub(crate) fn document(&self, slot: Slot) -> Option<&str> {
        self.get(slot)?.document
    }

    /// Bytes of the tables themselves, without payloads and long ids.
    pub(crate) fn bytes(&self) -> usize {
        let of_block = |block: &RowBlock| {
            let segments = block.segments.iter().filter(|s| s.get().is_some()).count();
            segments * SEGMENT_ROWS * size_of::<OnceLock<StoredRow>>()
                + block.segments.len() * size_of::<OnceLock<Segment>>()
        };
        self.blocks.iter().map(of_block).sum()
    }

    /// Slots whose rows stand on the heap.
    pub(crate) fn heap_slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.blocks.iter().enumerate().flat_map(|(b, block)| {
            let segments = block.segments.iter().enumerate().filter(|(_, s)| s.get().is_some());
            segments.flat_map(move |(s, _)| {
                let first = (b as u32) << 16 | (s * SEGMENT_ROWS) as u32;
                (first..first + SEGMENT_ROWS as u32).map(Slot)
            })
        })
    }

    /// Bytes on the heap of one row: a long id and the payload.
    pub(crate) fn heap_bytes(&self, slot: Slot) -> (usize, usize) {
        let stored = self.blocks.get(slot.block().index()).and_then(|b| b.stored(slot));
        stored.map_or((0, 0), |row| {
            let payload = row.payload.as_ref().map_or(0, |p| size_of_val(&**p) + p.heap_bytes());
            (row.id.heap_bytes(), payload)
        })
    }
}

impl RowBlock {
    #[inline]
    fn stored(&self, slot: Slot) -> Option<&StoredRow> {
        self.segments.get(slot.index() / SEGMENT_ROWS)?.get()?[slot.index() % SEGMENT_ROWS].get()
    }
}

fn segments() -> Arc<[OnceLock<Segment>]> {
    (0..BLOCK_SLOTS / SEGMENT_ROWS).map(|_| OnceLock::new()).collect()
}
