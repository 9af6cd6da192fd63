//! What is to be sent: the oldest dirty versions, read from their rows when they are.

use super::{Dirty, Outgoing, TapCollection, Ticket};
use crate::engine::view::View;
use crate::error::Result;
use crate::ids::{ChunkId, Seq, Slot, Ver};
use crate::record::{Edition, Stamp};
use std::sync::Arc;

/// Bytes of a version beside its row, about.
const EDITION_BYTES: usize = 64;

impl TapCollection {
    pub(crate) fn dirty(&self) -> Dirty {
        let (view, marks) = self.inner.marked_view();
        let of_row = |(_, slot): (Seq, Slot)| view.tables.rows.get(slot).map(|row| row.ver);
        let row = marks.rows().next().and_then(of_row);
        let grave = marks.dirty_graves().next().map(|(_, _, grave)| grave.ver);
        let oldest = row.into_iter().chain(grave).min();
        let unix_ms = |ver: Ver| u64::try_from(ver.0 >> 16).unwrap_or(0);
        Dirty {
            rows: marks.rows_len(),
            graves: marks.dirty_graves_len(),
            oldest_unix_ms: oldest.map(unix_ms),
        }
    }

    /// The oldest dirty versions for which `skip` is false, by id, no id twice: at most `rows_max`, and one more byte than
    /// `bytes_max` ends it; but one there is, if any is dirty.
    pub(crate) fn outgoing(
        &self,
        rows_max: usize,
        bytes_max: usize,
        skip: &dyn Fn(&Ticket) -> bool,
    ) -> Result<Vec<Outgoing>> {
        self.ensure_open()?;
        let (view, tickets) = self.tickets(rows_max, skip);
        let digests = self.inner.digests.reader(&view, self.inner.tie().seed());
        let (mut out, mut bytes) = (Vec::<Outgoing>::with_capacity(tickets.len()), 0);
        for (ticket, grave) in tickets {
            let outgoing = match &ticket {
                Ticket::Row(slot) => self.row(&view, *slot, |slot| digests.get(slot)),
                Ticket::Grave(id, ver) => Some(Edition {
                    id: id.clone(),
                    stamp: Stamp { ver: *ver, node: grave, digest: 0 },
                    row: None,
                }),
            };
            let Some(edition) = outgoing else { continue };
            bytes += EDITION_BYTES + edition.row.as_ref().map_or(edition.id.len(), |row| row.bytes());
            if bytes > bytes_max && !out.is_empty() {
                break;
            }
            out.push(Outgoing { ticket, edition });
        }
        out.sort_by(|a, b| a.edition.id.cmp(&b.edition.id));
        out.dedup_by(|b, a| a.edition.id == b.edition.id);
        Ok(out)
    }

    /// The oldest tickets, each with the node of its grave, and the view that they are of.
    fn tickets(&self, rows_max: usize, skip: &dyn Fn(&Ticket) -> bool) -> (Arc<View>, Vec<(Ticket, u64)>) {
        let (view, marks) = self.inner.marked_view();
        let mut rows = marks.rows().map(|(seq, slot)| (seq, Ticket::Row(slot), 0)).peekable();
        let grave = |(seq, id, grave): (Seq, &ChunkId, &super::marks::Grave)| {
            (seq, Ticket::Grave(id.clone(), grave.ver), grave.node)
        };
        let mut graves = marks.dirty_graves().map(grave).peekable();
        let oldest = std::iter::from_fn(|| match (rows.peek(), graves.peek()) {
            (Some((row, ..)), Some((grave, ..))) if grave < row => graves.next(),
            (Some(_), _) => rows.next(),
            (None, _) => graves.next(),
        });
        let tickets = oldest.map(|(_, ticket, node)| (ticket, node)).filter(|(ticket, _)| !skip(ticket));
        let tickets = tickets.take(rows_max).collect();
        (view, tickets)
    }

    /// The version in a slot; nothing if it is damaged.
    fn row(&self, view: &View, slot: Slot, digest: impl Fn(Slot) -> Option<u64>) -> Option<Edition> {
        let read = || {
            let body = view.tables.rows.get(slot)?;
            let digest = digest(slot)?;
            let vector = view.tables.vectors.get(slot).filter(|_| view.ready.contains(slot));
            let stamp = Stamp { ver: body.ver, node: self.inner.tie().node_of(body.ver, body.node), digest };
            let row = body.to_row(vector.map(<[f32]>::to_vec));
            Some(Edition { id: row.id.clone(), stamp, row: Some(row) })
        };
        let read = read();
        if read.is_none() {
            self.inner.damage.suspect(slot);
        }
        read
    }

    /// These versions are in the database, or newer ones are.
    pub(crate) fn acknowledge(&self, tickets: &[Ticket]) {
        self.inner.acknowledge(tickets);
    }

    /// Graves that became clean before `seq` are not needed any more: nobody holds an older snapshot.
    pub(crate) fn forget_graves(&self, before: Seq) {
        self.inner.marks().forget(before);
    }
}
