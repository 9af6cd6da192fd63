//! The server or the network goes away: at rest, in the middle of a batch, before an answer, or without a word.

use super::*;
use crate::support::postgres::{Cluster, Database, Stop};
use crate::support::proxy::{Proxy, Way};

/// A server of the test's own, and a line to it.
struct Site {
    bed: Bed,
    proxy: Proxy,
    database: Database,
    cluster: Cluster,
}

impl Site {
    fn new() -> Self {
        Self::with(4_000)
    }

    fn with(deadline_ms: u64) -> Self {
        let cluster = Cluster::private();
        let database = cluster.database();
        let proxy = Proxy::before(&database.url);
        let bed = Bed::settled(within(&proxy.url(&database.url), deadline_ms), 20);
        Self { bed, proxy, database, cluster }
    }

    /// Begins to send many rows, and returns when the first part of them is on its way.
    fn mid_batch(&self) {
        self.proxy.throttle(Some(100_000));
        let before = self.proxy.counts().to_server;
        self.bed.put(&ids("row-", 0..2_000));
        wait::until("half a batch", || self.proxy.counts().to_server > before + 60_000);
    }

    /// All is well again.
    fn heals(&self) {
        self.proxy.throttle(None);
        self.bed.equals(&self.database.url);
    }
}

#[test]
fn a_server_killed_at_rest() {
    let mut site = Site::new();
    site.cluster.kill9();
    site.bed.until("connecting");
    site.bed.works_alone();
    site.cluster.start();
    site.heals();
}

#[test]
fn a_server_killed_in_the_middle_of_a_batch() {
    let mut site = Site::new();
    site.mid_batch();
    site.cluster.kill9();
    site.bed.works_alone();
    site.cluster.start();
    site.heals();
}

#[test]
fn a_server_restarted_in_the_middle_of_a_transaction() {
    let mut site = Site::new();
    for how in [Stop::Fast, Stop::Immediate] {
        site.mid_batch();
        site.cluster.restart(how);
        site.bed.works_alone();
        site.heals();
    }
}

#[test]
fn a_server_whose_clock_stands_still() {
    let site = Site::with(700);
    site.cluster.pause();
    site.bed.works_alone();
    site.bed.until("connecting");
    site.bed.works_alone();
    site.cluster.resume();
    site.heals();
}

/// A line to the server of all tests.
fn line(deadline_ms: u64) -> (Database, Proxy, Bed) {
    let database = Cluster::shared().database();
    let proxy = Proxy::before(&database.url);
    let bed = Bed::settled(within(&proxy.url(&database.url), deadline_ms), 20);
    (database, proxy, bed)
}

#[test]
fn an_answer_to_a_commit_that_is_lost() {
    let (database, proxy, bed) = line(4_000);
    for round in 0..3 {
        proxy.lose_answer("COMMIT");
        bed.put(&ids("row-", round * 5..round * 5 + 10));
        bed.works_alone();
        bed.equals(&database.url);
    }
    assert!(proxy.counts().cuts >= 3, "{:?}", proxy.counts());
}

#[test]
fn a_request_to_commit_that_is_lost() {
    let (database, proxy, bed) = line(4_000);
    proxy.lose_request("COMMIT");
    bed.put(&ids("row-", 0..10));
    bed.equals(&database.url);
}

#[test]
fn a_connection_reset_in_the_middle_of_a_message() {
    let (database, proxy, bed) = line(4_000);
    for (way, bytes) in
        [(Way::ToServer, 500), (Way::ToClient, 30), (Way::ToServer, 9_000), (Way::ToClient, 1)]
    {
        proxy.cut_after(way, bytes);
        bed.put(&ids("row-", 0..200));
        bed.equals(&database.url);
    }
}

#[test]
fn connections_that_are_refused() {
    let (database, proxy, bed) = line(4_000);
    proxy.refuse();
    proxy.reset();
    bed.until_reason("connecting");
    bed.works_alone();
    bed.delete(&ids("row-", 3..6));
    proxy.listen();
    bed.equals(&database.url);
}

#[test]
fn connections_that_are_accepted_by_nobody() {
    let (database, proxy, bed) = line(700);
    proxy.silence(true);
    proxy.reset();
    bed.until_reason("no answer within");
    bed.works_alone();
    proxy.silence(false);
    proxy.reset();
    bed.equals(&database.url);
}

#[test]
fn bytes_that_vanish_in_one_direction() {
    let (database, proxy, bed) = line(700);
    for way in [Way::ToServer, Way::ToClient] {
        proxy.black_hole(way, true);
        bed.works_alone();
        bed.until_reason("no answer within");
        bed.works_alone();
        proxy.black_hole(way, false);
        bed.equals(&database.url);
    }
}

#[test]
fn a_slow_line() {
    let (database, proxy, bed) = line(4_000);
    proxy.delay(Duration::from_millis(20));
    bed.put(&ids("row-", 0..100));
    bed.works_alone();
    bed.equals(&database.url);
}

#[test]
fn connections_that_an_administrator_ends() {
    let (database, _proxy, bed) = line(4_000);
    for round in 0..3 {
        bed.put(&ids("row-", round..round + 100));
        throw_out(Cluster::shared().url(), &database.url);
        bed.works_alone();
    }
    bed.equals(&database.url);
}
