//! Tables of numbers and nothing else: vectors in `.npy`, `.fvecs`, `.bvecs`, whose ids are the numbers of their rows counted from 0, and
//! whole numbers in `.npy`, `.ivecs`.

use super::npy::Npy;
use super::vecs::{Kind, Vecs};
use crate::error::Result;
use crate::import::input::{Input, Parsed, bad, extension};
use crate::import::source::{Entry, Place, Rows, Shape};
use crate::record::Chunk;
use std::path::{Path, PathBuf};

enum Table {
    Npy(Npy),
    Vecs(Vecs),
}

pub(crate) struct Plain {
    path: PathBuf,
    table: Table,
    shape: Shape,
    next: u64,
}

impl Plain {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::of(Input::open(path)?, extension(path), path).map_err(|what| bad(path, what))
    }

    /// Of a file of that kind.
    pub(crate) fn of(input: Input, extension: &str, path: &Path) -> Parsed<Self> {
        let table = match extension {
            "npy" => Table::Npy(Npy::floats(input)?),
            other => match Kind::of(other).filter(|kind| *kind != Kind::I32) {
                Some(kind) => Table::Vecs(Vecs::open(input, kind)?),
                None => {
                    let what =
                        format!("a file of kind `.{other}`; vectors are read from .npy, .fvecs and .bvecs");
                    return Err(what);
                }
            },
        };
        let (rows, dim) = match &table {
            Table::Npy(npy) => (npy.rows, npy.columns),
            Table::Vecs(vecs) => (vecs.rows, vecs.columns),
        };
        let shape = Shape { dim: Some(dim), rows: Some(rows), ..Shape::default() };
        Ok(Self { path: path.to_owned(), table, shape, next: 0 })
    }

    pub(crate) fn columns(&self) -> usize {
        self.shape.dim.unwrap_or_default()
    }

    pub(crate) fn rows(&self) -> u64 {
        self.shape.rows.unwrap_or_default()
    }

    /// Appends the next row; false after the last.
    pub(crate) fn next_floats(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        let read = match &mut self.table {
            Table::Npy(npy) => npy.next_floats(out),
            Table::Vecs(vecs) => vecs.next_floats(out),
        };
        read.map_err(|what| bad(&self.path, what))
    }
}

impl Rows for Plain {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        let at = match &self.table {
            Table::Npy(npy) => npy.at(),
            Table::Vecs(vecs) => vecs.at(),
        };
        let mut vector = Vec::with_capacity(self.columns());
        if !self.next_floats(&mut vector)? {
            return Ok(None);
        }
        let n = self.next;
        self.next += 1;
        Ok(Some(Entry { place: Place::Row(n, at), chunk: Ok(Chunk::new(n.to_string()).vector(vector)) }))
    }
}

/// Whole numbers, row by row.
pub(crate) enum Integers {
    Npy(Npy),
    Vecs(Vecs),
}

impl Integers {
    pub(crate) fn open(input: Input, extension: &str) -> Parsed<Self> {
        match extension {
            "npy" => Npy::integers(input).map(Self::Npy),
            "ivecs" => Vecs::open(input, Kind::I32).map(Self::Vecs),
            other => Err(format!("a file of kind `.{other}`; whole numbers are read from .npy and .ivecs")),
        }
    }

    pub(crate) fn columns(&self) -> usize {
        match self {
            Self::Npy(npy) => npy.columns,
            Self::Vecs(vecs) => vecs.columns,
        }
    }

    pub(crate) fn rows(&self) -> u64 {
        match self {
            Self::Npy(npy) => npy.rows,
            Self::Vecs(vecs) => vecs.rows,
        }
    }

    /// Appends the next row; false after the last.
    pub(crate) fn next(&mut self, out: &mut Vec<i128>) -> Parsed<bool> {
        match self {
            Self::Npy(npy) => npy.next_integers(out),
            Self::Vecs(vecs) => vecs.next_integers(out),
        }
    }
}
