//! Vectors, truths and metadata from files.
//!
//! The readers are those of imports (`import/formats`): nothing in a file is believed, and a file can make one take at most twice its own
//! size (float16 widens). An error names the file, what was found, and what is supported.

mod load;
mod metadata;

use crate::Result;
use crate::import::{Floats, Input, Integers, Parsed, bad, extension};
use std::path::Path;

#[cfg(feature = "mirror")]
pub(super) use load::load_pair;
pub(super) use load::{Workload, first_of, load, load_docs};
pub(super) use metadata::Doc;

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

/// A line of JSON for each of `rows` rows.
#[cfg(feature = "text")]
pub(super) fn lines<T: serde::de::DeserializeOwned>(path: &Path, rows: usize) -> Result<Vec<T>> {
    metadata::lines(crate::import::Lines::open(path)?, rows).map_err(|what| bad(path, what))
}

pub(super) fn matrix(path: &Path) -> Result<Matrix> {
    let mut table = Floats::open(path)?;
    let dim = table.columns();
    let count = usize::try_from(table.rows()).unwrap_or(usize::MAX).saturating_mul(dim);
    let mut values = room(count).map_err(|what| bad(path, what))?;
    while table.next_floats(&mut values)? {}
    Ok(Matrix { dim, values })
}

pub(super) fn neighbours(path: &Path) -> Result<Neighbours> {
    let input = Input::open(path)?;
    integers(input, extension(path)).map_err(|what| bad(path, what))
}

fn integers(input: Input, extension: &str) -> Parsed<Neighbours> {
    let mut table = Integers::open(input, extension)?;
    let width = table.columns();
    let mut rows = room(usize::try_from(table.rows()).unwrap_or(usize::MAX).saturating_mul(width))?;
    let mut row = Vec::with_capacity(width);
    while table.next(&mut row)? {
        for value in row.drain(..) {
            rows.push(row_number(value)?);
        }
    }
    Ok(Neighbours { width, rows })
}

/// Room for `count` values, which the reader has checked against the size of the file.
fn room<T>(count: usize) -> Parsed<Vec<T>> {
    let mut values = Vec::new();
    match values.try_reserve_exact(count) {
        Ok(()) => Ok(values),
        Err(_) => Err(format!("{count} values of {} bytes do not fit into memory", size_of::<T>())),
    }
}

/// A row number of a truth: -1 stands for none.
fn row_number(value: i128) -> Parsed<u32> {
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
