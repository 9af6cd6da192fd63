//! Imports into a store of somebody else, and exports from one: a server's, row by row.
//!
//! Invariants: the whole file is read and judged before the first row leaves; a collection that an import makes goes again if it fails; rows
//! that were sent are compared with what is there, a sample of them bit for bit.
//!
//! It is not one commit, which nobody offers from afar: of an import that is appended, and is cut, a part is there. Rows have the ids of the
//! file, so the same command again brings the rest.

use super::export::{ExportReport, ExportRequest, VectorForm, push_object, write};
use super::job::{Import, Mode, Report, Request, Step, Tell};
use super::plan::{There, plan};
use super::rejects::Rejects;
use super::source;
use super::stage::{SAMPLES, Taken, Taker};
use super::verify::Verified;
use crate::config::Schema;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filter;
use crate::ids::Ver;
use crate::record::{Chunk, Row, RowRef, admit};
use std::cell::RefCell;
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// What a server takes at once, by its defaults.
const BATCH_ROWS_MAX: usize = 1_000;
/// The same in bytes, with room to spare.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// A page of a collection, and where the next one begins.
pub(crate) struct Page {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) next: Option<String>,
}

/// A store that is asked from afar.
pub(crate) trait Elsewhere {
    /// Its shape and its rows, if it is there.
    fn find(&self, collection: &str) -> Result<Option<(Schema, usize)>>;

    fn create(&self, collection: &str, schema: &Schema) -> Result<()>;

    fn drop(&self, collection: &str) -> Result<()>;

    /// Stores chunks, objects of JSON with commas between. The first that is refused is an error.
    fn store(&self, collection: &str, chunks: &[u8]) -> Result<()>;

    /// Those that are there, vectors and all.
    fn fetch(&self, collection: &str, ids: &[&str]) -> Result<Vec<Chunk>>;

    fn page(&self, collection: &str, filter: Option<&Filter>, after: Option<&str>) -> Result<Page>;
}

/// Imports a file.
pub(crate) fn send(to: &dyn Elsewhere, request: &Request, tell: Tell<'_>) -> Result<Report> {
    if request.mode == Mode::Replace {
        return Err(Error::invalid(
            "a server's collection cannot be replaced in one step; drop it first, or import into another name",
        ));
    }
    let mut rows = source::open(&request.spec)?;
    let found = to.find(&request.into)?;
    let is_new = found.is_none();
    let there = found.map(|(schema, rows)| There { schema, rows, is_mirrored: true });
    let plan = plan(request, rows.shape(), there.as_ref())?;
    let mut import = Import { request, plan: &plan, tell };
    let judged = import.dry(rows.as_mut())?;
    if request.dry_run {
        return Ok(judged);
    }
    if is_new {
        to.create(&request.into, &plan.schema)?;
    }
    let sent = sent(to, &mut import);
    if sent.is_err() && is_new {
        // The first error is the one to tell.
        let _ = to.drop(&request.into);
    }
    let (taken, verified, seconds) = sent?;
    // The second reading refuses what the first has counted already.
    let mut report = Report { verified, stage_seconds: seconds.0, verify_seconds: seconds.1, ..judged };
    if format!("{:016x}", taken.digest.sum) != report.digest {
        let message = format!(
            "{} changed while it was imported; import it again",
            crate::error::excerpt(&request.spec.path.display().to_string())
        );
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    report.rows_after = to.find(&request.into)?.map_or(0, |(_, rows)| rows as u64);
    Ok(report)
}

fn sent(to: &dyn Elsewhere, import: &mut Import<'_, '_>) -> Result<(Taken, Verified, (f64, f64))> {
    let request = import.request;
    let mut rows = source::open(&request.spec)?;
    let (of, start) = (rows.shape().rows, Instant::now());
    let sender = Sender { to, collection: &request.into, sample: RefCell::default() };
    let mut stage = import.stage(Some(&sender));
    stage.batch_rows = stage.batch_rows.min(BATCH_ROWS_MAX);
    stage.bytes_max = u64::MAX;
    // How many may be refused was judged; who they are, too.
    let mut rejects = Rejects::new(request.rejects_max, None)?;
    let taken = stage.fill(rows.as_mut(), &mut rejects, &mut |done| (import.tell)(Step::Stage, done, of))?;
    let stored = Instant::now();
    (import.tell)(Step::Verify, 0, Some(1));
    let sample = sender.sample.into_inner();
    compare(to, import, &sample)?;
    let verified = Verified { searches: 0, recall: None };
    Ok((taken, verified, ((stored - start).as_secs_f64(), stored.elapsed().as_secs_f64())))
}

/// What is there of some rows must be what was sent.
fn compare(to: &dyn Elsewhere, import: &Import<'_, '_>, sample: &[Row]) -> Result<()> {
    let ids: Vec<&str> = sample.iter().map(|row| row.id.as_str()).collect();
    let mut found = Vec::new();
    // A server that takes few rows at once answers about few, too.
    for ids in ids.chunks(import.request.batch_rows.clamp(1, SAMPLES)) {
        found.extend(to.fetch(&import.request.into, ids)?);
    }
    let schema = &import.plan.schema;
    for row in sample {
        let same = found.iter().find(|chunk| chunk.id == row.id.as_str()).cloned();
        let same = same.and_then(|chunk| row_of(chunk, schema).ok());
        if same.as_ref() != Some(row) {
            let id = crate::error::excerpt(row.id.as_str());
            let message =
                format!("chunk {id} is not there as it was sent; somebody else writes to the collection");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
    }
    Ok(())
}

fn row_of(chunk: Chunk, schema: &Schema) -> Result<Row> {
    Ok(admit(chunk, schema.dim, schema.metric == crate::config::Metric::Cosine)?)
}

/// Sends rows, and keeps some of them.
struct Sender<'a> {
    to: &'a dyn Elsewhere,
    collection: &'a str,
    sample: RefCell<Vec<Row>>,
}

impl Taker for Sender<'_> {
    fn staged(&self) -> u64 {
        0
    }

    fn take(&self, batch: Vec<Row>) -> Result<()> {
        let mut body = Vec::new();
        for row in &batch {
            if body.len() > BATCH_BYTES_MAX {
                self.to.store(self.collection, &std::mem::take(&mut body))?;
            }
            if !body.is_empty() {
                body.push(b',');
            }
            let about = RowRef::of(row.id.as_str(), row.payload.as_deref(), Ver(0));
            push_object(&mut body, &about, row.vector.as_deref(), VectorForm::Base64);
        }
        self.to.store(self.collection, &body)?;
        let mut sample = self.sample.borrow_mut();
        // The first ones, and then one of each batch in the place of an older one.
        for row in batch {
            if sample.len() < SAMPLES {
                sample.push(row);
            } else {
                let at = xxh3_64(row.id.as_str().as_bytes()) as usize % SAMPLES;
                if let Some(kept) = sample.get_mut(at) {
                    *kept = row;
                }
                break;
            }
        }
        Ok(())
    }
}

/// Exports a collection. Rows that are written meanwhile may be in it or not.
pub(crate) fn bring(
    from: &dyn Elsewhere,
    collection: &str,
    request: &ExportRequest,
    tell: &mut dyn FnMut(u64),
) -> Result<ExportReport> {
    let (schema, _) = from.find(collection)?.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("there is no collection {:?}", crate::error::excerpt(collection)),
        )
    })?;
    write(collection, schema.dim, request, tell, |each| {
        let mut after = None;
        loop {
            let page = from.page(collection, request.filter.as_ref(), after.as_deref())?;
            for chunk in page.chunks {
                let row = row_of(chunk, &schema)?;
                let about = RowRef::of(row.id.as_str(), row.payload.as_deref(), Ver(0));
                each(RowRef { has_vector: row.vector.is_some(), ..about }, row.vector.as_deref())?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    })
}

#[cfg(test)]
mod tests;
