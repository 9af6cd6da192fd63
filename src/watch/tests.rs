//! Real files, written, moved and removed while a watch runs: the collection follows, and nothing is embedded twice.

use super::*;
use crate::{Hashed, Metric, Schema, Store};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn collection() -> Collection {
    Store::memory().create_collection("docs", Schema::new(64, Metric::Cosine)).unwrap()
}

fn watch(docs: &Collection, home: &TempDir) -> Watch {
    let options = WatchOptions {
        root: home.path().join("w"),
        base: home.path().to_path_buf(),
        files: FolderOptions::default(),
        chunking: Chunking::default(),
    };
    Watch::start(docs, Some(Arc::new(Hashed::new(64).unwrap())), options).unwrap()
}

fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join("w/sub")).unwrap();
    home
}

fn put(home: &TempDir, name: &str, text: &str) {
    fs::write(home.path().join(name), text).unwrap();
}

/// What the folder says, and what the collection says.
fn folder(path: &Path, base: &Path, found: &mut BTreeSet<(String, String)>) {
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            folder(&path, base, found);
        } else {
            let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
            found.insert((name, fs::read_to_string(&path).unwrap().trim().to_owned()));
        }
    }
}

fn stored(docs: &Collection) -> BTreeSet<(String, String)> {
    let chunks = docs.scroll(None, None, 100_000).unwrap().chunks;
    chunks.into_iter().map(|chunk| (chunk.document_id.unwrap(), chunk.text.unwrap())).collect()
}

fn until_equal(docs: &Collection, home: &TempDir) {
    let mut expected = BTreeSet::new();
    folder(&home.path().join("w"), home.path(), &mut expected);
    let deadline = Instant::now() + Duration::from_secs(60);
    while stored(docs) != expected {
        assert!(
            Instant::now() < deadline,
            "the collection does not follow: {:?}, {expected:?}",
            stored(docs)
        );
        std::thread::yield_now();
    }
}

#[test]
fn the_collection_follows_the_folder_through_every_kind_of_change() {
    let (home, docs) = (home(), collection());
    put(&home, "w/a.md", "first words");
    docs.upsert([crate::Chunk::new("other").text("nobody's file").document("w/no-file.md", 0)]).unwrap();
    let watch = watch(&docs, &home);
    docs.delete(["other"]).unwrap();
    until_equal(&docs, &home);
    put(&home, "w/b.md", "second words");
    put(&home, "w/sub/c.md", "third words");
    until_equal(&docs, &home);
    put(&home, "w/a.md", "other words");
    until_equal(&docs, &home);
    fs::rename(home.path().join("w/b.md"), home.path().join("w/renamed.md")).unwrap();
    fs::rename(home.path().join("w/sub"), home.path().join("w/moved")).unwrap();
    until_equal(&docs, &home);
    fs::remove_dir_all(home.path().join("w/moved")).unwrap();
    fs::remove_file(home.path().join("w/a.md")).unwrap();
    until_equal(&docs, &home);
    // A burst, the same file again and again among it.
    for n in 0..200 {
        put(&home, &format!("w/{}.md", n % 60), &format!("burst number {n}"));
    }
    until_equal(&docs, &home);
    assert_eq!(watch.status().fault, None);
}

#[test]
fn a_new_start_embeds_nothing_that_did_not_change_meanwhile() {
    let (home, docs) = (home(), collection());
    for n in 0..20 {
        put(&home, &format!("w/{n}.md"), &format!("the text of file number {n}"));
    }
    let first = watch(&docs, &home);
    until_equal(&docs, &home);
    assert_eq!(first.status().embedded.max(20), 20);
    drop(first);
    put(&home, "w/3.md", "edited while nobody looked");
    fs::remove_file(home.path().join("w/4.md")).unwrap();
    let second = watch(&docs, &home);
    until_equal(&docs, &home);
    let deadline = Instant::now() + Duration::from_secs(60);
    while second.status().passes == 0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    let status = second.status();
    assert_eq!((status.embedded, status.stored, status.removed), (1, 1, 1));
}

#[test]
fn what_cannot_be_read_is_named_and_ends_nothing() {
    let (home, docs) = (home(), collection());
    put(&home, "w/bad.pdf", "%PDF-1.4 no");
    put(&home, "w/good.md", "good words");
    let watch = watch(&docs, &home);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !watch.status().last.failed.contains_key("w/bad.pdf") {
        assert!(Instant::now() < deadline, "{:?}", watch.status());
        std::thread::yield_now();
    }
    fs::remove_file(home.path().join("w/bad.pdf")).unwrap();
    until_equal(&docs, &home);
    let gone = WatchOptions {
        root: home.path().join("none"),
        base: home.path().to_path_buf(),
        files: FolderOptions::default(),
        chunking: Chunking::default(),
    };
    assert_eq!(Watch::start(&docs, None, gone).err().unwrap().kind(), ErrorKind::Unavailable);
}
