//! Full-precision rows as the user gave them, and exact distances over them.

use crate::config::Metric;
use crate::disk::Rows;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BlockId, Slot};
use crate::kernels::Kernels;
use std::sync::Arc;

/// The vectors of a collection, block by block. Growing by a block makes a new table that shares the old blocks.
#[derive(Clone)]
pub(crate) struct VectorTable {
    dim: usize,
    blocks: Vec<VectorBlock>,
}

#[derive(Clone)]
struct VectorBlock {
    rows: Arc<Rows<f32>>,
    /// Asked before a row is used, where the rows stand in a file that was not read yet.
    guard: Option<Arc<dyn Sound>>,
}

/// Knows which rows of a block are as they were written.
pub(crate) trait Sound: Send + Sync {
    fn is_sound(&self, row: usize) -> bool;
}

impl VectorBlock {
    fn new(rows: Rows<f32>) -> Self {
        Self { rows: Arc::new(rows), guard: None }
    }
}

impl VectorTable {
    pub(crate) fn new(dim: usize) -> Self {
        Self { dim, blocks: Vec::new() }
    }

    /// The same table with one more, empty block of `capacity` slots.
    pub(crate) fn with_block(&self, capacity: usize) -> Result<Self> {
        let mut table = self.clone();
        table.blocks.push(VectorBlock::new(Rows::new(self.dim, capacity)?));
        Ok(table)
    }

    /// The same table with one more block: rows of a file, to which nothing can be pushed.
    pub(crate) fn with_mapped_block(
        &self,
        rows: Arc<Rows<f32>>,
        guard: Option<Arc<dyn Sound>>,
    ) -> Result<Self> {
        let mut table = self.clone();
        table.blocks.push(self.fitting(rows, guard)?);
        Ok(table)
    }

    /// The same table with other rows in block `block`: the vectors that stand there now, elsewhere in memory.
    pub(crate) fn with_replaced_block(
        &self,
        block: usize,
        rows: Arc<Rows<f32>>,
        guard: Option<Arc<dyn Sound>>,
    ) -> Result<Self> {
        let mut table = self.clone();
        let place = table.blocks.get_mut(block).ok_or_else(unfit)?;
        *place = self.fitting(rows, guard)?;
        Ok(table)
    }

    /// The same table with one more block that has no slots: one that was dropped.
    pub(crate) fn with_empty_block(&self) -> Result<Self> {
        self.with_block(0)
    }

    /// The same table without the slots of block `block`.
    pub(crate) fn with_dropped_block(&self, block: usize) -> Result<Self> {
        self.with_replaced_block(block, Arc::new(Rows::new(self.dim, 0)?), None)
    }

    fn fitting(&self, rows: Arc<Rows<f32>>, guard: Option<Arc<dyn Sound>>) -> Result<VectorBlock> {
        if rows.stride() == self.dim { Ok(VectorBlock { rows, guard }) } else { Err(unfit()) }
    }

    /// Appends `x` (or zeros, for a row that has no vector yet) to a block.
    pub(crate) fn push(&self, block: BlockId, x: Option<&[f32]>) -> Result<Slot> {
        let full = || Error::new(ErrorKind::Internal, "a row was pushed to a full block; please report this");
        let rows = &self.blocks.get(block.index()).ok_or_else(full)?.rows;
        let write = |row: &mut [f32]| {
            if let Some(x) = x {
                row.copy_from_slice(x);
            }
        };
        let index = rows.push(write).ok_or_else(full)?;
        Ok(Slot::new(block, index as u16))
    }

    /// The vector of a row; `None` if there is no such row, or it is damaged.
    #[inline(always)]
    pub(crate) fn get(&self, slot: Slot) -> Option<&[f32]> {
        let block = self.blocks.get(slot.block().index())?;
        let row = block.rows.get(slot.index())?;
        match &block.guard {
            Some(guard) if !guard.is_sound(slot.index()) => None,
            _ => Some(row),
        }
    }

    /// Blocks, full ones and the last.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Rows in all blocks.
    pub(crate) fn rows(&self) -> usize {
        self.blocks.iter().map(|b| b.rows.len()).sum()
    }

    /// Slots of block `block`.
    pub(crate) fn capacity_of(&self, block: usize) -> usize {
        self.blocks.get(block).map_or(0, |b| b.rows.capacity())
    }

    /// Where the next row goes: behind the last one, or in the block after, which may not be there yet.
    pub(crate) fn next_slot(&self) -> Slot {
        let used = self.blocks.iter().rposition(|b| b.rows.len() > 0);
        if let Some(last) = used {
            let rows = &self.blocks[last].rows;
            if rows.len() < rows.capacity() {
                return Slot((last as u32) << 16 | rows.len() as u32);
            }
        }
        let from = used.map_or(0, |at| at + 1);
        // A block without room is one that was given back.
        let empty = self.blocks[from..].iter().position(|b| b.rows.capacity() > 0);
        Slot((empty.map_or(self.blocks.len(), |at| from + at) as u32) << 16)
    }

    /// Whether `slot` was given out: it has a row, or its block was given back.
    pub(crate) fn holds(&self, slot: Slot) -> bool {
        let block = self.blocks.get(slot.block().index());
        block.is_some_and(|b| b.rows.capacity() == 0 || slot.index() < b.rows.len())
    }

    /// Whether `slot` has a row, damaged or not.
    pub(crate) fn is_written(&self, slot: Slot) -> bool {
        self.blocks.get(slot.block().index()).is_some_and(|b| slot.index() < b.rows.len())
    }

    /// Rows in block `block`.
    pub(crate) fn rows_in(&self, block: usize) -> usize {
        self.blocks.get(block).map_or(0, |b| b.rows.len())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.blocks.iter().map(|b| b.rows.bytes()).sum()
    }
}

fn unfit() -> Error {
    Error::new(ErrorKind::Internal, "a block of vectors does not fit its table; please report this")
}

/// Exact distances to one query, equal to what pgvector returns.
pub(crate) struct Exact<'a> {
    metric: Metric,
    query: &'a [f32],
    norm_sq: f32,
    kernels: &'static Kernels,
}

impl<'a> Exact<'a> {
    pub(crate) fn new(metric: Metric, query: &'a [f32]) -> Self {
        let kernels = Kernels::best();
        Self { metric, query, norm_sq: kernels.norm_sq(query), kernels }
    }

    #[inline]
    pub(crate) fn distance(&self, row: &[f32]) -> f32 {
        match self.metric {
            Metric::Cosine => {
                let (dot, row_sq) = self.kernels.dot_norm(self.query, row);
                let cos = f64::from(dot) / (f64::from(self.norm_sq) * f64::from(row_sq)).sqrt();
                (1.0 - cos.clamp(-1.0, 1.0)) as f32
            }
            Metric::L2 => self.kernels.l2sq(self.query, row).sqrt(),
            Metric::Dot => -self.kernels.dot(self.query, row),
            Metric::L1 => self.kernels.l1(self.query, row),
        }
    }
}
