//! AVX-512 with VNNI: Intel from Ice Lake, AMD from Zen 4.
//!
//! Owns the table and the check that allows it. The functions are safe where the features are on; the table turns them
//! into plain pointers, and `new` is the only way to the table.

mod floats;
mod hadamard;
mod rows;

use super::{Kernels, lanes};

static KERNELS: Kernels = Kernels {
    name: "avx512",
    dot: floats::dot,
    l2sq: floats::l2sq,
    l1: floats::l1,
    dot_norm: floats::dot_norm,
    max_abs,
    hadamard: hadamard::hadamard,
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
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn max_abs(src: &[f32]) -> f32 {
    lanes::max_abs(src)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn quantize(src: &[f32], scale: f32, out: &mut [u8]) {
    lanes::quantize(src, scale, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn quantize_i8(src: &[f32], scale: f32, out: &mut [i8]) -> i32 {
    lanes::quantize_i8(src, scale, out)
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn code_to_query(code: &[u8], out: &mut [i8]) -> i32 {
    lanes::code_to_query(code, out)
}
