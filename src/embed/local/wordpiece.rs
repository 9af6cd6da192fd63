//! From text to tokens, as BERT does it: words, and the longest pieces of them that the vocabulary has.
//!
//! Invariant: the same numbers as the `tokenizers` library, which the tests compare with. What is too much is not looked at: the work for
//! a text is bounded by the tokens that are asked for, and by one word.

use super::normal::{Normal, is_mark};
use std::collections::HashMap;
use std::ops::ControlFlow;
use xxhash_rust::xxh3::Xxh3;

/// A tokenizer.
pub(super) struct WordPiece {
    pub(super) normal: Normal,
    /// Beginnings of words.
    pub(super) heads: HashMap<Box<str>, u32>,
    /// What follows inside of one.
    pub(super) tails: HashMap<Box<str>, u32>,
    /// Names of special tokens, which are found in a text, too; the longest first.
    pub(super) special: Vec<(Box<str>, u32)>,
    pub(super) unknown: u32,
    pub(super) first: u32,
    pub(super) last: u32,
    /// Longer words are unknown.
    pub(super) word_chars_max: usize,
}

/// A text as tokens.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) ids: Vec<u32>,
    /// Whether there would have been more.
    pub(super) cut: bool,
}

impl std::fmt::Debug for WordPiece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tokens = self.heads.len() + self.tails.len();
        f.debug_struct("WordPiece").field("tokens", &tokens).finish_non_exhaustive()
    }
}

/// Tokens until there are too many.
struct Out {
    ids: Vec<u32>,
    max: usize,
}

impl Out {
    fn push(&mut self, id: u32) -> ControlFlow<()> {
        if self.ids.len() == self.max {
            return ControlFlow::Break(());
        }
        self.ids.push(id);
        ControlFlow::Continue(())
    }
}

impl WordPiece {
    /// At most `max` tokens of `text`, with the two that stand around it.
    pub(super) fn encode(&self, text: &str, max: usize) -> Encoded {
        let mut out = Out { ids: vec![self.first], max: max.saturating_sub(1) };
        let cut = self.parts(text, &mut out).is_break();
        out.ids.push(self.last);
        Encoded { ids: out.ids, cut }
    }

    /// Names of special tokens are tokens wherever they stand, and what is between them is text.
    fn parts(&self, text: &str, out: &mut Out) -> ControlFlow<()> {
        let mut from = 0;
        while let Some((at, name, id)) = self.special_from(text, from) {
            self.words(&text[from..at], out)?;
            out.push(id)?;
            from = at + name.len();
        }
        self.words(&text[from..], out)
    }

    /// The next name of a special token.
    fn special_from(&self, text: &str, from: usize) -> Option<(usize, &str, u32)> {
        let begins = |c: char| self.special.iter().any(|(name, _)| name.starts_with(c));
        let starts = text[from..].match_indices(begins).map(|(at, _)| from + at);
        let at = |at: usize| {
            let here = self.special.iter().find(|(name, _)| text[at..].starts_with(&**name));
            here.map(|(name, id)| (at, &**name, *id))
        };
        starts.into_iter().find_map(at)
    }

    fn words(&self, text: &str, out: &mut Out) -> ControlFlow<()> {
        let mut word = String::new();
        for c in self.normal.chars(text) {
            let is_mark = is_mark(c);
            if is_mark || c.is_whitespace() {
                self.word(&word, out)?;
                word.clear();
            }
            if is_mark {
                self.word(c.encode_utf8(&mut [0; 4]), out)?;
            } else if !c.is_whitespace() {
                word.push(c);
            }
        }
        self.word(&word, out)
    }

    /// The longest pieces from left to right; one that is missing makes the whole word unknown.
    fn word(&self, word: &str, out: &mut Out) -> ControlFlow<()> {
        if word.is_empty() {
            return ControlFlow::Continue(());
        }
        if word.chars().nth(self.word_chars_max).is_some() {
            return out.push(self.unknown);
        }
        let (mut pieces, mut rest, mut vocabulary) = (Vec::new(), word, &self.heads);
        while !rest.is_empty() {
            let mut ends = rest.char_indices().rev().map(|(at, c)| at + c.len_utf8());
            let longest = ends.find_map(|end| vocabulary.get(&rest[..end]).map(|id| (end, *id)));
            let Some((end, id)) = longest else { return out.push(self.unknown) };
            pieces.push(id);
            rest = &rest[end..];
            vocabulary = &self.tails;
        }
        pieces.into_iter().try_for_each(|id| out.push(id))
    }

    /// Takes all that decides about tokens into the hash.
    pub(super) fn hash(&self, hash: &mut Xxh3) {
        for (kind, tokens) in [&self.heads, &self.tails].into_iter().enumerate() {
            let mut tokens: Vec<_> = tokens.iter().collect();
            tokens.sort_unstable();
            hash.update(format!("{kind} {tokens:?}").as_bytes());
        }
        let Self { normal, special, unknown, first, last, word_chars_max, .. } = self;
        let rest = format!("{normal:?} {special:?} {unknown} {first} {last} {word_chars_max}");
        hash.update(rest.as_bytes());
    }
}
