//! People who write SQL: what the view and the triggers make of it, and what cannot come in.

use super::server::{Site, rig, run};
use crate::config::{Metric, Schema as Shape};
use crate::ids::ChunkId;
use crate::mirror::conformance::{DOCS, block_on};
use crate::mirror::remote::*;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};

const NODE: NodeId = NodeId(5);

async fn cosine() -> (Site, PgConnection) {
    let site = rig().await;
    site.postgres.look(NODE).await.unwrap();
    let shape = RemoteCollection { name: DOCS.into(), schema: Shape::new(2, Metric::Cosine) };
    site.postgres.declare(&shape).await.unwrap();
    let person = site.person().await;
    (site, person)
}

async fn said(person: &mut PgConnection, statement: &str) -> String {
    match person.execute(sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))).await {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_view_reads_and_writes_live_rows() {
    block_on(async {
        let (_site, mut person) = cosine().await;
        let row = sqlx::query(
            "INSERT INTO chunks (collection, id, text) VALUES ('docs', 'a', 'h\u{e9}llo') RETURNING *",
        );
        let row = row.fetch_one(&mut person).await.unwrap();
        assert_eq!((row.get::<i32, _>("text_length"), row.get::<i32, _>("chunk_index")), (5, 0));
        let update =
            sqlx::query("UPDATE chunks SET embedding = '[1,2]' WHERE id = 'a'").execute(&mut person).await;
        assert_eq!(update.unwrap().rows_affected(), 1);
        let delete = sqlx::query("DELETE FROM chunks WHERE id = 'a'");
        assert_eq!(delete.execute(&mut person).await.unwrap().rows_affected(), 1);
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM chunks").fetch_one(&mut person);
        assert_eq!(count.await.unwrap(), 0);
        run(&mut person, "INSERT INTO chunks (collection, id, text) VALUES ('docs', 'a', 'again')").await;
        let vers = "SELECT array_agg(ver) FROM chunk";
        let first: Vec<i64> = sqlx::query_scalar(vers).fetch_one(&mut person).await.unwrap();
        run(&mut person, "BEGIN; UPDATE chunks SET text = 'b'; UPDATE chunks SET text = 'c'; COMMIT").await;
        let second: Vec<i64> = sqlx::query_scalar(vers).fetch_one(&mut person).await.unwrap();
        assert!(second[0] > first[0]);
    });
}

#[test]
fn what_would_be_wrong_everywhere_is_refused_with_the_reason() {
    block_on(async {
        let (_site, mut person) = cosine().await;
        run(&mut person, "INSERT INTO chunks (collection, id, text) VALUES ('docs', 'a', 'x')").await;
        for (statement, reason) in [
            (
                "INSERT INTO chunks (collection, id, embedding) VALUES ('docs', 'b', '[1,2,3]')",
                "has 3 dimensions",
            ),
            ("INSERT INTO chunks (collection, id, embedding) VALUES ('docs', 'b', '[0,0]')", "all zeros"),
            ("INSERT INTO chunks (collection, id) VALUES ('docs', 'b')", "chunk_says_something"),
            (
                "INSERT INTO chunks (collection, id, text) VALUES ('typo', 'b', 'x')",
                "collection typo is not known",
            ),
            ("INSERT INTO chunks (collection, id, text) VALUES ('docs', '', 'x')", "chunk_id_check"),
            (
                "INSERT INTO chunks (collection, id, text, metadata) VALUES ('docs', 'b', 'x', '[1]')",
                "chunk_metadata_check",
            ),
            ("UPDATE chunks SET id = 'c'", "cannot change"),
            ("UPDATE chunks SET text = NULL", "chunk_says_something"),
        ] {
            let said = said(&mut person, statement).await;
            assert!(said.contains(reason), "{statement}: {said:?}");
        }
    });
}

#[test]
fn a_row_that_cannot_come_in_is_set_aside_and_delays_no_other() {
    block_on(async {
        let (site, mut person) = cosine().await;
        run(
            &mut person,
            "INSERT INTO chunks (collection, id, text, metadata) VALUES
             ('docs', 'a', 'x', '{\"n\": 1e400}'), ('docs', 'b', 'x', '{\"n\": 1.50}'), ('docs', 'c', 'x', '{}');
             INSERT INTO chunks (collection, id, text, metadata)
             SELECT 'docs', 'd', 'x', (repeat('{\"a\":', 40) || '1' || repeat('}', 40))::jsonb;
             INSERT INTO chunks (collection, id, text, metadata)
             SELECT 'docs', 'e', 'x', jsonb_build_object('a', repeat('x', 70000))",
        )
        .await;
        let mut reading = site.postgres.read().await.unwrap();
        let ids: Vec<ChunkId> = ["a", "b", "c", "d", "e"].map(ChunkId::from).to_vec();
        for is_scan in [false, true] {
            let mut rows = Vec::new();
            if is_scan {
                let mut each = |piece: Vec<_>| {
                    rows.extend(piece);
                    true
                };
                reading.scan(DOCS, &IdRange::default(), &mut each).await.unwrap();
            } else {
                rows = reading.rows(DOCS, &ids).await.unwrap();
            }
            assert_eq!(rows.iter().map(|e| &*e.id).collect::<Vec<_>>(), ["b", "c"]);
            let refused = reading.refused();
            let reasons: Vec<(&str, &str)> = refused.iter().map(|r| (&*r.head.id, &*r.reason)).collect();
            assert!(matches!(reasons[..], [("a", _), ("d", _), ("e", _)]), "{reasons:?}");
            assert!(reasons[1].1.contains("32") && reasons[2].1.contains("65536"), "{reasons:?}");
            assert_eq!(reading.refused(), []);
        }
        reading.finish().await.unwrap();
    });
}

#[test]
fn an_upsert_by_hand_on_the_table_is_stamped_too() {
    block_on(async {
        let (_site, mut person) = cosine().await;
        run(
            &mut person,
            "INSERT INTO chunk (collection, id, ver, node, digest, text) VALUES ('docs', 'a', 1, 9, 7, 'x')",
        )
        .await;
        let row = sqlx::query("SELECT ver, node, digest, change_xid = pg_current_xact_id() FROM chunk");
        let row = row.fetch_one(&mut person).await.unwrap();
        assert!(
            row.get::<i64, _>(0) > 1 << 50
                && row.get::<i64, _>(1) == 1
                && row.get::<Option<i64>, _>(2).is_none()
        );
        let gone = sqlx::query("DELETE FROM chunk RETURNING id").fetch_all(&mut person).await.unwrap();
        assert!(gone.is_empty(), "no row is removed");
        let deleted = sqlx::query_scalar::<_, bool>("SELECT deleted FROM chunk").fetch_one(&mut person).await;
        assert!(deleted.unwrap());
    });
}
