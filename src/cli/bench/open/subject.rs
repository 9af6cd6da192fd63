//! The store that is opened: generated, or a snapshot of one that is given.

use super::super::generate::{Mixture, Recipe};
use super::args::MadeArgs;
use super::report::Ideal;
use crate::cli::progress::Progress;
use crate::{Chunk, Collection, Error, ErrorKind, Metric, Options, Result, Schema, Store};
use std::path::Path;
use std::time::Duration;

const BATCH: usize = 4_096;
const CLUSTERS: usize = 200;
/// A generated store is closed when all of it is linked and in files.
const CLOSE: Duration = Duration::from_secs(3_600);
/// Searches whose first answers are judged.
const QUERIES: usize = 16;
const WORDS: &str =
    "the nearest rows are found by walking a graph of links over codes, and judged by their vectors; ";

/// A store on the disk, closed.
pub(in crate::cli::bench) struct Subject {
    pub(in crate::cli::bench) source: String,
    /// Of the collection that is searched.
    pub(in crate::cli::bench) name: String,
    pub(in crate::cli::bench) rows: usize,
    pub(in crate::cli::bench) dim: usize,
    pub(super) metric: Metric,
    pub(in crate::cli::bench) queries: Vec<Vec<f32>>,
    pub(in crate::cli::bench) ideal: Ideal,
}

impl Subject {
    pub(in crate::cli::bench) fn made(
        args: &MadeArgs,
        at: &Path,
        options: &Options,
        progress: Progress,
    ) -> Result<Self> {
        let mixture = Mixture::new(Recipe { seed: args.seed, dim: args.dim, clusters: CLUSTERS });
        let base = mixture.base(args.rows, args.build_threads);
        let store = Store::open(at, options.clone())?;
        let docs = store.create_collection("bench", Schema::new(args.dim, args.metric))?;
        let bar = progress.bar("build", args.rows);
        let text: String = WORDS.chars().cycle().take(args.text_bytes).collect();
        for first in (0..args.rows).step_by(BATCH) {
            let rows = first..(first + BATCH).min(args.rows);
            bar.add(rows.len());
            docs.upsert(rows.map(|row| {
                Chunk::new(format!("row-{row}"))
                    .vector(base.row(row).to_vec())
                    .text(text.as_str())
                    .document(format!("document-{}", row / 10), (row % 10) as u32)
                    .meta("size", row as u64 % 1_000)
                    .meta("lang", if row.is_multiple_of(3) { "en" } else { "de" })
            }))?;
        }
        let queries = mixture.queries(QUERIES, args.build_threads);
        let queries = (0..QUERIES).map(|i| queries.row(i).to_vec()).collect();
        let source = format!("generated from seed {}, {} bytes of text", args.seed, args.text_bytes);
        let subject = Self::of(&docs, source, queries)?;
        store.close(CLOSE)?;
        Ok(subject)
    }

    /// The largest collection of a store that is given. The store is left as it is, but for being opened.
    pub(super) fn taken(data: &Path, at: &Path, options: &Options, progress: Progress) -> Result<Self> {
        let bar = progress.bar("snapshot", 1);
        let given = Store::open(data, options.clone())?;
        given.snapshot(at)?;
        drop(given);
        bar.add(1);
        let store = Store::open(at, options.clone())?;
        let largest = store.collections().into_iter().max_by_key(|c| c.stats().rows);
        let docs = largest.filter(|docs| docs.stats().rows > docs.stats().pending).ok_or_else(|| {
            let message = format!("{} has no collection with vectors; leave --data away", data.display());
            Error::new(ErrorKind::NotFound, message)
        })?;
        if docs.schema().tenant_required {
            let message =
                format!("collection {:?} requires a tenant, which this bench has none of", docs.name());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let mut queries = Vec::new();
        let mut cursor = None;
        while queries.len() < QUERIES {
            let page = docs.scroll(None, cursor, BATCH)?;
            queries.extend(page.chunks.into_iter().filter_map(|c| c.vector).take(QUERIES - queries.len()));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let subject = Self::of(&docs, data.display().to_string(), queries)?;
        store.close(CLOSE)?;
        Ok(subject)
    }

    fn of(docs: &Collection, source: String, queries: Vec<Vec<f32>>) -> Result<Self> {
        let schema = docs.schema();
        let (mut rows, mut payload, mut cursor) = (0, 0, None);
        loop {
            let page = docs.scroll(None, cursor, BATCH)?;
            rows += page.chunks.len();
            payload += page.chunks.iter().map(payload_bytes).sum::<usize>();
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(Self {
            source,
            name: docs.name().to_owned(),
            rows,
            dim: schema.dim,
            metric: schema.metric,
            queries,
            ideal: Ideal {
                vector: (4 * schema.dim) as f64,
                code: schema.dim as f64,
                // Level 0 has twice m; 1 in 15 rows stands on a level above, all levels counted.
                links: 4.0 * schema.m as f64 * (2.0 + 1.0 / 15.0),
                payload: payload as f64 / rows.max(1) as f64,
            },
        })
    }
}

/// What a host handed over beside the vector.
fn payload_bytes(chunk: &Chunk) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let metadata = if chunk.metadata.is_empty() {
        0
    } else {
        serde_json::to_string(&chunk.metadata).map_or(0, |j| j.len())
    };
    chunk.id.len() + text(&chunk.text) + text(&chunk.document_id) + text(&chunk.tenant) + metadata
}
