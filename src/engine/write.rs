//! Upserts and deletes: validate, append, publish, link.

use super::inner::{Inner, Members, Writer};
use super::rows::StoredRow;
use super::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{ChunkId, Seq, Slot};
use crate::record::{Chunk, Payload, Row, admit};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows that are linked before the tail is published anew.
const LINK_ROWS: usize = 4096;

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
}

impl Inner {
    /// Stores all chunks that can be stored, at one seq.
    pub(super) fn upsert(&self, chunks: impl Iterator<Item = Chunk>, tenant: Option<&str>) -> Result<Ack> {
        self.ensure_open()?;
        let cosine = self.schema.metric == crate::config::Metric::Cosine;
        let mut results = Vec::new();
        let mut rows = Vec::new();
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
        let mut writer = self.writer.lock();
        self.ensure_open()?;
        if let Some(tenant) = tenant {
            self.refuse_foreign(tenant, &mut rows, &mut results);
        }
        let upserted = rows.len();
        let (view, new) = self.append(&mut writer, rows)?;
        let seq = view.seq;
        drop(writer);
        self.link_rows(&new);
        self.maintain(new.len());
        let rejected = results.len() - upserted;
        Ok(Ack { token: Token { incarnation: 0, seq }, results, upserted, rejected })
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

    /// A tenant's handle never replaces a row of another tenant.
    fn refuse_foreign(&self, tenant: &str, rows: &mut Vec<(usize, Row)>, results: &mut [RowResult]) {
        let view = self.view.load();
        let ids = self.ids.read();
        rows.retain(|(at, row)| {
            let held = ids.get(&view.tables.rows, &row.id);
            let foreign = held.is_some_and(|slot| view.tables.rows.tenant(slot) != Some(tenant));
            if foreign {
                results[*at].rejected = Some("the id is taken outside this tenant; use another".into());
            }
            !foreign
        });
    }

    /// Writes the rows and publishes the view that shows them. Returns the slots that are to be linked.
    fn append(&self, writer: &mut Writer, rows: Vec<(usize, Row)>) -> Result<(Arc<View>, Vec<Slot>)> {
        let mut view = View::clone(&self.view.load());
        self.train_first(writer, &mut view, &rows);
        let (mut added, mut removed, mut ready) = (Vec::new(), Vec::new(), Vec::new());
        for (_, row) in rows {
            if view.tables.vectors.is_full() {
                self.grow(&mut view)?;
            }
            let tables = &view.tables;
            let slot = tables.vectors.push(row.vector.as_deref())?;
            tables.codes.push(row.vector.as_deref(), &mut writer.work)?;
            if row.vector.is_some() {
                ready.push(slot);
            }
            self.put_payload(&view, slot, row)?;
            added.push(slot);
        }
        // Held until the view is published: who reads an id under the lock finds its row in the view.
        let mut ids = self.ids.write();
        removed.extend(added.iter().filter_map(|slot| ids.put(&view.tables.rows, *slot)));
        // An id that came twice in the batch: the first row was never visible.
        view.live = view.live.with(&added, &removed);
        view.ready = view.ready.with(&ready, &removed);
        ready.retain(|s| view.ready.contains(*s));
        // A row that waits to be linked may have been replaced.
        let waiting = view.tail.iter().copied().filter(|s| view.ready.contains(*s));
        view.tail = waiting.chain(ready.iter().copied()).collect();
        writer.dead += removed.len();
        let view = self.publish(view);
        drop(ids);
        Ok((view, ready))
    }

    /// Writes id and payload, and puts the slot into the sets of its fields, document and tenant.
    fn put_payload(&self, view: &View, slot: Slot, row: Row) -> Result<()> {
        let mut payload = row.payload;
        let metadata = payload.as_ref().map(|p| p.metadata_map()).unwrap_or_default();
        if let Some(fields) = view.tables.fields.get(slot.block().index()) {
            fields.write().insert(slot.index() as u16, &metadata);
        }
        if let Some(payload) = &mut payload {
            self.members.write().put(slot, payload);
        }
        view.tables.rows.put(slot, StoredRow { id: row.id, payload })
    }

    /// Adds a block to every table.
    fn grow(&self, view: &mut View) -> Result<()> {
        let tables = &view.tables;
        let slots = self.block_slots();
        if tables.vectors.blocks() > usize::from(u16::MAX) {
            let full = "the collection has used all of its 4 billion slots; create a new one and import this one into it";
            return Err(Error::new(ErrorKind::Full, full));
        }
        if let Some(last) = tables.fields.last() {
            last.write().freeze();
        }
        let mut grown = tables.as_ref().clone();
        grown.codes = tables.codes.with_block(slots)?;
        grown.vectors = tables.vectors.with_block(slots)?;
        grown.rows = tables.rows.with_block();
        grown.fields.push(Arc::default());
        self.graph.grow(slots)?;
        view.tables = Arc::new(grown);
        Ok(())
    }

    /// Makes `view` the one that searches see, at a new seq.
    fn publish(&self, mut view: View) -> Arc<View> {
        view.seq = Seq(self.seq.fetch_add(1, Ordering::AcqRel) + 1);
        let view = Arc::new(view);
        self.view.store(view.clone());
        view
    }

    /// Links rows, then takes them out of the tail.
    fn link_rows(&self, slots: &[Slot]) {
        for part in slots.chunks(LINK_ROWS) {
            let next = AtomicUsize::new(0);
            let worker = || {
                let _linking = self.linking.read();
                let view = self.view.load_full();
                self.with_scratch(|scratch| {
                    while let Some(&slot) = part.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.graph.link(view.space(), &view.ready, slot, scratch);
                    }
                });
            };
            let helpers = self.options.build_threads.min(part.len() / 16 + 1) - 1;
            std::thread::scope(|scope| {
                for _ in 0..helpers {
                    // A thread that cannot be had leaves its share to the others.
                    let _ =
                        std::thread::Builder::new().name("nearfield-link".into()).spawn_scoped(scope, worker);
                }
                worker();
            });
            let mut writer = self.writer.lock();
            let mut view = View::clone(&self.view.load());
            let linked: std::collections::HashSet<Slot> = part.iter().copied().collect();
            view.tail = view.tail.iter().copied().filter(|s| !linked.contains(s)).collect();
            view.linked += part.len();
            writer.unmended += part.len();
            // The same rows as before, found another way: not a commit.
            self.view.store(Arc::new(view));
        }
    }

    /// Removes rows and publishes. The caller has checked that they may go.
    pub(super) fn delete_where(&self, choose: impl FnOnce(&View) -> Vec<Slot>) -> Result<(usize, Token)> {
        self.ensure_open()?;
        let mut writer = self.writer.lock();
        let mut view = View::clone(&self.view.load());
        let removed: Vec<Slot> = choose(&view).into_iter().filter(|s| view.live.contains(*s)).collect();
        // As in `append`.
        let mut ids = self.ids.write();
        for slot in &removed {
            ids.remove(&view.tables.rows, view.tables.rows.id(*slot));
        }
        let before = view.live.len();
        view.live = view.live.with(&[], &removed);
        view.ready = view.ready.with(&[], &removed);
        let deleted = before - view.live.len();
        if deleted == 0 {
            return Ok((0, Token { incarnation: 0, seq: view.seq }));
        }
        view.tail = view.tail.iter().copied().filter(|s| view.ready.contains(*s)).collect();
        writer.dead += deleted;
        let seq = self.publish(view).seq;
        drop(ids);
        drop(writer);
        self.maintain(deleted);
        Ok((deleted, Token { incarnation: 0, seq }))
    }
}

impl Members {
    /// Puts the slot into its sets, and shares the names.
    fn put(&mut self, slot: Slot, payload: &mut Payload) {
        if let Some(document) = &mut payload.document {
            intern(&mut self.documents, document).insert(slot.0);
        }
        if let Some(tenant) = &mut payload.tenant {
            intern(&mut self.tenants, tenant).insert(slot.0);
        }
        if let Some(model) = &mut payload.embedding_model {
            intern(&mut self.models, model);
        }
    }
}

/// The value under `name`, after pointing `name` at the copy that the map holds.
fn intern<'m, V: Default>(map: &'m mut HashMap<Arc<str>, V>, name: &mut Arc<str>) -> &'m mut V {
    if let Some((held, _)) = map.get_key_value(name) {
        *name = held.clone();
    }
    map.entry(name.clone()).or_default()
}
