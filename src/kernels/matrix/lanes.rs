//! Loops in a shape that the compiler turns into vector code by itself, for every instruction set the same text.
//!
//! Invariant: no multiplication is fused with an addition and sums have sixteen lanes, so results are equal in every bit.

/// 1.5 * 2^23. Added to a small float it leaves the nearest integer in the low bits.
const ROUND: f32 = 12_582_912.0;
const LANES: usize = 16;

/// `e^x` for `x` of -87 to 88, and at these bounds beyond; two units in the last place. The polynomial is that of Cephes.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 88.0 { x } else { 88.0 };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln 2 in two parts: the first has few bits, so that its product is exact.
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        p = p * r + c;
    }
    let y = p * (r * r) + r + 1.0;
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    y * f32::from_bits(power << 23)
}

/// A ratio of two polynomials in `x^2`, good to 4e-7; beyond 4 it is one in a float.
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let s = x * x;
    let mut p = -2.726_142_3e-10;
    for c in [2.770_681_4e-8, -2.101_024e-6, -5.692_506_4e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2] {
        p = p * s + c;
    }
    let mut q = -1.456_607_2e-5;
    for c in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2] {
        q = q * s + c;
    }
    // A quotient of one has no remainder: who is far out is not off by a share of how far.
    if s < 16.0 { x * p / q } else { x.signum() }
}

#[inline(always)]
pub(super) fn gelu(x: &mut [f32]) {
    for x in x {
        *x = *x * 0.5 * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

#[inline(always)]
pub(super) fn softmax(x: &mut [f32]) {
    let greatest = fold(x, f32::NEG_INFINITY, |max, x| if x > max { x } else { max });
    x.iter_mut().for_each(|x| *x = exp(*x - greatest));
    let share = 1.0 / fold(x, 0.0, |sum, x| sum + x);
    x.iter_mut().for_each(|x| *x *= share);
}

#[inline(always)]
pub(super) fn layer_norm(x: &mut [f32], scale: &[f32], shift: &[f32], epsilon: f32) {
    let n = x.len().max(1) as f32;
    let mean = fold(x, 0.0, |sum, x| sum + x) / n;
    x.iter_mut().for_each(|x| *x -= mean);
    let mut squares = [0.0; LANES];
    let (wide, rest) = x.as_chunks::<LANES>();
    for x in wide {
        squares.iter_mut().zip(x).for_each(|(sum, x)| *sum += x * x);
    }
    squares.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x * x);
    let variance = squares.iter().fold(0.0, |sum, x| sum + x) / n;
    let by = 1.0 / (variance + epsilon).sqrt();
    for ((x, scale), shift) in x.iter_mut().zip(scale).zip(shift) {
        *x = *x * by * scale + shift;
    }
}

/// Folds sixteen lanes apart, and then the lanes.
#[inline(always)]
fn fold(x: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [start; LANES];
    let (wide, rest) = x.as_chunks::<LANES>();
    for x in wide {
        lanes.iter_mut().zip(x).for_each(|(lane, x)| *lane = join(*lane, *x));
    }
    lanes.iter_mut().zip(rest).for_each(|(lane, x)| *lane = join(*lane, *x));
    lanes.into_iter().fold(start, join)
}
