//! What is being embedded now: who needs the same waits for it, and does not pay again.
//!
//! Invariants: a key is claimed by one call at a time, and is free again when that ends, however it ends; who waits holds no claim, so nobody
//! waits for somebody who waits.

use super::format::Key;
use parking_lot::{Condvar, Mutex};
use std::collections::HashSet;

#[derive(Default)]
pub(super) struct UnderWay {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    keys: HashSet<Key>,
    waiting: usize,
}

/// What a call is to embed.
pub(super) struct Claim<'c, 't> {
    pub(super) of: &'c UnderWay,
    /// One for each text.
    pub(super) keys: Vec<Key>,
    /// Those of them that nobody else had claimed.
    pub(super) own: Vec<Key>,
    pub(super) texts: Vec<&'t str>,
}

impl UnderWay {
    /// False if somebody has it already.
    pub(super) fn claim(&self, key: &Key) -> bool {
        self.state.lock().keys.insert(*key)
    }

    /// Until nobody embeds it.
    pub(super) fn wait_for(&self, key: &Key) {
        let mut state = self.state.lock();
        state.waiting += 1;
        while state.keys.contains(key) {
            self.ended.wait(&mut state);
        }
        state.waiting -= 1;
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting
    }
}

impl Drop for Claim<'_, '_> {
    fn drop(&mut self) {
        let mut state = self.of.state.lock();
        for key in &self.own {
            state.keys.remove(key);
        }
        drop(state);
        self.of.ended.notify_all();
    }
}
