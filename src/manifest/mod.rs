//! Which files make one state of the store, and how one state follows another.
//!
//! Invariants: a manifest never changes; the highest valid one is the state, and one that cannot be read never counts as an
//! empty store; a file that a kept manifest names is never removed; a file whose name is not ours is left alone.
//!
//! Knows nothing of what is in the files it names, but for the sets of live slots, nor of the log.

mod check;
mod commit;
mod format;
mod ident;
mod mirror;
mod names;
mod sets;
mod sweep;
#[cfg(test)]
mod tests;

pub(crate) use commit::{KEPT, Latest, commit, kept, latest, numbers, read};
pub(crate) use format::{FORMAT, MIRROR_STATE_BYTES_MAX};
pub(crate) use ident::Ident;
pub(crate) use mirror::Bond;
pub(crate) use names::{
    IDENT, MIRROR, Name, PARTIAL, WAL, collection_folder, collection_number, manifest_name, manifest_number,
};
pub(crate) use sets::{Marked, Sets, read_sets, write_sets};
pub(crate) use sweep::sweep;

use crate::config::Schema;
use crate::disk::Named;
use crate::ids::Seq;
use serde::{Deserialize, Serialize};

/// One state of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) number: u64,
    /// [`Ident::store`] of the store that it belongs to.
    pub(crate) store: u64,
    /// One more at each opening.
    pub(crate) incarnation: u64,
    pub(crate) seq: Seq,
    /// The highest version given to a row.
    pub(crate) ver: u64,
    pub(crate) next_collection: u32,
    /// The first seq whose rows no file holds.
    pub(crate) replay_from: Seq,
    pub(crate) holes: Vec<Hole>,
    /// By version, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) origins: Vec<Origin>,
    /// By number, ascending.
    pub(crate) collections: Vec<CollectionEntry>,
}

/// Commits that were lost, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hole {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
}

/// A store that this one was copied from: rows that are of this store by their word, up to version `ver` and after that of the
/// origin before, were written by `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// [`Ident::node`].
    pub(crate) node: u64,
    pub(crate) ver: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CollectionEntry {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// What the mirror's database calls it, if not that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mirror_name: Option<String>,
    pub(crate) schema: Schema,
    /// Sealed ones, ascending.
    pub(crate) blocks: Vec<BlockEntry>,
    pub(crate) head: Option<HeadEntry>,
    pub(crate) links: Option<AtSeq>,
    pub(crate) sets: Option<AtSeq>,
    /// By block and place, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) texts: Vec<TextEntry>,
    /// Slots whose rows were damaged, ascending.
    pub(crate) missing: Vec<u32>,
    /// Blocks without slots, ascending.
    pub(crate) dropped_blocks: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockEntry {
    pub(crate) block: u16,
    pub(crate) rows: u32,
    pub(crate) file: FileEntry,
    pub(crate) codes: Option<FileEntry>,
}

/// The block that was growing when the store was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadEntry {
    pub(crate) block: u16,
    pub(crate) rows: u32,
    pub(crate) seq: Seq,
    pub(crate) file: FileEntry,
    pub(crate) codes: Option<FileEntry>,
}

/// The words of some slots of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextEntry {
    pub(crate) block: u16,
    pub(crate) first: u32,
    /// The place after the last.
    pub(crate) end: u32,
    pub(crate) file: FileEntry,
}

/// A file of one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AtSeq {
    pub(crate) seq: Seq,
    pub(crate) file: FileEntry,
}

/// A file in the folder of its collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    pub(crate) name: String,
    pub(crate) len: u64,
    #[serde(with = "crate::disk::check_hex")]
    pub(crate) check: u128,
}

impl FileEntry {
    pub(crate) fn new(name: Name, named: Named) -> Self {
        Self { name: name.to_string(), len: named.len, check: named.check }
    }

    /// Which file of that name.
    pub(crate) fn named(&self) -> Named {
        Named { len: self.len, check: self.check }
    }
}

impl CollectionEntry {
    /// A collection without files.
    pub(crate) fn new(number: u32, name: &str, schema: Schema) -> Self {
        Self {
            number,
            name: name.to_owned(),
            mirror_name: None,
            schema,
            blocks: Vec::new(),
            head: None,
            links: None,
            sets: None,
            texts: Vec::new(),
            missing: Vec::new(),
            dropped_blocks: Vec::new(),
        }
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, file: &FileEntry) -> String {
        format!("{}/{}", collection_folder(self.number), file.name)
    }

    /// Every file it names.
    pub(crate) fn files(&self) -> impl Iterator<Item = &FileEntry> {
        let blocks = self.blocks.iter().flat_map(|b| std::iter::once(&b.file).chain(&b.codes));
        let head = self.head.iter().flat_map(|h| std::iter::once(&h.file).chain(&h.codes));
        let rest = self.links.iter().chain(&self.sets).map(|at| &at.file);
        blocks.chain(head).chain(rest).chain(self.texts.iter().map(|text| &text.file))
    }
}

impl Manifest {
    /// Of a store that has nothing yet and was never opened.
    pub(crate) fn new(store: u64) -> Self {
        Self {
            format: FORMAT,
            number: 0,
            store,
            incarnation: 0,
            seq: Seq(0),
            ver: 0,
            next_collection: 1,
            replay_from: Seq(1),
            holes: Vec::new(),
            origins: Vec::new(),
            collections: Vec::new(),
        }
    }

    /// The paths of all files it names.
    pub(crate) fn paths(&self) -> impl Iterator<Item = String> + '_ {
        self.collections.iter().flat_map(|c| c.files().map(|f| c.path(f)))
    }
}
