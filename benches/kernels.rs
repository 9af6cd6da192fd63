//! Nanoseconds per call of every kernel, on every instruction set of this machine.
//!
//! Run with `cargo bench --no-default-features --bench kernels`. Each number is the best of many short runs, because
//! on a shared machine the minimum is the one that repeats.
#![allow(clippy::print_stdout)]

use nearfield::bench_support::{Kernels, Rows};
use std::hint::black_box;
use std::time::Instant;

const DIMS: [usize; 4] = [96, 384, 768, 1536];
/// About what one hop of a beam search asks for.
const ROWS: usize = 16;
/// Far more than any cache holds.
const ARENA_BYTES: usize = 256 << 20;

fn main() {
    let arena = filled(ARENA_BYTES, |i| (i * 31 + (i >> 12)) as u8);
    println!("{:<8} {:<22} {}", "isa", "ns per call", DIMS.map(|dim| format!("{dim:>9}")).concat());
    for (isa, kernels) in Kernels::available() {
        floats(isa, kernels);
        bytes(isa, kernels, arena);
    }
}

fn floats(isa: &str, kernels: &Kernels) {
    let a = filled(1536, |i| (i as f32 * 0.7).sin());
    let b = filled(1536, |i| (i as f32 * 1.3).cos());
    let pair = |dim: usize| (black_box(&a[..dim]), black_box(&b[..dim]));
    row(isa, "dot", |dim| best_ns(|| kernels.dot(pair(dim).0, pair(dim).1)));
    row(isa, "l2sq", |dim| best_ns(|| kernels.l2sq(pair(dim).0, pair(dim).1)));
    row(isa, "l1", |dim| best_ns(|| kernels.l1(pair(dim).0, pair(dim).1)));
    row(isa, "dot_norm", |dim| best_ns(|| kernels.dot_norm(pair(dim).0, pair(dim).1)));
    row(isa, "max_abs", |dim| best_ns(|| kernels.max_abs(pair(dim).0)));
    let mut out = vec![0; 1536];
    row(isa, "quantize", |dim| best_ns(|| kernels.quantize(pair(dim).0, 100.0, &mut out[..dim])));
    let mut out = vec![0; 1536];
    row(isa, "quantize_i8", |dim| best_ns(|| kernels.quantize_i8(pair(dim).0, 100.0, &mut out[..dim])));
    let mut x = a.to_vec();
    row(isa, "hadamard (128 to 1024)", |dim| {
        let n = [128, 256, 512, 1024][DIMS.iter().position(|d| *d == dim).unwrap_or(0)];
        best_ns(|| kernels.hadamard(black_box(&mut x[..n])))
    });
}

fn bytes(isa: &str, kernels: &Kernels, arena: &[u8]) {
    let q = filled(1536, |i| (i * 37 % 255) as i8);
    row(isa, "dot_u8i8", |dim| best_ns(|| kernels.dot_u8i8(black_box(&arena[..dim]), black_box(&q[..dim]))));
    row(isa, "dot_rows, 16 in cache", |dim| {
        let mut rows = Rows::default();
        (0..ROWS).for_each(|r| rows.push(&arena[r * dim..][..dim]));
        let mut out = [0; ROWS];
        best_ns(|| {
            kernels.dot_rows(black_box(&q[..dim]), black_box(&rows), &mut out);
            out[0]
        })
    });
    row(isa, "  with filling", |dim| {
        let order: Vec<usize> = (0..ROWS).collect();
        let mut out = [0; ROWS];
        best_ns(|| {
            let mut rows = Rows::default();
            black_box(&order).iter().for_each(|r| rows.push(&arena[r * dim..][..dim]));
            kernels.dot_rows(black_box(&q[..dim]), &rows, &mut out);
            out[0]
        })
    });
    row(isa, "  16 out of memory", |dim| {
        let mut out = [0; ROWS];
        let mut random = 1u64;
        best_ns(|| {
            let mut rows = Rows::default();
            for _ in 0..ROWS {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let r = (random >> 33) as usize % (ARENA_BYTES / dim);
                rows.push(&arena[r * dim..][..dim]);
            }
            kernels.dot_rows(black_box(&q[..dim]), &rows, &mut out);
            out[0]
        })
    });
}

/// `n` values on a line of their own, as blocks store them: a load across two lines costs twice. Never freed.
fn filled<T>(n: usize, value: impl Fn(usize) -> T) -> &'static [T] {
    let values: Vec<T> = (0..n + 64).map(value).collect();
    let start = values.as_ptr().align_offset(64).min(64);
    &values.leak()[start..][..n]
}

fn row(isa: &str, what: &str, mut ns: impl FnMut(usize) -> f64) {
    println!("{isa:<8} {what:<22} {}", DIMS.map(|dim| format!("{:>9.1}", ns(dim))).concat());
}

/// The smallest mean of 60 runs of about half a millisecond.
fn best_ns<T>(mut call: impl FnMut() -> T) -> f64 {
    let mut run = |calls: u32| {
        let start = Instant::now();
        (0..calls).for_each(|_| drop(black_box(call())));
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    let calls = (500_000.0 / run(1_000).max(1.0)).clamp(100.0, 1e6) as u32;
    (0..60).map(|_| run(calls)).fold(f64::INFINITY, f64::min)
}
