//! The feed where Postgres has traps of its own.

use super::server::{rig, run};
use crate::mirror::conformance::block_on;
use crate::mirror::remote::*;
use sqlx::Row;

const NODE: NodeId = NodeId(5);

/// Rows whose transactions are numbered 9, 10, 99, 100: pages must follow the numbers.
#[test]
fn pages_follow_the_numbers_of_transactions_and_not_their_digits() {
    block_on(async {
        let site = rig().await;
        site.postgres.look(NODE).await.unwrap();
        let mut person = site.person().await;
        run(
            &mut person,
            "BEGIN; SET LOCAL nearfield.mirror = 'on';
             INSERT INTO chunk (collection, id, ver, node, digest, text, change_xid)
             SELECT 'docs', 'x' || n, 1, 5, 7, 'x', n::text::xid8 FROM unnest(ARRAY[100, 9, 99, 10, 1000, 998]) n; COMMIT",
        )
        .await;
        let mut reading = site.postgres.read().await.unwrap();
        // The server is older than transaction 1000, or makes it so.
        let until = reading.snapshot().clone();
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = reading.changes(&Snapshot("4:4:".into()), &until, after.as_ref(), 2).await.unwrap();
            found.extend(page.iter().map(|change| change.key.xid));
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
        }
        reading.finish().await.unwrap();
        assert!([vec![9, 10, 99, 100, 998, 1000], vec![9, 10, 99, 100]].contains(&found), "{found:?}");
    });
}

#[test]
fn a_page_of_changes_and_a_fingerprint_come_from_their_indexes() {
    block_on(async {
        let site = rig().await;
        site.postgres.look(NODE).await.unwrap();
        let mut person = site.person().await;
        run(
            &mut person,
            "BEGIN; SET LOCAL nearfield.mirror = 'on';
             INSERT INTO chunk (collection, id, ver, node, digest, text)
             SELECT 'docs', 'x' || n, 1, 5, 7, repeat('x', 500) FROM generate_series(1, 20000) n; COMMIT",
        )
        .await;
        run(&mut person, "VACUUM ANALYZE chunk").await;
        let plan = async |person: &mut _, statement: &str, arguments: &str| {
            run(person, &format!("PREPARE it AS {statement}")).await;
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN EXECUTE it({arguments})"));
            let rows = sqlx::query(explain).fetch_all(&mut *person).await.unwrap();
            run(person, "DEALLOCATE it").await;
            rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
        };
        let changes =
            plan(&mut person, crate::postgres::sql::CHANGES, "'5:5:', '900:900:', '7', 'docs', 'x', 100")
                .await;
        assert!(changes.contains("using chunk_changes") && !changes.contains("Sort"), "{changes}");
        let prints =
            plan(&mut person, crate::postgres::sql::FINGERPRINTS, "'docs', '{x1,x5}', '{x3,NULL}'").await;
        assert!(prints.contains("Index Only Scan using chunk_pkey"), "{prints}");
    });
}
