//! Goal: the chaos proxy does what tests of the mirror will blame on the network, and nothing else. Method: an echo server behind it,
//! one rule at a time; then a real Postgres whose COMMIT is heard and whose answer is lost.

use super::support::postgres::Cluster;
use super::support::proxy::{Counts, Proxy, Way};
use super::support::sql::{one, sql, try_sql};
use super::support::wait;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough to be sure that nothing comes.
const NOTHING: Duration = Duration::from_millis(100);

/// Sends back what it gets, until the end; it lives as long as the tests.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut back = stream.try_clone().unwrap();
                // A connection that was reset is what some tests want.
                let _ = std::io::copy(&mut &stream, &mut back);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    address
}

fn client(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(proxy.address()).unwrap();
    client.set_nodelay(true).unwrap();
    client
}

fn says(client: &mut TcpStream, text: &str) {
    client.write_all(text.as_bytes()).unwrap();
}

#[track_caller]
fn hears(client: &mut TcpStream, text: &str) {
    let mut got = vec![0; text.len()];
    client.set_read_timeout(None).unwrap();
    client.read_exact(&mut got).unwrap();
    assert_eq!(String::from_utf8_lossy(&got), text);
}

#[track_caller]
fn hears_nothing(client: &mut TcpStream) {
    client.set_read_timeout(Some(NOTHING)).unwrap();
    let error = loop {
        match client.read(&mut [0]).unwrap_err() {
            // With a limit of time a read ends early when a child of another test ends.
            e if e.kind() == ErrorKind::Interrupted => {}
            e => break e,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// What came before the connection was reset.
#[track_caller]
fn is_reset(client: &mut TcpStream) -> String {
    let mut got = Vec::new();
    client.set_read_timeout(None).unwrap();
    let error = client.read_to_end(&mut got).expect_err("the connection ended in order");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    String::from_utf8(got).unwrap()
}

#[test]
fn bytes_pass_both_ways_and_are_counted() {
    let proxy = Proxy::to(echo());
    let (mut a, mut b) = (client(&proxy), client(&proxy));
    says(&mut a, "hello");
    hears(&mut a, "hello");
    let text = "x".repeat(300_000);
    let mut sender = b.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            says(&mut sender, &text);
            sender.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = String::new();
        b.read_to_string(&mut got).unwrap();
        assert!(got == text, "a half that is closed leaves the other open");
    });
    let bytes = 5 + 300_000;
    assert_eq!(proxy.counts(), Counts { connections: 2, to_server: bytes, to_client: bytes, cuts: 0 });
}

#[test]
fn a_delay_is_latency_and_no_limit_of_throughput() {
    let proxy = Proxy::to(echo());
    let mut client = client(&proxy);
    let delay = Duration::from_millis(200);
    proxy.delay(delay);
    // Over 60 of what the proxy reads at once: one after the other they would take 12 seconds.
    let text = "x".repeat(1_000_000);
    let mut sender = client.try_clone().unwrap();
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| says(&mut sender, &text));
        hears(&mut client, &text);
    });
    let time = start.elapsed();
    assert!(time >= 2 * delay, "{time:?}: both ways are delayed");
    assert!(time < 30 * delay, "{time:?}: chunks were delayed one after the other");
    proxy.delay(Duration::ZERO);
    says(&mut client, "b");
    hears(&mut client, "b");
}

#[test]
fn a_throttle_limits_bytes_per_second() {
    let proxy = Proxy::to(echo());
    let mut client = client(&proxy);
    proxy.throttle(Some(100_000));
    let (start, text) = (Instant::now(), "x".repeat(20_000));
    says(&mut client, &text);
    hears(&mut client, &text);
    let time = start.elapsed();
    // A twentieth of a second goes at once; nothing is waited for after the last piece.
    assert!(time >= Duration::from_millis(150), "{time:?} for 20 kB at 100 kB/s");
    proxy.throttle(None);
    says(&mut client, &text);
    hears(&mut client, &text);
}

#[test]
fn a_black_hole_takes_one_direction_and_gives_it_back() {
    let proxy = Proxy::to(echo());
    let mut client = client(&proxy);
    says(&mut client, "0");
    hears(&mut client, "0");
    proxy.black_hole(Way::ToClient, true);
    says(&mut client, "1");
    wait::until("the server heard it", || proxy.counts().to_server == 2);
    hears_nothing(&mut client);
    proxy.black_hole(Way::ToServer, true);
    proxy.black_hole(Way::ToClient, false);
    hears(&mut client, "1");
    says(&mut client, "2");
    hears_nothing(&mut client);
    assert_eq!(proxy.counts().to_server, 2);
    proxy.black_hole(Way::ToServer, false);
    hears(&mut client, "2");
}

#[test]
fn connections_are_reset_at_once() {
    let proxy = Proxy::to(echo());
    let (mut open, mut held) = (client(&proxy), client(&proxy));
    says(&mut open, "a");
    hears(&mut open, "a");
    proxy.black_hole(Way::ToServer, true);
    says(&mut held, "b");
    wait::until("both connections are open", || proxy.counts().connections == 2);
    proxy.reset();
    assert_eq!((is_reset(&mut open), is_reset(&mut held)), (String::new(), String::new()));
}

#[test]
fn a_connection_is_cut_in_the_middle_of_a_message_once() {
    let proxy = Proxy::to(echo());
    proxy.cut_after(Way::ToClient, 13);
    let (mut first, mut second) = (client(&proxy), client(&proxy));
    says(&mut first, "0123456789");
    hears(&mut first, "0123456789");
    says(&mut second, "abcdefghij");
    assert_eq!(is_reset(&mut second), "abc");
    says(&mut first, "still there");
    hears(&mut first, "still there");
    assert_eq!(proxy.counts().cuts, 1);

    proxy.cut_after(Way::ToServer, 4);
    says(&mut first, "0123456789");
    is_reset(&mut first);
    assert_eq!(proxy.counts().to_server, 10 + 10 + 11 + 4);
}

#[test]
fn a_pattern_is_seen_across_writes() {
    let proxy = Proxy::to(echo());
    let mut client = client(&proxy);
    proxy.lose_request("COMMIT");
    says(&mut client, "BEGIN; COM");
    hears(&mut client, "BEGIN; COM");
    says(&mut client, "MIT;");
    assert_eq!(is_reset(&mut client), "");
    assert_eq!(proxy.counts(), Counts { connections: 1, to_server: 10, to_client: 10, cuts: 1 });
}

#[test]
fn a_silent_proxy_accepts_and_says_nothing() {
    let proxy = Proxy::to(echo());
    proxy.silence(true);
    let mut client = client(&proxy);
    says(&mut client, "anyone there?");
    hears_nothing(&mut client);
    proxy.reset();
    is_reset(&mut client);
}

#[test]
fn a_closed_proxy_refuses_and_opens_again() {
    let proxy = Proxy::to(echo());
    let mut open = client(&proxy);
    says(&mut open, "a");
    hears(&mut open, "a");
    for _ in 0..3 {
        proxy.refuse();
        let refused = TcpStream::connect(proxy.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        says(&mut open, "b");
        hears(&mut open, "b");
        proxy.listen();
        let mut new = client(&proxy);
        says(&mut new, "c");
        hears(&mut new, "c");
    }
}

/// As a program does that is being started by another test.
#[test]
fn a_closed_proxy_refuses_while_somebody_holds_a_copy_of_its_socket() {
    let proxy = Proxy::to(echo());
    let copy = proxy.listener().unwrap().try_clone().unwrap();
    proxy.refuse();
    let refused = TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.listen();
    let mut new = client(&proxy);
    says(&mut new, "a");
    hears(&mut new, "a");
    drop(copy);
}

#[test]
fn a_server_that_is_not_there_ends_the_connection() {
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let proxy = Proxy::to(nobody);
    let mut client = client(&proxy);
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn an_answer_to_commit_is_lost_and_the_commit_is_not() {
    let database = Cluster::shared().database();
    let proxy = Proxy::before(&database.url);
    let through = proxy.url(&database.url);
    sql(&database.url, "CREATE TABLE t (n int)");
    let write = |n: u32| try_sql(&through, &format!("BEGIN; INSERT INTO t VALUES ({n}); COMMIT"));
    let rows = || one(&database.url, "SELECT count(*) FROM t");
    write(1).unwrap();
    assert_eq!(rows(), "1");

    proxy.lose_request("COMMIT");
    write(2).unwrap_err();
    assert_eq!(rows(), "1", "the server never heard of it");

    proxy.lose_answer("COMMIT");
    write(3).unwrap_err();
    assert_eq!(rows(), "2", "the server answered, so it is done");

    write(4).unwrap();
    assert_eq!((rows(), proxy.counts().cuts), ("3".to_owned(), 2));
    assert!(proxy.counts().to_client > 0);
}
