//! The text index of one collection: segments and tail, how rows come in, and searching both.
//!
//! Order of locks: `building`, `filling`, `state`. Searches hold `state` for reading while they look at the tail.

use super::analyze::Analyzer;
use super::broken;
use super::question::Question;
use super::segment::{Run, Segment, schema};
use super::snippet::{self, Snippet};
use super::state::{Held, State, uncovered};
use super::tail::TailRun;
use crate::config::Language;
use crate::disk::{Disk, Mapping};
use crate::error::{Error, Result};
use crate::ids::{BlockId, Slot};
use crate::manifest::{FileEntry, Name, collection_folder};
use crate::sets::SlotBits;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tantivy::{Index, ReloadPolicy, Searcher};

/// Rows whose words are looked up between two looks at the tail by others.
const FILL_ROWS: usize = 128;

/// Where the texts are.
pub(crate) trait Texts {
    /// The text of a row; `None` if it has none, or cannot be read.
    fn text(&self, slot: Slot) -> Option<&str>;
}

/// A segment and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SavedSegment {
    pub(crate) run: Run,
    pub(crate) file: FileEntry,
}

/// What there is, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) documents: usize,
    pub(crate) segments: usize,
    pub(crate) tail: usize,
    pub(crate) file_bytes: u64,
    pub(crate) heap_bytes: usize,
}

pub(crate) struct TextIndex {
    /// The collection's number.
    collection: u32,
    analyzer: Analyzer,
    /// Of an index without a document: queries ask it for the schema.
    pub(super) schema: Searcher,
    pub(super) state: RwLock<State>,
    /// Held by whoever brings in rows.
    filling: Mutex<()>,
    /// Held by whoever makes segments.
    building: Mutex<()>,
    /// Files of an earlier process, until somebody needs them.
    files: Mutex<Option<Files>>,
    /// The number of the next file.
    next: AtomicU32,
    /// Why something was thrown away, or could not be made.
    trouble: Mutex<Option<String>>,
}

/// Files that a manifest names.
struct Files {
    disk: Arc<dyn Disk>,
    mapping: Mapping,
    saved: Vec<SavedSegment>,
    /// Rows that each block has: what covers more was written before a crash took rows back.
    rows: Vec<usize>,
}

impl TextIndex {
    /// An index without a row; `None` if the language is off.
    pub(crate) fn new(collection: u32, language: Language) -> Result<Option<Self>> {
        let Some(analyzer) = Analyzer::new(language) else { return Ok(None) };
        let reader = Index::create_in_ram(schema().0).reader_builder().reload_policy(ReloadPolicy::Manual);
        let reader: tantivy::IndexReader = reader.try_into().map_err(|e| broken("begin", e))?;
        Ok(Some(Self {
            collection,
            analyzer,
            schema: reader.searcher(),
            state: RwLock::default(),
            filling: Mutex::default(),
            building: Mutex::default(),
            files: Mutex::default(),
            next: AtomicU32::new(0),
            trouble: Mutex::default(),
        }))
    }

    /// The same with the segments of an earlier process, which are opened when they are first needed. `rows`: how many each block has.
    pub(crate) fn with_files(
        self,
        disk: Arc<dyn Disk>,
        mapping: Mapping,
        saved: Vec<SavedSegment>,
        rows: Vec<usize>,
    ) -> Self {
        let number = |saved: &SavedSegment| match Name::parse(&saved.file.name) {
            Some(Name::Text(_, number)) => number.saturating_add(1),
            _ => 0,
        };
        self.next.store(saved.iter().map(number).max().unwrap_or(0), Ordering::Relaxed);
        *self.files.lock() = Some(Files { disk, mapping, saved, rows });
        self
    }

    /// A question in the words of this index.
    pub(crate) fn question(&self, text: &str) -> Question {
        Question::new(text, &mut self.analyzer.clone())
    }

    /// Brings in up to `rows` of the live rows that are not covered; whether all are then.
    pub(crate) fn catch_up(&self, live: &SlotBits, texts: &dyn Texts, mut rows: usize) -> bool {
        // Whoever looks up words may be waited for only if there are some to look up.
        while self.lag(live, 1) > 0 {
            if rows == 0 {
                return false;
            }
            rows = rows.saturating_sub(self.fill(live, texts, rows.min(FILL_ROWS)));
        }
        true
    }

    /// Live rows that are not covered, counted up to `most`.
    pub(crate) fn lag(&self, live: &SlotBits, most: usize) -> usize {
        self.adopt();
        let state = self.state.read();
        let covers = (0..live.blocks_len()).filter_map(|b| state.covered(BlockId(b as u16)));
        covers.flat_map(|cover| uncovered(live, cover)).take(most).count()
    }

    /// Looks up the words of some rows of one block; how many, none if there is none to look at.
    fn fill(&self, live: &SlotBits, texts: &dyn Texts, rows: usize) -> usize {
        let _alone = self.filling.lock();
        let next = {
            let state = self.state.read();
            (0..live.blocks_len()).find_map(|b| {
                let from = state.covered(BlockId(b as u16))?;
                uncovered(live, from).next().map(|_| from)
            })
        };
        let Some((from, first)) = next.and_then(|from| Some((from, from.first?))) else {
            return 0;
        };
        let run = Run { block: from.block, first: u32::from(first), end: u32::from(first) };
        let mut part = TailRun::new(run);
        let mut analyzer = self.analyzer.clone();
        let mut done = 0;
        for slot in uncovered(live, from).take(rows) {
            part.push(slot.index() as u16, texts.text(slot), &mut analyzer);
            done += 1;
        }
        self.state.write().append(part);
        done
    }

    /// One step of making segments, or of making fewer of them; false if there is nothing to do. Blocks before `growing` take no
    /// more rows.
    pub(crate) fn step(&self, texts: &dyn Texts, growing: BlockId) -> Result<bool> {
        let _alone = self.building.lock();
        self.adopt();
        let done = guarded("make a segment", || Ok(self.settle(texts, growing)? || self.merge(growing)?));
        if let Err(e) = &done {
            self.note(e);
        }
        done
    }

    /// Whether [`Self::step`] has something to do.
    pub(crate) fn is_waiting(&self, growing: BlockId) -> bool {
        let state = self.state.read();
        state.ripe(growing).is_some() || state.mergeable(growing).is_some()
    }

    /// A run of the tail becomes a segment.
    fn settle(&self, texts: &dyn Texts, growing: BlockId) -> Result<bool> {
        let Some((run, places)) = self.state.read().ripe(growing).map(|tail| (tail.run, tail.places()))
        else {
            return Ok(false);
        };
        let docs =
            places.iter().filter_map(|place| Some((*place, texts.text(Slot::new(run.block, *place))?)));
        let segment = Arc::new(Segment::build(run, &self.analyzer, docs)?);
        let mut state = self.state.write();
        if let Some(at) = state.tail.iter().position(|tail| tail.run == run) {
            state.tail.remove(at);
            state.insert(Held { segment, file: None, is_mapped: false });
        }
        Ok(true)
    }

    fn merge(&self, growing: BlockId) -> Result<bool> {
        let parts = {
            let state = self.state.read();
            let Some(range) = state.mergeable(growing) else { return Ok(false) };
            state.segments[range].iter().map(|held| held.segment.clone()).collect::<Vec<_>>()
        };
        let merged = match Segment::merge(&parts) {
            Ok(merged) => Arc::new(merged),
            Err(e) => {
                // One of them cannot be read: all are made again.
                parts.first().into_iter().for_each(|part| self.forget(part.run));
                return Err(e);
            }
        };
        let mut state = self.state.write();
        let at = state.segments.iter().position(|held| Arc::ptr_eq(&held.segment, &parts[0]));
        let same = |at: &usize| {
            let there = state.segments.get(*at..at + parts.len()).unwrap_or_default();
            there.len() == parts.len() && there.iter().zip(&parts).all(|(a, b)| Arc::ptr_eq(&a.segment, b))
        };
        if let Some(at) = at.filter(same) {
            let held = Held { segment: merged, file: None, is_mapped: false };
            state.segments.splice(at..at + parts.len(), [held]);
        }
        Ok(true)
    }

    pub(crate) fn snippet(&self, text: &str, question: &Question) -> Snippet {
        snippet::snippet(text, question, &mut self.analyzer.clone())
    }

    /// Forgets what covers a block from the start of `run` on: it is covered again from rows.
    pub(super) fn forget(&self, run: Run) {
        let _alone = self.filling.lock();
        let mut state = self.state.write();
        state.segments.retain(|held| !run.is_before(held.segment.run));
        state.tail.retain(|tail| !run.is_before(tail.run));
    }

    #[cfg(test)]
    pub(crate) fn forget_all(&self) {
        let mut state = self.state.write();
        state.segments.clear();
        state.tail.clear();
    }

    /// A block was given back.
    pub(crate) fn drop_block(&self, block: BlockId) {
        self.adopt();
        self.forget(Run { block, first: 0, end: 0 });
        self.state.write().dropped.insert(block);
    }

    /// Writes the segments that have no file. The caller syncs the folder, and names them all in a manifest.
    pub(crate) fn save(&self, disk: &dyn Disk, pace: &dyn Fn(usize)) -> Result<Vec<SavedSegment>> {
        self.adopt();
        // Nobody merges what is being written.
        let _alone = self.building.lock();
        let saved = self.save_all(disk, pace);
        if let Err(e) = &saved {
            self.note(e);
        }
        saved
    }

    fn save_all(&self, disk: &dyn Disk, pace: &dyn Fn(usize)) -> Result<Vec<SavedSegment>> {
        let held = self.state.read().segments.clone();
        let mut saved = Vec::with_capacity(held.len());
        for Held { segment, file, .. } in held {
            let file = match file {
                Some(file) => file,
                None => {
                    let name = Name::Text(segment.run.block, self.next.fetch_add(1, Ordering::Relaxed));
                    let path = format!("{}/{name}", collection_folder(self.collection));
                    let named = segment.save(disk, &path, self.collection, &self.analyzer, pace)?;
                    FileEntry::new(name, named)
                }
            };
            saved.push(SavedSegment { run: segment.run, file });
        }
        Ok(saved)
    }

    /// Puts the files that a manifest names now in the place of memory.
    pub(crate) fn bring_in(&self, disk: &dyn Disk, mapping: Mapping, saved: &[SavedSegment]) {
        for SavedSegment { run, file } in saved {
            let is_wanted = |held: &Held| held.segment.run == *run && !held.is_mapped;
            if !self.state.read().segments.iter().any(is_wanted) {
                continue;
            }
            let loaded = self.load(disk, mapping, &SavedSegment { run: *run, file: file.clone() });
            let mut state = self.state.write();
            let Some(held) = state.segments.iter_mut().find(|held| is_wanted(held)) else { continue };
            match loaded {
                // What is in memory has been saved, and serves on should its file not open.
                Err(e) => self.note(&e),
                Ok(segment) => {
                    *held = Held { segment: Arc::new(segment), file: Some(file.clone()), is_mapped: true };
                }
            }
        }
    }

    fn load(&self, disk: &dyn Disk, mapping: Mapping, saved: &SavedSegment) -> Result<Segment> {
        let path = format!("{}/{}", collection_folder(self.collection), saved.file.name);
        guarded("open a segment", || {
            let named = saved.file.named();
            Segment::load(disk, &path, &named, mapping, saved.run, self.collection, &self.analyzer)
        })
    }

    /// Opens the segments of an earlier process. Of each block those are used that follow one another from its first slot on.
    pub(super) fn adopt(&self) {
        let mut files = self.files.lock();
        let Some(Files { disk, mapping, mut saved, rows }) = files.take() else { return };
        saved.sort_by_key(|saved| saved.run);
        let mut ends: BTreeMap<BlockId, u32> = BTreeMap::new();
        let mut segments = Vec::new();
        for saved in saved {
            let Run { block, first, end } = saved.run;
            let held = rows.get(block.index()).copied().unwrap_or(0);
            if ends.get(&block).copied().unwrap_or(0) != first || end as usize > held {
                continue;
            }
            match self.load(&*disk, mapping, &saved) {
                Ok(segment) => {
                    ends.insert(block, end);
                    let file = Some(saved.file);
                    segments.push(Held { segment: Arc::new(segment), file, is_mapped: true });
                }
                Err(e) => self.note(&e),
            }
        }
        self.state.write().segments = segments;
    }

    pub(super) fn note(&self, e: &Error) {
        *self.trouble.lock() = Some(e.to_string());
    }

    /// Why something was thrown away or could not be made, the last time that it was.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.adopt();
        let state = self.state.read();
        let segments = || state.segments.iter().map(|held| &held.segment);
        let tail = state.tail.iter().map(TailRun::docs).sum();
        Counts {
            documents: segments().map(|s| s.docs()).sum::<usize>() + tail,
            segments: state.segments.len(),
            tail,
            file_bytes: segments().map(|s| s.bytes()).sum(),
            heap_bytes: segments().map(|s| s.heap_bytes()).sum::<usize>()
                + state.tail.iter().map(TailRun::heap_bytes).sum::<usize>(),
        }
    }
}

/// What a bug in tantivy's reading of a file does to one call, and no more.
pub(super) fn guarded<T>(what: &str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(broken(what, "it panicked")))
}
