//! Goal: a snapshot is one state of the store, whole or refused, and neither store can change the other. Method: snapshots of stores
//! that are written to meanwhile, restored, damaged byte by byte of their list of files, and compared with a model.

use nearfield::{Chunk, Collection, EmbeddingProfile, ErrorKind, Metric, Options, Schema, Store};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

fn open(folder: &Path) -> Store {
    Store::open(folder, Options::default()).unwrap()
}

fn chunk(id: usize) -> Chunk {
    let angle = id as f32 * 0.37;
    Chunk::new(format!("{id}"))
        .vector([angle.cos(), angle.sin(), 0.25])
        .text(format!("text of {id}"))
        .meta("n", id as u64)
}

fn docs(store: &Store) -> Collection {
    // All of the schema is to come along: another one would be refused here.
    let schema = Schema::new(3, Metric::Cosine).embedding(EmbeddingProfile::new("p", "m"));
    store.get_or_create("docs", schema).unwrap()
}

/// A store with a few rows, some of them in files, some deleted.
fn filled(folder: &Path, rows: usize) -> Store {
    let store = open(folder);
    let docs = docs(&store);
    docs.upsert((0..rows / 2).map(chunk)).unwrap();
    store.checkpoint().unwrap();
    docs.upsert((rows / 2..rows).map(chunk)).unwrap();
    docs.delete(["3"]).unwrap();
    store
}

fn ids(store: &Store) -> Vec<usize> {
    let page = docs(store).scroll(None, None, usize::MAX).unwrap();
    let mut ids: Vec<usize> = page.chunks.iter().map(|c| c.id.parse().unwrap()).collect();
    ids.sort_unstable();
    for chunk in &page.chunks {
        assert_eq!(docs(store).get(&chunk.id).unwrap().as_ref(), Some(chunk));
    }
    ids
}

/// Every file below `folder`, with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() {
            let inside = files(&entry).into_iter();
            found.extend(inside.map(|(p, bytes)| (entry.strip_prefix(folder).unwrap().join(p), bytes)));
        } else {
            found.insert(entry.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&entry).unwrap());
        }
    }
    found
}

fn of_collections(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(folder).into_iter().filter(|(path, _)| path.starts_with("c00000001")).collect()
}

#[test]
fn a_snapshot_under_writes_is_a_prefix_with_everything_acknowledged() {
    let home = TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name);
    let store = open(&at("store"));
    let docs = docs(&store);
    let acknowledged = AtomicUsize::new(0);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for batch in 0.. {
                if is_over.load(Ordering::Acquire) {
                    break;
                }
                docs.upsert((batch * 5..batch * 5 + 5).map(chunk)).unwrap();
                acknowledged.store(batch * 5 + 5, Ordering::Release);
            }
        });
        let wait = |n| while acknowledged.load(Ordering::Acquire) < n {};
        for round in 0..4 {
            wait(round * 60 + 10);
            let before = (acknowledged.load(Ordering::Acquire), store.token());
            let report = store.snapshot(at(&format!("snapshot-{round}"))).unwrap();
            assert!(report.token >= before.1 && report.token <= store.token());
            let copy = at(&format!("copy-{round}"));
            let restored = Store::restore(at(&format!("snapshot-{round}")), &copy).unwrap();
            assert_eq!(restored, report);
            let copy = open(&copy);
            assert_eq!(copy.token().seq, report.token.seq);
            let ids = ids(&copy);
            assert!(ids.len() >= before.0 && ids.len().is_multiple_of(5), "{} of {}", ids.len(), before.0);
            assert_eq!(ids, (0..ids.len()).collect::<Vec<_>>(), "no hole, and each batch whole");
        }
        is_over.store(true, Ordering::Release);
    });
    assert_eq!(ids(&store).len(), acknowledged.load(Ordering::Acquire));
}

#[test]
fn the_files_of_a_snapshot_are_those_of_the_store() {
    let home = TempDir::new().unwrap();
    let (from, to) = (home.path().join("store"), home.path().join("a/b/snapshot"));
    let store = filled(&from, 200);
    let report = store.snapshot(&to).unwrap();
    assert_eq!((report.collections, report.token), (1, store.token()));
    let (shared, mut own, mut bytes) = (of_collections(&to), 0, 0);
    assert_eq!(shared.len(), report.files);
    for path in files(&to).keys() {
        let (of_copy, of_store) =
            (std::fs::metadata(to.join(path)).unwrap(), std::fs::metadata(from.join(path)));
        match path.starts_with("c00000001") {
            true => assert_eq!(of_copy.ino(), of_store.unwrap().ino(), "{path:?} is a copy"),
            false => own += of_copy.len(),
        }
        bytes += of_copy.len();
    }
    assert_eq!(bytes - own, report.bytes);
    assert!(own < 4_096, "{own} bytes of its own");
    let names: Vec<PathBuf> = files(&to).into_keys().filter(|p| !p.starts_with("c00000001")).collect();
    assert_eq!(names.len(), 2, "IDENT and one manifest: {names:?}");
}

#[test]
fn neither_store_changes_the_other() {
    let home = TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name);
    let store = filled(&at("store"), 300);
    store.snapshot(at("snapshot")).unwrap();
    let (original, snapshot) = (of_collections(&at("store")), files(&at("snapshot")));
    Store::restore(at("snapshot"), at("copy")).unwrap();

    let copy = open(&at("copy"));
    docs(&copy).upsert((0..50).map(|id| chunk(id + 1_000))).unwrap();
    docs(&copy)
        .delete((0..100).map(|id| id.to_string()).collect::<Vec<_>>().iter().map(String::as_str))
        .unwrap();
    docs(&copy).heal().unwrap();
    copy.checkpoint().unwrap();
    copy.close(Duration::from_secs(10)).unwrap();
    assert_eq!(of_collections(&at("store")), original);
    assert_eq!(files(&at("snapshot")), snapshot);
    let of_copy = ids(&open(&at("copy")));

    docs(&store).upsert((0..20).map(|id| chunk(id + 2_000))).unwrap();
    docs(&store).delete(["200"]).unwrap();
    store.checkpoint().unwrap();
    drop(store);
    assert_eq!(files(&at("snapshot")), snapshot);
    assert_eq!(ids(&open(&at("copy"))), of_copy);

    // Opened in place it is a store like any, and changes nothing but itself.
    let original = of_collections(&at("store"));
    let in_place = open(&at("snapshot"));
    assert_eq!(ids(&in_place), (0..300).filter(|id| *id != 3).collect::<Vec<_>>());
    docs(&in_place).upsert([chunk(5_000)]).unwrap();
    in_place.checkpoint().unwrap();
    assert_eq!(of_collections(&at("store")), original);
}

#[test]
fn every_copy_has_an_identity_of_its_own() {
    let home = TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name);
    let store = filled(&at("store"), 20);
    store.snapshot(at("snapshot")).unwrap();
    Store::restore(at("snapshot"), at("one")).unwrap();
    Store::restore(at("snapshot"), at("two")).unwrap();
    let ident = |name: &str| -> serde_json::Value {
        let bytes = std::fs::read(at(name).join("IDENT")).unwrap();
        serde_json::from_slice(&bytes[24..bytes.len() - 16]).unwrap()
    };
    let all = ["store", "snapshot", "one", "two"].map(ident);
    for field in ["store", "node"] {
        let mut numbers: Vec<u64> = all.iter().map(|ident| ident[field].as_u64().unwrap()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 4, "{field}");
    }
    assert!(all.iter().all(|ident| ident["id_seed"] == all[0]["id_seed"]), "its hashes are in the files");
    // What says whose the old rows are.
    let manifest = std::fs::read_dir(at("two")).unwrap().map(|e| e.unwrap().path());
    let manifest =
        manifest.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with("manifest-")).max();
    let bytes = std::fs::read(manifest.unwrap()).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&bytes[24..bytes.len() - 16]).unwrap();
    let origins = manifest["origins"].as_array().unwrap();
    assert_eq!(
        (origins.len(), &origins[0]["node"]),
        (1, &all[0]["node"]),
        "the snapshot wrote nothing itself"
    );
    // The log of one is not taken for that of the other.
    for entry in std::fs::read_dir(at("store").join("wal")).unwrap().map(|e| e.unwrap()) {
        std::fs::create_dir_all(at("one/wal")).unwrap();
        std::fs::copy(entry.path(), at("one/wal").join(entry.file_name())).unwrap();
    }
    let restored = ids(&open(&at("two")));
    assert_eq!(ids(&open(&at("one"))), restored);
}

#[test]
fn a_folder_that_is_in_use_is_refused_and_left_alone() {
    let home = TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name);
    let store = filled(&at("store"), 20);
    std::fs::create_dir(at("full")).unwrap();
    std::fs::write(at("full").join("letter"), "dear").unwrap();
    store.snapshot(at("snapshot")).unwrap();
    for error in [
        store.snapshot(at("full")).unwrap_err(),
        Store::restore(at("snapshot"), at("full")).unwrap_err(),
        store.snapshot(at("snapshot")).unwrap_err(),
        Store::restore(at("snapshot"), at("store")).unwrap_err(),
        Store::restore(at("snapshot"), at("snapshot")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains("is not empty"), "{error}");
    }
    assert_eq!(files(&at("full")).len(), 1);
    std::fs::create_dir(at("empty")).unwrap();
    Store::restore(at("snapshot"), at("empty")).unwrap();
    assert_eq!(ids(&open(&at("empty"))), ids(&store));
}

#[test]
fn a_damaged_snapshot_is_refused_by_name() {
    let home = TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name);
    filled(&at("store"), 500).snapshot(at("snapshot")).unwrap();
    let whole = files(&at("snapshot"));
    for (path, bytes) in &whole {
        let damage = |bytes: Option<Vec<u8>>| {
            // A file of its own: the one that is there is the original's too.
            let _ = std::fs::remove_file(at("snapshot").join(path));
            if let Some(bytes) = bytes {
                std::fs::write(at("snapshot").join(path), bytes).unwrap();
            }
        };
        let flipped = [0, bytes.len() / 2, bytes.len() - 1].map(|at| {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            flipped
        });
        for bad in [None, Some(bytes[..bytes.len() - 1].to_vec())].into_iter().chain(flipped.map(Some)) {
            damage(bad);
            let error = Store::restore(at("snapshot"), at("copy")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{path:?}: {error}");
            let name = path.file_name().unwrap().to_str().unwrap();
            let is_named = error.to_string().contains(name) || name.starts_with("manifest");
            assert!(is_named && error.to_string().contains("use another snapshot"), "{path:?}: {error}");
            assert!(!at("copy").exists(), "nothing is left of a refused copy");
        }
        damage(Some(bytes.clone()));
    }
    Store::restore(at("snapshot"), at("copy")).unwrap();
    assert_eq!(ids(&open(&at("copy"))), ids(&open(&at("store"))));
}

#[test]
fn what_is_no_snapshot_is_refused() {
    let home = TempDir::new().unwrap();
    let at = |name: &str| home.path().join(name);
    let memory = Store::memory().snapshot(at("a")).unwrap_err();
    assert_eq!(memory.kind(), ErrorKind::Invalid);
    assert!(memory.to_string().contains("Store::open") && !at("a").exists(), "{memory}");

    let store = filled(&at("store"), 20);
    let error = Store::restore(at("store"), at("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyOpen, "{error}");
    store.snapshot(at("cut")).unwrap();
    docs(&store).upsert([chunk(76)]).unwrap();
    drop(store);
    // Its last commits are in the log alone.
    let error = Store::restore(at("store"), at("a")).unwrap_err();
    let store = open(&at("store"));
    docs(&store).upsert([chunk(77)]).unwrap();
    store.close(Duration::ZERO).unwrap();
    let written = Store::restore(at("store"), at("a")).unwrap_err();
    for error in [error, written] {
        assert!(
            error.kind() == ErrorKind::Conflict && error.to_string().contains("snapshot create"),
            "{error}"
        );
    }
    assert_eq!(store.snapshot(at("a")).unwrap_err().kind(), ErrorKind::Closed);
    let error = Store::restore(at("nothing"), at("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");

    // As a kill leaves it: all there, and not said to be.
    std::fs::write(at("cut").join("PARTIAL"), "").unwrap();
    for error in [
        Store::restore(at("cut"), at("a")).unwrap_err(),
        Store::open(at("cut"), Options::default()).err().unwrap(),
        open(&at("store")).snapshot(at("cut")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("cut short") && error.to_string().contains("remove"), "{error}");
    }
    assert!(!at("a").exists());
}
