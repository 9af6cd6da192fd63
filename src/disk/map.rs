//! Memory areas that the operating system zeroes and commits page by page as they are touched.
//!
//! - [`Rows`]: fixed-size rows, each written once and then read by any thread without a lock.
//! - [`Cells`]: an array of atomics, all zero at first.
//!
//! Invariants: an area never moves or grows while it lives; a row below `len` is never written again; a reader
//! that sees `len > i` sees the whole row `i` (release on publish, acquire on read).
//!
//! Huge pages are asked for from the second 2 MiB on: that is where they pay (+20 % searches per second at 1 M rows),
//! and a small collection stays small.
#![allow(unsafe_code)]

use crate::error::{Error, ErrorKind, Result};
use memmap2::{MmapMut, MmapRaw};
use parking_lot::Mutex;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Element types of [`Rows`]: any bit pattern is a value, so zeroed memory is valid.
pub(crate) trait Plain: Copy + Send + Sync + 'static + sealed::Sealed {}

mod sealed {
    pub(crate) trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for f32 {}
}
impl Plain for u8 {}
impl Plain for f32 {}

fn anonymous(bytes: usize) -> Result<MmapRaw> {
    let map = MmapMut::map_anon(bytes.max(1)).map_err(|e| {
        Error::new(
            ErrorKind::Full,
            format!("the system gave no {bytes} bytes of memory; lower the number of collections or raise the limit"),
        )
        .with_source(e)
    })?;
    #[cfg(target_os = "linux")]
    if bytes > 2 * HUGE_PAGE_BYTES {
        // Best effort: a kernel without huge pages serves small ones.
        let _ = map.advise_range(memmap2::Advice::HugePage, HUGE_PAGE_BYTES, bytes - HUGE_PAGE_BYTES);
    }
    Ok(MmapRaw::from(map))
}

/// Fixed-size rows of `T`, written once, in order, and read without a lock.
pub(crate) struct Rows<T> {
    map: MmapRaw,
    stride: usize,
    capacity: usize,
    len: AtomicUsize,
    writer: Mutex<()>,
    element: PhantomData<T>,
}

impl<T: Plain> Rows<T> {
    /// Room for `capacity` rows of `stride` elements each. Nothing is committed yet.
    pub(crate) fn new(stride: usize, capacity: usize) -> Result<Self> {
        let bytes =
            stride.checked_mul(capacity).and_then(|n| n.checked_mul(size_of::<T>())).ok_or_else(|| {
                Error::new(
                    ErrorKind::Full,
                    format!("{capacity} rows of {stride} elements exceed the address space"),
                )
            })?;
        let map = anonymous(bytes)?;
        Ok(Self {
            map,
            stride,
            capacity,
            len: AtomicUsize::new(0),
            writer: Mutex::new(()),
            element: PhantomData,
        })
    }

    /// Appends a row that `write` fills, and publishes it. `None` when all rows are taken.
    /// The row is zeroed when `write` gets it, unless an earlier `write` panicked half-way.
    pub(crate) fn push(&self, write: impl FnOnce(&mut [T])) -> Option<usize> {
        let _writer = self.writer.lock();
        let row = self.len.load(Ordering::Relaxed);
        if row >= self.capacity {
            return None;
        }
        // SAFETY: `row < capacity`, so the range lies inside the mapping, which is page-aligned and holds
        // `capacity * stride` elements, each valid for any bits. Readers see rows below `len` only and `writer` keeps
        // other writers out, so this slice is unique until `len` grows.
        let slice = unsafe {
            std::slice::from_raw_parts_mut(
                self.map.as_mut_ptr().cast::<T>().add(row * self.stride),
                self.stride,
            )
        };
        write(slice);
        self.len.store(row + 1, Ordering::Release);
        Some(row)
    }

    /// The row, if it was published.
    #[inline(always)]
    pub(crate) fn get(&self, row: usize) -> Option<&[T]> {
        if row >= self.len.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: `row < len <= capacity`, so the range lies inside the mapping; rows below `len` are never written
        // again, and the acquire load above makes the row's bytes visible here.
        Some(unsafe {
            std::slice::from_raw_parts(self.map.as_ptr().cast::<T>().add(row * self.stride), self.stride)
        })
    }

    /// Rows published.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Rows that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes of the published rows.
    pub(crate) fn bytes(&self) -> usize {
        self.len() * self.stride * size_of::<T>()
    }
}

/// An array of atomics, zero at first.
pub(crate) struct Cells {
    map: MmapRaw,
    len: usize,
}

impl Cells {
    /// `len` zeroed cells. Nothing is committed yet.
    pub(crate) fn new(len: usize) -> Result<Self> {
        let bytes = len
            .checked_mul(size_of::<AtomicU32>())
            .ok_or_else(|| Error::new(ErrorKind::Full, format!("{len} cells exceed the address space")))?;
        Ok(Self { map: anonymous(bytes)?, len })
    }

    /// All cells.
    #[inline(always)]
    pub(crate) fn all(&self) -> &[AtomicU32] {
        // SAFETY: the mapping is page-aligned and holds `len` zero-initialised `u32`, which is what an `AtomicU32` is;
        // it is only ever reached through these atomics.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU32>(), self.len) }
    }
}
