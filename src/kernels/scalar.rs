//! The kernels as the definitions read: the oracle of every other, and what runs where no faster one does.
//!
//! Plain loops, no tricks: a doubt about a result is settled here. Does not know that faster ways exist.

use super::Kernels;
use std::ptr::NonNull;

pub(super) static KERNELS: Kernels = Kernels {
    name: "scalar",
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

/// Always there.
pub(super) fn new() -> Option<&'static Kernels> {
    Some(&KERNELS)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn l2sq(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn l1(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

fn dot_norm(a: &[f32], b: &[f32]) -> (f32, f32) {
    (dot(a, b), dot(b, b))
}

fn max_abs(src: &[f32]) -> f32 {
    src.iter().fold(0.0, |max, x| if x.is_nan() || x.abs() > max { x.abs() } else { max })
}

/// The widest butterflies first: the order is part of the result's last bits, so every other kernel keeps it.
fn hadamard(x: &mut [f32]) {
    let scale = 1.0 / (x.len() as f32).sqrt();
    let mut half = x.len() / 2;
    while half > 0 {
        for pair in x.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half /= 2;
    }
    x.iter_mut().for_each(|x| *x *= scale);
}

fn code(x: f32, scale: f32) -> i8 {
    let y = x * scale;
    if y.is_nan() { -127 } else { y.clamp(-127.0, 127.0).round_ties_even() as i8 }
}

fn quantize(src: &[f32], scale: f32, out: &mut [u8]) {
    out.fill(128);
    for (out, &x) in out.iter_mut().zip(src) {
        *out = (i16::from(code(x, scale)) + 128) as u8;
    }
}

fn code_to_query(code: &[u8], out: &mut [i8]) -> i32 {
    for (out, &byte) in out.iter_mut().zip(code) {
        *out = (i16::from(byte) - 128) as i8;
    }
    out.iter().fold(0, |sum: i32, &code| sum.wrapping_add(i32::from(code)))
}

fn quantize_i8(src: &[f32], scale: f32, out: &mut [i8]) -> i32 {
    out.fill(0);
    for (out, &x) in out.iter_mut().zip(src) {
        *out = code(x, scale);
    }
    out.iter().fold(0, |sum: i32, &code| sum.wrapping_add(i32::from(code)))
}

pub(super) fn dot_u8i8(row: &[u8], q: &[i8]) -> i32 {
    row.iter().zip(q).fold(0, |sum, (&r, &q)| sum.wrapping_add(i32::from(r) * i32::from(q)))
}

/// # Safety
/// Every row must have `q.len()` readable bytes.
unsafe fn dot_rows(q: &[i8], rows: &[NonNull<u8>], out: &mut [i32]) {
    for (out, row) in out.iter_mut().zip(rows) {
        // SAFETY: the caller's promise.
        let row = unsafe { NonNull::slice_from_raw_parts(*row, q.len()).as_ref() };
        *out = dot_u8i8(row, q);
    }
}
