//! Pieces of text to index: of the files in a folder, or of the documents that this program carries.
//!
//! Invariants: hidden folders and those that hold what was built are left alone; the order, and so every id, is the same each time.

use crate::{Error, ErrorKind, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Files that are text.
const KINDS: [&str; 16] =
    ["md", "txt", "rst", "html", "rs", "py", "js", "ts", "go", "java", "c", "h", "cpp", "sql", "toml", "sh"];
const SKIPPED: [&str; 3] = ["target", "node_modules", "index_data"];
/// A demonstration is over in a minute.
const FILES_MAX: usize = 2_000;
const FILE_BYTES_MAX: u64 = 1 << 20;
const PIECES_MAX: usize = 20_000;
/// Letters of a piece, unless a paragraph is longer.
const PIECE: usize = 900;

/// A piece of a file.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) path: String,
    /// Where it begins.
    pub(super) line: usize,
    pub(super) text: String,
}

impl Piece {
    pub(super) fn kind(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, kind)| kind)
    }
}

/// The pieces of every text below a folder, and how many files they are of.
pub(super) fn of_folder(folder: &Path) -> Result<(Vec<Piece>, usize)> {
    let mut files = Vec::new();
    walk(folder, &mut files).map_err(|e| {
        Error::new(ErrorKind::NotFound, format!("{} cannot be read", folder.display())).with_source(e)
    })?;
    let (mut pieces, mut read) = (Vec::new(), 0);
    for file in files {
        // A file that is no text, or went away since, is no text to index.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let path = file.strip_prefix(folder).unwrap_or(&file).to_string_lossy().into_owned();
        split(&path, &text, &mut pieces);
        read += 1;
        if pieces.len() >= PIECES_MAX {
            break;
        }
    }
    pieces.truncate(PIECES_MAX);
    if pieces.is_empty() {
        let message = format!("{} holds no text; name another folder with --dir", folder.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok((pieces, read))
}

/// The documents that this program was built with.
pub(super) fn carried() -> (Vec<Piece>, usize) {
    let files = [
        ("README.md", include_str!("../../../README.md")),
        ("src/ARCHITECTURE.md", include_str!("../../ARCHITECTURE.md")),
        ("src/FORMAT.md", include_str!("../../FORMAT.md")),
        ("migrations/README.md", include_str!("../../../migrations/README.md")),
    ];
    let mut pieces = Vec::new();
    for (path, text) in files {
        split(path, text, &mut pieces);
    }
    (pieces, files.len())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if files.len() >= FILES_MAX || name.starts_with('.') || SKIPPED.contains(&name.as_str()) {
            continue;
        }
        // Links are not followed: they may lead round in circles.
        let about = entry.metadata()?;
        let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default().to_ascii_lowercase();
        if about.is_dir() {
            // One that may not be entered is not part of the demonstration.
            let _ = walk(&path, files);
        } else if about.is_file() && about.len() <= FILE_BYTES_MAX && KINDS.contains(&kind.as_str()) {
            files.push(path);
        }
    }
    Ok(())
}

/// Paragraphs, put together until there are enough letters.
fn split(path: &str, text: &str, pieces: &mut Vec<Piece>) {
    let (mut piece, mut line) = (String::new(), 1);
    let mut finish = |piece: &mut String, line: usize| {
        let text = std::mem::take(piece).trim_end().to_owned();
        if text.chars().any(char::is_alphanumeric) {
            pieces.push(Piece { path: path.to_owned(), line, text });
        }
    };
    for (at, part) in text.lines().enumerate() {
        let is_break = part.trim().is_empty() || part.starts_with('#');
        if is_break && piece.len() >= PIECE || piece.len() >= 2 * PIECE {
            finish(&mut piece, line);
        }
        if piece.is_empty() {
            if part.trim().is_empty() {
                continue;
            }
            line = at + 1;
        }
        // One line may be a whole book.
        piece.extend(part.chars().take(4 * PIECE));
        piece.push('\n');
    }
    finish(&mut piece, line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_in_order_without_what_is_hidden_or_built() {
        let home = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &[u8]| {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("b.md", b"# Title\n\nSome words.\n");
        put("a/x.rs", b"fn main() {}\n");
        put("a/no.txt", &[0xff, 0xfe, 0x00]);
        put("target/y.rs", b"fn built() {}\n");
        put(".git/z.md", b"hidden\n");
        put("c.png", b"not text\n");
        put("empty.md", b"\n \n--\n");
        let (pieces, files) = of_folder(home.path()).unwrap();
        let told: Vec<_> = pieces.iter().map(|p| (p.path.as_str(), p.line, p.kind())).collect();
        assert_eq!(told, [("a/x.rs", 1, "rs"), ("b.md", 1, "md")]);
        assert_eq!(files, 3);
        let error = of_folder(&home.path().join("target/none")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn pieces_begin_at_their_lines_and_lose_no_word() {
        let text = (1..=400)
            .map(|n| format!("word{n} and more of it\n{}", if n % 5 == 0 { "\n" } else { "" }))
            .collect::<String>();
        let mut pieces = Vec::new();
        split("t.md", &text, &mut pieces);
        assert!(pieces.len() > 5 && pieces.iter().all(|p| p.text.len() <= 2 * PIECE + 30));
        let lines: Vec<&str> = text.lines().collect();
        for piece in &pieces {
            assert_eq!(piece.text.lines().next(), Some(lines[piece.line - 1]));
        }
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(pieces.iter().flat_map(|p| words(&p.text)).collect::<Vec<_>>(), words(&text));
    }

    #[test]
    fn what_is_carried_is_there() {
        let (pieces, files) = carried();
        assert!(files == 4 && pieces.len() > 40);
    }
}
