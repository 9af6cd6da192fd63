//! Goal: each thing that a search or a handle can do, does what its documentation says.
//! Method: small collections whose answers can be written down by hand, or computed in a few lines.

use crate::oracle::{self, Noise};
use nearfield::{Chunk, Collection, ErrorKind, Filter, Include, Metric, Plan, Response, Schema, Store};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

fn collection(dim: usize, metric: Metric) -> Collection {
    Store::memory().create_collection("c", Schema::new(dim, metric)).unwrap()
}

fn ids(response: &Response) -> Vec<&str> {
    response.hits.iter().map(|h| h.id.as_str()).collect()
}

/// `n` chunks, ten in a document, every third without one.
fn library(n: usize, dim: usize, metric: Metric) -> (Collection, Vec<Chunk>) {
    let mut noise = Noise::new(11);
    let chunk = |at: usize| {
        let chunk = Chunk::new(format!("c{at}")).vector(noise.floats(dim)).meta("n", at);
        if at.is_multiple_of(3) { chunk } else { chunk.document(format!("d{}", at / 10), at as u32 % 10) }
    };
    let chunks: Vec<Chunk> = (0..n).map(chunk).collect();
    let docs = collection(dim, metric);
    docs.upsert(chunks.clone()).unwrap();
    (docs, chunks)
}

#[test]
fn distances_and_scores_are_those_of_pgvector() {
    // `select '[1,2,3]'::vector <=> '[2,0,-1]'` and so on, computed by hand.
    type Case = (Metric, [f32; 3], [f32; 3], f64, f64);
    let cases: [Case; 9] = [
        (Metric::Cosine, [1.0, 2.0, 3.0], [2.0, 0.0, -1.0], 1.119_522_860_933_439_4, 0.440_238_57),
        (Metric::Cosine, [1.0, 2.0, 3.0], [10.0, 20.0, 30.0], 0.0, 1.0),
        (Metric::Cosine, [1.0, 0.0, 0.0], [-5.0, 0.0, 0.0], 2.0, 0.0),
        (Metric::Cosine, [1.0, 0.0, 0.0], [0.0, 7.0, 0.0], 1.0, 0.5),
        (Metric::L2, [1.0, 2.0, 3.0], [2.0, 0.0, -1.0], 4.582_575_694_955_84, 0.179_128_78),
        (Metric::L2, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 0.0, 1.0),
        (Metric::L2, [0.0, 0.0, 0.0], [0.0, 3.0, 4.0], 5.0, 1.0 / 6.0),
        (Metric::Dot, [1.0, 2.0, 3.0], [2.0, 0.0, -1.0], 1.0, -1.0),
        (Metric::Dot, [1.0, 2.0, 3.0], [3.0, 4.0, 5.0], -26.0, 26.0),
    ];
    for (metric, query, row, distance, score) in cases {
        let docs = collection(3, metric);
        docs.upsert([Chunk::new("a").vector(row)]).unwrap();
        for exact in [false, true] {
            let hit = docs.search(&query).exact(exact).run().unwrap().hits.remove(0);
            assert!((f64::from(hit.distance) - distance).abs() < 1e-6, "{metric} {row:?}: {}", hit.distance);
            assert!((f64::from(hit.score) - score).abs() < 1e-6, "{metric} {row:?}: {}", hit.score);
        }
    }
}

#[test]
fn a_tenant_sees_and_touches_its_own_chunks_only() {
    let docs = collection(2, Metric::L2);
    let (ann, bob) = (docs.tenant("ann"), docs.tenant("bob"));
    let chunk = |id: &str, x: f32| Chunk::new(id).vector([x, 0.0]).document("shared", 0).meta("k", 1);
    ann.upsert([chunk("a1", 1.0), chunk("a2", 2.0)]).unwrap();
    bob.upsert([chunk("b1", 1.1)]).unwrap();
    docs.upsert([chunk("free", 1.2)]).unwrap();
    let everything = Filter::eq("k", 1);

    assert_eq!(ids(&ann.search(&[1.0, 0.0]).run().unwrap()), ["a1", "a2"]);
    assert_eq!(
        ids(&ann.search(&[1.0, 0.0]).exact(true).filter(everything.clone()).run().unwrap()),
        ["a1", "a2"]
    );
    assert_eq!(ids(&ann.range(&[1.0, 0.0], 100.0).run().unwrap()), ["a1", "a2"]);
    assert_eq!((ann.count(None).unwrap(), ann.count(Some(&everything)).unwrap()), (2, 2));
    assert_eq!(ann.get_many(["a1", "b1", "free"]).unwrap().iter().flatten().count(), 1);
    assert_eq!(ann.document("shared").unwrap().len(), 2);
    assert_eq!(ann.scroll(None, None, 10).unwrap().chunks.len(), 2);
    // A filter of the user's cannot widen it.
    let or_all = Filter::any([Filter::eq("k", 1), Filter::exists("k", false)]);
    assert_eq!(ann.count(Some(&or_all)).unwrap(), 2);

    // Neither a foreign id nor a chunk that says it is another's gets through.
    let ack = ann.upsert([chunk("b1", 9.0), chunk("free", 9.0), chunk("a3", 3.0).tenant("bob")]).unwrap();
    assert_eq!((ack.upserted, ack.rejected), (0, 3));
    assert!(
        ack.results[2]
            .rejected
            .as_deref()
            .unwrap()
            .contains(r#"of tenant "bob", the handle of tenant "ann""#)
    );
    assert_eq!(bob.get("b1").unwrap().unwrap().vector.unwrap(), [1.1, 0.0]);

    assert_eq!(ann.delete(["b1", "free", "a2"]).unwrap().0, 1);
    assert_eq!(bob.delete_document("shared").unwrap().0, 1);
    assert_eq!(bob.delete_where(&everything).unwrap().0, 0);
    assert_eq!(docs.count(None).unwrap(), 2);
    assert_eq!(docs.tenant("nobody").count(None).unwrap(), 0);
    assert_eq!(ids(&docs.search(&[0.0, 0.0]).run().unwrap()), ["a1", "free"]);
}

#[test]
fn a_required_tenant_is_required_of_every_call() {
    let schema = Schema::new(1, Metric::L2).tenant_required(true);
    let docs = Store::memory().create_collection("secrets", schema).unwrap();
    let one = docs.tenant("one");
    one.upsert([Chunk::new("a").vector([1.0])]).unwrap();
    let everything = Filter::exists("x", false);
    let query = [0.0];
    let refusals = [
        docs.search(&query).run().map(drop),
        docs.search(&query).exact(true).filter(everything.clone()).run().map(drop),
        docs.search_batch(&[docs.search(&query)], 1).map(drop),
        docs.range(&query, 9.0).run().map(drop),
        docs.get("a").map(drop),
        docs.get_many(["a"]).map(drop),
        docs.document("d").map(drop),
        docs.scroll(None, None, 5).map(drop),
        docs.count(None).map(drop),
        docs.count(Some(&everything)).map(drop),
        docs.delete(["a"]).map(drop),
        docs.delete_document("d").map(drop),
        docs.delete_where(&everything).map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(error.message(), r#"collection "secrets" requires a tenant; use collection.tenant(..)"#);
    }
    let ack = docs.upsert([Chunk::new("b").vector([1.0])]).unwrap();
    let reason = "the collection requires a tenant; set the chunk's or use collection.tenant(..)";
    assert_eq!(ack.results[0].rejected.as_deref(), Some(reason));
    assert_eq!(one.count(None).unwrap(), 1);
}

/// MMR as Carbonell and Goldstein wrote it, over the `4 k` nearest chunks.
fn brute_mmr(metric: Metric, query: &[f32], rows: &[Chunk], k: usize, lambda: f32) -> Vec<String> {
    let score = |a: &[f32], b: &[f32]| f64::from(metric.score(oracle::distance(metric, a, b) as f32));
    let vector = |c: &Chunk| c.vector.clone().unwrap();
    let mut left: Vec<&Chunk> =
        oracle::nearest(metric, query, rows).into_iter().take(4 * k).map(|(_, c)| c).collect();
    let mut chosen: Vec<&Chunk> = Vec::new();
    let lambda = f64::from(lambda);
    while chosen.len() < k && !left.is_empty() {
        let value = |c: &Chunk| {
            let alike = chosen.iter().map(|o| score(&vector(c), &vector(o))).reduce(f64::max).unwrap_or(0.0);
            lambda * score(query, &vector(c)) - (1.0 - lambda) * alike
        };
        let best = (0..left.len()).fold(0, |b, at| if value(left[at]) > value(left[b]) { at } else { b });
        chosen.push(left.remove(best));
    }
    chosen.into_iter().map(|c| c.id.clone()).collect()
}

/// The mean distance of two hits.
fn spread(metric: Metric, chunks: &[Chunk], ids: &[String]) -> f64 {
    let vector = |id: &String| chunks.iter().find(|c| c.id == *id).and_then(|c| c.vector.clone()).unwrap();
    let pairs = ids.iter().enumerate().flat_map(|(at, a)| ids[..at].iter().map(move |b| (a, b)));
    pairs.map(|(a, b)| oracle::distance(metric, &vector(a), &vector(b))).sum()
}

#[test]
fn mmr_trades_nearness_for_variety() {
    for metric in [Metric::Cosine, Metric::L2] {
        let (docs, chunks) = library(300, 6, metric);
        let query = Noise::new(3).floats(6);
        let run = |lambda: f32| {
            let got = docs.search(&query).k(8).exact(true).mmr(lambda).run().unwrap();
            ids(&got).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let plain = docs.search(&query).k(8).exact(true).run().unwrap();
        assert_eq!(run(1.0), ids(&plain));
        for lambda in [0.0, 0.3, 0.5, 0.8, 1.0] {
            assert_eq!(
                run(lambda),
                brute_mmr(metric, &query, &chunks, 8, lambda),
                "{metric}, lambda {lambda}"
            );
        }
        let [varied, near] = [0.1, 1.0].map(|lambda| spread(metric, &chunks, &run(lambda)));
        assert!(varied > near * 1.1, "{metric}: {varied} and {near}");
        // Of ten copies of the nearest chunk, variety shows one.
        let copies = (0..10).map(|n| Chunk::new(format!("copy{n}")).vector(query.clone()));
        docs.upsert(copies).unwrap();
        let got = run(0.3);
        assert_eq!(got.iter().filter(|id| id.starts_with("copy")).count(), 1, "{metric}: {got:?}");
    }
}

#[test]
fn grouping_shows_each_document_once_by_its_nearest_chunk() {
    let (docs, chunks) = library(600, 4, Metric::L2);
    let mut noise = Noise::new(5);
    for k in [1, 5, 30, 200, 1_000] {
        let query = noise.floats(4);
        let truth = oracle::nearest(Metric::L2, &query, &chunks);
        let mut seen = HashSet::new();
        let mut is_first = |c: &Chunk| c.document_id.as_ref().is_none_or(|d| seen.insert(d.clone()));
        let firsts: Vec<&Chunk> = truth.iter().map(|(_, c)| *c).filter(|c| is_first(c)).collect();
        let wanted: Vec<&str> = firsts.iter().take(k).map(|c| c.id.as_str()).collect();
        let search = docs.search(&query).k(k).group_by_document(true);
        assert_eq!(ids(&search.clone().exact(true).run().unwrap()), wanted);
        // The walk finds as many documents, and each once.
        let walked = search.run().unwrap();
        assert_eq!(walked.hits.len(), wanted.len(), "k {k}");
        let documents: Vec<_> = walked.hits.iter().filter_map(|h| h.document_id.clone()).collect();
        assert_eq!(documents.iter().collect::<HashSet<_>>().len(), documents.len());
    }
    // One document that has all the nearest chunks does not hide the others.
    docs.upsert((0..400).map(|n| Chunk::new(format!("x{n}")).vector([9.0, 9.0, 9.0, 9.0]).document("x", n)))
        .unwrap();
    let got = docs.search(&[9.0; 4]).k(5).group_by_document(true).run().unwrap();
    assert_eq!(got.hits.len(), 5);
    assert_eq!(got.hits[0].document_id.as_deref(), Some("x"));
}

#[test]
fn limits_on_distance_and_score_keep_the_edge() {
    let docs = collection(1, Metric::L2);
    docs.upsert((0..10).map(|n| Chunk::new(format!("p{n}")).vector([n as f32]))).unwrap();
    let search = || docs.search(&[0.0]).k(5);
    assert_eq!(ids(&search().max_distance(2.0).run().unwrap()), ["p0", "p1", "p2"]);
    assert_eq!(ids(&search().max_distance(100.0).run().unwrap()).len(), 5);
    assert_eq!(ids(&search().max_distance(-1.0).run().unwrap()).len(), 0);
    // 1 / (1 + 3)
    assert_eq!(ids(&search().min_score(0.25).run().unwrap()), ["p0", "p1", "p2", "p3"]);
    assert_eq!(ids(&search().min_score(0.25).max_distance(1.5).run().unwrap()), ["p0", "p1"]);
    assert_eq!(ids(&docs.range(&[0.0], 3.0).run().unwrap()), ["p0", "p1", "p2", "p3"]);
    assert_eq!(ids(&docs.range(&[0.0], f32::INFINITY).limit(2).run().unwrap()), ["p0", "p1"]);
    assert_eq!(ids(&docs.range(&[0.0], f32::NEG_INFINITY).run().unwrap()).len(), 0);
    let odd = Filter::is_in("n", [1, 3]);
    assert_eq!(ids(&docs.range(&[0.0], 3.0).filter(odd).run().unwrap()).len(), 0);
}

#[test]
fn hits_carry_what_was_asked_for() {
    let docs = collection(2, Metric::Cosine);
    let chunk = Chunk::new("a").vector([3.0, 4.0]).text("hello").document("d", 7).meta("x", 1.0);
    docs.upsert([chunk, Chunk::new("bare").vector([-3.0, -4.0])]).unwrap();
    let run = |include| docs.search(&[3.0, 4.0]).include(include).run().unwrap().hits;
    let plain = &run(Include::NONE)[0];
    assert_eq!((&plain.text, &plain.metadata, &plain.vector), (&None, &None, &None));
    assert_eq!((plain.document_id.as_deref(), plain.chunk_index), (Some("d"), 7));
    let full = run(Include::ALL);
    assert_eq!(full[0].text.as_deref(), Some("hello"));
    assert_eq!(json!(full[0].metadata), json!({"x": 1}));
    assert_eq!(full[0].vector.as_deref(), Some(&[3.0, 4.0][..]), "as given, not normalised");
    assert_eq!((full[1].text.as_deref(), json!(full[1].metadata)), (None, json!({})));
    let text = &run(Include { text: true, ..Include::NONE })[0];
    assert!(text.text.is_some() && text.metadata.is_none() && text.vector.is_none());
    let ranged = docs.range(&[3.0, 4.0], 0.5).include(Include::ALL).run().unwrap();
    assert_eq!(ranged.hits, full[..1]);
}

#[test]
fn a_batch_answers_as_its_searches_do() {
    let (docs, _) = library(1_200, 8, Metric::Cosine);
    let mut noise = Noise::new(8);
    let queries: Vec<Vec<f32>> = (0..37).map(|_| noise.floats(8)).collect();
    let searches: Vec<_> = queries
        .iter()
        .enumerate()
        .map(|(at, query)| {
            let search = docs.search(query).k(1 + at % 7).filter((at % 3 == 0).then(|| Filter::lt("n", 700)));
            if at % 5 == 0 { search.mmr(0.5) } else { search }
        })
        .collect();
    let single: Vec<Response> = searches.iter().map(|s| s.run().unwrap()).collect();
    for threads in [0, 1, 2, 3, 64, usize::MAX] {
        assert_eq!(docs.search_batch(&searches, threads).unwrap(), single, "{threads} threads");
    }
    assert_eq!(docs.search_batch(&[], 4).unwrap(), []);
    // One wrong search fails the batch.
    let wrong = [docs.search(&queries[0]), docs.search(&queries[1]).k(0)];
    assert_eq!(docs.search_batch(&wrong, 2).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_batch_of_another_collection_is_refused() {
    let (docs, _) = library(300, 8, Metric::Cosine);
    let other = collection(3, Metric::L2);
    other.upsert([Chunk::new("a").vector([1.0, 2.0, 3.0])]).unwrap();
    let error = other.search_batch(&[docs.search(&[1.0; 8])], 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("another collection"), "{error}");
    // Handles of one collection mix, each search keeping its tenant.
    let mine = other.tenant("me");
    let query = [0.0, 0.0, 1.0];
    let got = other.search_batch(&[other.search(&query), mine.search(&query)], 2).unwrap();
    assert_eq!(got.iter().map(|r| r.hits.len()).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn collections_come_and_go() {
    let store = Store::memory();
    let schema = Schema::new(2, Metric::L2);
    let docs = store.create_collection("docs", schema.clone()).unwrap();
    docs.upsert([Chunk::new("a").vector([1.0, 2.0])]).unwrap();
    let again = store.create_collection("docs", schema.clone()).err().unwrap();
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert_eq!(store.get_or_create("docs", schema.clone()).unwrap().count(None).unwrap(), 1);
    for other in [Schema::new(3, Metric::L2), Schema::new(2, Metric::Dot), schema.clone().m(8)] {
        let error = store.get_or_create("docs", other).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("dim: 2") && error.message().contains("exists with another schema"));
    }
    store.get_or_create("more", schema.clone()).unwrap();
    assert_eq!(store.collections().iter().map(|c| c.name().to_owned()).collect::<Vec<_>>(), ["docs", "more"]);
    assert_eq!(store.open_collection("docs").unwrap().schema(), &schema);

    store.drop_collection("docs").unwrap();
    for error in [
        docs.search(&[0.0, 0.0]).run().err(),
        docs.upsert([Chunk::new("b").vector([1.0, 2.0])]).err(),
        docs.get("a").err(),
        docs.count(None).err(),
        docs.delete(["a"]).err(),
        docs.heal().err(),
        docs.tenant("t").scroll(None, None, 1).err(),
        docs.search_batch(&[], 1).err(),
        store.open_collection("docs").err(),
        store.drop_collection("docs").err(),
    ] {
        assert_eq!(error.unwrap().kind(), ErrorKind::NotFound);
    }
    // The name is free again, and what was under it is gone.
    assert_eq!(store.create_collection("docs", schema).unwrap().count(None).unwrap(), 0);
}

#[test]
fn stats_count_what_is_there() {
    let docs = collection(4, Metric::L2);
    let empty = docs.stats();
    assert_eq!((empty.rows, empty.pending, empty.dead, empty.documents, empty.tenants), (0, 0, 0, 0, 0));
    let chunk =
        |n: usize| Chunk::new(format!("c{n}")).vector([n as f32; 4]).document(format!("d{}", n % 3), 0);
    docs.upsert((0..100).map(chunk)).unwrap();
    docs.tenant("t").upsert([Chunk::new("p").text("waits")]).unwrap();
    docs.upsert((0..10).map(chunk)).unwrap();
    docs.delete(["c10", "c11", "c11", "nothing"]).unwrap();
    let stats = docs.stats();
    assert_eq!((stats.rows, stats.pending, stats.tail), (99, 1, 0));
    assert_eq!((stats.dead, stats.documents, stats.tenants), (12, 3, 1));
    let bytes: BTreeMap<_, _> = stats.bytes.components().into_iter().collect();
    assert_eq!(bytes.values().sum::<usize>(), stats.bytes.total());
    assert!(
        bytes["vectors"] >= 100 * 16 && bytes["links"] >= 100 * 128 && bytes["codes"] >= 400,
        "{bytes:?}"
    );
    docs.heal().unwrap();
    assert_eq!(docs.stats().dead, 0);
}

#[test]
fn answers_name_the_state_they_saw() {
    let store = Store::memory();
    let docs = store.create_collection("a", Schema::new(1, Metric::L2)).unwrap();
    let other = store.create_collection("b", Schema::new(1, Metric::L2)).unwrap();
    let mut last = docs.search(&[0.0]).run().unwrap().as_of;
    for n in 0..5 {
        let ack = docs.upsert([Chunk::new(format!("{n}")).vector([n as f32])]).unwrap();
        assert!(ack.token > last);
        assert_eq!(docs.search(&[0.0]).run().unwrap().as_of, ack.token);
        assert_eq!(docs.range(&[0.0], 1.0).run().unwrap().as_of, ack.token);
        assert_eq!(store.token(), ack.token);
        last = ack.token;
        // Another collection's write is a later commit of the store, not of this collection.
        assert!(other.upsert([Chunk::new("x").vector([0.0])]).unwrap().token > last);
        assert_eq!(docs.search(&[0.0]).run().unwrap().as_of, last);
    }
    let (_, token) = docs.delete(["0"]).unwrap();
    assert!(token > store_seen(&other) && docs.search(&[0.0]).run().unwrap().as_of == token);
    assert_eq!(docs.delete(["0"]).unwrap(), (0, token));
    assert_eq!(last.to_string().split('-').next(), Some("0"));
}

fn store_seen(collection: &Collection) -> nearfield::Token {
    collection.search(&[0.0]).run().unwrap().as_of
}

#[test]
fn nothing_to_find_is_an_empty_answer() {
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
        let docs = collection(3, metric);
        let check = || {
            let got = docs.search(&[1.0; 3]).k(10_000).run().unwrap();
            assert!(got.hits.is_empty() && got.exact && !got.degraded);
            assert_eq!((got.explain.plan, got.explain.candidates), (Plan::Exact, 0));
            for got in [
                docs.search(&[1.0; 3]).filter(Filter::eq("a", 1)).mmr(0.5).run(),
                docs.search(&[1.0; 3]).group_by_document(true).exact(true).run(),
                docs.range(&[1.0; 3], 1e9).run(),
            ] {
                assert!(got.unwrap().hits.is_empty());
            }
            docs.heal().unwrap();
            assert_eq!(docs.check(), Ok(0));
        };
        check();
        assert_eq!(docs.upsert([]).unwrap().upserted, 0);
        check();
        docs.upsert([Chunk::new("p").text("no vector")]).unwrap();
        check();
        docs.upsert((0..200).map(|n| Chunk::new(format!("{n}")).vector([n as f32, 1.0, 2.0]))).unwrap();
        docs.delete_where(&Filter::all([])).unwrap();
        check();
        docs.upsert([Chunk::new("new").vector([1.0; 3])]).unwrap();
        assert_eq!(ids(&docs.search(&[1.0; 3]).run().unwrap()), ["new"]);
    }
}

#[test]
fn k_beyond_the_chunks_gives_them_all() {
    for n in [1, 63, 64, 65, 300, 1_500] {
        let (docs, chunks) = library(n, 3, Metric::L2);
        let truth = oracle::nearest(Metric::L2, &[0.1, 0.2, 0.3], &chunks);
        for k in [n, n + 1, 10_000] {
            let got = docs.search(&[0.1, 0.2, 0.3]).k(k).run().unwrap();
            assert_eq!(got.hits.len(), n, "k {k}");
            assert_eq!(ids(&got), truth.iter().map(|(_, c)| c.id.as_str()).collect::<Vec<_>>());
        }
    }
}

#[test]
fn narrow_and_wide_vectors_are_searched() {
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
        for (dim, n) in [(1, 700), (2, 700), (16_000, 300)] {
            let (docs, chunks) = library(n, dim, metric);
            let query = Noise::new(17).floats(dim);
            let truth = oracle::nearest(metric, &query, &chunks);
            let exact = docs.search(&query).exact(true).run().unwrap();
            let walked = docs.search(&query).run().unwrap();
            for (got, recall_min) in [(&exact, 10), (&walked, 9)] {
                assert_eq!(got.hits.len(), 10);
                // In one dimension cosine knows two distances only.
                let (edge, slack) = (f64::from(truth[9].0), 1e-4 * (1.0 + f64::from(truth[9].0).abs()));
                let good = got.hits.iter().filter(|h| f64::from(h.distance) <= edge + slack).count();
                assert!(good >= recall_min, "{metric}, {dim} dimensions: {good} of 10");
            }
            docs.heal().unwrap();
            assert_eq!(docs.check(), Ok(0), "{metric}, {dim} dimensions");
        }
    }
}

#[test]
fn a_get_beside_writes_sees_whole_batches() {
    let docs = collection(1, Metric::L2);
    let names: Vec<String> = (0..500).map(|n| format!("c{n}")).collect();
    // Without vectors nothing is linked: all the time goes into what must not be seen half done.
    let write = |version: usize| {
        docs.upsert(names.iter().map(|id| Chunk::new(id.as_str()).text(version.to_string()))).unwrap();
    };
    write(0);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..100).for_each(write);
            is_done.store(true, Ordering::Release);
        });
        let mut torn = Vec::new();
        while !is_done.load(Ordering::Acquire) {
            let got = docs.get_many(names.iter().map(String::as_str)).unwrap();
            let versions: HashSet<Option<String>> = got.into_iter().map(|c| c.and_then(|c| c.text)).collect();
            if versions.len() != 1 || versions.contains(&None) {
                torn.push(versions);
            }
        }
        assert!(torn.is_empty(), "{} answers show parts of batches: {:?}", torn.len(), torn[0]);
    });
}
