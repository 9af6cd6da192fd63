//! AVX2 with FMA: every x86 server since Haswell and Zen.
//!
//! Owns the table and the check that allows it, as `avx512` does.

mod floats;
mod rows;

use super::{Kernels, lanes};

static KERNELS: Kernels = Kernels {
    name: "avx2",
    dot: floats::dot,
    l2sq: floats::l2sq,
    l1: floats::l1,
    dot_norm: floats::dot_norm,
    max_abs,
    hadamard,
    quantize,
    quantize_i8,
    code_to_query,
    dot_u8i8: rows::dot_u8i8,
    dot_rows: rows::dot_rows,
};

/// The table, if this CPU can run it.
pub(super) fn new() -> Option<&'static Kernels> {
    is_available().then_some(&KERNELS)
}

fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[target_feature(enable = "avx2")]
fn max_abs(src: &[f32]) -> f32 {
    lanes::max_abs(src)
}

#[target_feature(enable = "avx2")]
fn hadamard(x: &mut [f32]) {
    lanes::hadamard(x);
}

#[target_feature(enable = "avx2")]
fn quantize(src: &[f32], scale: f32, out: &mut [u8]) {
    lanes::quantize(src, scale, out);
}

#[target_feature(enable = "avx2")]
fn quantize_i8(src: &[f32], scale: f32, out: &mut [i8]) -> i32 {
    lanes::quantize_i8(src, scale, out)
}

#[target_feature(enable = "avx2")]
fn code_to_query(code: &[u8], out: &mut [i8]) -> i32 {
    lanes::code_to_query(code, out)
}
