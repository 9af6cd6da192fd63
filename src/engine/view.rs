//! What one search sees: the tables and the sets of one seq.

use super::tables::fields::FieldBlock;
use super::tables::rows::{Origin, RowTable, StoredRow};
use super::write::draft::NewRow;
use crate::codes::{CodeTable, Codec, VectorTable};
use crate::config::Schema;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Space;
use crate::ids::{Seq, Slot};
use crate::sets::SlotBits;
use std::sync::Arc;

/// Everything that is stored by slot. Appending writes into it; growing by a block makes a new one.
#[derive(Clone)]
pub(crate) struct Tables {
    pub(crate) codes: CodeTable,
    pub(crate) vectors: VectorTable,
    pub(crate) rows: RowTable,
    pub(crate) fields: Vec<Arc<FieldBlock>>,
}

impl Tables {
    /// Tables without a block.
    pub(crate) fn new(schema: &Schema) -> Self {
        Self {
            codes: CodeTable::new(Codec::untrained(schema.metric, schema.dim)),
            vectors: VectorTable::new(schema.dim),
            rows: RowTable::default(),
            fields: Vec::new(),
        }
    }

    /// Adds a block of `capacity` slots to each table.
    pub(crate) fn grow(&mut self, capacity: usize) -> Result<()> {
        self.codes = self.codes.with_block(capacity)?;
        self.vectors = self.vectors.with_block(capacity)?;
        self.rows = self.rows.with_block();
        self.fields.push(Arc::default());
        Ok(())
    }

    /// The same tables without the rows of a block.
    pub(crate) fn without(&self, block: usize) -> Result<Self> {
        let mut tables = self.clone();
        tables.codes = self.codes.with_dropped_block(block)?;
        tables.vectors = self.vectors.with_dropped_block(block)?;
        tables.rows = self.rows.with_moved(block, None);
        if let Some(fields) = tables.fields.get_mut(block) {
            *fields = Arc::default();
        }
        Ok(tables)
    }

    /// Writes vector, code, metadata and body of `slot`, which is the next of its block. `freeze` if it is the last that comes
    /// to the block, and nobody else will bring the block's index into its final form.
    pub(crate) fn write(&self, slot: Slot, new: NewRow, freeze: bool, work: &mut Vec<f32>) -> Result<()> {
        let NewRow { row, ver, node, since: _ } = new;
        let got = self.vectors.push(slot.block(), row.vector.as_deref())?;
        if got != slot {
            return Err(misplaced(slot, got));
        }
        self.codes.push(slot.block(), row.vector.as_deref(), work)?;
        let metadata = row.payload.as_ref().map(|p| p.metadata_map()).unwrap_or_default();
        if let Some(fields) = self.fields.get(slot.block().index()) {
            fields.insert(&self.rows, slot, &metadata, freeze);
        }
        let origin = Origin::new(node, row.vector.is_some());
        self.rows.put(slot, StoredRow { id: row.id, ver, origin, payload: row.payload })
    }
}

fn misplaced(expected: Slot, got: Slot) -> Error {
    let what =
        format!("a row was staged for slot {} and came to slot {}; please report this", expected.0, got.0);
    Error::new(ErrorKind::Internal, what)
}

/// Whether all of a row can be read.
pub(crate) fn is_whole(view: &View, slot: Slot) -> bool {
    let has_vector = || !view.ready.contains(slot) || view.tables.vectors.get(slot).is_some();
    view.tables.rows.get(slot).is_some() && has_vector()
}

#[derive(Clone)]
pub(crate) struct View {
    pub(crate) seq: Seq,
    pub(crate) tables: Arc<Tables>,
    /// Rows that exist.
    pub(crate) live: SlotBits,
    /// Rows that exist and have a vector.
    pub(crate) ready: SlotBits,
    /// Rows with a vector that the graph may not lead to yet.
    pub(crate) tail: Arc<[Slot]>,
    /// Slots that were given to the graph so far, dead ones among them.
    pub(crate) linked: SlotBits,
}

impl View {
    pub(crate) fn space(&self) -> Space<'_> {
        Space { codes: &self.tables.codes, vectors: &self.tables.vectors }
    }
}
