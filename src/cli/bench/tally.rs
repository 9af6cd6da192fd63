//! Counting: recall, work, plans, and the percentiles of latencies.

use std::collections::BTreeMap;

/// Sums over queries.
#[derive(Default)]
pub(super) struct Tally {
    hit: u64,
    exist: u64,
    pub(super) short: usize,
    pub(super) visited: u64,
    pub(super) distances: u64,
    pub(super) plans: BTreeMap<String, usize>,
}

impl Tally {
    /// Counts over the neighbours that exist, which under a filter may be fewer than k.
    pub(super) fn judge(&mut self, found: &[u32], truth: impl Iterator<Item = u32>) {
        let mut exist = 0;
        for row in truth {
            exist += 1;
            self.hit += u64::from(found.contains(&row));
        }
        self.exist += exist as u64;
        self.short += usize::from(found.len() < exist);
    }

    /// 1 when there was nothing to find.
    pub(super) fn recall(&self) -> f64 {
        if self.exist == 0 { 1.0 } else { self.hit as f64 / self.exist as f64 }
    }

    pub(super) fn and(mut self, other: Self) -> Self {
        self.hit += other.hit;
        self.exist += other.exist;
        self.short += other.short;
        self.visited += other.visited;
        self.distances += other.distances;
        for (plan, count) in other.plans {
            *self.plans.entry(plan).or_default() += count;
        }
        self
    }
}

/// The value that `share` of the sorted values do not exceed (nearest rank).
pub(super) fn percentile(sorted: &[u64], share: f64) -> u64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The middle one; of an even number the mean of the two.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let (n, middle) = (values.len(), values.len() / 2);
    match n {
        0 => 0.0,
        _ if n.is_multiple_of(2) => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests;
