//! Rows that have a text and wait for their vector.

use crate::engine::collection::Collection;
use crate::engine::view::View;
use crate::error::Result;
use crate::ids::{Seq, Slot, Ver};
use crate::record::Chunk;

/// Chunks that wait, each with its version, and the slot where the next page begins.
pub(crate) type PendingPage = (Vec<(Chunk, Ver)>, Option<u32>);

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Rows that exist.
    pub(crate) rows: usize,
    /// Those of them that wait.
    pub(crate) waiting: usize,
    /// When the one that waits longest was written, by the clock of whoever wrote it.
    pub(crate) oldest_unix_ms: Option<u64>,
}

/// Bits of a version below its milliseconds.
const VER_COUNTER_BITS: u32 = 16;

#[cfg_attr(not(feature = "ingest"), allow(dead_code, reason = "the backfill is its user"))]
impl Collection {
    /// Up to `limit` chunks that wait, from the slot `from` on, each with its version; and where to go on.
    pub(crate) fn pending_seen(&self, from: u32, limit: usize) -> Result<PendingPage> {
        self.inner().ensure_open()?;
        let view = self.inner().view.load_full();
        let mut found = Vec::new();
        if view.live.len() == view.ready.len() {
            return Ok((found, None));
        }
        for slot in waiting(&view, Slot(from)) {
            if found.len() == limit {
                return Ok((found, Some(slot.0)));
            }
            found.extend(self.seen(&view, slot));
        }
        Ok((found, None))
    }

    /// Changes when a row does.
    pub(crate) fn seq(&self) -> Seq {
        self.inner().view.load().seq
    }

    /// How much waits, of everybody's rows.
    pub(crate) fn pending(&self) -> Pending {
        let view = self.inner().view.load_full();
        let rows = view.live.len();
        // Most collections, most of the time: there is nothing to look for.
        if rows == view.ready.len() {
            return Pending { rows, ..Pending::default() };
        }
        let vers = waiting(&view, Slot(0)).filter_map(|slot| view.tables.rows.get(slot).map(|row| row.ver));
        let oldest = vers.min().map(|ver| u64::try_from(ver.0 >> VER_COUNTER_BITS).unwrap_or(0));
        Pending { rows, waiting: rows - view.ready.len(), oldest_unix_ms: oldest }
    }
}

fn waiting(view: &View, from: Slot) -> impl Iterator<Item = Slot> + '_ {
    view.live.iter_from(from).filter(|slot| !view.ready.contains(*slot))
}
