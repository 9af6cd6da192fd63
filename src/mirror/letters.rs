//! Dead letters: rows that a side refuses, with the reason. They delay nobody, and are not tried again until asked, or replaced.
//!
//! Invariants: bounded; a letter of a row going out holds its ticket, so a new version of the row is tried at once.

use crate::engine::tap::Ticket;
use crate::ids::ChunkId;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

const LETTERS_MAX: usize = 10_000;

/// A row that cannot be mirrored, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// Its collection.
    pub collection: String,
    /// Its id.
    pub id: ChunkId,
    /// True: the database refuses it. False: it stands in the database and cannot be stored here.
    pub is_outgoing: bool,
    /// What was said of it.
    pub reason: String,
}

#[derive(Debug, Default)]
pub(super) struct Letters {
    out: HashMap<String, HashMap<Ticket, (ChunkId, String)>>,
    out_len: usize,
    incoming: BTreeMap<(String, ChunkId), String>,
    /// Rows that somebody else holds locked, and until when they are passed over.
    deferred: HashMap<(String, Ticket), u64>,
}

impl Letters {
    /// Parks a row that the database refuses. False if there are too many already.
    pub(super) fn park(&mut self, collection: &str, ticket: Ticket, id: ChunkId, reason: String) -> bool {
        if self.out_len >= LETTERS_MAX {
            return false;
        }
        let letters = self.out.entry(collection.to_owned()).or_default();
        self.out_len += usize::from(letters.insert(ticket, (id, reason)).is_none());
        true
    }

    /// Passes over a row until a time.
    pub(super) fn defer(&mut self, collection: &str, ticket: Ticket, until_ms: u64) {
        self.deferred.insert((collection.to_owned(), ticket), until_ms);
    }

    pub(super) fn expire(&mut self, now_ms: u64) {
        self.deferred.retain(|_, until_ms| *until_ms > now_ms);
    }

    /// Whether a version is not to be sent now.
    pub(super) fn holds(&self, collection: &str, ticket: &Ticket) -> bool {
        self.out.get(collection).is_some_and(|letters| letters.contains_key(ticket))
            || !self.deferred.is_empty()
                && self.deferred.contains_key(&(collection.to_owned(), ticket.clone()))
    }

    /// How many are parked or passed over in a collection, at a time.
    pub(super) fn held(&self, collection: &str, now_ms: u64) -> usize {
        let is_deferred =
            |((name, _), until_ms): &(&(String, Ticket), &u64)| name == collection && **until_ms > now_ms;
        self.out.get(collection).map_or(0, HashMap::len) + self.deferred.iter().filter(is_deferred).count()
    }

    /// A row of the database that cannot be stored here.
    pub(super) fn refuse(&mut self, collection: &str, id: ChunkId, reason: String) {
        if self.incoming.len() < LETTERS_MAX {
            self.incoming.insert((collection.to_owned(), id), reason);
        }
    }

    /// A row came after all.
    pub(super) fn accept(&mut self, collection: &str, id: &ChunkId) {
        if !self.incoming.is_empty() {
            self.incoming.remove(&(collection.to_owned(), id.clone()));
        }
    }

    /// Only these outgoing letters of a collection are of rows that still wait.
    pub(super) fn retain(&mut self, collection: &str, waits: impl Fn(&Ticket) -> bool) {
        if let Some(letters) = self.out.get_mut(collection) {
            letters.retain(|ticket, _| waits(ticket));
        }
        self.out_len = self.out.values().map(HashMap::len).sum();
    }

    /// All rows are tried again. Says how many were held.
    pub(super) fn clear(&mut self) -> usize {
        let len = self.out_len + self.incoming.len();
        *self = Self::default();
        len
    }

    /// Outgoing and incoming.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.out_len, self.incoming.len())
    }

    /// Ids of incoming letters, by collection.
    pub(super) fn incoming(&self) -> BTreeMap<String, Vec<ChunkId>> {
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (collection, id) in self.incoming.keys() {
            all.entry(collection.clone()).or_default().push(id.clone());
        }
        all
    }

    pub(super) fn list(&self) -> Vec<DeadLetter> {
        let letter = |collection: &str, id: &ChunkId, is_outgoing, reason: &str| DeadLetter {
            collection: collection.to_owned(),
            id: id.clone(),
            is_outgoing,
            reason: reason.to_owned(),
        };
        let out = self.out.iter().flat_map(|(collection, letters)| {
            letters.values().map(move |(id, reason)| letter(collection, id, true, reason))
        });
        let incoming =
            self.incoming.iter().map(|((collection, id), reason)| letter(collection, id, false, reason));
        let mut all: Vec<_> = out.chain(incoming).collect();
        all.sort_by(|a, b| (&a.collection, &a.id, a.is_outgoing).cmp(&(&b.collection, &b.id, b.is_outgoing)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Slot;

    #[test]
    fn letters_are_held_by_ticket_and_listed_by_id() {
        let (mut letters, slot) = (Letters::default(), |at| Ticket::Row(Slot(at)));
        assert!(letters.park("c", slot(2), "b".into(), "bad".into()));
        assert!(letters.park("c", slot(2), "b".into(), "worse".into()));
        letters.refuse("c", "a".into(), "too wide".into());
        letters.defer("c", slot(3), 100);
        assert_eq!((letters.len(), letters.held("c", 99), letters.held("c", 100)), ((1, 1), 2, 1));
        assert_eq!([1, 2, 3].map(|at| letters.holds("c", &slot(at))), [false, true, true]);
        assert!(!letters.holds("d", &slot(2)));
        letters.expire(100);
        assert!(!letters.holds("c", &slot(3)));
        let reasons: Vec<_> = letters.list().into_iter().map(|letter| letter.reason).collect();
        assert_eq!(reasons, ["too wide", "worse"]);
        letters.accept("c", &"a".into());
        letters.retain("c", |ticket| *ticket != slot(2));
        assert_eq!((letters.len(), letters.clear()), ((0, 0), 0));
        for at in 0..LETTERS_MAX {
            assert!(letters.park("c", slot(at as u32), "x".into(), String::new()));
        }
        assert!(!letters.park("c", slot(u32::MAX), "x".into(), String::new()));
    }
}
