//! A file as the rules see it: its text, and the same text with comments and literals blanked, so that offsets and lines agree.
//!
//! This is a lexer, not a parser: it knows strings, chars, lifetimes, nested comments and where an item ends. It deliberately
//! does not know modules by `cfg(test)` declared in another file: a test file is one called `tests.rs` or in a folder `tests`.

/// One file of the tree.
pub(super) struct Source {
    /// Relative to the package, with forward slashes.
    pub(super) path: String,
    pub(super) text: String,
    /// The text with the insides of comments and literals replaced by spaces; same length in bytes.
    pub(super) code: String,
}

/// A word, `::`, or one character of punctuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { blank(text) } else { text.to_owned() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    pub(super) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The code that ships: without test files and items under `cfg(test)`.
    pub(super) fn live(&self) -> String {
        if self.is_test() { spaces(&self.code) } else { without_tests(&self.code) }
    }

    /// The rest: the code that only tests run.
    pub(super) fn tests(&self) -> String {
        let live = self.live();
        let pairs = self.code.bytes().zip(live.bytes());
        let bytes = pairs.map(|(c, l)| if c == l && c != b'\n' { b' ' } else { c }).collect();
        String::from_utf8(bytes).expect("whole characters are kept or blanked")
    }

    /// The number of the line that holds the byte at `offset`, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// A violation, in the form that editors can follow.
    pub(super) fn violation(&self, offset: usize, message: &str) -> String {
        format!("{}:{}: {message}", self.path, self.line(offset))
    }
}

/// The words and punctuation of blanked code.
pub(super) fn tokens(code: &str) -> Vec<Token<'_>> {
    let bytes = code.as_bytes();
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        let start = i;
        i += match bytes[i] {
            b if is_word(b) => word_len(&bytes[i..]),
            b':' if bytes.get(i + 1) == Some(&b':') => 2,
            _ => 1,
        };
        if !bytes[start].is_ascii_whitespace() {
            tokens.push(Token { text: &code[start..i], at: start });
        }
    }
    tokens
}

/// Whether the tokens from `at` on are `expected`.
pub(super) fn follows(tokens: &[Token<'_>], at: usize, expected: &[&str]) -> bool {
    tokens.get(at..at + expected.len()).is_some_and(|t| t.iter().zip(expected).all(|(t, e)| t.text == *e))
}

/// The index of the token that closes the bracket at `open`.
pub(super) fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i;
        }
    }
    tokens.len() - 1
}

// Bytes of UTF-8 beyond ASCII count as letters: no slice is ever cut inside a character.
fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

fn word_len(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| is_word(**b)).count()
}

fn spaces(code: &str) -> String {
    code.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect()
}

/// Replaces the insides of comments and literals by spaces.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut i = 0;
    while i < bytes.len() {
        let rest = &bytes[i..];
        let (kept_front, len, kept_back) = match rest[0] {
            b'/' if rest.starts_with(b"//") => (0, line_len(rest), 0),
            b'/' if rest.starts_with(b"/*") => (0, block_comment_len(rest), 0),
            b'"' => (1, quoted_len(rest, b'"'), 1),
            b'\'' if is_char_literal(&text[i..]) => (1, quoted_len(rest, b'\''), 1),
            b if is_word(b) => match literal_after_word(rest) {
                Some((prefix, len, suffix)) => (prefix, len, suffix),
                None => (word_len(rest), word_len(rest), 0),
            },
            _ => (1, 1, 0),
        };
        let len = len.min(rest.len());
        let inside = kept_front.min(len)..len.saturating_sub(kept_back).max(kept_front.min(len));
        code[i..][inside].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        i += len;
    }
    String::from_utf8(code).expect("whole characters are kept or blanked")
}

fn line_len(rest: &[u8]) -> usize {
    rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
}

fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < rest.len() {
        if rest[i..].starts_with(b"/*") {
            (depth, i) = (depth + 1, i + 2);
        } else if rest[i..].starts_with(b"*/") {
            (depth, i) = (depth - 1, i + 2);
        } else {
            i += 1;
        }
        if depth == 0 {
            return i;
        }
    }
    rest.len()
}

/// The length of a literal that starts and ends with `quote` and escapes with a backslash.
fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != quote {
        i += if rest[i] == b'\\' { 2 } else { 1 };
    }
    i + 1
}

/// A quote is a char literal if an escape follows, or one character and a second quote; else it starts a lifetime.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    chars.next().is_some_and(|c| c == '\\' || chars.next() == Some('\''))
}

/// For `b"`, `c"`, `b'`, `r"`, `r#"` and the like: the lengths of the front, of the literal, and of the back to keep.
fn literal_after_word(rest: &[u8]) -> Option<(usize, usize, usize)> {
    let len = word_len(rest);
    let (word, after) = rest.split_at(len);
    match (word, after.first()?) {
        (b"b" | b"c", b'"') => Some((len + 1, len + quoted_len(after, b'"'), 1)),
        (b"b", b'\'') => Some((len + 1, len + quoted_len(after, b'\''), 1)),
        (b"r" | b"br" | b"cr", b'"' | b'#') => {
            let hashes = after.iter().take_while(|b| **b == b'#').count();
            let inside = after[hashes..].strip_prefix(b"\"")?;
            let end: Vec<u8> = [b"\"".to_vec(), vec![b'#'; hashes]].concat();
            let inside_len = inside.windows(end.len()).position(|w| w == end).unwrap_or(inside.len());
            let front = len + hashes + 1;
            Some((front, front + inside_len + end.len(), end.len()))
        }
        _ => None,
    }
}

/// Blanks every item under `#[cfg(test)]` or `#[cfg(all(test, ..))]`, and everything under `#![cfg(test)]`.
fn without_tests(code: &str) -> String {
    let tokens = tokens(code);
    let mut live = code.as_bytes().to_vec();
    let mut i = 0;
    while i < tokens.len() {
        let inner = usize::from(follows(&tokens, i, &["#", "!"]));
        if tokens[i].text != "#" || !is_cfg_test(&tokens, i + 1 + inner) {
            i += 1;
            continue;
        }
        let close = closing(&tokens, i + 1 + inner);
        let end = if inner == 1 { tokens.len() - 1 } else { item_end(&tokens, close + 1) };
        let bytes = tokens[i].at..tokens[end].at + tokens[end].text.len();
        live[bytes].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        i = end + 1;
    }
    String::from_utf8(live).expect("whole characters are kept or blanked")
}

/// Whether the attribute that opens at `open` holds only for tests; `any(test, ..)` does not.
fn is_cfg_test(tokens: &[Token<'_>], open: usize) -> bool {
    if follows(tokens, open, &["[", "cfg", "(", "test", ")"]) {
        return true;
    }
    let inside = |word: &str| tokens[open..closing(tokens, open)].iter().any(|t| t.text == word);
    follows(tokens, open, &["[", "cfg", "(", "all", "("])
        && inside("test")
        && !inside("not")
        && !inside("any")
}

/// The last token of the item, field or statement that starts at `start`, attributes included.
fn item_end(tokens: &[Token<'_>], start: usize) -> usize {
    let (mut i, mut angles) = (start, 0);
    while i < tokens.len() {
        match tokens[i].text {
            "{" => return closing(tokens, i),
            ";" => return i,
            "," if angles <= 0 => return i,
            "}" | ")" | "]" => return i - 1,
            "(" | "[" => i = closing(tokens, i),
            "<" => angles += 1,
            ">" if i > 0 && !["-", "="].contains(&tokens[i - 1].text) => angles -= 1,
            _ => {}
        }
        i += 1;
    }
    tokens.len() - 1
}

#[test]
fn comments_and_literals_are_blanked_in_place() {
    let text = "a(\"x // y\", 'z', '\\'', b'q', r#\"a\"b\"#, &'static str) // end\n/* x /* y */ z */ b\n";
    let file = Source::new("src/a.rs", text);
    assert_eq!(file.code.len(), text.len());
    let words: Vec<_> =
        tokens(&file.code).iter().map(|t| t.text).filter(|t| is_word(t.as_bytes()[0])).collect();
    assert_eq!(words, ["a", "b", "r", "static", "str", "b"]);
}

#[test]
fn items_under_cfg_test_are_not_live() {
    let text = "struct S { #[cfg(test)] a: Vec<(u8, u8)>, b: u8 }\n#[cfg(test)]\n#[path = \"x\"]\nmod tests { fn c() {} }\nfn d() {}\n\
                #[cfg(not(test))]\nfn e() {}\n#[cfg(all(test, unix))]\nuse f::g;\n#[cfg(all(not(test), unix))]\nuse h::i;\n";
    let file = Source::new("src/a.rs", text);
    for (name, is_live) in [
        ("a:", false),
        ("b:", true),
        ("c()", false),
        ("d()", true),
        ("e()", true),
        ("g;", false),
        ("h:", true),
    ] {
        assert_eq!(file.live().contains(name), is_live, "{name}");
        assert_eq!(file.tests().contains(name), !is_live, "{name}");
    }
    assert!(Source::new("src/a/tests.rs", "fn a() {}").live().trim().is_empty());
    assert!(Source::new("src/b.rs", "#![cfg(test)]\nfn a() {}").live().trim().is_empty());
}
