//! Upkeep: digests of rows that were edited by hand, who holds rows, how far each node has read, deletions that nobody needs any more.

use super::fault::{on, with_remedy};
use super::line::{Lines, Purpose};
use super::sql;
use crate::ids::{ChunkId, Ver};
use crate::mirror::remote::{Done, FaultClass, NodeId, Snapshot};
use crate::record::Head;
use sqlx::{Row, query};
use std::collections::HashSet;
use std::sync::Arc;

pub(super) async fn stamp(lines: &Arc<Lines>, collection: &str, heads: &[Head]) -> Done<Vec<Head>> {
    let failed = on("stamping");
    let known: Vec<_> = heads.iter().filter_map(|head| Some((head, head.digest?))).collect();
    let of_known = |statement: &'static str| {
        query(statement)
            .bind(collection)
            .bind(known.iter().map(|(head, _)| head.id.as_str()).collect::<Vec<_>>())
            .bind(known.iter().map(|(head, _)| head.ver.0).collect::<Vec<_>>())
            .bind(known.iter().map(|(head, _)| head.node as i64).collect::<Vec<_>>())
            .bind(known.iter().map(|(_, digest)| *digest as i64).collect::<Vec<_>>())
    };
    let mut transaction = lines.begin(Purpose::Write).await?;
    // The row does not become another one, so its place in the feed stays.
    let stamped = of_known(sql::STAMP).execute(transaction.connection()).await.map_err(&failed)?;
    let mut held = HashSet::new();
    if stamped.rows_affected() < known.len() as u64 {
        for row in of_known(sql::NOT_STAMPED).fetch_all(transaction.connection()).await.map_err(&failed)? {
            held.insert(row.try_get::<String, _>(0).map_err(&failed)?);
        }
    }
    transaction.commit().await?;
    Ok(heads.iter().filter(|head| held.contains(head.id.as_str())).cloned().collect())
}

/// Locks what is free, for an instant, and says what is not.
pub(super) async fn held(lines: &Arc<Lines>, collection: &str, ids: &[ChunkId]) -> Done<Vec<ChunkId>> {
    let failed = on("looking who holds rows");
    let mut transaction = lines.begin(Purpose::Write).await?;
    let table = sqlx::raw_sql(sql::TABLE_IS_FREE).execute(transaction.connection()).await;
    table.map_err(|error| {
        let fault = failed(error);
        let remedy =
            "somebody holds the whole table (an index is being made, or the table altered): wait for him";
        if fault.class == FaultClass::Transient { with_remedy(fault, remedy) } else { fault }
    })?;
    let texts: Vec<&str> = ids.iter().map(ChunkId::as_str).collect();
    let held: Vec<String> = sqlx::query_scalar(sql::HELD)
        .bind(collection)
        .bind(texts)
        .fetch_all(transaction.connection())
        .await
        .map_err(&failed)?;
    transaction.commit().await?;
    let mut held: Vec<ChunkId> = held.iter().map(|id| ChunkId::from(id.as_str())).collect();
    held.sort_unstable();
    Ok(held)
}

pub(super) async fn seen(lines: &Arc<Lines>, node: NodeId, snapshot: &Snapshot) -> Done<()> {
    let mut transaction = lines.begin(Purpose::Write).await?;
    let note = query(sql::SEEN).bind(node.0 as i64).bind(&snapshot.0);
    note.execute(transaction.connection()).await.map_err(on("noting what was seen"))?;
    transaction.commit().await
}

/// The floor rises in the transaction that removes, so that nobody sees a deletion gone and the floor below it (M15).
pub(super) async fn collect(lines: &Arc<Lines>, before: Ver, node_days: u16) -> Done<u64> {
    let failed = on("collecting deletions");
    let mut transaction = lines.begin(Purpose::Write).await?;
    let delete = sqlx::query_as(sql::COLLECT).bind(before.0).bind(i32::from(node_days));
    let (count, highest): (i64, Option<i64>) =
        delete.fetch_one(transaction.connection()).await.map_err(&failed)?;
    if let Some(highest) = highest {
        let raise = query(sql::RAISE_FLOOR).bind(highest.saturating_add(1));
        raise.execute(transaction.connection()).await.map_err(&failed)?;
    }
    transaction.commit().await?;
    Ok(count.unsigned_abs())
}
