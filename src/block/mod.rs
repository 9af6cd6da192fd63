//! The files of one block: its rows, which are the truth, and their codes, which follow from them.
//!
//! Invariants: a file is written once, in one stream, and never changes; nothing in it is believed before it was verified;
//! damage costs exactly the rows whose bytes it touches. A body is handed out as bytes: who reads it parses it.
//!
//! Knows nothing of manifests, of the log, of which rows are live, or of what a codec is worth.

mod codes;
mod format;
mod quarantine;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use codes::{CodesAt, CodesFile, write_codes};
pub(crate) use format::RowsHead;
pub(crate) use quarantine::quarantine;
pub(crate) use rows::{RowSource, RowsFile, write_rows};

use crate::disk::{Disk, Named, SectionsFile, SectionsWriter, damaged, publish, temporary};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::BLOCK_SLOTS;
use crate::limits;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Which kind of file, and the newest version of it.
#[derive(Clone, Copy)]
struct Kind {
    magic: [u8; 8],
    version: u32,
    sections: usize,
}

/// Writes a file beside its place, makes it durable and moves it there. The caller syncs the folder.
fn write(
    disk: &dyn Disk,
    path: &str,
    kind: Kind,
    head: &impl Serialize,
    pace: &dyn Fn(usize),
    fill: impl FnOnce(&mut SectionsWriter<'_>) -> Result<()>,
) -> Result<Named> {
    let description = serde_json::to_vec(head)
        .map_err(|e| internal(path, "its description is no JSON; please report this").with_source(e))?;
    let tmp = temporary(disk, path)?;
    let Kind { magic, version, sections } = kind;
    let writer = SectionsWriter::create(disk, &tmp, magic, version, sections, description.len())?;
    let mut writer = writer.with_pace(pace);
    fill(&mut writer)?;
    let named = writer.finish(&description)?;
    publish(disk, &tmp, path)?;
    Ok(named)
}

/// The description of an open file.
fn head_of<T: DeserializeOwned>(file: &SectionsFile, kind: Kind) -> Result<T> {
    if file.sections() != kind.sections {
        let what = format_args!("it has {} sections instead of {}", file.sections(), kind.sections);
        return Err(damaged(file.path(), 0, what));
    }
    serde_json::from_slice(file.description())
        .map_err(|e| damaged(file.path(), 0, "its description cannot be read").with_source(e))
}

/// Dimensions and rows that a block can have.
fn shape(path: &str, dim: u32, rows: u32) -> Result<(usize, usize)> {
    let (dim, rows) = (dim as usize, rows as usize);
    if !(1..=limits::DIM_MAX).contains(&dim) || rows > BLOCK_SLOTS {
        return Err(damaged(path, 0, format_args!("no block has {rows} rows of {dim} dimensions")));
    }
    Ok((dim, rows))
}

/// Refuses a section that does not hold what the description claims.
fn expect_len(file: &SectionsFile, section: usize, count: usize, bytes_each: usize) -> Result<()> {
    let range = file.section(section);
    if count.checked_mul(bytes_each) == Some(range.len()) {
        return Ok(());
    }
    let what = format_args!("section {section} has {} bytes for {count} times {bytes_each}", range.len());
    Err(damaged(file.path(), range.start as u64, what))
}

fn internal(path: &str, what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{path} cannot be written: {what}"))
}

/// `floats` as a file holds them, in `bytes`.
fn put_floats(floats: &[f32], bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.extend(floats.iter().flat_map(|x| x.to_le_bytes()));
}
