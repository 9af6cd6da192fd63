//! Where sentences end, in any language that has marks for it.

/// Marks that end a sentence when white space follows.
const ENDS: [char; 3] = ['.', '!', '?'];
/// Marks that end one by themselves.
const FULL: [char; 4] = ['\u{3002}', '\u{ff01}', '\u{ff1f}', '\u{964}'];
/// What may stand between the mark and the white space.
const CLOSES: [char; 6] = ['"', '\'', ')', ']', '\u{201d}', '\u{2019}'];

/// The places after sentences, each with the white space that follows it; ends of paragraphs count.
pub(super) fn sentence_ends(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    // A mark was seen; white space after it was, too.
    let (mut is_over, mut in_space) = (false, false);
    let mut breaks = 0;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            breaks += usize::from(c == '\n');
            in_space = is_over || breaks > 1;
            continue;
        }
        // A small letter goes on with "e.g. this".
        if at > 0 && in_space && (breaks > 1 || !c.is_lowercase()) {
            ends.push(at);
        }
        (in_space, breaks) = (false, 0);
        if FULL.contains(&c) {
            ends.push(at + c.len_utf8());
            is_over = false;
        } else if ENDS.contains(&c) {
            is_over = true;
        } else if !CLOSES.contains(&c) {
            is_over = false;
        }
    }
    ends
}
