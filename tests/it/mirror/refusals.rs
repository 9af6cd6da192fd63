//! The database answers, and says no: tables that are held, missing or of another shape.

use super::*;
use crate::support::postgres::Cluster;
use crate::support::sql::{Session, one, try_sql};
use nearfield::Trust;

#[test]
fn a_table_that_somebody_has_locked() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(within(url, 400), 20);
    let mut person = Session::open(url).unwrap();
    person.run("BEGIN; LOCK TABLE nearfield.chunk IN ACCESS EXCLUSIVE MODE").unwrap();
    bed.put(&ids("row-", 0..4));
    bed.works_alone();
    bed.until_reason("lock");
    bed.works_alone();
    person.run("COMMIT").unwrap();
    bed.equals(url);
}

#[test]
fn a_table_that_somebody_keeps_from_writers() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(within(url, 400), 20);
    let mut person = Session::open(url).unwrap();
    // As long as an index is made.
    person.run("BEGIN; LOCK TABLE nearfield.chunk IN SHARE MODE").unwrap();
    bed.put(&ids("row-", 0..20));
    bed.until_reason("somebody holds the whole table");
    assert_eq!(bed.status().dead_letters_out, 0);
    person.run("COMMIT").unwrap();
    bed.equals(url);
}

#[test]
fn a_row_that_somebody_has_locked_holds_up_no_other() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(within(url, 400), 20);
    let mut person = Session::open(url).unwrap();
    person.run("BEGIN; SELECT FROM nearfield.chunk WHERE id = 'row-0007' FOR UPDATE").unwrap();
    bed.put(&ids("row-", 0..20));
    wait::until("all others", || rows_there(url).values().filter(|x| **x == 2.0).count() == 19);
    person.run("COMMIT").unwrap();
    bed.equals(url);
}

#[test]
fn statements_that_take_too_long() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(within(url, 400), 20);
    sql(
        url,
        "CREATE FUNCTION nearfield.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(5); RETURN NULL; END'; \
         CREATE TRIGGER slow AFTER INSERT ON nearfield.chunk FOR EACH STATEMENT EXECUTE FUNCTION nearfield.slow()",
    );
    bed.put(&ids("row-", 0..20));
    bed.until_reason("statement timeout");
    bed.works_alone();
    sql(url, "DROP TRIGGER slow ON nearfield.chunk");
    bed.equals(url);
}

#[test]
fn two_stores_that_write_the_same_rows_at_once() {
    let database = Cluster::shared().database();
    let (a, b) = (Bed::at(&database.url), Bed::at(&database.url));
    for round in 0..20 {
        let rows = ids("row-", round..round + 100);
        std::thread::scope(|scope| {
            scope.spawn(|| a.put(&rows));
            scope.spawn(|| b.put(&rows));
        });
    }
    for bed in [&a, &b] {
        bed.mirror.wait_mirrored(bed.store.token(), LONG).unwrap();
    }
    [&a, &b].iter().for_each(|bed| bed.mirror.pull_now().unwrap());
    [&a, &b].iter().for_each(|bed| bed.follows(&database.url));
    assert_eq!((a.rows_here().len(), a.rows_here()), (119, b.rows_here()));
}

#[test]
fn a_circle_of_locks() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(options(url), 20);
    let mut person = Session::open(url).unwrap();
    person.run("BEGIN; UPDATE nearfield.chunk SET text = 'theirs' WHERE id = 'row-0019'").unwrap();
    bed.put(&ids("row-", 0..20));
    let waits = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    wait::until("the mirror waits for the row", || one(url, waits) != "0");
    // One of both is chosen to give way.
    let is_theirs = person.run("UPDATE nearfield.chunk SET text = 'theirs' WHERE id = 'row-0001'").is_ok();
    person.run(if is_theirs { "COMMIT" } else { "ROLLBACK" }).unwrap();
    bed.follows(url);
}

#[test]
fn a_table_that_was_dropped() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(options(url), 20);
    sql(url, "DROP TABLE nearfield.chunk CASCADE");
    let status = bed.until("schema_mismatch");
    assert!(status.reason.unwrap().contains("chunk"));
    bed.works_alone();
    // With all of it gone the mirror makes it anew, and asks who is right.
    sql(url, "DROP SCHEMA nearfield CASCADE");
    bed.until("blocked:database_replaced");
    bed.works_alone();
    bed.mirror.resolve(Trust::Local).unwrap();
    bed.equals(url);
}

#[test]
fn a_column_that_was_renamed() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(options(url), 20);
    sql(url, "ALTER TABLE nearfield.chunk RENAME COLUMN tenant TO landlord");
    bed.put(&ids("row-", 0..10));
    let status = bed.until("schema_mismatch");
    assert!(status.reason.as_ref().unwrap().contains("tenant"), "{status:?}");
    bed.works_alone();
    sql(url, "ALTER TABLE nearfield.chunk RENAME COLUMN landlord TO tenant");
    bed.equals(url);
}

#[test]
fn an_extension_that_was_dropped() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(options(url), 20);
    sql(url, "DROP EXTENSION vector CASCADE");
    bed.put(&ids("row-", 0..10));
    let status = bed.until("schema_mismatch");
    assert!(status.reason.is_some(), "{status:?}");
    bed.works_alone();
    sql(url, "DROP SCHEMA nearfield CASCADE");
    bed.until("blocked:database_replaced");
    bed.mirror.resolve(Trust::Local).unwrap();
    bed.equals(url);
}

#[test]
fn a_collection_of_another_width_is_left_alone_on_both_sides() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let first = Bed::settled(options(url), 20);
    let store = Store::memory();
    let narrow = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    let mirror = Mirror::start(&store, options(url)).unwrap();
    narrow.upsert([Chunk::new("row-0001").vector([1.0, 2.0])]).unwrap();
    wait::until("a mismatch", || mirror.status().state.to_string() == "schema_mismatch");
    let reason = mirror.status().reason.unwrap();
    assert!(reason.contains("dim is 2 here and 3 in the database"), "{reason}");
    // Other collections go on.
    let other = store.create_collection("other", Schema::new(2, Metric::L2)).unwrap();
    other.upsert([Chunk::new("o").vector([1.0, 2.0])]).unwrap();
    let there = "SELECT count(*)::text FROM nearfield.chunks WHERE collection = 'other'";
    wait::until("the other collection", || {
        try_sql(url, there).is_ok_and(|rows| rows[0][0].as_deref() == Some("1"))
    });
    assert_eq!((narrow.count(None).unwrap(), narrow.search(&[1.0, 2.0]).run().unwrap().hits.len()), (1, 1));
    first.equals(url);
}
