//! Documents, as the hybrid-storage document names them.

use super::whole;
use crate::record::maybe_floats;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A document's id: numbers are taken as their digits.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum DocumentId {
    Number(i64),
    Text(String),
}

impl DocumentId {
    pub(crate) fn into_string(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl<'de> Deserialize<'de> for DocumentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            other => whole::given(other).map(Self::Number).map_err(D::Error::custom),
        }
    }
}

/// A chunk of a document. One of the same document and index is replaced.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SyncRow {
    pub(crate) document_id: DocumentId,
    #[serde(deserialize_with = "whole::given")]
    #[schema(maximum = 4294967295u64)]
    pub(crate) chunk_index: u32,
    pub(crate) text: String,
    /// Kept in the metadata.
    #[serde(default, deserialize_with = "whole::maybe")]
    pub(crate) faiss_index: Option<i64>,
    pub(crate) embedding_model: Option<String>,
    /// Without one the chunk waits for it, unless the stored chunk has one for the same text.
    #[serde(default, deserialize_with = "maybe_floats")]
    pub(crate) vector: Option<Vec<f32>>,
}

/// Whether everything is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SyncStatus {
    Ok,
    /// Some wait, or were refused.
    Partial,
}

/// What was sent.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncAnswer {
    pub(crate) status: SyncStatus,
    /// Versions that were sent.
    pub(crate) synced: u64,
    /// Versions that wait.
    pub(crate) pending: u64,
    /// Rows that were refused, here or there.
    pub(crate) failed: u64,
}

/// One document in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentBody {
    pub(crate) document_id: String,
    /// Its chunks that have a vector.
    pub(crate) vector_count: usize,
    /// Characters of all its texts.
    pub(crate) total_chars: usize,
    pub(crate) embedding_models: Vec<String>,
}

/// A collection, document by document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VectorStats {
    pub(crate) total_vectors: usize,
    pub(crate) total_documents: usize,
    pub(crate) per_document: Vec<DocumentBody>,
    /// `state`, and what belongs to it.
    #[schema(value_type = Object)]
    pub(crate) mirror: Value,
    /// Where the next page starts; null after the last.
    pub(crate) next_cursor: Option<String>,
}

/// A chunk in its document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentChunk {
    pub(crate) id: String,
    pub(crate) chunk_index: u32,
    /// The first 200 characters.
    pub(crate) text_preview: String,
    /// Characters.
    pub(crate) text_length: usize,
    /// Its place in the index.
    pub(crate) slot: u32,
    pub(crate) embedding_model: Option<String>,
    /// The database has this version.
    pub(crate) mirrored: bool,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
}

/// A document.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentAnswer {
    pub(crate) document_id: String,
    pub(crate) chunk_count: usize,
    pub(crate) chunks: Vec<DocumentChunk>,
}

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentDeleted {
    pub(crate) document_id: String,
    pub(crate) deleted: usize,
}
