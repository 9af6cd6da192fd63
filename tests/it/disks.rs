//! Goal: a real disk that is full, or can only be read, fails what needs it and nothing else (L16). Method: `tests/disks` mounts small
//! file systems, half of each taken by a file of others, and names each in `NEARFIELD_DISK`; here a store is filled until it is
//! refused, the others take the last byte, and the store is compared with a model; or the file system goes read-only under the
//! open store. When the others are gone there is room to open it: opening copies the newest file of the log.

use nearfield::{Chunk, Collection, Error, ErrorKind, Metric, Options, Schema, Store};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

const DIM: usize = 32;
const TEXT_BYTES: usize = 8 << 10;

fn mounted() -> PathBuf {
    std::env::var_os("NEARFIELD_DISK")
        .expect("NEARFIELD_DISK names a mounted file system: run tests/disks")
        .into()
}

fn open(disk: &std::path::Path) -> Result<Store, Error> {
    Store::open(disk.join("store"), Options::default().disk_reserve_bytes(0))
}

fn chunk(n: usize) -> Chunk {
    let vector: Vec<f32> = (0..DIM).map(|d| ((n * 31 + d * 7) % 97) as f32 - 48.0).collect();
    Chunk::new(n.to_string()).vector(vector).text("x".repeat(TEXT_BYTES))
}

/// Chunks one by one, from `from` on, until one is refused; where it stopped, and why.
fn fill(docs: &Collection, from: usize) -> (usize, Error) {
    (from..1 << 20).find_map(|n| docs.upsert([chunk(n)]).err().map(|e| (n, e))).expect("the disk is small")
}

/// Takes every byte that is free, the last ones one by one.
fn take_the_rest(disk: &std::path::Path) -> PathBuf {
    let path = disk.join("others");
    let mut file = File::options().append(true).create(true).open(&path).unwrap();
    for piece in [1 << 20, 64 << 10, 4 << 10, 1] {
        let bytes = vec![7; piece];
        while file.write(&bytes).is_ok_and(|written| written > 0) {}
    }
    // Delayed allocation promises more than there is.
    let _ = file.sync_all();
    path
}

/// Every row that is expected is there, and no other; each is found.
fn agree(docs: &Collection, expected: &BTreeSet<usize>) {
    assert_eq!(docs.count(None).unwrap(), expected.len());
    for n in expected {
        assert!(docs.get(&n.to_string()).unwrap().is_some(), "row {n} is gone");
    }
    if let Some(&n) = expected.first() {
        let query = chunk(n).vector.unwrap();
        let found = docs.search(&query).k(1).run().unwrap();
        assert!(!found.degraded && found.hits[0].distance < 1e-3, "row {n}");
    }
}

#[test]
#[ignore = "needs a small file system of its own: run tests/disks"]
fn l16_a_full_disk_takes_deletes_and_gives_back_their_room() {
    let disk = mounted();
    let store = open(&disk).unwrap();
    let docs = store.create_collection("docs", Schema::new(DIM, Metric::L2)).unwrap();
    let (stored, refused) = fill(&docs, 0);
    assert_eq!(refused.kind(), ErrorKind::Full, "{refused}");
    let others = take_the_rest(&disk);
    let mut expected: BTreeSet<usize> = (0..stored).collect();
    agree(&docs, &expected);
    let mut deleted = 0;
    for n in (0..stored).step_by(3).take(100) {
        docs.delete([n.to_string().as_str()]).unwrap_or_else(|e| panic!("delete {deleted} failed: {e}"));
        expected.remove(&n);
        deleted += 1;
        assert_eq!(docs.upsert([chunk(stored)]).unwrap_err().kind(), ErrorKind::Full);
    }
    agree(&docs, &expected);
    drop((docs, store));
    fs::remove_file(others).unwrap();
    let store = open(&disk).unwrap();
    let docs = store.open_collection("docs").unwrap();
    agree(&docs, &expected);
    assert!(store.stats().holes.is_empty() && store.stats().damage.is_empty());
    println!(
        "full: {stored} rows, then refused; {deleted} deletes with no byte free; all there after opening"
    );
}

#[test]
#[ignore = "needs a small file system of its own, and root: run tests/disks"]
fn l16_a_file_system_that_goes_read_only_serves_searches_and_loses_nothing() {
    let disk = mounted();
    let store = open(&disk).unwrap();
    let docs = store.create_collection("docs", Schema::new(DIM, Metric::L2)).unwrap();
    let expected: BTreeSet<usize> = (0..200).collect();
    docs.upsert(expected.iter().map(|n| chunk(*n))).unwrap();
    // As ext4 does it to itself when it meets an error.
    mount(&["-o", "remount,abort"]);
    let mut refused: Vec<Error> = Vec::new();
    for n in 0..20 {
        refused.extend(docs.upsert([chunk(1_000 + n)]).err());
        refused.extend(docs.delete([n.to_string().as_str()]).err());
    }
    assert_eq!(refused.len(), 40, "a write was acknowledged that the disk cannot have");
    let allowed = [ErrorKind::Unavailable, ErrorKind::Poisoned];
    assert!(refused.iter().all(|e| allowed.contains(&e.kind())), "{refused:?}");
    agree(&docs, &expected);
    drop((docs, store));
    let e = open(&disk).err().expect("a read-only folder was opened for writing");
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    println!("read-only: 40 writes refused ({}), searches served; opening: {e}", refused[0]);
}

#[test]
#[ignore = "the second half of the test before, on the same file system mounted anew: run tests/disks"]
fn l1_after_read_only_everything_acknowledged_is_there() {
    let store = open(&mounted()).unwrap();
    let docs = store.open_collection("docs").unwrap();
    let found = docs.count(None).unwrap();
    for n in 0..200 {
        assert!(docs.get(&n.to_string()).unwrap().is_some(), "row {n} is gone");
    }
    docs.upsert([chunk(5_000)]).unwrap();
    println!("read-only: {found} rows after it was mounted anew");
}

fn mount(options: &[&str]) {
    let done = Command::new("mount").args(options).arg(mounted()).status().unwrap();
    assert!(done.success(), "mount {options:?}");
}
