//! The codes of a collection, block by block, and the batched estimate of distances that every search lives on.
//!
//! A table is immutable but for rows being appended; growing by a block makes a new table that shares the old blocks.

use super::codec::{Codec, QueryCode, Terms};
use crate::disk::Rows;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BlockId, Slot};
use crate::kernels::{Kernels, ROWS_MAX, Rows as Batch};
use std::sync::Arc;

/// Slots compared in one call of the kernel: a full list of level 0 and one more, with room to spare.
pub(crate) const BATCH: usize = ROWS_MAX;
const _: () = assert!(BATCH > 2 * crate::limits::M_MAX);

/// Stands in for the code of a slot that has none: a link may lead to a row that is younger than this table.
static NO_CODE: [u8; crate::limits::DIM_MAX] = [128; crate::limits::DIM_MAX];

/// Elements of a row's terms.
pub(super) const TERMS: usize = 2;

#[derive(Clone)]
pub(crate) struct CodeTable {
    codec: Arc<Codec>,
    kernels: &'static Kernels,
    blocks: Vec<Arc<CodeBlock>>,
}

struct CodeBlock {
    codes: Rows<u8>,
    /// `[factor, offset]` of each row, where the codec has terms.
    terms: Option<Rows<f32>>,
}

impl CodeTable {
    pub(crate) fn new(codec: Codec) -> Self {
        Self { codec: Arc::new(codec), kernels: Kernels::best(), blocks: Vec::new() }
    }

    pub(crate) fn codec(&self) -> &Codec {
        &self.codec
    }

    /// The same table with one more, empty block of `capacity` slots.
    pub(crate) fn with_block(&self, capacity: usize) -> Result<Self> {
        let mut table = self.clone();
        table.blocks.push(Arc::new(self.block(capacity)?));
        Ok(table)
    }

    /// The same table with one more block: rows of a file, to which nothing can be pushed.
    pub(crate) fn with_mapped_block(&self, codes: Rows<u8>, terms: Option<Rows<f32>>) -> Result<Self> {
        let mut table = self.clone();
        table.blocks.push(Arc::new(self.mapped(codes, terms)?));
        Ok(table)
    }

    /// The same table with one more block of `capacity` slots, the first of which hold copies of `codes`.
    pub(crate) fn with_copied_block(
        &self,
        capacity: usize,
        codes: &Rows<u8>,
        terms: Option<&Rows<f32>>,
    ) -> Result<Self> {
        let table = self.with_block(capacity)?;
        let block = table.blocks.last().ok_or_else(|| unfit("it is not there"))?;
        for row in 0..codes.len() {
            if let (Some(to), Some(from)) = (&block.terms, terms.and_then(|t| t.get(row))) {
                to.push(|to| to.copy_from_slice(from)).ok_or_else(|| unfit("it is full"))?;
            }
            let from = codes.get(row).filter(|c| c.len() == self.codec.stride());
            let from = from.ok_or_else(|| unfit("it is of another codec"))?;
            block.codes.push(|to| to.copy_from_slice(from)).ok_or_else(|| unfit("it is full"))?;
        }
        Ok(table)
    }

    /// The same table with other rows in block `block`: the codes that stand there now, elsewhere in memory.
    pub(crate) fn with_replaced_block(
        &self,
        block: usize,
        codes: Rows<u8>,
        terms: Option<Rows<f32>>,
    ) -> Result<Self> {
        let mut table = self.clone();
        let place =
            table.blocks.get_mut(block).ok_or_else(|| unfit("it replaces a block that is not there"))?;
        *place = Arc::new(self.mapped(codes, terms)?);
        Ok(table)
    }

    /// Whether the codes of a block stand in a file.
    pub(crate) fn is_in_file(&self, block: usize) -> bool {
        self.blocks.get(block).is_some_and(|b| b.codes.is_mapped())
    }

    /// The codes of a block that stand in a file, in memory of their own.
    #[allow(clippy::type_complexity, reason = "what a table takes")]
    pub(crate) fn copy_of(&self, block: usize) -> Result<Option<(Rows<u8>, Option<Rows<f32>>)>> {
        let Some(block) = self.blocks.get(block).filter(|b| b.codes.is_mapped()) else { return Ok(None) };
        let terms = block.terms.as_ref().map(Rows::copied).transpose()?;
        Ok(Some((block.codes.copied()?, terms)))
    }

    /// The same table with the codes of block `block` made again from its vectors.
    pub(crate) fn with_remade_block<'v>(
        &self,
        block: usize,
        vectors: impl ExactSizeIterator<Item = Option<&'v [f32]>>,
    ) -> Result<Self> {
        let fresh = Self { blocks: Vec::new(), ..self.clone() }.with_block(vectors.len())?;
        let mut work = Vec::new();
        for vector in vectors {
            fresh.push(BlockId(0), vector, &mut work)?;
        }
        let mut table = self.clone();
        let place = table.blocks.get_mut(block).ok_or_else(|| unfit("it is not there"))?;
        *place = fresh.blocks.into_iter().next().ok_or_else(|| unfit("it is not there"))?;
        Ok(table)
    }

    /// Whether both hold the same blocks, rows that came since among them.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.blocks.len() == other.blocks.len()
            && self.blocks.iter().zip(&other.blocks).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// The same table with one more block that has no slots: one that was dropped.
    pub(crate) fn with_empty_block(&self) -> Result<Self> {
        self.with_block(0)
    }

    /// The same table without the slots of block `block`.
    pub(crate) fn with_dropped_block(&self, block: usize) -> Result<Self> {
        let mut table = self.clone();
        let place = table.blocks.get_mut(block).ok_or_else(|| unfit("it drops a block that is not there"))?;
        *place = Arc::new(self.block(0)?);
        Ok(table)
    }

    fn block(&self, capacity: usize) -> Result<CodeBlock> {
        let codes = Rows::new(self.codec.stride(), capacity)?;
        let terms = if self.codec.has_terms() { Some(Rows::new(TERMS, capacity)?) } else { None };
        Ok(CodeBlock { codes, terms })
    }

    fn mapped(&self, codes: Rows<u8>, terms: Option<Rows<f32>>) -> Result<CodeBlock> {
        let terms_fit = terms.as_ref().is_none_or(|t| t.stride() == TERMS && t.len() == codes.len());
        if codes.stride() != self.codec.stride() || terms.is_some() != self.codec.has_terms() || !terms_fit {
            return Err(unfit("it is of another codec"));
        }
        Ok(CodeBlock { codes, terms })
    }

    /// Blocks, full ones and the last.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Codes in block `block`.
    pub(crate) fn rows_in(&self, block: usize) -> usize {
        self.blocks.get(block).map_or(0, |b| b.codes.len())
    }

    /// Appends the code of `x` (or of nothing, for a row that has no vector yet) to a block.
    pub(crate) fn push(&self, block: BlockId, x: Option<&[f32]>, work: &mut Vec<f32>) -> Result<()> {
        let full =
            || Error::new(ErrorKind::Internal, "a code was pushed to a full block; please report this");
        let block = self.blocks.get(block.index()).ok_or_else(full)?;
        let mut code = vec![0; self.codec.stride()];
        let terms = x.map_or(Terms::NONE, |x| self.codec.encode(x, work, &mut code));
        // Terms first: a reader that sees the code sees them.
        if let Some(rows) = &block.terms {
            rows.push(|row| row.copy_from_slice(&[terms.factor, terms.offset])).ok_or_else(full)?;
        }
        block.codes.push(|row| row.copy_from_slice(&code)).ok_or_else(full)?;
        Ok(())
    }

    /// Makes `query` from the code of `slot`. False when the slot has none.
    pub(crate) fn query_of(&self, slot: Slot, query: &mut QueryCode) -> bool {
        let Some(block) = self.blocks.get(slot.block().index()) else { return false };
        let Some(code) = block.codes.get(slot.index()) else { return false };
        self.codec.query_of_code(code, block.terms_of(slot.index()), query);
        true
    }

    /// Whether two slots have the same code, so that no query can tell them apart.
    pub(crate) fn same(&self, a: Slot, b: Slot) -> bool {
        let terms = |s: Slot| self.blocks.get(s.block().index()).map(|b| b.terms_of(s.index()));
        self.code(a).is_some() && self.code(a) == self.code(b) && terms(a) == terms(b)
    }

    /// Estimates the distance of each slot to `query`, in order. A slot without a code is infinitely far.
    /// `slots` and `out` are at most [`BATCH`] long.
    #[inline]
    pub(crate) fn distances(&self, query: &QueryCode, slots: &[u32], out: &mut [f32; BATCH]) {
        let mut rows = Batch::default();
        let mut dots = [0i32; BATCH];
        let mut unknown = false;
        for &slot in slots {
            let code = self.code(Slot(slot));
            unknown |= code.is_none();
            rows.push(code.unwrap_or(&NO_CODE[..query.bytes.len().min(NO_CODE.len())]));
        }
        let n = rows.len();
        self.kernels.dot_rows(&query.bytes, &rows, &mut dots);
        if self.codec.has_terms() {
            for i in 0..n {
                let slot = Slot(slots[i]);
                let terms =
                    self.blocks.get(slot.block().index()).map_or(Terms::NONE, |b| b.terms_of(slot.index()));
                let dot = (dots[i] - query.bias) as f32;
                out[i] = terms.factor * query.mul * dot + (query.add + terms.offset);
            }
        } else {
            for i in 0..n {
                out[i] = query.mul * (dots[i] - query.bias) as f32 + query.add;
            }
        }
        if unknown {
            for (out, &slot) in out.iter_mut().zip(slots) {
                if self.code(Slot(slot)).is_none() {
                    *out = f32::INFINITY;
                }
            }
        }
    }

    #[inline(always)]
    fn code(&self, slot: Slot) -> Option<&[u8]> {
        self.blocks.get(slot.block().index())?.codes.get(slot.index())
    }

    /// The bytes of the code of `slot`, for a file.
    pub(crate) fn code_of(&self, slot: Slot) -> Option<&[u8]> {
        self.code(slot)
    }

    /// The terms of `slot`; [`Terms::NONE`] where the codec has none. `None` when the slot has no code.
    pub(crate) fn terms_of(&self, slot: Slot) -> Option<Terms> {
        let block = self.blocks.get(slot.block().index())?;
        block.codes.get(slot.index()).map(|_| block.terms_of(slot.index()))
    }

    /// Bytes of all codes and terms.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.iter().map(|b| b.codes.bytes() + b.terms.as_ref().map_or(0, Rows::bytes)).sum()
    }
}

impl CodeBlock {
    #[inline(always)]
    fn terms_of(&self, index: usize) -> Terms {
        match self.terms.as_ref().and_then(|rows| rows.get(index)) {
            Some(&[factor, offset]) => Terms { factor, offset },
            _ => Terms::NONE,
        }
    }
}

fn unfit(what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("a block of codes does not fit: {what}; please report this"))
}
