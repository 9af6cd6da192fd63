//! How long each kind of background work keeps writes waiting.
//!
//! What is timed is what a writer may wait for: the line of commits, the writer's lock of a collection, and linking. Searches wait
//! for none of these.

use crate::metrics::{Histogram, Times};
use std::time::Instant;

/// What goes on beside writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Rows leave the tail.
    Link,
    Checkpoint,
    /// A file takes the place of a block's memory.
    Seal,
    Heal,
    Mend,
    /// Live rows leave a sparse block.
    Move,
    /// An empty block is given back.
    Drop,
    /// The codec is trained anew.
    Train,
    /// Pages of files are copied into memory.
    Warm,
    /// Damaged codes or rows.
    Repair,
    Flush,
}

impl Job {
    const ALL: [Self; 11] = [
        Self::Link,
        Self::Checkpoint,
        Self::Seal,
        Self::Heal,
        Self::Mend,
        Self::Move,
        Self::Drop,
        Self::Train,
        Self::Warm,
        Self::Repair,
        Self::Flush,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Checkpoint => "checkpoint",
            Self::Seal => "seal",
            Self::Heal => "heal",
            Self::Mend => "mend",
            Self::Move => "move",
            Self::Drop => "drop",
            Self::Train => "train",
            Self::Warm => "warm",
            Self::Repair => "repair",
            Self::Flush => "flush",
        }
    }
}

/// The times of all jobs of a store.
#[derive(Default)]
pub(crate) struct Pauses([Histogram; Job::ALL.len()]);

impl Pauses {
    /// To be made when the lock is held, and where that keeps others out, when it is asked for; to be dropped before it.
    pub(crate) fn begin(&self, job: Job) -> Pause<'_> {
        Pause { of: &self.0[job as usize], since: Instant::now() }
    }

    /// Those of jobs that were done.
    pub(crate) fn times(&self) -> Vec<(&'static str, Times)> {
        let all = Job::ALL.iter().map(|job| (job.name(), self.0[*job as usize].times()));
        all.filter(|(_, times)| times.count > 0).collect()
    }
}

/// Somebody may be waiting.
pub(crate) struct Pause<'a> {
    of: &'a Histogram,
    since: Instant,
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.of.record(self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_a_place_and_a_name_of_its_own() {
        let pauses = Pauses::default();
        assert!(pauses.times().is_empty());
        for (at, job) in Job::ALL.into_iter().enumerate() {
            assert_eq!(job as usize, at);
            drop(pauses.begin(job));
        }
        let names: std::collections::BTreeSet<_> = pauses.times().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), Job::ALL.len());
    }
}
