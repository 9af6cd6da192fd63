//! What stands under an id of a collection, and whether the database knows of it.

use super::marks::Marks;
use super::stage::Here;
use super::{Ticket, Tie};
use crate::config::Durability;
use crate::engine::inner::Inner;
use crate::engine::view::View;
use crate::engine::write::upsert::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Slot;
use parking_lot::MutexGuard;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Acknowledgements that are taken in while a commit waits for the marks.
const ACKNOWLEDGED_MAX: usize = 64;

impl Inner {
    pub(crate) fn tie(&self) -> &Tie {
        self.line.tie()
    }

    pub(crate) fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock()
    }

    /// The published view, and the marks that belong to it.
    pub(crate) fn marked_view(&self) -> (Arc<View>, MutexGuard<'_, Marks>) {
        let marks = self.marks();
        (self.view.load_full(), marks)
    }

    /// What stands under an id in `view`, the published one.
    pub(crate) fn here(&self, view: &View, id: &str) -> Here {
        let slot = self.ids().get(&view.tables.rows, id);
        self.here_at(view, id, slot)
    }

    /// The same, `slot` being where the table has the id.
    pub(crate) fn here_at(&self, view: &View, id: &str, slot: Option<Slot>) -> Here {
        let Some(slot) = slot else {
            return match self.find_missing(id) {
                Some((slot, _)) => Here::Lost(slot),
                None => self.marks().grave(id).copied().map_or(Here::Nothing, Here::Grave),
            };
        };
        let Some(row) = view.tables.rows.get(slot) else {
            self.damage.suspect(slot);
            return Here::Lost(slot);
        };
        let node = self.tie().node_of(row.ver, row.node);
        Here::Row { slot, ver: row.ver, node, is_dirty: self.marks().is_dirty(slot) }
    }

    /// The digest of a row with the database's seed.
    pub(crate) fn digest_of(&self, view: &View, slot: Slot) -> Option<u64> {
        self.digests.reader(view, self.tie().seed()).get(slot)
    }

    /// The database knows of these.
    pub(crate) fn acknowledge(&self, tickets: &[Ticket]) {
        if tickets.is_empty() {
            return;
        }
        let now = self.line.token().seq;
        for some in tickets.chunks(ACKNOWLEDGED_MAX) {
            self.marks().acknowledge(some, now);
        }
        self.tie().notify();
    }

    /// Waits until the database knows of the commit of `token`, where the options say so; then true.
    pub(crate) fn await_mirror(&self, token: Token) -> Result<bool> {
        if self.options.durability != Durability::Mirrored {
            return Ok(false);
        }
        let timeout_ms = self.options.mirrored_timeout_ms;
        let until = Instant::now() + Duration::from_millis(timeout_ms);
        let is_clean = || self.tie().is_attached() && !self.marks().holds(token.seq);
        match self.tie().wait(until, &is_clean) {
            Ok(true) => Ok(true),
            // Stored, whatever became of the store since.
            _ => Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "the write is stored on this disk and not yet acknowledged by the database after {timeout_ms} ms \
                     (mirrored_timeout_ms); it will be sent: look at the mirror's state, do not write it again"
                ),
            )),
        }
    }
}
