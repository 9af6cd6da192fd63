//! Goal: the engine serves every metric over `hnsw_rs` too, `l1` among them, and needs no code to be right.
//! Method: the same rows, filters and deletes as any collection, answers against the engine's exact search.

use nearfield::{Chunk, Collection, ErrorKind, Filter, GraphKind, Metric, Schema, Store};

const DIM: usize = 24;
const ROWS: usize = 1_200;

/// splitmix64, in -1..1.
fn noise(seed: u64) -> f32 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

fn vector(row: usize) -> Vec<f32> {
    let center = row as u64 % 20;
    (0..DIM as u64)
        .map(|i| noise(center * 1000 + i) + 0.4 * noise(1_000_000 + row as u64 * 100 + i))
        .collect()
}

fn filled(metric: Metric) -> Collection {
    let docs = Store::memory()
        .create_collection("second", Schema::new(DIM, metric).graph(GraphKind::HnswRs))
        .unwrap();
    for start in (0..ROWS).step_by(300) {
        docs.upsert(
            (start..start + 300).map(|r| Chunk::new(r.to_string()).vector(vector(r)).meta("r", r as u64)),
        )
        .unwrap();
    }
    docs
}

/// The share of the true ten nearest that an ordinary search finds.
fn recall(docs: &Collection, filter: Option<Filter>) -> f64 {
    let (mut found, mut wanted) = (0, 0);
    for row in 0..60 {
        let query: Vec<f32> = vector(row * 17).iter().map(|x| x + 0.05).collect();
        let exact = docs.search(&query).filter(filter.clone()).exact(true).run().unwrap();
        let hits = docs.search(&query).filter(filter.clone()).run().unwrap().hits;
        assert_eq!(hits.len(), exact.hits.len());
        assert!(hits.is_sorted_by(|a, b| a.distance <= b.distance));
        wanted += exact.hits.len();
        found += exact
            .hits
            .iter()
            .filter(|e| hits.iter().any(|h| h.id == e.id && h.distance == e.distance))
            .count();
    }
    found as f64 / wanted as f64
}

#[test]
fn every_metric_is_served_with_filters_deletes_and_healing() {
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot, Metric::L1] {
        let docs = filled(metric);
        let plain = recall(&docs, None);
        assert!(plain >= 0.95, "{metric}: recall {plain}");
        for below in [1_000, 400, 100] {
            let filtered = recall(&docs, Some(Filter::lt("r", below)));
            assert!(filtered >= 0.95, "{metric}: recall {filtered} below {below}");
        }
        docs.delete_where(&Filter::lt("r", 600)).unwrap();
        let deleted = recall(&docs, None);
        assert!(deleted >= 0.95, "{metric}: recall {deleted} after deleting half");
        docs.heal().unwrap();
        assert_eq!(docs.check(), Ok(0), "{metric}");
        let healed = recall(&docs, None);
        assert!(healed >= 0.95, "{metric}: recall {healed} after healing");
    }
}

#[test]
fn l1_is_the_sum_of_absolute_differences() {
    let docs = Store::memory().create_collection("l1", Schema::new(3, Metric::L1)).unwrap();
    docs.upsert([Chunk::new("a").vector([1.0, -2.0, 3.0]), Chunk::new("b").vector([0.0, 0.0, 0.0])]).unwrap();
    let hits = docs.search(&[1.0, 1.0, 1.0]).run().unwrap().hits;
    let told: Vec<(&str, f32, f32)> = hits.iter().map(|h| (h.id.as_str(), h.distance, h.score)).collect();
    assert_eq!(told, [("b", 3.0, 0.25), ("a", 5.0, 1.0 / 6.0)]);
}

#[test]
fn the_flat_graph_refuses_l1() {
    let schema = Schema::new(3, Metric::L1).graph(GraphKind::Flat);
    let error = Store::memory().create_collection("l1", schema).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("hnsw_rs"), "{error}");
}
