//! The tap on stores in memory: every rule once, by example. Random runs are in `tests/model.rs`, crashes in `engine/tests`.

use super::*;
use crate::config::{Durability, Metric, Options};
use crate::error::ErrorKind;
use crate::record::{Chunk, Head, Row, Stamp, admit, digest};
use std::sync::atomic::{AtomicUsize, Ordering};

mod durable;
mod ledger;
mod model;

const SEED: u64 = 77;
const OTHER: u64 = 1 << 40;

pub(crate) struct Side {
    pub(crate) store: Store,
    pub(crate) tap: Tap,
    pub(crate) docs: TapCollection,
}

fn schema() -> Schema {
    Schema::new(2, Metric::L2)
}

fn side() -> Side {
    of(Store::memory())
}

fn of(store: Store) -> Side {
    let tap = store.tap();
    tap.set_seed(SEED);
    tap.attach().unwrap();
    let docs = tap.collection("docs", &schema()).unwrap();
    Side { store, tap, docs }
}

fn chunk(id: &str, n: u64) -> Chunk {
    Chunk::new(id).vector([n as f32, 1.0]).meta("n", n)
}

fn row(id: &str, n: u64) -> Row {
    admit(chunk(id, n), 2, false).unwrap()
}

fn edition(id: &str, ver: Ver, node: u64, n: u64) -> Edition {
    let row = row(id, n);
    let stamp = Stamp { ver, node, digest: digest(&row, SEED) };
    Edition { id: id.into(), stamp, row: Some(row) }
}

fn deletion(id: &str, ver: Ver, node: u64) -> Edition {
    Edition { id: id.into(), stamp: Stamp { ver, node, digest: 0 }, row: None }
}

impl Side {
    fn put(&self, id: &str, n: u64) -> Token {
        self.store.open_collection("docs").unwrap().upsert([chunk(id, n)]).unwrap().token
    }

    fn delete(&self, id: &str) -> Token {
        self.store.open_collection("docs").unwrap().delete([id]).unwrap().1
    }

    fn n(&self, id: &str) -> Option<u64> {
        let chunk = self.store.open_collection("docs").unwrap().get(id).unwrap()?;
        chunk.metadata["n"].as_u64()
    }

    /// All that is to be sent.
    fn out(&self) -> Vec<Outgoing> {
        self.docs.outgoing(usize::MAX, usize::MAX, &|_| false).unwrap()
    }

    fn send(&self) -> Vec<Edition> {
        let out = self.out();
        self.docs.acknowledge(&out.iter().map(|o| o.ticket.clone()).collect::<Vec<_>>());
        out.into_iter().map(|o| o.edition).collect()
    }

    /// What stands under an id, as the database would see it.
    fn stamp(&self, id: &str) -> Option<(Ver, u64)> {
        let view = self.docs.inner.view.load_full();
        match self.docs.inner.here(&view, id) {
            stage::Here::Row { ver, node, .. } => Some((ver, node)),
            stage::Here::Grave(grave) => Some((grave.ver, grave.node)),
            _ => None,
        }
    }
}

#[test]
fn a_store_that_was_never_attached_keeps_nothing() {
    let store = Store::memory();
    let tap = store.tap();
    let docs = tap.collection("docs", &schema()).unwrap();
    store.open_collection("docs").unwrap().upsert([chunk("a", 1), chunk("b", 1)]).unwrap();
    store.open_collection("docs").unwrap().delete(["b"]).unwrap();
    assert_eq!(docs.dirty(), Dirty::default());
    assert_eq!(tap.clean_seq(), store.token().seq);
    assert_eq!(docs.apply(vec![], false).unwrap_err().kind(), ErrorKind::Conflict);
    // All of it is dirty from then on, but what was deleted before was never sent.
    tap.attach().unwrap();
    assert_eq!((docs.dirty().rows, docs.dirty().graves, tap.clean_seq()), (1, 0, Seq(0)));
    tap.attach().unwrap();
    assert_ne!(tap.node(), 0);
    assert_eq!((tap.remembered().unwrap(), docs.rows()), (None, 1));
    tap.remember(b"state").unwrap();
    assert_eq!(tap.remembered().unwrap().unwrap(), b"state");
}

#[test]
fn what_is_written_is_sent_by_id_until_it_is_acknowledged() {
    let side = side();
    for (id, n) in [("c", 1), ("a", 1), ("b", 1), ("a", 2)] {
        side.put(id, n);
    }
    let last = side.delete("b");
    let out = side.out();
    assert_eq!(out.iter().map(|o| &*o.edition.id).collect::<Vec<_>>(), ["a", "b", "c"]);
    let sent = |id: &str| out.iter().find(|o| o.edition.id == *id).unwrap().edition.clone();
    assert_eq!(sent("a").row, Some(row("a", 2)));
    assert_eq!(sent("a").stamp.digest, digest(&row("a", 2), SEED));
    assert_eq!((sent("b").row, sent("b").stamp.node), (None, side.tap.node()));
    assert!(sent("b").stamp.ver > sent("a").stamp.ver);
    // The oldest first, within the limits.
    let oldest = side.docs.outgoing(1, usize::MAX, &|_| false).unwrap();
    assert_eq!(oldest[0].edition.id, "c");
    assert_eq!(side.docs.outgoing(9, 0, &|_| false).unwrap().len(), 1);
    assert!(side.docs.outgoing(9, usize::MAX, &|_| true).unwrap().is_empty());
    assert_eq!((side.docs.dirty().rows, side.docs.dirty().graves), (2, 1));
    assert!(side.docs.dirty().oldest_unix_ms.unwrap() > 1_000_000_000_000);
    assert_eq!(side.store.open_collection("docs").unwrap().stats().dirty, 2);

    assert_eq!(side.tap.clean_seq(), Seq(1));
    side.send();
    assert_eq!(side.docs.dirty(), Dirty::default());
    assert_eq!(side.tap.clean_seq(), last.seq);
    assert!(side.tap.wait_clean(last, Duration::ZERO).unwrap());
}

#[test]
fn m2_an_acknowledgement_of_a_slot_that_was_replaced_changes_nothing() {
    let side = side();
    side.put("a", 1);
    side.delete("a");
    let first: Vec<Ticket> = side.out().into_iter().map(|o| o.ticket).collect();
    side.put("a", 2);
    let second: Vec<Ticket> = side.out().into_iter().map(|o| o.ticket).collect();
    side.put("a", 3);
    side.docs.acknowledge(&first);
    side.docs.acknowledge(&second);
    assert_eq!(side.send(), [edition("a", side.stamp("a").unwrap().0, side.tap.node(), 3)]);
    assert_eq!(side.docs.dirty().rows, 0);
    // Nor does one of a deletion that was followed by another.
    side.delete("a");
    let first: Vec<Ticket> = side.out().into_iter().map(|o| o.ticket).collect();
    side.put("a", 4);
    side.delete("a");
    side.docs.acknowledge(&first);
    assert_eq!(side.docs.dirty().graves, 1);
}

#[test]
fn m4_m5_the_greater_stamp_wins_in_any_order() {
    let ver = |n: i64| Ver(n);
    let editions = [
        edition("a", ver(10), OTHER, 1),
        edition("a", ver(10), OTHER + 1, 2),
        edition("a", ver(10), OTHER + 1, 3),
        deletion("a", ver(9), OTHER),
    ];
    let winner = editions.iter().max_by_key(|e| e.stamp).unwrap().clone();
    for first in 0..4 {
        for second in 0..4 {
            let side = side();
            for at in [first, second, 0, 1, 2, 3, first] {
                side.docs.apply(vec![editions[at].clone()], false).unwrap();
                assert_eq!(side.docs.dirty().rows + side.docs.dirty().graves, usize::from(at_lost(&side)));
                side.send();
            }
            assert_eq!(side.stamp("a"), Some((winner.stamp.ver, winner.stamp.node)));
            let ledger = side.docs.ledger().unwrap();
            assert_eq!(ledger.head(0), Some(winner.head()));
            // All at once, the same again.
            let other = self::side();
            other.docs.apply(editions.to_vec(), false).unwrap();
            assert_eq!(other.docs.ledger().unwrap().head(0), Some(winner.head()));
        }
    }
}

/// Whether what is here met something older.
fn at_lost(side: &Side) -> bool {
    side.docs.dirty() != Dirty::default()
}

#[test]
fn m3_what_is_older_in_the_database_is_dirty_here() {
    let side = side();
    side.put("a", 1);
    side.send();
    let (ver, node) = side.stamp("a").unwrap();
    let applied = side.docs.apply(vec![edition("a", Ver(ver.0 - 1), OTHER, 9)], false).unwrap();
    assert_eq!((applied.passed_over, applied.stored, side.docs.dirty().rows), (1, 0, 1));
    side.send();
    let head = |ver, node, digest| Head { id: "a".into(), ver, node, digest, is_deleted: false };
    let mine = digest(&row("a", 1), SEED);
    for (head, verdict, rows) in [
        (head(Ver(ver.0 - 1), OTHER, Some(1)), Verdict::Older, 1),
        (head(ver, node, Some(mine)), Verdict::Same, 0),
        (head(ver, node, Some(mine - 1)), Verdict::Older, 1),
        (head(ver, node, Some(mine + 1)), Verdict::Wanted, 1),
        (head(Ver(ver.0 + 1), OTHER, Some(1)), Verdict::Wanted, 1),
        (head(Ver(ver.0 - 1), OTHER, None), Verdict::Wanted, 1),
    ] {
        assert_eq!(side.docs.judge(std::slice::from_ref(&head)).unwrap(), [verdict], "{head:?}");
        assert_eq!(side.docs.dirty().rows, rows, "{head:?}");
    }
}

#[test]
fn m15_no_older_version_comes_back_after_a_deletion() {
    let side = side();
    side.docs.apply(vec![deletion("gone", Ver(50), OTHER)], false).unwrap();
    let applied = side.docs.apply(vec![edition("gone", Ver(40), OTHER, 1)], false).unwrap();
    assert_eq!((applied.stored, applied.passed_over, side.n("gone")), (0, 1, None));
    // The database has the older one: it is told.
    assert_eq!(side.send(), [deletion("gone", Ver(50), OTHER)]);
    side.docs.forget_graves(side.store.token().seq);
    assert!(side.stamp("gone").is_some(), "it became clean at this very commit");
    side.put("x", 1);
    side.docs.forget_graves(side.store.token().seq);
    assert_eq!(side.stamp("gone"), None);
}

#[test]
fn a_newer_version_from_the_database_replaces_and_a_dirty_loser_is_told() {
    let side = side();
    side.put("a", 1);
    side.put("b", 1);
    side.delete("b");
    let far = Ver(side.stamp("b").unwrap().0.0 + 1_000);
    let applied =
        side.docs.apply(vec![deletion("a", far, OTHER), edition("b", far, OTHER, 7)], false).unwrap();
    assert_eq!((applied.stored, applied.deleted, applied.conflicts.len()), (1, 1, 2));
    assert_eq!((side.n("a"), side.n("b")), (None, Some(7)));
    assert_eq!(side.docs.dirty(), Dirty::default());
    let head = edition("b", far, OTHER, 7).head();
    let other = Head { node: OTHER + 1, ..head.clone() };
    side.docs.soil(&["b".into()], false).unwrap();
    assert_eq!(side.docs.drop_clean(std::slice::from_ref(&head)).unwrap(), 0, "it is dirty");
    side.send();
    assert_eq!(side.docs.drop_clean(&[other]).unwrap(), 0, "it is of another version");
    assert_eq!(side.docs.drop_clean(&[head]).unwrap(), 1);
    assert_eq!((side.n("b"), side.stamp("b")), (None, None));
}

#[test]
fn a_write_is_newer_than_what_it_replaces_however_far_ahead_that_is() {
    let side = side();
    let far = Ver(side.tap.shared.line.between(|mark| mark.ver).0.max(1 << 60));
    for (id, deleted) in [("row", false), ("grave", true), ("deleted", false)] {
        let edition = if deleted { deletion(id, far, OTHER) } else { edition(id, far, OTHER, 1) };
        side.docs.apply(vec![edition], false).unwrap();
    }
    side.put("row", 2);
    side.put("grave", 2);
    side.delete("deleted");
    for id in ["row", "grave", "deleted"] {
        assert_eq!(side.stamp(id), Some((Ver(far.0 + 1), side.tap.node())), "{id}");
    }
    assert_eq!(side.send().len(), 3);
    // The clock did not follow.
    side.put("x", 1);
    assert!(side.stamp("x").unwrap().0 < far);
    // Not so far ahead, it does.
    let near = Ver(side.stamp("x").unwrap().0.0 + (60_000 << 16));
    side.docs.apply(vec![edition("near", near, OTHER, 1)], false).unwrap();
    side.put("y", 1);
    assert!(side.stamp("y").unwrap().0 > near);
}

#[test]
fn force_takes_the_content_over_as_a_version_of_this_store() {
    let side = side();
    side.put("a", 1);
    side.put("b", 1);
    side.put("c", 1);
    side.delete("c");
    let before = side.stamp("c").unwrap().0;
    let old = |id: &str| edition(id, Ver(1), OTHER, 5);
    let applied = side.docs.apply(vec![old("a"), deletion("b", Ver(1), OTHER), old("c")], true).unwrap();
    assert_eq!((applied.stored, applied.deleted, applied.conflicts.len()), (2, 1, 3));
    assert_eq!((side.n("a"), side.n("b"), side.n("c")), (Some(5), None, Some(5)));
    let sent = side.send();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|e| e.stamp.ver > before && e.stamp.node == side.tap.node()));
}

#[test]
fn soil_makes_rows_dirty_and_renews_them() {
    let side = side();
    side.put("a", 1);
    side.put("b", 1);
    side.send();
    let ids = ["a", "a", "none"].map(ChunkId::from);
    assert_eq!(side.docs.soil(&ids, false).unwrap(), 1);
    assert_eq!(side.docs.soil(&ids, false).unwrap(), 0);
    let before = side.stamp("a").unwrap();
    assert_eq!(side.send(), [edition("a", before.0, before.1, 1)]);
    assert_eq!(side.docs.soil(&ids, true).unwrap(), 1);
    assert!(side.stamp("a").unwrap() > before);
    assert_eq!((side.send().len(), side.n("a"), side.docs.rows()), (1, Some(1), 2));
}

#[test]
fn m14_what_cannot_be_stored_is_refused_by_id() {
    let side = side();
    let mut wrong = edition("dim", Ver(1), OTHER, 1);
    wrong.row.as_mut().unwrap().vector = Some(vec![1.0; 3]);
    let mut nan = edition("nan", Ver(1), OTHER, 1);
    nan.row.as_mut().unwrap().vector = Some(vec![f32::NAN; 2]);
    let mut other = edition("other", Ver(1), OTHER, 1);
    other.id = "another".into();
    let editions = vec![
        wrong,
        nan,
        other,
        edition("node", Ver(1), 0, 1),
        deletion("high", Ver(i64::MAX), OTHER),
        deletion(&"x".repeat(513), Ver(1), OTHER),
        edition("good", Ver(1), OTHER, 1),
    ];
    let applied = side.docs.apply(editions, false).unwrap();
    assert_eq!((applied.stored, applied.refused.len()), (1, 6), "{:?}", applied.refused);
}

#[test]
fn mirrored_writes_wait_for_the_database_or_say_that_they_did_not() {
    let options = Options::default().durability(Durability::Mirrored).mirrored_timeout_ms(0);
    let side = of(Store::memory_with(options).unwrap());
    let docs = side.store.open_collection("docs").unwrap();
    let error = docs.upsert([chunk("a", 1)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!((side.n("a"), side.docs.dirty().rows), (Some(1), 1));
    assert_eq!(docs.delete(["a"]).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(docs.delete(["a"]).unwrap().0, 0, "nothing to wait for");

    let options = Options::default().durability(Durability::Mirrored).mirrored_timeout_ms(600_000);
    let side = of(Store::memory_with(options).unwrap());
    let (bell, rung) = std::sync::mpsc::channel();
    side.tap.on_commit(Arc::new(move || _ = bell.send(())));
    std::thread::scope(|scope| {
        let docs = side.store.open_collection("docs").unwrap();
        let writers: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn({
                    let docs = docs.clone();
                    move || docs.upsert([chunk(&format!("{n}"), n)])
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            if rung.recv_timeout(Duration::from_millis(1)).is_ok() {
                side.send();
            }
        }
        for writer in writers {
            assert!(writer.join().unwrap().unwrap().mirrored);
        }
    });
}

#[test]
fn waiters_are_told_of_the_end_and_a_closed_store_takes_nothing() {
    let side = side();
    let token = side.put("a", 1);
    assert!(!side.tap.wait_clean(token, Duration::ZERO).unwrap());
    let woken = Arc::new(AtomicUsize::new(0));
    let count = woken.clone();
    side.tap.on_commit(Arc::new(move || _ = count.fetch_add(1, Ordering::Relaxed)));
    side.put("b", 1);
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    let Side { store, tap, docs } = side;
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| tap.wait_clean(token, Duration::from_secs(600)));
        drop(store);
        assert_eq!(waiter.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    });
    assert_eq!(woken.load(Ordering::Relaxed), 2);
    for error in [
        docs.apply(vec![], false).err(),
        docs.soil(&[], true).err(),
        docs.drop_clean(&[]).err(),
        docs.judge(&[]).err(),
        tap.remember(b"").err(),
        tap.token().err(),
        tap.collection("new", &schema()).err(),
    ] {
        assert_eq!(error.unwrap().kind(), ErrorKind::Closed);
    }
}
