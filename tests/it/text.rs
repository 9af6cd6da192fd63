//! Goal: a search for words, or for words and a vector, is what the manual says, through the public API and a store on a disk.
//! Method: small collections whose right answers can be told by eye.

use nearfield::{
    Chunk, Collection, ErrorKind, Filter, Fusion, Include, Language, Leg, Metric, Options, Schema, Search,
    Store,
};
use std::time::Duration;

fn docs() -> (Store, Collection) {
    let store = Store::memory();
    let docs = store.create_collection("docs", Schema::new(2, Metric::Cosine)).unwrap();
    docs.upsert([
        Chunk::new("a")
            .vector(vec![1.0, 0.0])
            .text("the quick brown fox")
            .document("animals", 0)
            .meta("lang", "en"),
        Chunk::new("b")
            .vector(vec![0.9, 0.1])
            .text("a lazy dog sleeps")
            .document("animals", 1)
            .meta("lang", "en"),
        Chunk::new("c")
            .vector(vec![0.0, 1.0])
            .text("foxes and more foxes")
            .document("foxes", 0)
            .meta("lang", "en"),
        Chunk::new("d").text("a fox that waits for its vector").meta("lang", "de"),
        Chunk::new("e").vector(vec![0.1, 0.9]).meta("lang", "en"),
    ])
    .unwrap();
    (store, docs)
}

fn ids(search: Search<'_>) -> Vec<String> {
    search.run().unwrap().hits.iter().map(|hit| hit.id.to_string()).collect()
}

#[test]
fn words_find_chunks_with_and_without_vectors() {
    let (_store, docs) = docs();
    assert_eq!(ids(docs.search_text("fox")), ["c", "a", "d"]);
    assert_eq!(ids(docs.search_text("fox").k(1)), ["c"]);
    assert_eq!(ids(docs.search_text("\"brown fox\"")), ["a"]);
    assert_eq!(ids(docs.search_text("\"fox brown\"")), [""; 0]);
    assert_eq!(ids(docs.search_text("dog fox").filter(Filter::eq("lang", "de"))), ["d"]);
    assert_eq!(ids(docs.search_text("dog fox").group_by_document(true)), ["b", "c", "d"]);
    let response = docs.search_text("fox").include(Include { snippet: true, ..Include::NONE }).run().unwrap();
    let hit = &response.hits[0];
    assert!(hit.score > 0.0 && hit.distance == -hit.score && hit.text_score == Some(hit.score), "{hit:?}");
    assert_eq!(hit.snippet.as_ref().unwrap().highlights, [(0, 5), (15, 20)]);
    assert!(response.degraded_legs.is_empty() && response.explain.text.unwrap().candidates == 5);
    let min = response.hits[1].score;
    assert_eq!(ids(docs.search_text("fox").min_score(min)).len(), 2);
}

#[test]
fn a_row_is_found_by_its_words_from_its_acknowledgement_on_and_no_longer_than_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options::default()).unwrap();
    let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    for n in 0..300 {
        docs.upsert([Chunk::new(format!("id-{n}"))
            .text(format!("unheard{n} of"))
            .vector(vec![n as f32, 0.0])])
            .unwrap();
        assert_eq!(ids(docs.search_text(&format!("unheard{n}"))), [format!("id-{n}")]);
    }
    docs.upsert([Chunk::new("id-7").text("other")]).unwrap();
    docs.delete(["id-8"]).unwrap();
    assert!(ids(docs.search_text("unheard7 unheard8")).is_empty());
    assert_eq!(ids(docs.search_text("other")), ["id-7"]);
    drop(docs);
    store.close(Duration::from_secs(10)).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), Options::default()).unwrap();
    store.snapshot(copy.path().join("copy")).unwrap();
    let of_copy = Store::open(copy.path().join("copy"), Options::default()).unwrap();
    for store in [&store, &of_copy] {
        let docs = store.open_collection("docs").unwrap();
        assert!(ids(docs.search_text("unheard7 unheard8")).is_empty());
        assert_eq!(ids(docs.search_text("other")), ["id-7"]);
        assert_eq!(ids(docs.search_text("unheard299")), ["id-299"]);
        assert_eq!(docs.stats().text.trouble, None);
    }
}

#[test]
fn both_legs_are_fused_and_thresholds_hold_for_both() {
    let (_store, docs) = docs();
    let near = [1.0, 0.0];
    let response = docs.search_hybrid(&near, "fox").run().unwrap();
    let found: Vec<&str> = response.hits.iter().map(|hit| hit.id.as_str()).collect();
    assert_eq!(found[0], "a", "near, and a fox: {found:?}");
    assert_eq!(found.len(), 5, "what either leg found");
    assert!(response.degraded_legs.is_empty() && response.hits[0].vector_distance == Some(0.0));
    let close = docs.search_hybrid(&near, "fox").max_distance(0.5).run().unwrap();
    let close: Vec<&str> = close.hits.iter().map(|hit| hit.id.as_str()).collect();
    assert_eq!(close, ["a", "b", "d"], "c is a fox and too far; d has no vector");
    assert_eq!(ids(docs.search_hybrid(&near, "fox").filter(Filter::eq("lang", "de"))), ["d"]);
    let of =
        |weight| ids(docs.search_hybrid(&near, "foxes").fusion(Fusion::Weighted).vector_weight(weight).k(1));
    assert_eq!((of(1.0), of(0.0)), (vec!["a".to_owned()], vec!["c".to_owned()]));
    let grouped = docs.search_hybrid(&near, "fox").group_by_document(true).run().unwrap();
    let documents: Vec<_> = grouped.hits.iter().filter_map(|hit| hit.document_id.clone()).collect();
    assert_eq!(documents, ["animals", "foxes"]);
}

/// Thirty chunks on a line and one far away, each of three words; all have the word `row`, three of the near ones and the far one `green`, the far one alone
/// `zebra`.
fn line() -> (Store, Collection) {
    let store = Store::memory();
    let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    let chunk = |n: usize| {
        let text = if n % 10 == 4 { format!("green row number{n}") } else { format!("dull row number{n}") };
        Chunk::new(format!("id-{n:02}")).vector(vec![n as f32, 0.0]).text(text)
    };
    let far = Chunk::new("far").vector(vec![500.0, 0.0]).text("green zebra row");
    docs.upsert((0..30).map(chunk).chain([far])).unwrap();
    (store, docs)
}

#[test]
fn words_lift_the_rows_that_hold_them_all_and_leave_the_vectors_order_alone() {
    let (_store, docs) = line();
    let query = [0.0, 0.0];
    let by_vector = ids(docs.search(&query).k(5));
    assert_eq!(by_vector, ["id-00", "id-01", "id-02", "id-03", "id-04"]);
    let lifted = |words: &str| ids(docs.search_hybrid(&query, words).k(5));
    let first_two =
        |words: &str| lifted(words).into_iter().take(2).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(first_two("zebra"), ["far", "id-00"].map(String::from).into(), "the only one with the word");
    assert_eq!(
        first_two("the zebra row, unheard"),
        first_two("zebra"),
        "a word that nobody holds is not asked for"
    );
    assert_eq!(lifted("row"), by_vector, "more than five hold it: it tells nothing");
    assert_eq!(lifted("number7 green"), by_vector, "nobody holds both");
    let green = lifted("green row");
    assert_eq!(green[0], "id-04", "of four that hold both words it is the nearest: {green:?}");
    assert!(green.contains(&"id-14".to_owned()) && !green.contains(&"id-03".to_owned()), "{green:?}");
    let rest = docs.search_hybrid(&query, "zebra").filter(Filter::eq("lang", "en")).run().unwrap();
    assert!(rest.hits.is_empty());
    let near = docs.search_hybrid(&query, "zebra").max_distance(100.0).k(5).run().unwrap();
    assert!(near.hits.iter().all(|hit| hit.id.as_str() != "far"), "words lift nothing over a threshold");
    // With less than five vectors to choose from, words find rows by themselves.
    docs.upsert([Chunk::new("waits").text("some of it is green").meta("lang", "en")]).unwrap();
    let waits = docs.search_hybrid(&query, "green zebra").filter(Filter::eq("lang", "en"));
    assert_eq!(ids(waits), ["waits"]);
}

#[test]
fn a_leg_that_cannot_run_is_named_and_without_any_there_is_no_answer() {
    let (store, docs) = docs();
    let response = docs.search_hybrid(&[], "dog").run().unwrap();
    assert_eq!(
        (response.degraded_legs.as_slice(), response.hits[0].id.as_str()),
        ([Leg::Vector].as_slice(), "b")
    );
    let response = docs.search_hybrid(&[0.0, 1.0], " ?! ").run().unwrap();
    assert_eq!(
        (response.degraded_legs.as_slice(), response.hits[0].id.as_str()),
        ([Leg::Text].as_slice(), "c")
    );
    assert_eq!(docs.search_hybrid(&[], "").run().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(docs.search_hybrid(&[1.0], "dog").run().unwrap_err().kind(), ErrorKind::Invalid);
    assert!(docs.search_text("dog").mmr(0.5).run().unwrap_err().to_string().contains("mmr"));
    assert!(
        docs.search_text("dog").max_distance(1.0).run().unwrap_err().to_string().contains("needs a vector")
    );
    assert!(docs.search_text("").run().unwrap().hits.is_empty());
    let off = store.create_collection("off", Schema::new(2, Metric::L2).language(Language::Off)).unwrap();
    off.upsert([Chunk::new("x").vector(vec![1.0, 1.0]).text("dog")]).unwrap();
    assert_eq!(off.search_text("dog").run().unwrap_err().kind(), ErrorKind::Unavailable);
    let response = off.search_hybrid(&[1.0, 1.0], "dog").run().unwrap();
    assert_eq!((response.degraded_legs.as_slice(), response.hits.len()), ([Leg::Text].as_slice(), 1));
    assert_eq!(off.search_hybrid(&[], "dog").run().unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn no_tenant_finds_anothers_words() {
    let store = Store::memory();
    let docs = store.create_collection("docs", Schema::new(2, Metric::L2).tenant_required(true)).unwrap();
    for tenant in ["u1", "u2"] {
        let chunk =
            Chunk::new(format!("{tenant}-a")).text(format!("shared word of {tenant}")).vector(vec![1.0, 2.0]);
        docs.tenant(tenant).upsert([chunk]).unwrap();
    }
    assert_eq!(docs.search_text("word").run().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(ids(docs.tenant("u1").search_text("word u2")), ["u1-a"]);
    assert_eq!(ids(docs.tenant("u2").search_hybrid(&[1.0, 2.0], "u1")), ["u2-a"]);
}
