//! Goal: in a store with a mirror names change here and not in the database, and whoever has nothing but the database finds its way.

use super::*;

fn there(store: &Store) -> Vec<(String, usize)> {
    store.tap().collections().unwrap().iter().map(|c| (c.name().to_owned(), c.schema().dim)).collect()
}

fn attached(disk: &SimDisk) -> Store {
    let store = still(disk);
    store.tap().attach().unwrap();
    store
}

#[test]
fn a_database_goes_on_with_its_names_and_they_are_nobody_elses() {
    let disk = SimDisk::new();
    let store = attached(&disk);
    filled_with(&store, 10);
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    fill(&migration, &model).unwrap();
    assert_eq!(switch(&migration, &model).unwrap().in_database.as_deref(), Some("docs.next"));
    let names_there = vec![("docs.next".to_owned(), AFTER), ("docs".to_owned(), BEFORE)];
    assert_eq!(
        (names(&store), there(&store)),
        (vec!["docs".to_owned(), "docs.old".to_owned()], names_there.clone())
    );
    let tap = store.tap();
    assert_eq!(["docs", "docs.old", "x"].map(|name| tap.name_there(name)), ["docs.next", "docs", "x"]);
    assert_eq!(["docs", "docs.next", "x"].map(|name| tap.name_here(name)), ["docs.old", "docs", "x"]);
    // A name that the database has for one is not another's.
    for error in [
        store.create_collection("docs.next", schema()).err(),
        store.get_or_create("docs.next", schema()).err(),
    ] {
        let error = error.unwrap();
        assert!(
            error.kind() == ErrorKind::Conflict && error.message().contains("calls collection \"docs\""),
            "{error}"
        );
    }
    // From a manifest, and in a copy.
    let home = tempfile::tempdir().unwrap();
    let copy = home.path().join("copy");
    store.snapshot(&copy).unwrap();
    drop((tap, migration, store));
    let store = still(&disk);
    assert_eq!(there(&store), names_there);
    let copied = Store::open(&copy, options()).unwrap();
    assert_eq!((names(&copied), there(&copied)), (names(&store), names_there));
    // The next one finds another name, and what was undone has its own again.
    let migration = Migration::of(&store, "docs");
    assert_eq!(migration.next_name(), "docs.next2");
    assert_eq!(migration.undo(false).unwrap().next, "docs.next");
    assert_eq!(there(&store), [("docs".to_owned(), BEFORE), ("docs.next".to_owned(), AFTER)]);
    switch(&migration, &model).unwrap();
    assert_eq!(migration.drop_old(false).unwrap().in_database.as_deref(), Some("docs"));
    assert_eq!(there(&store), [("docs.next".to_owned(), AFTER)]);
    assert_eq!(store.tap().name_here("docs"), "docs in the database");
    // What the database still has comes back under a name that is free.
    let back = store.tap().collection("docs", &schema()).unwrap();
    assert_eq!((back.name(), names(&store)), ("docs", vec!["docs".to_owned(), "docs.there".to_owned()]));
    assert_eq!(store.open_collection("docs").unwrap().schema().dim, AFTER);
    drop((back, migration, store));
    let names_there = [("docs.next".to_owned(), AFTER), ("docs".to_owned(), BEFORE)];
    assert_eq!(there(&still(&disk)), names_there, "from the log");
}

/// A store that has nothing but the database has the database's names; the same command switches it, and embeds nothing.
#[test]
fn a_store_that_was_lost_is_switched_again_without_the_model() {
    let store = attached(&SimDisk::new());
    let tap = store.tap();
    for (name, schema) in [("docs", schema()), ("docs.next", Schema { dim: AFTER, ..schema() })] {
        tap.collection(name, &schema).unwrap();
    }
    store.open_collection("docs").unwrap().upsert((0..10).map(row)).unwrap();
    let next = |id: usize| {
        let chunk = row(id);
        let vector = vector(AFTER, chunk.text.as_deref().unwrap());
        chunk.vector(vector).embedding_model("after")
    };
    store.open_collection("docs.next").unwrap().upsert((0..10).map(next)).unwrap();
    let model = Model::default();
    // Not before all of it is here.
    let docs = tap.collection("docs", &schema()).unwrap();
    docs.set_filling(true, None);
    let early = switch(&Migration::of(&store, "docs"), &model).unwrap_err();
    assert_eq!(
        (early.kind(), names(&store)),
        (ErrorKind::Unavailable, vec!["docs".to_owned(), "docs.next".to_owned()])
    );
    docs.set_filling(false, None);
    let switched = switch(&Migration::of(&store, "docs"), &model).unwrap();
    assert_eq!((switched.status.filled, model.asked()), (10, 0));
    assert_eq!(there(&store), [("docs.next".to_owned(), AFTER), ("docs".to_owned(), BEFORE)]);
}

/// Another node fills, too, and what it knew of a row is old: all is looked at again, and nothing is asked for that was refused.
#[test]
fn what_another_node_fills_is_kept_where_it_is_right() {
    let store = attached(&SimDisk::new());
    let docs = filled_with(&store, 40);
    docs.upsert([worded(41, "BAD")]).unwrap();
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    let other = store.clone();
    model.meanwhile(Box::new(move || {
        let next = other.open_collection("docs.next").unwrap();
        for chunk in [row(3), worded(39, "an old text of row 39")] {
            let vector = vector(AFTER, chunk.text.as_deref().unwrap());
            next.upsert([chunk.vector(vector).embedding_model("after")]).unwrap();
        }
    }));
    let status = fill(&migration, &model).unwrap();
    assert_eq!((status.filled, status.refused), (40, 1));
    assert_eq!((model.asked(), model.refused.load(Ordering::Relaxed)), (41, 1), "row 39 twice, row 41 once");
    let next = store.open_collection("docs.next").unwrap();
    assert_eq!(contents(all(&docs)), contents(all(&next)));
    next.delete(["41"]).unwrap();
    check_vectors(&next);
}
