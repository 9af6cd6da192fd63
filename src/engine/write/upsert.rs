//! Upserts and deletes: validate, commit, link.

use super::draft::{Change, Order, Pick};
use crate::engine::inner::Inner;
use crate::engine::tap::Applied;
use crate::error::{Error, Result};
use crate::ids::{ChunkId, Seq};
use crate::record::{Chunk, Row, admit};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A point in the life of a store. Later writes have greater tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token {
    /// Which opening of the data directory; 0 for a store in memory.
    pub incarnation: u64,
    /// The commit.
    pub seq: Seq,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.incarnation, self.seq)
    }
}

/// What became of one chunk of an upsert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowResult {
    /// The chunk's id.
    pub id: ChunkId,
    /// Why it was refused; `None` when it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ack {
    /// Searches that start from now on see this state, or a later one.
    pub token: Token,
    /// One for each chunk, in order.
    pub results: Vec<RowResult>,
    /// Chunks stored.
    pub upserted: usize,
    /// Chunks refused.
    pub rejected: usize,
    /// The mirror's database has them too: it was waited for, as [`Durability::Mirrored`](crate::Durability) demands.
    pub mirrored: bool,
}

/// What a commit has done.
pub(crate) struct Done {
    pub(crate) token: Token,
    /// Slots that died.
    pub(crate) removed: usize,
    /// Rows that were not stored: their places in the batch, and why.
    pub(crate) refused: Vec<(usize, &'static str)>,
    /// What became of versions from the database.
    pub(crate) applied: Applied,
}

impl Inner {
    /// Stores all chunks that can be stored, at one seq.
    pub(crate) fn upsert(
        self: &Arc<Self>,
        chunks: impl Iterator<Item = Chunk>,
        tenant: Option<&str>,
    ) -> Result<Ack> {
        self.ensure_open()?;
        let (results, rows) = self.admit_all(chunks, tenant);
        self.store_rows(results, rows.len(), self.order(Change::Upsert(rows), tenant))
    }

    /// Stores rows that were admitted and deletes those of these ids, at one seq: all of it is there afterwards, or nothing.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "imports are its user"))]
    pub(crate) fn exchange(self: &Arc<Self>, rows: Vec<Row>, gone: Vec<ChunkId>) -> Result<Ack> {
        self.ensure_open()?;
        let taken = |row: &Row| RowResult { id: row.id.clone(), rejected: None };
        let results: Vec<RowResult> = rows.iter().map(taken).collect();
        let rows = rows.into_iter().enumerate().collect();
        let admitted = results.len();
        self.store_rows(results, admitted, self.order(Change::Exchange(rows, gone), None))
    }

    /// The rows that the chunks are, each with its place, and what became of each chunk so far.
    pub(super) fn admit_all(
        &self,
        chunks: impl Iterator<Item = Chunk>,
        tenant: Option<&str>,
    ) -> (Vec<RowResult>, Vec<(usize, Row)>) {
        let cosine = self.schema.metric == crate::config::Metric::Cosine;
        let mut results = Vec::new();
        let mut rows: Vec<(usize, Row)> = Vec::new();
        for mut chunk in chunks {
            let id = ChunkId::from(chunk.id.as_str());
            let admitted = self.belongs(&mut chunk, tenant).and_then(|()| {
                admit(chunk, self.schema.dim, cosine)
                    .map_err(|rejection| Error::from(rejection).message().to_owned())
            });
            let rejected = match admitted {
                Ok(row) => {
                    rows.push((results.len(), row));
                    None
                }
                Err(reason) => Some(reason),
            };
            results.push(RowResult { id, rejected });
        }
        (results, rows)
    }

    /// Commits an order of `admitted` rows; what became of the chunks.
    pub(super) fn store_rows(
        self: &Arc<Self>,
        mut results: Vec<RowResult>,
        admitted: usize,
        order: Order,
    ) -> Result<Ack> {
        let done = self.line.commit(order)?;
        for (at, reason) in &done.refused {
            results[*at].rejected = Some((*reason).to_owned());
        }
        let upserted = admitted - done.refused.len();
        self.after_write(upserted);
        let mirrored = upserted > 0 && self.await_mirror(done.token)?;
        let rejected = results.len() - upserted;
        Ok(Ack { token: done.token, results, upserted, rejected, mirrored })
    }

    /// Deletes the picked rows; says how many there were.
    pub(crate) fn delete(self: &Arc<Self>, pick: Pick, tenant: Option<&str>) -> Result<(usize, Token)> {
        self.ensure_open()?;
        let done = self.line.commit(self.order(Change::Delete(pick), tenant))?;
        if done.removed > 0 {
            self.after_write(done.removed);
            self.await_mirror(done.token)?;
        }
        Ok((done.removed, done.token))
    }

    pub(crate) fn order(self: &Arc<Self>, change: Change, tenant: Option<&str>) -> Order {
        Order { collection: self.clone(), tenant: tenant.map(Box::from), change }
    }

    /// What a write pays for after its commit: with somebody in the background, its own linking where it is large or too
    /// much waits; else all of it.
    pub(crate) fn after_write(self: &Arc<Self>, rows: usize) {
        let Some(bell) = &self.background else {
            self.link_waiting(rows);
            return self.maintain(rows);
        };
        bell.ring();
        self.link_down_to(self.options.tail_rows_max, rows);
    }

    /// Gives the chunk the tenant of the handle, or says why it cannot be of it.
    fn belongs(&self, chunk: &mut Chunk, tenant: Option<&str>) -> Result<(), String> {
        match (tenant, chunk.tenant.as_deref()) {
            (Some(of_handle), None) => chunk.tenant = Some(of_handle.to_owned()),
            (Some(of_handle), Some(of_chunk)) if of_handle != of_chunk => {
                return Err(format!(
                    "the chunk is of tenant {of_chunk:?}, the handle of tenant {of_handle:?}"
                ));
            }
            (None, None) if self.schema.tenant_required => {
                return Err(
                    "the collection requires a tenant; set the chunk's or use collection.tenant(..)".into()
                );
            }
            _ => {}
        }
        Ok(())
    }
}
