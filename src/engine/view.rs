//! What one search sees: the tables and the sets of one seq.

use super::rows::RowTable;
use crate::codes::{CodeTable, VectorTable};
use crate::filter::FieldIndex;
use crate::graph::Space;
use crate::ids::{Seq, Slot};
use crate::sets::SlotBits;
use parking_lot::RwLock;
use std::sync::Arc;

/// Everything that is stored by slot. Appending writes into it; growing by a block makes a new one.
#[derive(Clone)]
pub(super) struct Tables {
    pub(super) codes: CodeTable,
    pub(super) vectors: VectorTable,
    pub(super) rows: RowTable,
    pub(super) fields: Vec<Arc<RwLock<FieldIndex>>>,
}

#[derive(Clone)]
pub(super) struct View {
    pub(super) seq: Seq,
    pub(super) tables: Arc<Tables>,
    /// Rows that exist.
    pub(super) live: SlotBits,
    /// Rows that exist and have a vector.
    pub(super) ready: SlotBits,
    /// Rows with a vector that the graph may not lead to yet.
    pub(super) tail: Arc<[Slot]>,
    /// Slots that were given to the graph so far, dead ones among them.
    pub(super) linked: usize,
}

impl View {
    pub(super) fn space(&self) -> Space<'_> {
        Space { codes: &self.tables.codes, vectors: &self.tables.vectors }
    }
}
