//! How fast: not a test of anything, so it runs when it is asked for.
//!
//! Goal: numbers to compare, each beside what Postgres does alone on the same server. Method: rows with 384 dimensions, text
//! and metadata, from the folder that NEARFIELD_MEASURE names (`docs.jsonl`, and `base.f32`, little-endian), or made up.
//! `cargo test --release --lib postgres::tests::measure -- --ignored --nocapture`

use super::server::{Site, rig, run};
use crate::config::{Metric, Schema as Shape};
use crate::ids::Ver;
use crate::mirror::conformance::{DOCS, block_on};
use crate::mirror::remote::*;
use crate::postgres::binary::Encoder;
use crate::postgres::push;
use crate::record::{Chunk, Edition, Stamp, admit, digest};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

const NODE: NodeId = NodeId(5);
const DIM: usize = 384;
const ROUNDS: usize = 3;

fn rows(seed: u64) -> Vec<Edition> {
    let folder = std::env::var("NEARFIELD_MEASURE").ok();
    let chunks = folder.map_or_else(made_up, |folder| stored(Path::new(&folder)));
    let mut editions: Vec<Edition> = chunks
        .into_iter()
        .map(|chunk| {
            let row = admit(chunk, DIM, true).unwrap();
            let stamp = Stamp { ver: Ver(1), node: NODE.0, digest: digest(&row, seed) };
            Edition { id: row.id.clone(), stamp, row: Some(row) }
        })
        .collect();
    editions.sort_by(|a, b| a.id.cmp(&b.id));
    editions
}

fn stored(folder: &Path) -> Vec<Chunk> {
    let vectors = std::fs::read(folder.join("base.f32")).unwrap();
    let docs = std::fs::read_to_string(folder.join("docs.jsonl")).unwrap();
    let text = |doc: &Value, key: &str| doc[key].as_str().map(str::to_owned);
    docs.lines()
        .zip(vectors.chunks_exact(DIM * 4))
        .map(|(line, bytes)| {
            let doc: Value = serde_json::from_str(line).unwrap();
            Chunk {
                id: text(&doc, "id").unwrap(),
                document_id: text(&doc, "document_id"),
                text: text(&doc, "text"),
                metadata: doc["metadata"].as_object().cloned().unwrap_or_default(),
                vector: Some(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
                ..Chunk::default()
            }
        })
        .collect()
}

fn made_up() -> Vec<Chunk> {
    let mut state = 1_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let chunk = |n: usize| {
        let vector: Vec<f32> = (0..DIM).map(|_| next()).collect();
        let text = format!("{n} {}", "the quick brown fox ".repeat(10 + n % 20));
        Chunk::new(format!("row-{n}"))
            .vector(vector)
            .text(text)
            .meta("size", n)
            .meta("section", format!("s{}", n % 50))
    };
    (0..59_116).map(chunk).collect()
}

async fn site() -> (Site, u64) {
    let site = rig().await;
    let seed = site.postgres.look(NODE).await.unwrap().digest_seed;
    let shape = RemoteCollection { name: DOCS.into(), schema: Shape::new(DIM, Metric::Cosine) };
    site.postgres.declare(&shape).await.unwrap();
    (site, seed)
}

fn report(what: &str, rows: usize, start: Instant) -> f64 {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what:<44} {:>9.3} s {:>10.0} rows/s", seconds, rows as f64 / seconds);
    seconds
}

/// What COPY does alone, into the same table with the same keys, index and triggers.
async fn raw_copy(site: &Site, editions: &[Edition]) -> f64 {
    let mut encoder = Encoder::default();
    encoder.header();
    for edition in editions {
        encoder.row(push::INBOX_COLUMNS);
        push::encode(edition, &mut encoder);
    }
    encoder.trailer();
    let mut person = site.person().await;
    run(
        &mut person,
        "ALTER TABLE chunk ALTER collection SET DEFAULT 'docs'; BEGIN; SET LOCAL nearfield.mirror = 'on'",
    )
    .await;
    let start = Instant::now();
    let copy = "COPY chunk (id, ver, node, deleted, digest, document_id, chunk_index, tenant, text, metadata, \
                embedding_model, embedding) FROM STDIN (FORMAT binary)";
    let mut copy = person.copy_in_raw(copy).await.unwrap();
    for piece in encoder.pending().chunks(256 << 10) {
        copy.send(piece).await.unwrap();
    }
    copy.finish().await.unwrap();
    run(&mut person, "COMMIT").await;
    report("COPY alone", editions.len(), start)
}

#[test]
#[ignore = "it measures"]
fn pushing_reading_and_comparing() {
    block_on(async {
        let (first, seed) = site().await;
        let editions = rows(seed);
        let mark = |pushes| NodeMark { node: NODE.0, incarnation: 1, pushes };
        drop(first);
        for round in 0..ROUNDS {
            println!("round {round}, {} rows", editions.len());
            let (raw, _) = site().await;
            let alone = raw_copy(&raw, &editions).await;
            run(
                &mut raw.person().await,
                "DROP SCHEMA IF EXISTS gone CASCADE; DROP VIEW chunks; DROP TABLE chunk",
            )
            .await;

            let (ours, _) = site().await;
            let start = Instant::now();
            ours.postgres.push(DOCS, &editions, mark(1)).await.unwrap();
            let pushed = report("push of all", editions.len(), start);
            println!("{:<44} {:>9.2}", "share of COPY alone", alone / pushed);
            // As autovacuum does soon after.
            run(&mut ours.person().await, "VACUUM ANALYZE chunk").await;

            let mut newer = editions.clone();
            newer.iter_mut().for_each(|e| e.stamp.ver = Ver(2));
            for rows in [100, 400, 1_000, 5_000] {
                newer.iter_mut().for_each(|e| e.stamp.ver.0 += 1);
                let some = &newer[..newer.len().min(20_000)];
                let start = Instant::now();
                for batch in some.chunks(rows) {
                    ours.postgres.push(DOCS, batch, mark(2)).await.unwrap();
                }
                report(&format!("updates, {rows} a batch"), some.len(), start);
            }
            run(&mut ours.person().await, "VACUUM ANALYZE chunk").await;
            compare(&ours, editions.len()).await;
            scan(&ours, editions.len()).await;
            run(&mut ours.person().await, "DROP VIEW chunks; DROP TABLE chunk").await;
        }
    });
}

async fn compare(site: &Site, rows: usize) {
    let mut reading = site.postgres.read().await.unwrap();
    let start = Instant::now();
    reading.fingerprints(DOCS, &[IdRange::default()], &[]).await.unwrap();
    report("fingerprint of all", rows, start);
    let start = Instant::now();
    let ranges = reading.split(DOCS, 1_024).await.unwrap();
    report("split in 1,024", rows, start);
    let start = Instant::now();
    reading.fingerprints(DOCS, &ranges, &[]).await.unwrap();
    report("fingerprints of 1,024 ranges", rows, start);
    let start = Instant::now();
    let heads = reading.heads(DOCS, &IdRange::default(), rows).await.unwrap();
    report("heads of all", heads.len(), start);
    let since = Snapshot("4:4:".into());
    let until = reading.snapshot().clone();
    let (mut after, start, mut changes) = (None, Instant::now(), 0);
    loop {
        let page = reading.changes(&since, &until, after.as_ref(), 5_000).await.unwrap();
        changes += page.len();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
    }
    report("changes, pages of 5,000", changes, start);
    reading.finish().await.unwrap();
}

async fn scan(site: &Site, rows: usize) {
    let mut person = site.person().await;
    let start = Instant::now();
    let copy = "COPY (SELECT id, ver, node, deleted, digest, document_id, chunk_index, tenant, text, metadata::text, \
                embedding_model, embedding FROM chunk ORDER BY collection, id) TO STDOUT (FORMAT binary)";
    let mut stream = person.copy_out_raw(copy).await.unwrap();
    let mut bytes = 0;
    while let Some(piece) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await {
        bytes += piece.unwrap().len();
    }
    let alone = report(&format!("COPY TO alone, {} MB", bytes / 1_000_000), rows, start);
    drop(stream);
    let mut reading = site.postgres.read().await.unwrap();
    let (start, mut count) = (Instant::now(), 0);
    let mut each = |piece: Vec<Edition>| {
        count += piece.len();
        true
    };
    reading.scan(DOCS, &IdRange::default(), &mut each).await.unwrap();
    let scanned = report("scan", count, start);
    println!("{:<44} {:>9.2}", "share of COPY TO alone", alone / scanned);
    reading.finish().await.unwrap();
}
