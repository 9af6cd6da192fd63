//! Rows that were changed behind everybody's back: an audit names them, a repair makes both sides equal by the word of one.

use super::*;
use crate::support::postgres::{Cluster, Database};
use crate::support::sql::try_sql;
use nearfield::{AuditReport, Trust};

/// Seven deleted, five vectors and three texts changed, four added. All of it unnoticed by triggers and by the feed.
const BEHIND: &str = "
    ALTER TABLE nearfield.chunk DISABLE TRIGGER USER;
    DELETE FROM nearfield.chunk WHERE id BETWEEN 'row-0010' AND 'row-0016';
    UPDATE nearfield.chunk SET embedding = '[77,0,0]' WHERE id BETWEEN 'row-0020' AND 'row-0024';
    UPDATE nearfield.chunk SET text = 'another' WHERE id BETWEEN 'row-0030' AND 'row-0032';
    INSERT INTO nearfield.chunk (collection, id, ver, node, digest, text, metadata, embedding, change_xid)
    SELECT collection, 'new-' || id, ver, node, digest, text, metadata, embedding, change_xid
      FROM nearfield.chunk WHERE id BETWEEN 'row-0040' AND 'row-0043';
    ALTER TABLE nearfield.chunk ENABLE TRIGGER USER;";

fn drifted() -> (Database, Bed, Vec<String>) {
    let database = Cluster::shared().database();
    let bed = Bed::settled(options(&database.url), 200);
    sql(&database.url, BEHIND);
    let added = ids("new-row-", 40..44);
    let rest = [10..17, 20..25, 30..33].into_iter().flat_map(|numbers| ids("row-", numbers));
    (database, bed, added.into_iter().chain(rest).collect())
}

fn named(report: &AuditReport) -> Vec<String> {
    let lists = [
        &report.missing_locally,
        &report.missing_remotely,
        &report.stale,
        &report.hand_edited,
        &report.decayed,
    ];
    let mut all: Vec<String> = lists.into_iter().flatten().map(|id| id.as_str().to_owned()).collect();
    all.sort();
    all
}

#[test]
fn an_audit_names_exactly_the_nineteen_rows() {
    let (_database, bed, expected) = drifted();
    let report = bed.mirror.audit("docs", true).unwrap();
    assert_eq!((named(&report), report.drift()), (expected.clone(), 19), "{report:#?}");
    // What was added carries the digests of others: that is an edit by hand as well.
    assert_eq!((report.missing_remotely.len(), report.hand_edited.len()), (7, 12));
    assert_ne!(report.local, report.database);
    let rehearsed = bed.mirror.repair("docs", Trust::Database, true).unwrap();
    assert_eq!((named(&rehearsed), rehearsed.repaired), (expected, 0));
}

#[test]
fn repair_trusting_the_database_takes_over_what_stands_there() {
    let (database, bed, _) = drifted();
    bed.mirror.audit("docs", true).unwrap();
    let report = bed.mirror.repair("docs", Trust::Database, false).unwrap();
    assert!(report.is_equal() && report.repaired == 19, "{report:#?}");
    bed.follows(&database.url);
    let rows = bed.rows_here();
    assert_eq!((rows.len(), rows["row-0022"], rows.contains_key("row-0012")), (197, 77.0, false));
    assert_eq!(bed.docs.get("row-0031").unwrap().unwrap().text.as_deref(), Some("another"));
}

#[test]
fn repair_trusting_the_store_brings_back_what_stood_here() {
    let (database, bed, _) = drifted();
    bed.mirror.audit("docs", true).unwrap();
    let report = bed.mirror.repair("docs", Trust::Local, false).unwrap();
    assert!(report.is_equal() && report.repaired == 19, "{report:#?}");
    bed.equals(&database.url);
    assert_eq!(bed.docs.get("row-0031").unwrap().unwrap().text.as_deref(), Some("text of row-0031"));
}

#[test]
fn with_triggers_nothing_needs_repair() {
    let database = Cluster::shared().database();
    let bed = Bed::settled(options(&database.url), 200);
    let noticed = "
        DELETE FROM nearfield.chunk WHERE id BETWEEN 'row-0010' AND 'row-0016';
        UPDATE nearfield.chunk SET embedding = '[77,0,0]' WHERE id BETWEEN 'row-0020' AND 'row-0024';
        UPDATE nearfield.chunk SET text = 'another' WHERE id BETWEEN 'row-0030' AND 'row-0032';
        INSERT INTO nearfield.chunks (collection, id, text, embedding)
        SELECT collection, 'new-' || id, text, embedding FROM nearfield.chunks WHERE id BETWEEN 'row-0040' AND 'row-0043'";
    sql(&database.url, noticed);
    wait::until("it is here", || {
        bed.rows_here().get("row-0024") == Some(&77.0) && bed.rows_here().len() == 197
    });
    bed.follows(&database.url);
}

#[test]
fn a_truncated_table_stops_the_mirror_until_somebody_decides() {
    for trust in [Trust::Local, Trust::Database] {
        let database = Cluster::shared().database();
        let bed = Bed::settled(options(&database.url), 100);
        sql(&database.url, "TRUNCATE nearfield.chunk");
        bed.until("blocked:database_replaced");
        bed.works_alone();
        assert_eq!((rows_there(&database.url).len(), bed.rows_here().len()), (0, 101));
        bed.mirror.resolve(trust).unwrap();
        match trust {
            Trust::Local => bed.equals(&database.url),
            Trust::Database => {
                wait::until("the same as there", || bed.rows_here().len() == 1);
                bed.follows(&database.url);
                // What was never acknowledged stays: here is its only copy.
                assert_eq!(bed.rows_here().len(), 1);
            }
        }
    }
}

#[test]
fn too_many_deletions_stop_the_mirror_until_somebody_decides() {
    let database = Cluster::shared().database();
    let bed = Bed::settled(options(&database.url).delete_guard_rows(10), 100);
    sql(&database.url, "DELETE FROM nearfield.chunks WHERE id < 'row-0050'");
    bed.until("blocked:mass_delete");
    bed.works_alone();
    assert_eq!(bed.rows_here().len(), 101);
    bed.mirror.resolve(Trust::Local).unwrap();
    bed.equals(&database.url);
}

#[test]
fn a_row_that_the_database_refuses_holds_up_no_other() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(options(url), 5);
    sql(url, "ALTER TABLE nearfield.chunk ADD CONSTRAINT polite CHECK (text NOT LIKE '%bad%')");
    bed.put(&[ids("bad-", 3..4), ids("fine-", 0..40)].concat());
    wait::until("all but one are there", || rows_there(url).len() == 45);
    wait::until("a letter", || bed.status().dead_letters_out == 1);
    let letters = bed.mirror.dead_letters().unwrap();
    assert!(letters[0].id == "bad-0003" && letters[0].reason.contains("polite"), "{letters:?}");
    sql(url, "ALTER TABLE nearfield.chunk DROP CONSTRAINT polite");
    assert_eq!(bed.mirror.retry_dead_letters().unwrap(), 1);
    bed.equals(url);
}

#[test]
fn a_row_that_cannot_be_stored_here_holds_up_no_other() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(options(url), 5);
    let wide = "BEGIN; SET LOCAL nearfield.mirror = 'on'; \
                INSERT INTO nearfield.chunk (collection, id, ver, node, embedding) \
                SELECT 'docs', 'wide', ver, node, '[1,2,3,4]' FROM nearfield.chunk LIMIT 1; COMMIT";
    sql(url, wide);
    sql(
        url,
        "INSERT INTO nearfield.chunks (collection, id, text, embedding) VALUES ('docs', 'fine', 'x', '[2,2,2]')",
    );
    wait::until("the other came", || bed.rows_here().contains_key("fine"));
    let letters = bed.mirror.dead_letters().unwrap();
    assert!(letters[0].id == "wide" && letters[0].reason.contains("dim"), "{letters:?}");
    let refused = "INSERT INTO nearfield.chunks (collection, id, embedding) VALUES ('docs', 'x', '[1,2]')";
    assert!(try_sql(url, refused).is_err());
    sql(url, "UPDATE nearfield.chunks SET embedding = '[3,3,3]' WHERE id = 'wide'");
    wait::until("it came, too", || bed.rows_here().contains_key("wide"));
    wait::until("no letter", || bed.status().dead_letters_in == 0);
    bed.follows(url);
}
