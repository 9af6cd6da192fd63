//! Nothing goes wrong: what is written here stands there as SQL expects it, and the other way round.

use super::*;
use crate::support::postgres::Cluster;
use crate::support::sql::one;
use nearfield::{Durability, ErrorKind, Options};
use serde_json::{Value, json};

#[test]
fn a_row_stands_in_the_table_as_people_expect_it() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::at(url);
    let vector = [0.1f32, -1.5e-7, 3.402e17];
    let metadata: Value =
        json!({"lang": "en", "tags": ["a", null, 1.5], "deep": {"yes": true}, "zero": -0.0});
    let row = Chunk::new("a\u{e9}'b").vector(vector).text("it's \u{1f600}\n").document("manual", 7);
    let row = row.metadata(metadata.as_object().unwrap().clone()).tenant("acme").embedding_model("m-1");
    let ack = bed
        .docs
        .upsert([row, Chunk::new("only text").text("words"), Chunk::new("gone").text("soon")])
        .unwrap();
    assert_eq!(ack.rejected, 0);
    bed.docs.delete(["gone"]).unwrap();
    bed.mirror.wait_mirrored(bed.store.token(), LONG).unwrap();

    let column =
        |name: &str| one(url, &format!("SELECT {name} FROM nearfield.chunk WHERE id = E'a\\u00e9''b'"));
    let bits: String = vector.iter().map(|x| format!("{:08x}", x.to_bits())).collect();
    assert_eq!(column("substr(encode(vector_send(embedding), 'hex'), 9)"), bits);
    let said: Value = serde_json::from_str(&column("metadata::text")).unwrap();
    assert_eq!(
        (&said["tags"], &said["deep"], said["zero"].as_f64()),
        (&metadata["tags"], &metadata["deep"], Some(0.0))
    );
    assert_eq!(column("metadata @> '{\"lang\": \"en\"}'"), "t");
    assert_eq!(column("text"), "it's \u{1f600}\n");
    assert_eq!(
        column("concat_ws('/', document_id, chunk_index, tenant, embedding_model)"),
        "manual/7/acme/m-1"
    );
    let only = "SELECT (embedding IS NULL)::text || text FROM nearfield.chunks WHERE id = 'only text'";
    assert_eq!(one(url, only), "truewords");
    let grave = "SELECT deleted::text || (text IS NULL)::text FROM nearfield.chunk WHERE id = 'gone'";
    assert_eq!(
        (one(url, grave), one(url, "SELECT count(*)::text FROM nearfield.chunks")),
        ("truetrue".into(), "2".into())
    );
    assert!(bed.mirror.audit("docs", true).unwrap().is_equal());
}

#[test]
fn two_stores_on_the_same_tables_follow_each_other() {
    let database = Cluster::shared().database();
    let (a, b) = (Bed::at(&database.url), Bed::at(&database.url));
    a.put(&ids("a-", 0..50));
    b.put(&ids("b-", 0..50));
    wait::until("each has the other's rows", || [&a, &b].iter().all(|bed| bed.rows_here().len() == 100));
    a.delete(&ids("a-", 0..10));
    b.docs.upsert(ids("a-", 10..20).iter().map(|id| chunk(id, 9.0))).unwrap();
    wait::until("deletions and new versions go both ways", || {
        let is_new = |bed: &Bed| bed.rows_here().get("a-0015") == Some(&9.0);
        b.rows_here().len() == 90 && is_new(&a)
    });
    [&a, &b].iter().for_each(|bed| bed.follows(&database.url));
    assert_eq!(a.rows_here(), b.rows_here());
}

#[test]
fn what_people_write_in_sql_comes_in() {
    let database = Cluster::shared().database();
    let url = &database.url;
    let bed = Bed::settled(options(url), 5);
    sql(
        url,
        "INSERT INTO nearfield.chunks (collection, id, text, embedding) VALUES ('docs', 'view', 'by hand', '[7,8,9]'); \
         INSERT INTO nearfield.chunk (collection, id, ver, node, text, embedding) VALUES ('docs', 'table', 0, 0, 'x', '[6,0,0]'); \
         UPDATE nearfield.chunks SET text = 'edited', metadata = '{\"by\": \"hand\"}' WHERE id = 'row-0001'; \
         UPDATE nearfield.chunk SET embedding = '[5,5,5]' WHERE id = 'row-0002'; \
         DELETE FROM nearfield.chunks WHERE id = 'row-0003'; \
         DELETE FROM nearfield.chunk WHERE id = 'row-0004'",
    );
    let expected: Rows =
        [("row-0000", 1.0), ("row-0001", 1.0), ("row-0002", 5.0), ("table", 6.0), ("view", 7.0)]
            .map(|(id, x)| (id.to_owned(), x))
            .into();
    wait::until("all of it", || bed.rows_here() == expected);
    let edited = bed.docs.get("row-0001").unwrap().unwrap();
    assert_eq!((edited.text.as_deref(), &edited.metadata["by"]), (Some("edited"), &json!("hand")));
    bed.follows(url);
    assert_eq!(one(url, "SELECT count(*)::text FROM nearfield.chunk WHERE digest IS NULL"), "0");
}

#[test]
fn a_write_can_wait_for_the_database() {
    let cluster = Cluster::shared();
    let database = cluster.database();
    let mirrored = Options::default().durability(Durability::Mirrored).mirrored_timeout_ms(60_000);
    let bed = Bed::with(Store::memory_with(mirrored).unwrap(), options(&database.url));
    let ack = bed.docs.upsert([chunk("a", 1.0)]).unwrap();
    assert!(ack.mirrored);
    assert_eq!(rows_there(&database.url).len(), 1);

    let nobody = Options::default().durability(Durability::Mirrored).mirrored_timeout_ms(50);
    let alone =
        Bed::with(Store::memory_with(nobody).unwrap(), options("postgres://u:secret@127.0.0.1:1/none"));
    let error = alone.docs.upsert([chunk("a", 1.0)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(alone.docs.get("a").unwrap().is_some(), "{error}");
}

#[test]
fn an_empty_store_is_filled() {
    let database = Cluster::shared().database();
    let full = Bed::settled(options(&database.url), 3_000);
    let empty = Bed::with(Store::memory(), options(&database.url));
    empty.until("in_sync");
    empty.follows(&database.url);
    assert_eq!(empty.rows_here(), full.rows_here());
    let query = [17.0, 0.5, -1.0];
    let hits = |bed: &Bed| bed.docs.search(&query).k(10).run().unwrap().hits.len();
    assert_eq!((hits(&empty), hits(&full)), (10, 10));
    full.mirror.rebuild("docs").unwrap();
    full.equals(&database.url);
}

#[test]
fn a_url_that_cannot_be_read_is_refused_and_a_database_that_is_not_there_is_waited_for() {
    for (url, part) in [
        ("mysql://u:secret@h/d", "scheme"),
        ("postgres://u:secret@h:99999/d", "port"),
        ("postgres://u:sec@ret@h/d", "more than one @"),
        ("postgres://u:secret@h/d?sslmode=maybe", "sslmode"),
        ("", "empty"),
    ] {
        let error = Mirror::start(&Store::memory(), MirrorOptions::from_url(url)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(part) && !error.to_string().contains("secret"), "{error}");
    }
    let bed = Bed::at("postgres://u:secret@127.0.0.1:1/none");
    bed.works_alone();
    let status = bed.until_reason("127.0.0.1:1");
    assert_eq!((status.state.to_string().as_str(), status.dirty_rows), ("connecting", 1));
    let said = format!("{status:?}{:?}", bed.mirror.audit("docs", false).unwrap_err());
    assert!(!said.contains("secret"), "{said}");
}
