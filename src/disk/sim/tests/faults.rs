//! Calls that fail: which one, for how long, what they leave; and what damage does to a file.

use super::super::{Counters, Fault, Loss, SimDisk};
use super::{get, keep, put, workload};
use crate::disk::{Disk, Mapping};
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};

fn outcome<T>(result: io::Result<T>) -> Option<i32> {
    result.err().map(|e| e.raw_os_error().unwrap_or(-1))
}

#[test]
fn any_call_can_fail() {
    let calls: [fn(&SimDisk) -> Option<i32>; 11] = [
        |d| outcome(d.create("b")),
        |d| outcome(d.read("a", 0, 1)),
        |d| outcome(d.len("a")),
        |d| outcome(d.map("a", Mapping::Shared)),
        |d| outcome(d.rename("a", "c")),
        |d| outcome(d.remove("a")),
        |d| outcome(d.list("")),
        |d| outcome(d.make_dir("f")),
        |d| outcome(d.sync_dir("")),
        |d| outcome(d.lock("LOCK", "")),
        |d| outcome(d.space()),
    ];
    for (fault, code) in [(Fault::Io, 5), (Fault::Full, 28), (Fault::ReadOnly, 30), (Fault::Short, 5)] {
        for call in calls {
            let disk = SimDisk::new();
            put(&disk, "a", b"1");
            let (disk, before) = (disk.snapshot(), disk.contents());
            disk.fail(0, fault, false);
            assert_eq!((call(&disk), disk.calls(), disk.faults_met()), (Some(code), 1, 1));
            assert_eq!(disk.contents(), before, "it changed nothing");
            assert_eq!((call(&disk), disk.calls(), disk.faults_met()), (None, 2, 1));
        }
    }
    assert_eq!(Fault::Full.error().kind(), ErrorKind::StorageFull);
    assert_eq!(Fault::ReadOnly.error().kind(), ErrorKind::ReadOnlyFilesystem);
}

#[test]
fn a_fault_comes_once_or_stays() {
    for (fault, sticky, expected) in [
        (Fault::Io, false, [false, true, false, false, false, false]),
        (Fault::Io, true, [false, true, true, true, true, true]),
        (Fault::Full, true, [false, true, false, false, true, false]),
        (Fault::ReadOnly, true, [false, true, false, true, true, true]),
    ] {
        let disk = SimDisk::new();
        let file = put(&disk, "a", b"1");
        disk.fail(disk.calls() + 1, fault, sticky);
        let failed = [
            disk.len("a").is_err(),
            disk.len("a").is_err(),
            disk.len("a").is_err(),
            file.sync().is_err(),
            file.write_at(0, b"2").is_err(),
            disk.remove("a").is_err(),
        ];
        assert_eq!(failed, expected, "{fault:?} {sticky}");
        disk.heal();
        assert!(file.write_at(0, b"3").is_ok());
    }
}

#[test]
fn a_workload_passes_when_the_fault_comes_after_it() {
    let disk = SimDisk::new();
    workload(&disk, 3, 60).unwrap();
    let calls = disk.calls();
    for n in 0..=calls {
        let disk = SimDisk::new();
        disk.fail(n, Fault::Io, true);
        assert_eq!(workload(&disk, 3, 60).is_ok(), n == calls, "call {n}");
    }
}

#[test]
fn a_short_write_leaves_half() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", b"........");
    disk.fail(disk.calls(), Fault::Short, false);
    assert_eq!(outcome(file.write_at(0, b"12345678")), Some(5));
    assert_eq!(get(&disk, "a").unwrap(), b"1234....");
}

#[test]
fn bytes_of_a_failed_sync_stay_in_doubt() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", b"old.");
    file.write_at(0, b"new.").unwrap();
    disk.fail(disk.calls(), Fault::Io, false);
    assert!(file.sync().is_err());
    assert_eq!(get(&disk, "a").unwrap(), b"new.", "the process sees them");
    let is_in_doubt = || {
        let found: BTreeSet<_> = (0..50).map(|seed| get(&disk.image(Loss::Scattered, seed), "a")).collect();
        found == [Some(b"old.".to_vec()), Some(b"new.".to_vec())].into()
            && get(&disk.image(Loss::Unsynced, 0), "a").unwrap() == b"old."
    };
    assert!(is_in_doubt());
    file.sync().unwrap();
    assert!(is_in_doubt(), "a later sync that works says nothing about them");
    file.write_at(3, b"!").unwrap();
    file.sync().unwrap();
    assert_eq!(get(&disk.image(Loss::Unsynced, 0), "a").unwrap(), b"old!");
    file.write_at(0, b"new").unwrap();
    file.sync().unwrap();
    assert_eq!(get(&disk.image(Loss::Unsynced, 0), "a").unwrap(), b"new!", "written again");
}

#[test]
fn a_failed_sync_of_a_folder_leaves_its_names_pending() {
    let disk = SimDisk::new();
    put(&disk, "a", b"1");
    disk.fail(disk.calls(), Fault::Io, false);
    assert!(disk.sync_dir("").is_err());
    assert!(disk.image(Loss::Unsynced, 0).files().is_empty());
    disk.sync_dir("").unwrap();
    assert_eq!(disk.image(Loss::Unsynced, 0).files().len(), 1);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = SimDisk::new();
    disk.capacity(1000);
    let file = put(&disk, "a", &[1; 900]);
    assert_eq!((disk.space().unwrap().free, disk.space().unwrap().total), (100, 1000));
    assert_eq!(file.write_at(900, &[2; 300]).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!((disk.len("a").unwrap(), disk.space().unwrap().free), (1000, 0));
    file.write_at(0, &[3; 1000]).unwrap();
    assert_eq!(file.set_len(1001).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.create("b").err().unwrap().kind(), ErrorKind::StorageFull);
    file.sync().unwrap();
    disk.rename("a", "c").unwrap();
    file.set_len(10).unwrap();
    put(&disk, "b", &[4; 990]);
    disk.remove("b").unwrap();
    assert_eq!(disk.space().unwrap().free, 990);
    assert_eq!(disk.image(Loss::Nothing, 0).space().unwrap().total, 1000);
}

#[test]
fn calls_are_counted() {
    let disk = SimDisk::new();
    let file = put(&disk, "a", b"12345");
    disk.sync_dir("").unwrap();
    file.write_at(5, b"67").unwrap();
    disk.list("").unwrap();
    assert!(disk.create("a").is_err());
    assert_eq!(disk.counters(), Counters { syncs: 1, sync_dirs: 1, writes: 2, bytes_written: 7 });
    assert_eq!((disk.operations(), disk.calls()), (6, 7));
    let snapshot = disk.snapshot();
    assert_eq!((snapshot.counters(), snapshot.calls()), (Counters::default(), 0));
}

#[test]
fn damage_is_durable() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", &[0; 100]);
    file.write_at(50, b"pending").unwrap();
    let snapshot = disk.snapshot();
    disk.flip("a", 8 * 3 + 2).unwrap();
    disk.overwrite("a", 10, b"over").unwrap();
    disk.truncate("a", 20).unwrap();
    disk.overwrite("new", 0, b"made").unwrap();
    let mut expected = vec![0; 20];
    expected[3] = 4;
    expected[10..14].copy_from_slice(b"over");
    assert_eq!(get(&disk, "a").unwrap(), expected);
    assert_eq!(get(&disk, "new").unwrap(), b"made");
    assert_eq!(get(&disk.image(Loss::Unsynced, 0), "a").unwrap(), expected);
    assert_eq!(get(&snapshot.image(Loss::Unsynced, 0), "a").unwrap(), [0; 100], "a snapshot stands alone");
    assert!(disk.flip("a", 8 * 20).is_err() && disk.truncate("no", 1).is_err());
}
