//! Words on lines: a terminal of 80 columns is the narrowest that the commands are made for.

use std::io::{self, Write};

/// Columns of a terminal.
pub(in crate::cli) const WIDTH: usize = 80;

/// `text` in lines of at most `width` characters, broken at spaces. A longer word has a line of its own.
pub(in crate::cli) fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for word in text.split_whitespace() {
        let letters = word.chars().count();
        match lines.last_mut() {
            Some((line, used)) if *used + 1 + letters <= width => {
                line.push(' ');
                line.push_str(word);
                *used += 1 + letters;
            }
            _ => lines.push((word.to_owned(), letters)),
        }
    }
    lines.into_iter().map(|(line, _)| line).collect()
}

/// `text` in lines of [`WIDTH`], each below the first word, which stands after `label`.
pub(in crate::cli) fn wrapped(label: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    // What a text brings must not move the cursor.
    let text: String =
        text.chars().map(|c| if c.is_control() && !c.is_whitespace() { '?' } else { c }).collect();
    let lines = lines(&text, WIDTH.saturating_sub(label.chars().count()));
    let mut before = label.to_owned();
    for line in &lines {
        writeln!(out, "{before}{line}")?;
        before = " ".repeat(label.chars().count());
    }
    if lines.is_empty() { writeln!(out, "{label}") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_full_as_they_can_be_and_no_longer() {
        assert_eq!(lines("a bb  ccc\ndd", 4), ["a bb", "ccc", "dd"]);
        assert_eq!(lines("longer than that", 4), ["longer", "than", "that"]);
        assert_eq!(lines("\u{e4}\u{f6} \u{fc}", 4), ["\u{e4}\u{f6} \u{fc}"]);
        assert!(lines("  ", 4).is_empty());
    }

    #[test]
    fn a_label_stands_once_and_nothing_moves_the_cursor() {
        let told = |label: &str, text: &str| {
            let mut out = Vec::new();
            wrapped(label, text, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(told("x: ", ""), "x: \n");
        assert_eq!(told("x: ", "\u{1b}[2J b"), "x: ?[2J b\n");
        let long = told("x: ", &"word ".repeat(40));
        assert!(long.lines().all(|line| line.len() <= WIDTH), "{long}");
        assert!(long.lines().skip(1).all(|line| line.starts_with("   word")), "{long}");
    }
}
