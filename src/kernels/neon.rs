//! NEON: every 64-bit ARM.
//!
//! Owns the table and the check that allows it, as `avx512` does. The int8 products are widened to i32 by
//! multiply-and-add; the dot product instructions (`sdot`, `usdot`) wait for stable intrinsics.

use super::{Kernels, LOOKAHEAD, lanes, prefetch, scalar};
use std::arch::aarch64::*;
use std::ptr::NonNull;

static KERNELS: Kernels = Kernels {
    name: "neon",
    dot,
    l2sq,
    l1,
    dot_norm,
    max_abs,
    hadamard,
    quantize,
    quantize_i8,
    code_to_query,
    dot_u8i8,
    dot_rows,
};

/// The table, if this CPU can run it.
pub(super) fn new() -> Option<&'static Kernels> {
    is_available().then_some(&KERNELS)
}

fn is_available() -> bool {
    std::arch::is_aarch64_feature_detected!("neon")
}

#[target_feature(enable = "neon")]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let [sum] = fold(a, b, |[sum], a, b| [vfmaq_f32(sum, a, b)]);
    sum
}

#[target_feature(enable = "neon")]
fn l2sq(a: &[f32], b: &[f32]) -> f32 {
    let [sum] = fold(a, b, |[sum], a, b| {
        let d = vsubq_f32(a, b);
        [vfmaq_f32(sum, d, d)]
    });
    sum
}

#[target_feature(enable = "neon")]
fn l1(a: &[f32], b: &[f32]) -> f32 {
    let [sum] = fold(a, b, |[sum], a, b| [vaddq_f32(sum, vabdq_f32(a, b))]);
    sum
}

#[target_feature(enable = "neon")]
fn dot_norm(a: &[f32], b: &[f32]) -> (f32, f32) {
    let [dot, norm] = fold(a, b, |[dot, norm], a, b| [vfmaq_f32(dot, a, b), vfmaq_f32(norm, b, b)]);
    (dot, norm)
}

#[target_feature(enable = "neon")]
fn max_abs(src: &[f32]) -> f32 {
    lanes::max_abs(src)
}

#[target_feature(enable = "neon")]
fn hadamard(x: &mut [f32]) {
    lanes::hadamard(x);
}

#[target_feature(enable = "neon")]
fn quantize(src: &[f32], scale: f32, out: &mut [u8]) {
    lanes::quantize(src, scale, out);
}

#[target_feature(enable = "neon")]
fn quantize_i8(src: &[f32], scale: f32, out: &mut [i8]) -> i32 {
    lanes::quantize_i8(src, scale, out)
}

#[target_feature(enable = "neon")]
fn code_to_query(code: &[u8], out: &mut [i8]) -> i32 {
    lanes::code_to_query(code, out)
}

#[target_feature(enable = "neon")]
fn dot_u8i8(row: &[u8], q: &[i8]) -> i32 {
    let mut sums = [vdupq_n_s32(0); 4];
    let (row_wide, row_tail) = row.as_chunks::<16>();
    let (q_wide, q_tail) = q.as_chunks::<16>();
    for (row, q) in row_wide.iter().zip(q_wide) {
        // SAFETY: a chunk has 16 readable bytes; the load needs no alignment.
        let (row, q) = unsafe { (vld1q_u8(row.as_ptr()), vld1q_s8(q.as_ptr())) };
        let row_low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(row)));
        let row_high = vreinterpretq_s16_u16(vmovl_high_u8(row));
        let (q_low, q_high) = (vmovl_s8(vget_low_s8(q)), vmovl_high_s8(q));
        sums[0] = vmlal_s16(sums[0], vget_low_s16(row_low), vget_low_s16(q_low));
        sums[1] = vmlal_high_s16(sums[1], row_low, q_low);
        sums[2] = vmlal_s16(sums[2], vget_low_s16(row_high), vget_low_s16(q_high));
        sums[3] = vmlal_high_s16(sums[3], row_high, q_high);
    }
    let sum = vaddq_s32(vaddq_s32(sums[0], sums[1]), vaddq_s32(sums[2], sums[3]));
    vaddvq_s32(sum).wrapping_add(scalar::dot_u8i8(row_tail, q_tail))
}

/// # Safety
/// Every row must have `q.len()` readable bytes.
#[target_feature(enable = "neon")]
unsafe fn dot_rows(q: &[i8], rows: &[NonNull<u8>], out: &mut [i32]) {
    let (soon, later) = rows.split_at(rows.len().min(LOOKAHEAD));
    let mut later = later.chunks(1);
    prefetch::rows(soon, q.len());
    for (row, out) in rows.iter().zip(out) {
        prefetch::rows(later.next().unwrap_or_default(), q.len());
        // SAFETY: the caller's promise, for this row.
        let row = unsafe { NonNull::slice_from_raw_parts(*row, q.len()).as_ref() };
        *out = dot_u8i8(row, q);
    }
}

/// `K` sums over the pairs. `step` must add nothing for a pair of zeros.
#[inline]
#[target_feature(enable = "neon")]
fn fold<const K: usize>(
    a: &[f32],
    b: &[f32],
    step: impl Fn([float32x4_t; K], float32x4_t, float32x4_t) -> [float32x4_t; K],
) -> [f32; K] {
    let mut sums = [[vdupq_n_f32(0.0); K]; 4];
    let (a_wide, a) = a.as_chunks::<16>();
    let (b_wide, b) = b.as_chunks::<16>();
    for (a, b) in a_wide.iter().zip(b_wide) {
        let (a, b) = (a.as_chunks::<4>().0, b.as_chunks::<4>().0);
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum = step(*sum, load(&a[lane]), load(&b[lane]));
        }
    }
    let (a_wide, a) = a.as_chunks::<4>();
    let (b_wide, b) = b.as_chunks::<4>();
    for ((a, b), sum) in a_wide.iter().zip(b_wide).zip(&mut sums) {
        *sum = step(*sum, load(a), load(b));
    }
    if !a.is_empty() {
        sums[3] = step(sums[3], load_tail(a), load_tail(b));
    }
    std::array::from_fn(|k| {
        let left = vaddq_f32(sums[0][k], sums[1][k]);
        let right = vaddq_f32(sums[2][k], sums[3][k]);
        vaddvq_f32(vaddq_f32(left, right))
    })
}

#[inline]
#[target_feature(enable = "neon")]
fn load(x: &[f32; 4]) -> float32x4_t {
    // SAFETY: 16 readable bytes; the load needs no alignment beyond that of f32.
    unsafe { vld1q_f32(x.as_ptr()) }
}

/// There is no masked load: at most three values go over the stack.
#[inline]
#[target_feature(enable = "neon")]
fn load_tail(x: &[f32]) -> float32x4_t {
    let mut padded = [0.0; 4];
    padded.iter_mut().zip(x).for_each(|(padded, x)| *padded = *x);
    load(&padded)
}
