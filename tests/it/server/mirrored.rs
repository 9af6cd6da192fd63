//! A server whose store has a mirror, on a real Postgres: what callers wait for, what jobs do and tell, and when it is ready.

use super::client::Client;
use super::{Bed, assert_problem};
use crate::support::postgres::{Cluster, Database};
use crate::support::sql::{one, sql};
use crate::support::wait;
use nearfield::server::{Options, Server};
use nearfield::{Metric, Mirror, MirrorOptions, MirrorState, Schema, Store};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) struct Mirrored {
    pub(crate) bed: Bed,
    pub(crate) mirror: Mirror,
    pub(crate) database: Database,
}

pub(crate) fn mirrored() -> Mirrored {
    let database = Cluster::shared().database();
    let store = Store::memory();
    store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    let options = MirrorOptions::from_url(database.url.clone()).poll_ms_min(10).poll_ms_max(50);
    let mirror = Mirror::start(&store, options).unwrap();
    mirror.connect().unwrap();
    let options = Options { bind: "127.0.0.1:0".parse().unwrap(), ..Options::default() };
    let server = Server::bind(store.clone(), Some(mirror.clone()), options).unwrap().start().unwrap();
    Mirrored { bed: Bed { store, server }, mirror, database }
}

fn chunks(count: usize) -> Value {
    (0..count)
        .map(|n| json!({"id": n.to_string(), "vector": [n, 1], "text": "t", "document_id": "d"}))
        .collect()
}

fn finished(bed: &Bed, body: Value) -> Value {
    let (status, begun) = bed.post("/v1/admin/sync", body);
    assert_eq!(status, 202, "{begun}");
    let path = format!("/v1/admin/jobs/{}", begun["job"]["id"].as_str().unwrap());
    loop {
        let (_, job) = bed.get(&path);
        if !["queued", "running"].contains(&job["state"].as_str().unwrap()) {
            return job;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_write_that_is_to_be_mirrored_is_acknowledged_when_the_database_has_it() {
    let Mirrored { bed, database, .. } = mirrored();
    let body = json!({"chunks": chunks(20), "durability": "mirrored"});
    let (status, ack) = bed.post("/v1/collections/docs/chunks", body);
    assert_eq!((status, &ack["upserted"]), (200, &json!(20)), "{ack}");
    assert_eq!(one(&database.url, "SELECT count(*)::text FROM nearfield.chunks"), "20");
    let (_, document) = bed.get("/vectors/document/d");
    assert!(
        document["chunks"].as_array().unwrap().iter().all(|chunk| chunk["mirrored"] == true),
        "{document}"
    );
    let mut client = bed.client();
    let lines: String = (20..40).map(|n| format!("{{\"id\":\"{n}\",\"vector\":[{n},1]}}\n")).collect();
    let path = "/v1/collections/docs/chunks?durability=mirrored";
    let answer = client.send("POST", path, &[("content-type", "application/x-ndjson")], lines.as_bytes());
    assert_eq!(answer.lines().last().unwrap()["upserted"], 20);
    assert_eq!(one(&database.url, "SELECT count(*)::text FROM nearfield.chunks"), "40");
}

#[test]
fn jobs_prove_that_both_sides_are_equal_and_make_them_so() {
    let Mirrored { bed, mirror, database } = mirrored();
    bed.post("/v1/collections/docs/chunks", json!({"chunks": chunks(30)}));
    let pushed = finished(&bed, json!({"mode": "push"}));
    assert_eq!((&pushed["state"], &pushed["result"]["pending"]), (&json!("done"), &json!(0)), "{pushed}");
    let audit = json!({"mode": "audit", "collection": "docs", "deep": true});
    let told = finished(&bed, audit.clone())["result"].clone();
    assert_eq!(
        (&told["equal"], &told["rows_local"], &told["rows_database"]),
        (&json!(true), &json!(30), &json!(30)),
        "{told}"
    );
    assert_eq!((&told["local_root"], &told["truncated"]), (&told["database_root"], &json!(false)));
    for list in ["missing_locally", "missing_remotely", "stale_locally", "stale_remotely", "hand_edited"] {
        assert_eq!(told[list], json!([]), "{list}");
    }
    // Behind the triggers' back.
    sql(&database.url, "SET session_replication_role = replica; DELETE FROM nearfield.chunk WHERE id = '7'");
    let told = finished(&bed, audit.clone())["result"].clone();
    assert_eq!((&told["equal"], &told["missing_remotely"]), (&json!(false), &json!(["7"])), "{told}");
    assert_eq!(told["counts"]["missing_remotely"], 1);
    let repair = json!({"mode": "repair", "collection": "docs", "trust": "local"});
    assert_eq!(finished(&bed, repair)["state"], "done");
    mirror.wait_mirrored(bed.store.token(), Duration::from_secs(60)).unwrap();
    wait::until("in sync", || mirror.status().state == MirrorState::InSync);
    assert_eq!(finished(&bed, json!({"mode": "audit"}))["result"]["equal"], true);
    assert_problem(bed.post("/v1/admin/sync", json!({"mode": "repair"})), 400, "invalid", "trust is missing");
    let unknown = json!({"mode": "audit", "collection": "other"});
    assert_problem(bed.post("/v1/admin/sync", unknown), 404, "not_found", "other");
    assert_eq!(finished(&bed, json!({"mode": "pull"}))["state"], "done");
    assert_eq!(finished(&bed, json!({"mode": "rebuild", "collection": "docs"}))["state"], "done");
    let (status, resolved) = bed.post("/v1/admin/resolve", json!({"trust": "database"}));
    assert_eq!(status, 200, "{resolved}");
    let (_, admin) = bed.get("/v1/admin/status");
    assert!(admin["mirror"]["database"]["server"].is_string(), "{admin}");
    assert!(!admin.to_string().contains("postgres://"));
    let page = bed.client().get("/metrics").text();
    for part in [
        "nearfield_mirror_configured 1",
        "nearfield_mirror_dirty_rows 0",
        "nearfield_mirror_audit_equal{collection=\"docs\"} 1",
        "nearfield_mirror_clock_skew_seconds",
        "nearfield_mirror_breaker_open 0",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
}

#[test]
fn documents_are_pushed_while_the_caller_waits() {
    let Mirrored { bed, database, .. } = mirrored();
    let rows = json!([{"document_id": 1, "chunk_index": 0, "text": "a", "vector": [1, 2]},
                      {"document_id": 1, "chunk_index": 1, "text": "b"}]);
    let (status, body) = bed.post("/vectors/sync", rows);
    assert_eq!(status, 200, "{body}");
    assert_eq!((&body["status"], &body["pending"], &body["failed"]), (&json!("ok"), &json!(0), &json!(0)));
    assert_eq!(one(&database.url, "SELECT count(*)::text FROM nearfield.chunks"), "2");
    let empty = bed.client().send("POST", "/vectors/sync", &[], b"").json();
    assert_eq!((empty.0, &empty.1["pending"]), (200, &json!(0)));
    bed.delete("/vectors/document/1");
    assert_eq!(bed.client().send("POST", "/vectors/sync", &[], b"").json().0, 200);
    assert_eq!(one(&database.url, "SELECT count(*)::text FROM nearfield.chunks"), "0");
}

/// Nobody answers at the database's address.
#[test]
fn a_database_that_is_away_holds_nothing_up_and_is_told_by_its_code() {
    let store = Store::memory();
    let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    docs.upsert([nearfield::Chunk::new("a").vector([1.0, 1.0])]).unwrap();
    let secret = "postgres://me:s3cret-word@127.0.0.1:9/nowhere";
    let mirror = Mirror::start(&store, MirrorOptions::from_url(secret)).unwrap();
    let mut options = Options { bind: "127.0.0.1:0".parse().unwrap(), ..Options::default() };
    options.limits.request_ms = 1_000;
    let server = Server::bind(store.clone(), Some(mirror), options).unwrap().start().unwrap();
    let mut client = Client::connect(server.addr());
    assert_eq!(client.post("/v1/collections/docs/search", &super::near(1.0)).status, 200);
    assert_eq!(client.get("/livez").status, 200);
    let body = json!({"chunks": [{"id": "b", "vector": [1, 2]}], "durability": "mirrored"});
    let late = client.post("/v1/collections/docs/chunks", &body);
    assert_eq!(late.header("retry-after"), "1");
    assert_problem(late.json(), 503, "unavailable", "stored here");
    assert_eq!(docs.count(None).unwrap(), 2);
    let sync = client.send("POST", "/vectors/sync", &[], b"");
    assert!([202, 503].contains(&sync.status), "{}", sync.text());
    for path in ["/healthz", "/metrics", "/v1/admin/status", "/v1/admin/jobs"] {
        let answer = client.get(path);
        assert_eq!(answer.status, 200);
        assert!(!answer.text().contains("s3cret"), "{path} tells the password");
    }
}
