//! From ids to slots. The table keeps slots only and reads the id from the row, so an entry costs about eight bytes.

use super::rows::RowTable;
use crate::ids::Slot;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Stands in a file for the hash of an id that nobody could read when the file was written.
pub(super) const UNKNOWN: u64 = 0;

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

    /// The slot whose id has this hash.
    pub(super) fn find_hash(&self, rows: &RowTable, hash: u64) -> Option<Slot> {
        self.slots.find(hash, |s| hash_of(rows, self.seed, *s) == hash).copied()
    }

    /// Room for `ids` more, so that none moves another.
    pub(super) fn reserve(&mut self, rows: &RowTable, ids: usize) {
        let seed = self.seed;
        self.slots.reserve(ids, |s| hash_of(rows, seed, *s));
    }

    /// Adds a slot whose id is not in the table.
    pub(super) fn add(&mut self, rows: &RowTable, slot: Slot) {
        let seed = self.seed;
        self.slots.insert_unique(hash_of(rows, seed, slot), slot, |s| hash_of(rows, seed, *s));
    }

    /// Moves the id of `slot`'s row to `slot`; returns where it was.
    pub(super) fn put(&mut self, rows: &RowTable, slot: Slot) -> Option<Slot> {
        let id = rows.id(slot);
        if let Some(place) = self.slots.find_mut(hash(self.seed, id), |s| rows.id(*s) == id) {
            return Some(std::mem::replace(place, slot));
        }
        let seed = self.seed;
        self.slots.insert_unique(hash(seed, id), slot, |s| hash_of(rows, seed, *s));
        None
    }

    /// Removes the id of `slot`'s row, if it is still there and not with a newer row.
    pub(super) fn remove(&mut self, rows: &RowTable, slot: Slot) {
        if let Ok(entry) = self.slots.find_entry(hash_of(rows, self.seed, slot), |s| *s == slot) {
            entry.remove();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * 8 / 7 * (size_of::<Slot>() + 1)
    }
}

/// The hash that the table and the files of blocks know an id by.
pub(super) fn hash(seed: u64, id: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), seed)
}

fn hash_of(rows: &RowTable, seed: u64, slot: Slot) -> u64 {
    rows.id_hash(slot).unwrap_or_else(|| hash(seed, rows.id(slot)))
}
