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
    blocks: Vec<Arc<Rows<f32>>>,
}

impl VectorTable {
    pub(crate) fn new(dim: usize) -> Self {
        Self { dim, blocks: Vec::new() }
    }

    /// The same table with one more, empty block of `capacity` slots.
    pub(crate) fn with_block(&self, capacity: usize) -> Result<Self> {
        let mut table = self.clone();
        table.blocks.push(Arc::new(Rows::new(self.dim, capacity)?));
        Ok(table)
    }

    /// The same table with one more block: rows of a file, to which nothing can be pushed.
    #[allow(dead_code, reason = "the durable store is its user")]
    pub(crate) fn with_mapped_block(&self, rows: Arc<Rows<f32>>) -> Result<Self> {
        let mut table = self.clone();
        table.blocks.push(self.fitting(rows)?);
        Ok(table)
    }

    /// The same table with other rows in block `block`: the vectors that stand there now, elsewhere in memory.
    #[allow(dead_code, reason = "the durable store is its user")]
    pub(crate) fn with_replaced_block(&self, block: usize, rows: Arc<Rows<f32>>) -> Result<Self> {
        let mut table = self.clone();
        let place = table.blocks.get_mut(block).ok_or_else(unfit)?;
        *place = self.fitting(rows)?;
        Ok(table)
    }

    /// The same table with one more block that has no slots: one that was dropped.
    #[allow(dead_code, reason = "the durable store is its user")]
    pub(crate) fn with_empty_block(&self) -> Result<Self> {
        self.with_block(0)
    }

    /// The same table without the slots of block `block`.
    #[allow(dead_code, reason = "the durable store is its user")]
    pub(crate) fn with_dropped_block(&self, block: usize) -> Result<Self> {
        self.with_replaced_block(block, Arc::new(Rows::new(self.dim, 0)?))
    }

    fn fitting(&self, rows: Arc<Rows<f32>>) -> Result<Arc<Rows<f32>>> {
        if rows.stride() == self.dim { Ok(rows) } else { Err(unfit()) }
    }

    /// Appends `x` (or zeros, for a row that has no vector yet) to a block.
    pub(crate) fn push(&self, block: BlockId, x: Option<&[f32]>) -> Result<Slot> {
        let full = || Error::new(ErrorKind::Internal, "a row was pushed to a full block; please report this");
        let rows = self.blocks.get(block.index()).ok_or_else(full)?;
        let write = |row: &mut [f32]| {
            if let Some(x) = x {
                row.copy_from_slice(x);
            }
        };
        let index = rows.push(write).ok_or_else(full)?;
        Ok(Slot::new(block, index as u16))
    }

    #[inline(always)]
    pub(crate) fn get(&self, slot: Slot) -> Option<&[f32]> {
        self.blocks.get(slot.block().index())?.get(slot.index())
    }

    /// Blocks, full ones and the last.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Rows in all blocks.
    pub(crate) fn rows(&self) -> usize {
        self.blocks.iter().map(|b| b.len()).sum()
    }

    /// Slots of block `block`.
    pub(crate) fn capacity_of(&self, block: usize) -> usize {
        self.blocks.get(block).map_or(0, |b| b.capacity())
    }

    /// Where the next row goes: behind the last one, or in the block after, which may not be there yet.
    pub(crate) fn next_slot(&self) -> Slot {
        let used = self.blocks.iter().rposition(|b| b.len() > 0);
        if let Some(last) = used.filter(|at| self.blocks[*at].len() < self.blocks[*at].capacity()) {
            return Slot((last as u32) << 16 | self.blocks[last].len() as u32);
        }
        let from = used.map_or(0, |at| at + 1);
        // A block without room is one that was given back.
        let empty = self.blocks[from..].iter().position(|b| b.capacity() > 0);
        Slot((empty.map_or(self.blocks.len(), |at| from + at) as u32) << 16)
    }

    /// Rows in block `block`.
    pub(crate) fn rows_in(&self, block: usize) -> usize {
        self.blocks.get(block).map_or(0, |b| b.len())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.blocks.iter().map(|b| b.bytes()).sum()
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
