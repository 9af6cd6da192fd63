//! Folders as people have them: what is a document, what it is called, what is left out.

use crate::ingest::folder::{is_gone, names_below};
use crate::ingest::{FolderOptions, Found, find_files};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn put(home: &TempDir, path: &str, bytes: &[u8]) {
    let path = home.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn names(found: &Found) -> Vec<&str> {
    found.files.iter().map(|file| file.name.as_str()).collect()
}

fn folder() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    put(&home, "docs/b.md", b"# B\n");
    put(&home, "docs/a/x.rs", b"fn x() {}\n");
    put(&home, "docs/a/noname", b"plain words\n");
    put(&home, "docs/picture.png", b"\x89PNG\0\0\0\0");
    put(&home, "docs/build/out.md", b"built\n");
    put(&home, "docs/keep.log", b"kept\n");
    put(&home, "docs/drop.log", b"dropped\n");
    put(&home, "docs/.gitignore", b"build/\n*.log\n!keep.log\n");
    put(&home, "docs/sub/.nearfieldignore", b"secret*\n");
    put(&home, "docs/sub/secret.md", b"no\n");
    put(&home, "docs/.hidden/z.md", b"no\n");
    put(&home, "docs/index_data/IDENT", b"a store");
    put(&home, "docs/index_data/notes.md", b"of a store\n");
    put(&home, "docs/large.txt", &[b'x'; 2_000]);
    #[cfg(unix)]
    std::os::unix::fs::symlink(home.path(), home.path().join("docs/round")).unwrap();
    home
}

#[test]
fn rules_decide_and_what_is_left_out_is_told() {
    let home = folder();
    let docs = home.path().join("docs");
    let options = FolderOptions { file_bytes_max: 1_000, ..FolderOptions::default() };
    let found = find_files(&docs, home.path(), &options).unwrap();
    assert_eq!(names(&found), ["docs/a/noname", "docs/a/x.rs", "docs/b.md", "docs/keep.log"]);
    let told: Vec<_> = found.left_out.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect();
    assert_eq!(
        told,
        [("docs/large.txt", "it has 2000 bytes, more than 1000"), ("docs/picture.png", "it is binary")]
    );
    let all = FolderOptions { hidden: true, ignore_files: false, ..FolderOptions::default() };
    let found = find_files(&docs, home.path(), &all).unwrap();
    for name in ["docs/build/out.md", "docs/drop.log", "docs/.hidden/z.md", "docs/sub/secret.md"] {
        assert!(names(&found).contains(&name), "{name}");
    }
    assert!(!names(&found).contains(&"docs/index_data/notes.md"));
}

#[test]
fn patterns_choose() {
    let home = folder();
    let of = |include: &[&str], exclude: &[&str]| {
        let list = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        let options =
            FolderOptions { include: list(include), exclude: list(exclude), ..FolderOptions::default() };
        find_files(&home.path().join("docs"), home.path(), &options)
    };
    assert_eq!(names(&of(&["*.md"], &[]).unwrap()), ["docs/b.md"]);
    assert_eq!(names(&of(&["*.md", "*.rs"], &["a/**"]).unwrap()), ["docs/b.md"]);
    assert!(!names(&of(&[], &["*.rs"]).unwrap()).contains(&"docs/a/x.rs"));
    assert!(of(&["a{"], &[]).is_err());
}

#[test]
fn names_are_the_same_whatever_was_asked_for() {
    let home = folder();
    let (docs, base) = (home.path().join("docs"), home.path());
    let whole = find_files(&docs, base, &FolderOptions::default()).unwrap();
    let part = find_files(&docs.join("a"), base, &FolderOptions::default()).unwrap();
    let one = find_files(&docs.join("../docs/a/x.rs"), base, &FolderOptions::default()).unwrap();
    assert!(part.files.iter().all(|file| whole.files.contains(file)));
    assert_eq!(names(&one), ["docs/a/x.rs"]);
    let beyond = find_files(&docs.join("b.md"), &docs.join("a"), &FolderOptions::default()).unwrap();
    assert!(Path::new(names(&beyond)[0]).is_absolute());
    assert_eq!(
        (names_below(&docs, base).unwrap().as_str(), names_below(base, base).unwrap().as_str()),
        ("docs/", "")
    );
    assert!(is_gone("docs/none.md", base) && !is_gone("docs/b.md", base) && !is_gone("docs/drop.log", base));
    assert!(find_files(&docs.join("none"), base, &FolderOptions::default()).is_err());
}
