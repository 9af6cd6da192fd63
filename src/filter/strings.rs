//! The strings of one field: an ordered map while open, a sorted dictionary in one allocation once sealed.
//!
//! Both are ordered by bytes, so equality, ranges and prefixes are searches, and only "contains" looks at every distinct
//! value. Strings are indexed whole, however long; the bytes count, and metadata as a whole is bounded.

use super::mask::BlockMask;
use super::numbers::{Bounds, first, span};
use super::rows::Rows;
use super::runs::Runs;
use std::collections::BTreeMap;
use std::ops::{Bound, Range, RangeBounds};

pub(super) enum Strings {
    Open(BTreeMap<Box<str>, Rows>),
    Sealed(Box<Dictionary>),
}

/// Distinct strings end to end, in order; string `i` ends at `ends[i]`.
#[derive(Default)]
pub(super) struct Dictionary {
    bytes: String,
    /// `u32` is enough: a block has 2^16 rows, and a row less than 2^16 bytes of strings in its metadata.
    ends: Vec<u32>,
    runs: Runs,
}

impl Default for Strings {
    fn default() -> Self {
        Self::Open(BTreeMap::new())
    }
}

impl Strings {
    pub(super) fn insert(&mut self, s: &str, row: u16) {
        self.open();
        let Self::Open(map) = self else { return };
        // Known values are the rule, and cost no allocation.
        match map.get_mut(s) {
            Some(rows) => rows.insert(row),
            None => _ = map.insert(s.into(), Rows::One(row)),
        }
    }

    pub(super) fn or_equal(&self, s: &str, out: &mut BlockMask) {
        match self {
            Self::Open(map) => map.get(s).into_iter().for_each(|rows| rows.or_into(out)),
            Self::Sealed(dictionary) => {
                dictionary.or_span((Bound::Included(&s), Bound::Included(&s)), out);
            }
        }
    }

    pub(super) fn or_range(&self, (lo, hi): Bounds<'_, Box<str>>, out: &mut BlockMask) {
        let (lo, hi): (Bound<&str>, Bound<&str>) = (lo.map(|s| &**s), hi.map(|s| &**s));
        match self {
            Self::Open(map) => {
                // Only the lower bound goes to the map, which would panic on bounds that cross.
                let from = map.range::<str, _>((lo, Bound::Unbounded));
                let hi = (Bound::Unbounded, hi);
                from.take_while(|(s, _)| RangeBounds::<str>::contains::<str>(&hi, s))
                    .for_each(|(_, rows)| rows.or_into(out));
            }
            Self::Sealed(dictionary) => dictionary.or_span((lo.as_ref(), hi.as_ref()), out),
        }
    }

    pub(super) fn or_prefix(&self, start: &str, out: &mut BlockMask) {
        match self {
            Self::Open(map) => {
                let from = map.range::<str, _>((Bound::Included(start), Bound::Unbounded));
                from.take_while(|(s, _)| s.starts_with(start)).for_each(|(_, rows)| rows.or_into(out));
            }
            Self::Sealed(dictionary) => {
                let len = dictionary.ends.len();
                let from = first(len, |i| dictionary.get(i) >= start);
                let end = first(len, |i| dictionary.get(i) > start && !dictionary.get(i).starts_with(start));
                dictionary.runs.or_into(from..end, out);
            }
        }
    }

    pub(super) fn or_containing(&self, part: &str, out: &mut BlockMask) {
        match self {
            Self::Open(map) => {
                map.iter().filter(|(s, _)| contains(s, part)).for_each(|(_, rows)| rows.or_into(out));
            }
            Self::Sealed(dictionary) => dictionary.or_containing(part, out),
        }
    }

    pub(super) fn seal(&mut self) {
        let Self::Open(map) = self else { return };
        let mut dictionary = Box::<Dictionary>::default();
        for (s, rows) in std::mem::take(map) {
            dictionary.bytes.push_str(&s);
            dictionary.ends.push(dictionary.bytes.len() as u32);
            dictionary.runs.push(rows);
        }
        dictionary.bytes.shrink_to_fit();
        dictionary.ends.shrink_to_fit();
        dictionary.runs.finish();
        *self = Self::Sealed(dictionary);
    }

    /// Back to the form that takes inserts.
    fn open(&mut self) {
        let Self::Sealed(dictionary) = self else { return };
        let rows_of = |i| {
            let mut rows = Rows::None;
            dictionary.runs.rows_of(i).into_iter().for_each(|row| rows.insert(row));
            rows
        };
        *self =
            Self::Open((0..dictionary.ends.len()).map(|i| (dictionary.get(i).into(), rows_of(i))).collect());
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Open(map) => {
                // B-tree nodes are about two thirds full.
                let node_bytes = map.len() * size_of::<(Box<str>, Rows)>() * 3 / 2;
                node_bytes + map.iter().map(|(s, rows)| s.len() + rows.heap_bytes()).sum::<usize>()
            }
            Self::Sealed(dictionary) => {
                let Dictionary { bytes, ends, runs } = &**dictionary;
                size_of::<Dictionary>() + bytes.capacity() + ends.capacity() * 4 + runs.heap_bytes()
            }
        }
    }
}

impl Dictionary {
    fn get(&self, i: usize) -> &str {
        &self.bytes[self.range(i)]
    }

    fn range(&self, i: usize) -> Range<usize> {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        start as usize..self.ends[i] as usize
    }

    fn or_span(&self, bounds: Bounds<'_, &str>, out: &mut BlockMask) {
        self.runs.or_into(span(self.ends.len(), |i| self.get(i), bounds), out);
    }

    /// One search through all strings at once; a hit that runs over the end of its string is none.
    fn or_containing(&self, part: &str, out: &mut BlockMask) {
        if part.is_empty() {
            return self.runs.or_into(0..self.ends.len(), out);
        }
        let mut from = 0;
        while let Some(at) = self.bytes[from..].find(part).map(|at| from + at) {
            let i = self.ends.partition_point(|&end| end as usize <= at);
            let end = self.ends[i] as usize;
            if at + part.len() <= end {
                self.runs.or_into(i..i + 1, out);
            }
            // Nothing is missed: a later hit in the same string would run over its end as well.
            from = end;
        }
    }
}

/// Twice as fast as the standard search on the short strings of metadata, because it prepares nothing. Its worst case
/// is the product of both lengths, so long parts go the standard way.
fn contains(s: &str, part: &str) -> bool {
    const PART_BYTES_MAX: usize = 32;
    let bytes = part.as_bytes();
    match bytes {
        [] => true,
        [first, ..] if bytes.len() <= PART_BYTES_MAX => {
            s.as_bytes().windows(bytes.len()).any(|window| window[0] == *first && window == bytes)
        }
        _ => s.contains(part),
    }
}
