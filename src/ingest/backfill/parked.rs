//! Rows that were put aside: which version of which row, and why. Remembered over a restart, in a file beside the cache of vectors.
//!
//! Invariants: a file that is damaged, of another model or of another version of its format is forgotten, and the rows are tried again;
//! that it cannot be written costs the same; what is no longer true of a row (it has changed, it is gone) is dropped when all rows that
//! wait were looked through.

use super::format::{BODY_BYTES_MAX, MAGIC, ROWS_MAX, VERSION, WHY_CHARS_MAX};
use crate::disk::{Disk, read_envelope, write_envelope};
use crate::engine::Collection;
use crate::ids::Ver;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

const FOLDER: &str = "embeddings";

/// A row that was refused.
struct Entry {
    ver: Ver,
    why: String,
    /// The look through all rows in which it was last seen.
    look: u64,
}

/// All of them, in memory.
#[derive(Default)]
pub(super) struct Parked {
    rows: BTreeMap<String, Entry>,
    look: u64,
    /// The file says something else.
    pub(super) has_changed: bool,
}

impl Parked {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rows.iter().map(|(id, entry)| (id.as_str(), entry.why.as_str()))
    }

    pub(super) fn put(&mut self, id: String, ver: Ver, why: &str) {
        let why = why.chars().take(WHY_CHARS_MAX).collect();
        self.rows.insert(id, Entry { ver, why, look: self.look });
        self.has_changed = true;
    }

    /// Whether this version of the row is one of them; it was seen, then.
    pub(super) fn holds(&mut self, id: &str, ver: Ver) -> bool {
        let look = self.look;
        let found = self.rows.get_mut(id).filter(|entry| entry.ver == ver);
        found.map(|entry| entry.look = look).is_some()
    }

    /// All of them are to be tried again; how many they were.
    pub(super) fn clear(&mut self) -> usize {
        self.has_changed |= !self.rows.is_empty();
        std::mem::take(&mut self.rows).len()
    }

    /// All rows that wait are looked through now.
    pub(super) fn begin(&mut self) {
        self.look += 1;
    }

    /// They were: what was not among them is not true any more.
    pub(super) fn end(&mut self) {
        let before = self.rows.len();
        self.rows.retain(|_, entry| entry.look == self.look);
        self.has_changed |= self.rows.len() < before;
    }
}

#[derive(Serialize, Deserialize)]
struct Body {
    model: String,
    rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    id: String,
    ver: i64,
    why: String,
}

/// The file of one collection; nothing in a store that has no folder.
pub(super) struct Shelf {
    place: Option<(Arc<dyn Disk>, String)>,
    model: String,
}

impl Shelf {
    pub(super) fn of(collection: &Collection, model: &str) -> Self {
        let place = collection.place().map(|(disk, number)| (disk, format!("{FOLDER}/parked-{number:08x}")));
        Self { place, model: model.to_owned() }
    }

    /// What the file says, if it can be believed.
    pub(super) fn load(&self) -> Parked {
        let read = || {
            let (disk, path) = self.place.as_ref()?;
            let (_, body) = read_envelope(&**disk, path, MAGIC, VERSION, BODY_BYTES_MAX).ok()?;
            serde_json::from_slice::<Body>(&body).ok().filter(|body| body.model == self.model)
        };
        let mut parked = Parked::default();
        for Row { id, ver, why } in read().into_iter().flat_map(|body| body.rows) {
            parked.put(id, Ver(ver), &why);
        }
        parked.has_changed = false;
        parked
    }

    /// Writes the file anew; without a row there is none.
    pub(super) fn save(&self, parked: &Parked) {
        let Some((disk, path)) = &self.place else { return };
        // Whatever fails here costs the rows one more try, and nothing else.
        if parked.len() == 0 {
            let _ = disk.remove(path).and_then(|()| disk.sync_dir(FOLDER));
            return;
        }
        let row =
            |(id, entry): (&String, &Entry)| Row { id: id.clone(), ver: entry.ver.0, why: entry.why.clone() };
        let rows = parked.rows.iter().take(ROWS_MAX).map(row).collect();
        let body = serde_json::to_vec(&Body { model: self.model.clone(), rows }).unwrap_or_default();
        if disk.make_dir(FOLDER).is_ok() && write_envelope(&**disk, path, MAGIC, VERSION, &body).is_ok() {
            let _ = disk.sync_dir(FOLDER);
        }
    }

    /// The collection is gone.
    pub(super) fn remove(&self) {
        if let Some((disk, path)) = &self.place {
            let _ = disk.remove(path);
        }
    }
}
