//! What a search answers.

use crate::config::Metric;
use crate::engine::write::upsert::Token;
use crate::filter::Plan;
use crate::ids::ChunkId;
use crate::metrics::Work;
use crate::record::RowRef;
use serde::Serialize;
use serde_json::{Map, Value};

/// What a hit carries beside id, distance and score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Include {
    /// The chunk's text.
    pub text: bool,
    /// Its metadata.
    pub metadata: bool,
    /// Its vector, as it was given.
    pub vector: bool,
    /// The part of its text that holds what was searched for, in a search with words.
    pub snippet: bool,
}

impl Include {
    /// Nothing but id, document, distance and score.
    pub const NONE: Self = Self { text: false, metadata: false, vector: false, snippet: false };
    /// Text, metadata and vector.
    pub const ALL: Self = Self { text: true, metadata: true, vector: true, snippet: false };
}

/// One chunk that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// The chunk's id.
    pub id: ChunkId,
    /// Lower is nearer; what pgvector's operator returns for the same rows. In a search with words it is the negative score, and says
    /// no more than the order.
    pub distance: f32,
    /// Higher is better; see [`crate::Metric::score`]. In a search for words it is BM25's, in a hybrid one that of [`crate::Fusion`].
    pub score: f32,
    /// In a search with words and a vector: how far the chunk is, if it has a vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector_distance: Option<f32>,
    /// In a search with words: BM25's score, if the text leg found the chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_score: Option<f32>,
    /// The chunk's document, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_id: Option<String>,
    /// The chunk's place in its document.
    pub chunk_index: u32,
    /// Where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<Vec<f32>>,
    /// Where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<Snippet>,
}

/// A part of a chunk's text, with what was searched for in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snippet {
    /// The part, at most 240 bytes.
    pub text: String,
    /// Where it starts in the chunk's text, in bytes.
    pub start: usize,
    /// What was searched for: from and to, in bytes of `text` here.
    pub highlights: Vec<(usize, usize)>,
}

impl Hit {
    pub(crate) fn of(
        row: &RowRef<'_>,
        vector: Option<&[f32]>,
        metric: Metric,
        distance: f32,
        include: Include,
    ) -> Self {
        Self {
            id: ChunkId::from(row.id),
            distance,
            score: metric.score(distance),
            vector_distance: None,
            text_score: None,
            document_id: row.document.map(str::to_owned),
            chunk_index: row.chunk_index,
            text: if include.text { row.text.map(str::to_owned) } else { None },
            metadata: include.metadata.then(|| row.metadata_map()),
            vector: vector.filter(|_| include.vector).map(<[f32]>::to_vec),
            snippet: None,
        }
    }
}

/// Where the rows of an answer come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// This store, as ever.
    #[default]
    Local,
    /// This store, while it is being filled from its mirror's database: rows that stand there may be missing.
    Partial,
    /// The mirror's database, because this store is being filled from it, and what was written here lately.
    Database,
}

/// What a search looks for its hits with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Leg {
    /// The vector.
    Vector,
    /// The words.
    Text,
}

/// What the text leg of a search did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TextWork {
    /// Chunks that the filter and the tenant leave, those without a vector among them.
    pub candidates: usize,
    /// Texts whose score was looked at.
    pub scored: u64,
    /// Segments that were searched.
    pub segments: usize,
    /// Texts that stand in none yet.
    pub tail: usize,
    /// The text had more words than are looked for: see [`crate::limits`].
    pub cut: bool,
}

/// What a search did. Of an answer from the database: what it did here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Explain {
    /// The plan that gave the answer.
    pub plan: Plan,
    /// Chunks that the filter, the tenant and the presence of a vector leave.
    pub candidates: usize,
    /// Rows of the unlinked tail that were compared.
    pub tail: usize,
    /// The width of the beam.
    pub ef: usize,
    /// Counters of work.
    #[serde(flatten)]
    pub work: Work,
    /// Plans that came up short of `k` before this one.
    pub retries: usize,
    /// What the text leg did, if there was one; all else is of the vector leg, and 0 without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<TextWork>,
}

/// The answer to a search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    /// Nearest first; equal distances by id.
    pub hits: Vec<Hit>,
    /// The state that was searched: of an answer from the database, what was written here up to then is in it.
    pub as_of: Token,
    /// The hits are certainly the nearest: every candidate's full-precision vector was compared.
    pub exact: bool,
    /// Damaged rows could be missing from the answer.
    pub degraded: bool,
    /// In a search with words: the legs that did not run, or not over all rows. The rest of the answer is right without them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub degraded_legs: Vec<Leg>,
    /// Where the rows come from.
    pub source: Source,
    /// What was done.
    pub explain: Explain,
}
