//! What is to be sent: the oldest dirty versions, read from their rows when they are.

use super::{Dirty, Outgoing, TapCollection, Ticket};
use crate::engine::view::View;
use crate::error::Result;
use crate::ids::{ChunkId, Seq, Slot, Ver};
use crate::record::{Edition, Stamp};
use std::sync::Arc;

/// Bytes of a version beside its row, about.
const EDITION_BYTES: usize = 64;

fn unix_ms(ver: Ver) -> u64 {
    u64::try_from(ver.0 >> 16).unwrap_or(0)
}

/// Versions that are being read to be sent.
pub(crate) struct Sheaf {
    collection: TapCollection,
    view: Arc<View>,
    tickets: std::vec::IntoIter<(Ticket, u64)>,
    out: Vec<Outgoing>,
    bytes: usize,
    bytes_max: usize,
}

impl Sheaf {
    /// Reads `rows` more. False when all have been read.
    pub(crate) fn read(&mut self, rows: usize) -> Result<bool> {
        self.collection.ensure_open()?;
        let Self { collection, view, tickets, out, bytes, bytes_max } = self;
        let digests = collection.inner.digests.reader(view, collection.inner.tie().seed());
        let mut left = rows;
        while left > 0
            && let Some((ticket, grave)) = tickets.next()
        {
            left -= 1;
            let outgoing = match &ticket {
                Ticket::Row(slot) => collection.row(view, *slot, |slot| digests.get(slot)),
                Ticket::Grave(id, ver) => Some(Edition {
                    id: id.clone(),
                    stamp: Stamp { ver: *ver, node: grave, digest: 0 },
                    row: None,
                }),
            };
            let Some(edition) = outgoing else { continue };
            *bytes += EDITION_BYTES + edition.row.as_ref().map_or(edition.id.len(), |row| row.bytes());
            if *bytes > *bytes_max && !out.is_empty() {
                *tickets = Vec::new().into_iter();
                break;
            }
            out.push(Outgoing { ticket, edition });
        }
        Ok(tickets.len() > 0)
    }

    pub(crate) fn collection(&self) -> &TapCollection {
        &self.collection
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.tickets.len() == 0 && self.out.is_empty()
    }

    /// What was read, by id, no id twice.
    pub(crate) fn into_outgoing(self) -> Vec<Outgoing> {
        let mut out = self.out;
        out.sort_by(|a, b| a.edition.id.cmp(&b.edition.id));
        out.dedup_by(|b, a| a.edition.id == b.edition.id);
        out
    }
}

impl TapCollection {
    pub(crate) fn dirty(&self) -> Dirty {
        let (view, marks) = self.inner.marked_view();
        let of_row = |(_, slot): (Seq, Slot)| view.tables.rows.get(slot).map(|row| row.ver);
        let row = marks.rows().next().and_then(of_row);
        let grave = marks.dirty_graves().next().map(|(_, _, grave)| grave.ver);
        let oldest = row.into_iter().chain(grave).min();
        Dirty {
            rows: marks.rows_len(),
            graves: marks.dirty_graves_len(),
            oldest_unix_ms: oldest.map(unix_ms),
        }
    }

    /// When the oldest dirty version was written for which `skip` is false, about. It is true of at most `skipped_max`.
    pub(crate) fn oldest(&self, skipped_max: usize, skip: &dyn Fn(&Ticket) -> bool) -> Option<u64> {
        let (view, tickets) = self.tickets(skipped_max.saturating_add(1));
        let (ticket, _) = tickets.into_iter().find(|(ticket, _)| !skip(ticket))?;
        let ver = match ticket {
            Ticket::Row(slot) => view.tables.rows.get(slot).map_or(Ver(0), |row| row.ver),
            Ticket::Grave(_, ver) => ver,
        };
        Some(unix_ms(ver))
    }

    /// The oldest dirty versions for which `skip` is false, by id, no id twice: at most `rows_max`, and one more byte than
    /// `bytes_max` ends it; but one there is, if any is dirty.
    pub(crate) fn outgoing(
        &self,
        rows_max: usize,
        bytes_max: usize,
        skip: &dyn Fn(&Ticket) -> bool,
    ) -> Result<Vec<Outgoing>> {
        let mut sheaf = self.sheaf(rows_max, bytes_max, usize::MAX, skip)?;
        sheaf.read(usize::MAX)?;
        Ok(sheaf.into_outgoing())
    }

    /// The same, read bit by bit. `skip` is true of at most `skipped_max` tickets; if of more, fewer versions come.
    pub(crate) fn sheaf(
        &self,
        rows_max: usize,
        bytes_max: usize,
        skipped_max: usize,
        skip: &dyn Fn(&Ticket) -> bool,
    ) -> Result<Sheaf> {
        self.ensure_open()?;
        let (view, mut tickets) = self.tickets(rows_max.saturating_add(skipped_max));
        // Not under the lock of the marks, which commits need.
        tickets.retain(|(ticket, _)| !skip(ticket));
        tickets.truncate(rows_max);
        let out = Vec::with_capacity(tickets.len());
        Ok(Sheaf { collection: self.clone(), view, tickets: tickets.into_iter(), out, bytes: 0, bytes_max })
    }

    /// The oldest tickets, each with the node of its grave, and the view that they are of.
    fn tickets(&self, max: usize) -> (Arc<View>, Vec<(Ticket, u64)>) {
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
        let tickets = oldest.map(|(_, ticket, node)| (ticket, node)).take(max).collect();
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
