//! Words through the life of a store on a simulated disk: they follow rows, survive power losses and damage, and never claim what is gone.

use crate::config::{Metric, Options, Schema, Tiny};
use crate::disk::sim::{Loss, SimDisk};
use crate::engine::{Collection, Store};
use crate::record::Chunk;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const BLOCK_ROWS: usize = 24;

type Model = BTreeMap<String, String>;

fn open(disk: &SimDisk) -> Store {
    let tiny = Tiny { block_slots: BLOCK_ROWS, log_file_bytes: 1 << 20 };
    let options = Options { tiny: Some(tiny), disk_reserve_bytes: 0, ..Options::default() };
    Store::open_still(Arc::new(disk.clone()), options).unwrap()
}

/// Every third has no vector.
fn chunk(id: usize, text: &str) -> Chunk {
    let chunk = Chunk::new(format!("id-{id:03}")).text(text).document(format!("doc-{}", id % 5), id as u32);
    if id.is_multiple_of(3) { chunk } else { chunk.vector(vec![id as f32 + 1.0, 1.0]) }
}

fn words(id: usize, version: usize) -> String {
    format!("common row{id} version{version} part{}", id % 4)
}

fn found(docs: &Collection, question: &str) -> BTreeSet<String> {
    let response = docs.search_text(question).k(500).run().unwrap();
    assert!(response.degraded_legs.is_empty(), "{response:?}");
    response.hits.iter().map(|hit| hit.id.to_string()).collect()
}

fn serves(docs: &Collection, model: &Model, what: &str) {
    for question in ["common", "part1", "version0", "version1", "row7", "nothing"] {
        let holds = |text: &&String| text.split(' ').any(|word| word == question);
        let expected: BTreeSet<String> =
            model.iter().filter(|(_, text)| holds(text)).map(|(id, _)| id.clone()).collect();
        assert_eq!(found(docs, question), expected, "{what}: {question}");
    }
}

fn write(docs: &Collection, model: &mut Model, ids: std::ops::Range<usize>, version: usize) {
    let chunks: Vec<Chunk> = ids.clone().map(|id| chunk(id, &words(id, version))).collect();
    assert!(docs.upsert(chunks).unwrap().results.iter().all(|r| r.rejected.is_none()));
    model.extend(ids.map(|id| (format!("id-{id:03}"), words(id, version))));
}

/// Rows written, replaced, deleted, checkpointed, and moved out of blocks that are dropped; the states after each.
fn life(disk: &SimDisk) -> Vec<Model> {
    let store = open(disk);
    let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    let mut model = Model::new();
    let mut states = vec![Model::new()];
    for from in [0, 20, 40, 60] {
        write(&docs, &mut model, from..from + 20, 0);
        states.push(model.clone());
        store.checkpoint().unwrap();
    }
    write(&docs, &mut model, 0..30, 1);
    states.push(model.clone());
    docs.delete(["id-050", "id-051", "id-070"]).unwrap();
    ["id-050", "id-051", "id-070"].iter().for_each(|id| drop(model.remove(*id)));
    states.push(model.clone());
    docs.reclaim(&|| true).unwrap();
    store.checkpoint().unwrap();
    serves(&docs, &model, "alive");
    assert!(docs.stats().text.documents < 110, "{:?}", docs.stats().text);
    write(&docs, &mut model, 80..90, 0);
    states.push(model.clone());
    store.close(Duration::from_secs(5)).unwrap();
    states
}

#[test]
fn words_follow_rows_through_a_restart() {
    let disk = SimDisk::new();
    let states = life(&disk);
    let store = open(&disk);
    let docs = store.open_collection("docs").unwrap();
    serves(&docs, states.last().unwrap(), "reopened");
    let stats = docs.stats().text;
    assert!(
        stats.segments > 0 && stats.file_bytes > 0 && stats.lag == 0 && stats.trouble.is_none(),
        "{stats:?}"
    );
    store.drop_collection("docs").unwrap();
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    let left: Vec<String> = disk.files().into_keys().filter(|path| path.contains("/text-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn after_a_power_loss_at_any_operation_words_are_those_of_the_rows() {
    let disk = SimDisk::new();
    let states = life(&disk);
    let mut replay = disk.replay();
    let mut opened = 0;
    loop {
        let at = replay.operations();
        // Each operation with one kind of loss, another at each.
        let loss = Loss::ALL[at as usize % Loss::ALL.len()];
        let store = open(&replay.image(loss, at));
        if let Ok(docs) = store.open_collection("docs") {
            let rows: Model = docs
                .scroll(None, None, 500)
                .unwrap()
                .chunks
                .into_iter()
                .map(|chunk| (chunk.id.to_string(), chunk.text.unwrap()))
                .collect();
            assert!(states.contains(&rows), "{loss:?} at {at}");
            serves(&docs, &rows, &format!("{loss:?} at {at}"));
            opened += 1;
        }
        if !replay.step() {
            break;
        }
    }
    assert!(opened > 100, "{opened}");
}

#[test]
fn damage_in_any_file_of_words_costs_them_and_no_row() {
    let disk = SimDisk::new();
    let states = life(&disk);
    let files: Vec<(String, u64)> =
        disk.files().into_iter().filter(|(path, _)| path.contains("/text-")).collect();
    assert!(!files.is_empty());
    for (path, len) in files {
        for bit in (0..len * 8).step_by((len * 8 / 12) as usize) {
            let hurt = disk.snapshot();
            hurt.flip(&path, bit).unwrap();
            let store = open(&hurt);
            let docs = store.open_collection("docs").unwrap();
            // The first answer may lack what it found damaged, and says so.
            let _ = docs.search_text("common").run().unwrap();
            serves(&docs, states.last().unwrap(), &format!("{path}, bit {bit}"));
            store.checkpoint().unwrap();
            drop(docs);
            store.close(Duration::from_secs(5)).unwrap();
            let store = open(&hurt);
            serves(&store.open_collection("docs").unwrap(), states.last().unwrap(), "and again");
        }
    }
}

#[test]
fn a_failing_disk_costs_words_their_files_and_no_write() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    let mut model = Model::new();
    write(&docs, &mut model, 0..40, 0);
    serves(&docs, &model, "before");
    disk.capacity(disk.files().values().sum::<u64>() + 64);
    assert!(store.checkpoint().is_err());
    serves(&docs, &model, "full");
    disk.capacity(1 << 30);
    write(&docs, &mut model, 40..60, 0);
    store.checkpoint().unwrap();
    serves(&docs, &model, "room again");
}

#[test]
fn whoever_opens_a_store_that_was_closed_finds_words_at_once() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    let mut model = Model::new();
    write(&docs, &mut model, 0..BLOCK_ROWS * 4 + 5, 0);
    // As if all of it had been written a moment ago.
    docs.inner().words.forget();
    assert_eq!(docs.stats().text.lag, model.len());
    drop(docs);
    store.close(Duration::from_secs(60)).unwrap();
    let store = open(&disk);
    let docs = store.open_collection("docs").unwrap();
    let text = docs.stats().text;
    assert!(text.lag <= 5 && text.segments >= 4, "only the block that grows is looked up again: {text:?}");
    serves(&docs, &model, "opened again");
}
