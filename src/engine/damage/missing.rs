//! Rows that are damaged and have no other copy here: which slots, and what is still known of them.
//!
//! Invariants: a missing slot is in no set of live slots, so no answer holds it; it stays missing, across openings, until its id
//! is written or deleted, or the loss is accepted. What is not known of a row is never guessed: an id is "not there" only if no missing row can be it.

use crate::engine::tables::ids;
use crate::engine::view::View;
use crate::ids::Slot;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What is known of one missing row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The seeded hash of its id.
    pub(crate) hash: Option<u64>,
    /// Its tenant, if its body can be read.
    pub(crate) tenant: Option<Option<Arc<str>>>,
}

impl Trace {
    /// What the files still say of `slot`.
    pub(crate) fn of(view: &View, id_seed: u64, slot: Slot) -> Self {
        let rows = &view.tables.rows;
        let body = rows.get(slot);
        let of_body = body.as_ref().map(|row| ids::hash(id_seed, row.id));
        let hash = rows.id_hash(slot).filter(|hash| *hash != ids::UNKNOWN).or(of_body);
        Self { hash, tenant: body.map(|row| row.tenant.map(Arc::from)) }
    }
}

/// The missing rows of one collection.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    rows: BTreeMap<Slot, Trace>,
    by_hash: HashMap<u64, Slot>,
    /// How many have an id that cannot be told.
    nameless: usize,
    /// Those that `lost_rows.jsonl` does not hold yet.
    untold: BTreeSet<Slot>,
}

impl Missing {
    pub(crate) fn insert(&mut self, slot: Slot, trace: Trace) {
        if self.rows.contains_key(&slot) {
            return;
        }
        match trace.hash {
            Some(hash) => drop(self.by_hash.insert(hash, slot)),
            None => self.nameless += 1,
        }
        self.rows.insert(slot, trace);
        self.untold.insert(slot);
    }

    /// The row was written again, or deleted.
    pub(crate) fn clear(&mut self, slot: Slot) {
        let Some(trace) = self.rows.remove(&slot) else { return };
        self.untold.remove(&slot);
        match trace.hash {
            Some(hash) if self.by_hash.get(&hash) == Some(&slot) => drop(self.by_hash.remove(&hash)),
            Some(_) => {}
            None => self.nameless -= 1,
        }
    }

    /// The missing row of an id, by its hash.
    pub(crate) fn find(&self, hash: u64) -> Option<(Slot, &Trace)> {
        let slot = *self.by_hash.get(&hash)?;
        Some((slot, self.rows.get(&slot)?))
    }

    pub(crate) fn hash_of(&self, slot: Slot) -> Option<u64> {
        self.rows.get(&slot)?.hash
    }

    /// One whose id cannot be told.
    pub(crate) fn nameless(&self) -> Option<Slot> {
        if self.nameless == 0 {
            return None;
        }
        self.rows.iter().find(|(_, trace)| trace.hash.is_none()).map(|(slot, _)| *slot)
    }

    /// Forgets the rows that were told; says how many.
    pub(crate) fn forget(&mut self) -> usize {
        let told: Vec<Slot> = self.slots().filter(|slot| !self.untold.contains(slot)).collect();
        told.iter().for_each(|slot| self.clear(*slot));
        told.len()
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.rows.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Those that were not told yet.
    pub(crate) fn untold(&self) -> &BTreeSet<Slot> {
        &self.untold
    }

    pub(crate) fn told(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.untold.remove(slot);
        }
    }
}
