//! Dot products of int8 codes. `vpmaddubsw` would saturate at 255 * 127 * 2, so both sides are widened to i16 first.

use super::super::{LOOKAHEAD, prefetch, scalar};
use std::arch::x86_64::*;
use std::ptr::NonNull;

#[target_feature(enable = "avx2")]
pub(super) fn dot_u8i8(row: &[u8], q: &[i8]) -> i32 {
    let mut sums = [_mm256_setzero_si256(); 2];
    let (row_wide, row_tail) = row.as_chunks::<32>();
    let (q_wide, q_tail) = q.as_chunks::<32>();
    for (row, q) in row_wide.iter().zip(q_wide) {
        let (row, q) = (row.as_chunks::<16>().0, q.as_chunks::<16>().0);
        for (lane, sum) in sums.iter_mut().enumerate() {
            // SAFETY: a chunk has 16 readable bytes.
            let (row, q) = unsafe { (load_u8(row[lane].as_ptr()), load_i8(q[lane].as_ptr())) };
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(row, q));
        }
    }
    let sum = _mm256_add_epi32(sums[0], sums[1]);
    let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b10_11_00_01>(sum));
    _mm_cvtsi128_si32(sum).wrapping_add(scalar::dot_u8i8(row_tail, q_tail))
}

/// # Safety
/// Every row must have `q.len()` readable bytes.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn dot_rows(q: &[i8], rows: &[NonNull<u8>], out: &mut [i32]) {
    let (soon, later) = rows.split_at(rows.len().min(LOOKAHEAD));
    let mut later = later.chunks(4);
    prefetch::rows(soon, q.len());
    let (fours, rest) = rows.as_chunks::<4>();
    let (out_fours, out_rest) = out.as_chunks_mut::<4>();
    for (four, out) in fours.iter().zip(out_fours) {
        prefetch::rows(later.next().unwrap_or_default(), q.len());
        // SAFETY: the caller's promise, for these four; `out` has room for four i32.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), dot_four(q, four)) };
        let whole = q.len() / 16 * 16;
        if whole < q.len() {
            for (row, out) in four.iter().zip(out) {
                // SAFETY: the caller's promise; `whole` is inside the row.
                let tail = unsafe { NonNull::slice_from_raw_parts(row.add(whole), q.len() - whole).as_ref() };
                *out = out.wrapping_add(scalar::dot_u8i8(tail, &q[whole..]));
            }
        }
    }
    for (row, out) in rest.iter().zip(out_rest) {
        // SAFETY: the caller's promise, for this row.
        let row = unsafe { NonNull::slice_from_raw_parts(*row, q.len()).as_ref() };
        *out = dot_u8i8(row, q);
    }
}

/// Four rows against one widened query, up to its last whole 16 bytes.
///
/// # Safety
/// Every row must have `q.len()` readable bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn dot_four(q: &[i8], rows: &[NonNull<u8>; 4]) -> __m128i {
    let mut sums = [_mm256_setzero_si256(); 4];
    for (i, q) in q.as_chunks::<16>().0.iter().enumerate() {
        // SAFETY: a chunk has 16 readable bytes.
        let q = unsafe { load_i8(q.as_ptr()) };
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: the chunk `i` of `q` is whole, so the row has these 16 bytes too.
            let row = unsafe { load_u8(row.as_ptr().add(i * 16)) };
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(row, q));
        }
    }
    let [a, b, c, d] = sums;
    let abcd = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_add_epi32(_mm256_castsi256_si128(abcd), _mm256_extracti128_si256::<1>(abcd))
}

/// # Safety
/// 16 bytes must be readable from `at`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_u8(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise; the load needs no alignment.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(at.cast()) })
}

/// # Safety
/// 16 bytes must be readable from `at`.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_i8(at: *const i8) -> __m256i {
    // SAFETY: the caller's promise; the load needs no alignment.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(at.cast()) })
}
