//! Every instruction set of this machine against the scalar oracle, at every length where a loop begins or ends.

use super::{Kernels, ROWS_MAX, Rows, prefetch, prefetch_f32, scalar};
use proptest::prelude::*;

/// Sums of f32 may differ by this part of the sum of their terms' magnitudes.
const TOLERANCE: f64 = 1e-5;

fn oracle() -> &'static Kernels {
    &scalar::KERNELS
}

fn float_lengths() -> impl Iterator<Item = usize> {
    (0..=257).chain([384, 768, 1000, 1536, 16_000])
}

fn code_lengths() -> impl Iterator<Item = usize> {
    (0..=1024).step_by(32).chain([16_000])
}

/// Repeatable noise; enough for arithmetic, where only the extremes need thought.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0).collect()
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }

    fn signed(&mut self, n: usize) -> Vec<i8> {
        (0..n).map(|_| self.next() as i8).collect()
    }
}

#[track_caller]
fn assert_near(what: &str, n: usize, got: f32, want: f32, terms: impl Iterator<Item = f64>) {
    let slack = TOLERANCE * terms.map(f64::abs).sum::<f64>();
    assert!((f64::from(got) - f64::from(want)).abs() <= slack, "{what}, length {n}: {got} is not {want}");
}

#[test]
fn float_sums_agree() {
    let mut noise = Noise(1);
    for n in float_lengths() {
        // Offsets of one and two floats: no load may count on alignment.
        let (a, b) = (noise.floats(n + 1), noise.floats(n + 2));
        let (a, b) = (&a[1..], &b[2..]);
        let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        for (isa, k) in Kernels::available() {
            assert_near(isa, n, k.dot(a, b), oracle().dot(a, b), pairs().map(|(a, b)| a * b));
            assert_near(isa, n, k.l2sq(a, b), oracle().l2sq(a, b), pairs().map(|(a, b)| (a - b).powi(2)));
            assert_near(isa, n, k.l1(a, b), oracle().l1(a, b), pairs().map(|(a, b)| a - b));
            assert_near(isa, n, k.norm_sq(a), oracle().norm_sq(a), pairs().map(|(a, _)| a * a));
            let (dot, norm) = k.dot_norm(a, b);
            assert_near(isa, n, dot, oracle().dot(a, b), pairs().map(|(a, b)| a * b));
            assert_near(isa, n, norm, oracle().norm_sq(b), pairs().map(|(_, b)| b * b));
        }
    }
}

/// The oracle itself, against sums in f64.
#[test]
fn the_oracle_is_right() {
    let mut noise = Noise(2);
    for n in float_lengths() {
        let (a, b) = (noise.floats(n), noise.floats(n));
        let pairs = || a.iter().zip(&b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
        let check = |what, got, term: fn((f64, f64)) -> f64| {
            assert_near(what, n, got, pairs().map(term).sum::<f64>() as f32, pairs().map(term));
        };
        check("dot", oracle().dot(&a, &b), |(a, b)| a * b);
        check("l2sq", oracle().l2sq(&a, &b), |(a, b)| (a - b) * (a - b));
        check("l1", oracle().l1(&a, &b), |(a, b)| (a - b).abs());
        check("norm", oracle().dot_norm(&a, &b).1, |(_, b)| b * b);
    }
}

/// Each value counts exactly once: a one among zeros is found at every place of every length.
#[test]
fn every_place_counts_once() {
    for (isa, k) in Kernels::available() {
        for n in 1..=257 {
            let (ones, mut a) = (vec![1.0; n], vec![0.0; n]);
            for at in 0..n {
                a[at] = 3.0;
                assert_eq!(k.dot(&a, &ones), 3.0, "{isa} {n} {at}");
                assert_eq!(k.l1(&a, &vec![0.0; n]), 3.0, "{isa} {n} {at}");
                assert_eq!(k.l2sq(&a, &vec![0.0; n]), 9.0, "{isa} {n} {at}");
                assert_eq!(k.dot_norm(&ones, &a), (3.0, 9.0), "{isa} {n} {at}");
                a[at] = 0.0;
            }
        }
    }
}

#[test]
fn code_products_agree_exactly() {
    let mut noise = Noise(3);
    for n in code_lengths().chain(0..=257) {
        let (row, q) = (noise.bytes(n + 3), noise.signed(n + 1));
        let (row, q) = (&row[3..], &q[1..]);
        let want = oracle().dot_u8i8(row, q);
        for (isa, k) in Kernels::available() {
            assert_eq!(k.dot_u8i8(row, q), want, "{isa}, length {n}");
        }
    }
}

/// Where an instruction with saturation or of the wrong sign would show.
#[test]
fn extreme_codes_agree_exactly() {
    let rows: [fn(usize) -> u8; 4] =
        [|_| 255, |_| 0, |i| if i % 2 == 0 { 255 } else { 0 }, |i| 127 + i as u8 % 2];
    let queries: [fn(usize) -> i8; 4] =
        [|_| 127, |_| -128, |i| if i % 2 == 0 { 127 } else { -128 }, |i| if i % 4 < 2 { -128 } else { 127 }];
    for n in code_lengths() {
        for (row, q) in rows.iter().flat_map(|row| queries.iter().map(move |q| (row, q))) {
            let (row, q): (Vec<u8>, Vec<i8>) = ((0..n).map(row).collect(), (0..n).map(q).collect());
            let want: i64 = row.iter().zip(&q).map(|(r, q)| i64::from(*r) * i64::from(*q)).sum();
            for (isa, k) in Kernels::available() {
                assert_eq!(i64::from(k.dot_u8i8(&row, &q)), want, "{isa}, length {n}");
                let mut batch = Rows::default();
                (0..5).for_each(|_| batch.push(&row));
                let mut out = [1; 5];
                k.dot_rows(&q, &batch, &mut out);
                assert_eq!(out.map(i64::from), [want; 5], "{isa}, length {n}");
            }
        }
    }
}

#[test]
fn many_rows_are_each_row() {
    let mut noise = Noise(4);
    let arena = noise.bytes(40 * 1100);
    for n in [0, 1, 15, 16, 17, 31, 33, 63, 65, 100].into_iter().chain((32..=1024).step_by(32)) {
        let q = noise.signed(n);
        for count in 0..=40 {
            // A stride of a prime: rows lie at every alignment.
            let rows: Vec<&[u8]> = (0..count).map(|r| &arena[r * 1063..][..n]).collect();
            let want: Vec<i32> = rows.iter().map(|row| oracle().dot_u8i8(row, &q)).collect();
            let mut batch = Rows::default();
            rows.iter().for_each(|row| batch.push(row));
            for (isa, k) in Kernels::available() {
                let mut out = vec![i32::MIN; count + 9];
                k.dot_rows(&q, &batch, &mut out);
                assert_eq!(out[..count], want, "{isa}, {count} rows of {n}");
                assert_eq!(out[count..], [i32::MIN; 9], "{isa}, {count} rows of {n}: no row, no result");
            }
        }
    }
}

#[test]
fn a_full_batch_takes_no_more_rows() {
    let row = [1u8; 32];
    let mut batch = Rows::default();
    assert!(batch.is_empty());
    (0..ROWS_MAX + 5).for_each(|_| batch.push(&row));
    let mut out = [7; ROWS_MAX + 5];
    Kernels::best().dot_rows(&[2; 32], &batch, &mut out);
    assert_eq!(batch.len(), ROWS_MAX);
    assert_eq!((out[ROWS_MAX - 1], out[ROWS_MAX]), (64, 7));
}

#[test]
fn lengths_that_differ_mean_the_shorter() {
    let (a, q) = ([1.0; 40], [1i8; 40]);
    let (long, short) = (vec![2u8; 48], vec![2u8; 33]);
    for (isa, k) in Kernels::available() {
        assert_eq!(k.dot(&a, &a[..37]), 37.0, "{isa}");
        assert_eq!(k.l2sq(&a[..3], &a), 0.0, "{isa}");
        assert_eq!(k.dot_norm(&a, &a[..5]), (5.0, 5.0), "{isa}");
        assert_eq!(k.dot_u8i8(&short, &q), 66, "{isa}");
        let mut rows = Rows::default();
        let mut out = [7; 3];
        k.dot_rows(&q, &rows, &mut out);
        assert_eq!(out, [7; 3], "{isa}: no rows write nothing");
        (0..6).for_each(|_| rows.push(&long));
        k.dot_rows(&q, &rows, &mut out);
        assert_eq!(out, [80; 3], "{isa}: no more than `out` has room for");
        rows.push(&short);
        k.dot_rows(&q, &rows, &mut out);
        assert_eq!(out, [66; 3], "{isa}: the shortest row counts for all");
    }
}

#[test]
fn quantization_is_equal_to_the_bit() {
    let mut noise = Noise(5);
    let mut x = noise.floats(999);
    // Ties both ways, both ends and what never comes: all are defined.
    x.extend([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 127.5, -126.5, -127.5, -128.0].map(|x| x / 100.0));
    x.extend([0.0, -0.0, 1e30, -1e30, f32::MAX, f32::MIN, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-40]);
    for n in float_lengths().filter(|n| *n <= x.len()).chain([x.len()]) {
        for (scale, padding) in [(100.0, 0), (127.0, 5), (1.0, 64), (1e38, 1)] {
            let src = &x[x.len() - n..];
            let quantized = |k: &Kernels| {
                let (mut u, mut i) = (vec![1; n + padding], vec![1; n + padding]);
                k.quantize(src, scale, &mut u);
                let sum = k.quantize_i8(src, scale, &mut i);
                (u, i, sum, k.max_abs(src).to_bits())
            };
            let want = quantized(oracle());
            assert!(want.0.iter().zip(&want.1).all(|(u, i)| i32::from(*u) == i32::from(*i) + 128));
            assert_eq!(want.1[n..], vec![0; padding]);
            for (isa, k) in Kernels::available() {
                let mut back = vec![1; n + padding];
                let sum = k.code_to_query(&want.0, &mut back);
                assert_eq!((&back, sum), (&want.1, want.2), "{isa}: a code is a query, byte for byte");
            }
            for (isa, k) in Kernels::available() {
                assert_eq!(quantized(k), want, "{isa}, length {n}, scale {scale}");
            }
        }
    }
}

#[test]
fn ties_go_to_even_and_the_ends_are_clamped() {
    let src = [0.5, 1.5, -0.5, -1.5, 2.5, 200.0, -200.0, f32::NAN];
    for (isa, k) in Kernels::available() {
        let mut out = [9; 10];
        assert_eq!(k.quantize_i8(&src, 1.0, &mut out), -125, "{isa}");
        assert_eq!(out, [0, 2, 0, -2, 2, 127, -127, -127, 0, 0], "{isa}");
        let mut short = [9; 2];
        k.quantize(&src, 1.0, &mut short);
        assert_eq!(short, [128, 130], "{isa}");
    }
}

#[test]
fn max_abs_is_the_largest_magnitude() {
    for (isa, k) in Kernels::available() {
        assert_eq!(k.max_abs(&[]), 0.0, "{isa}");
        assert_eq!(k.max_abs(&[1.0, -3.5, 2.0]), 3.5, "{isa}");
        assert_eq!(k.max_abs(&[1.0, f32::NEG_INFINITY]), f32::INFINITY, "{isa}");
        assert!(k.max_abs(&[f32::NAN, 1.0]).is_nan(), "{isa}");
    }
}

#[test]
fn hadamard_is_equal_to_the_bit_and_its_own_inverse() {
    let mut noise = Noise(6);
    for n in [0, 1, 2, 3, 4, 8, 16, 17, 32, 64, 100, 128, 256, 384, 512, 1024, 4096, 16_384] {
        let x = noise.floats(n);
        let mut want = x.clone();
        oracle().hadamard(&mut want);
        for (isa, k) in Kernels::available() {
            let mut y = x.clone();
            k.hadamard(&mut y);
            assert_eq!(y, want, "{isa}, length {n}");
            let (before, after) = (k.norm_sq(&x), k.norm_sq(&y));
            assert!((before - after).abs() <= 1e-5 * before, "{isa}, length {n}: {before} became {after}");
            k.hadamard(&mut y);
            let worst = y.iter().zip(&x).map(|(y, x)| (y - x).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-6 * 16.0, "{isa}, length {n}: off by {worst}");
        }
    }
}

/// The definition: entry (i, j) is the parity of `i & j`.
#[test]
fn hadamard_is_the_matrix() {
    for (isa, k) in Kernels::available() {
        for (n, at) in [(8, 5), (64, 41), (256, 200), (512, 511)] {
            let mut x = vec![0.0; n];
            x[at] = 1.0;
            k.hadamard(&mut x);
            let size = 1.0 / (n as f32).sqrt();
            let want = |i: usize| if (i & at).count_ones().is_multiple_of(2) { size } else { -size };
            assert!(x.iter().enumerate().all(|(i, x)| *x == want(i)), "{isa}, length {n}");
        }
    }
}

#[test]
fn prefetching_takes_any_slice() {
    prefetch(&[]);
    prefetch(&[1; 1000][3..]);
    prefetch_f32(&[1.0; 77]);
}

#[test]
fn the_best_comes_first_and_the_oracle_last() {
    let names: Vec<_> = Kernels::available().map(|(name, _)| name).collect();
    assert_eq!(names.first(), Some(&Kernels::best().name()));
    assert_eq!(names.last(), Some(&"scalar"));
}

proptest! {
    #[test]
    fn any_floats_quantize_alike(src in prop::collection::vec(any::<f32>(), 0..200), scale in any::<f32>()) {
        let codes = |k: &Kernels| {
            let mut out = vec![0; src.len()];
            k.quantize(&src, scale, &mut out);
            out
        };
        for (isa, k) in Kernels::available() {
            prop_assert_eq!(codes(k), codes(oracle()), "{}", isa);
        }
    }

    #[test]
    fn any_rows_multiply_alike(
        q in prop::collection::vec(any::<i8>(), 0..300),
        rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
    ) {
        let mut batch = Rows::default();
        rows.iter().for_each(|row| batch.push(row));
        let n = rows.iter().map(Vec::len).min().unwrap_or(0).min(q.len());
        let want: Vec<i32> = rows.iter().map(|row| oracle().dot_u8i8(&row[..n], &q)).collect();
        for (isa, k) in Kernels::available() {
            let mut out = vec![0; rows.len()];
            k.dot_rows(&q, &batch, &mut out);
            prop_assert_eq!(&out, &want, "{}", isa);
        }
    }
}
