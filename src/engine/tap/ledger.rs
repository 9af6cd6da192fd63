//! What an audit compares: the clean rows of one instant in the order of their ids, and fingerprints of any run of them.

use super::TapCollection;
use super::digests;
use crate::engine::view::View;
use crate::error::Result;
use crate::ids::{ChunkId, Slot};
use crate::record::Head;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of an id that decide most comparisons.
const KEY_BYTES: usize = 16;

/// All clean live rows of one seq in the order of their ids, with digests.
pub(crate) struct Ledger {
    view: Arc<View>,
    seed: u64,
    /// By id.
    slots: Vec<Slot>,
    /// XOR and sum of all rows before each place, and of all.
    before: Vec<Sums>,
    /// The node that wrote each row that says it was this store's.
    inner: Arc<crate::engine::inner::Inner>,
    dirty: Vec<ChunkId>,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    xor: u64,
    sum: u64,
}

impl TapCollection {
    /// What an audit compares. Digests are made once for each row and kept.
    pub(crate) fn ledger(&self) -> Result<Ledger> {
        self.ledger_without(&HashSet::new())
    }

    /// The same, with some ids left out as if they were dirty.
    pub(crate) fn ledger_without(&self, held: &HashSet<ChunkId>) -> Result<Ledger> {
        self.ensure_open()?;
        let seed = self.inner.tie().seed();
        let (view, dirty, graves) = {
            let (view, marks) = self.inner.marked_view();
            let graves: Vec<ChunkId> = marks.dirty_graves().map(|(_, id, _)| id.clone()).collect();
            (view, marks.dirty(), graves)
        };
        let digests = self.inner.digests.reader(&view, seed);
        let rows = &view.tables.rows;
        let mut sorted: Vec<(u128, Slot, u64, u64)> = Vec::with_capacity(view.live.len());
        for slot in view.live.iter().filter(|slot| !dirty.contains(*slot)) {
            match rows.get(slot).zip(digests.get(slot)) {
                Some((row, _)) if !held.is_empty() && held.contains(row.id) => {}
                Some((row, digest)) => sorted.push((key(row.id), slot, digest, row.ver.0.cast_unsigned())),
                None => self.inner.damage.suspect(slot),
            }
        }
        sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| rows.id(a.1).cmp(rows.id(b.1))));
        let mut before = Vec::with_capacity(sorted.len() + 1);
        let mut sums = Sums::default();
        before.push(sums);
        for (_, _, digest, ver) in &sorted {
            sums = Sums { xor: sums.xor ^ digest ^ ver, sum: sums.sum.wrapping_add(*digest) };
            before.push(sums);
        }
        let slots = sorted.into_iter().map(|(_, slot, ..)| slot).collect();
        let dirty_rows = dirty.iter().map(|slot| ChunkId::from(rows.id(slot)));
        let mut dirty: Vec<ChunkId> = dirty_rows.filter(|id| !id.is_empty()).chain(graves).collect();
        dirty.extend(held.iter().cloned());
        dirty.sort_unstable();
        dirty.dedup();
        drop(digests);
        Ok(Ledger { view, seed, slots, before, inner: self.inner.clone(), dirty })
    }

    /// Rows that are damaged: their ids as far as they can be read, and how many cannot.
    pub(crate) fn lost(&self) -> (Vec<ChunkId>, usize) {
        self.inner.mark_damage();
        let slots: Vec<Slot> = self.inner.files.lock().missing.slots().collect();
        let view = self.inner.view.load_full();
        let ids: Vec<ChunkId> =
            slots.iter().filter_map(|slot| Some(ChunkId::from(view.tables.rows.get(*slot)?.id))).collect();
        let nameless = slots.len() - ids.len();
        (ids, nameless)
    }
}

/// The first bytes of an id as a number that orders like them.
fn key(id: &str) -> u128 {
    let bytes = id.as_bytes().iter().copied().chain(std::iter::repeat(0)).take(KEY_BYTES);
    bytes.fold(0, |key, byte| key << 8 | u128::from(byte))
}

impl Ledger {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Ids that are left out because they are dirty, rows and graves, or were to be left out; sorted.
    pub(crate) fn dirty(&self) -> &[ChunkId] {
        &self.dirty
    }

    /// The place of the first row whose id is not below `id`.
    pub(crate) fn place(&self, id: &str) -> usize {
        self.slots.partition_point(|slot| self.view.tables.rows.id(*slot) < id)
    }

    /// The row at a place.
    pub(crate) fn head(&self, place: usize) -> Option<Head> {
        let slot = *self.slots.get(place)?;
        let row = self.view.tables.rows.get(slot)?;
        let node = self.inner.tie().node_of(row.ver, row.node);
        let digest = self.before.get(place + 1)?.sum.wrapping_sub(self.before.get(place)?.sum);
        Some(Head { id: row.id.into(), ver: row.ver, node, digest: Some(digest), is_deleted: false })
    }

    /// Number of rows, XOR of `digest ^ ver` and sum of digests modulo 2^64, in constant time.
    pub(crate) fn fingerprint(&self, places: Range<usize>) -> (u64, u64, u64) {
        let end = places.end.min(self.slots.len());
        let start = places.start.min(end);
        let at = |place: usize| self.before.get(place).copied().unwrap_or_default();
        let (from, to) = (at(start), at(end));
        ((end - start) as u64, from.xor ^ to.xor, to.sum.wrapping_sub(from.sum))
    }

    /// Makes the digest of the row at a place again, from its bytes.
    pub(crate) fn digest_again(&self, place: usize) -> Option<u64> {
        digests::again(&self.view, *self.slots.get(place)?, self.seed)
    }
}
