//! The text of a document, its title and its pieces, whatever it came as.

use super::decode::{NoText, decode, decode_page};
use super::kind::Kind;
use super::pack::{Piece, pack};
use super::sections::{sections, title};
use super::{Chunking, html, pdf};
use crate::error::{Error, Result};
use crate::limits;

/// Bytes of a file, 256 MiB: beyond it a file is data and no document.
const FILE_BYTES_MAX: usize = 256 << 20;
/// Ends a page in the text of a PDF.
const PAGE_END: char = '\u{c}';

/// What a document is made of: a text, or the bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    bytes: Vec<u8>,
    kind: Option<Kind>,
    name: String,
}

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its text: bytes `start` to `end` of the document's.
    pub text: String,
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// The line that it begins on, from 1 on.
    pub line: usize,
    /// The headings above it, the outermost first.
    pub headings: Vec<String>,
}

/// A document, read.
#[derive(Debug)]
pub(super) struct Extracted {
    pub(super) kind: Kind,
    pub(super) title: Option<String>,
    pub(super) text: String,
    pub(super) pieces: Vec<Piece>,
}

impl Content {
    /// A text of a kind that is known.
    pub fn text(text: impl Into<String>, kind: Kind) -> Self {
        Self { bytes: text.into().into_bytes(), kind: Some(kind), name: String::new() }
    }

    /// The bytes of a file; its name, and they, tell what it is.
    pub fn file(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { bytes, kind: None, name: name.into() }
    }

    /// Its parts, as [`Documents`](super::Documents) would store them.
    pub fn cut(&self, sizes: &Chunking) -> Result<Vec<Cut>> {
        sizes.validate()?;
        let Extracted { text, pieces, .. } = self.extract(sizes)?;
        let (mut line, mut counted) = (1, 0);
        let cut = |Piece { range, headings }: Piece| {
            line += text[counted..range.start].matches('\n').count();
            counted = range.start;
            Cut { text: text[range.clone()].to_owned(), start: range.start, end: range.end, line, headings }
        };
        Ok(pieces.into_iter().map(cut).collect())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind.unwrap_or_else(|| Kind::of(&self.name, &self.bytes))
    }

    pub(super) fn extract(&self, sizes: &Chunking) -> Result<Extracted> {
        let n = self.bytes.len();
        if n > FILE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the document has {n} bytes; split it into parts of {FILE_BYTES_MAX}"
            )));
        }
        let kind = self.kind();
        let (said, text) = match kind {
            Kind::Pdf => {
                let read = pdf::read(self.bytes.clone())?;
                (read.title, read.pages.join(&format!("\n{PAGE_END}")))
            }
            Kind::Html => {
                let page = html::read(&self.decoded(decode_page)?);
                (page.title, page.text)
            }
            Kind::Text | Kind::Markdown | Kind::Code => (None, self.decoded(decode)?),
        };
        let sections = sections(&text, kind);
        let said = said.or_else(|| if kind == Kind::Markdown { title(&text, &sections) } else { None });
        let title = said.map(|title| title.chars().take(limits::ID_BYTES_MAX).collect());
        let pieces = pack(&text, sections, sizes);
        Ok(Extracted { kind, title, text, pieces })
    }

    fn decoded(&self, decode: fn(&[u8]) -> std::result::Result<String, NoText>) -> Result<String> {
        decode(&self.bytes).map_err(|_| Error::invalid("the file is binary: it has bytes that no text has"))
    }
}

impl From<&str> for Content {
    /// Plain text.
    fn from(text: &str) -> Self {
        Self::text(text, Kind::Text)
    }
}

impl From<String> for Content {
    /// Plain text.
    fn from(text: String) -> Self {
        Self::text(text, Kind::Text)
    }
}

impl Extracted {
    /// The page that a piece begins on, of what has pages.
    pub(super) fn page(&self, piece: &Piece) -> Option<usize> {
        let is_paged = self.kind == Kind::Pdf;
        is_paged.then(|| self.text[..piece.range.start].matches(PAGE_END).count() + 1)
    }
}
