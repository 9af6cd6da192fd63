//! A run of a simulated disk, walked through again operation by operation, to lose power at each.

use super::SimDisk;
use super::loss::Loss;
use super::machine::Machine;
use super::model::{Model, Op};

/// Stands before an operation of a finished run: all before it are done, and it is under way.
#[derive(Clone)]
pub(crate) struct Replay {
    model: Model,
    log: Vec<Op>,
    next: usize,
    operations: u64,
    capacity: Option<u64>,
}

impl Replay {
    pub(super) fn new(machine: &Machine) -> Self {
        let (model, log) = (machine.base().clone(), machine.log.clone());
        let mut replay = Self { model, log, next: 0, operations: 0, capacity: machine.capacity };
        replay.settle();
        replay
    }

    /// Operations done.
    pub(crate) fn operations(&self) -> u64 {
        self.operations
    }

    /// Completes the operation that is under way; false if the run ends here.
    pub(crate) fn step(&mut self) -> bool {
        let Some(op) = self.log.get(self.next) else { return false };
        // The answer is that of the first run: an error changed nothing then, and changes nothing now.
        let _ = self.model.apply(op);
        self.next += 1;
        self.operations += 1;
        self.settle();
        true
    }

    /// A machine that starts with one possible content of the disk, if the power goes now.
    pub(crate) fn image(&self, loss: Loss, seed: u64) -> SimDisk {
        let after = match self.log.get(self.next).filter(|op| op.may_be_under_way()) {
            Some(op) => {
                let mut model = self.model.clone();
                let _ = model.apply(op);
                model.after(loss, seed)
            }
            None => self.model.after(loss, seed),
        };
        SimDisk::start(after, self.capacity)
    }

    /// Applies what is no operation of the process.
    fn settle(&mut self) {
        while let Some(op) = self.log.get(self.next).filter(|op| !op.is_counted()) {
            let _ = self.model.apply(op);
            self.next += 1;
        }
    }
}
