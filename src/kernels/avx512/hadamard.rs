//! The Walsh-Hadamard transform with up to 256 values in 16 registers: read once, written once.
//!
//! Keeps the oracle's order, the widest butterflies first, so that every bit is equal.

use super::super::lanes;
use std::arch::x86_64::*;

#[target_feature(enable = "avx512f")]
pub(super) fn hadamard(x: &mut [f32]) {
    let scale = 1.0 / (x.len() as f32).sqrt();
    match x.len() {
        0..16 => lanes::hadamard(x),
        16 => blocks::<1, 16>(x, scale),
        32 => blocks::<2, 32>(x, scale),
        64 => blocks::<4, 64>(x, scale),
        128 => blocks::<8, 128>(x, scale),
        n => {
            let mut half = n / 2;
            while half >= 256 {
                lanes::butterflies(x, half);
                half /= 2;
            }
            blocks::<16, 256>(x, scale);
        }
    }
}

/// All stages inside each block of `N` values, which are `R` registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn blocks<const R: usize, const N: usize>(x: &mut [f32], scale: f32) {
    const { assert!(N == 16 * R) };
    for block in x.as_chunks_mut::<N>().0 {
        let block = block.as_chunks_mut::<16>().0;
        let mut v: [__m512; R] = std::array::from_fn(|r| load(&block[r]));
        let mut half = R / 2;
        while half > 0 {
            for r in 0..R {
                if r & half == 0 {
                    (v[r], v[r + half]) =
                        (_mm512_add_ps(v[r], v[r + half]), _mm512_sub_ps(v[r], v[r + half]));
                }
            }
            half /= 2;
        }
        for (v, out) in v.into_iter().zip(block) {
            store(out, _mm512_mul_ps(within(v), _mm512_set1_ps(scale)));
        }
    }
}

/// The four stages inside one register: every value meets the one 8, 4, 2, 1 places away, the upper one negated.
#[inline]
#[target_feature(enable = "avx512f")]
fn within(v: __m512) -> __m512 {
    let (p, n) = (1.0, -1.0);
    let by_8 = _mm512_setr_ps(p, p, p, p, p, p, p, p, n, n, n, n, n, n, n, n);
    let by_4 = _mm512_setr_ps(p, p, p, p, n, n, n, n, p, p, p, p, n, n, n, n);
    let by_2 = _mm512_setr_ps(p, p, n, n, p, p, n, n, p, p, n, n, p, p, n, n);
    let by_1 = _mm512_setr_ps(p, n, p, n, p, n, p, n, p, n, p, n, p, n, p, n);
    // A multiplication by one is exact, so each of these rounds once, as the oracle's addition does.
    let v = _mm512_fmadd_ps(v, by_8, _mm512_shuffle_f32x4::<0b01_00_11_10>(v, v));
    let v = _mm512_fmadd_ps(v, by_4, _mm512_shuffle_f32x4::<0b10_11_00_01>(v, v));
    let v = _mm512_fmadd_ps(v, by_2, _mm512_permute_ps::<0b01_00_11_10>(v));
    _mm512_fmadd_ps(v, by_1, _mm512_permute_ps::<0b10_11_00_01>(v))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(x: &[f32; 16]) -> __m512 {
    // SAFETY: 64 readable bytes; the load needs no alignment.
    unsafe { _mm512_loadu_ps(x.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(x: &mut [f32; 16], v: __m512) {
    // SAFETY: 64 writable bytes; the store needs no alignment.
    unsafe { _mm512_storeu_ps(x.as_mut_ptr(), v) }
}
