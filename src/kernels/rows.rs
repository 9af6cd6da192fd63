//! A batch of borrowed rows for `Kernels::dot_rows`, on the stack.
//!
//! Owns the proof that makes the raw pointers sound: every row was lent for `'a`, and the shortest one's length is kept
//! beside them. Does not know what a row means, nor how long it should be.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// Rows that a batch holds.
pub(crate) const ROWS_MAX: usize = 72;

/// Up to 72 rows to be multiplied with one query, in order.
pub struct Rows<'a> {
    starts: [MaybeUninit<NonNull<u8>>; ROWS_MAX],
    len: usize,
    /// `usize::MAX` while there is no row: what is shorter than it wins without a branch.
    shortest: usize,
    lent: PhantomData<&'a [u8]>,
}

impl Default for Rows<'_> {
    fn default() -> Self {
        Self {
            starts: [const { MaybeUninit::uninit() }; ROWS_MAX],
            len: 0,
            shortest: usize::MAX,
            lent: PhantomData,
        }
    }
}

impl<'a> Rows<'a> {
    /// Adds a row; a full batch takes no more.
    #[inline(always)]
    pub fn push(&mut self, row: &'a [u8]) {
        if let Some(place) = self.starts.get_mut(self.len) {
            place.write(NonNull::from(row).cast());
            self.shortest = self.shortest.min(row.len());
            self.len += 1;
        }
    }

    /// How many rows are in.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no row is in.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where each row starts, and how many bytes may be read from each.
    #[inline(always)]
    pub(super) fn parts(&self) -> (&[NonNull<u8>], usize) {
        let starts: *const [MaybeUninit<NonNull<u8>>] = &self.starts[..self.len];
        // SAFETY: `push` has written the first `len` places, and a written `MaybeUninit<T>` is a `T`.
        (unsafe { &*(starts as *const [NonNull<u8>]) }, self.shortest)
    }
}
