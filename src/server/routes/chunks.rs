//! Chunks: stored, looked up, listed, deleted, counted.

use super::super::app::App;
use super::super::call::{Answer, Call};
use super::super::problem::{Code, Problem};
use super::super::wire::{
    ChunkBody, ChunkPart, CountAnswer, CountBody, DeleteAnswer, DeleteBody, DurabilityName, GetAnswer,
    GetBody, NewChunk, Object, PageAnswer, RowBody, RowStatus, UpsertAnswer, UpsertBody,
};
use crate::{Ack, Collection, Durability, Token};
use std::time::Duration;

/// Rows that are looked at between two looks at how long the page is.
const PAGE_STEP: usize = 64;
const PAGE_ROWS: usize = 100;
const PAGE_ROWS_MAX: usize = 1_000;

pub(crate) fn upsert(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let collection = app.collection(call.param("collection"), None)?;
    let UpsertBody { chunks, durability } = call.json()?;
    at_most("chunks", chunks.len(), app.limits().batch_max)?;
    check_durability(app, durability)?;
    let chunks = chunks.into_iter().map(|Object(chunk)| chunk).collect();
    let (results, token) = store(app, &collection, chunks)?;
    let rejected = results.iter().filter(|row| row.status == RowStatus::Rejected).count();
    let upserted = results.len() - rejected;
    if upserted > 0 {
        await_mirror(app, durability, token, call.patience)?;
    }
    Answer::ok(&UpsertAnswer { results, upserted, rejected, token: token.to_string() })
}

/// Stores what can be stored; what became of each stands in its place.
pub(super) fn store(
    app: &App,
    collection: &Collection,
    chunks: Vec<NewChunk>,
) -> Result<(Vec<RowBody>, Token), Problem> {
    let mut results: Vec<Option<RowBody>> = Vec::with_capacity(chunks.len());
    let mut whole = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        match chunk.chunk() {
            Ok(chunk) => {
                whole.push(chunk);
                results.push(None);
            }
            Err((id, why)) => {
                results.push(Some(RowBody { id, status: RowStatus::Rejected, reason: Some(why) }));
            }
        }
    }
    app.embedding.fill_in(collection, whole.iter_mut());
    let Ack { token, results: stored, upserted, .. } = collection.upsert(whole)?;
    let mut stored = stored.into_iter().map(RowBody::from);
    let results: Vec<RowBody> = results.into_iter().filter_map(|row| row.or_else(|| stored.next())).collect();
    app.metrics.wrote(upserted, results.len() - upserted);
    Ok((results, token))
}

/// Refuses a promise that cannot be kept, before anything is written.
pub(super) fn check_durability(app: &App, wanted: Option<DurabilityName>) -> Result<(), Problem> {
    match wanted {
        None | Some(DurabilityName::Buffered) => Ok(()),
        Some(DurabilityName::Durable) if app.store.durability() == Durability::Buffered => {
            Err(Problem::invalid(
                "durability: this server acknowledges writes as buffered; start it with durable, or ask for buffered",
            ))
        }
        Some(DurabilityName::Durable) => Ok(()),
        Some(DurabilityName::Mirrored) => app.side.check(),
    }
}

/// Waits for the database, where that was asked for.
pub(super) fn await_mirror(
    app: &App,
    wanted: Option<DurabilityName>,
    token: Token,
    patience: Duration,
) -> Result<(), Problem> {
    if wanted != Some(DurabilityName::Mirrored) {
        return Ok(());
    }
    // A part of the time stays for telling.
    app.side
        .wait(token, patience.mul_f64(0.9))
        .map_err(|problem| problem.saying("stored here, and not in the database in time; it will be sent"))
}

pub(crate) fn show(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&["include", "tenant"])?;
    let with_vector = includes_vector(call)?;
    let collection = app.collection(call.param("collection"), call.query.get("tenant"))?;
    let found = collection.get(call.param("id"))?;
    let chunk = found.ok_or_else(|| Problem::new(Code::NotFound, "there is no chunk of this id"))?;
    Answer::ok(&ChunkBody::of(chunk, with_vector))
}

pub(crate) fn get_many(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let GetBody { ids, include, tenant } = call.json()?;
    at_most("ids", ids.len(), app.limits().batch_max)?;
    let with_vector = include.unwrap_or_default().contains(&ChunkPart::Vector);
    let collection = app.collection(call.param("collection"), tenant.as_deref())?;
    let (mut chunks, mut missing, mut bytes) = (Vec::new(), Vec::new(), 0);
    for part in ids.chunks(PAGE_STEP) {
        let found = collection.get_many(part.iter().map(String::as_str))?;
        for (id, chunk) in part.iter().zip(found) {
            match chunk {
                Some(chunk) => chunks.push(ChunkBody::of(chunk, with_vector)),
                None => missing.push(id.clone()),
            }
        }
        bytes += chunks.iter().rev().take(part.len()).map(ChunkBody::bytes).sum::<usize>();
        check_answer(bytes, app.limits().bodies_bytes_max)?;
    }
    Answer::ok(&GetAnswer { chunks, missing })
}

pub(crate) fn list(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&["limit", "cursor", "filter", "include", "tenant"])?;
    let limit = call.query.number("limit", PAGE_ROWS, PAGE_ROWS_MAX)?;
    let with_vector = includes_vector(call)?;
    let cursor = call.query.get("cursor").map(|text| {
        let number = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        number.ok_or_else(|| Problem::invalid("cursor is none that an answer had"))
    });
    let filter = call.query.filter()?;
    let collection = app.collection(call.param("collection"), call.query.get("tenant"))?;
    let (mut chunks, mut bytes, mut next) = (Vec::new(), 0, cursor.transpose()?);
    loop {
        let step = PAGE_STEP.min(limit - chunks.len());
        let page = collection.scroll(filter.as_ref(), next, step)?;
        let rows = page.chunks.into_iter().map(|chunk| ChunkBody::of(chunk, with_vector));
        let before = chunks.len();
        chunks.extend(rows);
        bytes += chunks[before..].iter().map(ChunkBody::bytes).sum::<usize>();
        next = page.next;
        if next.is_none() || chunks.len() >= limit || bytes >= app.limits().page_bytes_max {
            break;
        }
    }
    Answer::ok(&PageAnswer { chunks, next_cursor: next.map(|cursor| cursor.to_string()) })
}

pub(crate) fn delete(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let DeleteBody { ids, document_id, filter, tenant } = call.json()?;
    let collection = app.collection(call.param("collection"), tenant.as_deref())?;
    let (deleted, token) = match (ids, document_id, filter) {
        (Some(ids), None, None) => {
            at_most("ids", ids.len(), app.limits().batch_max)?;
            collection.delete(ids.iter().map(String::as_str))?
        }
        (None, Some(document), None) => collection.delete_document(&document)?,
        (None, None, Some(filter)) => collection.delete_where(&filter)?,
        _ => return Err(Problem::invalid("exactly one of ids, document_id and filter must be given")),
    };
    app.metrics.deleted(deleted);
    Answer::ok(&DeleteAnswer { deleted, token: token.to_string() })
}

pub(crate) fn count(app: &App, call: &Call) -> Result<Answer, Problem> {
    call.query.only(&[])?;
    let CountBody { filter, tenant } = call.json_or_default()?;
    let collection = app.collection(call.param("collection"), tenant.as_deref())?;
    Answer::ok(&CountAnswer { count: collection.count(filter.as_ref())? })
}

fn includes_vector(call: &Call) -> Result<bool, Problem> {
    let parts = call.query.list("include");
    match parts.iter().find(|part| **part != "vector") {
        Some(other) => Err(Problem::invalid(format!("include has {other:?}; it takes vector"))),
        None => Ok(!parts.is_empty()),
    }
}

pub(super) fn at_most(what: &str, count: usize, max: usize) -> Result<(), Problem> {
    if count <= max {
        return Ok(());
    }
    let detail = format!("{what} has {count} items; the limit is {max}: send them in parts");
    Err(Problem::new(Code::TooLarge, detail))
}

/// Refuses an answer that would take all the memory there is.
pub(super) fn check_answer(bytes: usize, max: usize) -> Result<(), Problem> {
    if bytes <= max {
        return Ok(());
    }
    Err(Problem::new(Code::TooLarge, format!("the answer would have more than {max} bytes; ask for less")))
}
