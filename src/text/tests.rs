//! What the tests of this module share: made-up texts, and BM25 by the book over all of them.

mod damage;
mod hostile;
mod oracle;

use super::analyze::Analyzer;
use super::collect::Found;
use super::question::{Question, Wanted};
use super::{SavedSegment, TextIndex, Texts};
use crate::config::Language;
use crate::ids::{BlockId, Slot};
use crate::sets::SlotBits;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tantivy::fieldnorm::FieldNormReader;

/// A small generator whose seed is its whole state.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// Rows: the text of each slot, and which are live.
#[derive(Clone, Default)]
pub(super) struct Rows {
    pub(super) texts: BTreeMap<Slot, Option<String>>,
    pub(super) live: SlotBits,
}

impl Texts for Rows {
    fn text(&self, slot: Slot) -> Option<&str> {
        self.texts.get(&slot)?.as_deref()
    }
}

const WORDS: [&str; 24] = [
    "library",
    "libraries",
    "data",
    "server",
    "the",
    "of",
    "running",
    "runs",
    "python",
    "game",
    "games",
    "audio",
    "fast",
    "and",
    "caf\u{e9}",
    "cafe",
    "kernel",
    "a",
    "network",
    "tool",
    "editor",
    "x11",
    "perl",
    "to",
];

impl Rows {
    pub(super) fn add(&mut self, slot: Slot, text: Option<String>) {
        self.texts.insert(slot, text);
        self.live = self.live.with(&[slot], &[]);
    }

    /// Blocks of so many rows each; some have no text.
    pub(super) fn made(blocks: &[usize], dice: &mut Dice) -> Self {
        let mut rows = Self::default();
        let mut slots = Vec::new();
        for (block, count) in blocks.iter().enumerate() {
            for index in 0..*count {
                let slot = Slot::new(BlockId(block as u16), index as u16);
                let text = (dice.below(10) > 0).then(|| text(dice));
                rows.texts.insert(slot, text);
                slots.push(slot);
            }
        }
        rows.live = rows.live.with(&slots, &[]);
        rows
    }
}

pub(super) fn text(dice: &mut Dice) -> String {
    // The first words are frequent, the last rare.
    let word = |dice: &mut Dice| {
        let most = 1 + dice.below(WORDS.len());
        WORDS[dice.below(most)]
    };
    let words: Vec<&str> = (0..dice.below(40)).map(|_| word(dice)).collect();
    words.join(" ")
}

pub(super) fn index(language: Language) -> TextIndex {
    TextIndex::new(7, language).unwrap().unwrap()
}

/// Everything in, and steps of making segments, `steps` at most.
pub(super) fn fill(index: &TextIndex, rows: &Rows, growing: u16, steps: usize) {
    assert!(index.catch_up(&rows.live, rows, usize::MAX));
    for _ in 0..steps {
        if !index.step(rows, BlockId(growing)).unwrap() {
            break;
        }
    }
}

pub(super) fn by_slot(a: Slot, b: Slot) -> Ordering {
    a.cmp(&b)
}

pub(super) fn search(index: &TextIndex, question: &str, accepted: &SlotBits, k: usize) -> Found {
    index.search(&index.question(question), Wanted::Any, accepted, k, &by_slot).unwrap()
}

/// Those of `hits` whose text holds every word of the question that any text holds.
pub(super) fn holding_all(rows: &Rows, question: &str, hits: &[(f64, Slot)]) -> Vec<(f64, Slot)> {
    let mut analyzer = Analyzer::new(Language::English).unwrap();
    let question = Question::new(question, &mut analyzer);
    let mut words_of = |text: &str| {
        let mut words = BTreeSet::new();
        analyzer.words(text, &mut |word| {
            words.insert(word.term.to_owned());
        });
        words
    };
    let texts: BTreeMap<Slot, BTreeSet<String>> =
        rows.texts.iter().filter_map(|(slot, text)| Some((*slot, words_of(text.as_ref()?)))).collect();
    let known: Vec<&String> =
        question.words.iter().filter(|word| texts.values().any(|words| words.contains(*word))).collect();
    let holds = |slot: &Slot| known.iter().all(|word| texts[slot].contains(*word));
    hits.iter().filter(|(_, slot)| holds(slot)).copied().collect()
}

/// BM25 by the book, over the rows that were ever brought in; answers come from `accepted` alone.
pub(super) fn oracle(
    rows: &Rows,
    language: Language,
    question: &str,
    accepted: &SlotBits,
) -> Vec<(f64, Slot)> {
    let mut analyzer = Analyzer::new(language).unwrap();
    let question = Question::new(question, &mut analyzer);
    let mut texts: BTreeMap<Slot, HashMap<String, Vec<u32>>> = BTreeMap::new();
    let mut lengths: BTreeMap<Slot, u32> = BTreeMap::new();
    for (slot, text) in rows.texts.iter().filter_map(|(slot, text)| Some((*slot, text.as_ref()?))) {
        let words = texts.entry(slot).or_default();
        let length = lengths.entry(slot).or_default();
        analyzer.words(text, &mut |word| {
            words.entry(word.term.to_owned()).or_default().push(word.position);
            *length += 1;
        });
    }
    let count = texts.len() as f64;
    let average = lengths.values().map(|n| f64::from(*n)).sum::<f64>() / count;
    let idfs: HashMap<&str, f64> = question
        .terms()
        .into_iter()
        .map(|term| {
            let holding = texts.values().filter(|words| words.contains_key(term)).count() as f64;
            (term, (1.0 + (count - holding + 0.5) / (holding + 0.5)).ln())
        })
        .collect();
    let idf = |term: &str| idfs[term];
    let value = |slot: &Slot, idf: f64, times: usize| {
        let rounded = FieldNormReader::id_to_fieldnorm(FieldNormReader::fieldnorm_to_id(lengths[slot]));
        let norm = 1.2 * (1.0 - 0.75 + 0.75 * f64::from(rounded) / average);
        2.2 * idf * times as f64 / (times as f64 + norm)
    };
    let mut hits = Vec::new();
    for (slot, words) in &texts {
        let (mut score, mut answers) = (0.0, !question.phrases.is_empty());
        for phrase in &question.phrases {
            let starts: BTreeSet<u32> = words.get(&phrase[0].1).into_iter().flatten().copied().collect();
            let holds = |start: &u32| {
                phrase.iter().all(|(at, term)| words.get(term).is_some_and(|p| p.contains(&(start + at))))
            };
            let times = starts.iter().filter(|start| holds(start)).count();
            answers &= times > 0;
            score += value(slot, phrase.iter().map(|(_, term)| idf(term)).sum(), times);
        }
        for term in &question.words {
            if let Some(positions) = words.get(term) {
                answers |= question.phrases.is_empty();
                score += value(slot, idf(term), positions.len());
            }
        }
        if answers && accepted.contains(*slot) {
            hits.push((score, *slot));
        }
    }
    hits.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    hits
}

/// The same rows with the same scores, where scores differ by more than rounding.
pub(super) fn assert_same(found: &Found, expected: &[(f64, Slot)], k: usize, what: &str) {
    assert_eq!(found.hits.len(), expected.len().min(k), "{what}");
    let scores: HashMap<Slot, f64> = expected.iter().map(|(score, slot)| (*slot, *score)).collect();
    let slots: BTreeSet<Slot> = found.hits.iter().map(|hit| hit.1).collect();
    assert_eq!(slots.len(), found.hits.len(), "{what}: a row twice");
    for ((score, slot), (wanted, _)) in found.hits.iter().zip(expected) {
        let own = scores.get(slot).unwrap_or_else(|| panic!("{what}: {slot:?} does not answer"));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-4 * b.abs().max(1.0);
        assert!(close(f64::from(*score), *own), "{what}: {slot:?} has {score} instead of {own}");
        assert!(close(f64::from(*score), *wanted), "{what}: {score} where {wanted} is due");
    }
}

pub(super) const QUESTIONS: [&str; 14] = [
    "library",
    "python game",
    "running server of data",
    "the",
    "to the a",
    "\"data server\"",
    "\"the library\" python",
    "\"game\"",
    "\"to the\" \"of a\"",
    "caf\u{e9}",
    "x11 \"",
    "nowhere",
    "library nowhere \"nor here\"",
    "perl editor tool network kernel cafe and a fast audio games runs",
];

pub(super) fn saved(index: &TextIndex, disk: &dyn crate::disk::Disk) -> Vec<SavedSegment> {
    disk.make_dir("c00000007").unwrap();
    disk.sync_dir("").unwrap();
    let saved = index.save(disk, &|_| {}).unwrap();
    disk.sync_dir("c00000007").unwrap();
    saved
}
