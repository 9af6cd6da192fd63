//! Every instruction set of this machine against sums in f64, against each other, and against the functions as they are defined.

use super::*;

/// Repeatable noise of -1 to 1.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn product(kernels: &Matrix, left: &Left, right: &Right) -> Vec<f32> {
    let mut out = vec![f32::NAN; left.rows * right.columns];
    kernels.product(left, right, |row, column, sums| {
        out[row * right.columns + column..][..sums.len()].copy_from_slice(sums);
    });
    out
}

#[test]
fn products_are_right_at_every_size_where_a_tile_begins_or_ends() {
    for rows in [0, 1, 2, 11, 12, 13, 24, 25] {
        for columns in [0, 1, 15, 16, 17, 31, 32, 33, 64, 70] {
            for depth in [0, 1, 2, 7, 32, 65] {
                // Both lie in wider matrices.
                let (a, b) = (noise(rows * (depth + 3), 1), noise(columns * (depth + 5), 2));
                let (mut left, mut right) = (Left::default(), Right::default());
                left.pack(&a, depth + 3, rows, depth);
                right.pack_columns(&b, depth + 5, columns, depth);
                for (isa, kernels) in Matrix::available() {
                    let got = product(kernels, &left, &right);
                    for (at, got) in got.iter().enumerate() {
                        let (row, column) = (at / columns, at % columns);
                        let terms = (0..depth).map(|k| {
                            f64::from(a[row * (depth + 3) + k]) * f64::from(b[column * (depth + 5) + k])
                        });
                        let want: f64 = terms.sum();
                        let close = (f64::from(*got) - want).abs() < 1e-5;
                        assert!(
                            close,
                            "{isa} {rows}x{depth}x{columns} at {row}, {column}: {got} is not {want}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn columns_that_stand_as_rows_are_the_same_columns() {
    let (depth, columns) = (13, 45);
    let b = noise(depth * 50, 3);
    let turned: Vec<f32> =
        (0..columns).flat_map(|c| b.iter().skip(c).step_by(50).copied().collect::<Vec<_>>()).collect();
    let (mut left, mut across, mut down) = (Left::default(), Right::default(), Right::default());
    left.pack(&noise(5 * depth, 4), depth, 5, depth);
    across.pack_rows(&b, 50, columns, depth);
    down.pack_columns(&turned, depth, columns, depth);
    let kernels = Matrix::best();
    assert_eq!(product(kernels, &left, &across), product(kernels, &left, &down));
}

/// What packs again has nothing left of what was packed before.
#[test]
fn an_element_is_the_same_wherever_its_row_stands() {
    let (rows, depth, columns) = (40, 50, 37);
    let (a, b) = (noise(rows * depth, 5), noise(depth * columns, 6));
    let mut right = Right::default();
    right.pack_rows(&noise(99 * 99, 7), 99, 99, 99);
    right.pack_columns(&b, depth, columns, depth);
    for (isa, kernels) in Matrix::available() {
        let mut left = Left::default();
        left.pack(&a, depth, rows, depth);
        let all = product(kernels, &left, &right);
        for row in 0..rows {
            left.pack(&a[row * depth..], depth, 1, depth);
            assert_eq!(product(kernels, &left, &right), all[row * columns..][..columns], "{isa} {row}");
        }
    }
}

#[test]
fn instruction_sets_that_fuse_agree_to_the_last_bit() {
    let (mut left, mut right) = (Left::default(), Right::default());
    left.pack(&noise(30 * 200, 8), 200, 30, 200);
    right.pack_columns(&noise(70 * 200, 9), 200, 70, 200);
    let fused: Vec<_> = Matrix::available().filter(|(isa, _)| *isa != "scalar").collect();
    for pair in fused.windows(2) {
        assert_eq!(
            product(pair[0].1, &left, &right),
            product(pair[1].1, &left, &right),
            "{} {}",
            pair[0].0,
            pair[1].0
        );
    }
    for (isa, kernels) in Matrix::available() {
        let (mut ours, mut oracle) = (noise(100, 10), noise(100, 10));
        let (scale, shift) = (noise(100, 11), noise(100, 12));
        for (kernels, x) in [(kernels, &mut ours), (&scalar::KERNELS, &mut oracle)] {
            kernels.gelu(x);
            kernels.layer_norm(x, &scale, &shift, 1e-12);
            kernels.softmax(x);
        }
        assert_eq!(ours, oracle, "{isa}");
    }
}

#[test]
fn a_power_of_e_and_the_error_function_are_good_to_the_last_digits() {
    for at in -870_000..=880_000 {
        let x = at as f32 / 10_000.0;
        let want = f64::from(x).exp();
        let off = (f64::from(lanes::exp(x)) - want).abs() / want;
        assert!(off < 3e-7, "exp({x}) is off by {off:e}");
    }
    assert!(lanes::exp(f32::NEG_INFINITY) < 1e-37);
    assert!(lanes::exp(-1e9) < 1e-37);
    for at in -60_000..=60_000 {
        let x = f64::from(at) / 10_000.0;
        let off = (f64::from(lanes::erf(x as f32)) - erf(x)).abs();
        assert!(off < 4.5e-7, "erf({x}) is off by {off:e}");
    }
}

/// By its series, in f64, as far as that keeps its digits.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.5 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..120 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[test]
fn shares_are_one_in_all_and_norms_have_mean_and_spread() {
    for n in [1, 2, 15, 16, 17, 48, 100] {
        for (isa, kernels) in Matrix::available() {
            let mut x: Vec<f32> = noise(n, 13).iter().map(|x| x * 50.0).collect();
            kernels.softmax(&mut x);
            let sum: f32 = x.iter().sum();
            assert!(
                (sum - 1.0).abs() < 1e-5 && x.iter().all(|x| (0.0..=1.0).contains(x)),
                "{isa} {n}: {sum}"
            );
            let mut x: Vec<f32> = noise(n, 14).iter().map(|x| x * 7.0 + 3.0).collect();
            kernels.layer_norm(&mut x, &vec![2.0; n], &vec![1.0; n], 0.0);
            let mean = x.iter().sum::<f32>() / n as f32;
            let spread = (x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n as f32).sqrt();
            assert!(
                n == 1 || ((mean - 1.0).abs() < 1e-5 && (spread - 2.0).abs() < 1e-4),
                "{isa} {n}: {mean} {spread}"
            );
        }
    }
    for (_, kernels) in Matrix::available() {
        kernels.softmax(&mut []);
        kernels.layer_norm(&mut [], &[], &[], 1.0);
        let mut x = [0.0f32, 1.0, -1.0, 100.0, -100.0];
        kernels.gelu(&mut x);
        let want = [0.0, 0.841_344_8, -0.158_655_2, 100.0, 0.0];
        assert!(x.iter().zip(want).all(|(x, want)| (x - want).abs() < 1e-6), "{x:?}");
    }
}
