//! How long calls took, and the longest of them: a histogram whose buckets grow with the value.
//!
//! 64 buckets to an octave, so a percentile is at most 1.6 % above a value that occurred; the longest calls are kept as they
//! were, with the moment, so that a pause can be seen beside what caused it.

use serde::Serialize;
use std::fmt;
use std::time::{Duration, Instant};

const BITS: u32 = 6;
const BUCKETS: usize = (64 - BITS as usize + 1) << BITS;
/// Longest calls that are told.
const LONGEST: usize = 5;
/// What counts as a pause.
const PAUSE: Duration = Duration::from_millis(10);

/// Durations of one kind of call.
pub(super) struct Pauses {
    counts: Vec<u64>,
    count: u64,
    max: u64,
    over: u64,
    longest: Vec<Pause>,
}

/// One long call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Pause {
    pub(super) ms: f64,
    /// When it began, in seconds from the start of the measurement.
    pub(super) at_s: f64,
}

/// The same in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) p50_us: f64,
    pub(super) p90_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
    /// Calls that took more than 10 ms.
    pub(super) over_10_ms: u64,
    pub(super) longest: Vec<Pause>,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, max: 0, over: 0, longest: Vec::new() }
    }
}

impl Pauses {
    /// Counts a call that began at `from` in a measurement that began at `start`; says how long it took.
    pub(super) fn record(&mut self, start: Instant, from: Instant) -> Duration {
        let took = from.elapsed();
        self.add(took, from.duration_since(start));
        took
    }

    /// Counts what took so long, and began so long after the start of the measurement.
    pub(super) fn add(&mut self, took: Duration, at: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
        self.over += u64::from(took > PAUSE);
        self.keep(Pause { ms: nanos as f64 / 1e6, at_s: at.as_secs_f64() });
    }

    fn keep(&mut self, pause: Pause) {
        if self.longest.last().is_some_and(|last| self.longest.len() == LONGEST && pause.ms <= last.ms) {
            return;
        }
        let at = self.longest.partition_point(|longer| longer.ms >= pause.ms);
        self.longest.insert(at, pause);
        self.longest.truncate(LONGEST);
    }

    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
        self.over += other.over;
        other.longest.into_iter().for_each(|pause| self.keep(pause));
        self
    }

    /// Calls a second.
    pub(super) fn per_s(&self, took: Duration) -> f64 {
        self.count as f64 / took.as_secs_f64().max(1e-9)
    }

    /// Nanoseconds that `share` of the calls did not exceed.
    fn percentile(&self, share: f64) -> u64 {
        let rank = ((share * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper(at).min(self.max);
            }
        }
        self.max
    }

    pub(super) fn summary(&self) -> Summary {
        let us = |share| self.percentile(share) as f64 / 1e3;
        Summary {
            count: self.count,
            p50_us: us(0.50),
            p90_us: us(0.90),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.max as f64 / 1e3,
            over_10_ms: self.over,
            longest: self.longest.clone(),
        }
    }
}

impl Summary {
    /// What the columns of a line mean.
    pub(super) const HEAD: &str = "       p50       p90       p99     p99.9       max  >10 ms   calls";
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_us, p90_us, p99_us, p999_us, max_us, over_10_ms, count, .. } = self;
        for us in [p50_us, p90_us, p99_us, p999_us, max_us] {
            write!(f, "{us:>10.1}")?;
        }
        write!(f, "{over_10_ms:>8}{count:>8}")
    }
}

/// Values below 128 have a bucket each; above, the exponent and the 6 bits after the first choose.
fn bucket(value: u64) -> usize {
    let exponent = (63 - (value | 1).leading_zeros()).saturating_sub(BITS);
    ((exponent as usize) << BITS) + (value >> exponent) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let exponent = (bucket >> BITS).saturating_sub(1);
    let mantissa = (bucket - (exponent << BITS)) as u64;
    (mantissa << exponent) + ((1u64 << exponent) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_values_and_is_narrow() {
        let mut last = 0;
        for value in
            (0..4_096).chain((12..64).flat_map(|e| [(1 << e) - 1, 1 << e, (1 << e) + (1 << (e - 1))]))
        {
            let at = bucket(value);
            assert!(at < BUCKETS && upper(at) >= value, "{value}");
            assert!(upper(at) - value <= value / 64, "{value} in a bucket up to {}", upper(at));
            assert!(at == 0 || upper(at - 1) < value, "{value}");
            assert!(at >= last || value < 4_096);
            last = at;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_and_the_longest() {
        let (mut one, mut two) = (Pauses::default(), Pauses::default());
        for ms in 1..=100u64 {
            let pauses = if ms % 2 == 0 { &mut one } else { &mut two };
            pauses.counts[bucket(ms * 1_000_000)] += 1;
            pauses.count += 1;
            pauses.max = pauses.max.max(ms * 1_000_000);
            pauses.keep(Pause { ms: ms as f64, at_s: 0.0 });
        }
        let all = one.and(two);
        let told = all.summary();
        let near = |us: f64, ms: f64| (us / 1e3 - ms).abs() <= ms / 60.0;
        assert!(near(told.p50_us, 50.0) && near(told.p90_us, 90.0) && near(told.p99_us, 99.0), "{told:?}");
        assert_eq!((told.max_us, told.count), (100_000.0, 100));
        assert_eq!(told.longest.iter().map(|p| p.ms).collect::<Vec<_>>(), [100.0, 99.0, 98.0, 97.0, 96.0]);
        let none = Pauses::default().summary();
        assert_eq!((none.p50_us, none.max_us), (0.0, 0.0));
    }
}
