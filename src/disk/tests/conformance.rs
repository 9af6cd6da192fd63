//! What every disk promises. Goal: what holds on the simulated disk holds on the real one. Method: each check runs on both,
//! on a fresh store.

use crate::disk::sim::SimDisk;
use crate::disk::{Disk, Mapping, RealDisk};
use std::io::ErrorKind;

fn on_each_disk(check: impl Fn(&dyn Disk)) {
    check(&SimDisk::new());
    let folder = tempfile::tempdir().unwrap();
    check(&RealDisk::new(folder.path()));
}

fn put(disk: &dyn Disk, path: &str, bytes: &[u8]) {
    let file = disk.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync().unwrap();
}

fn get(disk: &dyn Disk, path: &str) -> Vec<u8> {
    disk.read(path, 0, usize::MAX >> 1).unwrap()
}

fn kind<T>(result: std::io::Result<T>) -> ErrorKind {
    result.err().expect("an error").kind()
}

#[test]
fn a_name_is_created_once() {
    on_each_disk(|disk| {
        put(disk, "a", b"first");
        assert_eq!(kind(disk.create("a")), ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.create("no/a")), ErrorKind::NotFound);
        disk.make_dir("f").unwrap();
        assert_eq!(kind(disk.create("f")), ErrorKind::AlreadyExists);
        assert_eq!(get(disk, "a"), b"first");
    });
}

#[test]
fn reads_end_at_the_end_of_the_file() {
    on_each_disk(|disk| {
        put(disk, "a", b"0123456789");
        assert_eq!(disk.read("a", 2, 3).unwrap(), b"234");
        assert_eq!(disk.read("a", 8, 100).unwrap(), b"89");
        assert_eq!(disk.read("a", 10, 1).unwrap(), b"");
        assert_eq!(disk.read("a", u64::MAX >> 2, 1).unwrap(), b"");
        assert_eq!(disk.read("a", 0, 0).unwrap(), b"");
        assert_eq!(disk.len("a").unwrap(), 10);
        for result in [disk.read("no", 0, 1).map(|_| ()), disk.len("no").map(|_| ())] {
            assert_eq!(kind(result), ErrorKind::NotFound);
        }
    });
}

#[test]
fn writes_land_where_they_are_put() {
    on_each_disk(|disk| {
        let file = disk.create("a").unwrap();
        file.write_at(5000, b"far").unwrap();
        file.write_at(4095, b"xy").unwrap();
        file.write_at(9000, b"").unwrap();
        let mut expected = vec![0; 5003];
        expected[4095..4097].copy_from_slice(b"xy");
        expected[5000..].copy_from_slice(b"far");
        assert_eq!(get(disk, "a"), expected);
    });
}

#[test]
fn a_file_is_cut_and_extended_with_zeros() {
    on_each_disk(|disk| {
        let file = disk.create("a").unwrap();
        file.write_at(0, &[7; 6000]).unwrap();
        file.set_len(5).unwrap();
        assert_eq!(get(disk, "a"), [7; 5]);
        file.set_len(10_000).unwrap();
        let bytes = get(disk, "a");
        assert_eq!(bytes.len(), 10_000);
        assert!(bytes[..5] == [7; 5] && bytes[5..].iter().all(|b| *b == 0));
    });
}

#[test]
fn a_folder_lists_its_names_in_order() {
    on_each_disk(|disk| {
        assert!(disk.list("").unwrap().is_empty() && disk.list("no").unwrap().is_empty());
        assert!(disk.list("no/deeper").unwrap().is_empty());
        disk.make_dir("b/deep/er").unwrap();
        disk.make_dir("b/deep").unwrap();
        for path in ["c", "a", "b-", "b.x", "b/deep/z", "b/y"] {
            put(disk, path, b"");
        }
        assert_eq!(disk.list("").unwrap(), ["a", "b-", "b.x", "b/", "c"]);
        assert_eq!(disk.list("b").unwrap(), ["deep/", "y"]);
        assert_eq!(disk.list("b/deep").unwrap(), ["er/", "z"]);
        assert!(disk.list("b/deep/er").unwrap().is_empty());
    });
}

#[test]
fn a_file_moves_over_another() {
    on_each_disk(|disk| {
        disk.make_dir("tmp").unwrap();
        put(disk, "tmp/x", b"new");
        put(disk, "x", b"old");
        disk.rename("tmp/x", "x").unwrap();
        disk.rename("x", "x").unwrap();
        disk.rename("x", "y").unwrap();
        assert_eq!(get(disk, "y"), b"new");
        assert_eq!(disk.list("").unwrap(), ["tmp/", "y"]);
        assert!(disk.list("tmp").unwrap().is_empty());
        assert_eq!(kind(disk.rename("x", "z")), ErrorKind::NotFound);
        assert_eq!(kind(disk.rename("y", "no/z")), ErrorKind::NotFound);
        assert_eq!(kind(disk.rename("y", "tmp")), ErrorKind::IsADirectory);
        assert_eq!(disk.list("").unwrap(), ["tmp/", "y"]);
    });
}

#[test]
fn a_moved_or_removed_file_stays_open() {
    on_each_disk(|disk| {
        let file = disk.create("a").unwrap();
        disk.rename("a", "b").unwrap();
        file.write_at(0, b"written").unwrap();
        assert_eq!(get(disk, "b"), b"written");
        disk.remove("b").unwrap();
        put(disk, "b", b"another");
        file.write_at(0, b"unseen").unwrap();
        file.sync().unwrap();
        assert_eq!(get(disk, "b"), b"another");
    });
}

#[test]
fn files_and_empty_folders_are_removed() {
    on_each_disk(|disk| {
        disk.make_dir("f").unwrap();
        put(disk, "f/a", b"1");
        assert_eq!(kind(disk.remove("f")), ErrorKind::IsADirectory);
        assert_eq!(kind(disk.remove_dir("f")), ErrorKind::DirectoryNotEmpty);
        disk.remove("f/a").unwrap();
        assert_eq!(kind(disk.remove("f/a")), ErrorKind::NotFound);
        disk.remove_dir("f").unwrap();
        assert_eq!(kind(disk.remove_dir("f")), ErrorKind::NotFound);
        assert!(disk.list("").unwrap().is_empty());
    });
}

#[test]
fn a_file_is_no_folder() {
    on_each_disk(|disk| {
        put(disk, "a", b"1");
        assert_eq!(kind(disk.make_dir("a")), ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.list("a")), ErrorKind::NotADirectory);
        assert_eq!(kind(disk.remove_dir("a")), ErrorKind::NotADirectory);
        assert_eq!(kind(disk.create("a/b")), ErrorKind::NotADirectory);
    });
}

#[test]
fn folders_are_synced_if_they_are_there() {
    on_each_disk(|disk| {
        disk.make_dir("f").unwrap();
        put(disk, "f/a", b"1");
        disk.sync_dir("f").unwrap();
        disk.sync_dir("").unwrap();
        assert_eq!(kind(disk.sync_dir("no")), ErrorKind::NotFound);
    });
}

#[test]
fn a_file_is_mapped_whole() {
    on_each_disk(|disk| {
        let bytes: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
        put(disk, "a", &bytes);
        put(disk, "empty", b"");
        for mapping in [Mapping::Shared, Mapping::Private, Mapping::Copy] {
            let map = disk.map("a", mapping).unwrap();
            assert_eq!(map.bytes(), bytes);
            assert!(disk.map("empty", mapping).unwrap().bytes().is_empty());
            assert_eq!(kind(disk.map("no", mapping)), ErrorKind::NotFound);
        }
        let map = disk.map("a", Mapping::Shared).unwrap();
        disk.remove("a").unwrap();
        assert_eq!(map.bytes(), bytes, "mapped pages outlive the name");
    });
}

#[test]
fn one_holds_a_lock_until_it_is_dropped() {
    on_each_disk(|disk| {
        let first = disk.lock("LOCK", "a rather long note").unwrap();
        assert!(first.is_ok());
        assert_eq!(disk.lock("LOCK", "2").unwrap().err().unwrap(), "a rather long note");
        drop(first);
        let second = disk.lock("LOCK", "2").unwrap();
        assert_eq!(disk.lock("LOCK", "3").unwrap().err().unwrap(), "2");
        assert!(disk.lock("other", "3").unwrap().is_ok());
        drop(second);
        assert_eq!(disk.list("").unwrap(), ["LOCK", "other"]);
        assert_eq!(get(disk, "LOCK"), b"2");
    });
}

#[test]
fn a_file_is_shared_outside() {
    on_each_disk(|disk| {
        let outside = tempfile::tempdir().unwrap();
        put(disk, "a", b"bytes");
        let to = outside.path().join("copy");
        disk.share("a", &to).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"bytes");
        assert_eq!(kind(disk.share("a", &to)), ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.share("no", &outside.path().join("no"))), ErrorKind::NotFound);
    });
}

#[test]
fn there_is_room() {
    on_each_disk(|disk| {
        let space = disk.space().unwrap();
        assert!(0 < space.free && space.free <= space.total);
        assert!(!disk.place().is_empty());
    });
}
