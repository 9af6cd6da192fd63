//! Writes on a condition: rows take the place of those that the writer has seen, and of no newer ones.
//!
//! For writers that look, work for a while, and then write: a document that is cut and embedded anew, a vector that was made in the
//! background. What counts is a row's version; its slot may change without one (`upkeep`). Invariants: all of a swap happens or nothing
//! of it; of a fill each row for itself; a row that came, changed or went in between is never replaced.

use super::draft::{Change, Draft, Order, Staged};
use super::upsert::{Ack, RowResult};
use crate::engine::collection::Collection;
use crate::engine::inner::Inner;
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::ids::{ChunkId, Ver};
use crate::record::{Chunk, Row};
use std::sync::Arc;

/// Rows that come and go if what they replace is what was seen.
pub(crate) struct Swap {
    /// Each with its place in the writer's batch and the version that it replaces; nothing for an id that must be free.
    pub(crate) rows: Vec<(usize, Row, Option<Ver>)>,
    pub(crate) gone: Vec<(ChunkId, Ver)>,
    /// All of it, or nothing.
    pub(crate) whole: bool,
}

/// Why a row of a fill was not written.
pub(crate) const CHANGED: &str = "the row was changed meanwhile";

impl Swap {
    /// The first id that is not as it was seen.
    pub(super) fn check(&self, draft: &Draft, tenant: Option<&str>) -> Result<()> {
        let seen = self.rows.iter().map(|(_, row, seen)| (&row.id, *seen));
        let gone = self.gone.iter().map(|(id, seen)| (id, Some(*seen)));
        match seen.chain(gone).find(|(id, seen)| draft.version_of(id, tenant) != *seen) {
            Some((id, _)) if self.whole => {
                let changed =
                    format!("chunk {} was changed meanwhile; look at it again", excerpt(id.as_str()));
                Err(Error::new(ErrorKind::Conflict, changed))
            }
            _ => Ok(()),
        }
    }

    /// The ids that may go.
    pub(super) fn removable(&mut self, draft: &Draft, tenant: Option<&str>) -> Vec<ChunkId> {
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|(id, seen)| draft.version_of(id, tenant) == Some(*seen));
        gone.into_iter().map(|(id, _)| id).collect()
    }

    /// The rows that may be written; the others are refused.
    pub(super) fn allowed(
        self,
        draft: &Draft,
        tenant: Option<&str>,
        staged: &mut Staged,
    ) -> Vec<(usize, Row)> {
        let mut rows = Vec::with_capacity(self.rows.len());
        for (at, row, seen) in self.rows {
            if draft.version_of(&row.id, tenant) == seen {
                rows.push((at, row));
            } else {
                staged.refused.push((at, CHANGED));
            }
        }
        rows
    }
}

impl Inner {
    /// What of it replaces what was seen, of everybody's rows. Nobody waits for a mirror's database.
    #[cfg_attr(not(feature = "ingest"), allow(dead_code, reason = "migrations are its user"))]
    pub(crate) fn replace(
        self: &Arc<Self>,
        chunks: Vec<(Chunk, Option<Ver>)>,
        gone: Vec<(ChunkId, Ver)>,
    ) -> Result<Ack> {
        let (mut results, rows, order) = self.swap_order(chunks, gone, false, None)?;
        let done = self.line.commit(order)?;
        self.after_write(rows + done.removed);
        for (at, reason) in &done.refused {
            results[*at].rejected = Some((*reason).to_owned());
        }
        let upserted = rows - done.refused.len();
        let rejected = results.len() - upserted;
        Ok(Ack { token: done.token, results, upserted, rejected, mirrored: false })
    }

    fn swap(
        self: &Arc<Self>,
        chunks: Vec<(Chunk, Option<Ver>)>,
        gone: Vec<(ChunkId, Ver)>,
        whole: bool,
        tenant: Option<&str>,
    ) -> Result<Ack> {
        let (results, admitted, order) = self.swap_order(chunks, gone, whole, tenant)?;
        self.store_rows(results, admitted, order)
    }

    /// What became of the chunks so far, how many were admitted, and the order.
    fn swap_order(
        self: &Arc<Self>,
        chunks: Vec<(Chunk, Option<Ver>)>,
        gone: Vec<(ChunkId, Ver)>,
        whole: bool,
        tenant: Option<&str>,
    ) -> Result<(Vec<RowResult>, usize, Order)> {
        self.ensure_open()?;
        let (chunks, seen): (Vec<Chunk>, Vec<Option<Ver>>) = chunks.into_iter().unzip();
        let (results, rows) = self.admit_all(chunks.into_iter(), tenant);
        let refused = results.iter().find_map(|result| result.rejected.as_ref().map(|why| (&result.id, why)));
        if let Some((id, why)) = refused.filter(|_| whole) {
            return Err(Error::invalid(format!("chunk {} cannot be stored: {why}", excerpt(id.as_str()))));
        }
        let admitted = rows.len();
        let rows = rows.into_iter().map(|(at, row)| (at, row, seen[at])).collect();
        let order = self.order(Change::Swap(Swap { rows, gone, whole }), tenant);
        Ok((results, admitted, order))
    }
}

#[cfg_attr(not(feature = "ingest"), allow(dead_code, reason = "documents are its user"))]
impl Collection {
    /// Stores chunks and deletes others in one commit, if all that they replace is what was seen; an error of kind
    /// [`ErrorKind::Conflict`] if not, or if a chunk cannot be stored, and then nothing has changed.
    pub(crate) fn swap(&self, chunks: Vec<(Chunk, Option<Ver>)>, gone: Vec<(ChunkId, Ver)>) -> Result<Ack> {
        let _turn = self.writes()?;
        self.inner().swap(chunks, gone, true, self.tenant_name())
    }

    /// Stores those of the chunks that replace what was seen; the results say which were not stored.
    pub(crate) fn fill(&self, chunks: Vec<(Chunk, Ver)>) -> Result<Ack> {
        let chunks = chunks.into_iter().map(|(chunk, seen)| (chunk, Some(seen))).collect();
        let _turn = self.writes()?;
        self.inner().swap(chunks, Vec::new(), false, self.tenant_name())
    }

    /// The chunks of a document in their order, each with its version.
    pub(crate) fn document_seen(&self, document_id: &str) -> Result<Vec<(Chunk, Ver)>> {
        self.ready()?;
        let view = self.inner().view.load_full();
        let slots = self.inner().document_slots(&view, document_id, self.tenant_name());
        let mut chunks: Vec<_> = slots.into_iter().filter_map(|slot| self.seen(&view, slot)).collect();
        chunks.sort_by_key(|(chunk, _)| chunk.chunk_index);
        Ok(chunks)
    }
}
