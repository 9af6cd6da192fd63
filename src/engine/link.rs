//! Linking rows into the graph after their commit: by the writer, by helpers for a large batch, or in the background.
//!
//! Invariants: a slot is linked once, by whoever takes it off the queue; until the view without it is published it
//! stands in the tail, so no search misses it.

use super::inner::Inner;
use super::view::View;
use crate::ids::Slot;
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows that are linked before the tail is published anew.
const LINK_ROWS: usize = 4096;
/// Rows for which another thread pays.
const ROWS_PER_HELPER: usize = 16;

/// Rows that a thread links without looking up.
const ROWS_PER_TURN: usize = 8;

/// Slots that wait to be linked.
#[derive(Default)]
pub(super) struct Unlinked(Mutex<VecDeque<Slot>>);

impl Unlinked {
    pub(super) fn of(slots: &[Slot]) -> Self {
        Self(Mutex::new(slots.iter().copied().collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub(super) fn push(&self, slots: &[Slot]) {
        self.0.lock().extend(slots);
    }

    fn take(&self, max: usize) -> Vec<Slot> {
        let mut queue = self.0.lock();
        let n = queue.len().min(max);
        queue.drain(..n).collect()
    }
}

impl Inner {
    /// Links `rows` of the rows that wait, those of others among them; says how many it took.
    pub(super) fn link_waiting(&self, rows: usize) -> usize {
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
                    let from = next.fetch_add(ROWS_PER_TURN, Ordering::Relaxed);
                    let Some(turn) = part.get(from..(from + ROWS_PER_TURN).min(part.len())) else { return };
                    // Whoever must be alone gets a turn too.
                    let _linking = self.linking.read();
                    let view = self.view.load_full();
                    for &slot in turn.iter().filter(|s| view.ready.contains(**s)) {
                        self.graph.link(view.space(), &view.ready, slot, scratch);
                    }
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
        let mut view = View::clone(&self.view.load());
        let linked: HashSet<Slot> = part.iter().copied().collect();
        view.tail = view.tail.iter().copied().filter(|s| !linked.contains(s)).collect();
        view.linked = view.linked.with(part, &[]);
        self.link_steps.fetch_add(1, Ordering::Relaxed);
        self.unmended.fetch_add(part.len(), Ordering::Relaxed);
        self.view.store(Arc::new(view));
    }
}
