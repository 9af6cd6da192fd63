//! Asking for memory before it is needed.
//!
//! A prefetch is a hint: it reads nothing, it cannot fault, and no result depends on it. Where the machine has none
//! these functions do nothing. Does not know what lies in the lines.

const LINE_BYTES: usize = 64;

/// Asks for every cache line of `bytes`.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    lines(bytes.as_ptr(), bytes.len());
}

/// Asks for every cache line of `row`.
#[inline]
pub fn prefetch_f32(row: &[f32]) {
    lines(row.as_ptr().cast(), size_of_val(row));
}

/// Asks for every cache line of `cells`.
#[inline]
pub(crate) fn prefetch_cells(cells: &[std::sync::atomic::AtomicU32]) {
    lines(cells.as_ptr().cast(), size_of_val(cells));
}

/// Asks for every cache line that `bytes` bytes from `start` touch; an unaligned row touches one more.
#[inline]
fn lines(start: *const u8, bytes: usize) {
    let lines = (start.addr() % LINE_BYTES + bytes).div_ceil(LINE_BYTES);
    for i in 0..lines {
        line(start.wrapping_add(i * LINE_BYTES));
    }
}

/// Asks for `bytes` bytes of each row. Rows of codes are aligned to lines; of others the last line may be missed.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline]
pub(super) fn rows(starts: &[std::ptr::NonNull<u8>], bytes: usize) {
    let lines = bytes.div_ceil(LINE_BYTES);
    for start in starts {
        for i in 0..lines {
            line(start.as_ptr().wrapping_add(i * LINE_BYTES));
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction belongs to SSE, which every x86_64 has; it takes any address and never faults.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

#[cfg(target_arch = "aarch64")]
#[inline]
pub(super) fn line(at: *const u8) {
    // SAFETY: PRFM belongs to the base set; it takes any address, never faults, and writes neither memory nor flags.
    // The intrinsic for it is not stable.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags, readonly));
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline]
fn line(_: *const u8) {}
