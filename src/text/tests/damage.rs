//! What happens to files: they are read back, lost, damaged, of another kind; whatever it is, answers are right once rows were looked at again.

use super::*;
use crate::disk::sim::{Loss, SimDisk};
use crate::disk::{Disk, Mapping};
use crate::ids::BLOCK_SLOTS;
use std::sync::Arc;

const ROWS: [usize; 2] = [1_200, 2_300];

fn reopened(disk: &SimDisk, language: Language, saved: &[SavedSegment], rows: &[usize]) -> TextIndex {
    index(language).with_files(Arc::new(disk.clone()), Mapping::Copy, saved.to_vec(), rows.to_vec())
}

/// Answers are right after catching up; whether any segment was used.
fn serves(index: &TextIndex, rows: &Rows, language: Language, what: &str) -> usize {
    let used = index.counts().documents;
    for question in ["python game", "\"data server\"", "the"] {
        assert!(index.catch_up(&rows.live, rows, usize::MAX));
        // One that meets damage forgets it, and answers without.
        search(index, question, &rows.live, 10);
        assert!(index.catch_up(&rows.live, rows, usize::MAX));
        let expected = oracle(rows, language, question, &rows.live);
        assert_same(&search(index, question, &rows.live, 10), &expected, 10, what);
    }
    used
}

fn made() -> (SimDisk, Rows, Vec<SavedSegment>) {
    let rows = Rows::made(&ROWS, &mut Dice(11));
    let index = index(Language::English);
    fill(&index, &rows, 1, usize::MAX);
    let disk = SimDisk::new();
    let saved = saved(&index, &disk);
    (disk, rows, saved)
}

#[test]
fn segments_come_back_from_their_files_and_only_the_tail_is_looked_at_again() {
    let (disk, mut rows, saved) = made();
    assert_eq!(saved.len(), 3, "one of the whole block, two of the growing one");
    let index = reopened(&disk, Language::English, &saved, &ROWS);
    let covered: usize = saved.iter().map(|s| (s.run.end - s.run.first) as usize).sum();
    assert_eq!(index.lag(&rows.live, usize::MAX), ROWS.iter().sum::<usize>() - covered);
    assert!(serves(&index, &rows, Language::English, "reopened") > 0);
    assert_eq!(index.trouble(), None);
    // What was saved keeps its file; what is new gets a name that no file has.
    (2_300..3_500).for_each(|i| rows.add(Slot::new(BlockId(1), i), Some("new words".into())));
    fill(&index, &rows, 1, usize::MAX);
    let again = super::saved(&index, &disk);
    assert!(again.len() > saved.len() && again.starts_with(&saved), "{again:?}");
    index.bring_in(&disk, Mapping::Copy, &again);
    serves(&index, &rows, Language::English, "mapped");
    assert_eq!(super::saved(&index, &disk), again);
    // A merge makes a file of its own.
    fill(&index, &rows, 2, usize::MAX);
    let merged = super::saved(&index, &disk);
    assert!(merged.len() == 2 && !again.contains(&merged[1]), "{merged:?}");
    serves(&index, &rows, Language::English, "merged");
}

#[test]
fn a_change_of_language_makes_all_anew() {
    let (disk, rows, saved) = made();
    for language in [Language::None, Language::German] {
        let index = reopened(&disk, language, &saved, &ROWS);
        assert_eq!(serves(&index, &rows, language, "another language"), 0);
        assert!(index.trouble().unwrap().contains("another way"));
    }
}

#[test]
fn what_covers_rows_that_a_crash_took_back_is_not_used() {
    let (disk, rows, saved) = made();
    // The rows from 1,500 on are gone, and others stand there now.
    let index = reopened(&disk, Language::English, &saved, &[1_200, 1_500]);
    let mut after = rows.clone();
    for place in 1_500..2_300 {
        after.texts.insert(Slot::new(BlockId(1), place), Some("other words".into()));
    }
    serves(&index, &after, Language::English, "rows taken back");
    let expected = oracle(&after, Language::English, "other words", &after.live);
    assert_same(&search(&index, "other words", &after.live, 9), &expected, 9, "rows taken back");
}

#[test]
fn a_gap_between_files_ends_the_cover() {
    let (disk, rows, mut saved) = made();
    saved.remove(1);
    let index = reopened(&disk, Language::English, &saved, &ROWS);
    serves(&index, &rows, Language::English, "a gap");
}

#[test]
fn flipped_cut_and_missing_files_are_noticed_and_made_anew() {
    let (disk, rows, saved) = made();
    let mut dice = Dice(12);
    for (nth, victim) in saved.iter().enumerate() {
        let path = format!("c00000007/{}", victim.file.name);
        let bits = victim.file.len * 8;
        for _ in 0..24 {
            let hurt = disk.snapshot();
            let bit = dice.below(bits as usize) as u64;
            hurt.flip(&path, bit).unwrap();
            let index = reopened(&hurt, Language::English, &saved, &ROWS);
            serves(&index, &rows, Language::English, &format!("file {nth}, bit {bit}"));
        }
        for len in [0, 1, victim.file.len / 2, victim.file.len - 1] {
            let hurt = disk.snapshot();
            hurt.truncate(&path, len).unwrap();
            let index = reopened(&hurt, Language::English, &saved, &ROWS);
            serves(&index, &rows, Language::English, &format!("file {nth}, {len} bytes"));
            assert!(index.trouble().is_some());
        }
        let hurt = disk.snapshot();
        hurt.remove(&path).unwrap();
        serves(&reopened(&hurt, Language::English, &saved, &ROWS), &rows, Language::English, "missing");
    }
}

#[test]
fn a_power_loss_at_any_operation_leaves_files_that_are_whole_or_not_used() {
    let (disk, rows, saved) = made();
    let mut replay = disk.replay();
    loop {
        for loss in Loss::ALL {
            let image = replay.image(loss, replay.operations());
            let index = reopened(&image, Language::English, &saved, &ROWS);
            serves(&index, &rows, Language::English, &format!("{loss:?} at {}", replay.operations()));
        }
        if !replay.step() {
            break;
        }
    }
    // All of it was synced: nothing is lost in the end.
    let index = reopened(&disk.image(Loss::Unsynced, 1), Language::English, &saved, &ROWS);
    serves(&index, &rows, Language::English, "after the end");
    assert_eq!(index.trouble(), None);
}

#[test]
fn a_disk_that_fails_fails_the_save_and_nothing_else() {
    let rows = Rows::made(&ROWS, &mut Dice(11));
    let index = index(Language::English);
    fill(&index, &rows, 1, usize::MAX);
    let disk = SimDisk::new();
    disk.make_dir("c00000007").unwrap();
    disk.capacity(4_000);
    assert!(index.save(&disk, &|_| {}).is_err());
    serves(&index, &rows, Language::English, "a full disk");
    disk.capacity(1 << 30);
    let saved = saved(&index, &disk);
    assert!(
        serves(&reopened(&disk, Language::English, &saved, &ROWS), &rows, Language::English, "room again")
            > 0
    );
}

#[test]
fn the_last_slot_of_a_block_is_covered_like_any_other() {
    let mut rows = Rows::default();
    let last = Slot::new(BlockId(0), (BLOCK_SLOTS - 1) as u16);
    rows.add(last, Some("the very last".into()));
    rows.add(Slot::new(BlockId(1), 0), Some("the first after".into()));
    let index = index(Language::English);
    fill(&index, &rows, 2, usize::MAX);
    let disk = SimDisk::new();
    let saved = saved(&index, &disk);
    let index = reopened(&disk, Language::English, &saved, &[BLOCK_SLOTS, 1]);
    assert_eq!((index.lag(&rows.live, usize::MAX), index.trouble()), (0, None));
    assert_eq!(search(&index, "last", &rows.live, 9).hits[0].1, last);
}
