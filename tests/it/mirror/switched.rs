//! A collection that goes over to another embedding model: the database keeps its names, whoever has which here, and both sides are proved
//! equal under the names that callers know.

use super::*;
use crate::support::postgres::Cluster;
use nearfield::{Embedder, Hashed, Migration, MigrationOptions, MigrationState, SwitchOptions, Trust};

const ROWS: usize = 50;
const WIDE: usize = 64;

/// Rows of each of the database's collections, and the numbers of their vectors.
fn there(url: &str) -> Vec<(String, usize, usize)> {
    let text = "SELECT collection, count(*)::text, min(vector_dims(embedding))::text FROM nearfield.chunks GROUP BY 1 ORDER BY 1";
    let value = |value: &Option<String>| value.clone().unwrap();
    let row = |row: &Vec<Option<String>>| {
        (value(&row[0]), value(&row[1]).parse().unwrap(), value(&row[2]).parse().unwrap())
    };
    sql(url, text).iter().map(row).collect()
}

impl Bed {
    fn proves(&self, name: &str, rows: usize) {
        self.mirror.wait_mirrored(self.store.token(), LONG).unwrap();
        let mut report = None;
        wait::until("a comparison of all rows", || {
            report = self.mirror.audit(name, true).ok().filter(|report| report.dirty == 0);
            report.is_some()
        });
        let report = report.unwrap();
        assert!(report.is_equal() && report.collection == name, "{report:#?}");
        assert_eq!((report.local.rows, report.database.rows), (rows as u64, rows as u64), "{name}");
    }
}

#[test]
fn a_switch_to_another_model_is_proved_equal_and_undone_and_dropped() {
    let database = Cluster::shared().database();
    let bed = Bed::settled(options(&database.url), ROWS);
    let (migration, model) = (Migration::of(&bed.store, "docs"), Hashed::new(WIDE).unwrap());
    let go_on = &mut |_: &nearfield::MigrationStatus| true;
    let filled = migration.fill(&model, MigrationOptions::default(), go_on).unwrap();
    assert_eq!((filled.state, filled.filled), (MigrationState::Done, ROWS));
    bed.proves("docs.next", ROWS);
    migration.switch(&model, &SwitchOptions::default(), go_on).unwrap();
    // Writes go to what has the name now, and so to the database's docs.next.
    let docs = bed.store.open_collection("docs").unwrap();
    let new = Chunk::new("new").vector(vec![1.0; WIDE]).text("since the switch");
    docs.upsert([new.embedding_model(model.model())]).unwrap();
    docs.delete(["row-0000"]).unwrap();
    docs.delete(["row-0001"]).unwrap();
    bed.proves("docs", ROWS - 1);
    bed.proves("docs.old", ROWS);
    let names =
        |old: usize, new: usize| vec![("docs".to_owned(), old, 3), ("docs.next".to_owned(), new, WIDE)];
    assert_eq!(there(&database.url), names(ROWS, ROWS - 1));
    // A row that somebody edits there is named under the name that it has here.
    sql(&database.url, "ALTER TABLE nearfield.chunk DISABLE TRIGGER USER");
    sql(&database.url, "UPDATE nearfield.chunk SET text = 'by hand' WHERE id = 'new'");
    sql(&database.url, "ALTER TABLE nearfield.chunk ENABLE TRIGGER USER");
    let report = bed.mirror.audit("docs", true).unwrap();
    assert_eq!((report.drift(), report.collection.as_str()), (1, "docs"), "{report:#?}");
    bed.mirror.repair("docs", Trust::Local, false).unwrap();
    bed.proves("docs", ROWS - 1);
    // Another node, which has switched nothing, gets both under the database's names.
    let other = Bed::at(&database.url);
    wait::until("the other node has all rows", || {
        let rows = |name: &str| other.store.open_collection(name).map_or(0, |docs| docs.stats().rows);
        (rows("docs"), rows("docs.next")) == (ROWS, ROWS - 1)
    });
    other.proves("docs.next", ROWS - 1);
    drop(other);
    let undone = migration.undo(true).unwrap();
    assert_eq!(undone.next, "docs.next");
    bed.proves("docs", ROWS);
    bed.proves("docs.next", ROWS - 1);
    // Filled up again, switched, and what was replaced is dropped, here and then there.
    migration.switch(&model, &SwitchOptions::default(), go_on).unwrap();
    bed.proves("docs", ROWS);
    let dropped = migration.drop_old(true).unwrap();
    assert_eq!((dropped.rows, dropped.in_database.as_deref()), (ROWS, Some("docs")));
    assert_eq!(there(&database.url), names(ROWS, ROWS), "what is in the database stays");
    assert_eq!(bed.mirror.drop_in_database("docs", false).unwrap(), ROWS as u64);
    assert_eq!(there(&database.url), names(ROWS, ROWS)[1..]);
    bed.proves("docs", ROWS);
}
