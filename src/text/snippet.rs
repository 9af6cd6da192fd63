//! The part of a text that shows why it was found.

use super::analyze::Analyzer;
use super::question::Question;
use crate::limits;
use std::collections::BTreeSet;

/// A part of a chunk's text, with what was searched for in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snippet {
    /// The part.
    pub(crate) text: String,
    /// Where it starts in the chunk's text, in bytes.
    pub(crate) start: usize,
    /// What was searched for: from and to, in bytes of `text` here.
    pub(crate) highlights: Vec<(usize, usize)>,
}

/// The window of `text` with the most different words of the question, the earliest of equals. Without one, the start.
pub(super) fn snippet(text: &str, question: &Question, analyzer: &mut Analyzer) -> Snippet {
    let scanned = &text[..text.floor_char_boundary(limits::SNIPPET_SCAN_BYTES_MAX)];
    let terms = question.terms();
    let mut found: Vec<(usize, usize, String)> = Vec::new();
    analyzer.words(scanned, &mut |word| {
        if terms.contains(word.term) {
            found.push((word.from, word.to, word.term.to_owned()));
        }
    });
    let in_window = |first: usize| {
        let end = found[first].0 + limits::SNIPPET_BYTES_MAX * 3 / 4;
        found[first..].iter().take_while(move |word| word.1 <= end)
    };
    let value = |first: &usize| {
        let different = in_window(*first).map(|word| word.2.as_str()).collect::<BTreeSet<_>>().len();
        (different, std::cmp::Reverse(*first))
    };
    let best = (0..found.len()).max_by_key(value);
    // A few words of what stands before.
    let lead = limits::SNIPPET_BYTES_MAX / 8;
    let from =
        best.map_or(0, |first| word_start(scanned, found[first].0.saturating_sub(lead), found[first].0));
    let to = scanned.floor_char_boundary(from + limits::SNIPPET_BYTES_MAX);
    let inside = found.iter().filter(|(start, end, _)| *start >= from && *end <= to);
    Snippet {
        text: scanned[from..to].to_owned(),
        start: from,
        highlights: inside.map(|(start, end, _)| (start - from, end - from)).collect(),
    }
}

/// Where a word starts, at or after `from`; `to`, where one does, at most.
fn word_start(text: &str, from: usize, to: usize) -> usize {
    let from = text.ceil_char_boundary(from.min(to));
    if from == 0 {
        return 0;
    }
    let space = text[from..to].char_indices().find(|(_, c)| c.is_whitespace());
    space.map_or(to, |(at, c)| from + at + c.len_utf8())
}
