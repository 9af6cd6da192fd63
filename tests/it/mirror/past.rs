//! The database is not what it was: older, empty, another, or its clock is wrong.

use super::*;
use crate::support::postgres::{Cluster, Database};
use crate::support::proxy::Proxy;
use nearfield::Trust;

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
