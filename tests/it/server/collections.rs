//! Collections and chunks over HTTP: every route, what it answers, and what it refuses.

use super::{Bed, assert_problem};
use nearfield::{Chunk, Durability, Metric, Schema, Store};
use serde_json::{Value, json};

#[test]
fn a_collection_is_made_once_shown_and_dropped() {
    let bed = Bed::new();
    let new = json!({"name": "docs", "dim": 3, "metric": "cosine", "tenant_required": false,
                     "index": {"graph": "flat", "m": 8, "ef_construction": 50}});
    let made = bed.client().post("/v1/collections", &new);
    assert_eq!((made.status, made.header("location")), (201, "/v1/collections/docs"));
    let (_, body) = made.json();
    assert_eq!((&body["name"], &body["dim"], &body["metric"]), (&json!("docs"), &json!(3), &json!("cosine")));
    assert_eq!(body["index"], json!({"graph": "flat", "m": 8, "ef_construction": 50}));
    assert_eq!(body["counts"]["rows"], 0);
    assert_eq!(bed.post("/v1/collections", new.clone()), (200, body.clone()));
    let other = json!({"name": "docs", "dim": 4, "metric": "cosine"});
    assert_problem(bed.post("/v1/collections", other), 409, "conflict", "dim 3");
    assert_eq!(bed.get("/v1/collections/docs"), (200, body.clone()));
    assert_eq!(bed.get("/v1/collections"), (200, json!({"collections": [body]})));
    assert_eq!(bed.delete("/v1/collections/docs").0, 204);
    assert_problem(bed.delete("/v1/collections/docs"), 404, "not_found", "docs");
    assert_problem(bed.get("/v1/collections/docs"), 404, "not_found", "docs");
}

#[test]
fn what_is_wrong_with_a_new_collection_is_named() {
    let bed = Bed::new();
    for (body, words) in [
        (json!({"name": "a", "dim": 0, "metric": "l2"}), "dim is 0"),
        (json!({"name": "a", "dim": 16_001, "metric": "l2"}), "dim is 16001"),
        (json!({"name": "a", "dim": -1, "metric": "l2"}), "invalid value"),
        (json!({"name": "a", "dim": 3, "metric": "hamming"}), "unknown variant `hamming`"),
        (json!({"name": "a/b", "dim": 3, "metric": "l2"}), "letters, digits"),
        (json!({"name": ".hidden", "dim": 3, "metric": "l2"}), "letters, digits"),
        (json!({"name": "a", "dim": 3, "metric": "l2", "dims": 3}), "unknown field `dims`"),
        (json!({"name": "a", "dim": 3, "metric": "l2", "index": {"M": 3}}), "unknown field `M`"),
        (json!({"name": "a", "dim": 3, "metric": "l2", "index": {"m": 99}}), "m is 99"),
        (json!({"name": "a", "dim": 3}), "missing field `metric`"),
        (
            json!({"name": "a", "dim": 3, "metric": "l2", "embedding": {"provider": "x", "model": "y"}}),
            "known are: hashed",
        ),
        (json!([]), "expected an object"),
        (json!(["a", 3, "l2", null, null, null]), "expected an object"),
        (json!({"name": "a", "dim": 3, "metric": "l2", "index": [null, 8, 50]}), "expected an object"),
        (json!("text"), "invalid type"),
    ] {
        assert_problem(bed.post("/v1/collections", body), 400, "invalid", words);
    }
    assert_eq!(bed.get("/v1/collections").1, json!({"collections": []}));
}

#[test]
fn chunks_are_stored_one_by_one_and_each_refusal_is_told() {
    let bed = Bed::new();
    bed.store.create_collection("docs", Schema::new(2, Metric::Cosine)).unwrap();
    let b64 = "AACAPwAAAEA="; // 1.0, 2.0
    let chunks = json!([
        {"id": "a", "vector": [1.0, 0.0], "text": "A", "document_id": "d", "chunk_index": 4, "metadata": {"n": 1},
         "tenant": "t", "embedding_model": "m"},
        {"id": "b", "vector_b64": b64},
        {"vector": [0.5, 0.5]},
        {"id": "late", "text": "waits for its vector"},
        {"id": "wide", "vector": [1, 2, 3]},
        {"id": "zero", "vector": [0, 0]},
        {"id": "both", "vector": [1, 0], "vector_b64": b64},
        {"id": "odd", "vector_b64": "AACA"},
        {"id": "no64", "vector_b64": "!"},
        {"id": ""},
        {"id": "empty"},
    ]);
    let (status, body) =
        bed.post("/v1/collections/docs/chunks", json!({"chunks": chunks, "durability": "durable"}));
    assert_eq!((status, &body["upserted"], &body["rejected"]), (200, &json!(4), &json!(7)), "{body}");
    let rows = body["results"].as_array().unwrap();
    let statuses: Vec<&str> = rows.iter().map(|row| row["status"].as_str().unwrap()).collect();
    assert_eq!(statuses[..4], ["ok"; 4]);
    assert_eq!(statuses[4..], ["rejected"; 7]);
    for (row, words) in rows[4..].iter().zip([
        "3 dimensions",
        "all zeros",
        "send one",
        "bytes",
        "base64",
        "id is empty",
        "neither a vector nor a text",
    ]) {
        assert!(row["reason"].as_str().unwrap().contains(words), "{row}");
    }
    let made = rows[2]["id"].as_str().unwrap();
    assert_eq!(made.len(), 36);
    assert_eq!(body["token"], bed.store.token().to_string());

    let (_, a) = bed.get("/v1/collections/docs/chunks/a?include=vector");
    let expected = json!({"id": "a", "vector": [1.0, 0.0], "text": "A", "document_id": "d", "chunk_index": 4,
                          "metadata": {"n": 1}, "tenant": "t", "embedding_model": "m"});
    assert_eq!(a, expected);
    let (_, b) = bed.get("/v1/collections/docs/chunks/b");
    assert!(b.get("vector").is_none());
    assert_eq!(bed.get("/v1/collections/docs/chunks/b?include=vector").1["vector"], json!([1.0, 2.0]));
    assert_problem(bed.get("/v1/collections/docs/chunks/nobody"), 404, "not_found", "no chunk");
    assert_problem(bed.get("/v1/collections/docs/chunks/a?include=text"), 400, "invalid", "\"text\"");
    assert_problem(bed.get("/v1/collections/docs/chunks/a?inclde=vector"), 400, "invalid", "\"inclde\"");
    let (_, shown) = bed.get("/v1/collections/docs");
    assert_eq!((&shown["counts"]["rows"], &shown["counts"]["pending"]), (&json!(4), &json!(1)));

    let body = json!({"ids": ["a", "nobody", "b"], "include": ["vector"]});
    let (_, found) = bed.post("/v1/collections/docs/chunks/get", body);
    assert_eq!(found["chunks"][0], expected);
    assert_eq!((&found["chunks"][1]["id"], &found["missing"]), (&json!("b"), &json!(["nobody"])));
}

#[test]
fn an_id_may_hold_anything() {
    let bed = Bed::filled(0);
    let docs = bed.store.open_collection("docs").unwrap();
    for (id, path) in
        [("a/b?c#d", "a%2Fb%3Fc%23d"), ("caf\u{e9} +", "caf%C3%A9%20+"), ("..", "%2e%2e"), ("get", "get")]
    {
        docs.upsert([Chunk::new(id).vector([1.0, 2.0])]).unwrap();
        let (status, body) = bed.get(&format!("/v1/collections/docs/chunks/{path}"));
        assert_eq!((status, body["id"].as_str()), (200, Some(id)));
    }
    assert_problem(bed.get("/v1/collections/docs/chunks/%ff"), 400, "invalid", "UTF-8");
}

#[test]
fn chunks_are_listed_page_by_page() {
    let bed = Bed::filled(250);
    let (mut ids, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let (status, page) = bed.get(&format!("/v1/collections/docs/chunks?limit=100{cursor}"));
        assert_eq!(status, 200, "{page}");
        pages += 1;
        let rows = page["chunks"].as_array().unwrap();
        ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().parse::<usize>().unwrap()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((ids, pages), ((0..250).collect(), 3));
    let filter = "%7B%22n%22%3A%7B%22%24lt%22%3A5%7D%7D";
    let (_, few) = bed.get(&format!("/v1/collections/docs/chunks?filter={filter}&include=vector"));
    assert_eq!(few["chunks"].as_array().unwrap().len(), 5);
    assert_eq!(few["chunks"][4]["vector"], json!([4.0, 1.0]));
    for (query, words) in [
        ("limit=0", "limit is"),
        ("limit=1001", "1 to 1000"),
        ("cursor=x", "cursor"),
        ("cursor=99999999999", "cursor"),
        ("filter=%7B", "not JSON"),
        ("filter=%7B%22%24x%22%3A1%7D", "$x"),
        ("offset=3", "\"offset\""),
    ] {
        assert_problem(bed.get(&format!("/v1/collections/docs/chunks?{query}")), 400, "invalid", words);
    }
}

/// Ten times what a page may have: it ends earlier.
#[test]
fn a_page_of_long_texts_ends_before_its_limit() {
    let mut options = nearfield::server::Options::default();
    options.limits.page_bytes_max = 100_000;
    let bed = Bed::with(options);
    let docs = bed.store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    docs.upsert((0..300).map(|n| Chunk::new(n.to_string()).text("x".repeat(5_000)))).unwrap();
    let (_, page) = bed.get("/v1/collections/docs/chunks?limit=1000");
    let rows = page["chunks"].as_array().unwrap().len();
    assert!((20..=100).contains(&rows) && page["next_cursor"].is_string(), "{rows}");
}

#[test]
fn chunks_are_deleted_and_counted() {
    let bed = Bed::filled(100);
    let count = |body: Value| bed.post("/v1/collections/docs/count", body).1["count"].clone();
    assert_eq!(count(json!({})), 100);
    assert_eq!(
        bed.client().send("POST", "/v1/collections/docs/count", &[], b"").json(),
        (200, json!({"count": 100}))
    );
    assert_eq!(count(json!({"filter": {"even": true}})), 50);
    assert_eq!(count(json!({"tenant": "nobody"})), 0);
    let delete = |body: Value| bed.post("/v1/collections/docs/chunks/delete", body);
    let (status, body) = delete(json!({"ids": ["1", "2", "nobody"]}));
    assert_eq!((status, &body["deleted"]), (200, &json!(2)));
    assert_eq!(body["token"], bed.store.token().to_string());
    assert_eq!(delete(json!({"document_id": "d005"})).1["deleted"], 10);
    assert_eq!(delete(json!({"filter": {"n": {"$gte": 90}}})).1["deleted"], 10);
    assert_eq!(count(json!({})), 78);
    for body in [json!({}), json!({"ids": ["3"], "document_id": "d000"}), json!({"filter": {}, "ids": []})] {
        assert_problem(delete(body), 400, "invalid", "exactly one");
    }
    assert_problem(delete(json!({"filter": {"n": {"$like": 1}}})), 400, "invalid", "$like");
    assert_problem(delete(json!({"id": "3"})), 400, "invalid", "unknown field `id`");
    assert_eq!(count(json!({})), 78);
}

#[test]
fn a_collection_that_requires_a_tenant_refuses_calls_without_one() {
    let bed = Bed::new();
    let new = json!({"name": "docs", "dim": 2, "metric": "l2", "tenant_required": true});
    assert_eq!(bed.post("/v1/collections", new).0, 201);
    let chunks = json!([{"id": "a", "vector": [1, 2], "tenant": "t"}, {"id": "b", "vector": [1, 2]}]);
    let (_, body) = bed.post("/v1/collections/docs/chunks", json!({"chunks": chunks}));
    assert_eq!((&body["upserted"], &body["rejected"]), (&json!(1), &json!(1)), "{body}");
    let path = |end: &str| format!("/v1/collections/docs/{end}");
    for (end, body) in [
        ("search", json!({"vector": [1, 2]})),
        ("range", json!({"vector": [1, 2], "max_distance": 1})),
        ("count", json!({})),
        ("chunks/get", json!({"ids": ["a"]})),
        ("chunks/delete", json!({"ids": ["a"]})),
    ] {
        assert_problem(bed.post(&path(end), body.clone()), 400, "invalid", "tenant");
        let mut with = body;
        with["tenant"] = "t".into();
        assert_eq!(bed.post(&path(end), with).0, 200, "{end}");
    }
    bed.post(
        "/v1/collections/docs/chunks",
        json!({"chunks": [{"id": "a", "vector": [1, 2], "tenant": "t"}]}),
    );
    assert_problem(bed.get(&path("chunks/a")), 400, "invalid", "tenant");
    assert_problem(bed.get(&path("chunks")), 400, "invalid", "tenant");
    assert_eq!(bed.get(&path("chunks/a?tenant=t")).0, 200);
    assert_problem(bed.get(&path("chunks/a?tenant=u")), 404, "not_found", "no chunk");
    assert_eq!(bed.get(&path("chunks?tenant=t")).1["chunks"].as_array().unwrap().len(), 1);
}

#[test]
fn a_promise_that_cannot_be_kept_is_refused_before_anything_is_written() {
    let options = nearfield::Options::default().durability(Durability::Buffered);
    let bed = Bed::of(Store::memory_with(options).unwrap(), nearfield::server::Options::default());
    bed.fill(0);
    let upsert = |durability: &str| {
        let body = json!({"chunks": [{"id": durability, "vector": [1, 2]}], "durability": durability});
        bed.post("/v1/collections/docs/chunks", body)
    };
    assert_eq!(upsert("buffered").0, 200);
    assert_problem(upsert("durable"), 400, "invalid", "buffered");
    assert_problem(upsert("mirrored"), 503, "unavailable", "no mirror");
    assert_problem(upsert("maybe"), 400, "invalid", "unknown variant");
    assert_eq!(bed.store.open_collection("docs").unwrap().count(None).unwrap(), 1);
}

#[test]
fn a_batch_beyond_the_limit_is_refused_whole() {
    let bed = Bed::filled(0);
    let chunks: Vec<Value> = (0..1_001).map(|n| json!({"id": n.to_string(), "vector": [n, 1]})).collect();
    assert_problem(
        bed.post("/v1/collections/docs/chunks", json!({"chunks": chunks})),
        413,
        "too_large",
        "1000",
    );
    let ids: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
    assert_problem(
        bed.post("/v1/collections/docs/chunks/get", json!({"ids": ids})),
        413,
        "too_large",
        "1000",
    );
    assert_problem(
        bed.post("/v1/collections/docs/chunks/delete", json!({"ids": ids})),
        413,
        "too_large",
        "1000",
    );
    assert_eq!(bed.post("/v1/collections/docs/chunks", json!({"chunks": chunks[1..]})).1["upserted"], 1_000);
}
