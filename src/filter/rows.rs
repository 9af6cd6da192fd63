//! The rows that hold one value, in a form that fits their number: most values have one row, some have most rows.

use super::mask::{self, BlockMask, EMPTY};

/// Rows from which a mask is no larger than a list.
pub(super) const MASK_ROWS_MIN: usize = 4096;

#[derive(Default)]
pub(super) enum Rows {
    #[default]
    None,
    One(u16),
    /// In order of insertion; may repeat.
    Few(Vec<u16>),
    Many(Box<BlockMask>),
}

// One word for the kind would make millions of these a third larger.
const _: () = assert!(size_of::<Rows>() == 24);

impl Rows {
    pub(super) fn insert(&mut self, row: u16) {
        match self {
            Self::None => *self = Self::One(row),
            // An array often repeats a value.
            Self::One(only) if *only == row => {}
            Self::One(only) => *self = Self::Few(vec![*only, row]),
            Self::Few(rows) if rows.last() == Some(&row) => {}
            Self::Few(rows) if rows.len() < MASK_ROWS_MIN => rows.push(row),
            Self::Few(rows) => {
                let mut bits = Box::new(EMPTY);
                mask::set_all(&mut bits, rows);
                mask::set(&mut bits, row);
                *self = Self::Many(bits);
            }
            Self::Many(bits) => mask::set(bits, row),
        }
    }

    pub(super) fn or_into(&self, out: &mut BlockMask) {
        match self {
            Self::None => {}
            Self::One(row) => mask::set(out, *row),
            Self::Few(rows) => mask::set_all(out, rows),
            Self::Many(bits) => mask::or(out, bits),
        }
    }

    pub(super) fn shrink(&mut self) {
        if let Self::Few(rows) = self {
            rows.shrink_to_fit();
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Few(rows) => rows.capacity() * size_of::<u16>(),
            Self::Many(_) => size_of::<BlockMask>(),
        }
    }
}
