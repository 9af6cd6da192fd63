//! Whom the server trusts: who may reach it, under which name, from which page; and what it never tells.

use super::{Bed, assert_problem, near};
use nearfield::server::{Options, Server, Tokens};
use nearfield::{Metric, Schema, Store};
use serde_json::json;

const TOKEN: &str = "admin 0123456789abcdef0123456789abcdef";

/// S1.
#[test]
fn s1_an_address_that_others_reach_is_refused_without_a_token() {
    for (bind, tokens, is_bound) in [
        ("127.0.0.1:0", "", true),
        ("127.0.0.1:0", TOKEN, true),
        ("0.0.0.0:0", "", false),
        ("0.0.0.0:0", TOKEN, true),
    ] {
        let tokens = Tokens::parse(tokens).unwrap();
        let options = Options { bind: bind.parse().unwrap(), tokens, ..Options::default() };
        let bound = Server::bind(Store::memory(), None, options);
        assert_eq!(bound.is_ok(), is_bound, "{bind}");
        if let Err(error) = bound {
            assert!(error.to_string().contains("token"), "{error}");
        }
    }
}

/// S12.
#[test]
fn s12_without_tokens_no_other_name_and_no_other_page_is_answered() {
    let bed = Bed::filled(3);
    let search = near(1.0).to_string();
    let call = |headers: &str| {
        let mut client = bed.client();
        let length = search.len();
        client.raw(
            format!(
                "POST /v1/collections/docs/search HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{search}"
            )
            .as_bytes(),
        );
        client.answer().unwrap()
    };
    for ours in [
        "host: localhost\r\n",
        "host: 127.0.0.1:6327\r\n",
        "host: LOCALHOST:1\r\norigin: http://LOCALHOST:1\r\n",
    ] {
        assert_eq!(call(ours).status, 200, "{ours}");
    }
    for other in [
        "host: rebound.example\r\n",
        "host: localhost\r\nhost: localhost\r\n",
        "host: localhost\r\norigin: http://evil.example\r\n",
        "host: localhost\r\norigin: null\r\n",
        "host: localhost\r\nsec-fetch-site: cross-site\r\n",
    ] {
        let answer = call(other);
        assert!(answer.header("access-control-allow-origin").is_empty());
        if answer.status != 400 {
            assert_problem(answer.json(), 403, "forbidden", "");
        }
    }
    let with_tokens = Bed::with(Options { tokens: Tokens::parse(TOKEN).unwrap(), ..Options::default() });
    let mut client = with_tokens.client();
    client.raw(b"GET /livez HTTP/1.1\r\nhost: behind.a.proxy\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
}

/// S12: what a form can send changes nothing.
#[test]
fn s12_only_json_is_taken() {
    let bed = Bed::filled(3);
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
    ] {
        for path in ["/v1/admin/checkpoint", "/v1/collections/docs/chunks/delete", "/v1/collections"] {
            let answer = bed.client().send("POST", path, &[("content-type", kind)], b"{\"ids\":[\"1\"]}");
            assert_problem(answer.json(), 415, "invalid", "application/json");
        }
    }
    let none = bed.client().send("POST", "/v1/collections/docs/count", &[], b"{}").json();
    assert_problem(none, 415, "invalid", "application/json");
    let packed = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let bomb = bed.client().send("POST", "/v1/collections/docs/count", &packed, b"\x1f\x8b\x08\x00").json();
    assert_problem(bomb, 415, "invalid", "not encoded");
    let lines = [("content-type", "application/x-ndjson")];
    assert_problem(
        bed.client().send("POST", "/v1/collections", &lines, b"{}").json(),
        415,
        "invalid",
        "application/json",
    );
    assert_eq!(bed.store.open_collection("docs").unwrap().count(None).unwrap(), 3);
}

/// S18: whatever fails inside, a client learns a code and where to ask.
#[test]
fn s18_no_error_names_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), nearfield::Options::default()).unwrap();
    let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    docs.upsert([nearfield::Chunk::new("a").vector([1.0, 2.0])]).unwrap();
    let bed = Bed::of(store, Options { snapshots: Some("/proc/nowhere".into()), ..Options::default() });
    let (status, body) = bed.post("/v1/admin/snapshot", json!({}));
    assert_eq!(status, 202, "{body}");
    let path = format!("/v1/admin/jobs/{}", body["job"]["id"].as_str().unwrap());
    let failed = loop {
        let (_, job) = bed.get(&path);
        if job["state"] == "failed" {
            break job;
        }
        assert_ne!(job["state"], "done", "{job}");
        std::thread::yield_now();
    };
    let text = failed.to_string();
    assert!(!text.contains("/proc") && !text.contains(&*folder.path().to_string_lossy()), "{text}");
    bed.store.close(std::time::Duration::from_secs(5)).unwrap();
    let chunks = json!({"chunks": [{"id": "b", "vector": [1, 2]}]});
    let (status, body) = bed.post("/v1/collections/docs/chunks", chunks);
    assert_eq!((status, &body["code"]), (503, &json!("unavailable")), "{body}");
    assert!(!body.to_string().contains('/'), "{body}");
}
