//! How far the feed has come: all that `since` sees is here. A window that is being read ends at `until`.
//!
//! Invariant: the cursor moves over a page only when the page's rows are durable here (M9); whoever calls [`Cursor::advance`] says so.

use super::remote::{ChangeKey, Snapshot};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    since: Snapshot,
    window: Option<Window>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Window {
    until: Snapshot,
    after: Option<ChangeKey>,
}

impl Cursor {
    pub(super) fn at(snapshot: Snapshot) -> Self {
        Self { since: snapshot, window: None }
    }

    /// What to read next, where `now` is the snapshot of whoever reads: since, until, after.
    pub(super) fn window(&self, now: &Snapshot) -> (Snapshot, Snapshot, Option<ChangeKey>) {
        match &self.window {
            Some(Window { until, after }) => (self.since.clone(), until.clone(), after.clone()),
            None => (self.since.clone(), now.clone(), None),
        }
    }

    /// A page of the window that ends at `until` is durable here; `last` is its last key, nothing if the window ends with it.
    pub(super) fn advance(&mut self, until: Snapshot, last: Option<ChangeKey>) {
        match last {
            Some(last) => self.window = Some(Window { until, after: Some(last) }),
            None => *self = Self::at(until),
        }
    }

    /// All that this snapshot sees is here.
    pub(super) fn since(&self) -> &Snapshot {
        &self.since
    }

    pub(super) fn is_within_window(&self) -> bool {
        self.window.is_some()
    }
}

/// How often the feed is read: at once after changes, ever more seldom in silence.
#[derive(Debug)]
pub(super) struct Poll {
    wait_ms: u64,
    min_ms: u64,
    max_ms: u64,
}

impl Poll {
    pub(super) fn new(min_ms: u64, max_ms: u64) -> Self {
        Self { wait_ms: min_ms, min_ms, max_ms }
    }

    /// How long to wait after a read that found something, or nothing.
    pub(super) fn after(&mut self, has_found: bool) -> u64 {
        self.wait_ms =
            if has_found { self.min_ms } else { (self.wait_ms * 3 / 2 + 1).clamp(self.min_ms, self.max_ms) };
        self.wait_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(name: &str) -> Snapshot {
        Snapshot(name.into())
    }

    fn key(id: &str) -> ChangeKey {
        ChangeKey { xid: 1, collection: "c".into(), id: id.into() }
    }

    #[test]
    fn a_window_stays_until_its_last_page() {
        let mut cursor = Cursor::at(snapshot("1"));
        assert_eq!(cursor.window(&snapshot("2")), (snapshot("1"), snapshot("2"), None));
        cursor.advance(snapshot("2"), Some(key("a")));
        assert_eq!(cursor.window(&snapshot("3")), (snapshot("1"), snapshot("2"), Some(key("a"))));
        assert!(cursor.is_within_window());
        let kept: Cursor = serde_json::from_str(&serde_json::to_string(&cursor).unwrap()).unwrap();
        assert_eq!(kept, cursor);
        cursor.advance(snapshot("2"), None);
        assert_eq!(cursor, Cursor::at(snapshot("2")));
        assert_eq!(cursor.window(&snapshot("3")), (snapshot("2"), snapshot("3"), None));
    }

    #[test]
    fn silence_makes_polls_seldom() {
        let mut poll = Poll::new(100, 5_000);
        let waits: Vec<u64> = (0..11).map(|_| poll.after(false)).collect();
        assert_eq!(waits, [151, 227, 341, 512, 769, 1_154, 1_732, 2_599, 3_899, 5_000, 5_000]);
        assert_eq!(poll.after(true), 100);
    }
}
