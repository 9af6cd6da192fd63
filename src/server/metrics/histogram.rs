//! Durations counted in fixed buckets, by any number of threads.

use super::text::Text;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends, in microseconds: from a search in cache to a call that the limits cut.
const ENDS_US: [u64; 18] = [
    25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

#[derive(Default)]
pub(crate) struct Histogram {
    counts: [AtomicU64; ENDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn record(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.counts[ENDS_US.partition_point(|end| *end < us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }

    /// The samples of a family that was told before.
    pub(crate) fn tell(&self, name: &str, label: (&str, &str), out: &mut Text) {
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count.load(Ordering::Relaxed);
            let end = ENDS_US.get(at).map_or("+Inf".to_owned(), |us| (*us as f64 / 1e6).to_string());
            out.sample(&format!("{name}_bucket"), &[label, ("le", &end)], seen);
        }
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        out.sample(&format!("{name}_sum"), &[label], sum);
        out.sample(&format!("{name}_count"), &[label], seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_its_bucket_and_in_all_above() {
        let histogram = Histogram::default();
        assert!(histogram.is_empty());
        for us in [0, 25, 26, 10_000_000, 10_000_001] {
            histogram.record(Duration::from_micros(us));
        }
        let mut out = Text::default();
        histogram.tell("t", ("route", "a"), &mut out);
        let text = out.into_string();
        for line in [
            "t_bucket{route=\"a\",le=\"0.000025\"} 2\n",
            "t_bucket{route=\"a\",le=\"0.00005\"} 3\n",
            "t_bucket{route=\"a\",le=\"10\"} 4\n",
            "t_bucket{route=\"a\",le=\"+Inf\"} 5\n",
            "t_count{route=\"a\"} 5\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
