//! Postgres as the other side of the mirror: the only SQL there is.
//!
//! Owns: how a URL becomes few, guarded lines (`connect`, `line`), what the tables are (`schema`, `migrations/`), every
//! statement (`sql`), the binary form of rows (`binary`, `fetch`), and what an error means (`fault`).
//!
//! Invariants: every call ends by a deadline; a call that failed leaves no line behind; no statement is put together from
//! what a user gave; a row that comes in is admitted at the door like any other.
//!
//! Does not know: the engine, when to push or to read, and what to do about a fault.

mod binary;
mod collections;
mod connect;
mod fault;
mod fetch;
mod floor;
mod index;
mod line;
mod look;
mod nearest;
mod push;
mod read;
mod schema;
mod settings;
mod sql;
mod start;
mod tend;
#[cfg(test)]
mod tests;

use crate::ids::{ChunkId, Ver};
use crate::mirror::remote::{Database, Done, NodeId, NodeMark, Pushed, Remote, RemoteCollection, Snapshot};
pub(crate) use crate::mirror::{DatabaseIndex, DatabaseOptions as Settings, Migrate};
use crate::record::{Edition, Head};
pub(crate) use floor::floor;
use line::{Lines, within};
pub(crate) use read::View;
use std::sync::Arc;

/// A database, not connected until the first call.
#[derive(Debug)]
pub(crate) struct Postgres {
    settings: Settings,
    lines: Arc<Lines>,
}

impl Postgres {
    /// Refuses settings that cannot work, with the part that is wrong.
    pub(crate) fn new(settings: Settings) -> Done<Self> {
        let lines = Lines::new(&settings)?;
        Ok(Self { settings, lines })
    }
}

impl Remote for Postgres {
    type Reading = View;

    async fn look(&self, node: NodeId) -> Done<Database> {
        within(self.lines.call_max(), "looking who answers", look::look(&self.lines, &self.settings, node))
            .await
    }

    async fn collections(&self) -> Done<Vec<RemoteCollection>> {
        within(self.lines.call_max(), "listing collections", collections::all(&self.lines)).await
    }

    async fn declare(&self, collection: &RemoteCollection) -> Done<()> {
        within(self.lines.call_max(), "declaring a collection", collections::declare(&self.lines, collection))
            .await
    }

    async fn undeclare(&self, collection: &str) -> Done<bool> {
        let forget = collections::undeclare(&self.lines, collection);
        within(self.lines.call_max(), "dropping a collection", forget).await
    }

    async fn index(&self, collection: &RemoteCollection) -> Done<()> {
        index::ensure(&self.lines, self.settings.database_index, collection).await.map(drop)
    }

    async fn push(&self, collection: &str, batch: &[Edition], mark: NodeMark) -> Done<Vec<Pushed>> {
        within(self.lines.call_max(), "pushing", push::push(&self.lines, collection, batch, mark)).await
    }

    async fn held(&self, collection: &str, ids: &[ChunkId]) -> Done<Vec<ChunkId>> {
        within(self.lines.call_max(), "looking who holds rows", tend::held(&self.lines, collection, ids))
            .await
    }

    async fn read(&self) -> Done<View> {
        within(self.lines.call_max(), "beginning to read", read::begin(&self.lines)).await
    }

    async fn stamp(&self, collection: &str, heads: &[Head]) -> Done<Vec<Head>> {
        within(self.lines.call_max(), "stamping", tend::stamp(&self.lines, collection, heads)).await
    }

    async fn seen(&self, node: NodeId, snapshot: &Snapshot) -> Done<()> {
        within(self.lines.call_max(), "noting what was seen", tend::seen(&self.lines, node, snapshot)).await
    }

    async fn collect(&self, before: Ver) -> Done<u64> {
        within(
            self.lines.call_max(),
            "collecting deletions",
            tend::collect(&self.lines, before, self.settings.node_days),
        )
        .await
    }

    fn hang_up(&self) {
        self.lines.hang_up();
    }
}
