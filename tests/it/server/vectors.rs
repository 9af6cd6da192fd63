//! The endpoints of the hybrid-storage document, without a database.

use super::{Bed, assert_problem};
use nearfield::{Metric, Schema};
use serde_json::{Value, json};

#[test]
fn documents_are_told_page_by_page() {
    let bed = Bed::filled(250);
    let (status, body) = bed.get("/vectors/stats?limit=10");
    assert_eq!(
        (status, &body["total_vectors"], &body["total_documents"]),
        (200, &json!(250), &json!(25)),
        "{body}"
    );
    let first = json!({"document_id": "d000", "vector_count": 10, "total_chars": 60, "embedding_models": []});
    assert_eq!(body["per_document"][0], first);
    assert_eq!((&body["next_cursor"], &body["mirror"]["state"]), (&json!("d009"), &json!("disabled")));
    let (_, last) = bed.get("/vectors/stats?limit=10&cursor=d019");
    assert_eq!((last["per_document"].as_array().unwrap().len(), &last["next_cursor"]), (5, &Value::Null));
    assert_problem(bed.get("/vectors/stats?limit=0"), 400, "invalid", "1 to 1000");
}

#[test]
fn a_document_is_shown_and_deleted() {
    let bed = Bed::filled(25);
    let (status, body) = bed.get("/vectors/document/d001?collection=docs");
    assert_eq!((status, &body["chunk_count"]), (200, &json!(10)), "{body}");
    let chunk = &body["chunks"][3];
    assert_eq!((&chunk["id"], &chunk["chunk_index"], &chunk["slot"]), (&json!("13"), &json!(3), &json!(13)));
    assert_eq!(
        (&chunk["text_preview"], &chunk["text_length"], &chunk["mirrored"]),
        (&json!("text 13"), &json!(7), &json!(false))
    );
    let at = chunk["created_at"].as_str().unwrap();
    assert!(at.starts_with("20") && at.ends_with('Z') && at.len() == 24, "{at}");
    assert_eq!(bed.delete("/vectors/document/d001"), (200, json!({"document_id": "d001", "deleted": 10})));
    assert_problem(bed.get("/vectors/document/d001"), 404, "not_found", "no document");
    assert_problem(bed.delete("/vectors/document/d001"), 404, "not_found", "no document");
    assert_eq!(bed.get("/vectors/stats").1["total_documents"], 2);
}

#[test]
fn rows_of_another_index_are_taken_over_and_keep_the_vectors_of_their_texts() {
    let bed = Bed::filled(0);
    let sync = |body: Value| bed.post("/vectors/sync", body);
    let row = |index: u32, text: &str| json!({"document_id": 7, "chunk_index": index, "text": text, "faiss_index": 40});
    let mut first = row(0, "caf\u{e9}");
    (first["vector"], first["embedding_model"]) = (json!([1.0, 2.0]), json!("m"));
    let (status, body) = sync(json!([first, row(1, "b")]));
    assert_eq!((status, body), (200, json!({"status": "ok", "synced": 0, "pending": 0, "failed": 0})));
    // The same texts again, without vectors: the first keeps its own.
    assert_eq!(sync(json!([row(0, "caf\u{e9}"), row(1, "b")])).0, 200);
    let (_, stats) = bed.get("/vectors/stats");
    let expected =
        json!({"document_id": "7", "vector_count": 1, "total_chars": 5, "embedding_models": ["m"]});
    assert_eq!(stats["per_document"], json!([expected]));
    assert_eq!(bed.get("/v1/collections/docs/chunks/7:0").1["metadata"], json!({"faiss_index": 40}));
    // Another text has another vector.
    assert_eq!(sync(json!([row(0, "tea")])).0, 200);
    assert_eq!(bed.get("/vectors/stats").1["total_vectors"], 0);
    let mut wide = row(2, "c");
    wide["vector"] = json!([1, 2, 3]);
    assert_eq!(
        sync(json!([wide])),
        (200, json!({"status": "partial", "synced": 0, "pending": 0, "failed": 1}))
    );
    assert_problem(sync(json!([{"document_id": 1, "text": "x"}])), 400, "invalid", "chunk_index");
    assert_problem(sync(json!({"document_id": 1})), 400, "invalid", "the body");
    let empty = bed.client().send("POST", "/vectors/sync", &[], b"").json();
    assert_problem(empty, 503, "unavailable", "no mirror");
}

#[test]
fn the_collection_that_is_meant_is_the_only_one_or_the_default() {
    let bed = Bed::new();
    assert_problem(bed.get("/vectors/stats"), 404, "not_found", "no collection yet");
    let make = |name: &str| bed.store.create_collection(name, Schema::new(2, Metric::L2)).map(drop).unwrap();
    make("one");
    assert_eq!(bed.get("/vectors/stats").0, 200);
    make("two");
    assert_problem(bed.get("/vectors/stats"), 409, "conflict", "?collection=");
    assert_eq!(bed.get("/vectors/stats?collection=two").0, 200);
    assert_problem(bed.get("/vectors/stats?collection=three"), 404, "not_found", "three");
    make("default");
    assert_eq!(bed.get("/vectors/stats").0, 200);
}
