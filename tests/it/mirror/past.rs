//! The database is not what it was: older, empty, another, or its clock is wrong, also that of the whole server.

use super::*;
use crate::support::postgres::{Cluster, Database};
use crate::support::proxy::Proxy;
use nearfield::Trust;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A bed with a hundred rows, reached by a line that can be cut, so that the database can be copied and renamed.
fn bed() -> (Database, Proxy, Bed) {
    let database = Cluster::shared().database();
    let proxy = Proxy::before(&database.url);
    let bed = Bed::settled(options(&proxy.url(&database.url)), 100);
    (database, proxy, bed)
}

/// Does something to a database that nobody is in.
fn alone(database: &Database, proxy: &Proxy, orders: &[String]) {
    let server = Cluster::shared().url();
    proxy.refuse();
    proxy.reset();
    throw_out(server, &database.url);
    orders.iter().for_each(|order| _ = sql(server, order));
    proxy.listen();
}

#[test]
fn an_older_dump_is_not_taken_for_deletions() {
    let (database, proxy, bed) = bed();
    let name = database_name(&database.url);
    alone(&database, &proxy, &[format!("CREATE DATABASE {name}_old TEMPLATE {name}")]);
    bed.put(&ids("row-", 50..150));
    bed.equals(&database.url);
    let restore =
        [format!("DROP DATABASE {name} WITH (FORCE)"), format!("ALTER DATABASE {name}_old RENAME TO {name}")];
    alone(&database, &proxy, &restore);
    bed.until("blocked:database_replaced");
    bed.works_alone();
    assert_eq!((rows_there(&database.url).len(), bed.rows_here().len()), (100, 151));
    bed.mirror.resolve(Trust::Local).unwrap();
    bed.equals(&database.url);
}

#[test]
fn another_empty_database_is_not_taken_for_deletions() {
    let (database, proxy, bed) = bed();
    let name = database_name(&database.url);
    alone(
        &database,
        &proxy,
        &[format!("DROP DATABASE {name} WITH (FORCE)"), format!("CREATE DATABASE {name} TEMPLATE template0")],
    );
    let status = bed.until("blocked:database_replaced");
    assert!(status.reason.unwrap().contains("another database"));
    bed.works_alone();
    assert_eq!(bed.rows_here().len(), 101);
    bed.mirror.resolve(Trust::Local).unwrap();
    bed.equals(&database.url);
}

#[test]
fn commits_that_the_database_lost_are_sent_again() {
    let (database, _proxy, bed) = bed();
    // What a failover to a standby that lagged looks like: rows and the node's mark of before.
    let undo = "BEGIN; SET LOCAL nearfield.mirror = 'on'; \
                DELETE FROM nearfield.chunk WHERE id >= 'row-0060'; \
                UPDATE nearfield.node SET pushes = 0, incarnation = 0; COMMIT";
    sql(&database.url, undo);
    wait::until("all rows are back", || rows_there(&database.url).len() == 100);
    bed.equals(&database.url);
}

#[test]
fn a_clock_that_is_an_hour_ahead_moves_no_other() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(options(url), 5);
    let ahead = "BEGIN; SET LOCAL nearfield.mirror = 'on'; \
                 UPDATE nearfield.chunk SET ver = ver + (3600000::bigint << 16), node = 1, digest = NULL, embedding = '[8,8,8]', \
                 change_xid = pg_current_xact_id() WHERE id = 'row-0001'; COMMIT";
    sql(url, ahead);
    wait::until("the row is here", || bed.rows_here().get("row-0001") == Some(&8.0));
    let versions = "SELECT (max(ver) - min(ver) > 3000000::bigint << 16)::text FROM nearfield.chunk WHERE id <> 'row-0001'";
    bed.works_alone();
    bed.follows(url);
    assert_eq!(crate::support::sql::one(url, versions), "false", "the clock of this store went along");
    // Whoever writes after having seen it is later.
    bed.docs.upsert([chunk("row-0001", 9.0)]).unwrap();
    bed.follows(url);
    assert_eq!(bed.rows_here()["row-0001"], 9.0);
}

/// A server of its own, an hour ahead of this machine.
fn ahead() -> Cluster {
    let folder = tempfile::tempdir().unwrap();
    // The server runs as somebody else, and is to find it.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let library = folder.path().join("ahead.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/ahead.c");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).args([source, "-ldl"]);
    assert!(cc.status().unwrap().success(), "cc makes no library");
    Cluster::preloaded(&library)
}

#[test]
fn a_server_whose_clock_is_an_hour_ahead() {
    let cluster = ahead();
    let database = cluster.database();
    let url = &database.url;
    let (bed, other) = (Bed::settled(options(url), 10), Bed::at(url));
    let skew_ms = bed.status().database.unwrap().clock_skew_ms;
    assert!((3_590_000..3_700_000).contains(&skew_ms), "{skew_ms}");
    // By hand, with versions of its clock.
    sql(
        url,
        "UPDATE nearfield.chunks SET embedding = '[7,0,0]' WHERE id = 'row-0001'; \
         DELETE FROM nearfield.chunks WHERE id IN ('row-0002', 'row-0003'); \
         INSERT INTO nearfield.chunks (collection, id, text, embedding) VALUES ('docs', 'hand', 'x', '[8,0,0]')",
    );
    let has = |bed: &Bed, id: &str, x: Option<f32>| bed.rows_here().get(id).copied() == x;
    for bed in [&bed, &other] {
        wait::until("it is here", || has(bed, "hand", Some(8.0)) && has(bed, "row-0001", Some(7.0)));
        wait::until("it is gone", || has(bed, "row-0002", None) && has(bed, "row-0003", None));
    }
    // Whoever writes after having seen it is later, here and at the other store: over an edit, over a deletion, and by deleting.
    bed.docs.upsert([chunk("row-0001", 9.0), chunk("row-0002", 9.0)]).unwrap();
    other.docs.delete(["hand"]).unwrap();
    // By hand again, over a row of this clock and over one that is ahead.
    bed.docs.upsert([chunk("row-0004", 2.0)]).unwrap();
    bed.mirror.wait_mirrored(bed.store.token(), LONG).unwrap();
    sql(url, "UPDATE nearfield.chunks SET embedding = '[6,0,0]' WHERE id IN ('row-0004', 'row-0002')");
    bed.docs.upsert([chunk("row-0000", 3.0), chunk("late", 3.0)]).unwrap();
    for bed in [&bed, &other] {
        bed.mirror.wait_mirrored(bed.store.token(), LONG).unwrap();
        wait::until("all of it", || {
            has(bed, "row-0004", Some(6.0)) && has(bed, "late", Some(3.0)) && has(bed, "hand", None)
        });
    }
    [&bed, &other].iter().for_each(|bed| bed.follows(url));
    let rows = bed.rows_here();
    assert_eq!((rows["row-0001"], rows["row-0002"], rows["row-0000"], rows.len()), (9.0, 6.0, 3.0, 10));
    assert_eq!(rows, other.rows_here());
    // The clock of this store did not go along: what nobody edited has its time.
    let ahead = "SELECT string_agg(id, ' ' ORDER BY id) FROM nearfield.chunk \
                 WHERE ver > (extract(epoch FROM clock_timestamp() - interval '30 minutes') * 1000)::bigint << 16";
    assert_eq!(crate::support::sql::one(url, ahead), "hand row-0001 row-0002 row-0003 row-0004");
}
