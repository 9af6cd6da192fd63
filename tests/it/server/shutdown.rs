//! How a server ends: what is under way is finished, what hangs is cut at the deadline, and nothing new begins.

use super::{Bed, near};
use crate::support::wait::until;
use nearfield::server::Options;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn a_request_that_is_under_way_is_answered_and_idle_peers_are_let_go() {
    let bed = Bed::filled(10);
    let addr = bed.server.addr();
    let mut idle = bed.client();
    assert_eq!(idle.get("/livez").status, 200);
    let body = near(1.0).to_string();
    let mut slow = bed.client();
    slow.head(
        "POST",
        "/v1/collections/docs/search",
        &[("content-type", "application/json")],
        Some(body.len()),
    );
    slow.raw(&body.as_bytes()[..5]);
    // What a connection has sent is read as soon as it is counted, before the one thread that serves turns to another.
    let mut other = bed.client();
    until("three are connected", || other.get("/metrics").text().contains("nearfield_connections 3\n"));
    let server = bed.server;
    let ending = std::thread::spawn(move || server.stop());
    // The idle one is let go as soon as the server ends.
    let mut rest = Vec::new();
    idle.socket.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    slow.raw(&body.as_bytes()[5..]);
    let answer = slow.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    ending.join().unwrap().unwrap();
    assert!(TcpStream::connect(addr).is_err(), "somebody still listens");
}

#[test]
fn what_hangs_is_cut_at_the_deadline() {
    let bed = Bed::with(Options { shutdown_ms: 200, ..Options::default() });
    bed.fill(1);
    let mut hangs = bed.client();
    hangs.head("POST", "/v1/collections/docs/search", &[("content-type", "application/json")], Some(100));
    hangs.raw(b"{");
    assert_eq!(bed.client().get("/livez").status, 200);
    let start = Instant::now();
    bed.server.stop().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30), "it waited for the one that hangs");
    assert!(hangs.is_closed());
}

#[test]
fn a_server_that_is_dropped_ends_and_frees_its_port() {
    let bed = Bed::filled(1);
    let addr = bed.server.addr();
    drop(bed.server);
    let options = Options { bind: addr, ..Options::default() };
    let again = nearfield::server::Server::bind(bed.store.clone(), None, options).unwrap();
    assert_eq!(again.addr(), addr);
}
