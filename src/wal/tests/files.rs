//! Several files: which counts, which is damaged, which may go.

use super::*;

#[test]
fn files_follow_each_other() {
    let disk = MemDisk::default();
    let mut writer = create(&disk, 1, 1);
    append(&mut writer, 1..=3).unwrap();
    writer.finish().unwrap();
    let mut writer = create(&disk, 2, 4);
    append(&mut writer, 4..=4).unwrap();
    writer.finish().unwrap();
    create(&disk, 3, 5);
    disk.set_bytes("wal/notes.txt", vec![1]);
    disk.set_bytes("wal/0000000000000001-1.wal", vec![1]);
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!((found, scan.last, scan.proven), (commits(1..=4), Seq(4), Seq(4)));
    assert_eq!(
        scan.files.iter().map(|f| (f.first.0, f.last.0)).collect::<Vec<_>>(),
        [(1, 3), (4, 4), (5, 4)]
    );

    let names: Vec<String> = scan.files.iter().map(|f| f.name.clone()).collect();
    for (replay_from, gone) in [(1, 0), (3, 0), (4, 1), (5, 2), (99, 2)] {
        assert_eq!(obsolete(&scan.files, Seq(replay_from)), names[..gone], "from {replay_from}");
    }
    assert_eq!(obsolete(&[], Seq(1)), Vec::<String>::new());

    // A file that is gone is a hole; below what is asked for it is none.
    disk.remove(&path(&names[1])).unwrap();
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!((found, scan.holes), (commits(1..=3), vec![(Seq(4), Seq(4))]));
    let (found, scan) = read(&disk, 5, 0);
    assert_eq!((found, scan.holes, scan.last), (vec![], vec![], Seq(4)));
}

#[test]
fn an_empty_log_is_what_the_floor_says() {
    let disk = MemDisk::default();
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!((found, scan.last, scan.holes), (vec![], Seq(0), vec![]));
    let (_, scan) = read(&disk, 8, 7);
    assert_eq!((scan.last, scan.holes), (Seq(7), vec![]));
    let (_, scan) = read(&disk, 8, 9);
    assert_eq!((scan.last, scan.holes), (Seq(9), vec![(Seq(8), Seq(9))]));
}

#[test]
fn l2_a_later_file_replaces_from_its_first_seq_on() {
    let disk = MemDisk::default();
    let mut writer = create(&disk, 1, 1);
    append(&mut writer, 1..=3).unwrap();
    writer.sync().unwrap();
    append(&mut writer, 4..=9).unwrap();
    // 4 was torn, so the store went on from there: what stands behind it in the old file never happened.
    let old = path(writer.name());
    let mut bytes = disk.bytes(&old);
    let at = bytes.windows(8).position(|w| w == 4u64.to_le_bytes()).unwrap();
    bytes[at + 30] ^= 1;
    disk.set_bytes(&old, bytes);
    assert_eq!(read(&disk, 1, 0).0, commits(1..=3));
    let mut writer = create(&disk, 2, 4);
    assert_eq!(read(&disk, 1, 0).0, commits(1..=3));
    append_as(&mut writer, &vec![(4, vec![7])]).unwrap();
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!((found[3..].to_vec(), scan.last, scan.damage), (vec![(4, vec![7])], Seq(4), vec![]));
}

#[test]
fn a_file_counts_from_its_head_on() {
    let disk = MemDisk::default();
    small_log(&disk);
    let tail = commits(5..=6);
    let group: Vec<Commit<'_>> = tail
        .iter()
        .map(|(seq, bytes)| Commit { seq: Seq(*seq), kind: Kind::Create, payload: [bytes, &[]] })
        .collect();
    let writer = Writer::create_with(&disk, STORE, 2, Seq(5), 8, &group).unwrap();
    assert_eq!((writer.proven(), writer.last()), (Seq(6), Seq(6)));
    assert_eq!(read(&disk, 1, 0).0, commits(1..=6));
    // Killed before the head was written.
    let new = path(writer.name());
    let mut bytes = disk.bytes(&new);
    bytes[..HEAD_BYTES].fill(0);
    for len in [0, 10, HEAD_BYTES, bytes.len()] {
        disk.set_bytes(&new, bytes[..len].to_vec());
        let (found, scan) = read(&disk, 1, 0);
        assert_eq!((found, scan.damage), (commits(1..=6), vec![]), "{len} bytes");
        assert!(obsolete(&scan.files, Seq(6)).is_empty(), "the old file still holds them");
    }
}

#[test]
fn l8_bytes_of_another_salt_never_validate() {
    let disk = MemDisk::default();
    let old = small_log(&disk);
    let stale = disk.bytes(&old);
    disk.remove(&old).unwrap();
    let mut writer = create(&disk, 2, 1);
    append(&mut writer, 1..=2).unwrap();
    writer.finish().unwrap();
    let new = path(writer.name());
    let mut bytes = disk.bytes(&new);
    let end = bytes.len();
    bytes.extend_from_slice(&stale[end..]);
    disk.set_bytes(&new, bytes);
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!((found, scan.holes, scan.last), (commits(1..=2), vec![], Seq(2)));
    assert_eq!(scan.torn_bytes, (stale.len() - end) as u64);
}

#[test]
fn a_damaged_head_is_reported() {
    let disk = MemDisk::default();
    let path = small_log(&disk);
    let whole = disk.bytes(&path);
    for bit in 0..HEAD_BYTES * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        disk.set_bytes(&path, bytes);
        let (found, scan) = read(&disk, 1, 0);
        assert_eq!((found, scan.damage.len()), (vec![], 1), "bit {bit}");
    }
    let (_, scan) = read(&disk, 1, 6);
    assert_eq!(scan.holes, [(Seq(1), Seq(6))]);
    disk.set_bytes(&path, whole);
    let other = scan_as(&disk, STORE + 1).unwrap();
    assert_eq!((other.last, other.damage.len()), (Seq(0), 1), "another store's");
}

fn scan_as(disk: &MemDisk, store: u64) -> Result<Scan> {
    scan(disk, store, Seq(1), Seq(0), &mut |_, _, _| Ok(()))
}

#[test]
fn l21_a_newer_version_is_refused_by_name() {
    let disk = MemDisk::default();
    let path = small_log(&disk);
    let whole = disk.bytes(&path);
    let mut bytes = whole.clone();
    bytes[8] = 2;
    let check = xxhash_rust::xxh3::xxh3_64(&bytes[..56]);
    bytes[56..64].copy_from_slice(&check.to_le_bytes());
    disk.set_bytes(&path, bytes);
    let error = scan_as(&disk, STORE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("newer version (format version 2)"), "{error}");

    let mut bytes = whole;
    let record = HEAD_BYTES..HEAD_BYTES + RECORD_HEAD_BYTES + payload(1).len();
    bytes[HEAD_BYTES + 4] = 9;
    format::seal(&mut bytes[record], 1001);
    disk.set_bytes(&path, bytes);
    let error = scan_as(&disk, STORE).unwrap_err();
    assert!(error.message().contains("a record of type 9 at offset 64"), "{error}");
}

#[test]
fn names_are_made_and_read_in_one_way() {
    assert_eq!(file_name(Seq(0x1f), 2), "000000000000001f-00000002.wal");
    assert_eq!(parse_name("000000000000001f-00000002.wal"), Some((Seq(0x1f), 2)));
    for name in [
        "",
        "x.wal",
        "1f-2.wal",
        "000000000000001F-00000002.wal",
        "000000000000001f-00000002.wal~",
        "+00000000000001f-00000002.wal",
    ] {
        assert_eq!(parse_name(name), None, "{name}");
    }
}

mod any {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn l7_any_bytes_are_scanned_to_an_end(at in 0usize..700, junk in prop::collection::vec(any::<u8>(), 1..200)) {
            let disk = MemDisk::default();
            let path = small_log(&disk);
            let mut bytes = disk.bytes(&path);
            bytes.resize(bytes.len().max(at + junk.len()), 0);
            bytes[at..at + junk.len()].copy_from_slice(&junk);
            disk.set_bytes(&path, bytes);
            let (found, _) = read(&disk, 1, 0);
            prop_assert!(found.iter().all(|commit| commits(1..=6).contains(commit)));
        }
    }
}
