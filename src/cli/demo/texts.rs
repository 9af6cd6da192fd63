//! Pieces of text to index: of the files in a folder, or of the documents that this program carries.
//!
//! Which files are meant and where they are cut is `ingest/`'s: what is shown here is what `nearfield add` does.

use crate::{Chunking, Content, Error, ErrorKind, FolderOptions, FoundFile, Result, find_files};
use std::path::Path;

/// A demonstration is over in a minute.
const FILES_MAX: usize = 2_000;
const FILE_BYTES_MAX: u64 = 1 << 20;
const PIECES_MAX: usize = 20_000;
/// What was built is no text that anybody wrote.
const BUILT: [&str; 3] = ["target/", "node_modules/", "index_data/"];

/// A piece of a file.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) id: String,
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
    let options = FolderOptions {
        exclude: BUILT.map(str::to_owned).to_vec(),
        file_bytes_max: FILE_BYTES_MAX,
        ..FolderOptions::default()
    };
    let found = find_files(folder, folder, &options)?;
    let (mut pieces, mut read) = (Vec::new(), 0);
    for file in found.files.iter().take(FILES_MAX) {
        // A file that is no text, or went away since, is no text to index.
        if file.read().is_ok_and(|content| split(file, &content, &mut pieces).is_ok()) {
            read += 1;
        }
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
        let file = FoundFile { name: path.to_owned(), path: path.into() };
        // What was built in is text.
        let _ = split(&file, &Content::file(path, text.as_bytes().to_vec()), &mut pieces);
    }
    (pieces, files.len())
}

fn split(file: &FoundFile, content: &Content, pieces: &mut Vec<Piece>) -> Result<()> {
    let cuts = content.cut(&Chunking::default())?;
    // A long line has more than one piece.
    let (mut line, mut of_line) = (0, 0);
    for cut in cuts {
        of_line = if cut.line == line { of_line + 1 } else { 0 };
        line = cut.line;
        let more = if of_line > 0 { format!(".{of_line}") } else { String::new() };
        let id = format!("{}:{line}{more}", file.name);
        pieces.push(Piece { id, path: file.name.clone(), line, text: cut.text });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
        put("c.png", b"\x89PNG\0");
        put("empty.md", b"\n \n--\n");
        let (pieces, files) = of_folder(home.path()).unwrap();
        let told: Vec<_> = pieces.iter().map(|p| (p.path.as_str(), p.line, p.kind())).collect();
        assert_eq!(told, [("a/x.rs", 1, "rs"), ("b.md", 1, "md")]);
        assert_eq!(files, 4);
        let error = of_folder(&home.path().join("target/none")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn pieces_begin_at_their_lines() {
        let text =
            (1..=400).map(|n| format!("word{n} and more of it.\n{}", if n % 5 == 0 { "\n" } else { "" }));
        let text: String = text.collect();
        let file = FoundFile { name: "t.md".into(), path: "t.md".into() };
        let mut pieces = Vec::new();
        split(&file, &Content::file("t.md", text.clone().into_bytes()), &mut pieces).unwrap();
        assert!(pieces.len() > 5);
        let lines: Vec<&str> = text.lines().collect();
        for piece in &pieces {
            assert_eq!(piece.text.lines().next(), Some(lines[piece.line - 1]));
        }
    }

    #[test]
    fn what_is_carried_is_there() {
        let (pieces, files) = carried();
        assert!(files == 4 && pieces.len() > 40);
    }
}
