//! Goal: what was acknowledged under a name is under it after the switch, whoever writes meanwhile (no write falls between the last pass
//! and the new name); gaps refuse it; it is undone, begun again, and what is left over goes.

use super::*;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::thread::{scope, yield_now};

#[test]
fn the_name_goes_over_and_back_and_what_is_left_over_goes() {
    let disk = SimDisk::new();
    let store = still(&disk);
    let docs = filled_with(&store, 50);
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    fill(&migration, &model).unwrap();
    let switched = switch(&migration, &model).unwrap();
    assert_eq!(
        (switched.old.as_str(), switched.next.as_str(), switched.in_database),
        ("docs.old", "docs.next", None)
    );
    assert_eq!((names(&store), model.asked()), (vec!["docs".to_owned(), "docs.old".to_owned()], 50));
    let first = store.open_collection("docs").unwrap();
    assert_eq!(
        (first.schema().dim, store.open_collection("docs.old").unwrap().schema().dim),
        (AFTER, BEFORE)
    );
    check_vectors(&first);
    // What is held reads what it was opened to.
    assert_eq!((docs.name(), docs.schema().dim, docs.count(None).unwrap()), ("docs", BEFORE, 50));
    let again = switch(&migration, &model).unwrap_err();
    assert!(again.kind() == ErrorKind::NotFound && again.message().contains("switched already"), "{again}");
    // Without writes since, it is undone as it stands; with some, they are told.
    assert_eq!(migration.undo(false).unwrap().lacks, Differences::default());
    assert_eq!(names(&store), ["docs", "docs.next"]);
    assert_eq!(store.open_collection("docs").unwrap().schema().dim, BEFORE);
    switch(&migration, &model).unwrap();
    let now = store.open_collection("docs").unwrap();
    now.upsert([Chunk::new("late").text("came after the switch"), Chunk::new("3").text("changed")]).unwrap();
    now.delete(["4", "5"]).unwrap();
    let refused = migration.undo(false).unwrap_err();
    assert!(
        refused.kind() == ErrorKind::Conflict && refused.message().contains("2 rows came or changed, 2 went"),
        "{refused}"
    );
    assert_eq!(migration.differences().unwrap().changed_ids, ["late", "3"]);
    assert_eq!(store.open_collection("docs").unwrap().schema().dim, AFTER);
    assert_eq!(migration.undo(true).unwrap().lacks.deleted_ids, ["4", "5"]);
    assert_eq!(store.open_collection("docs.next").unwrap().count(None).unwrap(), 49);
    // Filled again, it says what the first says.
    fill(&migration, &model).unwrap();
    switch(&migration, &model).unwrap();
    assert!(store.open_collection("docs").unwrap().get("late").unwrap().is_none());
    assert_eq!(model.asked(), 53, "3, 4 and 5 came back");
    assert_eq!(
        migration.drop_old(false).unwrap(),
        Dropped { name: "docs.old".into(), rows: 50, in_database: None }
    );
    assert_eq!(migration.undo(true).unwrap_err().kind(), ErrorKind::NotFound);
    drop((docs, first, now, migration, store));
    let store = still(&disk);
    assert_eq!(
        (names(&store), store.open_collection("docs").unwrap().count(None).unwrap()),
        (vec!["docs".to_owned()], 50)
    );
}

#[test]
fn gaps_refuse_a_switch_unless_it_is_told_to() {
    let store = Store::memory();
    let docs = filled_with(&store, 10);
    docs.upsert([Chunk::new("bare").vector(vec![1.0; BEFORE]), worded(30, "BAD")]).unwrap();
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    assert_eq!(switch(&migration, &model).unwrap_err().kind(), ErrorKind::NotFound, "nothing is filled");
    fill(&migration, &model).unwrap();
    let refused = switch(&migration, &model).unwrap_err();
    assert!(
        refused.kind() == ErrorKind::Conflict
            && refused.message().contains("1 rows have no text and 1 were refused"),
        "{refused}"
    );
    assert_eq!(names(&store), ["docs", "docs.next"]);
    let options = SwitchOptions { incomplete: true, ..SwitchOptions::default() };
    let switched = migration.switch(&model, &options, &mut |_| true).unwrap();
    assert_eq!((switched.status.filled, switched.status.without_text, switched.status.refused), (10, 1, 1));
    let refused = migration.drop_old(false).unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.message().contains("1 rows"), "{refused}");
    assert_eq!(migration.drop_old(true).unwrap().rows, 12);
}

#[test]
fn what_stands_in_the_way_is_named() {
    let store = Store::memory();
    filled_with(&store, 5);
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    fill(&migration, &model).unwrap();
    store.create_collection("docs.old", schema()).unwrap();
    assert_eq!(switch(&migration, &model).unwrap_err().kind(), ErrorKind::Conflict);
    let elsewhere = migration.clone().old("docs.before");
    let stopped = elsewhere.switch(&model, &SwitchOptions::default(), &mut |_| false);
    // Nothing was left to embed, so nobody was asked whether to go on.
    assert_eq!(stopped.unwrap().old, "docs.before");
    assert_eq!(names(&store), ["docs", "docs.before", "docs.old"]);
    // A second migration takes the first free name, and giving it up leaves the first as it is.
    store.create_collection("docs.next", schema()).unwrap().upsert([row(1)]).unwrap();
    assert_eq!(
        Migration::of(&store, "docs").next("own").drop_next().unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(migration.drop_next().unwrap().name, "docs.next");
}

#[test]
fn a_model_that_is_away_at_the_switch_leaves_all_as_it_was() {
    let store = Store::memory();
    let docs = filled_with(&store, 40);
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    fill(&migration, &model).unwrap();
    docs.upsert([row(100)]).unwrap();
    model.away.store(true, Ordering::Relaxed);
    assert_eq!(switch(&migration, &model).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(names(&store), ["docs", "docs.next"]);
    docs.upsert([row(101)]).unwrap();
    model.away.store(false, Ordering::Relaxed);
    let switched = switch(&migration, &model).unwrap();
    assert_eq!((switched.status.filled, model.asked()), (42, 42));
}

#[test]
fn a_handle_of_before_the_switch_writes_no_more() {
    let store = Store::memory();
    let docs = filled_with(&store, 5);
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    fill(&migration, &model).unwrap();
    let next = store.open_collection("docs.next").unwrap();
    switch(&migration, &model).unwrap();
    for (held, name) in [(&docs, "docs"), (&docs.tenant("t0"), "docs"), (&next, "docs.next")] {
        for error in [
            held.upsert([row(9)]).err(),
            held.delete(["1"]).err(),
            held.delete_document("doc-0").err(),
            held.delete_where(&crate::Filter::eq("n", 1)).err(),
        ] {
            let error = error.unwrap();
            assert!(
                error.kind() == ErrorKind::Conflict
                    && error.message().contains(&format!("open {name:?} again")),
                "{error}"
            );
        }
        assert!(held.get("0").unwrap().is_some(), "it reads");
    }
    store.open_collection("docs.old").unwrap().delete(["1"]).unwrap();
    store.open_collection("docs").unwrap().delete(["2"]).unwrap();
    assert_eq!((docs.count(None).unwrap(), next.count(None).unwrap()), (4, 4));
}

/// No acknowledged write is lost: each writer remembers what was acknowledged, and the collection of the name says so in the end.
#[test]
fn nothing_that_was_acknowledged_is_lost_whoever_writes_while_it_is_filled_and_switched() {
    let store = Store::memory();
    filled_with(&store, 200);
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    let (ends, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let models = scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer: usize| {
                let (store, ends, written) = (&store, &ends, &written);
                scope.spawn(move || {
                    let mut model: BTreeMap<String, Chunk> = BTreeMap::new();
                    let mut docs = store.open_collection("docs").unwrap();
                    for nth in 0.. {
                        if ends.load(Ordering::Relaxed) && nth > 50 {
                            return model;
                        }
                        let id = 1_000 * (writer + 1) + nth % 37;
                        let text = format!("writer {writer} says {nth} of {id}");
                        let plain = Chunk::new(id.to_string()).text(text.clone()).meta("nth", nth as u64);
                        let done = match nth % 4 {
                            0 => docs.delete([id.to_string().as_str()]).map(|_| None),
                            _ => docs.upsert([plain.clone()]).map(|_| Some(plain)),
                        };
                        match done {
                            Ok(None) => _ = model.remove(&id.to_string()),
                            Ok(Some(chunk)) => _ = model.insert(chunk.id.clone(), chunk),
                            Err(e) => {
                                assert_eq!(e.kind(), ErrorKind::Conflict, "{e}");
                                docs = store.open_collection("docs").unwrap();
                            }
                        }
                        written.fetch_add(1, Ordering::Relaxed);
                        yield_now();
                    }
                    model
                })
            })
            .collect();
        while written.load(Ordering::Relaxed) < 50 {
            yield_now();
        }
        fill(&migration, &model).unwrap();
        let options = SwitchOptions { fill: batches(16), last_rows_max: 500, ..SwitchOptions::default() };
        let switched = migration.switch(&model, &options, &mut |_| true).unwrap();
        assert_eq!(switched.status.refused + switched.status.without_text, 0);
        let after = written.load(Ordering::Relaxed);
        while written.load(Ordering::Relaxed) < after + 50 {
            yield_now();
        }
        ends.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let docs = store.open_collection("docs").unwrap();
    assert_eq!(docs.schema().dim, AFTER);
    let expected: BTreeMap<String, Chunk> = models.into_iter().flatten().collect();
    let mut found: BTreeMap<String, Chunk> =
        contents(all(&docs)).into_iter().map(|chunk| (chunk.id.clone(), chunk)).collect();
    for id in 0..200 {
        let kept = found.remove(&id.to_string()).unwrap();
        assert_eq!(vec![kept], contents(vec![row(id)]));
    }
    assert_eq!(found, expected);
    for chunk in all(&docs) {
        if let Some(vector) = chunk.vector {
            assert_eq!(vector, self::vector(AFTER, chunk.text.as_deref().unwrap()), "row {}", chunk.id);
        }
    }
}

/// A fill that read a row before it was deleted, and comes to write it after the switch, does not bring it back.
#[test]
fn a_fill_that_is_overtaken_by_a_switch_writes_nothing_more() {
    let store = Store::memory();
    let docs = filled_with(&store, 20);
    let (migration, slow) = (Migration::of(&store, "docs"), Model::default());
    fill(&migration, &Model::default()).unwrap();
    docs.upsert([row(50)]).unwrap();
    let (there, quick) = (migration.clone(), Model::default());
    slow.meanwhile(Box::new(move || {
        docs.delete(["50"]).unwrap();
        switch(&there, &quick).unwrap();
    }));
    let error = fill(&migration, &slow).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(store.open_collection("docs").unwrap().get("50").unwrap().is_none());
}
