//! What a text is made of: sections under headings, and in each the blocks that should stay whole.
//!
//! Invariants: blocks are in order, do not overlap, and leave out nothing but white space; a heading begins the section that it is
//! the heading of.

use super::kind::Kind;
use std::ops::Range;

/// Consecutive blocks under one heading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    /// The headings above, the outermost first, its own last.
    pub(super) headings: Vec<String>,
    /// Depth of its heading: 1 to 6, 0 before the first.
    pub(super) level: usize,
    pub(super) blocks: Vec<Range<usize>>,
}

/// Letters of a heading that are kept: it stands in the metadata of every chunk below it.
const HEADING_CHARS_MAX: usize = 200;

pub(super) fn sections(text: &str, kind: Kind) -> Vec<Section> {
    match kind {
        Kind::Markdown | Kind::Html => markdown(text),
        Kind::Code => vec![Section { blocks: blocks(text, true), ..Section::default() }],
        Kind::Text | Kind::Pdf => vec![Section { blocks: blocks(text, false), ..Section::default() }],
    }
}

/// Lines with the places where they stand, line ends included.
fn lines(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut at = 0;
    text.split_inclusive('\n').map(move |line| {
        let from = at;
        at += line.len();
        (from..at, line)
    })
}

/// Runs of lines between empty ones. In code a block goes on until a line that is not indented follows an empty one, so that a
/// function stays with its body.
fn blocks(text: &str, is_code: bool) -> Vec<Range<usize>> {
    let mut blocks: Vec<Range<usize>> = Vec::new();
    let mut after_gap = true;
    for (range, line) in lines(text) {
        let page = line.contains('\u{c}');
        if line.trim().is_empty() {
            after_gap |= true;
            continue;
        }
        let begins = after_gap && !(is_code && line.starts_with([' ', '\t', '}', ')', ']'])) || page;
        match blocks.last_mut().filter(|_| !begins) {
            Some(block) => block.end = range.end,
            None => blocks.push(range),
        }
        after_gap = false;
    }
    blocks
}

fn markdown(text: &str) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let mut trail: Vec<(usize, String)> = Vec::new();
    // The mark that ends the code that was begun.
    let mut fence: Option<String> = None;
    let mut after_gap = true;
    for (range, line) in lines(text).skip_while({
        let front = front_matter(text);
        move |(range, _)| range.start < front
    }) {
        let letters = line.trim();
        let Some(section) = sections.last_mut() else { break };
        if let Some(mark) = &fence {
            if let Some(block) = section.blocks.last_mut() {
                block.end = range.end;
            }
            if letters.starts_with(mark.as_str()) && letters.trim_start_matches(&mark[..1]).is_empty() {
                fence = None;
                after_gap = true;
            }
        } else if let Some(mark) = opens_fence(letters) {
            fence = Some(mark);
            section.blocks.push(range);
        } else if let Some((level, heading)) = heading(line) {
            sections.push(below(&mut trail, level, heading, range));
            after_gap = true;
        } else if let (false, Some(level)) = (after_gap, underline(line)) {
            let Some(above) = section.blocks.pop() else { break };
            let words: Vec<&str> = text[above.clone()].split_whitespace().collect();
            let heading = words.join(" ").chars().take(HEADING_CHARS_MAX).collect();
            sections.push(below(&mut trail, level, heading, above.start..range.end));
            after_gap = true;
        } else if letters.is_empty() {
            after_gap = true;
        } else {
            match section.blocks.last_mut().filter(|_| !after_gap) {
                Some(block) => block.end = range.end,
                None => section.blocks.push(range),
            }
            after_gap = false;
        }
    }
    sections.retain(|section| !section.blocks.is_empty());
    sections
}

/// A section that begins with a heading, which stands at `range`. `trail`: the headings above it.
fn below(trail: &mut Vec<(usize, String)>, level: usize, heading: String, range: Range<usize>) -> Section {
    trail.retain(|(above, _)| *above < level);
    trail.push((level, heading));
    let headings = trail.iter().map(|(_, heading)| heading.clone()).collect();
    Section { headings, level, blocks: vec![range] }
}

/// The depth of the heading that stands above the line, if the line is nothing but `===` or `---`.
fn underline(line: &str) -> Option<usize> {
    let marks = if line.starts_with("    ") { return None } else { line.trim() };
    match marks.as_bytes() {
        [b'=', ..] => marks.bytes().all(|mark| mark == b'=').then_some(1),
        [b'-', _, ..] => marks.bytes().all(|mark| mark == b'-').then_some(2),
        _ => None,
    }
}

/// The heading that a line is, and its depth.
fn heading(line: &str) -> Option<(usize, String)> {
    // Four spaces make it code.
    let line = if line.starts_with("    ") { return None } else { line.trim() };
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let rest = line.get(level..).filter(|rest| (1..=6).contains(&level) && rest.starts_with([' ', '\t']))?;
    let rest = rest.trim();
    let heading: String = rest.trim_end_matches('#').trim_end().chars().take(HEADING_CHARS_MAX).collect();
    (!heading.is_empty()).then_some((level, heading))
}

fn opens_fence(letters: &str) -> Option<String> {
    let mark = ["```", "~~~"].into_iter().find(|mark| letters.starts_with(mark))?;
    let n = letters.bytes().take_while(|byte| *byte == mark.as_bytes()[0]).count();
    Some(letters[..n].to_owned())
}

/// Bytes of the settings that tools put at the top, between two lines of `---`.
pub(super) fn front_matter(text: &str) -> usize {
    let mut lines = lines(text);
    if lines.next().is_none_or(|(_, line)| line.trim_end() != "---") {
        return 0;
    }
    lines.find(|(_, line)| line.trim_end() == "---").map_or(0, |(range, _)| range.end)
}

/// What a Markdown text says that it is called: in its settings, or by its first heading.
pub(super) fn title(text: &str, sections: &[Section]) -> Option<String> {
    let settings = &text[..front_matter(text)];
    let said = settings.lines().find_map(|line| line.strip_prefix("title:"));
    let said = said.map(|title| title.trim().trim_matches(['"', '\'']).to_owned());
    said.filter(|title| !title.is_empty())
        .or_else(|| sections.iter().find(|section| section.level == 1)?.headings.last().cloned())
}
