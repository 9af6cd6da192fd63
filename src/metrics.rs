//! Counters of work: what a call did, beside how long it took; and how often something took how long.

use serde::Serialize;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Work of one call on a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Work {
    /// Nodes whose lists were read.
    pub visited: u64,
    /// Distances computed over codes.
    pub distances: u64,
    /// Distances computed over full-precision rows.
    pub reranked: u64,
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.visited += other.visited;
        self.distances += other.distances;
        self.reranked += other.reranked;
    }
}

/// Times of one kind, in microseconds. A percentile is that of its bucket's end, at most a quarter above the time it stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_us: u64,
    /// All but one in a hundred took no longer.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// Bits after the first that choose a bucket.
const BITS: u32 = 2;
/// The last bucket holds everything from 2^31 us on.
const BUCKETS: usize = (32 - BITS as usize) << BITS;

/// Times in fixed buckets, four to an octave, counted by any number of threads.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    max_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), max_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(us)].fetch_add(1, Ordering::Relaxed);
        self.max_us.fetch_max(us, Ordering::Relaxed);
    }

    pub(crate) fn times(&self) -> Times {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let (count, max_us) = (counts.iter().sum::<u64>(), self.max_us.load(Ordering::Relaxed));
        let not_over = |percent: u64| {
            let rank = (count * percent).div_ceil(100);
            let mut seen = 0;
            let at = counts.iter().position(|count| {
                seen += count;
                seen >= rank && rank > 0
            });
            at.map_or(0, |at| end(at).min(max_us))
        };
        Times { count, p50_us: not_over(50), p99_us: not_over(99), max_us }
    }
}

/// Values below 8 have a bucket each; above, the exponent and the bits after the first choose.
fn bucket(us: u64) -> usize {
    let exponent = (63 - (us | 1).leading_zeros()).saturating_sub(BITS);
    (((exponent as usize) << BITS) + (us >> exponent) as usize).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn end(bucket: usize) -> u64 {
    let exponent = (bucket >> BITS).saturating_sub(1);
    let mantissa = (bucket - (exponent << BITS)) as u64;
    (mantissa << exponent) + ((1 << exponent) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_times_and_is_narrow() {
        for us in (0..5_000).chain((13..31).flat_map(|e| [(1 << e) - 1, 1 << e, 3 << (e - 1)])) {
            let at = bucket(us);
            assert!(end(at) >= us && end(at) - us <= us / 4, "{us} in a bucket up to {}", end(at));
            assert!(at == 0 || end(at - 1) < us, "{us}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_stand_for_the_times_they_name() {
        let histogram = Histogram::default();
        assert_eq!(histogram.times(), Times::default());
        (1..=1_000).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        let Times { count, p50_us, p99_us, max_us } = histogram.times();
        assert_eq!((count, max_us), (1_000, 1_000_000));
        assert!((500_000..=625_000).contains(&p50_us) && (990_000..=1_000_000).contains(&p99_us));
    }
}
