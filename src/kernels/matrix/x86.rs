//! AVX-512 and AVX2.
//!
//! Owns both tables and the checks that allow them. A wide tile is 24 registers of sums; the narrower set takes it in four quarters of 6
//! rows and 16 columns, 12 registers each.

use super::{Across, COLUMNS, Down, Matrix, ROWS, Tile, lanes};
use std::arch::x86_64::*;

static AVX512: Matrix = Matrix {
    name: "avx512",
    tile: wide::tile,
    gelu: wide::gelu,
    softmax: wide::softmax,
    layer_norm: wide::layer_norm,
};

static AVX2: Matrix = Matrix {
    name: "avx2",
    tile: narrow::tile,
    gelu: narrow::gelu,
    softmax: narrow::softmax,
    layer_norm: narrow::layer_norm,
};

/// The table, if this CPU can run it.
pub(super) fn avx512() -> Option<&'static Matrix> {
    is_x86_feature_detected!("avx512f").then_some(&AVX512)
}

/// The table, if this CPU can run it.
pub(super) fn avx2() -> Option<&'static Matrix> {
    (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(&AVX2)
}

mod wide {
    use super::*;

    #[target_feature(enable = "avx512f")]
    pub(super) fn tile(left: &[Down], right: &[Across], out: &mut Tile) {
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        for (left, right) in left.iter().zip(right) {
            let (low, high) = halves(right);
            for (sum, x) in sums.iter_mut().zip(left) {
                let x = _mm512_set1_ps(*x);
                sum[0] = _mm512_fmadd_ps(x, low, sum[0]);
                sum[1] = _mm512_fmadd_ps(x, high, sum[1]);
            }
        }
        for (out, sum) in out.iter_mut().zip(&sums) {
            // SAFETY: a row of a tile has 32 places; the stores need no alignment.
            unsafe {
                _mm512_storeu_ps(out.as_mut_ptr(), sum[0]);
                _mm512_storeu_ps(out.as_mut_ptr().add(16), sum[1]);
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn halves(right: &Across) -> (__m512, __m512) {
        // SAFETY: there are 32 floats; the loads need no alignment.
        unsafe { (_mm512_loadu_ps(right.as_ptr()), _mm512_loadu_ps(right.as_ptr().add(16))) }
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn gelu(x: &mut [f32]) {
        lanes::gelu(x);
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn softmax(x: &mut [f32]) {
        lanes::softmax(x);
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn layer_norm(x: &mut [f32], scale: &[f32], shift: &[f32], epsilon: f32) {
        lanes::layer_norm(x, scale, shift, epsilon);
    }
}

mod narrow {
    use super::*;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn tile(left: &[Down], right: &[Across], out: &mut Tile) {
        quarter::<0, 0>(left, right, out);
        quarter::<0, 16>(left, right, out);
        quarter::<6, 0>(left, right, out);
        quarter::<6, 16>(left, right, out);
    }

    /// The 6 rows and 16 columns from `ROW` and `COLUMN` on.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn quarter<const ROW: usize, const COLUMN: usize>(left: &[Down], right: &[Across], out: &mut Tile) {
        const { assert!(ROW + 6 <= ROWS && COLUMN + 16 <= COLUMNS) };
        let mut sums = [[_mm256_setzero_ps(); 2]; 6];
        for (left, right) in left.iter().zip(right) {
            // SAFETY: 16 floats follow `COLUMN`; the loads need no alignment.
            let (low, high) = unsafe {
                let at = right.as_ptr().add(COLUMN);
                (_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8)))
            };
            for (sum, x) in sums.iter_mut().zip(&left[ROW..]) {
                let x = _mm256_set1_ps(*x);
                sum[0] = _mm256_fmadd_ps(x, low, sum[0]);
                sum[1] = _mm256_fmadd_ps(x, high, sum[1]);
            }
        }
        for (out, sum) in out[ROW..].iter_mut().zip(&sums) {
            // SAFETY: 16 places follow `COLUMN`; the stores need no alignment.
            unsafe {
                let at = out.as_mut_ptr().add(COLUMN);
                _mm256_storeu_ps(at, sum[0]);
                _mm256_storeu_ps(at.add(8), sum[1]);
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn gelu(x: &mut [f32]) {
        lanes::gelu(x);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn softmax(x: &mut [f32]) {
        lanes::softmax(x);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn layer_norm(x: &mut [f32], scale: &[f32], shift: &[f32], epsilon: f32) {
        lanes::layer_norm(x, scale, shift, epsilon);
    }
}
