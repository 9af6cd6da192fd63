//! Linking rows into the graph after their commit: by the writer, by helpers for a large batch, or in the background.
//!
//! Invariants: a slot is linked once, by whoever takes it off the queue; until the view without it is published it
//! stands in the tail, so no search misses it.

use crate::engine::inner::Inner;
use crate::engine::upkeep::pauses::Job;
use crate::engine::view::View;
use crate::ids::Slot;
use parking_lot::{Condvar, Mutex};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows that are linked before the tail is published anew.
const LINK_ROWS: usize = 4096;
/// Rows for which another thread pays.
const ROWS_PER_HELPER: usize = 16;
/// Rows that are linked in one turn, while others wait. Threads that link together wait for each other at the end of a turn:
/// they take a share of those that wait.
const TURN_SHARE: usize = 4;
const TURN_ROWS_MIN: usize = 64;
const TURN_ROWS_ALONE: usize = 16;
const TURN_ROWS_MAX: usize = 1_024;
/// Rows that a thread links without looking up.
const ROWS_PER_LOOK: usize = 1;

/// Slots that wait to be linked, and whether somebody is at it who keeps others from it.
#[derive(Default)]
pub(crate) struct Unlinked {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    slots: VecDeque<Slot>,
    is_taken: bool,
}

impl Unlinked {
    pub(crate) fn of(slots: &[Slot]) -> Self {
        let queue = Queue { slots: slots.iter().copied().collect(), is_taken: false };
        Self { queue: Mutex::new(queue), changed: Condvar::new() }
    }

    pub(crate) fn push(&self, slots: &[Slot]) {
        self.queue.lock().slots.extend(slots);
    }

    fn take(&self, max: usize) -> Vec<Slot> {
        let slots = &mut self.queue.lock().slots;
        let n = slots.len().min(max);
        slots.drain(..n).collect()
    }

    /// Whether any waits and nobody is at it.
    pub(crate) fn is_waiting(&self) -> bool {
        let queue = self.queue.lock();
        !queue.slots.is_empty() && !queue.is_taken
    }

    /// Waits until no more than `rows_max` wait, or nobody else links: then it is the caller's turn, and true.
    fn turn(&self, rows_max: usize) -> bool {
        let mut queue = self.queue.lock();
        while queue.slots.len() > rows_max {
            if !queue.is_taken {
                queue.is_taken = true;
                return true;
            }
            self.changed.wait(&mut queue);
        }
        false
    }

    /// Rows of a turn of `threads` threads.
    fn turn_rows(&self, threads: usize) -> usize {
        if threads == 1 {
            return TURN_ROWS_ALONE;
        }
        (self.queue.lock().slots.len() / TURN_SHARE).clamp(TURN_ROWS_MIN, TURN_ROWS_MAX)
    }

    fn end_turn(&self) {
        self.queue.lock().is_taken = false;
        self.changed.notify_all();
    }
}

/// Ends a turn, whatever happens in it.
struct Turn<'a>(&'a Unlinked);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.end_turn();
    }
}

impl Inner {
    /// Returns when no more than `rows_max` rows wait, or the caller has linked as many as it wrote: others' rows are not its
    /// to link for ever. One at a time links, with the threads that the host allows, and the others wait: eight writers who all
    /// linked left no core to those who search.
    pub(crate) fn link_down_to(&self, rows_max: usize, written: usize) {
        let mut linked = 0;
        while linked < written && self.unlinked.turn(rows_max) {
            let _turn = Turn(&self.unlinked);
            linked += self.link_waiting(self.unlinked.turn_rows(self.options.build_threads));
        }
    }

    /// Links some of the rows that wait, unless somebody else is at it.
    pub(crate) fn link_turn(&self) -> bool {
        if !self.unlinked.is_waiting() || !self.unlinked.turn(0) {
            return false;
        }
        let _turn = Turn(&self.unlinked);
        self.link_waiting(self.unlinked.turn_rows(self.options.build_threads)) > 0
    }

    /// Links `rows` of the rows that wait, those of others among them; says how many it took.
    pub(crate) fn link_waiting(&self, rows: usize) -> usize {
        let mut linked = 0;
        while linked < rows {
            let part = self.unlinked.take((rows - linked).min(LINK_ROWS));
            if part.is_empty() {
                break;
            }
            linked += part.len();
            self.link(&part);
            self.leave_tail(&part);
        }
        linked
    }

    fn link(&self, part: &[Slot]) {
        let next = AtomicUsize::new(0);
        let worker = || {
            self.with_scratch(|scratch| {
                loop {
                    let from = next.fetch_add(ROWS_PER_LOOK, Ordering::Relaxed);
                    let Some(some) = part.get(from..(from + ROWS_PER_LOOK).min(part.len())) else { return };
                    // Whoever must be alone gets a turn too.
                    let linking = self.linking.read();
                    let view = self.view.load_full();
                    for &slot in some.iter().filter(|s| view.ready.contains(**s)) {
                        self.graph.link(view.space(), &view.ready, slot, scratch);
                    }
                    drop(linking);
                    // Who searches on this core waits for one row, not for a slice of the scheduler's.
                    std::thread::yield_now();
                }
            });
        };
        let helpers = self.options.build_threads.min(part.len() / ROWS_PER_HELPER + 1) - 1;
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                // A thread that cannot be had leaves its share to the others.
                let _ = std::thread::Builder::new().name("nearfield-link".into()).spawn_scoped(scope, worker);
            }
            worker();
        });
    }

    /// The same rows as before, found another way: not a commit.
    fn leave_tail(&self, part: &[Slot]) {
        let _writer = self.writer.lock();
        let _pause = self.line.pauses.begin(Job::Link);
        let mut view = View::clone(&self.view.load());
        let linked: HashSet<Slot> = part.iter().copied().collect();
        view.tail = view.tail.iter().copied().filter(|s| !linked.contains(s)).collect();
        view.linked = view.linked.with(part, &[]);
        self.link_steps.fetch_add(1, Ordering::Relaxed);
        self.unmended.fetch_add(part.len(), Ordering::Relaxed);
        self.view.store(Arc::new(view));
    }
}
