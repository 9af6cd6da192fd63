//! Who may ask the database on behalf of a search: few at once, a line that is not long, nobody for a while after a fault.
//!
//! Invariants: nobody waits here beyond the deadline that he brings; after a fault as much time passes as its class says before one
//! asks again, alone. Policy and counts; knows neither questions nor threads.

use super::backoff::{Backoff, Breaker, Random};
use super::remote::{Done, FaultClass};
use super::sides::Clock;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;
use std::time::Instant;

/// Questions on their way. Filling and the feed read on two lines; a database has four for readers.
const RUNNING_MAX: usize = 2;
/// Callers in line. More are answered at once, without the database.
const WAITING_MAX: usize = 64;

/// What became of searches while a collection was being filled, since the mirror started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FallbackStatus {
    /// Questions that the database answered.
    pub answered: u64,
    /// Questions that it did not answer in time, or not well: the rows that were here answered.
    pub failed: u64,
    /// Questions that were not asked, because too many others were under way.
    pub crowded_out: u64,
    /// Why the last of those that failed did.
    pub last_error: Option<String>,
}

pub(super) struct Gate {
    state: Mutex<State>,
    freed: Condvar,
    clock: Clock,
}

struct State {
    /// The mirror is on good terms with the database.
    is_open: bool,
    running: usize,
    waiting: usize,
    backoff: Backoff,
    random: Random,
    status: FallbackStatus,
}

/// The right to ask one question. It ends when it is dropped.
pub(super) struct Pass<'g> {
    gate: &'g Gate,
}

impl Gate {
    /// Closed until [`open`](Self::open) says otherwise.
    pub(super) fn new(retry_ms_max: u64, clock: Clock, seed: u64) -> Self {
        let state = State {
            is_open: false,
            running: 0,
            waiting: 0,
            backoff: Backoff::new(retry_ms_max),
            random: Random(seed),
            status: FallbackStatus::default(),
        };
        Self { state: Mutex::new(state), freed: Condvar::new(), clock }
    }

    pub(super) fn open(&self, is_open: bool) {
        self.state.lock().is_open = is_open;
    }

    pub(super) fn status(&self) -> FallbackStatus {
        self.state.lock().status.clone()
    }

    /// Whether it is worth while to come by.
    pub(super) fn is_open(&self) -> bool {
        self.state.lock().admits((self.clock)())
    }

    /// Waits for its turn, until then. Nothing: it is not to be asked.
    pub(super) fn enter(&self, until: Instant) -> Option<Pass<'_>> {
        let mut state = self.state.lock();
        if state.admits((self.clock)()) && state.running >= RUNNING_MAX && state.waiting < WAITING_MAX {
            state.waiting += 1;
            while state.running >= RUNNING_MAX && !self.freed.wait_until(&mut state, until).timed_out() {}
            state.waiting -= 1;
        }
        if !state.admits((self.clock)()) {
            return None;
        }
        if state.running >= RUNNING_MAX {
            state.status.crowded_out += 1;
            return None;
        }
        state.running += 1;
        Some(Pass { gate: self })
    }
}

impl State {
    fn admits(&self, now_ms: u64) -> bool {
        let is_tried = match self.backoff.breaker(now_ms) {
            Breaker::Closed => true,
            Breaker::HalfOpen => self.running == 0,
            Breaker::Open => false,
        };
        self.is_open && is_tried
    }
}

impl Pass<'_> {
    /// What became of the question.
    pub(super) fn done<T>(self, answer: Done<T>) -> Option<T> {
        let now_ms = (self.gate.clock)();
        let mut state = self.gate.state.lock();
        match answer {
            Ok(answer) => {
                state.status.answered += 1;
                state.backoff.succeed();
                Some(answer)
            }
            Err(fault) => {
                state.status.failed += 1;
                state.status.last_error = Some(fault.to_string());
                if fault.class != FaultClass::Data {
                    let chance = state.random.next();
                    state.backoff.fail(fault.class, now_ms, chance);
                }
                None
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().running -= 1;
        self.gate.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::remote::Fault;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn gate() -> (Gate, Arc<AtomicU64>) {
        let now = Arc::new(AtomicU64::new(1_000));
        let clock: Clock = Arc::new({
            let now = now.clone();
            move || now.load(Ordering::Relaxed)
        });
        let gate = Gate::new(10_000, clock, 1);
        gate.open(true);
        (gate, now)
    }

    fn fault(class: FaultClass) -> Done<()> {
        Err(Fault { class, code: None, message: "no".into(), remedy: None })
    }

    #[test]
    fn few_are_let_in_at_once_and_the_rest_do_without() {
        let (gate, _) = gate();
        let passes: Vec<_> = (0..RUNNING_MAX).filter_map(|_| gate.enter(Instant::now())).collect();
        assert_eq!(passes.len(), RUNNING_MAX);
        assert!(gate.enter(Instant::now()).is_none());
        assert_eq!(gate.status().crowded_out, 1);
        drop(passes);
        assert_eq!(gate.enter(Instant::now()).unwrap().done(Ok(7)), Some(7));
        assert_eq!((gate.status().answered, gate.state.lock().running), (1, 0));
    }

    #[test]
    fn whoever_waits_is_let_in_when_another_leaves() {
        let (gate, _) = gate();
        let mut passes: Vec<_> = (0..RUNNING_MAX).filter_map(|_| gate.enter(Instant::now())).collect();
        let until = Instant::now() + std::time::Duration::from_secs(60);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| gate.enter(until).is_some());
            passes.pop();
            assert!(waits.join().unwrap());
        });
    }

    #[test]
    fn a_gate_that_is_closed_lets_nobody_in() {
        let (gate, _) = gate();
        gate.open(false);
        assert!(!gate.is_open() && gate.enter(Instant::now()).is_none());
        assert_eq!(gate.status(), FallbackStatus::default());
    }

    #[test]
    fn after_a_fault_nobody_asks_for_a_while_and_then_one() {
        let (gate, now) = gate();
        assert_eq!(gate.enter(Instant::now()).unwrap().done(fault(FaultClass::Transient)), None);
        assert!(!gate.is_open() && gate.enter(Instant::now()).is_none());
        now.fetch_add(10_000, Ordering::Relaxed);
        let probe = gate.enter(Instant::now()).unwrap();
        assert!(gate.enter(Instant::now()).is_none(), "one probes");
        assert_eq!(probe.done(Ok(())), Some(()));
        let two = [gate.enter(Instant::now()), gate.enter(Instant::now())];
        assert!(two.iter().all(Option::is_some), "and all after it");
        let status = gate.status();
        assert_eq!((status.failed, status.answered, status.last_error.as_deref()), (1, 1, Some("no")));
    }

    #[test]
    fn a_question_that_is_at_fault_closes_nothing() {
        let (gate, _) = gate();
        gate.enter(Instant::now()).unwrap().done(fault(FaultClass::Data));
        let two = [gate.enter(Instant::now()), gate.enter(Instant::now())];
        assert!(two.iter().all(Option::is_some), "none of them is a probe");
    }
}
