//! When to try again after a fault: how long to wait, by its class, and the breaker that remembers it.
//!
//! Invariant: between two tries of a fault that lasts lies at least what the class says, at most its greatest wait. Pure: time and
//! chance are handed in.

use super::remote::FaultClass;
use serde::Serialize;

const SHORT_MS: (u64, u64) = (100, 30_000);
const LONG_MS: (u64, u64) = (30_000, 300_000);
const PROBE_MS: u64 = 60_000;
/// Unknown faults in a row that are taken for the network's; after that a row is suspected.
pub(super) const UNKNOWN_MAX: u32 = 10;

/// The shortest and the longest wait after so many failures in a row.
pub(super) fn wait_ms(class: FaultClass, failures: u32) -> (u64, u64) {
    let grown = |(min, max): (u64, u64)| (min, min.saturating_mul(1 << failures.min(20)).min(max));
    match class {
        FaultClass::Transient | FaultClass::Demoted | FaultClass::Unknown => grown(SHORT_MS),
        FaultClass::Resource => grown(LONG_MS),
        FaultClass::Schema | FaultClass::Permission => (PROBE_MS, PROBE_MS),
        // The row waits, not the mirror.
        FaultClass::Data => (0, 0),
    }
}

/// Whether the database is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Breaker {
    /// It answers.
    Closed,
    /// It does not, and is left alone for a while.
    Open,
    /// The while is over: the next call tells.
    HalfOpen,
}

#[derive(Debug)]
pub(super) struct Backoff {
    /// No wait is longer.
    ms_max: u64,
    class: Option<FaultClass>,
    failures: u32,
    until_ms: u64,
}

impl Backoff {
    pub(super) fn new(ms_max: u64) -> Self {
        Self { ms_max, class: None, failures: 0, until_ms: 0 }
    }

    pub(super) fn fail(&mut self, class: FaultClass, now_ms: u64, random: u64) {
        let (min, max) = wait_ms(class, self.failures);
        let (min, max) = (min.min(self.ms_max), max.min(self.ms_max));
        self.failures = self.failures.saturating_add(1);
        self.class = Some(class);
        self.until_ms = now_ms + min + if max > min { random % (max - min + 1) } else { 0 };
    }

    pub(super) fn succeed(&mut self) {
        *self = Self::new(self.ms_max);
    }

    pub(super) fn class(&self) -> Option<FaultClass> {
        self.class
    }

    pub(super) fn until_ms(&self) -> u64 {
        self.until_ms
    }

    pub(super) fn breaker(&self, now_ms: u64) -> Breaker {
        match self.class {
            None => Breaker::Closed,
            Some(_) if now_ms < self.until_ms => Breaker::Open,
            Some(_) => Breaker::HalfOpen,
        }
    }
}

/// Chance for jitter. Seeded by the caller, so that a run can be had again.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_by_class() {
        use FaultClass::*;
        for (class, failures, wait) in [
            (Transient, 0, (100, 100)),
            (Transient, 3, (100, 800)),
            (Unknown, 8, (100, 25_600)),
            (Demoted, 9, (100, 30_000)),
            (Transient, u32::MAX, (100, 30_000)),
            (Resource, 0, (30_000, 30_000)),
            (Resource, 2, (30_000, 120_000)),
            (Resource, 60, (30_000, 300_000)),
            (Schema, 7, (60_000, 60_000)),
            (Permission, 0, (60_000, 60_000)),
            (Data, 5, (0, 0)),
        ] {
            assert_eq!(wait_ms(class, failures), wait, "{class:?} {failures}");
        }
    }

    #[test]
    fn the_breaker_opens_half_opens_and_closes() {
        let mut backoff = Backoff::new(u64::MAX);
        assert_eq!(backoff.breaker(5), Breaker::Closed);
        let mut random = Random(1);
        for _ in 0..20 {
            backoff.fail(FaultClass::Transient, 1_000, random.next());
            assert!((1_100..=31_000).contains(&backoff.until_ms()));
        }
        assert_eq!(backoff.breaker(1_050), Breaker::Open);
        assert_eq!(backoff.breaker(31_001), Breaker::HalfOpen);
        backoff.succeed();
        assert_eq!((backoff.breaker(0), backoff.class()), (Breaker::Closed, None));
    }
}
