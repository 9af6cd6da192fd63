//! What came in: heads are judged, versions applied, rows dropped or dirtied. All that changes anything but a dirty mark into a
//! clean one is a commit.

use super::stage::{Here, Tapped};
use super::{Applied, TapCollection, Ticket, Verdict};
use crate::config::Metric;
use crate::engine::write::draft::{Change, Order};
use crate::engine::write::upsert::Done;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{ChunkId, Slot, Ver};
use crate::record::{Edition, Head, Row, RowRef, Stamp, admit};
use std::cmp::Ordering;

/// Versions beyond are of no clock, and would leave none above them.
const VER_MAX: Ver = Ver(i64::MAX >> 1);

impl TapCollection {
    /// What each head means here. Marks what it says it marks.
    pub(crate) fn judge(&self, heads: &[Head]) -> Result<Vec<Verdict>> {
        self.ensure_attached()?;
        let (view, slots) = {
            let table = self.inner.ids();
            // Loaded under the table's lock: it shows every slot that the table names.
            let view = self.inner.view.load_full();
            let slots: Vec<_> = heads.iter().map(|head| table.get(&view.tables.rows, &head.id)).collect();
            (view, slots)
        };
        let digests = self.inner.digests.reader(&view, self.inner.tie().seed());
        let (mut clean, mut dirty) = (Vec::new(), Vec::new());
        let judge = |(head, slot): (&Head, Option<Slot>)| {
            let here = self.inner.here_at(&view, &head.id, slot);
            let verdict = verdict(head, &here, |slot| digests.get(slot));
            match verdict {
                Verdict::Same => clean.extend(here.ticket(&head.id)),
                Verdict::Older => dirty.extend(here.ticket(&head.id)),
                Verdict::Wanted => {}
            }
            verdict
        };
        let verdicts = heads.iter().zip(slots).map(judge).collect();
        self.inner.acknowledge(&clean);
        if !dirty.is_empty() {
            self.commit(Tapped::Soil(dirty))?;
        }
        Ok(verdicts)
    }

    /// Applies versions from the database, at one seq, durably; a row is admitted like any other. What is equal to what is here
    /// becomes clean. With `force` the content also replaces what is newer here, as a version of this store's own that
    /// is newer than both and dirty: the database was chosen to be right, and versions never go back (M4).
    pub(crate) fn apply(&self, mut editions: Vec<Edition>, force: bool) -> Result<Applied> {
        self.ensure_attached()?;
        // Of an id that comes twice the greatest counts.
        editions.sort_by(|a, b| a.id.cmp(&b.id).then_with(|| b.stamp.cmp(&a.stamp)));
        let came = editions.len();
        editions.dedup_by(|later, kept| later.id == kept.id);
        let passed_over = came - editions.len();
        let mut refused = Vec::new();
        let editions = editions.into_iter().filter_map(|edition| {
            let id = edition.id.clone();
            self.admit(edition).map_err(|why| refused.push((id, why))).ok()
        });
        let editions: Vec<Edition> = editions.collect();
        let mut applied = Applied::default();
        if !editions.is_empty() {
            let done = self.commit(Tapped::Apply { editions, force })?;
            applied = done.applied;
        }
        applied.passed_over += passed_over;
        applied.refused = refused;
        Ok(applied)
    }

    /// The version as it is stored here, or why it cannot be.
    fn admit(&self, edition: Edition) -> Result<Edition, String> {
        let Edition { id, stamp, row } = edition;
        if !(1..=i64::MAX as u64).contains(&stamp.node) {
            return Err(format!("its node is {}; a node is 1 to {}", stamp.node, i64::MAX));
        }
        if !(Ver(0)..=VER_MAX).contains(&stamp.ver) {
            return Err(format!("its version is {}; the limit is {}", stamp.ver.0, VER_MAX.0));
        }
        if (1..=crate::limits::ID_BYTES_MAX).contains(&id.len()) && row.is_none() {
            return Ok(Edition { id, stamp, row });
        }
        let Some(Row { id: of_row, vector, payload }) = row else {
            return Err(format!(
                "its id has {} bytes; the limit is {}",
                id.len(),
                crate::limits::ID_BYTES_MAX
            ));
        };
        if of_row != id {
            return Err(format!("its row says that it is {}", crate::error::excerpt(&of_row)));
        }
        let chunk = RowRef::of(&id, payload.as_deref(), stamp.ver).to_chunk(vector);
        let schema = &self.inner.schema;
        let row = admit(chunk, schema.dim, schema.metric == Metric::Cosine).map_err(|e| e.reason)?;
        Ok(Edition { id, stamp, row: Some(row) })
    }

    /// Removes rows that the database does not have, if they are clean still and of the version of the head.
    pub(crate) fn drop_clean(&self, heads: &[Head]) -> Result<usize> {
        self.ensure_attached()?;
        Ok(self.commit(Tapped::Drop(heads.to_vec()))?.removed)
    }

    /// These live rows are dirty from now on, with a new version if `renew`: what stands in the database loses. Says how many
    /// were not before; with `renew`, how many there are.
    pub(crate) fn soil(&self, ids: &[ChunkId], renew: bool) -> Result<usize> {
        self.ensure_attached()?;
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        if renew {
            return Ok(self.commit(Tapped::Renew(ids))?.applied.stored);
        }
        let tickets = {
            let table = self.inner.ids();
            let view = self.inner.view.load_full();
            ids.iter().filter_map(|id| table.get(&view.tables.rows, id)).map(Ticket::Row).collect()
        };
        Ok(self.commit(Tapped::Soil(tickets))?.applied.stored)
    }

    fn commit(&self, tapped: Tapped) -> Result<Done> {
        self.inner.ensure_open()?;
        let order = Order { collection: self.inner.clone(), tenant: None, change: Change::Tapped(tapped) };
        let done = self.inner.line.commit(order)?;
        let changed = done.applied.stored + done.removed;
        if changed > 0 {
            self.inner.after_write(changed);
        }
        Ok(done)
    }

    fn ensure_attached(&self) -> Result<()> {
        self.ensure_open()?;
        if self.inner.tie().is_attached() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Conflict, "the store has no mirror; attach it first"))
    }
}

fn verdict(head: &Head, here: &Here, digest: impl FnOnce(Slot) -> Option<u64>) -> Verdict {
    let of_head = if head.is_deleted { Some(0) } else { head.digest };
    let Some(of_head) = of_head else { return Verdict::Wanted };
    let stamp = Stamp { ver: head.ver, node: head.node, digest: of_head };
    match here.cmp(&stamp, digest) {
        Ordering::Less => Verdict::Wanted,
        Ordering::Equal => Verdict::Same,
        Ordering::Greater => Verdict::Older,
    }
}
