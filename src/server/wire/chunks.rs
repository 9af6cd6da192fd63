//! Chunks, in and out.

use super::super::request_id::uuid_v7;
use super::{FilterSchema, Object, whole};
use crate::record::maybe_floats;
use crate::{Chunk, Filter, RowResult};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A chunk to store. What has the id of another replaces it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewChunk {
    /// 1 to 512 bytes. One is made if there is none.
    pub(crate) id: Option<String>,
    /// As long as the collection is wide.
    #[serde(default, deserialize_with = "maybe_floats")]
    pub(crate) vector: Option<Vec<f32>>,
    /// The same as base64 of little-endian 32-bit floats.
    pub(crate) vector_b64: Option<String>,
    /// A chunk with a text and no vector is stored and waits for its vector.
    pub(crate) text: Option<String>,
    pub(crate) document_id: Option<String>,
    /// Its place in the document.
    #[serde(default, deserialize_with = "whole::maybe")]
    #[schema(maximum = 4294967295u64)]
    pub(crate) chunk_index: Option<u32>,
    /// What filters look at.
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<Map<String, Value>>,
    pub(crate) tenant: Option<String>,
    pub(crate) embedding_model: Option<String>,
}

impl NewChunk {
    /// The chunk, named; or why it cannot be one.
    pub(crate) fn chunk(self) -> Result<Chunk, (String, String)> {
        let id = self.id.unwrap_or_else(uuid_v7);
        let vector = match (self.vector, self.vector_b64) {
            (Some(_), Some(_)) => return Err((id, "both vector and vector_b64; send one".to_owned())),
            (vector, None) => vector,
            (None, Some(text)) => match floats(&text) {
                Ok(vector) => Some(vector),
                Err(why) => return Err((id, why)),
            },
        };
        Ok(Chunk {
            id,
            vector,
            text: self.text,
            document_id: self.document_id,
            chunk_index: self.chunk_index.unwrap_or(0),
            metadata: self.metadata.unwrap_or_default(),
            tenant: self.tenant,
            embedding_model: self.embedding_model,
        })
    }
}

/// Reads base64 of little-endian 32-bit floats.
pub(crate) fn floats(text: &str) -> Result<Vec<f32>, String> {
    let bytes = BASE64_STANDARD.decode(text).map_err(|e| format!("vector_b64 is no base64: {e}"))?;
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        let len = bytes.len();
        return Err(format!("vector_b64 has {len} bytes; 32-bit floats have four each"));
    }
    Ok(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DurabilityName {
    Buffered,
    Durable,
    Mirrored,
}

/// Chunks to store.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpsertBody {
    #[schema(max_items = 1000, value_type = Vec<NewChunk>)]
    pub(crate) chunks: Vec<Object<NewChunk>>,
    /// Not less than the server's own.
    pub(crate) durability: Option<DurabilityName>,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RowStatus {
    Ok,
    Rejected,
}

/// What became of a chunk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RowBody {
    pub(crate) id: String,
    pub(crate) status: RowStatus,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) reason: Option<String>,
}

impl From<RowResult> for RowBody {
    fn from(RowResult { id, rejected }: RowResult) -> Self {
        let status = if rejected.is_none() { RowStatus::Ok } else { RowStatus::Rejected };
        Self { id: id.to_string(), status, reason: rejected }
    }
}

/// What became of chunks, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpsertAnswer {
    pub(crate) results: Vec<RowBody>,
    pub(crate) upserted: usize,
    pub(crate) rejected: usize,
    /// The state that holds them.
    pub(crate) token: String,
}

/// A line that answers a line of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LineBody {
    /// The line's number, from 1.
    pub(crate) line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) id: Option<String>,
    pub(crate) status: RowStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) reason: Option<String>,
}

/// The last line that answers a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastLine {
    pub(crate) upserted: u64,
    pub(crate) rejected: u64,
    /// The state that holds what was stored.
    pub(crate) token: String,
}

/// A chunk.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChunkBody {
    pub(crate) id: String,
    /// Where asked for, and where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) vector: Option<Vec<f32>>,
    pub(crate) text: Option<String>,
    pub(crate) document_id: Option<String>,
    pub(crate) chunk_index: u32,
    #[schema(value_type = Object)]
    pub(crate) metadata: Map<String, Value>,
    pub(crate) tenant: Option<String>,
    pub(crate) embedding_model: Option<String>,
}

impl ChunkBody {
    pub(crate) fn of(chunk: Chunk, with_vector: bool) -> Self {
        let Chunk { id, vector, text, document_id, chunk_index, metadata, tenant, embedding_model } = chunk;
        let vector = vector.filter(|_| with_vector);
        Self { id, vector, text, document_id, chunk_index, metadata, tenant, embedding_model }
    }

    /// Bytes that it takes in an answer, about.
    pub(crate) fn bytes(&self) -> usize {
        // Metadata are at most 64 KiB; few have more than some hundred bytes.
        let text = self.text.as_ref().map_or(0, String::len);
        let metadata: usize = self.metadata.iter().map(|(key, value)| key.len() + value_bytes(value)).sum();
        256 + text + metadata + self.vector.as_ref().map_or(0, |vector| vector.len() * 10)
    }
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(value_bytes).sum(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + value_bytes(value)).sum(),
        _ => 16,
    }
}

/// What a chunk can be asked for beside its text and metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChunkPart {
    Vector,
}

/// Chunks to look up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetBody {
    #[schema(max_items = 1000)]
    pub(crate) ids: Vec<String>,
    pub(crate) include: Option<Vec<ChunkPart>>,
    /// Only this tenant's.
    pub(crate) tenant: Option<String>,
}

/// Chunks that are there, and ids that are not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GetAnswer {
    pub(crate) chunks: Vec<ChunkBody>,
    pub(crate) missing: Vec<String>,
}

/// A page of chunks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PageAnswer {
    pub(crate) chunks: Vec<ChunkBody>,
    /// Where the next page starts; null after the last.
    pub(crate) next_cursor: Option<String>,
}

/// Which chunks to delete: exactly one of `ids`, `document_id` and `filter`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteBody {
    #[schema(max_items = 1000)]
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) document_id: Option<String>,
    #[schema(value_type = Option<FilterSchema>)]
    pub(crate) filter: Option<Filter>,
    /// Only this tenant's.
    pub(crate) tenant: Option<String>,
}

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeleteAnswer {
    pub(crate) deleted: usize,
    /// The state without them.
    pub(crate) token: String,
}

/// Which chunks to count.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountBody {
    #[schema(value_type = Option<FilterSchema>)]
    pub(crate) filter: Option<Filter>,
    pub(crate) tenant: Option<String>,
}

/// How many there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountAnswer {
    pub(crate) count: usize,
}
