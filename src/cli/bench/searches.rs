//! One thread that searches without a rest, and how long each search took: on the clock, and on a core.

use super::data::Matrix;
use super::pauses::Pauses;
use crate::{Collection, Result};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Searches of one thread. What a search took beyond its time on a core it waited for one: it waits for nothing else.
#[derive(Default)]
pub(super) struct Searches {
    pub(super) wall: Pauses,
    pub(super) cpu: Pauses,
}

impl Searches {
    /// One after the other, until `is_over` says so, which is told when they began.
    pub(super) fn until(
        docs: &Collection,
        queries: &Matrix,
        k: usize,
        is_over: &dyn Fn(Instant) -> bool,
    ) -> Result<Self> {
        let (start, mut searches) = (Instant::now(), Self::default());
        for query in (0..queries.rows()).cycle() {
            let (from, cpu) = (Instant::now(), on_core());
            black_box(docs.search(queries.row(query)).k(k).run()?);
            let took = on_core().saturating_sub(cpu);
            searches.wall.record(start, from);
            searches.cpu.add(took, from.duration_since(start));
            if is_over(start) {
                break;
            }
        }
        Ok(searches)
    }
}

/// How long the calling thread has been on a core.
fn on_core() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
