//! Formats that do not say how wide their vectors are: the first rows are read ahead, until one shows it.
//!
//! Invariant: every row comes once, in its order, whether it was read ahead or not.

use crate::error::Result;
use crate::import::source::{Entry, Rows, Shape};
use std::collections::VecDeque;

/// Rows without a vector that are looked through for the dimension.
const LOOK_AHEAD: usize = 1_000;

/// A file that is read row by row.
pub(super) trait RowReader: Send {
    /// The next row; `None` after the last.
    fn read(&mut self) -> Result<Option<Entry>>;
}

/// A reader, and what was read of it already.
pub(crate) struct Ahead<R> {
    reader: R,
    shape: Shape,
    first: VecDeque<Entry>,
}

impl<R: RowReader> Ahead<R> {
    /// Of a reader that is at its first row, with what its head says of the shape.
    pub(super) fn of(mut reader: R, mut shape: Shape) -> Result<Self> {
        let mut first = VecDeque::new();
        while shape.dim.is_none() && first.len() < LOOK_AHEAD {
            let Some(entry) = reader.read()? else { break };
            shape.dim = entry.chunk.as_ref().ok().and_then(|chunk| chunk.vector.as_ref()).map(Vec::len);
            first.push_back(entry);
        }
        Ok(Self { reader, shape, first })
    }
}

impl<R: RowReader> Rows for Ahead<R> {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        match self.first.pop_front() {
            Some(entry) => Ok(Some(entry)),
            None => self.reader.read(),
        }
    }
}
