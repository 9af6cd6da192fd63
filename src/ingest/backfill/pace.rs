//! So many tokens a second and no more. Pure: time is handed in.

use std::time::{Duration, Instant};

pub(in crate::ingest) struct Pace {
    per_s: Option<u64>,
    /// When all that was taken is paid for.
    free: Instant,
}

impl Pace {
    pub(in crate::ingest) fn new(per_s: Option<u64>, now: Instant) -> Self {
        Self { per_s: per_s.filter(|rate| *rate > 0), free: now }
    }

    /// Takes `tokens`: when they may be used. What was not used earlier is lost, so that a pause is followed by no burst.
    pub(in crate::ingest) fn takes(&mut self, tokens: u64, now: Instant) -> Instant {
        let Some(per_s) = self.per_s else { return now };
        let at = self.free.max(now);
        self.free = at + Duration::from_secs_f64(tokens as f64 / per_s as f64);
        at
    }
}
