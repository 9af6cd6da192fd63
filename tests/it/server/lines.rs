//! Chunks by the stream: per-line answers while the stream goes on, flat memory, and peers that go, or take nothing.

use super::{Bed, assert_problem};
use crate::support::wait::until;
use nearfield::server::Options;
use serde_json::{Value, json};
use std::time::Duration;

const CHUNKS: &str = "/v1/collections/docs/chunks";
const LINES: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

fn line(n: usize) -> String {
    format!("{{\"id\":\"{n}\",\"vector\":[{n},1]}}\n")
}

#[test]
fn every_line_is_answered_and_the_last_answer_has_the_counts() {
    let bed = Bed::filled(0);
    let body = "{\"id\":\"a\",\"vector\":[1,2]}\n\n{\"id\":\"b\",\"vector\":[1]}\nnot json\n{\"id\":\"c\",\"vec\":[1]}\n\
                {\"vector_b64\":\"AACAPwAAgD8=\"}";
    let answer = bed.client().send("POST", CHUNKS, &LINES, body.as_bytes());
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    let lines = answer.lines();
    let told: Vec<(u64, &str)> =
        lines[..5].iter().map(|l| (l["line"].as_u64().unwrap(), l["status"].as_str().unwrap())).collect();
    assert_eq!(told, [(1, "ok"), (3, "rejected"), (4, "rejected"), (5, "rejected"), (6, "ok")]);
    assert!(lines[1]["reason"].as_str().unwrap().contains("1 dimensions") && lines[1]["id"] == "b");
    assert!(lines[3]["reason"].as_str().unwrap().contains("unknown field `vec`"));
    assert_eq!(lines[5], json!({"upserted": 2, "rejected": 3, "token": bed.store.token().to_string()}));
    assert_eq!(bed.store.open_collection("docs").unwrap().count(None).unwrap(), 2);
    let only =
        bed.client().send("POST", &format!("{CHUNKS}?results=rejected"), &LINES, body.as_bytes()).lines();
    assert_eq!(only.len(), 4);
}

#[test]
fn answers_come_while_the_stream_goes_on() {
    let bed = Bed::filled(0);
    let mut client = bed.client();
    client.head("POST", CHUNKS, &LINES, None);
    for n in 0..5 {
        assert!(client.chunk(line(n).as_bytes()));
        if n == 0 {
            assert_eq!(client.answer_head().unwrap().0, 200);
        }
        let told: Value = serde_json::from_slice(&client.piece().unwrap()).unwrap();
        assert_eq!((&told["line"], &told["status"]), (&json!(n + 1), &json!("ok")));
        assert_eq!(bed.store.open_collection("docs").unwrap().count(None).unwrap(), n + 1);
    }
    client.last_chunk();
    let last: Value = serde_json::from_slice(&client.piece().unwrap()).unwrap();
    assert_eq!(last["upserted"], 5);
    assert!(client.piece().is_none());
    // The connection goes on.
    assert_eq!(client.get("/livez").status, 200);
}

#[test]
fn a_stream_that_cannot_begin_is_an_ordinary_problem() {
    let bed = Bed::filled(0);
    let send = |path: &str| bed.client().send("POST", path, &LINES, line(1).as_bytes()).json();
    assert_problem(send("/v1/collections/other/chunks"), 404, "not_found", "other");
    assert_problem(send(&format!("{CHUNKS}?durability=mirrored")), 503, "unavailable", "no mirror");
    assert_problem(send(&format!("{CHUNKS}?durability=maybe")), 400, "invalid", "durability");
    assert_problem(send(&format!("{CHUNKS}?batch=1")), 400, "invalid", "\"batch\"");
    assert_eq!(bed.store.open_collection("docs").unwrap().count(None).unwrap(), 0);
}

#[test]
fn a_line_that_is_too_long_ends_the_stream_and_what_came_before_stays() {
    let mut options = Options::default();
    options.limits.body_bytes_max = 10_000;
    let bed = Bed::with(options);
    bed.fill(0);
    // Whole, it is longer than a body may be; no line is.
    let body: String = (0..1_500).map(line).collect();
    assert!(body.len() > 40_000);
    let answer = bed.client().send("POST", CHUNKS, &LINES, body.as_bytes());
    assert_eq!(answer.lines().last().unwrap()["upserted"], 1_500);
    let mut client = bed.client();
    client.head("POST", CHUNKS, &LINES, None);
    assert!(client.chunk(line(20_000).as_bytes()));
    assert_eq!(client.answer_head().unwrap().0, 200);
    assert!(client.piece().is_some());
    // Nobody takes the end of it.
    for _ in 0..1_000 {
        if !client.chunk(&[b'x'; 1_000]) {
            break;
        }
    }
    let last: Value = serde_json::from_slice(&client.piece().unwrap()).unwrap();
    assert_eq!((&last["error"]["code"], &last["upserted"]), (&json!("too_large"), &json!(1)), "{last}");
    assert_eq!(bed.store.open_collection("docs").unwrap().count(None).unwrap(), 1_501);
}

#[test]
fn a_peer_that_goes_in_the_middle_leaves_whole_lines_and_no_trace() {
    let bed = Bed::with(Options { limits: one_stream(), ..Options::default() });
    bed.fill(0);
    for round in 0..3 {
        let mut client = bed.client();
        client.head("POST", CHUNKS, &LINES, None);
        assert!(client.chunk(line(round).as_bytes()));
        // Its place is taken when the first line is answered.
        assert_eq!(client.answer_head().unwrap().0, 200);
        assert!(client.piece().is_some());
        let crowded = bed.client().send("POST", CHUNKS, &LINES, b"{}\n");
        assert_eq!((crowded.status, crowded.header("retry-after")), (503, "1"));
        assert!(client.chunk(b"{\"id\":\"half\",\"vec"));
        drop(client);
        // And free when it is gone.
        while bed.client().send("POST", CHUNKS, &LINES, b"").status == 503 {
            std::thread::yield_now();
        }
    }
    assert_eq!(bed.store.open_collection("docs").unwrap().count(None).unwrap(), 3);
}

fn one_stream() -> nearfield::server::Limits {
    nearfield::server::Limits { streams_max: 1, ..Default::default() }
}

/// It sends for ever and takes nothing: the server stops reading, and then it leaves.
#[test]
fn a_peer_that_never_reads_is_left() {
    let mut options = Options::default();
    options.limits.stall_ms = 500;
    let bed = Bed::with(options);
    bed.fill(0);
    let mut client = bed.client();
    client.head("POST", CHUNKS, &LINES, None);
    // Long ids, so that answers fill the sockets' buffers soon.
    let id = "x".repeat(400);
    let piece: String = (0..500).map(|n| format!("{{\"id\":\"{id}{n}\",\"vector\":[1,2]}}\n")).collect();
    client.socket.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut sent = 0;
    while client.chunk(piece.as_bytes()) {
        sent += piece.len();
        assert!(sent < 1 << 30, "it was never left");
    }
    // Ours is still open here; there it is gone, and whoever asks is the only one.
    until("the peer is left", || bed.client().get("/metrics").text().contains("nearfield_connections 1\n"));
    drop(client);
}

/// A hundred times what the bodies of all requests together may have.
#[test]
fn a_long_stream_takes_no_more_memory_than_a_short_one() {
    let mut options = Options::default();
    (options.limits.body_bytes_max, options.limits.bodies_bytes_max) = (64 << 10, 4 << 20);
    let bed = Bed::with(options);
    bed.fill(0);
    let mut client = bed.client();
    client.head("POST", &format!("{CHUNKS}?results=rejected"), &LINES, None);
    // The same ids again and again: the store stays as it is.
    let text = "y".repeat(2_000);
    let piece: String =
        (0..100).map(|n| format!("{{\"id\":\"{n}\",\"vector\":[{n},2],\"text\":\"{text}\"}}\n")).collect();
    for _ in 0..200 {
        assert!(client.chunk(piece.as_bytes()));
    }
    client.last_chunk();
    let answer = client.answer().unwrap();
    assert_eq!(answer.lines().last().unwrap()["upserted"], 20_000, "{}", answer.text());
}
