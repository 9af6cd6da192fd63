//! Goal: deleting gives room back, in memory and on disk, and loses nothing that was not deleted. Method: a store of small blocks
//! in a real folder, without a background thread; its chores are called until there are none, so nothing is waited for.

use super::model::DIM;
use crate::config::{Metric, Options, Schema, Tiny};
use crate::disk::RealDisk;
use crate::engine::{Collection, Store};
use crate::record::Chunk;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const BLOCK_ROWS: usize = 256;
const ROWS: usize = 5_000;

fn open(folder: &Path) -> (Store, Collection) {
    let options = Options {
        tiny: Some(Tiny { block_slots: BLOCK_ROWS, log_file_bytes: 1 << 16 }),
        ..Options::default()
    };
    let store = Store::open_still(Arc::new(RealDisk::new(folder)), options.disk_reserve_bytes(0)).unwrap();
    let docs = store.get_or_create("docs", Schema::new(DIM, Metric::L2)).unwrap();
    (store, docs)
}

fn chunk(i: usize) -> Chunk {
    let x = (i as f32 * 0.618).fract();
    Chunk::new(format!("id-{i}"))
        .vector([x, i as f32 / ROWS as f32, (i % 17) as f32, (i % 5) as f32])
        .text(format!("text of {i}"))
        .document(format!("doc-{}", i % 40), i as u32)
        .meta("n", i)
}

/// Does all there is to do.
fn settle(store: &Store, docs: &Collection) {
    while docs.inner().care(1_000) {}
    store.checkpoint().unwrap();
    while docs.inner().care(1_000) {}
}

/// Bytes of rows, codes and links. Sets take 16 KiB a block, which is more than the rows of blocks as small as these.
fn bytes_of(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder.join("c00000001")).unwrap().map(Result::unwrap);
    let is_data = |name: String| ["block-", "head-", "links-"].iter().any(|kind| name.starts_with(kind));
    let data = files.filter(|file| is_data(file.file_name().into_string().unwrap()));
    data.map(|file| file.metadata().unwrap().len()).sum()
}

fn assert_equal(docs: &Collection, model: &BTreeMap<String, Chunk>) {
    let page = docs.scroll(None, None, usize::MAX).unwrap();
    let there: BTreeMap<String, Chunk> = page.chunks.into_iter().map(|c| (c.id.clone(), c)).collect();
    assert_eq!(&there, model);
    assert_eq!(docs.check(), Ok(0), "every row is reached");
    for (id, chunk) in model.iter().step_by(37) {
        assert_eq!(docs.get(id).unwrap().as_ref(), Some(chunk));
        let found = docs.search(chunk.vector.as_ref().unwrap()).k(1).ef(512).run().unwrap();
        assert_eq!(found.hits[0].distance, 0.0, "{id}");
    }
    let of_document = model.values().filter(|c| c.document_id.as_deref() == Some("doc-7")).count();
    assert_eq!(docs.document("doc-7").unwrap().len(), of_document);
}

#[test]
fn deleting_four_fifths_gives_back_most_of_memory_and_disk() {
    let folder = tempfile::TempDir::new().unwrap();
    let (store, docs) = open(folder.path());
    docs.upsert((0..ROWS).map(chunk)).unwrap();
    settle(&store, &docs);
    let (memory, disk) = (docs.stats().bytes, bytes_of(folder.path()));
    let mut model: BTreeMap<String, Chunk> = (0..ROWS).map(|i| (format!("id-{i}"), chunk(i))).collect();

    let gone: Vec<String> = (0..ROWS).filter(|i| i % 5 != 3).map(|i| format!("id-{i}")).collect();
    assert_eq!(docs.delete(gone.iter().map(String::as_str)).unwrap().0, gone.len());
    model.retain(|id, _| !gone.contains(id));
    settle(&store, &docs);
    assert_equal(&docs, &model);
    let (now, now_disk) = (docs.stats().bytes, bytes_of(folder.path()));
    for (what, before, after) in [
        ("vectors", memory.vectors as u64, now.vectors as u64),
        ("codes", memory.codes as u64, now.codes as u64),
        ("links", memory.links as u64, now.links as u64),
        ("disk", disk, now_disk),
    ] {
        assert!(after * 10 <= before * 3, "{what}: {after} of {before} bytes are left");
    }
    drop((store, docs));

    // Versions moved with their rows, and so did everything else: the store opens as it was.
    let (store, docs) = open(folder.path());
    assert_equal(&docs, &model);
    docs.upsert((0..ROWS).map(chunk)).unwrap();
    assert_equal(&docs, &(0..ROWS).map(|i| (format!("id-{i}"), chunk(i))).collect());
    drop((store, docs));
    let (_store, docs) = open(folder.path());
    assert_eq!(docs.count(None).unwrap(), ROWS);
}

#[test]
fn l6_blocks_that_were_dropped_stay_dropped_however_the_store_ends() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut model = BTreeMap::new();
    for round in 0..4 {
        let (store, docs) = open(folder.path());
        let rows = round * 1_000..round * 1_000 + 1_500;
        docs.upsert(rows.clone().map(chunk)).unwrap();
        model.extend(rows.map(|i| (format!("id-{i}"), chunk(i))));
        let gone: Vec<String> =
            model.keys().filter(|id| id.len() % 2 == round % 2 || id.ends_with('7')).cloned().collect();
        docs.delete(gone.iter().map(String::as_str)).unwrap();
        model.retain(|id, _| !gone.contains(id));
        if round % 2 == 0 {
            settle(&store, &docs);
        } else {
            // Moved and dropped in memory; no manifest knows.
            while docs.inner().care(1_000) {}
        }
        assert_equal(&docs, &model);
        drop((store, docs));
        assert_equal(&open(folder.path()).1, &model);
    }
}
