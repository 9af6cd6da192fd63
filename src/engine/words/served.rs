//! Words over the text index.

use super::{TextHits, Wanted};
use crate::config::Schema;
use crate::disk::{Disk, Mapping};
use crate::engine::read::answer::{Snippet, TextWork};
use crate::engine::stats::TextStats;
use crate::engine::tables::rows::RowTable;
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BlockId, Slot};
use crate::manifest::{CollectionEntry, TextEntry};
use crate::sets::SlotBits;
use crate::text::{self, Run, SavedSegment, TextIndex, Texts};
use std::cmp::Ordering;
use std::sync::Arc;

/// Rows whose words one search looks up, at most: what it waits for. More are left to the background, and the answer says so.
const SEARCH_ROWS: usize = 4_096;

pub(crate) struct Words {
    /// `None` if the collection's language is off.
    index: Option<TextIndex>,
}

/// The texts of a view.
struct Rows<'a>(&'a RowTable);

impl Texts for Rows<'_> {
    fn text(&self, slot: Slot) -> Option<&str> {
        self.0.get(slot)?.text
    }
}

impl Words {
    pub(crate) fn new(number: u32, schema: &Schema) -> Result<Self> {
        Ok(Self { index: TextIndex::new(number, schema.language)? })
    }

    /// The same with what a manifest names. `rows`: how many each block has.
    pub(crate) fn with_files(
        self,
        disk: &Arc<dyn Disk>,
        mapping: Mapping,
        entry: &CollectionEntry,
        rows: Vec<usize>,
    ) -> Self {
        let index = self.index.map(|index| index.with_files(disk.clone(), mapping, saved(entry), rows));
        Self { index }
    }

    /// Live rows whose words nobody has looked up, counted up to `most`.
    pub(crate) fn lag(&self, view: &View, most: usize) -> usize {
        self.index.as_ref().map_or(0, |index| index.lag(&view.live, most))
    }

    /// Looks up the words of so many rows; whether none is left.
    pub(crate) fn catch_up(&self, view: &View, rows: usize) -> bool {
        self.index.as_ref().is_none_or(|index| index.catch_up(&view.live, &Rows(&view.tables.rows), rows))
    }

    /// One step of making segments; false if there is nothing to do.
    pub(crate) fn step(&self, view: &View) -> Result<bool> {
        let Some(index) = &self.index else { return Ok(false) };
        let growing = view.tables.vectors.next_slot().block();
        if !index.is_waiting(growing) {
            return Ok(false);
        }
        index.step(&Rows(&view.tables.rows), growing)
    }

    /// As if no row had been looked up.
    #[cfg(test)]
    pub(crate) fn forget(&self) {
        self.index.iter().for_each(TextIndex::forget_all);
    }

    pub(crate) fn drop_block(&self, block: BlockId) {
        self.index.iter().for_each(|index| index.drop_block(block));
    }

    /// Writes what has no file and names it all in `entry`; whether anything is new. A failure costs the words their files, and no more.
    pub(crate) fn save(
        &self,
        disk: &dyn Disk,
        entry: &mut CollectionEntry,
        pace: &dyn Fn(usize),
    ) -> Result<bool> {
        let saved = match &self.index {
            None => Vec::new(),
            Some(index) => match index.save(disk, pace) {
                Ok(saved) => saved,
                // Those that are named serve on.
                Err(_) => return Ok(false),
            },
        };
        let named = |SavedSegment { run, file }: SavedSegment| TextEntry {
            block: run.block.0,
            first: run.first,
            end: run.end,
            file,
        };
        let is_dropped = |text: &TextEntry| entry.dropped_blocks.binary_search(&text.block).is_ok();
        let texts: Vec<TextEntry> = saved.into_iter().map(named).filter(|text| !is_dropped(text)).collect();
        let is_new = texts != entry.texts;
        entry.texts = texts;
        Ok(is_new)
    }

    pub(crate) fn bring_in(&self, disk: &dyn Disk, mapping: Mapping, entry: &CollectionEntry) {
        self.index.iter().for_each(|index| index.bring_in(disk, mapping, &saved(entry)));
    }

    /// The best `k` of `accepted`; `order` says who is first of equals.
    pub(crate) fn search(
        &self,
        view: &View,
        words: &str,
        wanted: Wanted,
        accepted: &SlotBits,
        k: usize,
        order: &dyn Fn(Slot, Slot) -> Ordering,
    ) -> Result<TextHits> {
        let index = self.index.as_ref().ok_or_else(|| {
            let off =
                "the texts of this collection are not indexed: its language is off; create it with another";
            Error::new(ErrorKind::Unavailable, off)
        })?;
        let question = index.question(words);
        let is_whole = self.catch_up(view, SEARCH_ROWS);
        let wanted = match wanted {
            Wanted::Any => text::Wanted::Any,
            Wanted::All => text::Wanted::All,
        };
        let found = index.search(&question, wanted, accepted, k, order)?;
        // One that met damage has forgotten it.
        let is_whole = is_whole && index.lag(&view.live, 1) == 0;
        let work = TextWork {
            candidates: accepted.len(),
            scored: found.scored,
            segments: found.segments,
            tail: found.tail,
            cut: question.is_cut,
        };
        Ok(TextHits { hits: found.hits, plain: found.plain, work, is_whole })
    }

    /// The part of `text` that holds most of `words`.
    pub(crate) fn snippet(&self, text: &str, words: &str) -> Option<Snippet> {
        let index = self.index.as_ref()?;
        let text::Snippet { text, start, highlights } = index.snippet(text, &index.question(words));
        Some(Snippet { text, start, highlights })
    }

    /// In numbers, and its bytes on the heap.
    pub(crate) fn stats(&self, view: &View) -> (TextStats, usize) {
        let Some(index) = &self.index else { return Default::default() };
        let counts = index.counts();
        let stats = TextStats {
            documents: counts.documents,
            segments: counts.segments,
            tail: counts.tail,
            lag: index.lag(&view.live, usize::MAX),
            file_bytes: counts.file_bytes,
            trouble: index.trouble(),
        };
        (stats, counts.heap_bytes)
    }
}

fn saved(entry: &CollectionEntry) -> Vec<SavedSegment> {
    let saved = |text: &TextEntry| SavedSegment {
        run: Run { block: BlockId(text.block), first: text.first, end: text.end },
        file: text.file.clone(),
    };
    entry.texts.iter().map(saved).collect()
}
