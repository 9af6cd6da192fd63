//! Rows that were acknowledged lately. A database that fails over may have lost its last commits: these are sent again (M12).
//!
//! Invariant: bounded in time and number. Ids only: what is sent again is what stands here then.

use crate::ids::ChunkId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const IDS_MAX: usize = 200_000;

#[derive(Debug)]
pub(super) struct Retention {
    acked: VecDeque<(u64, Arc<str>, ChunkId)>,
    keep_ms: u64,
}

impl Retention {
    pub(super) fn new(keep_ms: u64) -> Self {
        Self { acked: VecDeque::new(), keep_ms }
    }

    pub(super) fn add(&mut self, now_ms: u64, collection: &str, ids: impl Iterator<Item = ChunkId>) {
        let name: Arc<str> = match self.acked.back() {
            Some((_, last, _)) if **last == *collection => last.clone(),
            _ => collection.into(),
        };
        self.acked.extend(ids.map(|id| (now_ms, name.clone(), id)));
        self.forget(now_ms);
    }

    pub(super) fn forget(&mut self, now_ms: u64) {
        let is_old = |(at, ..): &(u64, Arc<str>, ChunkId)| at + self.keep_ms < now_ms;
        while self.acked.len() > IDS_MAX || self.acked.front().is_some_and(is_old) {
            self.acked.pop_front();
        }
    }

    /// Everything that is retained, by collection. It stays retained until it was sent again.
    pub(super) fn ids(&self) -> BTreeMap<Arc<str>, Vec<ChunkId>> {
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (_, collection, id) in &self.acked {
            all.entry(collection.clone()).or_default().push(id.clone());
        }
        for ids in all.values_mut() {
            ids.sort_unstable();
            ids.dedup();
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_for_a_while_and_not_beyond_their_number() {
        let ids = |names: &[&str]| names.iter().map(|name| ChunkId::from(*name)).collect::<Vec<_>>();
        let mut retention = Retention::new(1_000);
        retention.add(0, "a", ids(&["z", "x"]).into_iter());
        retention.add(900, "a", ids(&["x", "y"]).into_iter());
        retention.add(1_000, "b", ids(&["x"]).into_iter());
        assert_eq!(retention.ids()["a"], ids(&["x", "y", "z"]));
        retention.forget(1_001);
        assert_eq!((&retention.ids()["a"], &retention.ids()["b"]), (&ids(&["x", "y"]), &ids(&["x"])));
        retention.add(1_001, "c", (0..IDS_MAX + 5).map(|at| ChunkId::from(at.to_string().as_str())));
        assert_eq!((retention.ids().len(), retention.ids()["c"].len()), (1, IDS_MAX));
    }
}
