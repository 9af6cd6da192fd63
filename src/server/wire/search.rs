//! Searches and what they find.

use super::{Object, whole};
use crate::record::maybe_floats;
use crate::{Explain, Filter, Leg, Plan, Source, TextWork};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What a filter is stands in the description alone: the library reads it.
#[derive(ToSchema)]
#[schema(as = Filter)]
pub(crate) struct FilterSchema {}

/// What hits carry beside id, distance and score, in this build.
#[derive(Clone, Copy, Debug, ToSchema)]
#[schema(as = Part, rename_all = "snake_case")]
#[expect(dead_code, reason = "a name in the description")]
pub(crate) enum PartHere {
    Text,
    Metadata,
    Vector,
    Snippet,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    Vector,
    Text,
    Hybrid,
}

impl Mode {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::Text => "text",
            Self::Hybrid => "hybrid",
        }
    }
}

/// How two rankings become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fusion {
    Lift,
    Rrf,
    Weighted,
}

/// What hits carry beside id, distance and score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    Text,
    Metadata,
    Vector,
    Snippet,
    /// Not in this build.
    Content,
}

/// What hits are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GroupBy {
    DocumentId,
}

/// Trade nearness for variety.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mmr {
    /// 1 is nearness alone, 0 variety alone.
    #[schema(minimum = 0, maximum = 1)]
    pub(crate) lambda: f32,
}

/// A search: by a vector, by words, or by both.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchBody {
    /// As long as the collection is wide.
    #[serde(default, deserialize_with = "maybe_floats")]
    pub(crate) vector: Option<Vec<f32>>,
    /// The same as base64 of little-endian 32-bit floats.
    pub(crate) vector_b64: Option<String>,
    /// Words, for the modes `text` and `hybrid`; what stands in quotes must be there as it stands.
    pub(crate) text: Option<String>,
    /// What is not given follows from what is: `hybrid` with a vector and a text.
    pub(crate) mode: Option<Mode>,
    /// How many hits; 10 if not given.
    #[serde(default, deserialize_with = "whole::maybe")]
    #[schema(minimum = 1, maximum = 1000)]
    pub(crate) k: Option<usize>,
    /// Width of the beam: more finds more and takes longer. 64, or `k` if that is more.
    #[serde(default, deserialize_with = "whole::maybe")]
    #[schema(minimum = 1, maximum = 4096)]
    pub(crate) ef: Option<usize>,
    #[schema(value_type = Option<FilterSchema>)]
    pub(crate) filter: Option<Filter>,
    /// Only this tenant's chunks.
    pub(crate) tenant: Option<String>,
    /// Only hits at most this far.
    pub(crate) max_distance: Option<f32>,
    /// Only hits with at least this score.
    pub(crate) min_score: Option<f32>,
    #[schema(value_type = Option<Vec<PartHere>>)]
    pub(crate) include: Option<Vec<Part>>,
    /// The vector's share; if not given, 0.5 under the fusion `lift` and 0.7 under `weighted`.
    #[schema(minimum = 0, maximum = 1)]
    pub(crate) vector_weight: Option<f32>,
    /// For the mode `hybrid`; `lift` if not given.
    pub(crate) fusion: Option<Fusion>,
    #[schema(value_type = Option<Mmr>)]
    pub(crate) mmr: Option<Object<Mmr>>,
    pub(crate) group_by: Option<GroupBy>,
    /// Compare every candidate at full precision.
    pub(crate) exact: Option<bool>,
    /// A token: answer from this state, or a later one.
    #[schema(pattern = "^[0-9]{1,19}-[0-9]{1,19}$")]
    pub(crate) at_least: Option<String>,
    /// Shorter than the server's own limit.
    #[serde(default, deserialize_with = "whole::maybe")]
    #[schema(minimum = 1, maximum = 10000)]
    pub(crate) timeout_ms: Option<u64>,
    /// Say what was done.
    pub(crate) explain: Option<bool>,
}

/// A search for everything within a distance. Either `vector` or `vector_b64` must be given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RangeBody {
    #[serde(default, deserialize_with = "maybe_floats")]
    pub(crate) vector: Option<Vec<f32>>,
    pub(crate) vector_b64: Option<String>,
    pub(crate) max_distance: f32,
    /// The nearest so many; all up to 10,000 if not given.
    #[serde(default, deserialize_with = "whole::maybe")]
    #[schema(minimum = 1, maximum = 10000)]
    pub(crate) limit: Option<usize>,
    #[schema(value_type = Option<FilterSchema>)]
    pub(crate) filter: Option<Filter>,
    pub(crate) tenant: Option<String>,
    #[schema(value_type = Option<Vec<PartHere>>)]
    pub(crate) include: Option<Vec<Part>>,
    pub(crate) explain: Option<bool>,
}

/// Searches on one state of the collection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchBody {
    #[schema(max_items = 1000, value_type = Vec<SearchBody>)]
    pub(crate) searches: Vec<Object<SearchBody>>,
}

/// A chunk that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HitBody {
    pub(crate) id: String,
    /// Lower is nearer; what pgvector's operator returns.
    pub(crate) distance: f32,
    /// Higher is better.
    pub(crate) score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) document_id: Option<String>,
    pub(crate) chunk_index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Object)]
    pub(crate) metadata: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) vector: Option<Vec<f32>>,
    /// How far the chunk is, in a search by words and a vector.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) vector_distance: Option<f32>,
    /// BM25's score, where words found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) text_score: Option<f32>,
    /// The part of the text that shows why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) snippet: Option<SnippetBody>,
}

/// A part of a chunk's text, with what was searched for in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SnippetBody {
    pub(crate) text: String,
    /// Where it starts in the chunk's text, in bytes of UTF-8.
    pub(crate) start: usize,
    /// From and to, in bytes of the snippet's text.
    pub(crate) highlights: Vec<[usize; 2]>,
}

/// A part of a search.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LegName {
    Vector,
    Text,
}

/// What looking for words did.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct TextWorkBody {
    /// Chunks that the filter and the tenant leave.
    pub(crate) candidates: usize,
    /// Texts whose score was looked at.
    pub(crate) scored: u64,
    pub(crate) segments: usize,
    /// Texts that stand in no segment yet.
    pub(crate) tail: usize,
    /// The text had more words than are looked for.
    pub(crate) cut: bool,
}

/// Where the rows of an answer come from.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SourceName {
    Local,
    /// This store, while it is being filled: rows may be missing.
    Partial,
    Database,
}

/// How a search went about its filter.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PlanName {
    Exact,
    FilterFirst,
    InGraph,
    PostFilter,
    Unfiltered,
}

/// What a search did.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct ExplainBody {
    pub(crate) plan: PlanName,
    /// Chunks that the filter, the tenant and the presence of a vector leave.
    pub(crate) candidates: usize,
    /// Nodes whose lists were read.
    pub(crate) visited: u64,
    /// Distances computed over codes.
    pub(crate) distances: u64,
    /// Distances computed over full-precision rows.
    pub(crate) reranked: u64,
    /// Unlinked rows that were compared.
    pub(crate) tail: usize,
    /// Width of the beam.
    pub(crate) ef: usize,
    /// Plans that came up short before this one.
    pub(crate) retries: usize,
    /// What looking for words did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) text: Option<TextWorkBody>,
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchAnswer {
    /// Nearest first; equal distances by id.
    pub(crate) hits: Vec<HitBody>,
    /// The state that was searched.
    pub(crate) as_of: String,
    /// The hits are certainly the nearest.
    pub(crate) exact: bool,
    /// Damaged rows could be missing.
    pub(crate) degraded: bool,
    /// In a search with words: what did not run, or not over all rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) degraded_legs: Vec<LegName>,
    pub(crate) source: SourceName,
    /// Time in the engine.
    pub(crate) took_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) explain: Option<ExplainBody>,
}

/// What each search of a batch found, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    pub(crate) results: Vec<SearchAnswer>,
}

impl From<Source> for SourceName {
    fn from(source: Source) -> Self {
        match source {
            Source::Local => Self::Local,
            Source::Partial => Self::Partial,
            Source::Database => Self::Database,
        }
    }
}

impl From<Explain> for ExplainBody {
    fn from(Explain { plan, candidates, tail, ef, work, retries, text }: Explain) -> Self {
        let plan = match plan {
            Plan::Exact => PlanName::Exact,
            Plan::FilterFirst => PlanName::FilterFirst,
            Plan::InGraph => PlanName::InGraph,
            Plan::PostFilter => PlanName::PostFilter,
            Plan::Unfiltered => PlanName::Unfiltered,
        };
        let (visited, distances, reranked) = (work.visited, work.distances, work.reranked);
        let text = text.map(|TextWork { candidates, scored, segments, tail, cut }| TextWorkBody {
            candidates,
            scored,
            segments,
            tail,
            cut,
        });
        Self { plan, candidates, visited, distances, reranked, tail, ef, retries, text }
    }
}

impl From<crate::Hit> for HitBody {
    fn from(hit: crate::Hit) -> Self {
        let crate::Hit { id, distance, score, document_id, chunk_index, text, metadata, vector, .. } = hit;
        let (vector_distance, text_score) = (hit.vector_distance, hit.text_score);
        let snippet = hit.snippet.map(|crate::Snippet { text, start, highlights }| SnippetBody {
            text,
            start,
            highlights: highlights.into_iter().map(|(from, to)| [from, to]).collect(),
        });
        let id = id.to_string();
        Self {
            id,
            distance,
            score,
            document_id,
            chunk_index,
            text,
            metadata,
            vector,
            vector_distance,
            text_score,
            snippet,
        }
    }
}

impl From<Leg> for LegName {
    fn from(leg: Leg) -> Self {
        match leg {
            Leg::Vector => Self::Vector,
            Leg::Text => Self::Text,
        }
    }
}

impl From<Fusion> for crate::Fusion {
    fn from(fusion: Fusion) -> Self {
        match fusion {
            Fusion::Lift => Self::Lift,
            Fusion::Rrf => Self::Rrf,
            Fusion::Weighted => Self::Weighted,
        }
    }
}
