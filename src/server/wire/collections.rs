//! Collections.

use super::{Object, whole};
use crate::{Bytes, Collection, GraphKind, Metric, Stats};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How vectors are compared.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricName {
    Cosine,
    L2,
    Dot,
    L1,
}

/// Which graph finds the neighbours.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GraphName {
    Flat,
    HnswRs,
}

/// A collection to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCollection {
    /// Letters, digits, `-`, `_` and `.`, the first not a dot.
    #[schema(pattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]
    pub(crate) name: String,
    /// Dimensions of every vector.
    #[serde(deserialize_with = "whole::given")]
    #[schema(minimum = 1, maximum = 16000)]
    pub(crate) dim: usize,
    /// `l1` is served by the graph `hnsw_rs` alone.
    pub(crate) metric: MetricName,
    /// A call without a tenant is refused.
    pub(crate) tenant_required: Option<bool>,
    /// The language of texts: how they are cut into words. `english` if not given; `none` for words as they stand, `off` for no text search.
    pub(crate) language: Option<String>,
    /// Who makes vectors of texts that come without one; without it they wait until somebody sends one.
    #[schema(value_type = Option<NewEmbedding>)]
    pub(crate) embedding: Option<Object<NewEmbedding>>,
    /// The graph and its knobs.
    #[schema(value_type = Option<NewIndex>)]
    pub(crate) index: Option<Object<NewIndex>>,
}

/// Who makes vectors of texts.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEmbedding {
    /// `hashed`, which is built in, or one of the server's settings.
    #[schema(pattern = "^[a-z][a-z0-9_-]{0,63}$")]
    pub(crate) provider: String,
    /// What the provider calls it; of `hashed` `nearfield-hashed-` and the width.
    #[schema(min_length = 1, max_length = 512)]
    pub(crate) model: String,
}

/// What is done about chunks that wait for their vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EmbeddingState {
    /// This server embeds nothing in the background.
    Off,
    Working,
    /// No chunk waits but those that the provider refuses.
    Idle,
    /// The provider is away; it is tried again.
    Waiting,
    /// All tokens that the settings allow are used.
    Spent,
    /// The provider does not serve this server as it is set up; it is tried again every minute.
    Stopped,
}

/// Who makes vectors of texts, and how far that is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingBody {
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) state: EmbeddingState,
    /// Why it waits or has stopped. For admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) why: Option<String>,
    /// The share of chunks that have a vector; 1 for none.
    pub(crate) coverage: f64,
    /// Chunks without one.
    pub(crate) pending: usize,
    /// How long the oldest of them has waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) oldest_pending_ms: Option<u64>,
    /// Chunks that the provider refuses.
    pub(crate) parked: usize,
    /// Chunks that got one in the background since the start.
    pub(crate) embedded: u64,
    /// Tokens of their texts, by estimate.
    pub(crate) tokens: u64,
    /// Chunks that were changed while their text was embedded.
    pub(crate) overtaken: u64,
}

/// The graph and its knobs; what is not given has its default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewIndex {
    pub(crate) graph: Option<GraphName>,
    /// Links of a node on the upper levels.
    #[serde(default, deserialize_with = "whole::maybe")]
    #[schema(minimum = 2, maximum = 32)]
    pub(crate) m: Option<usize>,
    /// Width of the beam of an insert; at least `m`.
    #[serde(default, deserialize_with = "whole::maybe")]
    #[schema(minimum = 2, maximum = 4096)]
    pub(crate) ef_construction: Option<usize>,
}

/// A collection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionBody {
    pub(crate) name: String,
    pub(crate) dim: usize,
    pub(crate) metric: MetricName,
    pub(crate) tenant_required: bool,
    pub(crate) language: String,
    /// Where texts are embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) embedding: Option<EmbeddingBody>,
    pub(crate) index: IndexBody,
    pub(crate) counts: CountsBody,
    pub(crate) bytes: BytesBody,
}

/// The graph and its knobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IndexBody {
    pub(crate) graph: GraphName,
    pub(crate) m: usize,
    pub(crate) ef_construction: usize,
}

/// A collection in numbers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CountsBody {
    /// Chunks that exist.
    pub(crate) rows: usize,
    /// Those of them that have no vector yet.
    pub(crate) pending: usize,
    /// Chunks that wait to be linked; every search compares them.
    pub(crate) tail: usize,
    /// Deleted and replaced rows that were not reclaimed yet.
    pub(crate) dead: usize,
    /// Chunks that are damaged.
    pub(crate) missing: usize,
    /// Chunks that the database has not acknowledged.
    pub(crate) dirty: usize,
    /// Deletions that it has not acknowledged.
    pub(crate) graves: usize,
}

/// Resident memory by component.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BytesBody {
    pub(crate) vectors: usize,
    pub(crate) codes: usize,
    pub(crate) links: usize,
    pub(crate) ids: usize,
    pub(crate) payload: usize,
    pub(crate) fields: usize,
    pub(crate) sets: usize,
    /// Words.
    pub(crate) text: usize,
}

/// All collections.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CollectionList {
    pub(crate) collections: Vec<CollectionBody>,
}

impl EmbeddingState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Working => "working",
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Spent => "spent",
            Self::Stopped => "stopped",
        }
    }
}

impl From<MetricName> for Metric {
    fn from(name: MetricName) -> Self {
        match name {
            MetricName::Cosine => Self::Cosine,
            MetricName::L2 => Self::L2,
            MetricName::Dot => Self::Dot,
            MetricName::L1 => Self::L1,
        }
    }
}

impl From<Metric> for MetricName {
    fn from(metric: Metric) -> Self {
        match metric {
            Metric::Cosine => Self::Cosine,
            Metric::L2 => Self::L2,
            Metric::Dot => Self::Dot,
            Metric::L1 => Self::L1,
        }
    }
}

impl From<GraphName> for GraphKind {
    fn from(name: GraphName) -> Self {
        match name {
            GraphName::Flat => Self::Flat,
            GraphName::HnswRs => Self::HnswRs,
        }
    }
}

impl From<GraphKind> for GraphName {
    fn from(kind: GraphKind) -> Self {
        match kind {
            GraphKind::Flat => Self::Flat,
            GraphKind::HnswRs => Self::HnswRs,
        }
    }
}

impl CollectionBody {
    pub(crate) fn of(collection: &Collection, embedding: Option<EmbeddingBody>) -> Self {
        let schema = collection.schema();
        let Stats { rows, pending, tail, dead, missing, dirty, graves, bytes, .. } = collection.stats();
        let Bytes { vectors, codes, links, ids, payload, fields, sets, text } = bytes;
        Self {
            name: collection.name().to_owned(),
            dim: schema.dim,
            metric: schema.metric.into(),
            tenant_required: schema.tenant_required,
            language: schema.language.to_string(),
            embedding,
            index: IndexBody {
                graph: schema.graph.into(),
                m: schema.m,
                ef_construction: schema.ef_construction,
            },
            counts: CountsBody { rows, pending, tail, dead, missing, dirty, graves },
            bytes: BytesBody { vectors, codes, links, ids, payload, fields, sets, text },
        }
    }
}
