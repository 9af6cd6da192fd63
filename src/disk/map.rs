//! Memory areas: anonymous ones, which the operating system zeroes and commits page by page as they are touched, and files.
//!
//! - [`Map`]: the bytes of a file.
//! - [`Rows`]: fixed-size rows, each written once and then read by any thread without a lock; or rows of a file.
//! - [`Cells`]: an array of atomics, all zero at first; or cells of a file's private pages.
//!
//! Invariants: an area never moves or grows while it lives; a row below `len` is never written again; a reader
//! that sees `len > i` sees the whole row `i` (release on publish, acquire on read). No byte of a file is written through
//! a mapping.
//!
//! What a mapped file asks of its surroundings: nobody truncates or rewrites it while it is mapped. The store never does
//! (sealed files are only unlinked, which leaves mapped pages alone). Where others cannot be trusted with the folder,
//! files are copied into memory instead ([`Map::read`]).
//!
//! Huge pages are asked for from the second 2 MiB on: that is where they pay (+20 % searches per second at 1 M rows),
//! and a small collection stays small.
#![allow(unsafe_code)]

use crate::error::{Error, ErrorKind, Result};
use memmap2::{MmapMut, MmapOptions, MmapRaw};
use parking_lot::Mutex;
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
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
    advise_huge(&map, bytes);
    Ok(MmapRaw::from(map))
}

/// Best effort: a kernel without huge pages serves small ones.
fn advise_huge(map: &MmapMut, bytes: usize) {
    #[cfg(target_os = "linux")]
    if bytes > 2 * HUGE_PAGE_BYTES {
        let _ = map.advise_range(memmap2::Advice::HugePage, HUGE_PAGE_BYTES, bytes - HUGE_PAGE_BYTES);
    }
}

/// The bytes of one file, page-aligned.
pub(crate) struct Map {
    raw: MmapRaw,
    len: usize,
    /// Pages may be written to: they are this process's own.
    private: bool,
}

impl Map {
    /// The pages of a file that nobody changes any more.
    pub(crate) fn shared(file: &fs::File) -> io::Result<Self> {
        let len = len_of(file)?;
        // A file without bytes has no pages to map.
        if len == 0 {
            return Self::of(&[]);
        }
        let raw = MmapOptions::new().len(len).map_raw_read_only(file)?;
        Ok(Self { raw, len, private: false })
    }

    /// The pages of a file, copied when written to.
    pub(crate) fn private(file: &fs::File) -> io::Result<Self> {
        let len = len_of(file)?;
        if len == 0 {
            return Self::of(&[]);
        }
        // SAFETY: the module's argument about mapped files; what is written stays in pages of this process.
        let map = unsafe { MmapOptions::new().len(len).map_copy(file)? };
        Ok(Self { raw: MmapRaw::from(map), len, private: true })
    }

    /// The file's bytes, read into anonymous memory.
    pub(crate) fn read(file: &fs::File) -> io::Result<Self> {
        let len = len_of(file)?;
        let mut map = MmapMut::map_anon(len.max(1))?;
        advise_huge(&map, len);
        file.read_exact_at(&mut map[..len], 0)?;
        Ok(Self { raw: MmapRaw::from(map), len, private: true })
    }

    /// A copy of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> io::Result<Self> {
        let mut map = MmapMut::map_anon(bytes.len().max(1))?;
        map[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { raw: MmapRaw::from(map), len: bytes.len(), private: true })
    }

    /// All bytes. Not for ranges that [`Cells`] were made from: those change.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping holds `len` bytes and lives as long as `self`; it is only ever written through `Cells`, whose
        // ranges no caller reads here.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr(), self.len) }
    }

    /// Whether `count` elements of `size` bytes at `offset` lie inside, aligned for any element type.
    fn holds(&self, offset: usize, count: usize, size: usize) -> bool {
        let end = count.checked_mul(size).and_then(|bytes| bytes.checked_add(offset));
        offset.is_multiple_of(64) && end.is_some_and(|end| end <= self.len)
    }
}

fn len_of(file: &fs::File) -> io::Result<usize> {
    usize::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

fn outside(offset: usize, count: usize) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "a section of {count} elements at offset {offset} lies outside of its file; run `nearfield doctor`"
        ),
    )
}

/// Memory that rows or cells stand in.
enum Area {
    Anonymous(MmapRaw),
    File { map: Arc<Map>, offset: usize },
}

impl Area {
    #[inline(always)]
    fn start(&self) -> *const u8 {
        match self {
            Self::Anonymous(raw) => raw.as_ptr(),
            Self::File { map, offset } => map.raw.as_ptr().wrapping_add(*offset),
        }
    }
}

/// Fixed-size rows of `T`, written once, in order, and read without a lock.
pub(crate) struct Rows<T> {
    area: Area,
    /// The first element, kept at hand: every distance needs it.
    start: Start,
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
        let area = Area::Anonymous(anonymous(bytes)?);
        Ok(Self::over(area, stride, capacity, 0))
    }

    /// The `count` rows that stand in `map` at `offset`. It takes no more.
    pub(crate) fn mapped(map: Arc<Map>, offset: usize, stride: usize, count: usize) -> Result<Self> {
        let elements = stride.checked_mul(count).ok_or_else(|| outside(offset, count))?;
        if !map.holds(offset, elements, size_of::<T>()) {
            return Err(outside(offset, elements));
        }
        Ok(Self::over(Area::File { map, offset }, stride, count, count))
    }

    fn over(area: Area, stride: usize, capacity: usize, len: usize) -> Self {
        Self {
            start: Start(area.start()),
            area,
            stride,
            capacity,
            len: AtomicUsize::new(len),
            writer: Mutex::new(()),
            element: PhantomData,
        }
    }

    /// Appends a row that `write` fills, and publishes it. `None` when all rows are taken.
    /// The row is zeroed when `write` gets it, unless an earlier `write` panicked half-way.
    pub(crate) fn push(&self, write: impl FnOnce(&mut [T])) -> Option<usize> {
        let _writer = self.writer.lock();
        let row = self.len.load(Ordering::Relaxed);
        let Area::Anonymous(map) = &self.area else { return None };
        if row >= self.capacity {
            return None;
        }
        // SAFETY: `row < capacity`, so the range lies inside the mapping, which is page-aligned and holds
        // `capacity * stride` elements, each valid for any bits. Readers see rows below `len` only and `writer` keeps
        // other writers out, so this slice is unique until `len` grows.
        let slice = unsafe {
            std::slice::from_raw_parts_mut(map.as_mut_ptr().cast::<T>().add(row * self.stride), self.stride)
        };
        write(slice);
        self.len.store(row + 1, Ordering::Release);
        Some(row)
    }

    /// Whether the rows stand in a file.
    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self.area, Area::File { .. })
    }

    /// The same rows in anonymous memory.
    pub(crate) fn copied(&self) -> Result<Self> {
        let copy = Self::new(self.stride, self.len())?;
        for row in (0..self.len()).filter_map(|row| self.get(row)) {
            copy.push(|to| to.copy_from_slice(row));
        }
        Ok(copy)
    }

    /// The row, if it was published.
    #[inline(always)]
    pub(crate) fn get(&self, row: usize) -> Option<&[T]> {
        if row >= self.len.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: `row < len <= capacity`, so the range lies inside the mapping that `start` points into and `area` keeps;
        // it is aligned (anonymous: a page, file: 64 bytes, checked). Rows below `len` are never written again, and the
        // acquire load above makes the row's bytes visible here.
        Some(unsafe {
            std::slice::from_raw_parts(self.start.0.cast::<T>().add(row * self.stride), self.stride)
        })
    }

    /// Rows published.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Elements of a row.
    pub(crate) fn stride(&self) -> usize {
        self.stride
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

/// The address of the first byte of an area.
struct Start(*const u8);

// SAFETY: it points into memory that is read by any thread and written only as `Rows` and `Cells` argue.
unsafe impl Send for Start {}
// SAFETY: as above.
unsafe impl Sync for Start {}

/// An array of atomics, zero at first.
pub(crate) struct Cells {
    /// Keeps the memory that `start` points to.
    _area: Area,
    start: Start,
    len: usize,
}

impl Cells {
    /// `len` zeroed cells. Nothing is committed yet.
    pub(crate) fn new(len: usize) -> Result<Self> {
        let bytes = len
            .checked_mul(size_of::<AtomicU32>())
            .ok_or_else(|| Error::new(ErrorKind::Full, format!("{len} cells exceed the address space")))?;
        Ok(Self::over(Area::Anonymous(anonymous(bytes)?), len))
    }

    /// The `len` cells that stand in private pages of `map` at `offset`. What is written to them stays in memory.
    pub(crate) fn mapped(map: Arc<Map>, offset: usize, len: usize) -> Result<Self> {
        if !map.private || !map.holds(offset, len, size_of::<AtomicU32>()) {
            return Err(outside(offset, len));
        }
        Ok(Self::over(Area::File { map, offset }, len))
    }

    fn over(area: Area, len: usize) -> Self {
        Self { start: Start(area.start()), _area: area, len }
    }

    /// All cells.
    #[inline(always)]
    pub(crate) fn all(&self) -> &[AtomicU32] {
        // SAFETY: the area is aligned (anonymous: a page, file: 64 bytes, checked), writable, and holds `len` initialised
        // `u32`, which is what an `AtomicU32` is; it is only ever reached through these atomics.
        unsafe { std::slice::from_raw_parts(self.start.0.cast::<AtomicU32>(), self.len) }
    }
}
