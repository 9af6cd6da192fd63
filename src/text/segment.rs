//! One segment: the words of the texts in a run of slots of one block, made once.

use super::analyze::Analyzer;
use super::broken;
use super::bundle::Bundle;
use super::format::{Description, FILES_MAX, MAGIC, PLACE_BYTES, PLACES, VERSION};
use crate::disk::{Disk, Mapping, Named, SectionsFile, SectionsWriter, damaged, publish, temporary};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BLOCK_SLOTS, BlockId, Slot};
use std::path::PathBuf;
use std::sync::Arc;
use tantivy::directory::{Directory, RamDirectory};
use tantivy::indexer::merge_filtered_segments;
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::TokenizerManager;
use tantivy::{INDEX_FORMAT_VERSION, Index, IndexSettings, SegmentReader, TantivyDocument};

/// What tantivy sizes its tables by at first; they grow.
const TABLES_BYTES: usize = 4 << 20;
const TOKENIZER: &str = "nearfield";

/// A run of slots of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Run {
    pub(crate) block: BlockId,
    pub(crate) first: u32,
    /// The place after its last.
    pub(crate) end: u32,
}

pub(super) struct Segment {
    pub(super) run: Run,
    /// The place in its block of each document's row.
    places: Vec<u16>,
    tokens: u64,
    /// Nothing where no slot of the run has a text.
    body: Option<Body>,
}

struct Body {
    bundle: Bundle,
    index: Index,
    reader: SegmentReader,
}

/// The schema of every segment: one field.
pub(super) fn schema() -> (Schema, Field) {
    let mut schema = Schema::builder();
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions)
        .set_fieldnorms(true);
    let field = schema.add_text_field("text", TextOptions::default().set_indexing_options(indexing));
    (schema.build(), field)
}

impl Segment {
    /// The words of `texts`, by place, ascending.
    pub(super) fn build<'t>(
        run: Run,
        analyzer: &Analyzer,
        texts: impl Iterator<Item = (u16, &'t str)>,
    ) -> Result<Self> {
        let fail = |e: tantivy::TantivyError| broken("index texts", e);
        let mut texts = texts.peekable();
        if texts.peek().is_none() {
            return Ok(Self { run, places: Vec::new(), tokens: 0, body: None });
        }
        let (schema, field) = schema();
        let tokenizers = TokenizerManager::new();
        tokenizers.register(TOKENIZER, analyzer.tantivy());
        let directory = RamDirectory::create();
        let builder =
            Index::builder().schema(schema).tokenizers(tokenizers).settings(IndexSettings::default());
        let mut writer = builder
            .single_segment_index_writer::<TantivyDocument>(directory.clone(), TABLES_BYTES)
            .map_err(fail)?;
        let mut places = Vec::new();
        for (place, text) in texts {
            let mut document = TantivyDocument::default();
            document.add_text(field, text);
            writer.add_document(document).map_err(fail)?;
            places.push(place);
        }
        let index = writer.finalize().map_err(fail)?;
        Self::of_memory(run, places, &index, &directory)
    }

    /// One segment from several that follow one another in one block.
    pub(super) fn merge(parts: &[Arc<Self>]) -> Result<Self> {
        let fail = |e: tantivy::TantivyError| broken("merge segments", e);
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
            return Err(broken("merge segments", "there is none"));
        };
        let run = Run { end: last.run.end, ..first.run };
        let places: Vec<u16> = parts.iter().flat_map(|part| part.places.iter().copied()).collect();
        let mut sources = Vec::new();
        for body in parts.iter().filter_map(|part| part.body.as_ref()) {
            sources.extend(body.index.searchable_segments().map_err(fail)?);
        }
        if sources.is_empty() {
            return Ok(Self { run, places, tokens: 0, body: None });
        }
        let directory = RamDirectory::create();
        let none = sources.iter().map(|_| None).collect();
        let index = merge_filtered_segments(&sources, IndexSettings::default(), none, directory.clone())
            .map_err(fail)?;
        Self::of_memory(run, places, &index, &directory)
    }

    fn of_memory(run: Run, places: Vec<u16>, index: &Index, directory: &RamDirectory) -> Result<Self> {
        let mut names: Vec<PathBuf> = index.directory().list_managed_files().into_iter().collect();
        names.sort();
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            let is_there = directory.exists(&name).map_err(|e| broken("keep its files", e))?;
            if !is_there {
                continue;
            }
            let slice = directory.open_read(&name).map_err(|e| broken("keep its files", e))?;
            files.push((name, slice.read_bytes().map_err(|e| broken("keep its files", e))?));
        }
        Self::of_bundle(run, places, Bundle::in_memory(files.into_iter()))
    }

    fn of_bundle(run: Run, places: Vec<u16>, bundle: Bundle) -> Result<Self> {
        let fail = |e: tantivy::TantivyError| broken("open a segment", e);
        let index = Index::open(bundle.clone()).map_err(fail)?;
        let (wanted, field) = schema();
        if index.schema() != wanted {
            return Err(broken("open a segment", "its schema is another"));
        }
        let mut segments = index.searchable_segments().map_err(fail)?.into_iter();
        let (Some(segment), None) = (segments.next(), segments.next()) else {
            return Err(broken("open a segment", "it is not one segment"));
        };
        let reader = SegmentReader::open(&segment).map_err(fail)?;
        if reader.max_doc() as usize != places.len() || reader.has_deletes() {
            return Err(broken("open a segment", "its documents are not those of its rows"));
        }
        let tokens = reader.inverted_index(field).map_err(fail)?.total_num_tokens();
        Ok(Self { run, places, tokens, body: Some(Body { bundle, index, reader }) })
    }

    pub(super) fn docs(&self) -> usize {
        self.places.len()
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Bytes of its files.
    pub(super) fn bytes(&self) -> u64 {
        let files = self.body.as_ref().map_or(0, |body| body.bundle.bytes());
        files + (self.places.len() * PLACE_BYTES) as u64
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let files = self.body.as_ref().map_or(0, |body| body.bundle.heap_bytes());
        files + self.places.len() * PLACE_BYTES
    }

    pub(super) fn reader(&self) -> Option<&SegmentReader> {
        self.body.as_ref().map(|body| &body.reader)
    }

    pub(super) fn slot(&self, document: u32) -> Option<Slot> {
        self.places.get(document as usize).map(|place| Slot::new(self.run.block, *place))
    }

    /// Writes its file. The caller syncs the folder.
    pub(super) fn save(
        &self,
        disk: &dyn Disk,
        path: &str,
        collection: u32,
        analyzer: &Analyzer,
        pace: &dyn Fn(usize),
    ) -> Result<Named> {
        let mut files = Vec::new();
        for file in self.body.iter().flat_map(|body| body.bundle.files()) {
            let (name, bytes) = file.map_err(|e| broken("read its own files", e))?;
            files.push((name.to_string_lossy().into_owned(), bytes));
        }
        let description = Description {
            collection,
            block: self.run.block.0,
            first: self.run.first,
            end: self.run.end,
            language: analyzer.language().to_string(),
            analyzer: analyzer.version(),
            engine: INDEX_FORMAT_VERSION,
            tokens: self.tokens,
            files: files.iter().map(|(name, _)| name.clone()).collect(),
        };
        let text = serde_json::to_vec(&description).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("{path}: its description is no JSON; please report this"))
                .with_source(e)
        })?;
        let tmp = temporary(disk, path)?;
        let writer = SectionsWriter::create(disk, &tmp, MAGIC, VERSION, files.len() + 1, text.len())?;
        let mut writer = writer.with_pace(pace);
        writer.begin()?;
        let places: Vec<u8> = self.places.iter().flat_map(|place| place.to_le_bytes()).collect();
        writer.write(&places)?;
        for (_, bytes) in &files {
            writer.begin()?;
            writer.write(bytes)?;
        }
        let named = writer.finish(&text)?;
        publish(disk, &tmp, path)?;
        Ok(named)
    }

    /// A segment from its file, if it is the one that covers `run` and was made by `analyzer`.
    pub(super) fn load(
        disk: &dyn Disk,
        path: &str,
        named: &Named,
        mapping: Mapping,
        run: Run,
        collection: u32,
        analyzer: &Analyzer,
    ) -> Result<Self> {
        let file = SectionsFile::open(disk, path, MAGIC, VERSION, mapping, Some(named))?;
        let bad = |what: &str| damaged(path, 0, what);
        let description: Description = serde_json::from_slice(file.description())
            .map_err(|e| bad("its description cannot be read").with_source(e))?;
        let is_ours = description.collection == collection
            && description.block == run.block.0
            && (description.first, description.end) == (run.first, run.end)
            && description.files.len() <= FILES_MAX
            && file.sections() == description.files.len() + 1;
        if !is_ours {
            return Err(bad("it covers other rows than its manifest says"));
        }
        let is_current = description.language == analyzer.language().to_string()
            && description.analyzer == analyzer.version()
            && description.engine == INDEX_FORMAT_VERSION;
        if !is_current {
            return Err(bad("its words were made in another way; it is made again"));
        }
        let range = file.section(PLACES);
        let bytes = if file.check(range.clone()) { file.map().bytes().get(range) } else { None };
        let bytes = bytes.ok_or_else(|| bad("the checksum of its places does not match"))?;
        let places: Vec<u16> =
            bytes.chunks_exact(PLACE_BYTES).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        let is_rising = places.windows(2).all(|pair| pair[0] < pair[1]);
        let is_inside = places.iter().all(|place| (run.first..run.end).contains(&u32::from(*place)));
        let is_run = run.first < run.end && run.end as usize <= BLOCK_SLOTS;
        if !is_rising || !is_inside || !is_run || bytes.len() % PLACE_BYTES > 0 {
            return Err(bad("its places are not those of rows"));
        }
        if description.files.is_empty() {
            return match places.is_empty() {
                true => Ok(Self { run, places, tokens: 0, body: None }),
                false => Err(bad("it has rows and no words")),
            };
        }
        let bundle = Bundle::mapped(&Arc::new(file), PLACES + 1, &description.files)
            .map_err(|e| bad("it cannot be read").with_source(e))?;
        Self::of_bundle(run, places, bundle)
    }
}
