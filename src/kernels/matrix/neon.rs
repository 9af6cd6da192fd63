//! NEON: every 64-bit ARM. A tile is taken in four quarters of 6 rows and 16 columns, 24 of the 32 registers each.

use super::{Across, COLUMNS, Down, Matrix, ROWS, Tile, lanes};
use std::arch::aarch64::*;

static KERNELS: Matrix = Matrix { name: "neon", tile, gelu, softmax, layer_norm };

/// The table, if this CPU can run it.
pub(super) fn new() -> Option<&'static Matrix> {
    std::arch::is_aarch64_feature_detected!("neon").then_some(&KERNELS)
}

#[target_feature(enable = "neon")]
fn tile(left: &[Down], right: &[Across], out: &mut Tile) {
    quarter::<0, 0>(left, right, out);
    quarter::<0, 16>(left, right, out);
    quarter::<6, 0>(left, right, out);
    quarter::<6, 16>(left, right, out);
}

/// The 6 rows and 16 columns from `ROW` and `COLUMN` on.
#[inline]
#[target_feature(enable = "neon")]
fn quarter<const ROW: usize, const COLUMN: usize>(left: &[Down], right: &[Across], out: &mut Tile) {
    const { assert!(ROW + 6 <= ROWS && COLUMN + 16 <= COLUMNS) };
    let mut sums = [[vdupq_n_f32(0.0); 4]; 6];
    for (left, right) in left.iter().zip(right) {
        // SAFETY: 16 floats follow `COLUMN`; the loads need no alignment.
        let parts = unsafe {
            let at = right.as_ptr().add(COLUMN);
            [vld1q_f32(at), vld1q_f32(at.add(4)), vld1q_f32(at.add(8)), vld1q_f32(at.add(12))]
        };
        for (sums, x) in sums.iter_mut().zip(&left[ROW..]) {
            let x = vdupq_n_f32(*x);
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum = vfmaq_f32(*sum, x, part);
            }
        }
    }
    for (out, sums) in out[ROW..].iter_mut().zip(&sums) {
        for (part, sum) in sums.iter().enumerate() {
            // SAFETY: 16 places follow `COLUMN`, and there are four parts of 4; the stores need no alignment.
            unsafe { vst1q_f32(out.as_mut_ptr().add(COLUMN + 4 * part), *sum) };
        }
    }
}

#[target_feature(enable = "neon")]
fn gelu(x: &mut [f32]) {
    lanes::gelu(x);
}

#[target_feature(enable = "neon")]
fn softmax(x: &mut [f32]) {
    lanes::softmax(x);
}

#[target_feature(enable = "neon")]
fn layer_norm(x: &mut [f32], scale: &[f32], shift: &[f32], epsilon: f32) {
    lanes::layer_norm(x, scale, shift, epsilon);
}
