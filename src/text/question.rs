//! What is searched for, from what a person typed. No text is an error: there is no syntax but the quote.
//!
//! Words outside of quotes may be there, and count; what stands in quotes must be there, as it stands. A quote without an end
//! is a phrase to the end.

use super::analyze::Analyzer;
use crate::limits;
use std::collections::BTreeSet;

/// Which texts answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those with every phrase, and, where there is none, with some word.
    Any,
    /// Those with every phrase and every word; words that no text holds are not asked for.
    All,
}

/// Words and phrases, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Question {
    pub(super) words: Vec<String>,
    /// Words with their distances from the first; one word at least.
    pub(super) phrases: Vec<Vec<(u32, String)>>,
    /// Something was left out: the text was too long, or had too many words.
    pub(crate) is_cut: bool,
}

impl Question {
    pub(super) fn new(text: &str, analyzer: &mut Analyzer) -> Self {
        let cut = text.floor_char_boundary(limits::TEXT_QUERY_BYTES_MAX);
        let mut question = Self { is_cut: cut < text.len(), ..Self::default() };
        let mut known: BTreeSet<String> = BTreeSet::new();
        let is_quote = |c: char| matches!(c, '"' | '\u{201c}' | '\u{201d}');
        let mut loose = String::new();
        for (nth, part) in text[..cut].split(is_quote).enumerate() {
            if nth % 2 == 0 {
                loose.push_str(part);
                loose.push(' ');
            } else {
                question.phrase(part, analyzer, &mut known);
            }
        }
        question.loose(&loose, analyzer, &mut known);
        question
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.phrases.is_empty()
    }

    /// The same with no word outside of quotes but those that some text holds.
    pub(super) fn known(&self, is_held: impl Fn(&str) -> bool) -> Self {
        Self { words: self.words.iter().filter(|word| is_held(word)).cloned().collect(), ..self.clone() }
    }

    /// Every different word of it.
    pub(super) fn terms(&self) -> BTreeSet<&str> {
        let phrases = self.phrases.iter().flatten().map(|(_, term)| term.as_str());
        self.words.iter().map(String::as_str).chain(phrases).collect()
    }

    fn phrase(&mut self, text: &str, analyzer: &mut Analyzer, known: &mut BTreeSet<String>) {
        let mut phrase: Vec<(u32, String)> = Vec::new();
        let (mut first, mut is_cut) = (0, false);
        analyzer.words(text, &mut |word| {
            if !admit(known, word.term) {
                is_cut = true;
            } else if !is_cut {
                if phrase.is_empty() {
                    first = word.position;
                }
                phrase.push((word.position - first, word.term.to_owned()));
            }
        });
        self.is_cut |= is_cut;
        if !phrase.is_empty() && !self.phrases.contains(&phrase) {
            self.phrases.push(phrase);
        }
    }

    fn loose(&mut self, text: &str, analyzer: &mut Analyzer, known: &mut BTreeSet<String>) {
        // Beside a phrase, stop words say nothing; alone they are all there is.
        let telling = analyzer.telling(text);
        let only_stop_words = telling.is_none() && analyzer.has_stop_words() && !self.phrases.is_empty();
        if only_stop_words {
            return;
        }
        let mut is_cut = false;
        let words = &mut self.words;
        analyzer.words(text, &mut |word| {
            let says = telling.as_ref().is_none_or(|telling| telling.contains(&word.position));
            if !says || words.iter().any(|known| known == word.term) {
                return;
            }
            if admit(known, word.term) {
                words.push(word.term.to_owned());
            } else {
                is_cut = true;
            }
        });
        self.is_cut |= is_cut;
    }
}

/// Whether there is room for the word.
fn admit(known: &mut BTreeSet<String>, term: &str) -> bool {
    if known.contains(term) {
        return true;
    }
    known.len() < limits::TEXT_QUERY_TERMS_MAX && known.insert(term.to_owned())
}
