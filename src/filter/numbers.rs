//! The numbers of one field: sorted entries with a short unsorted tail while open, sorted arrays once sealed.
//!
//! A range is two binary searches and a run over rows. The tail is scanned; it is sorted in before it gets long, so an
//! insert costs amortised constant time.

use super::mask::{self, BlockMask};
use super::runs::Runs;
use crate::record::Num;
use std::ops::{Bound, Range, RangeBounds};

pub(super) type Bounds<'a, T> = (Bound<&'a T>, Bound<&'a T>);

pub(super) enum Numbers {
    /// `entries[..sorted]` is sorted.
    Open {
        entries: Vec<Entry>,
        sorted: usize,
    },
    Sealed(Box<Sealed>),
}

/// A [`Num`] and its row in 16 bytes instead of 24.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    floor: u64,
    rest: u16,
    row: u16,
}

/// Distinct numbers, as arrays: the search touches `floors` only.
#[derive(Default)]
pub(super) struct Sealed {
    floors: Vec<u64>,
    /// Empty when no number has any.
    rests: Vec<u16>,
    runs: Runs,
}

const TAIL_MIN: usize = 1024;

impl Default for Numbers {
    fn default() -> Self {
        Self::Open { entries: Vec::new(), sorted: 0 }
    }
}

impl Numbers {
    pub(super) fn insert(&mut self, num: Num, row: u16) {
        self.open();
        let Self::Open { entries, sorted } = self else { return };
        entries.push(Entry { floor: num.floor, rest: num.rest, row });
        if entries.len() - *sorted > TAIL_MIN.max(*sorted / 8) {
            // The stable sort finds the sorted run and only merges the tail into it.
            entries.sort();
            *sorted = entries.len();
        }
    }

    pub(super) fn or_equal(&self, num: Num, out: &mut BlockMask) {
        self.or_range((Bound::Included(&num), Bound::Included(&num)), out);
    }

    pub(super) fn or_range(&self, bounds: Bounds<'_, Num>, out: &mut BlockMask) {
        match self {
            Self::Open { entries, sorted } => {
                let (run, tail) = entries.split_at(*sorted);
                for entry in &run[span(run.len(), |i| run[i].num(), bounds)] {
                    mask::set(out, entry.row);
                }
                for entry in tail.iter().filter(|entry| bounds.contains(&entry.num())) {
                    mask::set(out, entry.row);
                }
            }
            Self::Sealed(sealed) => {
                sealed.runs.or_into(span(sealed.floors.len(), |i| sealed.num(i), bounds), out);
            }
        }
    }

    pub(super) fn seal(&mut self) {
        let Self::Open { entries, .. } = self else { return };
        entries.sort();
        entries.dedup();
        let mut sealed = Box::<Sealed>::default();
        for same in entries.chunk_by(|a, b| a.num() == b.num()) {
            sealed.floors.push(same[0].floor);
            sealed.rests.push(same[0].rest);
            sealed.runs.push_sorted(same.iter().map(|entry| entry.row));
        }
        if sealed.rests.iter().all(|&rest| rest == 0) {
            sealed.rests = Vec::new();
        }
        sealed.floors.shrink_to_fit();
        sealed.rests.shrink_to_fit();
        sealed.runs.finish();
        *self = Self::Sealed(sealed);
    }

    /// Back to the form that takes inserts.
    fn open(&mut self) {
        let Self::Sealed(sealed) = self else { return };
        let numbers = (0..sealed.floors.len()).map(|i| (sealed.num(i), sealed.runs.rows_of(i)));
        let entries: Vec<Entry> = numbers
            .flat_map(|(Num { floor, rest }, rows)| {
                rows.into_iter().map(move |row| Entry { floor, rest, row })
            })
            .collect();
        *self = Self::Open { sorted: entries.len(), entries };
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::Open { entries, .. } => entries.capacity() * size_of::<Entry>(),
            Self::Sealed(sealed) => {
                let Sealed { floors, rests, runs } = &**sealed;
                size_of::<Sealed>() + floors.capacity() * 8 + rests.capacity() * 2 + runs.heap_bytes()
            }
        }
    }
}

impl Entry {
    fn num(self) -> Num {
        Num { floor: self.floor, rest: self.rest }
    }
}

impl Sealed {
    fn num(&self, i: usize) -> Num {
        Num { floor: self.floors[i], rest: self.rests.get(i).copied().unwrap_or(0) }
    }
}

/// Which of `len` sorted values are within the bounds.
pub(super) fn span<T: Ord>(len: usize, value: impl Fn(usize) -> T, (lo, hi): Bounds<'_, T>) -> Range<usize> {
    let start = match lo {
        Bound::Included(lo) => first(len, |i| value(i) >= *lo),
        Bound::Excluded(lo) => first(len, |i| value(i) > *lo),
        Bound::Unbounded => 0,
    };
    let end = match hi {
        Bound::Included(hi) => first(len, |i| value(i) > *hi),
        Bound::Excluded(hi) => first(len, |i| value(i) >= *hi),
        Bound::Unbounded => len,
    };
    start..end.max(start)
}

/// The first index where `reached` is true, and stays true; `len` if none.
pub(super) fn first(len: usize, reached: impl Fn(usize) -> bool) -> usize {
    let (mut lo, mut hi) = (0, len);
    while lo < hi {
        let mid = lo.midpoint(hi);
        if reached(mid) { hi = mid } else { lo = mid + 1 }
    }
    lo
}
