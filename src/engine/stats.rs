//! Counts and bytes of a collection.

use super::inner::Inner;
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
    /// Documents that have, or had, a chunk.
    pub documents: usize,
    /// Tenants that have, or had, a chunk.
    pub tenants: usize,
    /// Memory by component.
    pub bytes: Bytes,
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
}

impl Bytes {
    /// Name and bytes of each component.
    pub fn components(&self) -> Vec<(&'static str, usize)> {
        let Self { vectors, codes, links, ids, payload, fields, sets } = *self;
        vec![
            ("vectors", vectors),
            ("codes", codes),
            ("links", links),
            ("ids", ids),
            ("payload", payload),
            ("fields", fields),
            ("sets", sets),
        ]
    }

    /// All together.
    pub fn total(&self) -> usize {
        self.components().iter().map(|(_, bytes)| bytes).sum()
    }
}

impl Stats {
    pub(super) fn of(inner: &Inner) -> Self {
        let dead = inner.dead.load(Ordering::Relaxed);
        let view = inner.view.load_full();
        let members = inner.members.read();
        let tables = &view.tables;
        let slots: usize = (0..tables.vectors.blocks()).map(|b| tables.vectors.rows_in(b)).sum();
        let (mut long_ids, mut payload) = (0, 0);
        for (id, rest) in view.live.iter().map(|slot| tables.rows.heap_bytes(slot)) {
            long_ids += id;
            payload += rest;
        }
        let members_bytes: usize =
            members.documents.values().chain(members.tenants.values()).map(|set| set.serialized_size()).sum();
        let bytes = Bytes {
            vectors: tables.vectors.bytes(),
            codes: tables.codes.bytes(),
            links: inner.graph.bytes(slots),
            ids: tables.rows.bytes(slots) + long_ids + inner.ids.read().bytes(),
            payload,
            fields: tables.fields.iter().map(|f| f.read().heap_bytes()).sum(),
            sets: view.live.bytes() + view.ready.bytes() + members_bytes + inner.filters.bytes(),
        };
        Self {
            rows: view.live.len(),
            pending: view.live.len() - view.ready.len(),
            tail: view.tail.len(),
            dead,
            documents: members.documents.len(),
            tenants: members.tenants.len(),
            bytes,
        }
    }
}
