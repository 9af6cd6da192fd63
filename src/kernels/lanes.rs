//! Loops in a shape that the compiler turns into vector code by itself. The instruction sets inline them into functions
//! that have their features on, so one text serves all of them.
//!
//! Invariant: equal to `scalar` in every bit. Does not know how wide a vector is.

/// 1.5 * 2^23. Added to a small float it leaves the nearest integer, ties to even, in the low bits: a rounding and a
/// conversion in one addition that every instruction set vectorises.
const ROUND: f32 = 12_582_912.0;

/// The bits of a float without its sign are ordered like the magnitudes, with NaN above infinity.
#[inline(always)]
pub(super) fn max_abs(src: &[f32]) -> f32 {
    f32::from_bits(src.iter().fold(0, |max, x| max.max(x.to_bits() & 0x7fff_ffff)))
}

#[inline(always)]
fn code(x: f32, scale: f32) -> i8 {
    let y = x * scale;
    // Comparisons in this form are one instruction each, and take NaN to the lowest code as the oracle does.
    let y = if y > -127.0 { y } else { -127.0 };
    let y = if y < 127.0 { y } else { 127.0 };
    (y + ROUND).to_bits() as i8
}

#[inline(always)]
pub(super) fn quantize(src: &[f32], scale: f32, out: &mut [u8]) {
    let (head, padding) = out.split_at_mut(out.len().min(src.len()));
    for (out, &x) in head.iter_mut().zip(src) {
        *out = (code(x, scale) as u8) ^ 0x80;
    }
    padding.fill(0x80);
}

#[inline(always)]
pub(super) fn quantize_i8(src: &[f32], scale: f32, out: &mut [i8]) -> i32 {
    let (head, padding) = out.split_at_mut(out.len().min(src.len()));
    let mut sum = 0i32;
    for (out, &x) in head.iter_mut().zip(src) {
        *out = code(x, scale);
        sum = sum.wrapping_add(i32::from(*out));
    }
    padding.fill(0);
    sum
}

#[inline(always)]
pub(super) fn code_to_query(code: &[u8], out: &mut [i8]) -> i32 {
    let mut sum = 0i32;
    for (out, &byte) in out.iter_mut().zip(code) {
        *out = (byte ^ 0x80) as i8;
        sum = sum.wrapping_add(i32::from(*out));
    }
    sum
}

/// One stage of the transform: every pair of values `half` apart.
#[inline(always)]
pub(super) fn butterflies(x: &mut [f32], half: usize) {
    for pair in x.chunks_exact_mut(2 * half) {
        let (low, high) = pair.split_at_mut(half);
        for (a, b) in low.iter_mut().zip(high) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
}

/// The last four stages inside 16 neighbours, without a branch and without crossing them.
#[inline(always)]
fn butterflies_within_16(x: &mut [f32; 16], scale: f32) {
    for half in [8, 4, 2, 1] {
        let y = *x;
        for i in 0..16 {
            x[i] = if i & half == 0 { y[i] + y[i ^ half] } else { y[i ^ half] - y[i] };
        }
    }
    x.iter_mut().for_each(|x| *x *= scale);
}

#[inline(always)]
pub(super) fn hadamard(x: &mut [f32]) {
    let scale = 1.0 / (x.len() as f32).sqrt();
    let mut half = x.len() / 2;
    let floor = if x.len() < 16 { 0 } else { 8 };
    while half > floor {
        butterflies(x, half);
        half /= 2;
    }
    let (blocks, rest) = x.as_chunks_mut::<16>();
    blocks.iter_mut().for_each(|block| butterflies_within_16(block, scale));
    rest.iter_mut().for_each(|x| *x *= scale);
}
