//! Goal: the second collection says what the first says, in the new model's vectors; what is refused, missing or away costs nothing else.

use super::*;
use crate::config::Tiny;
use std::time::Instant;

#[test]
fn every_row_stands_beside_its_own_with_the_new_models_vector() {
    for metric in [None, Some(Metric::L2)] {
        let store = Store::memory();
        let docs = filled_with(&store, 100);
        docs.upsert([row(200).tenant("alone"), Chunk::new("waits").text("a row that waits for its vector")])
            .unwrap();
        let (migration, model) = (Migration::of(&store, "docs"), Model::default());
        let options = MigrationOptions { metric, ..batches(16) };
        let status = migration.fill(&model, options, &mut |_| true).unwrap();
        let next = store.open_collection("docs.next").unwrap();
        assert_eq!(contents(all(&docs)), contents(all(&next)));
        check_vectors(&next);
        assert_eq!(next.document("doc-3").unwrap().len(), docs.document("doc-3").unwrap().len());
        assert_eq!(next.tenant("alone").count(None).unwrap(), 1);
        assert_eq!(
            next.schema(),
            &Schema { dim: AFTER, metric: metric.unwrap_or(Metric::Cosine), ..schema() }
        );
        assert_eq!((status.rows, status.filled, status.coverage), (102, 102, 1.0));
        assert_eq!((status.embedded, model.asked(), status.state), (102, 102, MigrationState::Done));
    }
}

#[test]
fn what_was_embedded_is_not_embedded_again() {
    let disk = SimDisk::new();
    let model = Model::default();
    let store = still(&disk);
    filled_with(&store, 100);
    let stopped =
        Migration::of(&store, "docs").fill(&model, batches(16), &mut |status| status.embedded < 40).unwrap();
    assert_eq!((stopped.state, stopped.embedded, model.asked()), (MigrationState::Stopped, 48, 48));
    drop(store);
    let store = still(&disk);
    let migration = Migration::of(&store, "docs");
    model.away_after.store(80, Ordering::Relaxed);
    assert_eq!(fill(&migration, &model).unwrap_err().kind(), ErrorKind::Unavailable);
    model.away_after.store(0, Ordering::Relaxed);
    let status = fill(&migration, &model).unwrap();
    assert_eq!((status.filled, model.asked()), (100, 100));
    // A change beside the text needs no model.
    let docs = store.open_collection("docs").unwrap();
    docs.upsert([row(7).meta("n", "other"), row(8).tenant("other"), row(9).document("moved", 1)]).unwrap();
    docs.upsert([row(10).document("doc-2", 9)]).unwrap();
    let status = fill(&migration, &model).unwrap();
    assert_eq!((status.renewed, status.embedded, model.asked()), (4, 0, 100));
    let next = store.open_collection("docs.next").unwrap();
    assert_eq!(contents(all(&docs)), contents(all(&next)));
    check_vectors(&next);
}

#[test]
fn what_is_written_and_deleted_meanwhile_is_followed() {
    let store = Store::memory();
    let docs = filled_with(&store, 100);
    let model = Model::default();
    for nth in 0..4 {
        let docs = docs.clone();
        model.meanwhile(Box::new(move || {
            docs.upsert([worded(nth, &format!("another text {nth} by now")), row(300 + nth)]).unwrap();
            docs.delete([format!("{}", 50 + nth).as_str(), "99"]).unwrap();
            docs.upsert([row(60 + nth).meta("n", "changed")]).unwrap();
        }));
    }
    let status = fill(&Migration::of(&store, "docs"), &model).unwrap();
    let next = store.open_collection("docs.next").unwrap();
    assert_eq!(contents(all(&docs)), contents(all(&next)));
    check_vectors(&next);
    assert!(status.passes > 1 && status.coverage == 1.0, "{status:?}");
    docs.delete_document("doc-4").unwrap();
    assert_eq!(fill(&Migration::of(&store, "docs"), &model).unwrap().removed, 5);
    assert_eq!(contents(all(&docs)), contents(all(&next)));
}

#[test]
fn whoever_writes_faster_than_it_embeds_does_not_keep_it_from_ending() {
    let store = Store::memory();
    let docs = filled_with(&store, 2_000);
    let model = Model::default();
    // 24 rows for every 16 that are embedded, more than a page of them in a pass.
    for nth in 0..2_000 {
        let docs = docs.clone();
        model.meanwhile(Box::new(move || {
            drop(docs.upsert((0..24).map(|n| row(10_000 + nth * 24 + n))).unwrap())
        }));
    }
    let status = fill(&Migration::of(&store, "docs"), &model).unwrap();
    assert_eq!((status.state, status.passes), (MigrationState::Behind, 3), "{status:?}");
    assert!(!model.meanwhile.lock().is_empty() && status.coverage < 1.0, "{status:?}");
    model.meanwhile.lock().clear();
    let status = fill(&Migration::of(&store, "docs"), &model).unwrap();
    assert_eq!((status.state, status.coverage), (MigrationState::Done, 1.0));
}

#[test]
fn rows_without_a_text_are_told_and_rows_that_are_refused_keep_their_text() {
    let store = Store::memory();
    let docs = filled_with(&store, 20);
    docs.upsert([
        Chunk::new("bare").vector(vec![1.0; BEFORE]),
        worded(30, "a BAD text"),
        worded(31, "BAD, too"),
    ])
    .unwrap();
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    let status = fill(&migration, &model).unwrap();
    assert_eq!((status.rows, status.filled, status.without_text, status.refused), (23, 20, 1, 2));
    assert_eq!(status.without_text_ids, ["bare"]);
    let told: Vec<_> = status.refused_rows.iter().map(|row| (row.id.as_str(), row.why.as_str())).collect();
    assert_eq!(told, [("30", "not this text"), ("31", "not this text")]);
    let next = store.open_collection("docs.next").unwrap();
    assert_eq!(
        next.get("30").unwrap().unwrap(),
        Chunk { vector: None, embedding_model: None, ..worded(30, "a BAD text") }
    );
    assert_eq!(next.get("bare").unwrap(), None);
    // In the middle of a call: what has a text by its end counts as that.
    let dressed = docs.clone();
    docs.upsert([Chunk::new("naked").vector(vec![1.0; BEFORE]), row(40)]).unwrap();
    model.meanwhile(Box::new(move || {
        dressed.upsert([Chunk::new("naked").text("dressed by now")]).unwrap();
    }));
    assert_eq!(fill(&migration, &model).unwrap().without_text_ids, ["bare"]);
    docs.delete(["naked", "40"]).unwrap();
    // A text comes, a text goes, a refusal is thought over.
    docs.upsert([worded(30, "a good text")]).unwrap();
    docs.upsert([Chunk::new("bare").text("dressed"), Chunk::new("5").vector(vec![1.0; BEFORE])]).unwrap();
    model.lenient.store(true, Ordering::Relaxed);
    let status = fill(&migration, &model).unwrap();
    assert_eq!((status.rows, status.filled, status.without_text, status.refused), (23, 22, 1, 0));
    assert_eq!((next.get("5").unwrap(), status.removed), (None, 3));
    check_vectors(&next);
}

#[test]
fn a_collection_that_is_somebodys_own_is_not_filled() {
    let store = Store::memory();
    filled_with(&store, 5);
    let migration = Migration::of(&store, "docs");
    let taken = store.create_collection("docs.next", Schema::new(AFTER, Metric::Cosine)).unwrap();
    taken.upsert([Chunk::new("mine").vector(vec![1.0; AFTER])]).unwrap();
    let refused = fill(&migration, &Model::default()).unwrap_err();
    assert!(refused.kind() == ErrorKind::Conflict && refused.message().contains("mine"), "{refused}");
    assert_eq!(taken.count(None).unwrap(), 1);
    let other = migration.clone().next("other");
    assert_eq!(fill(&other, &Model::default()).unwrap().filled, 5);
    // Another model is another migration, and the model of now is none.
    assert_eq!(
        other.fill(&Hashed::new(BEFORE).unwrap(), batches(16), &mut |_| true).unwrap_err().kind(),
        ErrorKind::Conflict
    );
    switch(&other, &Model::default()).unwrap();
    let again = fill(&other, &Model::default()).unwrap_err();
    assert!(again.kind() == ErrorKind::Conflict && again.message().contains("already"), "{again}");
}

#[test]
fn a_migration_of_nothing_and_of_what_is_not_there() {
    let store = Store::memory();
    let migration = Migration::of(&store, "docs");
    assert_eq!(fill(&migration, &Model::default()).unwrap_err().kind(), ErrorKind::NotFound);
    store.create_collection("docs", schema()).unwrap();
    let status = fill(&migration, &Model::default()).unwrap();
    assert_eq!((status.rows, status.coverage, status.state), (0, 1.0, MigrationState::Done));
    assert_eq!(switch(&migration, &Model::default()).unwrap().next, "docs.next");
    let wrong = MigrationOptions { batch: 0, ..MigrationOptions::default() };
    let refused =
        Migration::of(&store, "docs.old").fill(&Model::default(), wrong, &mut |_| true).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
}

#[test]
fn a_budget_holds_and_an_estimate_tells_it_beforehand() {
    let store = Store::memory();
    let docs = filled_with(&store, 100);
    docs.upsert([Chunk::new("bare").vector(vec![1.0; BEFORE])]).unwrap();
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    let rates = MigrationRates { price_per_million: Some(2.0), tokens_per_s: Some(100.0) };
    let estimate = migration.estimate("after", AFTER, &rates).unwrap();
    let tokens: u64 =
        (0..100).map(|id| crate::embed::estimate_tokens(row(id).text.as_deref().unwrap()) as u64).sum();
    assert_eq!((estimate.rows, estimate.texts, estimate.filled, estimate.tokens), (101, 100, 0, tokens));
    assert_eq!((estimate.without_text, estimate.without_text_ids.as_slice()), (1, &["bare".to_owned()][..]));
    assert_eq!(estimate.price, Some(tokens as f64 / 500_000.0));
    assert_eq!(estimate.seconds, Some(tokens as f64 / 100.0));
    assert_eq!((names(&store), model.asked()), (vec!["docs".to_owned()], 0), "nothing has changed");
    let half = MigrationOptions { tokens_max: Some(tokens / 2), ..batches(5) };
    let status = migration.fill(&model, half, &mut |_| true).unwrap();
    assert!(
        status.state == MigrationState::Spent && status.tokens <= tokens / 2 && status.embedded > 30,
        "{status:?}"
    );
    let left = migration.estimate("after", AFTER, &rates).unwrap();
    assert_eq!((left.filled, left.tokens), (status.filled, tokens - status.tokens));
    assert_eq!(migration.estimate("another", AFTER, &rates).unwrap().texts, 100, "its vectors are of no use");
    let negative = MigrationRates { price_per_million: Some(-1.0), ..rates };
    assert_eq!(migration.estimate("after", AFTER, &negative).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_rate_that_others_have_used_up_is_waited_for() {
    let store = Store::memory();
    filled_with(&store, 10);
    let (rate, model) = (TokenRate::new(Some(1)), Model::default());
    let start = Instant::now();
    assert_eq!(rate.takes(1_000_000, start), start);
    let migration = Migration::of(&store, "docs").rate(rate);
    let status = migration.fill(&model, batches(5), &mut |_| false).unwrap();
    assert_eq!((status.state, model.asked()), (MigrationState::Stopped, 0));
    assert_eq!(migration.rate(None).fill(&model, batches(5), &mut |_| true).unwrap().embedded, 10);
}

/// What is said of the room comes true, with a margin for what rounds up.
#[test]
fn an_estimate_of_the_room_comes_near_what_files_and_memory_take() {
    let disk = SimDisk::new();
    let store = still(&disk);
    let docs = store.create_collection("docs", schema().ef_construction(32)).unwrap();
    docs.upsert((0..1_500).map(row)).unwrap();
    let migration = Migration::of(&store, "docs");
    let estimate = migration.estimate("after", AFTER, &MigrationRates::default()).unwrap();
    fill(&migration, &Model::default()).unwrap();
    store.checkpoint().unwrap();
    let next = store.open_collection("docs.next").unwrap();
    let folder = format!("{}/", crate::manifest::collection_folder(next.inner().number));
    let is_counted = |path: &str| path.starts_with(&folder) && !path.contains("/text-");
    let on_disk: u64 = disk.files().iter().filter(|(path, _)| is_counted(path)).map(|(_, bytes)| bytes).sum();
    let near = |told: u64, is: u64| told as f64 / is as f64;
    assert!((0.85..1.15).contains(&near(estimate.disk_bytes, on_disk)), "{} {on_disk}", estimate.disk_bytes);
    let per_row = 1_500 * (AFTER * 4) as u64;
    assert!(
        estimate.memory_bytes > per_row && estimate.memory_bytes < 3 * per_row,
        "{}",
        estimate.memory_bytes
    );
}

#[test]
fn a_full_disk_costs_the_batch_under_way_and_no_more() {
    let disk = SimDisk::new();
    // Small log files: a full one is followed by one that needs room.
    let tiny = Some(Tiny { block_slots: 64, log_file_bytes: 4_096 });
    let store = Store::open_still(Arc::new(disk.clone()), Options { tiny, ..options() }).unwrap();
    let docs = filled_with(&store, 200);
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    migration.fill(&model, batches(16), &mut |_| false).unwrap();
    // The log gives its room back.
    store.checkpoint().unwrap();
    let used: u64 = disk.files().values().sum();
    disk.capacity(used + (30 << 10));
    let full = fill(&migration, &model).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Full, "{full}");
    let before = model.asked();
    docs.delete(["3"]).unwrap();
    assert_eq!(switch(&migration, &model).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(names(&store), ["docs", "docs.next"]);
    disk.capacity(u64::MAX >> 1);
    let status = fill(&migration, &model).unwrap();
    assert_eq!((status.filled, status.coverage), (199, 1.0));
    assert!(before > 16 && before < 200 && model.asked() <= 200 + 2 * 16, "{before} {}", model.asked());
    check_vectors(&store.open_collection("docs.next").unwrap());
}
