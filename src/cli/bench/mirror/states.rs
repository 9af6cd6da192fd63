//! Calls beside a mirror in one state after the other, and without a mirror, in turns: what else the machine does then falls on both
//! alike.
//!
//! Without a mirror are the calls of a second store that was never attached to one; it is filled and written to in the same way.

use super::super::pauses::Summary;
use super::calls::{Calls, Took};
use super::cpu;
use super::relay::{Mood, Relay};
use crate::{Collection, Error, ErrorKind, Mirror, MirrorState, Result};
use serde::Serialize;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Rows that wait when catching up begins.
const BACKLOG_ROWS: usize = 20_000;
const LOOK: Duration = Duration::from_millis(1);
/// How long a state may take to come about.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a mirror goes through, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Healthy,
    Hung,
    Refused,
    BlackHoled,
    CatchingUp,
}

const KINDS: [Kind; 5] = [Kind::Healthy, Kind::Hung, Kind::Refused, Kind::BlackHoled, Kind::CatchingUp];

/// The calls of all rounds in one state, beside those without a mirror.
#[derive(Serialize)]
pub(super) struct State {
    pub(super) mirror: &'static str,
    pub(super) write: Summary,
    pub(super) search: Summary,
    /// To the calls without a mirror beside them: the medians of all rounds.
    pub(super) ratios: Option<Ratios>,
    /// Milliseconds of a core in each second that the mirror's thread had.
    pub(super) mirror_ms_per_s: Option<f64>,
    /// The same of the server, where it is ours.
    pub(super) server_ms_per_s: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Ratios {
    pub(super) write_p50: f64,
    pub(super) write_p99: f64,
    pub(super) search_p50: f64,
    pub(super) search_p99: f64,
}

/// Two stores, one of which has a mirror.
pub(super) struct Stage<'a> {
    pub(super) mirror: &'a Mirror,
    pub(super) relay: &'a Relay,
    pub(super) mirrored: &'a Collection,
    pub(super) alone: &'a Collection,
    /// The server's process.
    pub(super) server: Option<u32>,
}

#[derive(Default)]
struct Sum {
    took: Took,
    ratios: Vec<Ratios>,
    lasted: Duration,
    mirror: Option<Duration>,
    server: Option<Duration>,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Hung => "hung",
            Self::Refused => "refused",
            Self::BlackHoled => "black-holed",
            Self::CatchingUp => "catching up",
        }
    }
}

impl Stage<'_> {
    /// `off` and all states. `of_mirrored` and `of_alone` make the calls.
    pub(super) fn measure(
        &self,
        rounds: usize,
        of_mirrored: &mut Calls<'_>,
        of_alone: &mut Calls<'_>,
    ) -> Result<Vec<State>> {
        let (mut off, mut sums) = (Sum::default(), KINDS.map(|_| Sum::default()));
        for round in 0..rounds {
            for (kind, sum) in KINDS.into_iter().zip(&mut sums) {
                if kind == Kind::CatchingUp {
                    // Both are written to alike: a store that has more dead rows than another is slower by itself.
                    self.relay.set(Mood::Refuse);
                    of_mirrored.rewrite(self.mirrored, BACKLOG_ROWS)?;
                    of_alone.rewrite(self.alone, BACKLOG_ROWS)?;
                }
                let before = (round % 2 == 0).then(|| of_alone.measure(self.alone)).transpose()?;
                self.enter(kind)?;
                let (start, mirror, server) = (Instant::now(), self.mirror_cpu(), self.server_cpu());
                let took = of_mirrored.measure(self.mirrored)?;
                sum.lasted += start.elapsed();
                sum.mirror = add(sum.mirror, self.mirror_cpu().zip(mirror).map(|(b, a)| b.saturating_sub(a)));
                sum.server = add(sum.server, self.server_cpu().zip(server).map(|(b, a)| spent(&a, &b)));
                let alone = before.map_or_else(|| of_alone.measure(self.alone), Ok)?;
                sum.ratios.push(Ratios::of(&took, &alone));
                sum.took = std::mem::take(&mut sum.took).and(took);
                off.took = std::mem::take(&mut off.took).and(alone);
            }
        }
        self.relay.set(Mood::Pass);
        let states = KINDS.into_iter().map(Kind::name).zip(sums);
        Ok(std::iter::once(("off", off)).chain(states).map(|(name, sum)| sum.state(name)).collect())
    }

    /// Brings the mirror into a state, from the one before.
    fn enter(&self, kind: Kind) -> Result<()> {
        match kind {
            Kind::Healthy => {
                self.relay.set(Mood::Pass);
                let is_well = || {
                    let status = self.mirror.status();
                    status.state == MirrorState::InSync && status.dirty_rows == 0
                };
                wait("be in sync", is_well)
            }
            Kind::Hung => {
                self.relay.set(Mood::Hang);
                Ok(())
            }
            Kind::Refused => {
                self.relay.set(Mood::Refuse);
                wait("lose its lines", || self.mirror.status().database.is_none())
            }
            Kind::BlackHoled => {
                self.relay.set(Mood::Hole);
                Ok(())
            }
            Kind::CatchingUp => {
                let pushed = self.mirror.status().pushed;
                self.relay.set(Mood::Pass);
                wait("begin to catch up", || self.mirror.status().pushed > pushed)
            }
        }
    }

    fn mirror_cpu(&self) -> Option<Duration> {
        cpu::of_threads("nearfield-mirror")
    }

    fn server_cpu(&self) -> Option<HashMap<u32, Duration>> {
        cpu::of_children(self.server?)
    }
}

fn wait(what: &str, is_so: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > PATIENCE {
            let message = format!("the mirror did not {what} within {} s", PATIENCE.as_secs());
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Processes that have come since count from their beginning, those that have gone not at all.
fn spent(before: &HashMap<u32, Duration>, after: &HashMap<u32, Duration>) -> Duration {
    let more =
        |(pid, now): (&u32, &Duration)| now.saturating_sub(before.get(pid).copied().unwrap_or_default());
    after.iter().map(more).sum()
}

fn add(sum: Option<Duration>, more: Option<Duration>) -> Option<Duration> {
    more.map(|more| sum.unwrap_or_default() + more)
}

impl Ratios {
    fn of(took: &Took, alone: &Took) -> Self {
        let ((write, search), (w, s)) =
            ((took.write.summary(), took.search.summary()), (alone.write.summary(), alone.search.summary()));
        let ratio = |a: f64, b: f64| a / b.max(0.001);
        Self {
            write_p50: ratio(write.p50_us, w.p50_us),
            write_p99: ratio(write.p99_us, w.p99_us),
            search_p50: ratio(search.p50_us, s.p50_us),
            search_p99: ratio(search.p99_us, s.p99_us),
        }
    }

    fn medians(all: &[Self]) -> Option<Self> {
        let median = |of: fn(&Self) -> f64| {
            let mut values: Vec<f64> = all.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
            Some((low + high) / 2.0)
        };
        Some(Self {
            write_p50: median(|r| r.write_p50)?,
            write_p99: median(|r| r.write_p99)?,
            search_p50: median(|r| r.search_p50)?,
            search_p99: median(|r| r.search_p99)?,
        })
    }
}

impl Sum {
    fn state(self, mirror: &'static str) -> State {
        let per_s =
            |spent: Option<Duration>| Some(spent?.as_secs_f64() * 1e3 / self.lasted.as_secs_f64().max(1e-9));
        State {
            mirror,
            write: self.took.write.summary(),
            search: self.took.search.summary(),
            ratios: Ratios::medians(&self.ratios),
            mirror_ms_per_s: per_s(self.mirror),
            server_ms_per_s: per_s(self.server),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_of_each_ratio_by_itself() {
        let ratios =
            |a: f64, b: f64| Ratios { write_p50: a, write_p99: b, search_p50: 1.0, search_p99: a + b };
        assert_eq!(Ratios::medians(&[]), None);
        assert_eq!(Ratios::medians(&[ratios(2.0, 3.0)]), Some(ratios(2.0, 3.0)));
        let odd = [ratios(1.0, 9.0), ratios(2.0, 1.0), ratios(30.0, 2.0)];
        assert_eq!(Ratios::medians(&odd), Some(Ratios { search_p99: 10.0, ..ratios(2.0, 2.0) }));
        let even = [ratios(1.0, 1.0), ratios(3.0, 3.0)];
        assert_eq!(Ratios::medians(&even), Some(ratios(2.0, 2.0)));
    }

    #[test]
    fn time_is_counted_of_processes_that_are_left_or_new() {
        let of =
            |all: &[(u32, u64)]| all.iter().map(|(pid, ms)| (*pid, Duration::from_millis(*ms))).collect();
        assert_eq!(spent(&of(&[(1, 5), (2, 9)]), &of(&[(1, 7), (3, 4)])), Duration::from_millis(6));
    }
}
