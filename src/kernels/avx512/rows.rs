//! Dot products of int8 codes: `vpdpbusd` multiplies unsigned row bytes with signed query bytes and adds four products
//! to each i32, without saturating.

use super::super::prefetch;
use std::arch::x86_64::*;
use std::ptr::NonNull;

/// Rows multiplied together, while as many are prefetched.
///
/// Measured on Zen 5 with 384-byte codes, ns for 16 rows in cache, then for 16 and 32 rows out of memory on huge pages:
///
/// | this | 34 | 441 | 758 |
/// |---|---|---|---|
/// | 8 rows, no prefetch | 20 | 460 | 783 |
/// | 4 rows, a lookahead of 8 between the groups | 46 | 461 | 840 |
/// | 4 rows, no prefetch | 22 | 495 | 841 |
/// | one row, no prefetch | 32 | 610 | 1040 |
///
/// A whole query of 384 held in registers is no faster than 8 rows, so no dimension is special.
const AT_ONCE: usize = 8;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn dot_u8i8(row: &[u8], q: &[i8]) -> i32 {
    let mut sums = [_mm512_setzero_si512(); 4];
    let (row_wide, row) = row.as_chunks::<256>();
    let (q_wide, q) = q.as_chunks::<256>();
    for (row, q) in row_wide.iter().zip(q_wide) {
        let (row, q) = (row.as_chunks::<64>().0, q.as_chunks::<64>().0);
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum = _mm512_dpbusd_epi32(*sum, load(&row[lane]), load(&q[lane]));
        }
    }
    let (row_wide, row) = row.as_chunks::<64>();
    let (q_wide, q) = q.as_chunks::<64>();
    for ((row, q), sum) in row_wide.iter().zip(q_wide).zip(&mut sums) {
        *sum = _mm512_dpbusd_epi32(*sum, load(row), load(q));
    }
    if !row.is_empty() {
        let mask = tail_mask(row.len().min(q.len()));
        // SAFETY: the mask covers only what both tails have; bytes outside it are not read.
        let (row, q) = unsafe { (load_tail(row.as_ptr(), mask), load_tail(q.as_ptr(), mask)) };
        sums[3] = _mm512_dpbusd_epi32(sums[3], row, q);
    }
    let left = _mm512_add_epi32(sums[0], sums[1]);
    let right = _mm512_add_epi32(sums[2], sums[3]);
    _mm512_reduce_add_epi32(_mm512_add_epi32(left, right))
}

/// # Safety
/// Every row must have `q.len()` readable bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn dot_rows(q: &[i8], rows: &[NonNull<u8>], out: &mut [i32]) {
    prefetch::rows(&rows[..rows.len().min(AT_ONCE)], q.len());
    let (eights, rest) = rows.as_chunks::<AT_ONCE>();
    let (out_eights, out_rest) = out.as_chunks_mut::<AT_ONCE>();
    for (i, (eight, out)) in eights.iter().zip(out_eights).enumerate() {
        let sums = match eights.get(i + 1) {
            // SAFETY: the caller's promise, for these eight.
            Some(next) => unsafe { multiply(q, eight, next) },
            None => {
                prefetch::rows(rest, q.len());
                // SAFETY: as above.
                unsafe { multiply(q, eight, &[]) }
            }
        };
        let [a, b, c, d, e, f, g, h] = sums;
        let halves = out.as_chunks_mut::<4>().0;
        store(&mut halves[0], sum_four([a, b, c, d]));
        store(&mut halves[1], sum_four([e, f, g, h]));
    }
    let (fours, rest) = rest.as_chunks::<4>();
    let (out_fours, out_rest) = out_rest.as_chunks_mut::<4>();
    for (four, out) in fours.iter().zip(out_fours) {
        // SAFETY: the caller's promise, for these four.
        store(out, sum_four(unsafe { multiply(q, four, &[]) }));
    }
    for (row, out) in rest.iter().zip(out_rest) {
        // SAFETY: the caller's promise, for this row.
        let row = unsafe { NonNull::slice_from_raw_parts(*row, q.len()).as_ref() };
        *out = dot_u8i8(row, q);
    }
}

/// `R` rows against one load of the query, while the rows `next` come closer line by line.
///
/// # Safety
/// Each of `rows` must have `q.len()` readable bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn multiply<const R: usize, const NEXT: usize>(
    q: &[i8],
    rows: &[NonNull<u8>; R],
    next: &[NonNull<u8>; NEXT],
) -> [__m512i; R] {
    let mut sums = [_mm512_setzero_si512(); R];
    let (q_wide, q_tail) = q.as_chunks::<64>();
    for (i, q) in q_wide.iter().enumerate() {
        let q = load(q);
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: the chunk `i` of `q` is whole, so the row has these 64 bytes too.
            let row = unsafe { _mm512_loadu_si512(row.as_ptr().add(i * 64).cast()) };
            *sum = _mm512_dpbusd_epi32(*sum, row, q);
        }
        for row in next {
            prefetch::line(row.as_ptr().wrapping_add(i * 64));
        }
    }
    if !q_tail.is_empty() {
        let mask = tail_mask(q_tail.len());
        let done = q_wide.len() * 64;
        // SAFETY: the mask covers only what `q` has beyond the whole chunks.
        let q = unsafe { load_tail(q_tail.as_ptr(), mask) };
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: the row is as long as `q`.
            let row = unsafe { load_tail(row.as_ptr().add(done), mask) };
            *sum = _mm512_dpbusd_epi32(*sum, row, q);
        }
        for row in next {
            prefetch::line(row.as_ptr().wrapping_add(done));
        }
    }
    sums
}

/// The four horizontal sums at once: transposing while adding costs 15 instructions where four reductions cost 40.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn sum_four([a, b, c, d]: [__m512i; 4]) -> __m128i {
    let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    let abcd = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    let half = _mm256_add_epi32(_mm512_castsi512_si256(abcd), _mm512_extracti64x4_epi64::<1>(abcd));
    _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load<T>(x: &[T; 64]) -> __m512i {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn store(out: &mut [i32; 4], sums: __m128i) {
    // SAFETY: 16 writable bytes; the store needs no alignment.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), sums) }
}

fn tail_mask(bytes: usize) -> u64 {
    (1u64 << (bytes % 64)) - 1
}

/// # Safety
/// The bytes in `mask` must be readable from `at`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load_tail<T>(at: *const T, mask: u64) -> __m512i {
    // SAFETY: the caller's promise; bytes outside the mask are not read, not even for a fault.
    unsafe { _mm512_maskz_loadu_epi8(mask, at.cast()) }
}
