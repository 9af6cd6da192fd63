//! Rows on their way out: one guarded statement, all or nothing.
//!
//! Invariants:
//! - A row is stored only over an older one, by the database's own comparison under its row lock (M4, M5).
//! - The node's mark is written in the same transaction: it never says more than the rows do.
//! - Rows go in by id, so that two nodes never wait for each other in a circle.
//! - COPY into the table itself is for ids that it does not have: it replaces nothing. One that came in between undoes it all,
//!   and the batch goes the guarded way.

use super::binary::Encoder;
use super::fault::on;
use super::line::{Lines, Purpose};
use super::sql;
use crate::mirror::remote::{Done, NodeMark, Pushed};
use crate::record::{Edition, Payload, Row};
use pgvector::Vector;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use std::collections::HashSet;
use std::sync::Arc;

/// From as many rows on, COPY is the faster way.
pub(super) const COPY_ROWS_MIN: usize = 500;
const COPY_PIECE_BYTES: usize = 256 << 10;
/// The columns of `sql::COPY_INBOX`; those of `sql::COPY_NEW` without the last.
pub(super) const INBOX_COLUMNS: i16 = 12;
const UNIQUE_VIOLATION: &str = "23505";

pub(super) async fn push(
    lines: &Arc<Lines>,
    collection: &str,
    batch: &[Edition],
    mark: NodeMark,
) -> Done<Vec<Pushed>> {
    let mut transaction = lines.begin(Purpose::Write).await?;
    let connection = transaction.connection();
    if batch.len() >= COPY_ROWS_MIN && are_new(connection, collection, batch).await? {
        match copy_new(connection, collection, batch).await {
            Ok(()) => {
                note(connection, mark).await?;
                transaction.commit().await?;
                return Ok(vec![Pushed::Stored; batch.len()]);
            }
            Err(fault) if fault.code.as_deref() == Some(UNIQUE_VIOLATION) => {
                drop(transaction);
                transaction = lines.begin(Purpose::Write).await?;
            }
            Err(fault) => return Err(fault),
        }
    }
    let connection = transaction.connection();
    let mut stored = HashSet::with_capacity(batch.len());
    if batch.len() >= COPY_ROWS_MIN && may_copy(connection).await? {
        copy(connection, collection, batch, &mut stored).await?;
    } else {
        for part in batch.chunks(COPY_ROWS_MIN) {
            upsert(connection, collection, part, &mut stored).await?;
        }
    }
    note(connection, mark).await?;
    transaction.commit().await?;
    let answer =
        |e: &Edition| if stored.contains(e.id.as_str()) { Pushed::Stored } else { Pushed::Superseded };
    Ok(batch.iter().map(answer).collect())
}

/// Whether the table has none of these ids, dead or alive.
async fn are_new(connection: &mut PgConnection, collection: &str, batch: &[Edition]) -> Done<bool> {
    let ids: Vec<&str> = batch.iter().map(|e| e.id.as_str()).collect();
    sqlx::query_scalar(sql::ARE_NEW)
        .bind(collection)
        .bind(ids)
        .fetch_one(connection)
        .await
        .map_err(on("pushing"))
}

/// A role without the right to temporary tables pushes all the same.
async fn may_copy(connection: &mut PgConnection) -> Done<bool> {
    sqlx::query_scalar(sql::MAY_HAVE_INBOX).fetch_one(connection).await.map_err(on("pushing"))
}

async fn note(connection: &mut PgConnection, mark: NodeMark) -> Done<()> {
    let NodeMark { node, incarnation, pushes } = mark;
    let note = sqlx::query(sql::NOTE).bind(node as i64).bind(incarnation as i64).bind(pushes as i64);
    note.execute(connection).await.map_err(on("noting the push"))?;
    Ok(())
}

async fn upsert(
    connection: &mut PgConnection,
    collection: &str,
    batch: &[Edition],
    stored: &mut HashSet<String>,
) -> Done<()> {
    let heads = batch.iter().map(|e| &e.stamp);
    let payloads: Vec<_> = batch.iter().map(payload).collect();
    let of = |field: fn(&Payload) -> Option<&str>| -> Vec<Option<&str>> {
        payloads.iter().map(|p| p.and_then(field)).collect()
    };
    let rows = sqlx::query(sql::UPSERT)
        .bind(collection)
        .bind(batch.iter().map(|e| e.id.as_str()).collect::<Vec<_>>())
        .bind(heads.clone().map(|s| s.ver.0).collect::<Vec<_>>())
        .bind(heads.clone().map(|s| s.node as i64).collect::<Vec<_>>())
        .bind(batch.iter().map(|e| e.row.is_none()).collect::<Vec<_>>())
        .bind(heads.map(|s| s.digest as i64).collect::<Vec<_>>())
        .bind(of(|p| p.document.as_deref()))
        .bind(payloads.iter().map(|p| chunk_index(*p)).collect::<Vec<_>>())
        .bind(of(|p| p.tenant.as_deref()))
        .bind(of(|p| p.text.as_deref()))
        .bind(payloads.iter().map(|p| metadata(*p)).collect::<Vec<_>>())
        .bind(of(|p| p.embedding_model.as_deref()))
        .bind(batch.iter().map(|e| vector(e).map(|v| Vector::from(v.to_vec()))).collect::<Vec<_>>())
        .fetch_all(connection)
        .await
        .map_err(on("pushing"))?;
    collect(&rows, stored)
}

async fn copy(
    connection: &mut PgConnection,
    collection: &str,
    batch: &[Edition],
    stored: &mut HashSet<String>,
) -> Done<()> {
    sqlx::raw_sql(sql::INBOX).execute(&mut *connection).await.map_err(on("copying"))?;
    send(connection, sql::COPY_INBOX, batch, |edition, out| {
        out.row(INBOX_COLUMNS);
        encode(edition, out);
    })
    .await?;
    let rows = sqlx::query(sql::UPSERT_INBOX).bind(collection).fetch_all(connection).await;
    collect(&rows.map_err(on("pushing"))?, stored)
}

/// Past the inbox: every row is written once. Three times as fast as by way of it.
async fn copy_new(connection: &mut PgConnection, collection: &str, batch: &[Edition]) -> Done<()> {
    send(connection, sql::COPY_NEW, batch, |edition, out| {
        out.row(INBOX_COLUMNS + 1);
        encode(edition, out);
        out.bytes(collection.as_bytes());
    })
    .await
}

async fn send(
    connection: &mut PgConnection,
    statement: &'static str,
    batch: &[Edition],
    encode: impl Fn(&Edition, &mut Encoder),
) -> Done<()> {
    let failed = on("copying");
    let mut table = connection.copy_in_raw(statement).await.map_err(&failed)?;
    let mut encoder = Encoder::default();
    encoder.header();
    for edition in batch {
        encode(edition, &mut encoder);
        if encoder.pending().len() >= COPY_PIECE_BYTES {
            table.send(encoder.pending()).await.map_err(&failed)?;
            encoder.clear();
        }
    }
    encoder.trailer();
    table.send(encoder.pending()).await.map_err(&failed)?;
    table.finish().await.map_err(&failed)?;
    Ok(())
}

/// The values of `sql::COPY_INBOX`.
pub(super) fn encode(edition: &Edition, out: &mut Encoder) {
    let payload = payload(edition);
    out.bytes(edition.id.as_bytes());
    out.i64(edition.stamp.ver.0);
    out.i64(edition.stamp.node as i64);
    out.bool(edition.row.is_none());
    out.i64(edition.stamp.digest as i64);
    out.text(payload.and_then(|p| p.document.as_deref()));
    out.i32(chunk_index(payload));
    out.text(payload.and_then(|p| p.tenant.as_deref()));
    out.text(payload.and_then(|p| p.text.as_deref()));
    out.json(metadata(payload));
    out.text(payload.and_then(|p| p.embedding_model.as_deref()));
    out.vector(vector(edition));
}

fn payload(edition: &Edition) -> Option<&Payload> {
    edition.row.as_ref().and_then(|row: &Row| row.payload.as_deref())
}

fn vector(edition: &Edition) -> Option<&[f32]> {
    edition.row.as_ref().and_then(|row| row.vector.as_deref())
}

fn chunk_index(payload: Option<&Payload>) -> i32 {
    // At the door it was at most `limits::CHUNK_INDEX_MAX`.
    payload.map_or(0, |p| p.chunk_index as i32)
}

fn metadata(payload: Option<&Payload>) -> &str {
    payload.map_or("{}", Payload::metadata_json)
}

fn collect(rows: &[sqlx::postgres::PgRow], stored: &mut HashSet<String>) -> Done<()> {
    for row in rows {
        stored.insert(row.try_get(0).map_err(on("pushing"))?);
    }
    Ok(())
}
