//! From sections to chunks of about the size that was asked for. Pure.
//!
//! A section is cut by itself, so that an edit moves no boundary beyond its section. Within one, blocks are put together until there are
//! enough tokens; a chunk that is half full ends early before a block whose hash says so, so that in a long text without headings
//! boundaries are the same again soon after an edit. What is larger than a chunk is cut at lines, sentences, words, and letters
//! at last. Invariants: every letter of a block is in a chunk; chunks are slices of the text, in order; a chunk has at most
//! `tokens` tokens (by the estimate), what it repeats of the one before included.

use super::Chunking;
use super::sections::Section;
use super::sentences::sentence_ends;
use crate::embed::estimate_tokens;
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// A chunk that is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) range: Range<usize>,
    pub(super) headings: Vec<String>,
}

/// A section of fewer tokens than this part of a chunk stands with what is below it.
const SMALL: usize = 8;
/// One block in this many may end a chunk early.
const ANCHORS: u64 = 4;

struct Unit {
    range: Range<usize>,
    tokens: usize,
    /// A block begins here.
    begins: bool,
}

pub(super) fn pack(text: &str, sections: Vec<Section>, sizes: &Chunking) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for section in joined(text, sections, sizes.tokens) {
        let mut units = Vec::new();
        for block in section.blocks {
            let from = units.len();
            cut(text, block, sizes.tokens, Level::Lines, &mut units);
            if let Some(first) = units.get_mut(from) {
                first.begins = true;
            }
        }
        for range in fill(text, &units, sizes) {
            let range = trimmed(text, range);
            // Marks alone say nothing to any model.
            if text[range.clone()].chars().any(char::is_alphanumeric) {
                pieces.push(Piece { range, headings: section.headings.clone() });
            }
        }
    }
    pieces
}

/// Small sections put together with those that they are the beginning of.
fn joined(text: &str, sections: Vec<Section>, tokens: usize) -> Vec<Section> {
    let mut out: Vec<Section> = Vec::new();
    let mut sizes: Vec<usize> = Vec::new();
    for section in sections {
        let size: usize = section.blocks.iter().map(|block| estimate_tokens(&text[block.clone()])).sum();
        match (out.last_mut(), sizes.last_mut()) {
            (Some(last), Some(sum))
                if *sum * SMALL < tokens && section.level > last.level && last.level > 0 =>
            {
                last.blocks.extend(section.blocks);
                *sum += size;
                last.level = section.level;
                last.headings = section.headings;
            }
            _ => {
                out.push(section);
                sizes.push(size);
            }
        }
    }
    out
}

#[derive(Clone, Copy)]
enum Level {
    Lines,
    Sentences,
    Words,
    Letters,
}

/// The block, or where it is too large its parts.
fn cut(text: &str, range: Range<usize>, tokens_max: usize, level: Level, units: &mut Vec<Unit>) {
    let part = &text[range.clone()];
    let tokens = estimate_tokens(part);
    if tokens <= tokens_max {
        units.push(Unit { range, tokens, begins: false });
        return;
    }
    let (ends, next) = match level {
        Level::Lines => (ends_after(part, '\n'), Level::Sentences),
        Level::Sentences => (sentence_ends(part), Level::Words),
        Level::Words => (ends_after(part, ' '), Level::Letters),
        // A letter is at most one token, four ASCII letters are one.
        Level::Letters => (part.char_indices().map(|(at, c)| at + c.len_utf8()).collect(), Level::Letters),
    };
    let mut from = 0;
    let mut at = 0;
    let mut sum = 0;
    for end in ends.into_iter().chain([part.len()]) {
        if end <= at {
            continue;
        }
        let size = estimate_tokens(&part[at..end]);
        if size > tokens_max {
            push(text, range.start + from..range.start + at, sum, units);
            cut(text, range.start + at..range.start + end, tokens_max, next, units);
            (from, sum) = (end, 0);
        } else if sum + size > tokens_max / 2 {
            push(text, range.start + from..range.start + at, sum, units);
            (from, sum) = (at, size);
        } else {
            sum += size;
        }
        at = end;
    }
    push(text, range.start + from..range.end, sum, units);
}

fn push(text: &str, range: Range<usize>, tokens: usize, units: &mut Vec<Unit>) {
    if !text[range.clone()].trim().is_empty() {
        units.push(Unit { range, tokens, begins: false });
    }
}

fn ends_after(text: &str, mark: char) -> Vec<usize> {
    text.match_indices(mark).map(|(at, mark)| at + mark.len()).collect()
}

/// Ranges of consecutive units, each with the end of the one before it repeated.
fn fill(text: &str, units: &[Unit], sizes: &Chunking) -> Vec<Range<usize>> {
    let room = sizes.tokens - sizes.overlap;
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut sum = 0;
    for unit in units {
        let is_first = ranges.is_empty();
        // The first chunk repeats nothing.
        let max = if ranges.len() < 2 { sizes.tokens } else { room };
        let ends_early = unit.begins
            && sum * 2 >= max
            && xxh3_64(text[unit.range.clone()].as_bytes()).is_multiple_of(ANCHORS);
        if is_first || sum + unit.tokens > max || ends_early {
            ranges.push(unit.range.clone());
            sum = unit.tokens;
        } else if let Some(last) = ranges.last_mut() {
            last.end = unit.range.end;
            sum += unit.tokens;
        }
    }
    let starts: Vec<usize> = ranges.iter().map(|range| range.start).collect();
    for at in 1..ranges.len() {
        let left = sizes.tokens.saturating_sub(estimate_tokens(&text[ranges[at].clone()]));
        ranges[at].start = repeated(text, starts[at - 1]..starts[at], sizes.overlap.min(left));
    }
    ranges
}

/// Where the last sentences of `before` begin that have at most `tokens` tokens together.
fn repeated(text: &str, before: Range<usize>, tokens: usize) -> usize {
    if tokens == 0 {
        return before.end;
    }
    // No more than this can fit, and no more is looked at.
    let mut from = before.end.saturating_sub(tokens * 16).max(before.start);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let part = &text[from..before.end];
    // Never all of it: it would be a chunk within a chunk.
    let starts = sentence_ends(part).into_iter();
    let fits = |start: &usize| (1..part.len()).contains(start) && estimate_tokens(&part[*start..]) <= tokens;
    starts.filter(fits).min().map_or(before.end, |start| from + start)
}

/// Without the white space around it.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let from = range.start + part.len() - part.trim_start_matches(['\n', '\r', '\u{c}']).len();
    from..(from + text[from..range.end].trim_end().len())
}
