//! pgvector's own index on a collection, for those who search in SQL. Off unless it is asked for.
//!
//! It is made beside writers (`CONCURRENTLY`), which takes as long as it takes and stands in no transaction: the one statement
//! without a limit, on a line of its own, so it takes none from those who write.

use super::DatabaseIndex;
use super::fault::{fault, on, with_remedy};
use super::line::{Alone, Lines, within};
use super::sql;
use crate::config::Metric;
use crate::mirror::remote::{Done, FaultClass, RemoteCollection};
use sqlx::AssertSqlSafe;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// What pgvector indexes at most; it stores more.
const INDEX_DIM_MAX: usize = 2_000;

/// True if it was made, false if it was there.
pub(super) async fn ensure(
    lines: &Arc<Lines>,
    wanted: DatabaseIndex,
    collection: &RemoteCollection,
) -> Done<bool> {
    let RemoteCollection { name, schema } = collection;
    let Some((method, with)) = method(wanted) else { return Ok(false) };
    let operators = operators(schema.metric, wanted)?;
    if schema.dim > INDEX_DIM_MAX {
        let message = format!(
            "collection {name} has {} dimensions; pgvector indexes a vector of at most {INDEX_DIM_MAX}",
            schema.dim
        );
        return Err(with_remedy(
            fault(FaultClass::Schema, message),
            "set database_index to none: searches run in this process",
        ));
    }
    let index = format!("chunk_{method}_{:016x}", xxh3_64(name.as_bytes()));
    let mut line = lines.alone().await?;
    match within(lines.call_max(), "looking at an index", state(lines, &mut line, &index)).await? {
        (Some(true), _) => return Ok(false),
        // Two that make indexes on one table wait for each other in a circle; and what is half made may be another's, at work.
        (_, true) => return Err(fault(FaultClass::Transient, "somebody is at work on the table")),
        // Whoever made it was stopped.
        (Some(false), false) => drop_half(lines, &mut line, &index).await?,
        (None, false) => {}
    }
    let make = sqlx::query_scalar(sql::INDEX_MAKE)
        .bind(lines.schema())
        .bind(&index)
        .bind(method)
        .bind(schema.dim as i32)
        .bind(operators)
        .bind(with)
        .bind(name);
    let failed = on("indexing");
    let make: String = make.fetch_one(&mut line.connection).await.map_err(&failed)?;
    // The setup of a transaction limits time; here only the path is needed.
    let path = sqlx::raw_sql(AssertSqlSafe(path(&line.setup)));
    path.execute(&mut line.connection).await.map_err(&failed)?;
    sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut line.connection).await.map_err(&failed)?;
    Ok(true)
}

/// Whether it is fit for use, if it is there; whether somebody is at work on the table.
async fn state(lines: &Lines, line: &mut Alone, index: &str) -> Done<(Option<bool>, bool)> {
    let state = sqlx::query_as(sql::INDEX_STATE).bind(lines.schema()).bind(index);
    state.fetch_one(&mut line.connection).await.map_err(on("looking at an index"))
}

async fn drop_half(lines: &Lines, line: &mut Alone, index: &str) -> Done<()> {
    let failed = on("removing an index that is half made");
    let drop = sqlx::query_scalar(sql::INDEX_DROP).bind(lines.schema()).bind(index);
    let drop: String = drop.fetch_one(&mut line.connection).await.map_err(&failed)?;
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut line.connection).await.map_err(&failed)?;
    Ok(())
}

/// The search path of a transaction's setup, for a session.
fn path(setup: &str) -> String {
    let path = setup.rsplit("SET LOCAL ").next().unwrap_or_default();
    format!("SET {path}")
}

fn method(wanted: DatabaseIndex) -> Option<(&'static str, String)> {
    match wanted {
        DatabaseIndex::None => None,
        DatabaseIndex::Hnsw { m, ef_construction } => {
            Some(("hnsw", format!("m = {m}, ef_construction = {ef_construction}")))
        }
        DatabaseIndex::Ivfflat { lists } => Some(("ivfflat", format!("lists = {lists}"))),
    }
}

fn operators(metric: Metric, wanted: DatabaseIndex) -> Done<&'static str> {
    match metric {
        Metric::Cosine => Ok("vector_cosine_ops"),
        Metric::L2 => Ok("vector_l2_ops"),
        Metric::Dot => Ok("vector_ip_ops"),
        Metric::L1 if matches!(wanted, DatabaseIndex::Ivfflat { .. }) => {
            Err(with_remedy(fault(FaultClass::Schema, "pgvector's ivfflat does not know l1"), "use hnsw"))
        }
        Metric::L1 => Ok("vector_l1_ops"),
    }
}
