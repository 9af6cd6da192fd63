//! Counts and bytes of a collection.

use super::inner::Inner;
use super::store::Shared;
use super::write::upsert::Token;
use crate::metrics::Times;
use serde::Serialize;
use std::sync::atomic::Ordering;

/// A collection in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Chunks that exist.
    pub rows: usize,
    /// Those of them that have no vector yet.
    pub pending: usize,
    /// Chunks with a vector that wait to be linked; every search compares them.
    pub tail: usize,
    /// Deleted and replaced rows that the graph may still walk over.
    pub dead: usize,
    /// Chunks that exist and cannot be read: damaged, and not written again since. While there are any, answers say that they
    /// are degraded.
    pub missing: usize,
    /// Chunks that the mirror's database has not acknowledged; 0 without a mirror.
    pub dirty: usize,
    /// Deletions that it has not acknowledged.
    pub graves: usize,
    /// Documents that have, or had, a chunk.
    pub documents: usize,
    /// Tenants that have, or had, a chunk.
    pub tenants: usize,
    /// The text index.
    pub text: TextStats,
    /// Memory by component.
    pub bytes: Bytes,
}

/// The text index of a collection in numbers; all 0 without one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TextStats {
    /// Texts in it. Deleted ones count until their block is reclaimed.
    pub documents: usize,
    /// Parts that are made once and merged now and then.
    pub segments: usize,
    /// Texts that stand in no segment yet; every search looks at them.
    pub tail: usize,
    /// Chunks whose words nobody has looked up yet. A search looks up some thousand; with more, its answer says that the text leg is
    /// degraded.
    pub lag: usize,
    /// Bytes of its files, and of what will be.
    pub file_bytes: u64,
    /// Why a part of it was thrown away, or could not be made, the last time.
    pub trouble: Option<String>,
}

/// Resident memory in bytes, by component. Deleted rows count until their block is reclaimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Full-precision rows.
    pub vectors: usize,
    /// Quantized rows.
    pub codes: usize,
    /// Lists of the graph.
    pub links: usize,
    /// Ids and the table that finds them.
    pub ids: usize,
    /// Text, metadata and names.
    pub payload: usize,
    /// Field indexes.
    pub fields: usize,
    /// Sets of slots and evaluated filters.
    pub sets: usize,
    /// Words.
    pub text: usize,
}

impl Bytes {
    /// Name and bytes of each component.
    pub fn components(&self) -> Vec<(&'static str, usize)> {
        let Self { vectors, codes, links, ids, payload, fields, sets, text } = *self;
        vec![
            ("vectors", vectors),
            ("codes", codes),
            ("links", links),
            ("ids", ids),
            ("payload", payload),
            ("fields", fields),
            ("sets", sets),
            ("text", text),
        ]
    }

    /// All together.
    pub fn total(&self) -> usize {
        self.components().iter().map(|(_, bytes)| bytes).sum()
    }
}

/// A store in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreStats {
    /// The last commit.
    pub token: Token,
    /// Commits written to the log since the store was opened, and the groups and syncs they took.
    pub log: LogStats,
    /// Commits that were acknowledged once and are gone: the first and the last of each range.
    pub holes: Vec<(u64, u64)>,
    /// Files that were found damaged, each with the reason.
    pub damage: Vec<String>,
    /// Background work that failed the last time it was tried.
    pub failures: Vec<String>,
    /// What is worth knowing of the folder.
    pub warnings: Vec<String>,
    /// For each kind of background work that was done: how long it held what writes wait for. A write may have waited for
    /// less of it, never for more.
    pub pauses: Vec<(&'static str, Times)>,
}

/// What the log has done since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogStats {
    /// Commits written.
    pub commits: u64,
    /// Writes to the log; each holds one commit or more.
    pub groups: u64,
    /// Syncs.
    pub syncs: u64,
    /// New files after a failed sync.
    pub restarts: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Bytes of the log's files.
    pub bytes: u64,
}

impl StoreStats {
    pub(crate) fn of(shared: &Shared) -> Self {
        let health = shared.health.lock();
        let log = shared.line.with_log(|log| (log.counters(), log.bytes()));
        let log = log.map_or_else(LogStats::default, |(c, bytes)| LogStats {
            commits: c.commits,
            groups: c.groups,
            syncs: c.syncs,
            restarts: c.restarts,
            bytes_written: c.bytes,
            bytes,
        });
        Self {
            token: shared.line.token(),
            log,
            holes: health.holes.iter().map(|hole| (hole.first.0, hole.last.0)).collect(),
            damage: health.damage.clone(),
            failures: health.failures.iter().map(|(job, why)| format!("{job}: {why}")).collect(),
            pauses: shared.line.pauses.times(),
            warnings: shared.home.as_ref().map(|home| home.warnings.clone()).unwrap_or_default(),
        }
    }
}

impl Stats {
    pub(crate) fn of(inner: &Inner) -> Self {
        let dead = inner.dead.load(Ordering::Relaxed);
        let view = inner.view.load_full();
        let members = inner.members();
        let tables = &view.tables;
        let slots: usize = (0..tables.vectors.blocks()).map(|b| tables.vectors.rows_in(b)).sum();
        let (mut long_ids, mut payload) = (0, 0);
        for (id, rest) in tables.rows.heap_slots().map(|slot| tables.rows.heap_bytes(slot)) {
            long_ids += id;
            payload += rest;
        }
        let members_bytes: usize =
            members.documents.values().chain(members.tenants.values()).map(|set| set.serialized_size()).sum();
        let bytes = Bytes {
            vectors: tables.vectors.bytes(),
            codes: tables.codes.bytes(),
            links: inner.graph.bytes(slots),
            ids: tables.rows.bytes() + long_ids + inner.ids().bytes(),
            payload,
            fields: tables.fields.iter().map(|f| f.heap_bytes()).sum(),
            sets: view.live.bytes() + view.ready.bytes() + members_bytes + inner.filters.bytes(),
            text: 0,
        };
        let (text, text_bytes) = inner.words.stats(&view);
        let bytes = Bytes { text: text_bytes, ..bytes };
        let missing = inner.files.lock().missing.len();
        let marks = inner.marks();
        Self {
            rows: view.live.len(),
            pending: view.live.len() - view.ready.len(),
            tail: view.tail.len(),
            dead,
            missing,
            dirty: marks.rows_len(),
            graves: marks.dirty_graves_len(),
            documents: members.documents.len(),
            tenants: members.tenants.len(),
            text,
            bytes,
        }
    }
}
