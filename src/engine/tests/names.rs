//! Goal: a name is a label: hidden ones are nobody's, changes are whole or not at all, and what holds a collection keeps it. That they
//! survive what a disk can do is looked at with all other operations, in `crash.rs` and `faults.rs`.

use crate::config::{Metric, Options, Schema};
use crate::disk::sim::{Random, SimDisk};
use crate::engine::files::replay::Replay;
use crate::engine::{Store, Turns};
use crate::error::ErrorKind;
use crate::ids::Seq;
use crate::manifest::Manifest;
use crate::record::Chunk;
use crate::wal::Kind;
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

fn both(store: &Store) -> Vec<(String, String)> {
    let names = |inner: std::sync::Arc<crate::engine::inner::Inner>| {
        (inner.name().to_string(), inner.mirror_name().to_string())
    };
    store.alive.shared.shown_collections().into_iter().map(names).collect()
}

/// Any names that a collection may have, here and there, come back from the log, from a manifest and from both; the mirror's
/// names stay whatever becomes of the others.
#[test]
fn names_here_and_there_survive_any_row_of_switches() {
    for seed in 1..=12 {
        let mut random = Random::new(seed);
        let disk = SimDisk::new();
        let mut store = self::store(&disk);
        store.tap().attach().unwrap();
        let first: Vec<String> = (0..4).map(|nth| format!("c{nth}")).collect();
        for name in &first {
            store
                .create_collection(name, schema())
                .unwrap()
                .upsert([Chunk::new(name).vector([1.0, 2.0])])
                .unwrap();
        }
        for step in 0..20 {
            let all = store.collections();
            let (one, other) = (random.below(4), random.below(4));
            if one == other {
                assert_eq!(Turns::of(&all[one], &all[other]).err().unwrap().kind(), ErrorKind::Invalid);
                continue;
            }
            // The two change places, or one takes the other's and that a new one.
            let names = [all[one].name().to_owned(), all[other].name().to_owned()];
            let new = if random.eighths(4) {
                names[0].clone()
            } else {
                format!("n{step}-{}", "x".repeat(random.below(40)))
            };
            Turns::of(&all[one], &all[other]).unwrap().rename([&names[1], &new]).unwrap();
            let expected = both(&store);
            for (name, there) in &expected {
                let rows = store.open_collection(name).unwrap().scroll(None, None, 9).unwrap().chunks;
                assert_eq!(
                    &rows[0].id, there,
                    "seed {seed}, step {step}: a collection is called there as it was made"
                );
                assert_eq!((&store.tap().name_there(name), &store.tap().name_here(there)), (there, name));
            }
            if random.eighths(2) {
                store.checkpoint().unwrap();
            }
            if random.eighths(4) {
                drop((all, store));
                store = self::store(&disk);
                assert_eq!(both(&store), expected, "seed {seed}, step {step}");
            }
        }
    }
}

#[test]
fn a_record_of_names_that_makes_no_sense_is_refused_and_one_without_the_mirrors_is_read() {
    let schema = serde_json::to_string(&schema()).unwrap();
    let replay = || {
        let mut replay = Replay::new(Vec::new(), &Manifest::new(1), &Options::default(), true);
        for number in [1, 2] {
            let made = format!("{{\"number\": {number}, \"name\": \"c{number}\", \"schema\": {schema}}}");
            replay.redo(Seq(number), Kind::Create, made.as_bytes()).unwrap();
        }
        replay
    };
    let good = br#"{"names": [[1, "c2"], [2, "c1"], [9, "gone"]], "mirror_names": [[1, "c1"], [2, "c2"]]}"#;
    replay().redo(Seq(3), Kind::Names, good).unwrap();
    replay().redo(Seq(3), Kind::Names, br#"{"names": [[1, "x"]]}"#).unwrap();
    for bad in [
        &br#"{"names": [[1, "no such/name"]]}"#[..],
        br#"{"names": [[1, "x"]], "mirror_names": [[1, ".hidden"]]}"#,
        br#"{"names": [[1, "x"]], "mirror_names": [[1, ""]]}"#,
        br#"{"names": [[-1, "x"]]}"#,
        br#"{"names": [[1, "x"]], "more": 1}"#,
        br#"{"mirror_names": [[1, "x"]]}"#,
        b"",
    ] {
        assert!(replay().redo(Seq(3), Kind::Names, bad).is_err(), "{}", String::from_utf8_lossy(bad));
    }
    // Whatever a byte becomes, it is read or refused.
    let mut random = Random::new(7);
    for _ in 0..2_000 {
        let mut bytes = good.to_vec();
        bytes[random.below(good.len())] ^= 1 << random.below(8);
        bytes.truncate(1 + random.below(2 * good.len()));
        let _ = replay().redo(Seq(3), Kind::Names, &bytes);
    }
}

/// A writer that holds a handle waits while a name changes, and is refused after it.
#[test]
fn no_write_is_under_way_while_a_name_goes_over() {
    let store = store(&SimDisk::new());
    let [a, b] = ["a", "b"].map(|name| store.create_collection(name, schema()).unwrap());
    let turns = Turns::of(&b, &a).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| a.upsert([Chunk::new("late").vector([1.0, 2.0])]));
        while !a.inner().turn.is_locked() || a.inner().turn.try_read().is_some() {}
        let seen =
            turns.replace(&b, vec![(Chunk::new("mine").vector([1.0, 2.0]), None)], Vec::new()).unwrap();
        assert_eq!(
            (seen.upserted, a.count(None).unwrap()),
            (1, 0),
            "who holds the turns writes, and all read"
        );
        turns.rename(["a", "c"]).unwrap();
        assert_eq!(writer.join().unwrap().unwrap_err().kind(), ErrorKind::Conflict);
    });
    assert_eq!((names(&store), a.count(None).unwrap()), (vec!["a".to_owned(), "c".to_owned()], 0));
    assert!(store.open_collection("a").unwrap().get("mine").unwrap().is_some());
    // Plain renaming, as imports do it, leaves handles as they are.
    let held = store.open_collection("c").unwrap();
    let other = store.create_collection("d", schema()).unwrap();
    store.rename(&[("d", "e")]).unwrap();
    assert_eq!(other.upsert([Chunk::new("x").vector([1.0, 1.0])]).unwrap().upserted, 1);
    // What was dropped meanwhile has no name to give.
    let turns = Turns::of(&held, &other).unwrap();
    store.drop_collection("e").unwrap();
    assert_eq!(turns.rename(["x", "y"]).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(names(&store), ["a", "c"]);
}
