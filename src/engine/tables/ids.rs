//! From ids to slots. The table keeps slots only and reads the id from the row, so an entry costs about eight bytes.

use super::rows::RowTable;
use crate::ids::Slot;
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Parts of the table. One that is full grows alone, so no write pays for all: a million ids in one table took a tenth of a
/// second to move.
const PARTS: usize = 64;
/// Stands in a file for the hash of an id that nobody could read when the file was written.
pub(crate) const UNKNOWN: u64 = 0;

pub(crate) struct IdTable {
    parts: Box<[HashTable<Slot>]>,
    /// Ids come from strangers: the seed keeps them from choosing collisions.
    seed: u64,
}

impl IdTable {
    pub(crate) fn new(seed: u64) -> Self {
        Self { parts: (0..PARTS).map(|_| HashTable::new()).collect(), seed }
    }

    pub(crate) fn get(&self, rows: &RowTable, id: &str) -> Option<Slot> {
        let hash = hash(self.seed, id);
        self.parts[part_of(hash)].find(hash, |s| rows.id(*s) == id).copied()
    }

    /// The slot whose id has this hash.
    pub(crate) fn find_hash(&self, rows: &RowTable, hash: u64) -> Option<Slot> {
        self.parts[part_of(hash)].find(hash, |s| hash_of(rows, self.seed, *s) == hash).copied()
    }

    /// Room for `ids` more, so that none moves another.
    pub(crate) fn reserve(&mut self, rows: &RowTable, ids: usize) {
        let seed = self.seed;
        // A little more than a fair share: ids do not spread evenly.
        let share = ids / PARTS + ids / PARTS / 8;
        self.parts.iter_mut().for_each(|part| part.reserve(share, |s| hash_of(rows, seed, *s)));
    }

    /// Adds a slot whose id is not in the table.
    pub(crate) fn add(&mut self, rows: &RowTable, slot: Slot) {
        let seed = self.seed;
        let hash = hash_of(rows, seed, slot);
        self.parts[part_of(hash)].insert_unique(hash, slot, |s| hash_of(rows, seed, *s));
    }

    /// Moves the id of `slot`'s row to `slot`; returns where it was.
    pub(crate) fn put(&mut self, rows: &RowTable, slot: Slot) -> Option<Slot> {
        let id = rows.id(slot);
        let (seed, hash) = (self.seed, hash(self.seed, id));
        let part = &mut self.parts[part_of(hash)];
        if let Some(place) = part.find_mut(hash, |s| rows.id(*s) == id) {
            return Some(std::mem::replace(place, slot));
        }
        part.insert_unique(hash, slot, |s| hash_of(rows, seed, *s));
        None
    }

    /// Removes the id of `slot`'s row, if it is still there and not with a newer row.
    pub(crate) fn remove(&mut self, rows: &RowTable, slot: Slot) {
        let hash = hash_of(rows, self.seed, slot);
        if let Ok(entry) = self.parts[part_of(hash)].find_entry(hash, |s| *s == slot) {
            entry.remove();
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let capacity: usize = self.parts.iter().map(HashTable::capacity).sum();
        capacity * 8 / 7 * (size_of::<Slot>() + 1)
    }
}

/// By bits that the parts themselves make no use of.
fn part_of(hash: u64) -> usize {
    (hash >> 40) as usize % PARTS
}

/// The hash that the table and the files of blocks know an id by.
pub(crate) fn hash(seed: u64, id: &str) -> u64 {
    xxh3_64_with_seed(id.as_bytes(), seed)
}

fn hash_of(rows: &RowTable, seed: u64, slot: Slot) -> u64 {
    rows.id_hash(slot).unwrap_or_else(|| hash(seed, rows.id(slot)))
}
