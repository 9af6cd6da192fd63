//! Goal: an import into a store with a mirror, and its undoing, reach the database as what they are: rows that come, rows that go, and
//! nothing of what was staged on the way. Method: the commands, on a real server, and an audit byte for byte after each.

use super::{DIM, Home, ROWS, made};
use crate::support::postgres::Cluster;
use crate::support::sql::one;
use nearfield::Metric;

#[test]
fn every_mode_and_its_undoing_reach_the_database() {
    let (home, database) = (Home::new(), Cluster::shared().database());
    let url = database.url.as_str();
    let both_equal = |rows: usize, told: &str| {
        home.done(&["sync", "push", "--database-url", url]);
        let report = home.done(&["sync", "audit", "--deep", "--database-url", url]);
        assert_eq!(report["equal"], true, "{told}: {report:#}");
        let names = "SELECT count(*)::text FROM nearfield.chunks WHERE collection LIKE '.%'";
        assert_eq!(one(url, names), "0", "{told}: hidden rows were sent");
        let there = one(url, "SELECT count(*)::text FROM nearfield.chunks WHERE collection = 'docs'");
        assert_eq!(there, rows.to_string(), "{told}");
        assert_eq!(home.rows("docs").unwrap().len(), rows, "{told}");
    };
    home.fill("docs", Metric::L2);
    both_equal(15, "before");
    let file = made("chunks.jsonl");
    let import = ["import", &file, "--into", "docs", "--yes", "--mode"];
    home.done(&[&import[..], &["append"]].concat());
    both_equal(30, "append");
    home.done(&["import", "--rollback"]);
    both_equal(15, "append undone");
    home.done(&[&import[..], &["replace"]].concat());
    both_equal(ROWS, "replace");
    home.done(&["import", "--rollback"]);
    both_equal(15, "replace undone");
    home.done(&["import", &made("flat-l2.faiss"), "--into", "new"]);
    both_equal(15, "create");
    let new = "SELECT count(*)::text FROM nearfield.chunks WHERE collection = 'new'";
    assert_eq!(one(url, new), ROWS.to_string());
    home.done(&["import", "--rollback"]);
    both_equal(15, "create undone");
    assert_eq!(one(url, new), "0");
    assert_eq!(home.store().open_collection("new").unwrap().schema().dim, DIM);
}
