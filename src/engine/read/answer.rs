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
}

impl Include {
    /// Nothing but id, document, distance and score.
    pub const NONE: Self = Self { text: false, metadata: false, vector: false };
    /// Text, metadata and vector.
    pub const ALL: Self = Self { text: true, metadata: true, vector: true };
}

/// One chunk that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// The chunk's id.
    pub id: ChunkId,
    /// Lower is nearer; what pgvector's operator returns for the same rows.
    pub distance: f32,
    /// Higher is better; see [`crate::Metric::score`].
    pub score: f32,
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
            document_id: row.document.map(str::to_owned),
            chunk_index: row.chunk_index,
            text: if include.text { row.text.map(str::to_owned) } else { None },
            metadata: include.metadata.then(|| row.metadata_map()),
            vector: vector.filter(|_| include.vector).map(<[f32]>::to_vec),
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
    /// Where the rows come from.
    pub source: Source,
    /// What was done.
    pub explain: Explain,
}
