//! The chunk: plain data with a builder. Nothing is checked here; [`admit`](super::admit) does that at the door.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the user stores: a vector, a text, or both, under an id.
///
/// A chunk with a text and no vector is stored and waits for its vector; until then vector search does not find it.
///
/// ```
/// use nearfield::Chunk;
/// let chunk = Chunk::new("a").vector([0.6, 0.8]).text("hello").document("manual", 0).meta("lang", "en");
/// assert_eq!(chunk.metadata["lang"], "en");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chunk {
    /// The name of the chunk in its collection: 1 to 512 bytes. Storing the same id again replaces the chunk.
    pub id: String,
    /// The vector, as long as the collection is wide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<f32>>,
    /// The text that the vector stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The document it belongs to. The chunks of a document are listed and deleted together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_id: Option<String>,
    /// Its place in the document.
    pub chunk_index: u32,
    /// What filters look at: any JSON object of up to 64 KiB.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Whose chunk it is. A search for one tenant sees that tenant's chunks only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The model that made the vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_model: Option<String>,
}

impl Chunk {
    /// A chunk with a name and nothing else yet; it needs a vector or a text.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// Sets the vector.
    #[must_use]
    pub fn vector(mut self, vector: impl Into<Vec<f32>>) -> Self {
        self.vector = Some(vector.into());
        self
    }

    /// Sets the text.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Makes it the chunk number `index` of a document.
    #[must_use]
    pub fn document(mut self, id: impl Into<String>, index: u32) -> Self {
        self.document_id = Some(id.into());
        self.chunk_index = index;
        self
    }

    /// Sets one key of the metadata.
    #[must_use]
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Replaces the whole metadata.
    #[must_use]
    pub fn metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = metadata;
        self
    }

    /// Sets the tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Names the model that made the vector.
    #[must_use]
    pub fn embedding_model(mut self, model: impl Into<String>) -> Self {
        self.embedding_model = Some(model.into());
        self
    }
}
