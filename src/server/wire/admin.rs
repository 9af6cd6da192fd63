//! Operation: jobs, states, health.

use super::super::problem::Code;
use super::{CollectionBody, EmbeddingBody};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What the mirror is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SyncMode {
    Push,
    Pull,
    Audit,
    Repair,
    Rebuild,
}

/// The side that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Trust {
    Database,
    Local,
}

/// What the mirror is to do.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SyncBody {
    pub(crate) mode: SyncMode,
    /// For `audit`, `repair` and `rebuild`: this one alone.
    pub(crate) collection: Option<String>,
    /// For `repair`, which needs it.
    pub(crate) trust: Option<Trust>,
    /// For `audit` and `repair`: look at the bytes of both sides.
    pub(crate) deep: Option<bool>,
    /// For `repair`: change nothing.
    pub(crate) dry_run: Option<bool>,
}

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveBody {
    pub(crate) trust: Trust,
}

/// Where the mirror stands now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResolveAnswer {
    pub(crate) state: String,
}

/// Rows that one side refuses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterList {
    /// `collection`, `id`, `is_outgoing` if it is the database that refuses it, `reason`.
    #[schema(value_type = Vec<Object>)]
    pub(crate) dead_letters: Vec<Value>,
}

/// Which chunks to try again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryBody {
    /// This collection's alone.
    pub(crate) collection: Option<String>,
    /// Must be true.
    pub(crate) retry: bool,
}

/// Chunks that are tried again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RetriedBody {
    pub(crate) collection: String,
    /// Chunks that the provider had refused.
    pub(crate) retried: usize,
}

/// What is tried again: collections that could not be served, too.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RetryAnswer {
    pub(crate) collections: Vec<RetriedBody>,
}

/// A chunk that its provider refuses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ParkedBody {
    pub(crate) id: String,
    pub(crate) why: String,
}

/// How the embedding of a collection goes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingOf {
    pub(crate) collection: String,
    pub(crate) embedding: EmbeddingBody,
    /// The first thousand of the chunks that are refused.
    pub(crate) parked: Vec<ParkedBody>,
}

/// Collections whose texts are embedded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingList {
    pub(crate) collections: Vec<EmbeddingOf>,
}

/// How to verify.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyBody {
    /// Look every row up by its id and by its vector.
    pub(crate) deep: Option<bool>,
}

/// Nothing.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoBody {}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobKind {
    Push,
    Pull,
    Audit,
    Repair,
    Rebuild,
    Checkpoint,
    Reclaim,
    Verify,
    Snapshot,
    Migrate,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JobState {
    Queued,
    Running,
    Done,
    Failed,
    Cancelled,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct JobProgress {
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// Why a job failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct JobError {
    pub(crate) code: Code,
    pub(crate) detail: String,
}

/// A job.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobBody {
    pub(crate) id: String,
    pub(crate) kind: JobKind,
    pub(crate) state: JobState,
    pub(crate) progress: JobProgress,
    #[schema(format = DateTime)]
    pub(crate) started_at: Option<String>,
    #[schema(format = DateTime)]
    pub(crate) finished_at: Option<String>,
    /// What it found or did, when it is done.
    #[schema(value_type = Option<Object>)]
    pub(crate) result: Option<Value>,
    /// Why it failed, if it did.
    pub(crate) error: Option<JobError>,
}

/// A job that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobAnswer {
    pub(crate) job: JobBody,
}

/// Jobs, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobList {
    pub(crate) jobs: Vec<JobBody>,
}

/// The store, its collections and its mirror.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusAnswer {
    pub(crate) version: &'static str,
    #[schema(value_type = Object)]
    pub(crate) store: Value,
    pub(crate) collections: Vec<CollectionBody>,
    /// `state`, and what belongs to it.
    #[schema(value_type = Object)]
    pub(crate) mirror: Value,
    /// Jobs that wait or run.
    pub(crate) jobs_unfinished: usize,
    /// Recall of live searches, estimated from a sample of them.
    pub(crate) recall_estimate: Option<f64>,
}

/// One word.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateAnswer {
    pub(crate) status: &'static str,
}

/// How well the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthAnswer {
    /// `ok`, or the first thing that is not.
    pub(crate) status: &'static str,
    pub(crate) version: &'static str,
    /// The last commit.
    pub(crate) token: String,
    /// Writes are taken.
    pub(crate) writable: bool,
    /// Damaged rows could be missing from answers.
    pub(crate) degraded: bool,
    /// Where the mirror stands.
    pub(crate) mirror: String,
    /// Collections that lack rows of the database.
    pub(crate) filling: Vec<String>,
    /// Background work that failed the last time it was tried.
    pub(crate) failing: Vec<String>,
}
