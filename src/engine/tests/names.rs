//! Goal: a name is a label: hidden ones are nobody's, changes are whole or not at all, and what holds a collection keeps it. That they
//! survive what a disk can do is looked at with all other operations, in `crash.rs` and `faults.rs`.

use crate::config::{Metric, Options, Schema};
use crate::disk::sim::SimDisk;
use crate::engine::Store;
use crate::error::ErrorKind;
use crate::record::Chunk;
use std::sync::Arc;

fn schema() -> Schema {
    Schema::new(2, Metric::L2)
}

fn store(disk: &SimDisk) -> Store {
    Store::open_still(Arc::new(disk.clone()), Options::default().disk_reserve_bytes(0)).unwrap()
}

fn names(store: &Store) -> Vec<String> {
    store.collections().iter().map(|c| c.name().to_owned()).collect()
}

#[test]
fn a_hidden_collection_is_neither_callers_nor_mirrors() {
    let store = store(&SimDisk::new());
    store.tap().attach().unwrap();
    let hidden = store.hidden_or_create(".x", schema()).unwrap();
    hidden.upsert([Chunk::new("a").vector([1.0, 2.0])]).unwrap();
    let seen = || store.tap().collections().unwrap().iter().map(|c| c.name().to_owned()).collect::<Vec<_>>();
    assert!(names(&store).is_empty() && seen().is_empty());
    assert_eq!(store.tap().clean_seq(), store.token().seq, "nobody waits for rows that are not sent");
    for error in [
        store.open_collection(".x").err(),
        store.drop_collection(".x").err(),
        store.create_collection(".x", schema()).err(),
        store.get_or_create(".y", schema()).err(),
    ] {
        let kind = error.unwrap().kind();
        assert!(matches!(kind, ErrorKind::NotFound | ErrorKind::Invalid), "{kind:?}");
    }
    store.rename(&[(".x", "shown")]).unwrap();
    assert_eq!((names(&store), seen()), (vec!["shown".to_owned()], vec!["shown".to_owned()]));
    assert!(store.tap().clean_seq() < store.token().seq, "its row is to be sent now");
}

#[test]
fn names_change_all_at_once_or_not_at_all() {
    let disk = SimDisk::new();
    let before = store(&disk);
    let held: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let docs = before.create_collection(name, schema()).unwrap();
            docs.upsert([Chunk::new(name).vector([1.0, 2.0])]).unwrap();
            docs
        })
        .into();
    for (changes, kind) in [
        (&[("a", "b")][..], ErrorKind::Conflict),
        (&[("a", "x"), ("b", "x")], ErrorKind::Conflict),
        (&[("a", "x"), ("none", "y")], ErrorKind::NotFound),
        (&[("a", "x"), ("b", "no such/name")], ErrorKind::Invalid),
    ] {
        assert_eq!(before.rename(changes).unwrap_err().kind(), kind, "{changes:?}");
        assert_eq!(names(&before), ["a", "b", "c"], "{changes:?}");
    }
    before.rename(&[("a", "b"), ("b", "c"), ("c", "a")]).unwrap();
    held[0].upsert([Chunk::new("later").vector([2.0, 1.0])]).unwrap();
    let check = |store: &Store| {
        for (name, id) in [("b", "a"), ("c", "b"), ("a", "c"), ("b", "later")] {
            assert!(store.open_collection(name).unwrap().get(id).unwrap().is_some(), "{id} is in {name}");
        }
        assert_eq!(names(store), ["a", "b", "c"]);
    };
    check(&before);
    before.checkpoint().unwrap();
    // From here on each opening has it from the log, and then from a manifest after one with other names.
    before.rename(&[("a", "c"), ("c", "a")]).unwrap();
    drop((held, before));
    let swapped = store(&disk);
    assert!(swapped.open_collection("c").unwrap().get("c").unwrap().is_some());
    swapped.rename(&[("a", "c"), ("c", "a")]).unwrap();
    swapped.rename(&[("b", "away")]).unwrap();
    swapped.checkpoint().unwrap();
    drop(swapped);
    let away = store(&disk);
    assert_eq!(names(&away), ["a", "away", "c"]);
    away.rename(&[("away", "b")]).unwrap();
    away.checkpoint().unwrap();
    drop(away);
    check(&store(&disk));
}
