//! Failing I/O: the log stays usable, or says that it is not, and never shows what it refused after what it took.

use super::*;

#[test]
fn a_group_is_one_write_and_zeros_stand_ahead() {
    let disk = MemDisk::default();
    let mut writer = create(&disk, 1, 1);
    let path = format!("wal/{}", writer.name());
    let before = disk.writes();
    append(&mut writer, 1..=5).unwrap();
    let len = disk.bytes(&path).len();
    append(&mut writer, 6..=6).unwrap();
    assert_eq!((disk.writes() - before, disk.bytes(&path).len()), (2, len), "the second fits into the zeros");
    assert_eq!(
        len as u64 - (256 << 10),
        writer.len() - (RECORD_HEAD_BYTES + payload(6).len().next_multiple_of(8)) as u64
    );
    assert!(writer.unsynced_bytes() > 0 && writer.proven() == Seq(0));
    writer.sync().unwrap();
    assert!(writer.unsynced_bytes() == 0 && writer.proven() == Seq(6));
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!((found, scan.torn_bytes), (commits(1..=6), 0), "zeros are no torn bytes");
    append_as(&mut writer, &vec![(7, vec![1; 100 << 10])]).unwrap();
    append_as(&mut writer, &vec![(8, vec![2; 200 << 10])]).unwrap();
    assert_eq!(disk.bytes(&path).len() as u64, writer.len(), "a big group only grows the file");
    append(&mut writer, 9..=9).unwrap();
    writer.finish().unwrap();
    assert_eq!(disk.bytes(&path).len() as u64, writer.len());
    assert_eq!(read(&disk, 1, 0).1.last, Seq(9));
}

#[test]
fn a_commit_out_of_order_or_empty_is_refused() {
    let disk = MemDisk::default();
    let mut writer = create(&disk, 1, 1);
    for wrong in [vec![(2, payload(2))], vec![(1, vec![])], vec![(1, payload(1)), (1, payload(1))]] {
        assert_eq!(append_as(&mut writer, &wrong).unwrap_err().kind(), ErrorKind::Internal);
    }
    append(&mut writer, 1..=2).unwrap();
    assert_eq!(read(&disk, 1, 0).0, commits(1..=2));
}

#[test]
fn l16_a_failed_write_leaves_nothing_behind() {
    let disk = MemDisk::default();
    let mut writer = create(&disk, 1, 1);
    append(&mut writer, 1..=2).unwrap();
    disk.fail("write");
    let error = append(&mut writer, 3..=6).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.message().contains(writer.name()), "{error}");
    assert_eq!((read(&disk, 1, 0).0, writer.proven()), (commits(1..=2), Seq(2)), "the cut was synced");
    // The same seqs with other contents, and fewer: 4 to 6 must not follow.
    append_as(&mut writer, &vec![(3, vec![9; 5])]).unwrap();
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!((found.len(), &found[2], scan.last), (3, &(3, vec![9; 5]), Seq(3)));
}

#[test]
fn l16_room_that_was_left_takes_small_groups_when_the_disk_has_no_byte_free() {
    const ROOM: usize = 32 << 10;
    let disk = MemDisk::default();
    let mut writer = create(&disk, 1, 1);
    let path = path(writer.name());
    append_and_leave(&mut writer, &vec![(1, vec![7; 200 << 10])], ROOM).unwrap();
    assert_eq!(disk.bytes(&path).len() as u64, writer.len() + ROOM as u64);
    disk.leave(0);
    let (mut next, mut refused) = (2, 0);
    while append(&mut writer, next..=next).is_ok() {
        next += 1;
        // What needs room is refused, and takes none of what was left.
        let large = vec![(next, vec![8; 100 << 10])];
        let error = append_and_leave(&mut writer, &large, ROOM).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full);
        assert!(append_and_leave(&mut writer, &commits(next..=next), ROOM).is_err());
        refused += 2;
    }
    let bytes = writer.len() as usize - (HEAD_BYTES + RECORD_HEAD_BYTES + (200 << 10));
    assert!(bytes > ROOM - 200 && !writer.is_poisoned(), "{bytes} bytes of small groups, {refused} refused");
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!(
        (found.len() as u64, &found[1..], scan.damage),
        (next - 1, &commits(2..=next - 1)[..], vec![])
    );
    disk.leave(ROOM * 2);
    append_and_leave(&mut writer, &commits(next..=next), ROOM).unwrap();
}

#[test]
fn l16_a_group_that_fits_is_written_though_zeros_ahead_do_not() {
    let disk = MemDisk::default();
    let mut writer = create(&disk, 1, 1);
    disk.leave(4 << 10);
    append(&mut writer, 1..=3).unwrap();
    let path = path(writer.name());
    assert_eq!(disk.bytes(&path).len() as u64, writer.len());
    assert_eq!(read(&disk, 1, 0).0, commits(1..=3));
}

#[test]
fn l16_what_cannot_be_cut_off_ends_the_file() {
    // Zeros cannot be put in the place of what was written, nor an end; or neither is durable.
    for (step, times) in [("set_len", 2), ("sync", 1)] {
        let disk = MemDisk::default();
        let mut writer = create(&disk, 1, 1);
        append(&mut writer, 1..=2).unwrap();
        disk.fail("write");
        (0..times).for_each(|_| disk.fail(step));
        assert!(append(&mut writer, 3..=6).is_err() && writer.is_poisoned());
        assert_eq!(append(&mut writer, 3..=3).unwrap_err().kind(), ErrorKind::Poisoned);
        writer.restart(&disk, 2, 5).unwrap();
        append_as(&mut writer, &vec![(3, vec![9; 5])]).unwrap();
        let (found, scan) = read(&disk, 1, 0);
        assert_eq!((found.len(), &found[2], scan.last), (3, &(3, vec![9; 5]), Seq(3)), "{step}");
    }
}

#[test]
fn l17_after_a_failed_sync_a_fresh_file_holds_everything() {
    let disk = MemDisk::default();
    let mut writer = create(&disk, 1, 1);
    append(&mut writer, 1..=2).unwrap();
    writer.sync().unwrap();
    append(&mut writer, 3..=4).unwrap();
    append(&mut writer, 5..=5).unwrap();
    disk.fail("sync");
    assert_eq!(writer.sync().unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(writer.sync().unwrap_err().kind(), ErrorKind::Poisoned, "never again on this file");
    assert_eq!(append(&mut writer, 6..=6).unwrap_err().kind(), ErrorKind::Poisoned);
    for (number, step) in [(2, "create"), (3, "write"), (4, "sync"), (5, "sync_dir")] {
        disk.fail(step);
        assert!(writer.restart(&disk, number, 5).is_err() && writer.is_poisoned(), "{step}");
        assert_eq!(writer.proven(), Seq(2), "{step}");
    }
    let old = format!("wal/{}", writer.name());
    writer.restart(&disk, 6, 5).unwrap();
    assert_eq!((writer.proven(), writer.unsynced_bytes()), (Seq(5), 0));
    append(&mut writer, 6..=6).unwrap();
    assert_eq!(read(&disk, 1, 0).0, commits(1..=6));
    // Whatever became of the old file's tail.
    let mut bytes = disk.bytes(&old);
    let third = bytes.windows(8).position(|w| w == 3u64.to_le_bytes()).unwrap();
    bytes[third..].fill(0);
    disk.set_bytes(&old, bytes);
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!((found, scan.damage), (commits(1..=6), vec![]));
}

/// One writer that does what the engine will: gives up a group that found no room, goes on in a new file after a failed sync.
/// Gives what was acknowledged, and what was ever tried.
fn workload(disk: &MemDisk) -> (Commits, u64) {
    let (mut acknowledged, mut next, mut number) = (Commits::new(), 1, 1);
    let Ok(mut writer) = Writer::create(disk, STORE, number, Seq(1), 3) else { return (acknowledged, next) };
    for round in 0..12u64 {
        // Contents differ from try to try of the same seq.
        let group: Commits =
            (next..next + 1 + round % 3).map(|seq| (seq, vec![round as u8; 9 + round as usize])).collect();
        let mut done = append_as(&mut writer, &group).is_ok();
        if done {
            done = writer.sync().is_ok();
        }
        for _ in 0..2 {
            if writer.is_poisoned() {
                number += 1;
                let was_appended = writer.last() == Seq(group[group.len() - 1].0);
                done = writer.restart(disk, number, 3 + u64::from(number)).is_ok() && was_appended;
            }
        }
        if writer.is_poisoned() {
            break;
        }
        if done {
            next += group.len() as u64;
            acknowledged.extend(group);
        }
        if round == 6 && writer.finish().is_ok() {
            number += 1;
            match Writer::create(disk, STORE, number, Seq(next), 3 + u64::from(number)) {
                Ok(fresh) => writer = fresh,
                Err(error) if error.kind() == ErrorKind::Poisoned => break,
                Err(_) => {}
            }
        }
    }
    (acknowledged, next)
}

#[test]
fn l16_whichever_step_fails_what_was_acknowledged_is_there() {
    for is_sticky in [false, true] {
        for n in 1.. {
            let disk = MemDisk::default();
            disk.fail_nth(n, is_sticky);
            let (acknowledged, next) = workload(&disk);
            let has_failed = disk.heal();
            let (found, scan) = read(&disk, 1, 0);
            assert!(found.starts_with(&acknowledged), "step {n}, sticky {is_sticky}");
            assert!(
                found.len() <= acknowledged.len() + 3,
                "step {n}, sticky {is_sticky}: one group in doubt"
            );
            assert_eq!((scan.holes, scan.damage), (vec![], vec![]), "step {n}, sticky {is_sticky}");
            if !has_failed {
                assert_eq!((acknowledged.len() as u64 + 1, n > 20), (next, true));
                break;
            }
        }
    }
}
