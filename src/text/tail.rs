//! Rows that stand in no segment yet: their words in plain maps, scored one by one.
//!
//! Invariant: a row's score is what a segment would give it: the same words, the same rounded length, the same formula.

use super::analyze::Analyzer;
use super::question::{Question, Wanted};
use super::segment::Run;
use super::statistics::Statistics;
use crate::error::Result;
use crate::ids::Slot;
use std::collections::HashMap;
use std::ops::Range;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::query::Bm25Weight;

/// What makes a run of the tail full: it becomes a segment then.
const DOCS_MAX: usize = 1_024;
const TEXT_BYTES_MAX: usize = 4 << 20;

/// The words of some rows that follow one another.
pub(super) struct TailRun {
    pub(super) run: Run,
    /// Place in the block and number of words of each row with a text.
    docs: Vec<(u16, u32)>,
    postings: HashMap<Box<str>, Vec<Posting>>,
    positions: Vec<u32>,
    tokens: u64,
    text_bytes: usize,
}

/// A word in one row.
struct Posting {
    doc: u32,
    /// Where it stands there: a range of the run's positions.
    at: Range<u32>,
}

impl TailRun {
    /// A run that covers nothing yet.
    pub(super) fn new(run: Run) -> Self {
        let (docs, positions) = (Vec::new(), Vec::new());
        Self {
            run: Run { end: run.first, ..run },
            docs,
            postings: HashMap::new(),
            positions,
            tokens: 0,
            text_bytes: 0,
        }
    }

    /// Covers `place`, and what is before it.
    pub(super) fn push(&mut self, place: u16, text: Option<&str>, analyzer: &mut Analyzer) {
        self.run.end = u32::from(place) + 1;
        let Some(text) = text else { return };
        let mut words: HashMap<Box<str>, Vec<u32>> = HashMap::new();
        let mut count = 0;
        analyzer.words(text, &mut |word| {
            count += 1;
            match words.get_mut(word.term) {
                Some(positions) => positions.push(word.position),
                None => drop(words.insert(word.term.into(), vec![word.position])),
            }
        });
        let doc = self.docs.len() as u32;
        self.docs.push((place, count));
        self.tokens += u64::from(count);
        self.text_bytes += text.len();
        for (term, positions) in words {
            let from = self.positions.len() as u32;
            self.positions.extend(positions);
            let at = from..self.positions.len() as u32;
            self.postings.entry(term).or_default().push(Posting { doc, at });
        }
    }

    /// Adds the rows of `next`, which follows.
    pub(super) fn extend(&mut self, next: Self) {
        let (docs, positions) = (self.docs.len() as u32, self.positions.len() as u32);
        self.run.end = next.run.end;
        self.docs.extend(next.docs);
        self.positions.extend(next.positions);
        self.tokens += next.tokens;
        self.text_bytes += next.text_bytes;
        for (term, postings) in next.postings {
            let moved = postings.into_iter().map(|Posting { doc, at }| Posting {
                doc: doc + docs,
                at: at.start + positions..at.end + positions,
            });
            self.postings.entry(term).or_default().extend(moved);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.docs.len() >= DOCS_MAX || self.text_bytes >= TEXT_BYTES_MAX
    }

    pub(super) fn docs(&self) -> usize {
        self.docs.len()
    }

    pub(super) fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The places of its rows with a text.
    pub(super) fn places(&self) -> Vec<u16> {
        self.docs.iter().map(|(place, _)| *place).collect()
    }

    /// Rows that hold the word.
    pub(super) fn doc_freq(&self, term: &str) -> u64 {
        self.postings.get(term).map_or(0, |postings| postings.len() as u64)
    }

    /// An estimate of its bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let postings: usize = self.postings.values().map(|p| p.capacity() * size_of::<Posting>()).sum();
        let terms: usize = self.postings.keys().map(|term| term.len() + 2 * size_of::<Box<str>>()).sum();
        postings
            + terms
            + self.positions.capacity() * size_of::<u32>()
            + self.docs.capacity() * size_of::<(u16, u32)>()
    }

    /// Calls `each` with every row that answers the question, and its score.
    pub(super) fn score(
        &self,
        question: &Question,
        wanted: Wanted,
        statistics: &Statistics,
        each: &mut dyn FnMut(Slot, f32),
    ) -> Result<()> {
        // Of a row: its score so far, and how many phrases and words it holds.
        let mut scores: HashMap<u32, (f32, usize, usize)> = HashMap::new();
        for phrase in &question.phrases {
            let Some((_, first)) = phrase.first() else { continue };
            let weight = statistics.weight(phrase.iter().map(|(_, term)| term.as_str()))?;
            for posting in self.postings.get(first.as_str()).into_iter().flatten() {
                let times = self.times(phrase, posting);
                if times > 0 {
                    let score = scores.entry(posting.doc).or_default();
                    score.0 += self.value(&weight, posting.doc, times);
                    score.1 += 1;
                }
            }
        }
        for term in &question.words {
            let weight = statistics.weight(std::iter::once(term.as_str()))?;
            for posting in self.postings.get(term.as_str()).into_iter().flatten() {
                let times = posting.at.end - posting.at.start;
                let score = scores.entry(posting.doc).or_default();
                score.0 += self.value(&weight, posting.doc, times);
                score.2 += 1;
            }
        }
        let words_min = if wanted == Wanted::All { question.words.len() } else { 0 };
        for (doc, (score, phrases, words)) in scores {
            if phrases == question.phrases.len()
                && words >= words_min
                && let Some((place, _)) = self.docs.get(doc as usize)
            {
                each(Slot::new(self.run.block, *place), score);
            }
        }
        Ok(())
    }

    /// How often the phrase stands in the row where `first` is its first word.
    fn times(&self, phrase: &[(u32, String)], first: &Posting) -> u32 {
        let holds = |offset: u32, term: &str, start: u32| {
            let postings = self.postings.get(term)?;
            let at = postings.binary_search_by_key(&first.doc, |p| p.doc).ok()?;
            self.positions_of(&postings[at]).binary_search(&start.checked_add(offset)?).ok()
        };
        let starts = self.positions_of(first).iter();
        starts
            .filter(|start| phrase.iter().all(|(offset, term)| holds(*offset, term, **start).is_some()))
            .count() as u32
    }

    fn positions_of(&self, posting: &Posting) -> &[u32] {
        self.positions.get(posting.at.start as usize..posting.at.end as usize).unwrap_or_default()
    }

    fn value(&self, weight: &Bm25Weight, doc: u32, times: u32) -> f32 {
        let words = self.docs.get(doc as usize).map_or(0, |(_, words)| *words);
        weight.score(FieldNormReader::fieldnorm_to_id(words), times)
    }
}
