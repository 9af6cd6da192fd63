//! The exact neighbours, by brute force.
//!
//! Deliberately shares nothing with the engine: no kernel, no normalised copy, no tie rule but the row number. The scan is
//! in f32; the last candidates are compared in f64, so equal rows tie exactly and rounding decides nothing else.

use super::data::{Matrix, NO_ROW, Neighbours};
use crate::Metric;
use crate::cli::progress::Bar;
use parking_lot::Mutex;

/// Candidates beyond `k` that are compared again in f64.
const SLACK: usize = 16;
/// Queries that share one pass over the base.
const GROUP: usize = 64;
/// Rows that stay in the cache while the queries of a group go over them.
const TILE: usize = 32;
const LANES: usize = 16;

/// The `k` nearest rows of the base for each query, ties by row number.
pub(super) fn exact(
    base: &Matrix,
    queries: &Matrix,
    metric: Metric,
    k: usize,
    threads: usize,
    bar: &Bar,
) -> Neighbours {
    let mut rows = vec![NO_ROW; queries.rows() * k];
    let scan = Scan { base, metric, scales: scales(base, metric) };
    let groups = Mutex::new(rows.chunks_mut(GROUP * k).zip(queries.values.chunks(GROUP * queries.dim)));
    let next = || groups.lock().next();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((found, group)) = next() {
                    scan.group(group, found, k);
                    bar.add(found.len() / k);
                }
            });
        }
    });
    Neighbours { width: k, rows }
}

/// For cosine, what each row's dot product is divided by; the length of the query changes no order.
fn scales(base: &Matrix, metric: Metric) -> Vec<f32> {
    match metric {
        Metric::Cosine => (0..base.rows()).map(|i| 1.0 / length(base.row(i)) as f32).collect(),
        Metric::L2 | Metric::Dot | Metric::L1 => Vec::new(),
    }
}

struct Scan<'a> {
    base: &'a Matrix,
    metric: Metric,
    scales: Vec<f32>,
}

impl Scan<'_> {
    fn group(&self, queries: &[f32], found: &mut [u32], k: usize) {
        let dim = self.base.dim;
        let mut best: Vec<Best> = queries.chunks(dim).map(|_| Best::new(k + SLACK)).collect();
        for start in (0..self.base.rows()).step_by(TILE) {
            let tile = start..(start + TILE).min(self.base.rows());
            for (query, best) in queries.chunks(dim).zip(&mut best) {
                for row in tile.clone() {
                    best.offer(self.rank(query, row), row as u32);
                }
            }
        }
        for ((query, best), found) in queries.chunks(dim).zip(best).zip(found.chunks_mut(k)) {
            let mut last: Vec<(f64, u32)> = best
                .into_rows()
                .map(|row| (precise(self.metric, query, self.base.row(row as usize)), row))
                .collect();
            last.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            for (slot, (_, row)) in found.iter_mut().zip(last) {
                *slot = row;
            }
        }
    }

    /// Lower is nearer. Only the order counts.
    fn rank(&self, query: &[f32], row: usize) -> f32 {
        let values = self.base.row(row);
        match self.metric {
            Metric::Cosine => -sum(query, values, |a, b| a * b) * self.scales[row],
            Metric::Dot => -sum(query, values, |a, b| a * b),
            Metric::L2 => sum(query, values, |a, b| (a - b) * (a - b)),
            Metric::L1 => sum(query, values, |a, b| (a - b).abs()),
        }
    }
}

/// The same order in f64.
fn precise(metric: Metric, query: &[f32], row: &[f32]) -> f64 {
    let pairs = query.iter().zip(row).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    match metric {
        Metric::Cosine => -pairs.map(|(a, b)| a * b).sum::<f64>() / length(row),
        Metric::Dot => -pairs.map(|(a, b)| a * b).sum::<f64>(),
        Metric::L2 => pairs.map(|(a, b)| (a - b) * (a - b)).sum(),
        Metric::L1 => pairs.map(|(a, b)| (a - b).abs()).sum(),
    }
}

fn length(row: &[f32]) -> f64 {
    row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt()
}

/// In lanes, so that the compiler can use vector registers; a plain sum must keep its order.
fn sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += term(a[i], b[i]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(&a, &b)| term(a, b)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// The lowest `keep` of what was offered.
struct Best {
    keep: usize,
    bound: f32,
    found: Vec<(f32, u32)>,
}

impl Best {
    fn new(keep: usize) -> Self {
        Self { keep, bound: f32::INFINITY, found: Vec::with_capacity(2 * keep) }
    }

    /// Rows come by rising number, so one that only equals the bound would lose its tie.
    fn offer(&mut self, rank: f32, row: u32) {
        if rank < self.bound {
            self.found.push((rank, row));
            if self.found.len() == 2 * self.keep {
                self.shrink();
            }
        }
    }

    fn shrink(&mut self) {
        let (_, last, _) =
            self.found.select_nth_unstable_by(self.keep - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        self.bound = last.0;
        self.found.truncate(self.keep);
    }

    fn into_rows(self) -> impl Iterator<Item = u32> {
        self.found.into_iter().map(|(_, row)| row)
    }
}

#[cfg(test)]
mod tests;
