//! Words and vectors in SQL: the index and the query of `migrations/README.md`, as they stand there.

use super::server::{rig, run};
use crate::config::{Metric, Schema as Shape};
use crate::mirror::conformance::{DOCS, block_on};
use crate::mirror::remote::*;
use sqlx::{AssertSqlSafe, Row};

/// The statements under the heading, for the schema of a test.
fn statements() -> Vec<String> {
    let page = include_str!("../../../migrations/README.md");
    let section = page.split("## Words and vectors in SQL").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = section.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.map(|sql| sql.replace("nearfield.", "")).collect()
}

#[test]
fn the_query_of_the_manual_joins_both_rankings_and_uses_its_index() {
    block_on(async {
        let site = rig().await;
        site.postgres.look(NodeId(5)).await.unwrap();
        let shape = RemoteCollection { name: DOCS.into(), schema: Shape::new(3, Metric::Cosine) };
        site.postgres.declare(&shape).await.unwrap();
        let mut person = site.person().await;
        let [index, query] = statements().try_into().unwrap();
        run(&mut person, &index).await;
        let long = "word ".repeat(400_000);
        for (id, text, embedding) in [
            ("both", "writes are durable", "'[0.1, 0.2, 0.3]'"),
            ("near", "nothing of it", "'[0.1, 0.2, 0.29]'"),
            ("words", "durable, durable writes", "NULL"),
            ("far", "nothing either", "'[-0.1, -0.2, -0.3]'"),
            ("long", long.as_str(), "NULL"),
        ] {
            let row = format!(
                "INSERT INTO chunks (collection, id, text, embedding) VALUES ('docs', '{id}', '{text}', {embedding})"
            );
            run(&mut person, &row).await;
        }
        let found = sqlx::query(AssertSqlSafe(query.clone())).fetch_all(&mut person).await.unwrap();
        let ids: Vec<String> = found.iter().map(|row| row.get(0)).collect();
        assert_eq!(ids[0], "both", "{ids:?}");
        assert!(ids.contains(&"words".to_owned()) && ids.contains(&"near".to_owned()), "{ids:?}");
        assert!(!ids.contains(&"long".to_owned()));
        // Over five rows everything is as cheap.
        let many = "INSERT INTO chunks (collection, id, text) SELECT 'docs', 'more ' || n, 'something else' FROM generate_series(1, 3000) n";
        run(&mut person, many).await;
        run(&mut person, "ANALYZE chunk").await;
        let plan =
            sqlx::query(AssertSqlSafe(format!("EXPLAIN {query}"))).fetch_all(&mut person).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        assert!(plan.iter().any(|line| line.contains("chunk_words")), "{plan:#?}");
    });
}
