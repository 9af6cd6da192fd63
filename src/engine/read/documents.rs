//! Documents of a collection: which there are, in numbers, and where their chunks stand.
//!
//! A list of documents looks at the name of every one, under the lock that writers of new documents need: it is for people.

use crate::engine::collection::Collection;
use crate::engine::view::View;
use crate::error::Result;
use crate::ids::Slot;
use crate::record::Chunk;
use serde::Serialize;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

/// A document in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DocumentStats {
    /// Its id.
    pub document_id: String,
    /// Its chunks.
    pub chunks: usize,
    /// Those of them that have a vector.
    pub vectors: usize,
    /// Characters of their texts.
    pub text_chars: usize,
    /// Models that made the vectors.
    pub embedding_models: BTreeSet<String>,
}

/// A chunk of a document, without its vector, and what the store knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedChunk {
    /// The chunk.
    pub chunk: Chunk,
    /// Its place in the index. A chunk that is written again gets another one.
    pub slot: u32,
    /// When this version was written, by the clock of whoever wrote it.
    pub written_unix_ms: u64,
    /// The mirror's database has this version.
    pub mirrored: bool,
}

impl Collection {
    /// Documents with an id after `after`, by id, at most `limit`, each in numbers.
    pub fn documents(&self, after: Option<&str>, limit: usize) -> Result<Vec<DocumentStats>> {
        self.ready()?;
        let view = self.inner().view.load_full();
        let mut first: BinaryHeap<Arc<str>> = BinaryHeap::with_capacity(limit.min(1 << 16) + 1);
        for (name, slots) in &self.inner().members().documents {
            let is_later = after.is_none_or(|after| **name > *after);
            let is_among = first.len() < limit || first.peek().is_some_and(|last| name < last);
            if limit > 0 && is_later && is_among && slots.iter().any(|slot| self.has(&view, Slot(slot))) {
                first.push(name.clone());
                if first.len() > limit {
                    first.pop();
                }
            }
        }
        let names = first.into_sorted_vec();
        Ok(names.into_iter().map(|name| self.document_stats(&view, &name)).collect())
    }

    /// How many documents have a chunk.
    pub fn documents_len(&self) -> Result<usize> {
        self.ready()?;
        let view = self.inner().view.load_full();
        let members = self.inner().members();
        let exists = |slots: &&roaring::RoaringBitmap| slots.iter().any(|slot| self.has(&view, Slot(slot)));
        Ok(members.documents.values().filter(exists).count())
    }

    /// The chunks of a document in their order, without vectors. Damaged ones are not among them.
    pub fn document_places(&self, document_id: &str) -> Result<Vec<PlacedChunk>> {
        self.ready()?;
        let (view, marks) = self.inner().marked_view();
        let is_attached = self.inner().line.tie().is_attached();
        let slots = self.inner().document_slots(&view, document_id, self.tenant_name());
        let dirty: BTreeSet<Slot> = slots.iter().copied().filter(|slot| marks.is_dirty(*slot)).collect();
        drop(marks);
        let place = |slot: Slot| {
            let row = view.tables.rows.get(slot)?;
            // A version holds milliseconds above sixteen bits that count.
            let written_unix_ms = (row.ver.0 >> 16).max(0) as u64;
            let mirrored = is_attached && !dirty.contains(&slot);
            Some(PlacedChunk { chunk: row.to_chunk(None), slot: slot.0, written_unix_ms, mirrored })
        };
        let mut chunks: Vec<PlacedChunk> = slots.into_iter().filter_map(place).collect();
        chunks.sort_by_key(|placed| placed.chunk.chunk_index);
        Ok(chunks)
    }

    fn has(&self, view: &View, slot: Slot) -> bool {
        view.live.contains(slot)
            && self.tenant_name().is_none_or(|tenant| view.tables.rows.tenant(slot) == Some(tenant))
    }

    fn document_stats(&self, view: &View, name: &str) -> DocumentStats {
        let mut stats = DocumentStats { document_id: name.to_owned(), ..DocumentStats::default() };
        for slot in self.inner().document_slots(view, name, self.tenant_name()) {
            stats.chunks += 1;
            stats.vectors += usize::from(view.ready.contains(slot));
            let Some(row) = view.tables.rows.get(slot) else { continue };
            stats.text_chars += row.text.map_or(0, |text| text.chars().count());
            if let Some(model) = row.embedding_model
                && !stats.embedding_models.contains(model)
            {
                stats.embedding_models.insert(model.to_owned());
            }
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use crate::{Chunk, Metric, Schema, Store};

    #[test]
    fn documents_are_listed_by_id_page_by_page_while_they_have_chunks() {
        let store = Store::memory();
        let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
        let chunk = |document: u32, index: u32| {
            let chunk = Chunk::new(format!("{document}-{index}")).document(format!("d{document}"), index);
            chunk.text("caf\u{e9}").tenant(if document.is_multiple_of(2) { "even" } else { "odd" })
        };
        docs.upsert((0..5).flat_map(|d| (0..=d).map(move |i| (d, i))).map(|(d, i)| chunk(d, i))).unwrap();
        docs.upsert([chunk(4, 0).vector([1.0, 2.0]).embedding_model("m")]).unwrap();
        docs.delete_document("d3").unwrap();
        let ids = |after: Option<&str>, limit| {
            let page = docs.documents(after, limit).unwrap();
            page.into_iter().map(|stats| stats.document_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(None, 10), ["d0", "d1", "d2", "d4"]);
        assert_eq!(ids(None, 2), ["d0", "d1"]);
        assert_eq!(ids(Some("d1"), 2), ["d2", "d4"]);
        assert_eq!(ids(Some("d4"), 2), Vec::<String>::new());
        assert_eq!(ids(None, 0), Vec::<String>::new());
        assert_eq!(docs.documents_len().unwrap(), 4);
        let last = docs.documents(Some("d2"), 1).unwrap().remove(0);
        assert_eq!((last.chunks, last.vectors, last.text_chars), (5, 1, 20));
        assert_eq!(last.embedding_models.into_iter().collect::<Vec<_>>(), ["m"]);
        let even = docs.tenant("even");
        assert_eq!(even.documents_len().unwrap(), 3);
        assert!(even.documents(None, 9).unwrap().iter().all(|stats| stats.document_id != "d1"));
        let placed = docs.document_places("d4").unwrap();
        assert_eq!(placed.iter().map(|p| p.chunk.chunk_index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(placed.iter().all(|p| !p.mirrored && p.written_unix_ms > 1_600_000_000_000));
    }
}
