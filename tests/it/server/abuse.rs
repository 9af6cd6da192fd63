//! What no good client sends: the server refuses, or leaves, and answers the next one as ever. S11 of the list of threats.

use super::{Bed, assert_problem, near};
use crate::support::wait::until;
use nearfield::server::{Limits, Options};
use serde_json::json;
use std::io::Write;

const SEARCH: &str = "/v1/collections/docs/search";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn is_well(bed: &Bed) {
    assert_eq!(bed.post(SEARCH, near(1.0)).0, 200);
}

#[test]
fn s11_bodies_that_are_no_json_are_refused_with_a_reason() {
    let bed = Bed::filled(10);
    for (body, words) in [
        (&b""[..], "EOF"),
        (b"{", "EOF"),
        (b"\xef\xbb\xbf{\"vector\":[1,2]}", "expected value"),
        (b"{\"vector\":[1,2],\"tenant\":\"\xff\xfe\"}", "the body"),
        (b"{\"vector\":[NaN,2]}", "expected value"),
        (b"{\"vector\":[Infinity,2]}", "expected value"),
        (b"{\"vector\":[1e400,2]}", "out of range"),
        (b"{\"vector\":[1,2],\"k\":1,\"k\":2}", "duplicate field `k`"),
        (b"{\"vector\":[1,2]}{}", "trailing"),
        (b"{\"vector\":[1,2],}", "trailing comma"),
        (b"{\"vector\":[1,2],\"tenant\":\"\\ud800\"}", "hex escape"),
        (b"null", "invalid type"),
        (b"\x00\x01\x02", "expected value"),
    ] {
        let answer = bed.client().send("POST", SEARCH, &JSON, body).json();
        assert_problem(answer, 400, "invalid", words);
    }
    // Ten thousand dimensions are the wrong ones.
    let wide = json!({"vector": vec![1.0; 10_000]});
    assert_problem(bed.post(SEARCH, wide), 400, "dimension_mismatch", "10000");
    is_well(&bed);
}

fn small() -> Options {
    let limits = Limits { body_bytes_max: 10_000, request_ms: 300, header_ms: 300, ..Limits::default() };
    Options { limits, ..Options::default() }
}

#[test]
fn s11_a_body_that_is_too_large_is_refused_before_it_is_read() {
    let bed = Bed::with(small());
    bed.fill(3);
    for length in ["10001", "4294967296", "1099511627776"] {
        let mut client = bed.client();
        client.head(
            "POST",
            SEARCH,
            &[("content-type", "application/json"), ("content-length", length)],
            Some(0),
        );
        // Two lengths that differ are refused by the parser.
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, 400);
        let mut client = bed.client();
        client.raw(format!("POST {SEARCH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n").as_bytes());
        let answer = client.answer().unwrap();
        assert_eq!(answer.header("connection"), "close");
        assert_problem(answer.json(), 413, "too_large", "10000");
        assert!(client.is_closed());
    }
    // In chunks, it is refused at the first byte too many.
    let mut client = bed.client();
    client.head("POST", SEARCH, &JSON, None);
    while client.chunk(&[b' '; 1_000]) {
        if bed.client().get("/livez").status != 200 {
            break;
        }
        client.socket.set_nonblocking(true).unwrap();
        let is_answered = client.socket.peek(&mut [0]).is_ok();
        client.socket.set_nonblocking(false).unwrap();
        if is_answered {
            break;
        }
    }
    assert_problem(client.answer().unwrap().json(), 413, "too_large", "10000");
    is_well(&bed);
}

#[test]
fn s11_a_slow_body_and_a_slow_head_are_left() {
    let bed = Bed::with(small());
    bed.fill(3);
    let mut client = bed.client();
    client.head("POST", SEARCH, &JSON, Some(100));
    client.raw(b"{");
    let answer = client.answer().unwrap();
    assert_eq!(answer.header("connection"), "close");
    assert_problem(answer.json(), 408, "invalid", "300 ms");
    assert!(client.is_closed());
    let mut client = bed.client();
    client.raw(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ");
    assert!(client.answer().is_none_or(|answer| answer.status == 408));
    // Whoever says nothing at all.
    assert!(bed.client().is_closed());
    is_well(&bed);
}

#[test]
fn s11_heads_that_are_wrong_or_too_large_are_refused() {
    let bed = Bed::filled(3);
    let many: String = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect();
    for head in [
        format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"),
        format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)),
        format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "y".repeat(1 << 20)),
        "GET /livez HTTP/1.1\r\nhost localhost\r\n\r\n".to_owned(),
        "GET /livez HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(),
        "\u{0}\u{1}\u{2}\r\n\r\n".to_owned(),
        "GET  /livez HTTP/1.1\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let mut client = bed.client();
        // It may be left before all of it is sent.
        let _ = client.socket.write_all(head.as_bytes());
        let status = client.answer_head().map_or(0, |(status, _)| status);
        assert!(status == 0 || (400..=431).contains(&status), "{status}: {:?}", &head[..head.len().min(60)]);
    }
    is_well(&bed);
}

/// Bytes behind a request are no second one unless its length says so.
#[test]
fn s11_nobody_smuggles_a_request_inside_another() {
    let bed = Bed::filled(3);
    let inner = "DELETE /v1/collections/docs HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let body = format!("0\r\n\r\n{inner}");
    for lengths in [
        format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", body.len()),
        format!("transfer-encoding: chunked\r\ncontent-length: {}\r\n", body.len()),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "content-length: 5, 5\r\n".to_owned(),
        "content-length: +5\r\n".to_owned(),
    ] {
        let mut client = bed.client();
        let head = format!(
            "POST {SEARCH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{lengths}\r\n{body}"
        );
        let _ = client.socket.write_all(head.as_bytes());
        let answer = client.answer();
        assert!(answer.as_ref().is_none_or(|answer| answer.status >= 400), "{lengths:?}: {answer:?}");
    }
    is_well(&bed);
}

#[test]
fn requests_in_a_row_are_answered_in_turn_and_garbage_ends_the_row() {
    let bed = Bed::filled(3);
    let mut client = bed.client();
    let body = near(1.0).to_string();
    let search = format!(
        "POST {SEARCH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.raw(
        format!("{search}GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n{search}%%% garbage\r\n\r\n")
            .as_bytes(),
    );
    let statuses: Vec<u16> = std::iter::from_fn(|| client.answer()).map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 400]);
    assert!(client.is_closed());
    is_well(&bed);
}

#[test]
fn s11_more_calls_than_the_server_takes_are_told_to_come_back() {
    let options = Options { search_threads: 1, queue: 1, ..Options::default() };
    let bed = Bed::with(options);
    bed.fill(2_000);
    let batch =
        json!({"searches": (0..500).map(|n| json!({"vector": [n, 1], "exact": true})).collect::<Vec<_>>()});
    let statuses: Vec<(u16, String)> = std::thread::scope(|scope| {
        let call = || {
            let answer = bed.client().post("/v1/collections/docs/search/batch", &batch);
            (answer.status, answer.header("retry-after").to_owned())
        };
        let callers: Vec<_> = (0..12).map(|_| scope.spawn(call)).collect();
        // Whether it is well is told in one word at all times.
        while !callers.iter().all(|caller| caller.is_finished()) {
            let answer = bed.client().get("/readyz");
            let expected =
                if answer.status == 200 { r#"{"status":"ok"}"# } else { r#"{"status":"unavailable"}"# };
            assert_eq!(answer.text(), expected);
        }
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    for (status, retry_after) in statuses {
        assert!(status == 200 || status == 503 && retry_after == "1", "{status}");
    }
    is_well(&bed);
}

#[test]
fn s11_more_peers_than_the_server_takes_are_sent_away() {
    let bed = Bed::with(Options { connections_max: 3, ..Options::default() });
    bed.fill(3);
    let mut held: Vec<_> = (0..3).map(|_| bed.client()).collect();
    for client in &mut held {
        assert_eq!(client.get("/livez").status, 200);
    }
    let mut more = bed.client();
    let told = more.answer_head().unwrap();
    assert_eq!((told.0, told.1["retry-after"].as_str()), (503, "1"));
    assert!(more.is_closed());
    drop(held);
    // As soon as the server has noticed.
    loop {
        let mut client = bed.client();
        client.head("GET", "/livez", &[], Some(0));
        match client.answer_head() {
            Some((200, _)) => break,
            _ => std::thread::yield_now(),
        }
    }
}

#[test]
fn s11_bodies_of_all_requests_share_a_budget() {
    let limits = Limits { body_bytes_max: 60_000, bodies_bytes_max: 100_000, ..Limits::default() };
    let bed = Bed::with(Options { limits, ..Options::default() });
    bed.fill(3);
    let mut first = bed.client();
    first.head("POST", SEARCH, &JSON, Some(60_000));
    first.raw(&[b' '; 59_000]);
    // It holds its part once a second one finds too little left.
    let send = || bed.client().send("POST", SEARCH, &JSON, &[b' '; 50_000]);
    until("the budget is taken", || send().status == 503);
    assert_problem(send().json(), 503, "unavailable", "memory");
    drop(first);
    until("the budget is free", || send().status == 400);
    is_well(&bed);
}
