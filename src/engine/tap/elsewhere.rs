//! Who can answer for rows that are not here yet, while a collection is being filled.
//!
//! Invariants: a collection that lacks nothing costs its searches one look at a flag, and nobody is asked; no lock is held while
//! somebody is; who is asked answers by the deadline that comes with the question, or not at all.
//!
//! Does not know who that is.

use super::TapCollection;
use crate::engine::inner::Inner;
use crate::filter::Needle;
use crate::ids::ChunkId;
use crate::record::{Edition, Head, Map, Stamp};
use parking_lot::RwLock;
use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Access};
use std::time::{Duration, Instant};

/// Somebody who has all rows of a collection, but for those that were written here lately.
pub(crate) trait Elsewhere: Send + Sync {
    /// How long one call may be held up by questions. Nothing: nobody is to be asked now.
    fn patience(&self) -> Option<Duration>;

    /// Asks, and waits until the answer comes or `until` has passed. Nothing: nobody can say.
    fn nearest(&self, collection: &str, question: Question, until: Instant) -> Option<Answer>;
}

/// What is asked. It goes to another thread, so it borrows nothing.
pub(crate) struct Question {
    pub(crate) query: Vec<f32>,
    pub(crate) tenant: Option<String>,
    /// Whether [`pick`](Self::pick) looks at metadata.
    pub(crate) wants_metadata: bool,
    /// Rows whose metadata hold none of one of these lists, at whatever depth, need not be looked at.
    pub(crate) needles: Vec<Vec<Needle>>,
    /// How many rows are wanted of those that are picked.
    pub(crate) wanted: usize,
    /// Rows beyond need not be looked at.
    pub(crate) distance_max: f32,
    /// Of the nearest rows so far, by distance and id, those that count.
    pub(crate) pick: Pick,
    /// How these stand is wanted in any case, deletions too.
    pub(crate) also: Vec<ChunkId>,
}

pub(crate) type Pick = Box<dyn Fn(&[Neighbour]) -> Vec<usize> + Send + Sync>;

/// A row that is near, without what makes it large.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Neighbour {
    pub(crate) head: Head,
    pub(crate) distance: f64,
    pub(crate) document: Option<String>,
    /// Empty unless asked for.
    pub(crate) metadata: Map,
}

/// What was asked for, as it stands there at one instant after the question.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// Live rows, at most as many as were wanted; nearest first by the other side's reckoning.
    pub(crate) nearest: Vec<Edition>,
    pub(crate) also: Vec<Edition>,
}

/// What a collection lacks, and who has it.
#[derive(Default)]
pub(crate) struct Lack {
    is_filling: AtomicBool,
    elsewhere: RwLock<Option<Arc<dyn Elsewhere>>>,
}

impl Lack {
    pub(crate) fn is_filling(&self) -> bool {
        self.is_filling.load(Access::Acquire)
    }

    pub(crate) fn elsewhere(&self) -> Option<Arc<dyn Elsewhere>> {
        self.elsewhere.read().clone()
    }
}

impl TapCollection {
    /// Whether rows of the database are missing here, and who answers searches meanwhile.
    pub(crate) fn set_filling(&self, is_filling: bool, elsewhere: Option<&Arc<dyn Elsewhere>>) {
        let lack = &self.inner.lack;
        let elsewhere = elsewhere.filter(|_| is_filling);
        // Nearly always it is known already.
        if is_filling != lack.is_filling() || elsewhere.is_some() != lack.elsewhere.read().is_some() {
            *lack.elsewhere.write() = elsewhere.cloned();
            lack.is_filling.store(is_filling, Access::Release);
        }
    }

    pub(crate) fn is_filling(&self) -> bool {
        self.inner.lack.is_filling()
    }
}

impl Inner {
    /// Whether something newer than each head stands here, a grave perhaps.
    pub(crate) fn surpasses(&self, heads: &[&Head]) -> Vec<bool> {
        let (view, slots) = {
            let table = self.ids();
            // Loaded under the table's lock: it shows every slot that the table names.
            let view = self.view.load_full();
            let slots: Vec<_> = heads.iter().map(|head| table.get(&view.tables.rows, &head.id)).collect();
            (view, slots)
        };
        let is_newer = |(head, slot): (&&Head, Option<_>)| {
            // An edit by hand that nobody has looked at is above every version that is here.
            let digest = head.digest.unwrap_or(u64::MAX);
            let stamp = Stamp { ver: head.ver, node: head.node, digest };
            let here = self.here_at(&view, &head.id, slot);
            here.cmp(&stamp, |slot| self.digest_of(&view, slot)) == Ordering::Greater
        };
        heads.iter().zip(slots).map(is_newer).collect()
    }
}
