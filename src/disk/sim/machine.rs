//! A machine around a simulated disk: power, faults, capacity, locks, counters, and the log of what was done.
//!
//! Invariant: `base` with the whole log applied is `model`.

use super::fault::{Fault, Faults, Need};
use super::model::{Model, Op};
use std::collections::BTreeMap;
use std::io;

/// What a disk has room for when nobody says.
const TOTAL: u64 = 1 << 40;

/// What was asked of a disk, failed calls included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) syncs: u64,
    pub(crate) sync_dirs: u64,
    pub(crate) writes: u64,
    pub(crate) bytes_written: u64,
}

pub(super) struct Machine {
    base: Model,
    pub(super) log: Vec<Op>,
    pub(super) model: Model,
    pub(super) operations: u64,
    pub(super) unique: u64,
    pub(super) counters: Counters,
    pub(super) faults: Faults,
    pub(super) capacity: Option<u64>,
    /// The operation that meets the power loss.
    pub(super) crash: Option<u64>,
    /// The disk in the middle of that operation.
    lost: Option<Model>,
    /// The notes of those who hold a lock, by path.
    pub(super) locks: BTreeMap<String, String>,
}

impl Machine {
    pub(super) fn new(model: Model, capacity: Option<u64>) -> Self {
        Self {
            base: model.clone(),
            log: Vec::new(),
            model,
            operations: 0,
            unique: 0,
            counters: Counters::default(),
            faults: Faults::default(),
            capacity,
            crash: None,
            lost: None,
            locks: BTreeMap::new(),
        }
    }

    pub(super) fn base(&self) -> &Model {
        &self.base
    }

    /// What a power loss finds: the disk now, or in the middle of the operation that met it.
    pub(super) fn at_loss(&self) -> &Model {
        self.lost.as_ref().unwrap_or(&self.model)
    }

    pub(super) fn has_power(&self) -> io::Result<()> {
        if self.lost.is_some() { Err(gone()) } else { Ok(()) }
    }

    /// Meets a call that changes nothing.
    pub(super) fn call(&mut self, need: Need) -> io::Result<()> {
        self.faults.meet(need).map_or(Ok(()), |fault| Err(fault.error()))
    }

    /// Carries out an operation, or as much of it as faults, room and power allow.
    pub(super) fn change(&mut self, op: Op) -> io::Result<()> {
        self.has_power()?;
        let (need, asked) = (need(&op), op.clone());
        let (done, error) = match self.faults.meet(need) {
            Some(fault) => fail(op, fault),
            None => self.fit(op),
        };
        if self.crash.is_some_and(|crash| crash <= self.operations) {
            let mut lost = self.model.clone();
            // A call that would have been refused leaves nothing.
            let _ = if done.may_be_under_way() { lost.apply(&done) } else { Ok(()) };
            self.lost = Some(lost);
            return Err(gone());
        }
        self.operations += 1;
        self.count(&asked);
        let answer = self.model.apply(&done);
        self.log.push(done);
        answer.and(error.map_or(Ok(()), Err))
    }

    /// Changes bytes behind the back of the process.
    pub(super) fn force(&mut self, op: Op) -> io::Result<()> {
        let answer = self.model.apply(&op);
        self.log.push(op);
        answer
    }

    pub(super) fn total(&self) -> u64 {
        self.capacity.unwrap_or(TOTAL)
    }

    pub(super) fn free(&self) -> u64 {
        self.total().saturating_sub(self.model.used())
    }

    /// What of `op` there is room for, and what is said when that is not all.
    fn fit(&self, op: Op) -> (Op, Option<io::Error>) {
        if self.capacity.is_none() || need(&op) != Need::Room {
            return (op, None);
        }
        let free = self.free();
        let lacks = |file: usize, end: u64| {
            end.saturating_sub(self.model.files[file].live().len()).saturating_sub(free)
        };
        match op {
            Op::Write { file, offset, bytes } => {
                let lack = lacks(file, offset.saturating_add(bytes.len() as u64));
                if lack == 0 {
                    return (Op::Write { file, offset, bytes }, None);
                }
                let room = (bytes.len() as u64).saturating_sub(lack) as usize;
                let done = Op::Write { file, offset, bytes: bytes[..room].into() };
                (done, Some(Fault::Full.error()))
            }
            Op::SetLen { file, len } if lacks(file, len) > 0 => (Op::Nothing, Some(Fault::Full.error())),
            Op::Create(_) | Op::MakeDir(_) if free == 0 => (Op::Nothing, Some(Fault::Full.error())),
            op => (op, None),
        }
    }

    fn count(&mut self, op: &Op) {
        let counters = &mut self.counters;
        match op {
            Op::Sync(_) => counters.syncs += 1,
            Op::SyncDir(_) => counters.sync_dirs += 1,
            Op::Write { bytes, .. } => {
                counters.writes += 1;
                counters.bytes_written += bytes.len() as u64;
            }
            _ => {}
        }
    }
}

fn need(op: &Op) -> Need {
    match op {
        Op::Create(_) | Op::Write { .. } | Op::SetLen { .. } | Op::MakeDir(_) => Need::Room,
        _ => Need::Change,
    }
}

/// What is left of an operation that meets a fault.
fn fail(op: Op, fault: Fault) -> (Op, Option<io::Error>) {
    let done = match op {
        Op::Write { file, offset, bytes } if fault == Fault::Short => {
            Op::Write { file, offset, bytes: bytes[..bytes.len() / 2].into() }
        }
        Op::Sync(file) => Op::FailSync(file),
        _ => Op::Nothing,
    };
    (done, Some(fault.error()))
}

fn gone() -> io::Error {
    io::Error::other("the power is gone")
}
