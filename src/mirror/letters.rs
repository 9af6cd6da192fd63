//! Dead letters: rows that a side refuses, with the reason. They delay nobody, and are not tried again until asked, or replaced.
//!
//! Invariants: bounded; a letter of a row going out holds its ticket, so a new version of the row is tried at once. The memory of the
//! mirror keeps them over a restart, as many as it has room for: a row whose letter is forgotten is tried again, and refused
//! again.

use crate::engine::tap::Ticket;
use crate::ids::{ChunkId, Slot, Ver};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

const LETTERS_MAX: usize = 10_000;
/// Bytes of letters that are kept over a restart, about, and of one reason among them.
const KEPT_BYTES_MAX: usize = 256 << 10;
const KEPT_REASON_MAX: usize = 200;

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

/// A letter as it is kept over a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    collection: String,
    id: String,
    about: About,
    reason: String,
}

/// Which version it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum About {
    Row(u32),
    Grave(i64),
    Incoming,
}

#[derive(Debug, Default)]
pub(super) struct Letters {
    out: HashMap<String, HashMap<Ticket, (ChunkId, String)>>,
    out_len: usize,
    incoming: BTreeMap<(String, ChunkId), String>,
    /// Rows that somebody else holds locked, and until when they are passed over.
    deferred: HashMap<(String, Ticket), u64>,
    /// Something is not as it was kept last.
    is_changed: bool,
}

impl Letters {
    /// As they were kept.
    pub(super) fn of(kept: &[Kept]) -> Self {
        let mut letters = Self::default();
        for Kept { collection, id, about, reason } in kept {
            let id = ChunkId::from(id.as_str());
            match about {
                About::Row(slot) => {
                    _ = letters.park(collection, Ticket::Row(Slot(*slot)), id, reason.clone())
                }
                About::Grave(ver) => {
                    let ticket = Ticket::Grave(id.clone(), Ver(*ver));
                    _ = letters.park(collection, ticket, id, reason.clone());
                }
                About::Incoming => letters.refuse(collection, id, reason.clone()),
            }
        }
        letters.is_changed = false;
        letters
    }

    /// What is to be kept, if that is not what was kept last.
    pub(super) fn changed(&mut self) -> Option<Vec<Kept>> {
        if !std::mem::take(&mut self.is_changed) {
            return None;
        }
        let short = |reason: &str| reason.chars().take(KEPT_REASON_MAX).collect();
        let out = self.out.iter().flat_map(|(collection, letters)| {
            letters.iter().map(move |(ticket, (id, reason))| Kept {
                collection: collection.clone(),
                id: id.to_string(),
                about: match ticket {
                    Ticket::Row(slot) => About::Row(slot.0),
                    Ticket::Grave(_, ver) => About::Grave(ver.0),
                },
                reason: short(reason),
            })
        });
        let incoming = self.incoming.iter().map(|((collection, id), reason)| Kept {
            collection: collection.clone(),
            id: id.to_string(),
            about: About::Incoming,
            reason: short(reason),
        });
        let mut left = KEPT_BYTES_MAX;
        let fits = |kept: &Kept| {
            // JSON makes six bytes of one at most.
            let bytes = 6 * (kept.collection.len() + kept.id.len() + kept.reason.len()) + 64;
            left = left.saturating_sub(bytes);
            left > 0
        };
        // Those that come in first: nothing but a comparison finds them again.
        Some(incoming.chain(out).take_while(fits).collect())
    }

    /// Parks a row that the database refuses. False if there are too many already.
    pub(super) fn park(&mut self, collection: &str, ticket: Ticket, id: ChunkId, reason: String) -> bool {
        if self.out_len >= LETTERS_MAX {
            return false;
        }
        let letters = self.out.entry(collection.to_owned()).or_default();
        self.out_len += usize::from(letters.insert(ticket, (id, reason)).is_none());
        self.is_changed = true;
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
        self.is_parked(collection, ticket)
            || !self.deferred.is_empty()
                && self.deferred.contains_key(&(collection.to_owned(), ticket.clone()))
    }

    /// Whether the database refuses a version.
    pub(super) fn is_parked(&self, collection: &str, ticket: &Ticket) -> bool {
        self.out.get(collection).is_some_and(|letters| letters.contains_key(ticket))
    }

    /// The most versions of a collection that [`holds`](Self::holds) says are not to be sent.
    pub(super) fn held_max(&self, collection: &str) -> usize {
        self.out.get(collection).map_or(0, HashMap::len) + self.deferred.len()
    }

    /// A row of the database that cannot be stored here.
    pub(super) fn refuse(&mut self, collection: &str, id: ChunkId, reason: String) {
        if self.incoming.len() < LETTERS_MAX {
            self.incoming.insert((collection.to_owned(), id), reason);
            self.is_changed = true;
        }
    }

    /// A row came after all.
    pub(super) fn accept(&mut self, collection: &str, id: &ChunkId) {
        if !self.incoming.is_empty() {
            self.is_changed |= self.incoming.remove(&(collection.to_owned(), id.clone())).is_some();
        }
    }

    /// Only these outgoing letters of a collection are of rows that still wait.
    pub(super) fn retain(&mut self, collection: &str, waits: impl Fn(&Ticket) -> bool) {
        if let Some(letters) = self.out.get_mut(collection) {
            letters.retain(|ticket, _| waits(ticket));
        }
        let len = self.out.values().map(HashMap::len).sum();
        self.is_changed |= self.out_len != len;
        self.out_len = len;
    }

    /// A collection is gone, and its versions with it.
    pub(super) fn forget(&mut self, collection: &str) {
        self.retain(collection, |_| false);
        self.deferred.retain(|(of, _), _| of != collection);
        let incoming = self.incoming.len();
        self.incoming.retain(|(of, _), _| of != collection);
        self.is_changed |= self.incoming.len() != incoming;
    }

    /// All rows are tried again. Says how many were held.
    pub(super) fn clear(&mut self) -> usize {
        let len = self.out_len + self.incoming.len();
        *self = Self { is_changed: self.is_changed || len > 0, ..Self::default() };
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
        assert_eq!((letters.len(), letters.held_max("c")), ((1, 1), 2));
        assert_eq!([1, 2, 3].map(|at| letters.holds("c", &slot(at))), [false, true, true]);
        assert_eq!([1, 2, 3].map(|at| letters.is_parked("c", &slot(at))), [false, true, false]);
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

    #[test]
    fn letters_are_kept_as_far_as_there_is_room() {
        let mut letters = Letters::default();
        assert_eq!(letters.changed(), None);
        letters.park("c", Ticket::Row(Slot(2)), "b".into(), "bad".into());
        letters.park("c", Ticket::Grave("g".into(), Ver(7)), "g".into(), "x".repeat(10_000));
        letters.refuse("d", "a".into(), "too wide".into());
        let kept = letters.changed().unwrap();
        assert_eq!(letters.changed(), None, "once");
        let text = serde_json::to_vec(&kept).unwrap();
        let mut again = Letters::of(&serde_json::from_slice::<Vec<Kept>>(&text).unwrap());
        assert_eq!((again.len(), again.changed()), ((2, 1), None));
        assert!(again.is_parked("c", &Ticket::Row(Slot(2))));
        assert!(again.is_parked("c", &Ticket::Grave("g".into(), Ver(7))));
        let reasons: Vec<_> = again.list().into_iter().map(|letter| letter.reason.len()).collect();
        assert_eq!(reasons, [3, KEPT_REASON_MAX, 8]);

        for at in 0..LETTERS_MAX as u32 {
            letters.park("c", Ticket::Row(Slot(at)), "\u{1}".repeat(512).as_str().into(), "y".repeat(300));
        }
        let kept = letters.changed().unwrap();
        let bytes = serde_json::to_vec(&kept).unwrap().len();
        assert!(kept.len() > 50 && bytes < 2 * KEPT_BYTES_MAX, "{} letters in {bytes} bytes", kept.len());
        assert_eq!(kept[0].about, About::Incoming);
        letters.clear();
        assert_eq!(letters.changed(), Some(vec![]));
    }
}
