//! Goal: a name that goes to another collection here changes nothing in the database, whose names the mirror goes on with, and callers
//! ask and are told by the names that they know.

use super::*;
use crate::engine::Turns;
use crate::error::ErrorKind;
use crate::mirror::Mirror;
use crate::mirror::options::Trust;
use std::time::Duration;

fn wide() -> Schema {
    Schema::new(3, Metric::L2)
}

/// `docs` and `docs.next`, both in the database; then the name goes over.
fn switched(world: &Arc<Mutex<World>>, options: MirrorOptions) -> Replica {
    let mut a = Replica::new(world, options);
    a.put("old", 1.0);
    let next = a.store.create_collection("docs.next", wide()).unwrap();
    next.upsert([Chunk::new("both").vector([1.0, 2.0, 3.0])]).unwrap();
    a.settle();
    Turns::of(&a.docs, &next).unwrap().rename(["docs.old", DOCS]).unwrap();
    a
}

fn names_of(world: &Arc<Mutex<World>>) -> Vec<String> {
    world.lock().collections.keys().cloned().collect()
}

fn has(store: &Store, name: &str, id: &str) -> bool {
    store.open_collection(name).unwrap().get(id).unwrap().is_some()
}

#[test]
fn both_collections_go_on_under_the_databases_names() {
    let world = world();
    let mut a = switched(&world, MirrorOptions::default());
    a.store.open_collection(DOCS).unwrap().upsert([Chunk::new("new").vector([4.0, 5.0, 6.0])]).unwrap();
    a.store.open_collection("docs.old").unwrap().upsert([Chunk::new("late").vector([7.0, 1.0])]).unwrap();
    a.settle();
    // Another node has switched nothing.
    let mut b = Replica::new(&world, MirrorOptions::default());
    b.settle();
    assert!(has(&b.store, "docs.next", "new") && has(&b.store, "docs.next", "both"));
    assert!(has(&b.store, DOCS, "late") && !has(&b.store, DOCS, "new"));
    b.put("of b", 9.0);
    b.settle();
    a.settle();
    assert!(has(&a.store, "docs.old", "of b") && !has(&a.store, DOCS, "of b"));
    assert!(a.sides.status().unwrap().ignored.is_empty());
    // What is dropped here is there still, and not taken for what has its name here.
    a.store.drop_collection("docs.old").unwrap();
    a.sides.database = None;
    a.settle();
    let ignored = a.sides.status().unwrap().ignored;
    assert_eq!(
        ignored.into_iter().collect::<Vec<_>>(),
        [("docs in the database".to_owned(), "it was dropped here".to_owned())]
    );
    assert_eq!(a.store.collections().len(), 1);
    assert_eq!(a.run(async |sides| sides.drop_there(DOCS, false).await).unwrap().unwrap(), 3);
    assert!(has(&a.store, DOCS, "new"));
}

#[test]
fn a_mirror_of_named_collections_follows_the_name() {
    let world = world();
    let options = MirrorOptions { collections: vec![DOCS.into()], ..MirrorOptions::default() };
    let mut a = switched(&world, options);
    assert_eq!(names_of(&world), [DOCS], "the second one was not named");
    a.sides.database = None;
    a.settle();
    assert_eq!(names_of(&world), [DOCS, "docs.next"], "it is now");
    let mirrored: Vec<String> = a.sides.collections().unwrap().iter().map(|c| c.name().to_owned()).collect();
    assert_eq!(mirrored, ["docs.next"]);
}

#[test]
fn callers_ask_by_their_names_and_are_told_by_them() {
    let world = world();
    let a = switched(&world, MirrorOptions::default());
    let mirror = Mirror::start_on(&a.store, Twin::new(world.clone()), MirrorOptions::default()).unwrap();
    mirror.push_now().unwrap();
    for (name, rows) in [(DOCS, 1), ("docs.old", 1)] {
        let report = mirror.audit(name, true).unwrap();
        assert_eq!((report.collection.as_str(), report.is_equal(), report.local.rows), (name, true, rows));
        mirror.rebuild(name).unwrap();
        assert_eq!(mirror.repair(name, Trust::Database, false).unwrap().collection, name);
    }
    let audits: Vec<String> = mirror.status().audits.into_keys().collect();
    assert_eq!(audits, [DOCS, "docs.old"]);
    // A name that no caller has, and the database does.
    assert!(mirror.audit("docs.next", false).unwrap().is_equal());
    assert_eq!(mirror.audit("docs.other", false).unwrap_err().kind(), ErrorKind::NotFound);
    mirror.stop(Duration::from_secs(30)).unwrap();
}
