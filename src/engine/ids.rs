//! From ids to slots. The table keeps slots only and reads the id from the row, so an entry costs about eight bytes.

use super::rows::RowTable;
use crate::ids::Slot;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub(super) struct IdTable {
    slots: HashTable<Slot>,
    /// Ids come from strangers: the seed keeps them from choosing collisions.
    seed: u64,
}

impl IdTable {
    pub(super) fn new(seed: u64) -> Self {
        Self { slots: HashTable::new(), seed }
    }

    pub(super) fn get(&self, rows: &RowTable, id: &str) -> Option<Slot> {
        self.slots.find(hash(self.seed, id), |s| rows.id(*s) == id).copied()
    }

    /// Moves the id of `slot`'s row to `slot`; returns where it was.
    pub(super) fn put(&mut self, rows: &RowTable, slot: Slot) -> Option<Slot> {
        let id = rows.id(slot);
        if let Some(place) = self.slots.find_mut(hash(self.seed, id), |s| rows.id(*s) == id) {
            return Some(std::mem::replace(place, slot));
        }
        let seed = self.seed;
        self.slots.insert_unique(hash(seed, id), slot, |s| hash(seed, rows.id(*s)));
        None
    }

    /// Removes the id of `slot`'s row, if it is still there and not with a newer row.
    pub(super) fn remove(&mut self, rows: &RowTable, slot: Slot) {
        if let Ok(entry) = self.slots.find_entry(hash(self.seed, rows.id(slot)), |s| *s == slot) {
            entry.remove();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * 8 / 7 * (size_of::<Slot>() + 1)
    }
}

fn hash(seed: u64, id: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), seed)
}
