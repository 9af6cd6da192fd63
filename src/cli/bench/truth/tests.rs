//! Brute force on cases small enough to see.

use super::*;
use crate::cli::progress::Progress;

fn truth(base: &[[f32; 2]], query: [f32; 2], metric: Metric, k: usize) -> Vec<u32> {
    let base = Matrix { dim: 2, values: base.concat() };
    let queries = Matrix { dim: 2, values: query.to_vec() };
    exact(&base, &queries, metric, k, 2, &Progress::new(true).bar("", 1)).rows
}

#[test]
fn each_metric_has_its_own_neighbours() {
    let base = [[3.0, 0.5], [0.9, 0.9], [1.6, 0.0], [-1.0, 0.0]];
    let found = |metric| truth(&base, [1.0, 0.0], metric, 4);
    assert_eq!(found(Metric::Cosine), [2, 0, 1, 3]);
    assert_eq!(found(Metric::Dot), [0, 2, 1, 3]);
    // 0.6 before 0.906 before 2 before 2.06, and in steps 0.6, 1.0, 2, 2.5.
    assert_eq!(found(Metric::L2), [2, 1, 3, 0]);
    assert_eq!(found(Metric::L1), [2, 1, 3, 0]);
}

#[test]
fn equal_rows_go_by_number_and_missing_ones_are_marked() {
    let base = [[2.0, 0.0], [1.0, 0.0], [1.0, 0.0]];
    assert_eq!(truth(&base, [1.0, 0.0], Metric::L2, 5), [1, 2, 0, NO_ROW, NO_ROW]);
}

#[test]
fn many_rows_and_threads_agree_with_a_full_sort() {
    // More rows than a tile and than the candidates kept, and more queries than a group; many distances are equal.
    let base = Matrix { dim: 2, values: (0..2_000).map(|i| (i * 7919 % 31) as f32).collect() };
    let queries = Matrix { dim: 2, values: (0..300).map(|i| (i * 104_729 % 37) as f32).collect() };
    let found = exact(&base, &queries, Metric::L2, 9, 3, &Progress::new(true).bar("", 1));
    for q in 0..queries.rows() {
        let mut rows: Vec<u32> = (0..base.rows() as u32).collect();
        rows.sort_by_key(|&row| {
            let pairs = queries.row(q).iter().zip(base.row(row as usize));
            (pairs.map(|(a, b)| ((a - b) * (a - b)) as u64).sum::<u64>(), row)
        });
        assert_eq!(found.of(q, 9).collect::<Vec<_>>(), rows[..9]);
    }
}
