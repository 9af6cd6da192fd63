//! The write-ahead log: commits that no other file holds yet, in the order of their seq.
//!
//! Owns the folder `wal`: the names of its files, their bytes (`format.rs`), the [`Writer`] of the newest one, and the
//! [`scan`] that reads them all back.
//!
//! Invariants:
//! - Commits are read back in order, each whole or not at all, and never with other bytes than were written (L2, L3, L8).
//! - A file is made only when everything before its first seq is durable, so its head proves that much. Files get ever higher
//!   numbers; from its first seq on, a later one replaces all earlier ones.
//! - A tail that nothing proves is dropped in silence; a bad record below a proven seq is reported as a hole (L9).
//! - After a failed sync nothing is acknowledged until a fresh file holds every commit in doubt (L17).
//!
//! Does not know: which seq is already in other files (it is told), collections, when to sync or to start a new file.

mod format;
mod marking;
mod record;
mod scan;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub(crate) use marking::Marking;
pub(crate) use record::{LoggedRow, RowsCommit, RowsPayload};
pub(crate) use scan::{FileInfo, Scan, obsolete, scan};
pub(crate) use writer::{Commit, Writer};

use crate::disk::{Disk, fault};
use crate::error::Result;
use crate::ids::Seq;

/// The folder that the log stands in.
pub(crate) const FOLDER: &str = "wal";

/// What a commit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Slots removed and rows added: [`RowsCommit`].
    Rows,
    /// A collection made: JSON.
    Create,
    /// A collection dropped: JSON.
    Drop,
    /// Rows of a store with a mirror: [`RowsCommit`] and [`Marking`].
    Mirrored,
    /// Collections that got other names: JSON.
    Names,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Rows => 1,
            Self::Create => 2,
            Self::Drop => 3,
            Self::Mirrored => 4,
            Self::Names => 5,
        }
    }

    fn of(code: u8) -> Option<Self> {
        let all = [Self::Rows, Self::Create, Self::Drop, Self::Mirrored, Self::Names];
        all.into_iter().find(|kind| kind.code() == code)
    }
}

/// First seq and number of the newest file, if there is one.
pub(crate) fn newest(disk: &dyn Disk) -> Result<Option<(Seq, u32)>> {
    let names = disk.list(FOLDER).map_err(|e| fault("list", FOLDER, e))?;
    Ok(names.iter().filter_map(|name| parse_name(name)).max_by_key(|(_, number)| *number))
}

fn file_name(first: Seq, number: u32) -> String {
    format!("{:016x}-{number:08x}.wal", first.0)
}

/// First seq and number; `None` for a name that is none of ours: no store counts as far as the limits here.
fn parse_name(name: &str) -> Option<(Seq, u32)> {
    let (first, number) = name.strip_suffix(".wal")?.split_once('-')?;
    let first = Seq(u64::from_str_radix(first, 16).ok()?);
    let number = u32::from_str_radix(number, 16).ok()?;
    let is_ours = first.0 <= i64::MAX as u64 && number <= i32::MAX as u32 && file_name(first, number) == name;
    is_ours.then_some((first, number))
}

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}
