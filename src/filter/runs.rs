//! The rows of all values of a sealed column, in the order of the values, so that any range of values is one run.
//!
//! Invariant: value `i` has the rows `rows[starts[i]..starts[i + 1]]`, or, if it has many, none there and a mask in
//! `masks`. When every value has one row, `starts` is left out: value `i` has `rows[i]`.

use super::mask::{self, BlockMask};
use super::rows::{MASK_ROWS_MIN, Rows};
use std::ops::Range;

#[derive(Default)]
pub(super) struct Runs {
    starts: Vec<u32>,
    rows: Vec<u16>,
    /// Sorted by value.
    masks: Vec<(u32, Box<BlockMask>)>,
    values: u32,
}

impl Runs {
    /// Appends the next value.
    pub(super) fn push(&mut self, rows: Rows) {
        self.starts.push(self.rows.len() as u32);
        match rows {
            Rows::None => {}
            Rows::One(row) => self.rows.push(row),
            Rows::Few(rows) => self.rows.extend(rows),
            Rows::Many(bits) => self.masks.push((self.values, bits)),
        }
        self.values += 1;
    }

    /// Appends the next value from sorted rows.
    pub(super) fn push_sorted(&mut self, rows: impl ExactSizeIterator<Item = u16>) {
        if rows.len() < MASK_ROWS_MIN {
            self.starts.push(self.rows.len() as u32);
            self.rows.extend(rows);
            self.values += 1;
        } else {
            let mut many = Rows::None;
            rows.for_each(|row| many.insert(row));
            self.push(many);
        }
    }

    /// To call after the last value.
    pub(super) fn finish(&mut self) {
        let single = self.rows.len() == self.starts.len()
            && self.starts.iter().enumerate().all(|(i, &start)| i == start as usize);
        if single {
            self.starts = Vec::new();
        } else {
            self.starts.push(self.rows.len() as u32);
        }
        self.starts.shrink_to_fit();
        self.rows.shrink_to_fit();
        self.masks.shrink_to_fit();
    }

    /// Adds the rows of a run of values.
    pub(super) fn or_into(&self, values: Range<usize>, out: &mut BlockMask) {
        if values.is_empty() {
            return;
        }
        let rows = match self.starts.as_slice() {
            [] => values.clone(),
            starts => starts[values.start] as usize..starts[values.end] as usize,
        };
        mask::set_all(out, &self.rows[rows]);
        let first = self.masks.partition_point(|(value, _)| (*value as usize) < values.start);
        for (_, bits) in self.masks[first..].iter().take_while(|(value, _)| (*value as usize) < values.end) {
            mask::or(out, bits);
        }
    }

    /// The rows of one value.
    pub(super) fn rows_of(&self, value: usize) -> Vec<u16> {
        let mut bits = mask::EMPTY;
        self.or_into(value..value + 1, &mut bits);
        mask::rows(&bits).collect()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let mask_bytes = size_of::<BlockMask>() + size_of::<(u32, Box<BlockMask>)>();
        self.starts.capacity() * 4 + self.rows.capacity() * 2 + self.masks.len() * mask_bytes
    }
}
