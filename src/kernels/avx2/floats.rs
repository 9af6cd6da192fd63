//! Sums over pairs of f32, as in `avx512`, with half the width.

use std::arch::x86_64::*;

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let [sum] = fold(a, b, |[sum], a, b| [_mm256_fmadd_ps(a, b, sum)]);
    sum
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn l2sq(a: &[f32], b: &[f32]) -> f32 {
    let [sum] = fold(a, b, |[sum], a, b| {
        let d = _mm256_sub_ps(a, b);
        [_mm256_fmadd_ps(d, d, sum)]
    });
    sum
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn l1(a: &[f32], b: &[f32]) -> f32 {
    let sign = _mm256_set1_ps(-0.0);
    let [sum] = fold(a, b, |[sum], a, b| [_mm256_add_ps(_mm256_andnot_ps(sign, _mm256_sub_ps(a, b)), sum)]);
    sum
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn dot_norm(a: &[f32], b: &[f32]) -> (f32, f32) {
    let [dot, norm] =
        fold(a, b, |[dot, norm], a, b| [_mm256_fmadd_ps(a, b, dot), _mm256_fmadd_ps(b, b, norm)]);
    (dot, norm)
}

/// `K` sums over the pairs. `step` must add nothing for a pair of zeros.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn fold<const K: usize>(
    a: &[f32],
    b: &[f32],
    step: impl Fn([__m256; K], __m256, __m256) -> [__m256; K],
) -> [f32; K] {
    let mut sums = [[_mm256_setzero_ps(); K]; 4];
    let (a_wide, a) = a.as_chunks::<32>();
    let (b_wide, b) = b.as_chunks::<32>();
    for (a, b) in a_wide.iter().zip(b_wide) {
        let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum = step(*sum, load(&a[lane]), load(&b[lane]));
        }
    }
    let (a_wide, a) = a.as_chunks::<8>();
    let (b_wide, b) = b.as_chunks::<8>();
    for ((a, b), sum) in a_wide.iter().zip(b_wide).zip(&mut sums) {
        *sum = step(*sum, load(a), load(b));
    }
    if !a.is_empty() {
        sums[3] = step(sums[3], load_tail(a), load_tail(b));
    }
    std::array::from_fn(|k| {
        let left = _mm256_add_ps(sums[0][k], sums[1][k]);
        let right = _mm256_add_ps(sums[2][k], sums[3][k]);
        sum_one(_mm256_add_ps(left, right))
    })
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_one(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(x: &[f32; 8]) -> __m256 {
    // SAFETY: 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_tail(x: &[f32]) -> __m256 {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    let mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(x.len().min(8) as i32), lanes);
    // SAFETY: the mask covers only what `x` has; lanes outside it are not read, not even for a fault.
    unsafe { _mm256_maskload_ps(x.as_ptr(), mask) }
}
