//! Which collections there are, and of what shape. Dimensions and metric are the shape; the rest of a schema is each node's own.

use super::fault::{fault, on, with_remedy};
use super::line::{Lines, Purpose};
use super::sql;
use crate::config::{Metric, Schema};
use crate::mirror::remote::{Done, FaultClass, RemoteCollection};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Row, query};
use std::sync::Arc;

pub(super) async fn all(lines: &Arc<Lines>) -> Done<Vec<RemoteCollection>> {
    let mut transaction = lines.begin(Purpose::Read).await?;
    let rows = query(sql::COLLECTIONS).fetch_all(transaction.connection()).await;
    let rows = rows.map_err(on("listing collections"))?;
    transaction.commit().await?;
    rows.iter().map(collection).collect()
}

pub(super) async fn declare(lines: &Arc<Lines>, wanted: &RemoteCollection) -> Done<()> {
    let failed = on("declaring a collection");
    let Schema { dim, metric, .. } = wanted.schema;
    let schema = serde_json::to_string(&wanted.schema)
        .map_err(|e| fault(FaultClass::Unknown, format!("a schema that is no JSON: {e}")))?;
    let mut transaction = lines.begin(Purpose::Write).await?;
    let insert =
        query(sql::DECLARE).bind(&wanted.name).bind(dim as i32).bind(metric.to_string()).bind(schema);
    insert.execute(transaction.connection()).await.map_err(&failed)?;
    let there = schema_of(transaction.connection(), &wanted.name).await?;
    transaction.commit().await?;
    if (there.dim, there.metric) != (dim, metric) {
        let message = format!(
            "collection {} has {} dimensions under {} in the database, and {dim} under {metric} here",
            wanted.name, there.dim, there.metric
        );
        let remedy = "give one of the two another name, or export and import it with the other shape";
        return Err(with_remedy(fault(FaultClass::Schema, message), remedy));
    }
    Ok(())
}

pub(super) async fn undeclare(lines: &Arc<Lines>, name: &str) -> Done<bool> {
    let failed = on("dropping a collection");
    let mut transaction = lines.begin(Purpose::Write).await?;
    query(sql::UNDECLARE).bind(name).execute(transaction.connection()).await.map_err(&failed)?;
    let left = query(sql::COLLECTION).bind(name).fetch_optional(transaction.connection()).await;
    let is_gone = left.map_err(&failed)?.is_none();
    transaction.commit().await?;
    Ok(is_gone)
}

/// The schema of a collection that is known there.
pub(super) async fn schema_of(connection: &mut PgConnection, name: &str) -> Done<Schema> {
    let row = query(sql::COLLECTION).bind(name).fetch_optional(connection).await;
    match row.map_err(on("looking at a collection"))? {
        Some(row) => Ok(collection(&row)?.schema),
        None => Err(fault(FaultClass::Schema, format!("collection {name} is not known in the database"))),
    }
}

fn collection(row: &PgRow) -> Done<RemoteCollection> {
    let failed = on("looking at a collection");
    let name: String = row.try_get(0).map_err(&failed)?;
    let dim: i32 = row.try_get(1).map_err(&failed)?;
    let metric: &str = row.try_get(2).map_err(&failed)?;
    let json: &str = row.try_get(3).map_err(&failed)?;
    let metric: Metric =
        metric.parse().map_err(|e| fault(FaultClass::Schema, format!("collection {name}: {e}")))?;
    let shape = Schema::new(dim.unsigned_abs() as usize, metric);
    // A newer program may have written what this one does not know; the shape stands beside it.
    let told = serde_json::from_str(json).ok();
    let told =
        told.filter(|s: &Schema| (s.dim, s.metric) == (shape.dim, shape.metric) && s.validate().is_ok());
    Ok(RemoteCollection { name, schema: told.unwrap_or(shape) })
}
