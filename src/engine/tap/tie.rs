//! What binds a whole store to its mirror: whether it does, who this store is there, who is to be called.
//!
//! Invariants: being attached is durable before a mark is made; nothing is written to `MIRROR` after the store was closed; nobody
//! is called under a lock of the engine.

use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Ver;
use crate::manifest::{Bond, MIRROR_STATE_BYTES_MAX, Origin};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

pub(crate) type Waker = Arc<dyn Fn() + Send + Sync>;

pub(crate) struct Tie {
    /// Who this store is in the database.
    node: u64,
    /// Whose the old rows are that say they are this store's.
    origins: Vec<Origin>,
    is_attached: AtomicBool,
    is_closed: AtomicBool,
    /// Of digests.
    seed: AtomicU64,
    /// What is remembered. Held while it is written: one at a time, and none after closing.
    bond: Mutex<Bond>,
    waker: Mutex<Option<Waker>>,
    /// Counts what a waiter may wait for: acknowledgements, and the end.
    cleaned: Mutex<u64>,
    changed: Condvar,
}

impl Tie {
    /// `bond` if the store is attached already.
    pub(crate) fn new(node: u64, origins: Vec<Origin>, bond: Option<Bond>) -> Self {
        Self {
            node,
            origins,
            is_attached: AtomicBool::new(bond.is_some()),
            is_closed: AtomicBool::new(false),
            seed: AtomicU64::new(0),
            bond: Mutex::new(bond.unwrap_or_default()),
            waker: Mutex::default(),
            cleaned: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn node(&self) -> u64 {
        self.node
    }

    /// Who wrote a row that says `node`.
    pub(crate) fn node_of(&self, ver: Ver, node: u64) -> u64 {
        if node != 0 {
            return node;
        }
        let ver = u64::try_from(ver.0).unwrap_or(0);
        self.origins.iter().find(|origin| origin.ver >= ver).map_or(self.node, |origin| origin.node)
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.is_attached.load(Ordering::Acquire)
    }

    pub(crate) fn set_attached(&self) {
        self.is_attached.store(true, Ordering::Release);
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed.load(Ordering::Acquire)
    }

    pub(crate) fn set_seed(&self, seed: u64) {
        self.seed.store(seed, Ordering::Release);
    }

    pub(crate) fn ensure_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, "the store was closed; open it again"));
        }
        Ok(())
    }

    /// Writes `MIRROR`, where there is a disk.
    pub(crate) fn remember(&self, disk: Option<&dyn Disk>, state: Option<&[u8]>) -> Result<()> {
        let len = state.map_or(0, <[u8]>::len);
        if len > MIRROR_STATE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the mirror's state has {len} bytes; the limit is {MIRROR_STATE_BYTES_MAX}"
            )));
        }
        let mut bond = self.bond.lock();
        self.ensure_open()?;
        let next = Bond { state: state.map(<[u8]>::to_vec) };
        disk.map_or(Ok(()), |disk| next.write(disk))?;
        *bond = next;
        Ok(())
    }

    pub(crate) fn remembered(&self) -> Option<Vec<u8>> {
        self.bond.lock().state.clone()
    }

    pub(crate) fn set_waker(&self, waker: Waker) {
        *self.waker.lock() = Some(waker);
    }

    /// There is a new state.
    pub(crate) fn committed(&self) {
        if self.is_attached() {
            // What was dirty may have been replaced.
            self.notify();
            self.wake();
        }
    }

    /// Tells the mirror that something happened.
    fn wake(&self) {
        let waker = self.waker.lock().clone();
        if let Some(waker) = waker {
            waker();
        }
    }

    /// Ends it: who waits is told, and `MIRROR` stays as it is.
    pub(crate) fn close(&self) {
        {
            let _written = self.bond.lock();
            self.is_closed.store(true, Ordering::Release);
        }
        self.notify();
        self.wake();
    }

    /// Something became clean, or went.
    pub(crate) fn notify(&self) {
        *self.cleaned.lock() += 1;
        self.changed.notify_all();
    }

    /// Waits until `is_clean`; false if `until` came first.
    pub(crate) fn wait(&self, until: Instant, is_clean: &dyn Fn() -> bool) -> Result<bool> {
        loop {
            let seen = *self.cleaned.lock();
            // Asked without the lock: it looks at marks, and whoever changes them comes by here after.
            if is_clean() {
                return Ok(true);
            }
            self.ensure_open()?;
            let mut cleaned = self.cleaned.lock();
            if *cleaned == seen {
                self.changed.wait_until(&mut cleaned, until);
            }
            drop(cleaned);
            if Instant::now() >= until {
                return Ok(is_clean());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_rows_are_of_the_first_origin_that_reaches_them() {
        let origins = [(5, 100), (6, 200)].map(|(node, ver)| Origin { node, ver }).to_vec();
        let tie = Tie::new(7, origins, None);
        for (ver, node, expected) in
            [(1, 0, 5), (100, 0, 5), (101, 0, 6), (200, 0, 6), (201, 0, 7), (1, 9, 9), (-1, 0, 5)]
        {
            assert_eq!(tie.node_of(Ver(ver), node), expected, "{ver} {node}");
        }
    }
}
