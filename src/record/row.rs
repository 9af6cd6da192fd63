//! The row: one admitted, canonical version of one chunk.
//!
//! Invariant: `payload` is `None` when it would say nothing. Millions of rows hold an id and a vector only.

use super::canonical::{self, Map};
use super::chunk::Chunk;
use super::format::RowRef;
use crate::ids::ChunkId;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: ChunkId,
    /// As given, bit for bit; `None` while the chunk waits for it.
    pub(crate) vector: Option<Vec<f32>>,
    pub(crate) payload: Option<Box<Payload>>,
}

/// Everything but id and vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Payload {
    pub(crate) text: Option<Box<str>>,
    /// Canonical JSON; empty, not `{}`, when there is none: an empty box costs nothing.
    pub(crate) metadata: Box<str>,
    /// Shared, because one document has many chunks: the engine interns it, and the two below.
    pub(crate) document: Option<Arc<str>>,
    pub(crate) chunk_index: u32,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) embedding_model: Option<Arc<str>>,
}

impl Row {
    /// Bytes that it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let vector = self.vector.as_ref().map_or(0, |v| v.len() * size_of::<f32>());
        self.id.len() + vector + self.payload.as_ref().map_or(0, |p| p.heap_bytes())
    }
}

#[cfg(test)]
impl Row {
    pub(crate) fn to_chunk(&self) -> Chunk {
        RowRef::of(self.id.as_str(), self.payload.as_deref(), crate::ids::Ver(0))
            .to_chunk(self.vector.clone())
    }
}

impl RowRef<'_> {
    /// The chunk that reads as this row. Its metadata is equal, not identical: `1.0` came in, `1` goes out.
    pub(crate) fn to_chunk(self, vector: Option<Vec<f32>>) -> Chunk {
        Chunk {
            id: self.id.to_owned(),
            vector,
            text: self.text.map(str::to_owned),
            document_id: self.document.map(str::to_owned),
            chunk_index: self.chunk_index,
            metadata: self.metadata_map(),
            tenant: self.tenant.map(str::to_owned),
            embedding_model: self.embedding_model.map(str::to_owned),
        }
    }

    /// The metadata as an object.
    pub(crate) fn metadata_map(&self) -> Map {
        // Canonical text always parses; whoever read it from a disk has checked its checksum.
        if self.metadata.is_empty() {
            Map::new()
        } else {
            canonical::parse(self.metadata).unwrap_or_default()
        }
    }
}

impl Payload {
    /// The same, boxed, unless it says nothing.
    pub(crate) fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }

    /// The metadata as an object.
    pub(crate) fn metadata_map(&self) -> Map {
        // Canonical text always parses; whoever read it from a disk has checked its checksum.
        canonical::parse(self.metadata_json()).unwrap_or_default()
    }

    /// The metadata as JSON text, `{}` when there is none: what goes to Postgres and into the digest.
    pub(crate) fn metadata_json(&self) -> &str {
        if self.metadata.is_empty() { "{}" } else { &self.metadata }
    }

    /// Bytes on the heap, beyond the value itself. Shared strings count in full: an upper bound that is the same at
    /// insert and at drop, whoever else holds them.
    pub(crate) fn heap_bytes(&self) -> usize {
        // An `Arc<str>` keeps two counters before its bytes.
        let shared = [&self.document, &self.tenant, &self.embedding_model];
        let shared_bytes: usize =
            shared.into_iter().flatten().map(|s| s.len() + 2 * size_of::<usize>()).sum();
        self.text.as_ref().map_or(0, |t| t.len()) + self.metadata.len() + shared_bytes
    }
}
