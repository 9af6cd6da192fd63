//! What a power loss may take: exactly what no sync made durable.

use super::super::{Loss, SimDisk};
use super::{get, keep, put};
use crate::disk::Disk;
use std::collections::BTreeSet;

/// The distinct contents of `path` over many seeds.
fn outcomes(disk: &SimDisk, path: &str, loss: Loss) -> BTreeSet<Option<Vec<u8>>> {
    (0..500).map(|seed| get(&disk.image(loss, seed), path)).collect()
}

#[test]
fn what_was_synced_survives_every_loss() {
    let disk = SimDisk::new();
    disk.make_dir("f/g").unwrap();
    disk.sync_dir("").unwrap();
    disk.sync_dir("f").unwrap();
    let file = keep(&disk, "f/g/a", &[1; 3000]);
    keep(&disk, "tmp", b"moved");
    disk.rename("tmp", "f/b").unwrap();
    disk.sync_dir("f").unwrap();
    disk.sync_dir("").unwrap();
    file.write_at(100, &[2; 1000]).unwrap();
    file.sync().unwrap();
    for loss in Loss::ALL {
        for seed in 0..50 {
            assert_eq!(disk.image(loss, seed).contents(), disk.contents(), "{loss:?} {seed}");
        }
    }
}

#[test]
fn unsynced_bytes_are_lost_or_kept() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", b"old");
    file.write_at(0, b"newer").unwrap();
    assert_eq!(get(&disk, "a").unwrap(), b"newer");
    for loss in [Loss::Unsynced, Loss::Bytes] {
        assert_eq!(get(&disk.image(loss, 0), "a").unwrap(), b"old");
    }
    for loss in [Loss::Nothing, Loss::Names] {
        assert_eq!(get(&disk.image(loss, 0), "a").unwrap(), b"newer");
    }
}

#[test]
fn scattered_sectors_are_each_old_or_new() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", &[1; 4 * 512]);
    file.write_at(0, &[2; 4 * 512]).unwrap();
    let outcomes = outcomes(&disk, "a", Loss::Scattered);
    assert_eq!(outcomes.len(), 16, "every subset of four sectors");
    for bytes in outcomes.into_iter().flatten() {
        assert!(bytes.chunks(512).all(|sector| sector == [1; 512] || sector == [2; 512]));
    }
}

#[test]
fn each_write_to_one_sector_is_kept_or_not() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", b"....");
    file.write_at(0, b"xx").unwrap();
    file.write_at(2, b"yy").unwrap();
    let found: BTreeSet<_> = outcomes(&disk, "a", Loss::Scattered).into_iter().flatten().collect();
    assert_eq!(found, [b"....", b"..yy", b"xx..", b"xxyy"].map(|b| b.to_vec()).into());
}

#[test]
fn a_length_is_one_that_the_file_had_and_holes_are_zero() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", &[1; 512]);
    file.write_at(512, &[2; 512]).unwrap();
    file.write_at(1024, &[3; 512]).unwrap();
    file.set_len(100).unwrap();
    file.set_len(2000).unwrap();
    let found: Vec<_> = outcomes(&disk, "a", Loss::Scattered).into_iter().flatten().collect();
    let lens: BTreeSet<_> = found.iter().map(Vec::len).collect();
    assert_eq!(lens, [100, 512, 1024, 1536, 2000].into());
    for (i, sector) in found.iter().flat_map(|bytes| bytes.chunks(512).enumerate()) {
        assert!(sector.iter().all(|b| *b == 0 || usize::from(*b) == i + 1), "sector {i}");
    }
}

#[test]
fn a_length_may_arrive_without_its_bytes_but_not_the_other_way() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", b"");
    file.write_at(0, &[1; 1300]).unwrap();
    let found: Vec<_> = outcomes(&disk, "a", Loss::Scattered).into_iter().flatten().collect();
    assert!(found.contains(&vec![0; 1300]) && found.contains(&vec![1; 1300]) && found.contains(&vec![]));
    assert!(found.iter().all(|bytes| [0, 1300].contains(&bytes.len())));
}

#[test]
fn a_torn_write_keeps_its_start_and_all_before_it() {
    let disk = SimDisk::new();
    let (log, other) = (keep(&disk, "a", &[1; 10]), keep(&disk, "b", b""));
    log.write_at(10, &[2; 90]).unwrap();
    other.write_at(0, b"kept").unwrap();
    log.write_at(100, &[3; 2000]).unwrap();
    put(&disk, "c", b"a name is kept");
    let mut lens = BTreeSet::new();
    for seed in 0..3000 {
        let image = disk.image(Loss::Torn, seed);
        let bytes = get(&image, "a").unwrap();
        assert!(bytes[..10] == [1; 10] && bytes[10..100] == [2; 90] && bytes[100..].iter().all(|b| *b == 3));
        assert!(get(&image, "b").unwrap() == b"kept" && get(&image, "c").is_some());
        lens.insert(bytes.len());
    }
    assert!(lens.len() > 1000 && lens.contains(&100) && !lens.contains(&2100), "any byte");
    assert!([512, 1024, 1536, 2048].iter().all(|sector| lens.contains(sector)), "any sector");
}

#[test]
fn a_synced_file_without_a_synced_name_is_lost() {
    let disk = SimDisk::new();
    put(&disk, "a", b"synced");
    assert!(disk.image(Loss::Unsynced, 0).files().is_empty());
    assert_eq!(get(&disk.image(Loss::Nothing, 0), "a").unwrap(), b"synced");
    assert_eq!(outcomes(&disk, "a", Loss::Scattered), [None, Some(b"synced".to_vec())].into());
}

#[test]
fn a_file_in_a_folder_without_a_synced_name_is_lost() {
    let disk = SimDisk::new();
    disk.make_dir("f").unwrap();
    keep(&disk, "f/a", b"synced");
    assert!(disk.image(Loss::Unsynced, 0).files().is_empty());
    disk.sync_dir("").unwrap();
    assert_eq!(get(&disk.image(Loss::Unsynced, 0), "f/a").unwrap(), b"synced");
}

#[test]
fn a_folder_made_anew_does_not_hold_what_the_old_one_held() {
    let disk = SimDisk::new();
    disk.make_dir("f").unwrap();
    disk.sync_dir("").unwrap();
    keep(&disk, "f/a", b"1");
    disk.remove("f/a").unwrap();
    disk.remove_dir("f").unwrap();
    disk.make_dir("f").unwrap();
    disk.sync_dir("").unwrap();
    assert_eq!(outcomes(&disk, "f/a", Loss::Scattered), [None].into());
}

#[test]
fn a_rename_without_a_synced_folder_is_lost() {
    let disk = SimDisk::new();
    keep(&disk, "a", b"old");
    keep(&disk, "b", b"new");
    disk.rename("b", "a").unwrap();
    for loss in [Loss::Unsynced, Loss::Names] {
        let image = disk.image(loss, 0);
        assert_eq!(
            (get(&image, "a").unwrap(), get(&image, "b").unwrap()),
            (b"old".to_vec(), b"new".to_vec())
        );
    }
    for seed in 0..50 {
        let image = disk.image(Loss::Scattered, seed);
        let moved = get(&image, "a").unwrap() == b"new";
        assert_eq!(moved, get(&image, "b").is_none(), "within one folder: one name or the other");
    }
    disk.sync_dir("").unwrap();
    let image = disk.image(Loss::Unsynced, 0);
    assert_eq!((get(&image, "a").unwrap(), get(&image, "b")), (b"new".to_vec(), None));
}

#[test]
fn a_move_to_another_folder_needs_both_synced() {
    let disk = SimDisk::new();
    disk.make_dir("tmp").unwrap();
    disk.sync_dir("").unwrap();
    keep(&disk, "tmp/x", b"1");
    disk.rename("tmp/x", "x").unwrap();
    let names = |disk: &SimDisk| -> Vec<String> { disk.files().into_keys().collect() };
    let source_only = disk.snapshot();
    source_only.sync_dir("tmp").unwrap();
    assert!(names(&source_only.image(Loss::Unsynced, 0)).is_empty());
    disk.sync_dir("").unwrap();
    assert_eq!(names(&disk.image(Loss::Unsynced, 0)), ["tmp/x", "x"]);
    disk.sync_dir("tmp").unwrap();
    assert_eq!(names(&disk.image(Loss::Unsynced, 0)), ["x"]);
}

#[test]
fn a_removed_file_may_come_back() {
    let disk = SimDisk::new();
    keep(&disk, "a", b"1");
    disk.remove("a").unwrap();
    assert_eq!(outcomes(&disk, "a", Loss::Scattered), [None, Some(b"1".to_vec())].into());
    disk.sync_dir("").unwrap();
    assert_eq!(outcomes(&disk, "a", Loss::Scattered), [None].into());
}

#[test]
fn a_renamed_file_may_be_without_its_bytes() {
    let disk = SimDisk::new();
    let file = disk.create("tmp").unwrap();
    file.write_at(0, b"not synced").unwrap();
    disk.rename("tmp", "a").unwrap();
    disk.sync_dir("").unwrap();
    for loss in [Loss::Unsynced, Loss::Bytes] {
        assert_eq!(get(&disk.image(loss, 0), "a").unwrap(), b"");
    }
}

#[test]
fn an_image_is_durable_unlocked_and_a_machine_of_its_own() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", b"1");
    let _held = disk.lock("LOCK", "me").unwrap().ok().unwrap();
    file.write_at(0, b"2").unwrap();
    let image = disk.image(Loss::Nothing, 0);
    assert_eq!(image.image(Loss::Unsynced, 0).contents(), image.contents());
    assert!(image.lock("LOCK", "other").unwrap().is_ok());
    image.remove("a").unwrap();
    file.write_at(0, b"3").unwrap();
    assert_eq!(get(&disk, "a").unwrap(), b"3");
    assert!(get(&image, "a").is_none() && image.operations() == 1);
}
