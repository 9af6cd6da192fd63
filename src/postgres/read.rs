//! Reading one snapshot.
//!
//! Invariants:
//! - A call that fails, or is dropped, ends the reading: its line is closed, and later calls say so.
//! - A feed is never read on a standby, whose snapshots do not know what is still under way (M10).
//! - Ranges, fingerprints and splits are read from the primary key's index alone.

use super::binary::Decoder;
use super::fault::{fault, on};
use super::fetch::{COLUMNS, Door};
use super::line::{Lines, Purpose, Transaction, within};
use super::{collections, nearest, sql};
use crate::engine::tap::Neighbour;
use crate::ids::{ChunkId, Ver};
use crate::mirror::remote::{
    Change, ChangeKey, Done, Fault, FaultClass, Fingerprint, IdRange, Near, Reading, Refused, Snapshot,
};
use crate::record::{Edition, Head};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of content that a scan hands over at once, about.
const SCAN_PIECE_BYTES: usize = 1 << 20;

/// A snapshot of the database. It lasts no longer than `line.rs` lets a transaction last.
#[derive(Debug)]
pub(crate) struct View {
    /// Gone once a call has failed.
    transaction: Option<Transaction>,
    snapshot: Snapshot,
    doors: HashMap<String, Door>,
    refused: Vec<Refused>,
}

pub(super) async fn begin(lines: &Arc<Lines>) -> Done<View> {
    let mut transaction = lines.begin(Purpose::Read).await?;
    let row = sqlx::query(sql::SNAPSHOT).fetch_one(transaction.connection()).await.map_err(on("reading"))?;
    if get(&row, 1)? {
        let message = "the server is a standby: what it shows of the order of changes has holes; connect to the primary";
        return Err(fault(FaultClass::Demoted, message));
    }
    let snapshot = Snapshot(get(&row, 0)?);
    Ok(View { transaction: Some(transaction), snapshot, doors: HashMap::new(), refused: Vec::new() })
}

impl Reading for View {
    fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    async fn changes(
        &mut self,
        since: &Snapshot,
        until: &Snapshot,
        after: Option<&ChangeKey>,
        limit: usize,
    ) -> Done<Vec<Change>> {
        let (xid, collection, id) =
            after.map_or((0, "", ""), |key| (key.xid, key.collection.as_str(), key.id.as_str()));
        let mut transaction = self.take()?;
        let query = sqlx::query(sql::CHANGES)
            .bind(&since.0)
            .bind(&until.0)
            .bind(xid.to_string())
            .bind(collection)
            .bind(id)
            .bind(limit as i64);
        let rows = fetch("reading changes", query, &mut transaction).await?;
        self.put_back(transaction);
        rows.iter().map(change).collect()
    }

    async fn rows(&mut self, collection: &str, ids: &[ChunkId]) -> Done<Vec<Edition>> {
        let mut transaction = self.take()?;
        let ids: Vec<&str> = ids.iter().map(ChunkId::as_str).collect();
        let (door, rows) = within(transaction.call_max(), "reading rows", async {
            let door = self.door(transaction.connection(), collection).await?;
            let query = sqlx::query(sql::ROWS).bind(collection).bind(ids);
            let rows = query.fetch_all(transaction.connection()).await;
            Ok((door, rows.map_err(on("reading rows"))?))
        })
        .await?;
        self.put_back(transaction);
        let mut editions = Vec::with_capacity(rows.len());
        for row in &rows {
            match admit(&door, row)? {
                Ok(edition) => editions.push(edition),
                Err(refused) => self.refused.push(refused),
            }
        }
        Ok(editions)
    }

    async fn fingerprints(
        &mut self,
        collection: &str,
        ranges: &[IdRange],
        without: &[ChunkId],
    ) -> Done<Vec<Fingerprint>> {
        let mut transaction = self.take()?;
        let bounds = |of: fn(&IdRange) -> Option<&str>| ranges.iter().map(of).collect::<Vec<_>>();
        let query = sqlx::query(sql::FINGERPRINTS)
            .bind(collection)
            .bind(bounds(|r| r.from.as_deref()))
            .bind(bounds(|r| r.until.as_deref()));
        let rows = fetch("fingerprinting", query, &mut transaction).await?;
        let mut prints: Vec<_> = rows.iter().map(fingerprint).collect::<Done<_>>()?;
        if !without.is_empty() {
            // A fingerprint can be taken back, so the ranges are read whole, from the index, and the exceptions one by one.
            let ids: Vec<&str> = without.iter().map(ChunkId::as_str).collect();
            let query = sqlx::query(sql::HEADS_OF).bind(collection).bind(ids);
            for row in fetch("fingerprinting", query, &mut transaction).await? {
                take_out(&head(&row, 0)?, ranges, &mut prints);
            }
        }
        self.put_back(transaction);
        Ok(prints)
    }

    async fn heads(&mut self, collection: &str, range: &IdRange, limit: usize) -> Done<Vec<Head>> {
        let mut transaction = self.take()?;
        let query = sqlx::query(sql::HEADS)
            .bind(collection)
            .bind(range.from.as_deref())
            .bind(range.until.as_deref())
            .bind(limit as i64);
        let rows = fetch("reading heads", query, &mut transaction).await?;
        self.put_back(transaction);
        rows.iter().map(|row| head(row, 0)).collect()
    }

    async fn split(&mut self, collection: &str, parts: usize) -> Done<Vec<IdRange>> {
        let mut transaction = self.take()?;
        let count = fetch("splitting", sqlx::query(sql::COUNT).bind(collection), &mut transaction);
        let count: i64 = count.await?.first().map_or(Ok(0), |row| get(row, 0))?;
        let step = count.unsigned_abs().div_ceil(parts.max(1) as u64).max(1);
        let query = sqlx::query(sql::SPLIT).bind(collection).bind(step as i64);
        let rows = fetch("splitting", query, &mut transaction).await?;
        self.put_back(transaction);
        let mut ranges = vec![IdRange::default()];
        for row in &rows {
            let start: String = get(row, 0)?;
            if let Some(last) = ranges.last_mut() {
                last.until = Some(start.clone());
            }
            ranges.push(IdRange { from: Some(start), until: None });
        }
        Ok(ranges)
    }

    async fn scan(
        &mut self,
        collection: &str,
        range: &IdRange,
        each: &mut (dyn FnMut(Vec<Edition>) -> bool + Send),
    ) -> Done<()> {
        let mut transaction = self.take()?;
        let is_done = within(transaction.call_max(), "scanning", async {
            let door = self.door(transaction.connection(), collection).await?;
            self.copy_out(transaction.connection(), &door, range, each).await
        })
        .await?;
        if is_done {
            self.put_back(transaction);
        }
        Ok(())
    }

    async fn nearest(&mut self, collection: &str, near: &Near<'_>, limit: usize) -> Done<Vec<Neighbour>> {
        let mut transaction = self.take()?;
        let door =
            within(transaction.call_max(), "searching", self.door(transaction.connection(), collection));
        let metric = door.await?.schema.metric;
        let found = nearest::nearest(&mut transaction, collection, metric, near, limit).await?;
        self.put_back(transaction);
        Ok(found)
    }

    fn refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    async fn finish(self) -> Done<()> {
        match self.transaction {
            Some(transaction) => {
                within(transaction.call_max(), "ending a reading", transaction.commit()).await
            }
            None => Ok(()),
        }
    }
}

impl View {
    /// For one call. Whoever does not put it back ends the reading.
    fn take(&mut self) -> Done<Transaction> {
        let ended =
            |why: &str| fault(FaultClass::Transient, format!("this reading has ended{why}: begin another"));
        let transaction = self.transaction.take().ok_or_else(|| ended(""))?;
        match transaction.is_over() {
            Some(why) => Err(ended(&format!(", because {why}"))),
            None => Ok(transaction),
        }
    }

    /// After a call. A line that was hung up meanwhile is closed at once.
    fn put_back(&mut self, transaction: Transaction) {
        self.transaction = transaction.is_over().is_none().then_some(transaction);
    }

    #[cfg(test)]
    pub(super) fn age(&mut self, by: std::time::Duration) {
        self.transaction.as_mut().unwrap().age(by);
    }

    async fn door(&mut self, connection: &mut PgConnection, collection: &str) -> Done<Door> {
        if let Some(door) = self.doors.get(collection) {
            return Ok(door.clone());
        }
        // Somebody has dropped it a moment ago: whoever looks again makes it known, or knows that it is gone.
        let forgotten = |fault: Fault| match fault.code {
            None => Fault { class: FaultClass::Transient, ..fault },
            Some(_) => fault,
        };
        let schema = collections::schema_of(connection, collection).await.map_err(forgotten)?;
        let seed: i64 = sqlx::query_scalar(sql::SEED).fetch_one(connection).await.map_err(on("reading"))?;
        let door = Door { collection: collection.to_owned(), schema, seed: seed as u64 };
        self.doors.insert(collection.to_owned(), door.clone());
        Ok(door)
    }

    /// False if it was ended early: then there is more on the line.
    async fn copy_out(
        &mut self,
        connection: &mut PgConnection,
        door: &Door,
        range: &IdRange,
        each: &mut (dyn FnMut(Vec<Edition>) -> bool + Send),
    ) -> Done<bool> {
        let failed = on("scanning");
        let settings = sqlx::query(sql::SCAN_SETTINGS)
            .bind(&door.collection)
            .bind(range.from.as_deref())
            .bind(range.until.as_deref());
        settings.execute(&mut *connection).await.map_err(&failed)?;
        let mut stream = connection.copy_out_raw(sql::SCAN).await.map_err(&failed)?;
        let mut decoder = Decoder::<COLUMNS>::default();
        let (mut editions, mut bytes) = (Vec::new(), 0);
        while let Some(piece) = std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await {
            let piece = piece.map_err(&failed)?;
            bytes += piece.len();
            let mut is_whole = true;
            let read = decoder.read(&piece, |fields| match door.admit(fields) {
                Ok(Ok(edition)) => editions.push(edition),
                Ok(Err(refused)) => self.refused.push(refused),
                Err(_) => is_whole = false,
            });
            if read.is_err() || !is_whole {
                return Err(broken());
            }
            if bytes >= SCAN_PIECE_BYTES {
                bytes = 0;
                if !each(std::mem::take(&mut editions)) {
                    return Ok(false);
                }
            }
        }
        drop(stream);
        if !decoder.is_complete() {
            return Err(fault(FaultClass::Transient, "scanning: the rows ended in the middle"));
        }
        // All has come: whatever is answered, the line is free.
        if !editions.is_empty() {
            each(editions);
        }
        Ok(true)
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

pub(super) async fn fetch(
    what: &'static str,
    query: Query<'_>,
    transaction: &mut Transaction,
) -> Done<Vec<PgRow>> {
    let max = transaction.call_max();
    within(max, what, async { query.fetch_all(transaction.connection()).await.map_err(on(what)) }).await
}

fn admit(door: &Door, row: &PgRow) -> Done<super::fetch::Admitted> {
    let mut fields = [None; COLUMNS];
    for (at, field) in fields.iter_mut().enumerate() {
        let value = row.try_get_raw(at).map_err(on("reading rows"))?;
        // An error here is a NULL.
        *field = value.as_bytes().ok();
    }
    door.admit(&fields).map_err(|_| broken())
}

fn broken() -> Fault {
    fault(FaultClass::Schema, "what came is no row of ours: the table is of another shape")
}

fn change(row: &PgRow) -> Done<Change> {
    let xid: String = get(row, 0)?;
    let xid = xid.parse().map_err(|_| broken())?;
    let head = head(row, 2)?;
    Ok(Change { key: ChangeKey { xid, collection: get(row, 1)?, id: head.id.to_string() }, head })
}

/// The columns id, ver, node, digest, deleted from `at` on.
pub(super) fn head(row: &PgRow, at: usize) -> Done<Head> {
    let id: &str = row.try_get(at).map_err(on("reading"))?;
    let digest: Option<i64> = get(row, at + 3)?;
    Ok(Head {
        id: ChunkId::from(id),
        ver: Ver(get(row, at + 1)?),
        node: get::<i64>(row, at + 2)? as u64,
        digest: digest.map(|digest| digest as u64),
        is_deleted: get(row, at + 4)?,
    })
}

fn fingerprint(row: &PgRow) -> Done<Fingerprint> {
    let sum: String = get(row, 2)?;
    // There digests are signed; modulo 2^64 that makes no difference.
    let sum = sum.parse::<i128>().map_err(|_| broken())? as u64;
    Ok(Fingerprint { rows: get::<i64>(row, 0)?.unsigned_abs(), xor: get::<i64>(row, 1)? as u64, sum })
}

fn take_out(head: &Head, ranges: &[IdRange], prints: &mut [Fingerprint]) {
    let digest = head.digest.unwrap_or_default();
    let is_inside = |range: &IdRange| {
        range.from.as_deref().is_none_or(|from| head.id.as_str() >= from)
            && range.until.as_deref().is_none_or(|until| head.id.as_str() < until)
    };
    for (range, print) in ranges.iter().zip(prints) {
        if is_inside(range) {
            print.rows = print.rows.saturating_sub(1);
            print.xor ^= digest ^ head.ver.0 as u64;
            print.sum = print.sum.wrapping_sub(digest);
        }
    }
}

pub(super) fn get<T>(row: &PgRow, at: usize) -> Done<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(at).map_err(on("reading"))
}
