//! The life of a document in a collection: cut, compared with what is there, embedded where it is new, exchanged in one commit.
//!
//! Invariants: a text that was in the document before keeps its vector, wherever it stands now; two writers of one document leave the
//! whole of one of them; what fails has changed nothing. A chunk's metadata holds what the caller gave, `title`, `kind`, and under
//! `chunk` the hash of its text, the bytes of the document's text that it is (`start`, `end`), the headings above it, its page;
//! the first chunk's also what the whole was made from (`source`), so that a document that did not change is not even read.

use super::extract::{Content, Extracted};
use super::{Chunking, Kind};
use crate::embed::Embedder;
use crate::engine::Collection;
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::ids::{ChunkId, Ver};
use crate::limits;
use crate::record::{Chunk, Map};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The key of the metadata that is this module's.
pub(crate) const KEY: &str = "chunk";
/// Changes when the same content would be cut in another way.
const CUTS: u32 = 3;
/// Bytes that an id adds to its document's.
const NUMBER_BYTES: usize = 12;
/// Two writers of one document: how often one begins again.
const TRIES: usize = 4;

/// Writes documents into a collection: cut into chunks, embedded where they are new, replaced as a whole.
///
/// ```
/// use nearfield::{Content, Documents, Hashed, Kind, Metric, Schema, Store};
///
/// let store = Store::memory();
/// let docs = store.create_collection("docs", Schema::new(512, Metric::Cosine))?;
/// let embedder = Hashed::default();
/// let manual = Content::text("# Manual\n\nTurn it on.\n\n## Care\n\nKeep it dry.\n", Kind::Markdown);
/// let report = Documents::of(&docs).embedder(&embedder).store("manual", &manual, Default::default())?;
/// assert_eq!((report.added, report.embedded), (report.chunks, report.chunks));
/// let again = Documents::of(&docs).embedder(&embedder).store("manual", &manual, Default::default())?;
/// assert_eq!((again.unchanged, again.embedded), (report.chunks, 0));
/// # Ok::<(), nearfield::Error>(())
/// ```
#[derive(Clone)]
pub struct Documents<'a> {
    collection: &'a Collection,
    embedder: Option<&'a dyn Embedder>,
    chunking: Option<Chunking>,
}

/// What became of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DocumentReport {
    /// Chunks that it has now.
    pub chunks: usize,
    /// Texts that it had not, beyond those that took the place of others.
    pub added: usize,
    /// Texts that took the place of others.
    pub changed: usize,
    /// Texts that it had already.
    pub unchanged: usize,
    /// Texts that it has no more, beyond those whose place was taken.
    pub removed: usize,
    /// Texts that were given to the embedder.
    pub embedded: usize,
    /// Chunks that have no vector: they wait for one.
    pub pending: usize,
    /// Chunks that the embedder refused, and why; they are among those that wait.
    pub refused: Vec<(u32, String)>,
}

impl Collection {
    /// Stores a document without vectors: its chunks wait for them. [`Documents`] does more.
    pub fn store_document(
        &self,
        id: &str,
        content: impl Into<Content>,
        metadata: Map,
    ) -> Result<DocumentReport> {
        Documents::of(self).store(id, &content.into(), metadata)
    }
}

impl<'a> Documents<'a> {
    /// Documents of `collection`, or of the tenant that it was opened for.
    pub fn of(collection: &'a Collection) -> Self {
        Self { collection, embedder: None, chunking: None }
    }

    /// Who makes the vectors. Default: nobody; chunks are stored without one, and wait.
    #[must_use]
    pub fn embedder(mut self, embedder: &'a dyn Embedder) -> Self {
        self.embedder = Some(embedder);
        self
    }

    /// How large chunks are. Default: [`Chunking::for_model`] of the embedder, 384 tokens most often, of which 48 repeat.
    #[must_use]
    pub fn chunking(mut self, chunking: Chunking) -> Self {
        self.chunking = Some(chunking);
        self
    }

    fn sizes(&self) -> Chunking {
        self.chunking.unwrap_or_else(|| self.embedder.map_or_else(Chunking::default, Chunking::for_model))
    }

    pub(super) fn collection(&self) -> &Collection {
        self.collection
    }

    /// Makes `content` the document `id`, whatever it was before, in one commit. Its chunks are called `id#0`, `id#1` and so on.
    ///
    /// An embedder that is away, or does not fit the collection, is an error, and nothing has changed.
    pub fn store(&self, id: &str, content: &Content, metadata: Map) -> Result<DocumentReport> {
        self.check(id, &metadata)?;
        let source = self.source(content, &metadata);
        let mut new: Option<Extracted> = None;
        // What was embedded stays so while another writer is waited out.
        let mut made: HashMap<String, Result<Vec<f32>>> = HashMap::new();
        for rest in (0..TRIES).rev() {
            let old = self.collection.document_seen(id)?;
            if let Some(report) = self.same(&old, &source) {
                return Ok(report);
            }
            let extracted = match new.take() {
                Some(extracted) => extracted,
                None => content.extract(&self.sizes())?,
            };
            match self.exchange(id, &extracted, &metadata, &source, old, &mut made) {
                Err(e) if e.kind() == ErrorKind::Conflict && rest > 0 && self.moved(&e) => {
                    new = Some(extracted)
                }
                done => return done,
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!("document {} is being changed all the time", excerpt(id)),
        ))
    }

    /// What [`Documents::store`] would do, without asking the embedder for anything: `embedded` is what it would be asked for.
    pub fn plan(&self, id: &str, content: &Content, metadata: Map) -> Result<DocumentReport> {
        self.check(id, &metadata)?;
        let source = self.source(content, &metadata);
        let old = self.collection.document_seen(id)?;
        if let Some(report) = self.same(&old, &source) {
            return Ok(report);
        }
        let chunks = self.chunks(id, &content.extract(&self.sizes())?, &metadata, &source);
        let mut report = counted(&old, &chunks);
        let asked = self.asked(&chunks, &self.known(&old)).len();
        match self.embedder {
            Some(_) => report.embedded = asked,
            None => report.pending = asked,
        }
        Ok(report)
    }

    /// Removes a document; says how many chunks it had.
    pub fn remove(&self, id: &str) -> Result<usize> {
        Ok(self.collection.delete_document(id)?.0)
    }

    /// An embedder's conflict is not another writer's.
    fn moved(&self, error: &Error) -> bool {
        error.message().contains("changed meanwhile")
    }

    fn check(&self, id: &str, metadata: &Map) -> Result<()> {
        self.sizes().validate()?;
        let max = limits::ID_BYTES_MAX - NUMBER_BYTES;
        if id.is_empty() || id.len() > max {
            let n = id.len();
            return Err(Error::invalid(format!(
                "document id {} has {n} bytes; it must have 1 to {max}",
                excerpt(id)
            )));
        }
        if metadata.contains_key(KEY) {
            return Err(Error::invalid(
                "metadata key \"chunk\" is the library's own in documents; use another",
            ));
        }
        let (Some(embedder), dim) = (self.embedder, self.collection.schema().dim) else { return Ok(()) };
        if embedder.dim() != dim {
            let message = format!(
                "model {} makes vectors of {} numbers, collection {:?} has {dim}; use the collection's model, or another collection",
                excerpt(embedder.model()),
                embedder.dim(),
                self.collection.name()
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(())
    }

    /// A name for everything that decides what is stored, but for vectors.
    fn source(&self, content: &Content, metadata: &Map) -> String {
        let mut hash = Sha256::new();
        let Chunking { tokens, overlap } = self.sizes();
        hash.update(format!(
            "{CUTS} {tokens} {overlap} {:?} {}\n",
            content.kind(),
            Value::Object(metadata.clone())
        ));
        hash.update(content.bytes());
        hex(&hash.finalize())
    }

    /// The report of a document that is already what it is to be.
    fn same(&self, old: &[(Chunk, Ver)], source: &str) -> Option<DocumentReport> {
        let (first, _) = old.first()?;
        // Whoever stored these chunks may not have been this module.
        let about = first.metadata.get(KEY).filter(|about| about["source"] == source)?;
        let is_whole = about["of"] == old.len();
        let has_vectors = self.embedder.is_none_or(|embedder| {
            old.iter().all(|(chunk, _)| {
                chunk.vector.is_some() && chunk.embedding_model.as_deref() == Some(embedder.model())
            })
        });
        let pending = old.iter().filter(|(chunk, _)| chunk.vector.is_none()).count();
        let report =
            DocumentReport { chunks: old.len(), unchanged: old.len(), pending, ..DocumentReport::default() };
        (is_whole && has_vectors).then_some(report)
    }

    fn exchange(
        &self,
        id: &str,
        new: &Extracted,
        metadata: &Map,
        source: &str,
        old: Vec<(Chunk, Ver)>,
        made: &mut HashMap<String, Result<Vec<f32>>>,
    ) -> Result<DocumentReport> {
        let mut chunks = self.chunks(id, new, metadata, source);
        let mut report = counted(&old, &chunks);
        self.embed(&mut chunks, &old, made, &mut report)?;
        let mut seen: HashMap<String, (Chunk, Ver)> =
            old.into_iter().map(|(chunk, ver)| (chunk.id.clone(), (chunk, ver))).collect();
        let mut rows = Vec::new();
        for chunk in chunks {
            match seen.remove(&chunk.id) {
                Some((before, _)) if before == chunk => {}
                Some((_, ver)) => rows.push((chunk, Some(ver))),
                None => rows.push((chunk, None)),
            }
        }
        let gone: Vec<(ChunkId, Ver)> =
            seen.into_iter().map(|(id, (_, ver))| (ChunkId::from(id.as_str()), ver)).collect();
        if !rows.is_empty() || !gone.is_empty() {
            self.collection.swap(rows, gone)?;
        }
        Ok(report)
    }

    /// The chunks without vectors.
    fn chunks(&self, id: &str, new: &Extracted, metadata: &Map, source: &str) -> Vec<Chunk> {
        let of = new.pieces.len();
        let chunk = |(at, piece): (usize, &super::pack::Piece)| {
            let text = &new.text[piece.range.clone()];
            let mut about = json!({"hash": hash(text), "start": piece.range.start, "end": piece.range.end});
            if !piece.headings.is_empty() {
                about["headings"] = json!(piece.headings);
            }
            if let Some(page) = new.page(piece) {
                about["page"] = json!(page);
            }
            if at == 0 {
                about["source"] = json!(source);
                about["of"] = json!(of);
            }
            let mut all = metadata.clone();
            if let Some(title) = &new.title {
                all.entry("title").or_insert_with(|| json!(title));
            }
            all.entry("kind").or_insert_with(|| json!(Kind::name(new.kind)));
            all.insert(KEY.to_owned(), about);
            let index = u32::try_from(at).unwrap_or(u32::MAX);
            let mut chunk = Chunk::new(format!("{id}#{at}")).text(text).document(id, index).metadata(all);
            chunk.tenant = self.collection.tenant_name().map(str::to_owned);
            chunk
        };
        new.pieces.iter().enumerate().map(chunk).collect()
    }

    /// Chunks that have a vector which counts, by text.
    fn known<'o>(&self, old: &'o [(Chunk, Ver)]) -> HashMap<&'o str, &'o Chunk> {
        let model = self.embedder.map(Embedder::model);
        let mut known = HashMap::new();
        for (chunk, _) in old {
            let fits = model.is_none() || chunk.embedding_model.as_deref() == model;
            if let (Some(_), Some(text), true) = (&chunk.vector, &chunk.text, fits) {
                known.insert(text.as_str(), chunk);
            }
        }
        known
    }

    /// Texts without a vector that counts, each once.
    fn asked(&self, chunks: &[Chunk], known: &HashMap<&str, &Chunk>) -> Vec<String> {
        let new = |chunk: &Chunk| chunk.text.clone().filter(|text| !known.contains_key(text.as_str()));
        let mut asked: Vec<String> = chunks.iter().filter_map(new).collect();
        asked.sort_unstable();
        asked.dedup();
        asked
    }

    /// Gives each chunk the vector that its text has, or has now.
    fn embed(
        &self,
        chunks: &mut [Chunk],
        old: &[(Chunk, Ver)],
        made: &mut HashMap<String, Result<Vec<f32>>>,
        report: &mut DocumentReport,
    ) -> Result<()> {
        let model = self.embedder.map(Embedder::model);
        let known = self.known(old);
        let mut asked = self.asked(chunks, &known);
        asked.retain(|text| !made.contains_key(text));
        if let (Some(embedder), false) = (self.embedder, asked.is_empty()) {
            let texts: Vec<&str> = asked.iter().map(String::as_str).collect();
            let each = embedder.embed_each(&texts);
            made.extend(asked.into_iter().zip(each));
        }
        for chunk in chunks {
            let Some(text) = chunk.text.as_deref() else { continue };
            match (known.get(text), made.get(text)) {
                (Some(before), _) => {
                    (chunk.vector, chunk.embedding_model) =
                        (before.vector.clone(), before.embedding_model.clone());
                }
                (None, Some(Ok(vector))) => {
                    chunk.vector = Some(vector.clone());
                    chunk.embedding_model = model.map(str::to_owned);
                }
                (None, Some(Err(e))) if e.kind() == ErrorKind::Invalid => {
                    report.refused.push((chunk.chunk_index, e.to_string()));
                    report.pending += 1;
                }
                (None, Some(Err(e))) => return Err(e.again()),
                (None, None) => report.pending += 1,
            }
        }
        report.embedded = made.values().filter(|made| made.is_ok()).count();
        Ok(())
    }
}

/// What is new and what is gone, by texts: where one was moved, nothing changed.
fn counted(old: &[(Chunk, Ver)], new: &[Chunk]) -> DocumentReport {
    let mut before: HashMap<&str, usize> = HashMap::new();
    for (chunk, _) in old {
        *before.entry(chunk.text.as_deref().unwrap_or_default()).or_default() += 1;
    }
    let mut unchanged = 0;
    for chunk in new {
        if let Some(n) = before.get_mut(chunk.text.as_deref().unwrap_or_default()).filter(|n| **n > 0) {
            *n -= 1;
            unchanged += 1;
        }
    }
    let (come, gone) = (new.len() - unchanged, old.len() - unchanged);
    let changed = come.min(gone);
    DocumentReport {
        chunks: new.len(),
        added: come - changed,
        changed,
        unchanged,
        removed: gone - changed,
        ..DocumentReport::default()
    }
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text))
}

/// Half of a SHA-256 as text: nobody finds two texts of one hash.
fn hex(hash: &[u8]) -> String {
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}
