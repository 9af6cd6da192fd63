//! A provider that failed is left alone for a while: whoever asks meanwhile hears at once why. Pure: time is handed in.

use std::time::{Duration, Instant};

/// The first rest and the longest.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

#[derive(Default)]
pub(super) struct Rest {
    failures: u32,
    until: Option<Instant>,
    why: String,
}

impl Rest {
    /// Why nobody should ask now.
    pub(super) fn refuses(&self, now: Instant) -> Option<&str> {
        self.until.is_some_and(|until| now < until).then_some(self.why.as_str())
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(super) fn failed(&mut self, now: Instant, why: &str) {
        let rest = REST.0.saturating_mul(1 << self.failures.min(10)).min(REST.1);
        *self = Self { failures: self.failures + 1, until: Some(now + rest), why: why.to_owned() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_rests_longer_and_one_answer_ends_it() {
        let (now, s) = (Instant::now(), Duration::from_secs);
        let mut rest = Rest::default();
        assert_eq!(rest.refuses(now), None);
        for (failure, long) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
            rest.failed(now, &format!("no {failure}"));
            let last = now + s(long) - Duration::from_millis(1);
            assert_eq!(rest.refuses(last), Some(format!("no {failure}").as_str()));
            assert_eq!(rest.refuses(now + s(long)), None, "then one may try");
        }
        rest.succeeded();
        assert_eq!(rest.refuses(now), None);
        rest.failed(now, "again");
        assert_eq!(rest.refuses(now + s(1)), None, "it begins anew");
    }
}
