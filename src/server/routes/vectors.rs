//! Documents under `/vectors`, as the hybrid-storage document names them.

use super::super::app::App;
use super::super::body::Share;
use super::super::call::{Answer, Call};
use super::super::gate::by_name;
use super::super::jobs::{Job, Task};
use super::super::problem::{Code, Problem};
use super::super::time::rfc3339;
use super::super::wire::{
    DocumentAnswer, DocumentBody, DocumentChunk, DocumentDeleted, JobState, Object, SyncAnswer, SyncRow,
    SyncStatus, VectorStats,
};
use super::admin;
use crate::{Chunk, Collection, DocumentStats, PlacedChunk};
use std::pin::Pin;
use std::sync::Arc;

const PAGE_DOCUMENTS: usize = 100;
const PAGE_DOCUMENTS_MAX: usize = 1_000;
const PREVIEW_CHARS: usize = 200;
/// Part of the request's time that is waited for the job.
const WAIT_SHARE: f64 = 0.8;

/// Stores the rows that came, if any did, and sends everything to the database; waits for that a while.
pub(crate) fn sync(
    app: App,
    call: Call,
    share: Share,
) -> Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>> {
    Box::pin(async move {
        call.query.only(&["collection"])?;
        let (patience, for_write) = (call.patience, app.clone());
        let refused = if call.body.is_empty() {
            app.side.check()?;
            0
        } else {
            let write = move || {
                let _share = share;
                by_name(|| store(&for_write, &call))
            };
            app.writes.run(patience, write).await??
        };
        // Without a database, what was stored is stored.
        if app.side.check().is_err() {
            let status = if refused == 0 { SyncStatus::Ok } else { SyncStatus::Partial };
            return Answer::ok(&SyncAnswer { status, synced: 0, pending: 0, failed: refused });
        }
        let job = app.jobs.add(Task::Push)?;
        if !job.wait(patience.mul_f64(WAIT_SHARE)).await {
            return admin::told(&job);
        }
        sent(&job, refused)
    })
}

fn sent(job: &Arc<Job>, refused: u64) -> Result<Answer, Problem> {
    let body = job.body();
    if body.state != JobState::Done {
        return match body.error {
            Some(error) => Err(Problem::new(error.code, error.detail)),
            None => Err(Problem::later("sending was cancelled", 1)),
        };
    }
    let result = body.result.unwrap_or_default();
    let count = |name: &str| result[name].as_u64().unwrap_or(0);
    let (synced, pending, failed) = (count("synced"), count("pending"), count("failed") + refused);
    let status = if pending + failed == 0 { SyncStatus::Ok } else { SyncStatus::Partial };
    Answer::ok(&SyncAnswer { status, synced, pending, failed })
}

/// Stores rows; says how many were refused.
fn store(app: &App, call: &Call) -> Result<u64, Problem> {
    let rows = call.list::<SyncRow>()?;
    let collection = app.meant(call.query.get("collection"))?;
    let mut refused = 0;
    let mut rows = rows.into_iter().map(|Object(row)| chunk_of(row)).peekable();
    while rows.peek().is_some() {
        let mut chunks: Vec<Chunk> = rows.by_ref().take(app.limits().batch_max).collect();
        keep_vectors(&collection, &mut chunks)?;
        app.embedding.fill_in(&collection, chunks.iter_mut());
        let ack = collection.upsert(chunks)?;
        app.metrics.wrote(ack.upserted, ack.rejected);
        refused += ack.rejected as u64;
    }
    Ok(refused)
}

fn chunk_of(row: SyncRow) -> Chunk {
    let SyncRow { document_id, chunk_index, text, faiss_index, embedding_model, vector } = row;
    let document = document_id.into_string();
    let mut chunk =
        Chunk::new(format!("{document}:{chunk_index}")).document(document, chunk_index).text(text);
    (chunk.vector, chunk.embedding_model) = (vector, embedding_model);
    match faiss_index {
        Some(index) => chunk.meta("faiss_index", index),
        None => chunk,
    }
}

/// A row that says nothing new of its text keeps the vector that the text has.
fn keep_vectors(collection: &Collection, chunks: &mut [Chunk]) -> Result<(), Problem> {
    let without: Vec<usize> = (0..chunks.len()).filter(|n| chunks[*n].vector.is_none()).collect();
    let ids: Vec<String> = without.iter().map(|n| chunks[*n].id.clone()).collect();
    let stored = collection.get_many(ids.iter().map(String::as_str))?;
    for (n, stored) in without.into_iter().zip(stored) {
        let Some(stored) = stored.filter(|stored| stored.text == chunks[n].text) else { continue };
        chunks[n].vector = stored.vector;
        if chunks[n].embedding_model.is_none() {
            chunks[n].embedding_model = stored.embedding_model;
        }
    }
    Ok(())
}

pub(crate) fn stats(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&["collection", "limit", "cursor"])?;
    let limit = call.query.number("limit", PAGE_DOCUMENTS, PAGE_DOCUMENTS_MAX)?;
    let collection = app.meant(call.query.get("collection"))?;
    let counts = collection.stats();
    let mut page = collection.documents(call.query.get("cursor"), limit + 1)?;
    let is_last = page.len() <= limit;
    page.truncate(limit);
    let next_cursor = page.last().filter(|_| !is_last).map(|last| last.document_id.clone());
    Answer::ok(&VectorStats {
        total_vectors: counts.rows - counts.pending,
        total_documents: collection.documents_len()?,
        per_document: page.into_iter().map(document_of).collect(),
        mirror: app.side.status(),
        next_cursor,
    })
}

fn document_of(stats: DocumentStats) -> DocumentBody {
    let DocumentStats { document_id, vectors, text_chars, embedding_models, .. } = stats;
    DocumentBody {
        document_id,
        vector_count: vectors,
        total_chars: text_chars,
        embedding_models: embedding_models.into_iter().collect(),
    }
}

pub(crate) fn document(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&["collection"])?;
    let collection = app.meant(call.query.get("collection"))?;
    let id = call.param("id");
    let placed = collection.document_places(id)?;
    if placed.is_empty() {
        return Err(absent());
    }
    let chunks: Vec<DocumentChunk> = placed.into_iter().map(chunk_body).collect();
    Answer::ok(&DocumentAnswer { document_id: id.to_owned(), chunk_count: chunks.len(), chunks })
}

fn chunk_body(placed: PlacedChunk) -> DocumentChunk {
    let PlacedChunk { chunk, slot, written_unix_ms, mirrored } = placed;
    let text = chunk.text.unwrap_or_default();
    DocumentChunk {
        id: chunk.id,
        chunk_index: chunk.chunk_index,
        text_preview: text.chars().take(PREVIEW_CHARS).collect(),
        text_length: text.chars().count(),
        slot,
        embedding_model: chunk.embedding_model,
        mirrored,
        created_at: rfc3339(written_unix_ms),
    }
}

pub(crate) fn delete(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&["collection"])?;
    let collection = app.meant(call.query.get("collection"))?;
    let id = call.param("id");
    let (deleted, _) = collection.delete_document(id)?;
    if deleted == 0 {
        return Err(absent());
    }
    app.metrics.deleted(deleted);
    Answer::ok(&DocumentDeleted { document_id: id.to_owned(), deleted })
}

fn absent() -> Problem {
    Problem::new(Code::NotFound, "there is no document of this id")
}
