//! The estimate against exact distances, for every metric and for data that is unkind to a quantizer.

use super::{BATCH, CodeTable, Codec, Exact, QueryCode, VectorTable};
use crate::config::Metric;
use crate::ids::{BlockId, Slot};
use proptest::prelude::*;

/// Deterministic noise, about normal.
fn noise(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..n).map(|_| (0..4).map(|_| uniform()).sum::<f32>() * 1.7).collect()
}

fn table(metric: Metric, rows: &[Vec<f32>], trained: bool) -> (CodeTable, VectorTable) {
    let dim = rows[0].len();
    let codec = if trained {
        Codec::trained(metric, dim, rows.iter().map(Vec::as_slice))
    } else {
        Codec::untrained(metric, dim)
    };
    let codes = CodeTable::new(codec).with_block(rows.len()).unwrap();
    let vectors = VectorTable::new(dim).with_block(rows.len()).unwrap();
    for row in rows {
        vectors.push(BlockId(0), Some(row)).unwrap();
        codes.push(BlockId(0), Some(row), &mut Vec::new()).unwrap();
    }
    (codes, vectors)
}

/// In the units the estimate has: l2 codes estimate the square.
fn exact(metric: Metric, query: &[f32], row: &[f32]) -> f32 {
    let d = Exact::new(metric, query).distance(row);
    if metric == Metric::L2 { d * d } else { d }
}

fn estimates(codes: &CodeTable, query: &QueryCode, n: usize) -> Vec<f32> {
    let slots: Vec<u32> = (0..n as u32).collect();
    let mut all = Vec::new();
    for part in slots.chunks(BATCH) {
        let mut out = [0.0; BATCH];
        codes.distances(query, part, &mut out);
        all.extend_from_slice(&out[..part.len()]);
    }
    all
}

fn kinds(dim: usize) -> Vec<(&'static str, Vec<Vec<f32>>)> {
    let plain: Vec<Vec<f32>> = (0..200).map(|i| noise(i, dim)).collect();
    let mean = noise(999, dim);
    let map = |f: &dyn Fn(usize, usize, f32) -> f32| -> Vec<Vec<f32>> {
        plain
            .iter()
            .enumerate()
            .map(|(r, x)| x.iter().enumerate().map(|(i, v)| f(r, i, *v)).collect())
            .collect()
    };
    vec![
        ("shifted", map(&|_, i, v| v + 4.0 * mean[i])),
        ("heavy", map(&|r, _, v| v * v * v * (1.0 + r as f32 / 20.0))),
        ("outlier", map(&|_, i, v| if i % 97 == 3 { 20.0 * v } else { v })),
        ("plain", plain),
    ]
}

#[test]
fn estimates_follow_exact_distances_on_unkind_data() {
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
        for dim in [1, 2, 7, 96, 384, 1000] {
            for (kind, rows) in kinds(dim) {
                for trained in [false, true] {
                    let (codes, _) = table(metric, &rows, trained);
                    let mut query = QueryCode::default();
                    codes.codec().query(&rows[7], &mut query);
                    let got = estimates(&codes, &query, rows.len());
                    let want: Vec<f32> = rows.iter().map(|r| exact(metric, &rows[7], r)).collect();
                    let spread = want.iter().fold(if trained { 1e-3f32 } else { 0.3 }, |m, d| m.max(d.abs()));
                    for (g, w) in got.iter().zip(&want) {
                        let error = (g - w).abs() / spread;
                        assert!(error < 0.05, "{metric} {kind} dim {dim} trained {trained}: {g} for {w}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_made_a_query_estimates_as_its_vector_does() {
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
        for (kind, rows) in kinds(96) {
            let (codes, _) = table(metric, &rows, true);
            let (mut of_vector, mut of_row) = (QueryCode::default(), QueryCode::default());
            codes.codec().query(&rows[3], &mut of_vector);
            assert!(codes.query_of(Slot(3), &mut of_row));
            let (a, b) = (estimates(&codes, &of_vector, 200), estimates(&codes, &of_row, 200));
            let spread = a.iter().fold(0f32, |m, d| m.max(d.abs()));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 0.03 * spread), "{metric} {kind}");
        }
    }
}

#[test]
fn a_slot_without_a_code_is_infinitely_far_and_spoils_no_other() {
    let rows: Vec<Vec<f32>> = (0..3).map(|i| noise(i, 40)).collect();
    let (codes, _) = table(Metric::Cosine, &rows, false);
    let mut query = QueryCode::default();
    codes.codec().query(&rows[1], &mut query);
    let mut out = [0.0; BATCH];
    codes.distances(&query, &[1, 77, 9 << 16, 2], &mut out);
    assert_eq!((out[1], out[2]), (f32::INFINITY, f32::INFINITY));
    assert!(out[0].abs() < 0.01 && out[3].is_finite(), "{:?}", &out[..4]);
    assert!(!codes.query_of(Slot(77), &mut query));
}

#[test]
fn equal_rows_have_equal_codes_and_others_do_not() {
    let rows = vec![noise(1, 64), noise(2, 64), noise(1, 64)];
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
        let (codes, _) = table(metric, &rows, true);
        assert!(
            codes.same(Slot(0), Slot(2)) && !codes.same(Slot(0), Slot(1)) && !codes.same(Slot(0), Slot(9))
        );
    }
}

proptest! {
    #[test]
    fn exact_distances_are_those_of_the_definitions(a in prop::collection::vec(-10f32..10.0, 1..70), seed in 0u64..1000) {
        let b = noise(seed, a.len());
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            a.iter().zip(&b).map(|(x, y)| f(f64::from(*x), f64::from(*y))).sum()
        };
        let dot = sum(&|x, y| x * y);
        let norms = (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt();
        for (metric, want) in [
            (Metric::Cosine, 1.0 - dot / norms),
            (Metric::L2, sum(&|x, y| (x - y).powi(2)).sqrt()),
            (Metric::Dot, -dot),
            (Metric::L1, sum(&|x, y| (x - y).abs())),
        ] {
            if want.is_finite() {
                let got = f64::from(Exact::new(metric, &a).distance(&b));
                prop_assert!((got - want).abs() <= 1e-5 * (1.0 + want.abs() + sum(&|x, y| (x * y).abs())), "{metric}: {got} for {want}");
            }
        }
    }
}
