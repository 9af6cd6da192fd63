//! The crate `hnsw_rs` behind [`Graph`]: it serves `l1`, which the flat graph does not, and is the tests' other opinion.
//!
//! Everything of it stays in here. What is not obvious, each with a test:
//! - it compares full-precision rows, of which it keeps copies: what it leaves in `near` are exact distances, equal to
//!   [`crate::codes::Exact`]'s, not estimates from codes. [`Work::distances`] stays 0, and [`Work::visited`] too, because
//!   the crate does not count;
//! - it works badly with equal rows and loses sight of rows far from all others: see [`build`] for twins and strays;
//! - freeing it would start rayon's global pool: see [`closing`], which lends it a thread for that moment;
//! - with an `M` outside 2 to 255 it works wrongly or ends the process, so `M` is brought inside;
//! - a NaN panics half-way through an insert: a row that has no distance is never linked (and is lost, to `check`), a
//!   query that has none finds nothing (see [`order`]);
//! - a walk under a set goes on until nothing is left to expand: right, and slow for small sets. Both forms of
//!   [`Walk`](super::Walk) that have a set are the same here;
//! - nothing leaves it: [`Graph::heal`] builds another from the live slots, step by step, beside the one that serves.
//!
//! Invariant: a slot that was linked stays in until a pass of `heal` that did not see it live has ended.

mod build;
mod closing;
mod order;
#[cfg(test)]
mod tests;

use super::{Ask, Graph, Lost, Pass, Scratch, Space};
use crate::codes::VectorTable;
use crate::config::Metric;
use crate::error::Result;
use crate::ids::Slot;
use crate::metrics::Work;
use crate::sets::SlotBits;
use build::{Build, Plan};
use order::Order;
use parking_lot::{Mutex, RwLock};

/// What the crate can build with.
const M_MIN: usize = 2;
const M_MAX: usize = 255;
/// Lists of the flat graph that are healed in the time that one row is linked here, about.
const LISTS_PER_LINK: usize = 4;
/// Slots linked beside the end of a pass that may be added while searches wait.
const LATE_MAX: usize = 64;
/// Measured beside the row; see [`Graph::bytes`].
const POINT_BYTES: usize = 750;
const LINK_BYTES: usize = 63;

pub(crate) struct HnswRsGraph {
    plan: Plan,
    dim: usize,
    /// Held to read by searches and links, and to write by `heal` for the moment of the exchange.
    now: RwLock<Build>,
    /// What a pass of `heal` has built so far.
    next: Mutex<Option<Build>>,
    /// What was linked since that pass began.
    late: Mutex<Option<Late>>,
}

struct Late {
    slots: Vec<Slot>,
    /// The longest table of rows that anybody came with: the healer's own may lack the last block.
    vectors: VectorTable,
}

impl HnswRsGraph {
    pub(crate) fn new(metric: Metric, dim: usize, m: usize, ef_construction: usize) -> Self {
        let m = m.clamp(M_MIN, M_MAX);
        let plan = Plan { order: Order::new(metric), m, ef_construction: ef_construction.max(m) };
        Self {
            plan,
            dim,
            now: RwLock::new(Build::new(plan, 0)),
            next: Mutex::new(None),
            late: Mutex::new(None),
        }
    }

    /// Links into the graph that serves, and notes it for the one being built.
    fn link_noted(&self, now: &Build, vectors: &VectorTable, slot: Slot) -> u64 {
        let computed = now.link(vectors, slot);
        if let Some(late) = self.late.lock().as_mut() {
            late.slots.push(slot);
            if late.vectors.blocks() < vectors.blocks() {
                late.vectors = vectors.clone();
            }
        }
        computed
    }

    /// Links into `fresh` what was noted, if that is more than `above`. Says whether it was.
    fn link_late(&self, fresh: &Build, above: usize) -> bool {
        let noted = self.late.lock().as_mut().filter(|l| l.slots.len() > above).map(|l| {
            // With the rows as they are known by now.
            (std::mem::take(&mut l.slots), l.vectors.clone())
        });
        let Some((slots, vectors)) = noted else { return false };
        for slot in slots {
            fresh.link(&vectors, slot);
        }
        true
    }

    /// Links `count` live slots from `from` on into `fresh`, and what was noted. Says where to go on.
    fn build_some(
        &self,
        fresh: &Build,
        vectors: &VectorTable,
        live: &SlotBits,
        from: Slot,
        count: usize,
    ) -> Result<Option<Slot>> {
        let slots: Vec<Slot> = {
            let now = self.now.read();
            fresh.grow_like(&now)?;
            live.iter_from(from).filter(|s| now.contains(*s)).take(count + 1).collect()
        };
        self.link_late(fresh, 0);
        for &slot in slots.iter().take(count) {
            fresh.link(vectors, slot);
        }
        Ok(slots.get(count).copied())
    }

    /// Puts `fresh` in the place of the graph that serves. Searches and links wait for the last few links at most.
    fn exchange(&self, fresh: Build) -> Result<()> {
        fresh.find_strays();
        loop {
            fresh.grow_like(&self.now.read())?;
            if !self.link_late(&fresh, LATE_MAX) {
                break;
            }
        }
        let mut now = self.now.write();
        fresh.grow_like(&now)?;
        self.link_late(&fresh, 0);
        let old = std::mem::replace(&mut *now, fresh);
        drop(now);
        drop(old);
        Ok(())
    }
}

impl Graph for HnswRsGraph {
    fn grow(&self, capacity: usize) -> Result<()> {
        self.now.read().grow(capacity)
    }

    fn link(&self, space: Space<'_>, _live: &SlotBits, slot: Slot, _scratch: &mut Scratch) -> Work {
        let now = self.now.read();
        Work { reranked: self.link_noted(&now, space.vectors, slot), ..Work::default() }
    }

    fn search(&self, space: Space<'_>, ask: &Ask<'_>, scratch: &mut Scratch) -> Work {
        let reranked = self.now.read().search(space.vectors, ask, &mut scratch.near);
        Work { reranked, ..Work::default() }
    }

    /// There is no list that could be led around others, so a pass builds a second graph, of the live slots that are in
    /// the first. From slot 0 it begins, if a dead slot is in; at its end the second takes the place of the first.
    /// Searches and links go on meanwhile. Costs the time of linking all live slots, and the memory of both graphs.
    fn heal(
        &self,
        space: Space<'_>,
        Pass { live, .. }: Pass<'_>,
        from: Slot,
        budget: usize,
        _scratch: &mut Scratch,
    ) -> Option<Slot> {
        let mut next = self.next.lock();
        if from == Slot(0) {
            *next = None;
            *self.late.lock() = None;
            if !self.now.read().holds_dead(live) {
                return None;
            }
            // Links are noted from here on; one that comes before the slots are looked at is in both, and goes in once.
            *self.late.lock() = Some(Late { slots: Vec::new(), vectors: space.vectors.clone() });
            *next = Some(Build::new(self.plan, live.len()));
        }
        let count = (budget / LISTS_PER_LINK).max(1);
        let then = self.build_some(next.as_ref()?, space.vectors, live, from, count);
        if let Ok(Some(slot)) = then {
            return Some(slot);
        }
        if let (Ok(None), Some(fresh)) = (then, next.take()) {
            // Without memory for it the old graph stays, which is right, only larger.
            let _ = self.exchange(fresh);
        }
        *self.late.lock() = None;
        None
    }

    fn lost(&self, live: &SlotBits, _gone: &SlotBits) -> Lost {
        let mut lost = Lost::default();
        for slot in self.now.read().lost(live) {
            lost.push(slot);
        }
        lost
    }

    fn mend(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        lost: &mut Lost,
        budget: usize,
        _scratch: &mut Scratch,
    ) -> usize {
        let now = self.now.read();
        let mut mended = 0;
        for _ in 0..budget {
            let Some(slot) = lost.take() else { break };
            if live.contains(slot) && !now.contains(slot) {
                self.link_noted(&now, space.vectors, slot);
                mended += usize::from(now.contains(slot));
            }
        }
        // It looks at every point, so only once.
        if lost.len() == 0 {
            now.find_strays();
        }
        mended
    }

    fn check(&self, live: &SlotBits) -> std::result::Result<usize, String> {
        let now = self.now.read();
        now.broken().map_or_else(|| Ok(now.lost(live).len()), Err)
    }

    /// An estimate for full lists, with what glibc's `malloc` adds. A point is an `Arc` of 80 bytes, its locked list of
    /// lists 64, room for 16 lists 400, its place in a level 12, the header of its row 24, and here a cell of 4 and 14
    /// in the table of rows: 600, and 150 that the many small ones leave unused. A link is an `Arc` of 48 and a pointer
    /// of 8 in a list with room to grow.
    ///
    /// Measured as resident memory, bytes a row, with 20,000 rows; lists are full on noise, and not on clusters:
    ///
    /// | rows | `M` | links | measured | estimated |
    /// |---|---|---|---|---|
    /// | 24 dimensions, noise | 16 | 31.5 | 2,823 | 2,862 |
    /// | 24 dimensions, 200 clusters | 16 | 18.2 | 1,989 | 2,862 |
    /// | 384 dimensions, noise (10,000 rows) | 16 | 30.3 | 4,258 | 4,302 |
    /// | 384 dimensions, 200 clusters | 16 | 20.0 | 3,521 | 4,302 |
    /// | 128 dimensions, noise | 32 | 46.9 | 4,107 | 5,294 |
    fn bytes(&self, rows: usize) -> usize {
        rows * (self.dim * 4 + POINT_BYTES + 2 * self.plan.m * LINK_BYTES)
    }
}
