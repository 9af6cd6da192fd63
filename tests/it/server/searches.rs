//! Searches over HTTP: what they answer beside the library's own call, and what they refuse.

use super::{Bed, assert_problem, near};
use nearfield::{Filter, Include};
use serde_json::{Value, json};

const SEARCH: &str = "/v1/collections/docs/search";

fn ids(body: &Value) -> Vec<String> {
    let hits = body["hits"].as_array().unwrap_or_else(|| panic!("{body}"));
    hits.iter().map(|hit| hit["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_search_answers_what_the_library_does() {
    let bed = Bed::filled(500);
    let docs = bed.store.open_collection("docs").unwrap();
    let query = [100.2, 1.0];
    let expected =
        docs.search(&query).k(5).filter(Filter::eq("even", true)).include(Include::ALL).run().unwrap();
    let body = json!({"vector": query, "mode": "vector", "k": 5, "ef": 64, "filter": {"even": true},
                      "include": ["text", "metadata", "vector"], "explain": true, "timeout_ms": 5_000,
                      "at_least": bed.store.token().to_string(), "fusion": "rrf", "vector_weight": 0.7});
    let (status, body) = bed.post(SEARCH, body);
    assert_eq!(status, 200, "{body}");
    // By way of text, as they came.
    let told = serde_json::to_string(&expected.hits).unwrap();
    assert_eq!(body["hits"], serde_json::from_str::<Value>(&told).unwrap());
    assert_eq!(body["explain"], serde_json::to_value(expected.explain).unwrap());
    assert_eq!(body["as_of"], bed.store.token().to_string());
    for (field, value) in
        [("exact", json!(expected.exact)), ("degraded", json!(false)), ("source", json!("local"))]
    {
        assert_eq!(body[field], value, "{field}");
    }
    assert!(body["took_us"].is_u64());
    let (_, bare) = bed.post(SEARCH, near(100.2));
    assert_eq!(ids(&bare), ["100", "101", "99"]);
    assert!(bare.get("explain").is_none() && bare["hits"][0].get("text").is_none());
    assert_eq!(bare["hits"][0]["document_id"], "d010");
}

#[test]
#[cfg(feature = "text")]
fn words_and_both_legs_are_searched_as_the_library_does() {
    let bed = Bed::new();
    let schema = json!({"name": "words", "dim": 2, "metric": "l2", "language": "english"});
    assert_eq!(bed.post("/v1/collections", schema).0, 201);
    let refused = json!({"name": "other", "dim": 2, "metric": "l2", "language": "klingon"});
    assert_problem(bed.post("/v1/collections", refused), 400, "invalid", "use one of off, none, english");
    let chunks = json!({"chunks": [
        {"id": "a", "vector": [1.0, 0.0], "text": "a fox in the snow"}, {"id": "b", "vector": [0.0, 1.0], "text": "foxes, foxes"},
        {"id": "c", "text": "no vector yet, but a fox"}, {"id": "d", "vector": [5.0, 5.0], "text": "dogs"}]});
    assert_eq!(bed.post("/v1/collections/words/chunks", chunks).0, 200);
    let search = |body: Value| bed.post("/v1/collections/words/search", body).1;
    let body = search(json!({"text": "fox", "include": ["snippet"], "explain": true}));
    assert_eq!(ids(&body), ["b", "a", "c"], "{body}");
    assert_eq!(body["hits"][0]["snippet"]["highlights"], json!([[0, 5], [7, 12]]));
    assert_eq!(body["explain"]["text"]["candidates"], 4);
    assert!(body.get("degraded_legs").is_none());
    let body = search(json!({"text": "snow", "vector": [5.0, 5.0], "mode": "hybrid", "k": 2}));
    assert_eq!(ids(&body), ["d", "a"], "the nearest, and the only one with the word: {body}");
    let rrf = json!({"text": "snow", "vector": [5.0, 5.0], "fusion": "rrf", "k": 2});
    assert_eq!(ids(&search(rrf)), ["a", "d"], "both legs have found the first");
    let body = search(
        json!({"text": "snow", "vector": [5.0, 5.0], "fusion": "weighted", "vector_weight": 1.0, "k": 1}),
    );
    assert_eq!(ids(&body), ["d"]);
    let body = search(json!({"text": "dog", "mode": "hybrid"}));
    assert_eq!((ids(&body), &body["degraded_legs"]), (vec!["d".to_owned()], &json!(["vector"])));
    let batch =
        json!({"searches": [{"text": "dog"}, {"vector": [1.0, 0.0], "k": 1}, {"text": "\"the snow\""}]});
    let (status, body) = bed.post("/v1/collections/words/search/batch", batch);
    assert_eq!(status, 200, "{body}");
    let found: Vec<Vec<String>> = body["results"].as_array().unwrap().iter().map(ids).collect();
    assert_eq!(found, [["d"], ["a"], ["a"]]);
    let page = bed.client().get("/metrics").text();
    assert!(page.contains("nearfield_search_mode_seconds_count{mode=\"hybrid\"} 4"), "{page}");
}

#[test]
fn every_knob_of_a_search_does_what_it_says() {
    let bed = Bed::filled(500);
    let search = |body: Value| bed.post(SEARCH, body).1;
    let with = |key: &str, value: Value| {
        let mut body = near(100.2);
        body[key] = value;
        search(body)
    };
    assert_eq!(ids(&with("k", json!(1))), ["100"]);
    assert_eq!(ids(&with("max_distance", json!(0.5))), ["100"]);
    assert_eq!(ids(&with("min_score", json!(0.8))), ["100"]);
    assert_eq!(ids(&with("group_by", json!("document_id"))), ["100", "99", "110"]);
    assert_eq!(with("exact", json!(true))["exact"], true);
    assert_eq!(ids(&with("mmr", json!({"lambda": 1.0}))), ["100", "101", "99"]);
    assert_eq!(ids(&with("tenant", json!("nobody"))), Vec::<String>::new());
    let b64 = "ZmbIQgAAgD8="; // 100.2, 1.0
    assert_eq!(ids(&search(json!({"vector_b64": b64, "k": 1}))), ["100"]);
}

#[test]
fn what_is_wrong_with_a_search_is_named() {
    let bed = Bed::filled(10);
    let with = |key: &str, value: Value| {
        let mut body = near(1.0);
        body[key] = value;
        body
    };
    for (body, code, words) in [
        (json!({}), "invalid", "vector is missing"),
        (json!({"vector": [1]}), "dimension_mismatch", "1 dimensions"),
        (json!({"vector": [1, 2, 3]}), "dimension_mismatch", "3 dimensions, the collection has 2"),
        (json!({"vector": []}), "dimension_mismatch", "0 dimensions"),
        (json!({"vector": ["1", 2]}), "invalid", "invalid type"),
        (json!({"vector": [1e39, 2]}), "invalid", "out of range"),
        (json!({"vector": [1, null]}), "invalid", "invalid type"),
        (with("vector_b64", json!("AACAPwAAgD8=")), "invalid", "send one"),
        (with("k", json!(0)), "invalid", "k is 0"),
        (with("k", json!(1_001)), "invalid", "1 to 1000"),
        (with("k", json!(-1)), "invalid", "invalid value"),
        (with("k", json!(9_223_372_036_854_775_808_u64)), "invalid", "k is 9223372036854775808"),
        (with("k", json!(1.5)), "invalid", "a whole number"),
        (with("ef", json!(0)), "invalid", "ef is 0"),
        (with("ef", json!(4_097)), "invalid", "1 to 4096"),
        (with("timeout_ms", json!(10_001)), "invalid", "1 to 10000"),
        (with("mmr", json!({"lambda": 2})), "invalid", "lambda is 2"),
        (with("vector_weight", json!(2)), "invalid", "vector_weight is 2"),
        (with("filter", json!({"$regex": 1})), "invalid", "$regex"),
        (with("filter", json!([])), "invalid", "filter"),
        (with("include", json!(["content"])), "invalid", "no content"),
        (with("include", json!(["everything"])), "invalid", "unknown variant"),
        (json!({"vector": [1.0], "text": "words", "mode": "vector"}), "invalid", "leave it out"),
        (with("mode", json!("text")), "invalid", "leave it out"),
        (json!({"mode": "text"}), "invalid", "the text is missing"),
        (json!({"mode": "hybrid"}), "invalid", "needs a text or a vector"),
        (json!({"mode": "words"}), "invalid", "unknown variant"),
        (with("group_by", json!("tenant")), "invalid", "unknown variant"),
        (with("at_least", json!("soon")), "invalid", "no token"),
        (with("top_k", json!(3)), "invalid", "unknown field `top_k`"),
    ] {
        assert_problem(bed.post(SEARCH, body), 400, code, words);
    }
    assert_problem(bed.post("/v1/collections/other/search", near(1.0)), 404, "not_found", "other");
    let token = bed.store.token();
    let later = format!("{}-{}", token.incarnation, token.seq.0 + 1);
    assert_problem(bed.post(SEARCH, with("at_least", json!(later))), 409, "conflict", &token.to_string());
}

/// S7: filters of every hostile shape are refused by their limits, or answered.
#[test]
fn filters_are_bounded() {
    let bed = Bed::filled(10);
    let search = |filter: Value| {
        let mut body = near(1.0);
        body["filter"] = filter;
        bed.post(SEARCH, body)
    };
    let deep = |levels: usize| {
        (0..levels).fold(json!({"n": 1}), |inner, _| json!({"$and": [inner, {"even": true}]}))
    };
    let wide = |n: usize| json!({"$or": (0..n).map(|n| json!({"n": n})).collect::<Vec<_>>()});
    assert_eq!(search(wide(20)).0, 200);
    assert_problem(search(deep(9)), 400, "invalid", "limit of 8");
    assert_problem(search(wide(70)), 400, "invalid", "limit of 64");
    assert_eq!(search(json!({"n": {"$in": (0..1_024).collect::<Vec<_>>()}})).0, 200);
    assert_problem(search(json!({"n": {"$in": (0..1_025).collect::<Vec<_>>()}})), 400, "invalid", "1024");
    for key in ["'; DROP TABLE x; --", "$.x ? (@ == 1)", "__proto__", "a\u{0}b", "\"", "%00"] {
        let (status, body) = search(json!({key: "x"}));
        assert!(status == 200 && ids(&body).is_empty() || status == 400, "{key}: {body}");
    }
    // JSON that is nested a hundred thousand deep, in every place.
    let open = "[".repeat(100_000);
    for body in [format!("{{\"filter\":{open}"), open.clone(), format!("{{\"vector\":{open}")] {
        let json = [("content-type", "application/json")];
        assert_problem(
            bed.client().send("POST", SEARCH, &json, body.as_bytes()).json(),
            400,
            "invalid",
            "the body",
        );
    }
}

#[test]
fn a_batch_answers_each_search_in_its_place() {
    let bed = Bed::filled(100);
    let batch =
        |searches: Value| bed.post("/v1/collections/docs/search/batch", json!({"searches": searches}));
    let (status, body) = batch(json!([near(1.0), near(50.0)]));
    assert_eq!(status, 200, "{body}");
    let firsts: Vec<String> =
        body["results"].as_array().unwrap().iter().map(|one| ids(one)[0].clone()).collect();
    assert_eq!(firsts, ["1", "50"]);
    assert_eq!(batch(json!([])).1, json!({"results": []}));
    assert_problem(batch(json!([near(1.0), {"vector": [1]}])), 400, "dimension_mismatch", "search 1");
    assert_problem(batch(json!([near(1.0), {"vector": [1, 2], "k": 0}])), 400, "invalid", "search 1: k is 0");
    let many: Vec<Value> = (0..1_001).map(|_| near(1.0)).collect();
    assert_problem(batch(many.into()), 413, "too_large", "1000");
    let greedy: Vec<Value> = (0..101).map(|_| json!({"vector": [1, 2], "k": 1_000})).collect();
    assert_problem(batch(greedy.into()), 413, "too_large", "100000");
}

#[test]
fn a_range_search_finds_all_within() {
    let bed = Bed::filled(100);
    let range = |body: Value| bed.post("/v1/collections/docs/range", body);
    let (status, body) = range(json!({"vector": [50.0, 1.0], "max_distance": 2.0, "include": ["text"]}));
    assert_eq!((status, ids(&body).len(), &body["exact"]), (200, 5, &json!(true)), "{body}");
    assert_eq!(body["hits"][0]["text"], "text 50");
    let even = json!({"vector": [50.0, 1.0], "max_distance": 2.0, "filter": {"even": true}, "limit": 2});
    assert_eq!(ids(&range(even).1), ["50", "48"]);
    assert_problem(range(json!({"vector": [1.0, 1.0]})), 400, "invalid", "missing field `max_distance`");
    assert_problem(
        range(json!({"vector": [1.0], "max_distance": 1})),
        400,
        "dimension_mismatch",
        "1 dimensions",
    );
    let limit = json!({"vector": [1.0, 1.0], "max_distance": 1, "limit": 10_001});
    assert_problem(range(limit), 400, "invalid", "1 to 10000");
}

#[test]
fn live_searches_are_counted_and_their_recall_is_estimated() {
    let options = nearfield::server::Options { recall_share: 1.0, ..Default::default() };
    let bed = Bed::with(options);
    bed.fill(3_000);
    let page = || bed.client().get("/metrics").text();
    let mut seen = 0;
    // One after the other, until the background has repeated one.
    while !page().contains("nearfield_recall_estimate_ratio 1") {
        assert_eq!(bed.post(SEARCH, near(100.0)).0, 200);
        seen += 1;
        assert!(seen < 10_000, "no search was repeated");
    }
    let text = page();
    for part in [
        "nearfield_searches_total{source=\"local\"}",
        "nearfield_search_seconds_count{plan=\"unfiltered\"}",
        "nearfield_search_visited_total{plan=\"unfiltered\"}",
        "nearfield_operations_total{kind=\"search\",result=\"ok\"}",
        "nearfield_rows{collection=\"docs\",state=\"live\"} 3000",
        "nearfield_memory_bytes{collection=\"docs\",component=\"vectors\"}",
        "nearfield_mirror_configured 0",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok() && line.starts_with("nearfield_"), "{line}");
    }
}
