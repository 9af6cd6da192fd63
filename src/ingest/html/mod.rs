//! The text of a page of HTML, as the Markdown that says the same: headings, paragraphs, lists, fenced code.
//!
//! Not a browser: tags are found, not nested; a page without an end is read to its end. Invariants: linear in the page, no
//! recursion, no allocation beyond the text; nothing of scripts, styles and comments comes out.

mod entities;

use entities::entity;

/// Elements whose content nobody reads.
const DROPPED: [&str; 7] = ["script", "style", "noscript", "template", "svg", "iframe", "object"];
/// Elements that begin and end a paragraph.
const BLOCKS: [&str; 26] = [
    "p",
    "div",
    "section",
    "article",
    "main",
    "aside",
    "nav",
    "header",
    "footer",
    "ul",
    "ol",
    "dl",
    "dd",
    "dt",
    "table",
    "thead",
    "tbody",
    "blockquote",
    "figure",
    "figcaption",
    "form",
    "fieldset",
    "address",
    "hr",
    "body",
    "details",
];

/// A page's text, and its title.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) text: String,
    pub(super) title: Option<String>,
}

struct Reader {
    out: String,
    /// Text of the element that is read by itself.
    title: String,
    in_title: bool,
    in_pre: bool,
    /// White space that comes before the next letter.
    space: bool,
}

pub(super) fn read(html: &str) -> Page {
    let mut reader =
        Reader { out: String::new(), title: String::new(), in_title: false, in_pre: false, space: false };
    let mut rest = html;
    while !rest.is_empty() {
        match rest.find(['<', '&']) {
            Some(0) => rest = reader.mark(rest),
            Some(at) => {
                reader.text(&rest[..at]);
                rest = &rest[at..];
            }
            None => {
                reader.text(rest);
                break;
            }
        }
    }
    if reader.in_pre {
        reader.fence();
    }
    let title = reader.title.split_whitespace().collect::<Vec<_>>().join(" ");
    Page { text: reader.out.trim().to_owned(), title: Some(title).filter(|title| !title.is_empty()) }
}

impl Reader {
    /// Takes a tag, a comment or an entity from the start; what follows it.
    fn mark<'a>(&mut self, at: &'a str) -> &'a str {
        if at.starts_with('&') {
            return match entity(at) {
                Some((meant, bytes)) => {
                    self.text(&meant);
                    &at[bytes..]
                }
                None => self.literally(at),
            };
        }
        if let Some(comment) = at.strip_prefix("<!--") {
            return comment.find("-->").map_or("", |end| &comment[end + 3..]);
        }
        if at.starts_with("<!") || at.starts_with("<?") {
            return at.find('>').map_or("", |end| &at[end + 1..]);
        }
        let closes = at[1..].starts_with('/');
        let from = if closes { 2 } else { 1 };
        let letters = at[from..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        if letters == 0 || !at.as_bytes()[from].is_ascii_alphabetic() {
            return self.literally(at);
        }
        let name = at[from..from + letters].to_ascii_lowercase();
        let rest = after_tag(&at[from + letters..]);
        if !closes && DROPPED.contains(&name.as_str()) {
            return after_element(rest, &name);
        }
        self.tag(&name, closes);
        rest
    }

    /// One character that looked like a mark and is none.
    fn literally<'a>(&mut self, at: &'a str) -> &'a str {
        self.text(&at[..1]);
        &at[1..]
    }

    fn tag(&mut self, name: &str, closes: bool) {
        let level =
            name.strip_prefix('h').and_then(|n| n.parse::<usize>().ok()).filter(|n| (1..=6).contains(n));
        match name {
            "title" => self.in_title = !closes,
            "br" => self.line(),
            "pre" if closes != self.in_pre => {}
            "pre" => self.fence(),
            _ if self.in_pre => {}
            "li" if !closes => {
                self.line();
                self.out.push_str("- ");
            }
            "tr" | "li" => self.line(),
            "td" | "th" => self.space = true,
            _ if level.is_some() => {
                self.paragraph();
                if let (Some(level), false) = (level, closes) {
                    self.out.extend(std::iter::repeat_n('#', level));
                    self.out.push(' ');
                }
            }
            _ if BLOCKS.contains(&name) => self.paragraph(),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if self.in_title {
            self.title.push_str(text);
            return;
        }
        if self.in_pre {
            self.out.push_str(text);
            return;
        }
        for word in text.split_inclusive(char::is_whitespace) {
            let letters = word.trim_end();
            if !letters.is_empty() {
                let begins = self.out.is_empty() || self.out.ends_with('\n');
                if std::mem::take(&mut self.space) && !begins && !self.out.ends_with(' ') {
                    self.out.push(' ');
                }
                // What begins a heading in Markdown does not in HTML.
                if begins && letters.starts_with(['#', '`', '~']) {
                    self.out.push('\\');
                }
                self.out.push_str(letters);
            }
            self.space |= letters.len() < word.len();
        }
    }

    fn line(&mut self) {
        self.space = false;
        self.out.truncate(self.out.trim_end_matches(' ').len());
        if !self.out.is_empty() && !self.out.ends_with('\n') || self.in_pre {
            self.out.push('\n');
        }
    }

    fn paragraph(&mut self) {
        self.line();
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    fn fence(&mut self) {
        if self.in_pre {
            let ends = self.out.ends_with('\n');
            self.out.push_str(if ends { "```\n\n" } else { "\n```\n\n" });
        } else {
            self.paragraph();
            self.out.push_str("```\n");
        }
        self.in_pre = !self.in_pre;
    }
}

/// What follows the end of the tag whose name was read: a `>` in quotes does not end it.
fn after_tag(attributes: &str) -> &str {
    let mut quote = None;
    let mut before = b' ';
    for (at, byte) in attributes.bytes().enumerate() {
        match quote {
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'>' => return &attributes[at + 1..],
            // A quote opens a value; elsewhere it is a slip.
            None if (byte == b'"' || byte == b'\'') && before == b'=' => quote = Some(byte),
            None => {}
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
    }
    ""
}

/// What follows the end of an element whose content is not read.
fn after_element<'a>(content: &'a str, name: &str) -> &'a str {
    let mut rest = content;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return after_tag(&rest[name.len()..]);
        }
    }
    ""
}
