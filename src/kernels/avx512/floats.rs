//! Sums over pairs of f32.
//!
//! Four independent accumulators hide the latency of an addition; the tail is one masked load, whose zeros add nothing.

use std::arch::x86_64::*;

#[target_feature(enable = "avx512f")]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let [sum] = fold(a, b, |[sum], a, b| [_mm512_fmadd_ps(a, b, sum)]);
    sum
}

#[target_feature(enable = "avx512f")]
pub(super) fn l2sq(a: &[f32], b: &[f32]) -> f32 {
    let [sum] = fold(a, b, |[sum], a, b| {
        let d = _mm512_sub_ps(a, b);
        [_mm512_fmadd_ps(d, d, sum)]
    });
    sum
}

#[target_feature(enable = "avx512f")]
pub(super) fn l1(a: &[f32], b: &[f32]) -> f32 {
    let [sum] = fold(a, b, |[sum], a, b| [_mm512_add_ps(_mm512_abs_ps(_mm512_sub_ps(a, b)), sum)]);
    sum
}

#[target_feature(enable = "avx512f")]
pub(super) fn dot_norm(a: &[f32], b: &[f32]) -> (f32, f32) {
    let [dot, norm] =
        fold(a, b, |[dot, norm], a, b| [_mm512_fmadd_ps(a, b, dot), _mm512_fmadd_ps(b, b, norm)]);
    (dot, norm)
}

/// `K` sums over the pairs. `step` must add nothing for a pair of zeros.
#[inline]
#[target_feature(enable = "avx512f")]
fn fold<const K: usize>(
    a: &[f32],
    b: &[f32],
    step: impl Fn([__m512; K], __m512, __m512) -> [__m512; K],
) -> [f32; K] {
    let mut sums = [[_mm512_setzero_ps(); K]; 4];
    let (a_wide, a) = a.as_chunks::<64>();
    let (b_wide, b) = b.as_chunks::<64>();
    for (a, b) in a_wide.iter().zip(b_wide) {
        let (a, b) = (a.as_chunks::<16>().0, b.as_chunks::<16>().0);
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum = step(*sum, load(&a[lane]), load(&b[lane]));
        }
    }
    let (a_wide, a) = a.as_chunks::<16>();
    let (b_wide, b) = b.as_chunks::<16>();
    for ((a, b), sum) in a_wide.iter().zip(b_wide).zip(&mut sums) {
        *sum = step(*sum, load(a), load(b));
    }
    if !a.is_empty() {
        sums[3] = step(sums[3], load_tail(a), load_tail(b));
    }
    std::array::from_fn(|k| {
        let left = _mm512_add_ps(sums[0][k], sums[1][k]);
        let right = _mm512_add_ps(sums[2][k], sums[3][k]);
        _mm512_reduce_add_ps(_mm512_add_ps(left, right))
    })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(x: &[f32; 16]) -> __m512 {
    // SAFETY: 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_tail(x: &[f32]) -> __m512 {
    let mask = (1u32 << x.len().min(16)) - 1;
    // SAFETY: the mask covers only what `x` has; lanes outside it are not read, not even for a fault.
    unsafe { _mm512_maskz_loadu_ps(mask as u16, x.as_ptr()) }
}
