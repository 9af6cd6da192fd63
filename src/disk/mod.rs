//! The only door to files and memory areas.
//!
//! Owns the [`Disk`] trait with its two implementations (the real one; the simulated one of the tests), mappings, the two
//! frames that every file stands in (envelope and sections), how both are verified, and the translation of what an operating system says into this
//! crate's errors. Knows nothing of what the bytes mean.
//!
//! What everything above builds on (Linux, a local file system):
//! - bytes of a file survive a power loss only after [`File::sync`] of that file returned `Ok`;
//! - a name made by `create`, `rename`, `link` or `make_dir`, or gone by `remove`, survives only after [`Disk::sync_dir`]
//!   of its folder returned `Ok`;
//! - until then any subset of 512-byte sectors may have reached the disk, in any order;
//! - `rename` within one folder is atomic: either name, never both, never none;
//! - a `sync` that failed says nothing about what is on the disk, then or later.

mod envelope;
mod fault;
mod format;
mod map;
mod planted;
mod real;
mod sections;
#[cfg(test)]
pub(crate) mod sim;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub(crate) use envelope::{
    Named, TMP, check_hex, empty_tmp, publish, read_envelope, read_named_envelope, temporary, write_envelope,
};
pub(crate) use fault::{damaged, fault, newer};
pub(crate) use map::{Cells, Map, Rows};
pub(crate) use planted::{Bug, planted};
pub(crate) use real::RealDisk;
pub(crate) use sections::SectionsFile;
pub(crate) use verify::{verify_envelope, verify_sections};
pub(crate) use writer::SectionsWriter;

use std::io;
use std::path::Path;

/// How a file is brought into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapping {
    /// Pages of the file, read-only: for files that nobody changes any more.
    Shared,
    /// Pages of the file, copied when they are written to; the file never changes.
    Private,
    /// Read into anonymous memory: what was verified is what is used, whatever happens to the file.
    Copy,
}

/// Bytes of the file system that holds a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) free: u64,
    pub(crate) total: u64,
}

/// The files of one store. Paths are relative to its folder, with `/` between names.
pub(crate) trait Disk: Send + Sync {
    /// Where the store is, for messages.
    fn place(&self) -> String;

    /// A number that this value has not returned before.
    fn unique(&self) -> u64;

    /// Makes a file and opens it for writing; an error if the name is taken. The name is durable after `sync_dir`.
    fn create(&self, path: &str) -> io::Result<Box<dyn File>>;

    /// Up to `len` bytes from `offset` on: fewer only at the end of the file.
    fn read(&self, path: &str, offset: u64, len: usize) -> io::Result<Vec<u8>>;

    /// Bytes of a file.
    fn len(&self, path: &str) -> io::Result<u64>;

    /// The whole file in memory.
    fn map(&self, path: &str, mapping: Mapping) -> io::Result<Map>;

    /// Moves a file, over one of the new name if there is one. Durable after `sync_dir` of both folders.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Durable after `sync_dir`; until then it may come back.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Names in a folder, sorted; folders end with `/`. A folder that does not exist is empty.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Makes a folder and those above it; fine if it exists. Durable after `sync_dir` of its parent. `""` is the store's own folder:
    /// that one is durable at once, because nothing here reaches its parent.
    fn make_dir(&self, folder: &str) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_dir(&self, folder: &str) -> io::Result<()>;

    /// Makes the names in a folder durable. `""` is the store's own folder.
    fn sync_dir(&self, folder: &str) -> io::Result<()>;

    /// Takes the exclusive lock that `path` stands for, at once or not at all: `Err` holds what the holder wrote there.
    /// The lock lives as long as what is returned, and never longer than the process.
    fn lock(&self, path: &str, note: &str) -> io::Result<Result<Box<dyn Lock>, String>>;

    /// Free and total bytes.
    fn space(&self) -> io::Result<Space>;

    /// The name of the file system, if it is one that is not local.
    fn remote(&self) -> Option<&'static str> {
        None
    }

    /// Makes the same file appear at `to`, outside of this store: by a hard link, or a copy where that cannot be.
    fn share(&self, path: &str, to: &Path) -> io::Result<()>;
}

/// A file open for writing.
pub(crate) trait File: Send + Sync {
    /// Writes all of `bytes` at `offset`. After an error any part of them may be written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts or extends the file. Extending adds zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes bytes and length durable. After an error nobody knows what is durable: the file must not be synced again.
    fn sync(&self) -> io::Result<()>;
}

/// Holds a lock until dropped.
pub(crate) trait Lock: Send + Sync {}
