//! Who answers: what makes this database this one, and what may be done with it.

use super::Settings;
use super::fault::on;
use super::line::{Lines, Purpose, Transaction};
use super::{schema, sql};
use crate::mirror::remote::{Database, Done, Identity, NodeId, NodeMark};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::sync::Arc;

/// Those that notice edits by hand.
const TRIGGERS: [&str; 3] = ["chunk_stamp", "chunk_delete", "chunk_truncate"];

#[derive(Debug)]
struct Server {
    is_standby: bool,
    is_read_only: bool,
    unix_ms: i64,
    database: String,
    version: String,
    vector: Option<String>,
    vector_available: Option<String>,
    system: String,
    timeline: u32,
}

pub(super) async fn look(lines: &Arc<Lines>, settings: &Settings, node: NodeId) -> Done<Database> {
    let mut server = ask(lines).await?;
    let may_write = !server.is_standby && !server.is_read_only;
    let (installed, available) = (server.vector.as_deref(), server.vector_available.as_deref());
    if !schema::ensure_extension(lines, settings, installed, available, may_write).await? {
        // Lines learn where the extension's types live when they are made.
        lines.hang_up();
        server = ask(lines).await?;
    }
    schema::ensure(lines, settings, may_write).await?;
    describe(lines, server, node).await
}

async fn ask(lines: &Arc<Lines>) -> Done<Server> {
    let failed = on("looking who answers");
    let mut transaction = lines.begin(Purpose::Write).await?;
    let row = sqlx::query(sql::SERVER).fetch_one(transaction.connection()).await.map_err(&failed)?;
    let system: Option<String> = optional(&mut transaction, sql::SYSTEM).await?;
    let timeline: Option<i32> = optional(&mut transaction, sql::TIMELINE).await?;
    transaction.commit().await?;
    Ok(Server {
        is_standby: row.try_get(0).map_err(&failed)?,
        is_read_only: row.try_get(1).map_err(&failed)?,
        unix_ms: row.try_get(2).map_err(&failed)?,
        database: row.try_get(3).map_err(&failed)?,
        version: row.try_get(4).map_err(&failed)?,
        vector: row.try_get(5).map_err(&failed)?,
        vector_available: row.try_get(6).map_err(&failed)?,
        system: system.unwrap_or_default(),
        timeline: timeline.map_or(0, i32::unsigned_abs),
    })
}

/// What not every server tells everybody. Then the epoch alone says which database it is.
async fn optional<T>(transaction: &mut Transaction, query: &'static str) -> Done<Option<T>>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let failed = on("looking who answers");
    sqlx::raw_sql("SAVEPOINT optional").execute(transaction.connection()).await.map_err(&failed)?;
    match sqlx::query_scalar(query).fetch_one(transaction.connection()).await {
        Ok(value) => Ok(value),
        Err(sqlx::Error::Database(_)) => {
            let back =
                sqlx::raw_sql("ROLLBACK TO SAVEPOINT optional").execute(transaction.connection()).await;
            back.map_err(&failed)?;
            Ok(None)
        }
        Err(error) => Err(failed(error)),
    }
}

async fn describe(lines: &Arc<Lines>, server: Server, node: NodeId) -> Done<Database> {
    let failed = on("looking at the mirror's state");
    let mut transaction = lines.begin(Purpose::Write).await?;
    let meta: PgRow = sqlx::query(sql::META).fetch_one(transaction.connection()).await.map_err(&failed)?;
    let triggers = sqlx::query_scalar(sql::TRIGGERS).bind(lines.schema()).bind(TRIGGERS.as_slice());
    let triggers: i64 = triggers.fetch_one(transaction.connection()).await.map_err(&failed)?;
    let mark = sqlx::query_as(sql::MARK).bind(node.0 as i64);
    let mark: Option<(i64, i64)> = mark.fetch_optional(transaction.connection()).await.map_err(&failed)?;
    if !server.is_standby && !server.is_read_only {
        let hello = sqlx::query(sql::HELLO).bind(node.0 as i64).execute(transaction.connection()).await;
        hello.map_err(&failed)?;
    }
    transaction.commit().await?;
    let vector = server.vector.unwrap_or_default();
    Ok(Database {
        identity: Identity {
            system: server.system,
            timeline: server.timeline,
            database: server.database,
            epoch: meta.try_get(2).map_err(&failed)?,
        },
        digest_seed: meta.try_get::<i64, _>(4).map_err(&failed)? as u64,
        is_standby: server.is_standby,
        is_read_only: server.is_read_only,
        unix_ms: server.unix_ms,
        is_supervised: triggers == TRIGGERS.len() as i64,
        mark: mark.map(|(incarnation, pushes)| NodeMark {
            node: node.0,
            incarnation: incarnation as u64,
            pushes: pushes as u64,
        }),
        tombstone_floor: meta.try_get(3).map_err(&failed)?,
        server: format!("PostgreSQL {}, pgvector {vector}", server.version),
    })
}
