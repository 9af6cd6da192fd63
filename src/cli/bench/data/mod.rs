//! Vectors, truths and metadata from files.
//!
//! Nothing in a file is believed: a length is compared with the size of the file before memory is taken for it, so a
//! file can make a reader take at most twice its own size (float16 widens). An error names the file, what was found, and
//! what is supported.

mod load;
mod metadata;
mod npy;
mod vecs;

use crate::{Error, ErrorKind, Result};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

#[cfg(feature = "mirror")]
pub(super) use load::load_pair;
pub(super) use load::{Workload, load, load_docs};
pub(super) use metadata::Doc;

/// What a parser found wrong; the caller adds the name of the file.
type Parsed<T> = std::result::Result<T, String>;

/// Row-major vectors.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    pub(super) dim: usize,
    pub(super) values: Vec<f32>,
}

impl Matrix {
    pub(super) fn rows(&self) -> usize {
        self.values.len() / self.dim
    }

    pub(super) fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.dim..][..self.dim]
    }

    /// At most the first `rows`.
    pub(super) fn first(&self, rows: usize) -> Self {
        Self { dim: self.dim, values: self.values[..rows.min(self.rows()) * self.dim].to_vec() }
    }
}

/// The entry of a query that has fewer neighbours than asked for.
pub(super) const NO_ROW: u32 = u32::MAX;

/// For each query the row numbers of its nearest neighbours, nearest first, `NO_ROW` where there are no more.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Neighbours {
    pub(super) width: usize,
    pub(super) rows: Vec<u32>,
}

impl Neighbours {
    /// The first `k` of a query, without the empty entries.
    pub(super) fn of(&self, query: usize, k: usize) -> impl Iterator<Item = u32> + '_ {
        let all = &self.rows[query * self.width..][..self.width];
        all[..k.min(self.width)].iter().copied().filter(|&row| row != NO_ROW)
    }
}

fn matrix(path: &Path) -> Result<Matrix> {
    let (file, len) = open(path)?;
    let input = &mut BufReader::new(file);
    match extension(path) {
        "npy" => npy::floats(input, len),
        "fvecs" => vecs::floats(input, len),
        other => Err(format!("a file of kind `.{other}`; vectors are read from .npy and .fvecs")),
    }
    .map_err(|what| bad(path, what))
}

fn neighbours(path: &Path) -> Result<Neighbours> {
    let (file, len) = open(path)?;
    let input = &mut BufReader::new(file);
    match extension(path) {
        "npy" => npy::integers(input, len),
        "ivecs" => vecs::integers(input, len),
        other => Err(format!("a file of kind `.{other}`; a truth is read from .npy and .ivecs")),
    }
    .map_err(|what| bad(path, what))
}

/// A file and its size in bytes.
fn open(path: &Path) -> Result<(File, u64)> {
    let cannot =
        |e| Error::new(ErrorKind::NotFound, format!("{} cannot be read", path.display())).with_source(e);
    let file = File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if !about.is_file() {
        return Err(bad(path, "not a regular file".to_owned()));
    }
    Ok((file, about.len()))
}

fn bad(path: &Path, what: String) -> Error {
    Error::invalid(format!("{}: {what}", path.display()))
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default()
}

/// Room for `count` values, which the caller has checked against the size of the file.
fn room<T>(count: usize) -> Parsed<Vec<T>> {
    let mut values = Vec::new();
    match values.try_reserve_exact(count) {
        Ok(()) => Ok(values),
        Err(_) => Err(format!("{count} values of {} bytes do not fit into memory", size_of::<T>())),
    }
}

/// Fills `buffer`, or says that the file is shorter than its own header.
fn fill(input: &mut dyn Read, buffer: &mut [u8]) -> Parsed<()> {
    input.read_exact(buffer).map_err(|e| format!("ends or fails within its data: {e}"))
}

/// A row number of a truth: -1 stands for none.
fn row_number(value: i64) -> Parsed<u32> {
    match u32::try_from(value) {
        Ok(row) if row != NO_ROW => Ok(row),
        _ if value == -1 => Ok(NO_ROW),
        _ => {
            Err(format!("{value} is no row number; they go from 0 to {}, and -1 stands for none", NO_ROW - 1))
        }
    }
}

#[cfg(test)]
mod tests;
