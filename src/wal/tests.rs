//! What the log promises. Goal: a commit is read back whole and as written, or was never acknowledged, or its loss is reported.
//! Method: small logs on a disk in memory, cut and flipped at every place; every I/O failing once and for ever.

mod disk;
mod faults;
mod files;

use super::format::{HEAD_BYTES, PART_BYTES_MAX, RECORD_HEAD_BYTES, RecordHead};
use super::*;
use crate::disk::{Disk, RealDisk};
use crate::error::{ErrorKind, Result};
use crate::ids::{Slot, Ver};
use crate::record::{Chunk, admit, encode_body};
use disk::MemDisk;

const STORE: u64 = 77;

type Commits = Vec<(u64, Vec<u8>)>;

/// A payload that differs from seq to seq, of many lengths.
fn payload(seq: u64) -> Vec<u8> {
    (0..1 + seq * 7 % 41).map(|i| (seq * 31 + i * 3) as u8).collect()
}

fn commits(seqs: std::ops::RangeInclusive<u64>) -> Commits {
    seqs.map(|seq| (seq, payload(seq))).collect()
}

/// Appends the group of these seqs.
fn append(writer: &mut Writer, seqs: std::ops::RangeInclusive<u64>) -> Result<()> {
    append_as(writer, &commits(seqs))
}

fn append_as(writer: &mut Writer, commits: &Commits) -> Result<()> {
    append_and_leave(writer, commits, 0)
}

fn append_and_leave(writer: &mut Writer, commits: &Commits, room: usize) -> Result<()> {
    let split = |(seq, payload): &(u64, Vec<u8>)| (Seq(*seq), payload.len() / 3);
    let group: Vec<Commit<'_>> = commits
        .iter()
        .map(|commit| {
            let (seq, at) = split(commit);
            let (a, b) = commit.1.split_at(at);
            Commit { seq, kind: Kind::Create, payload: [a, b] }
        })
        .collect();
    writer.append(&group, room)
}

fn create(disk: &dyn Disk, number: u32, first: u64) -> Writer {
    Writer::create(disk, STORE, number, Seq(first), 1000 + u64::from(number)).unwrap()
}

fn read(disk: &dyn Disk, from: u64, floor: u64) -> (Commits, Scan) {
    let mut found = Vec::new();
    let scan = scan(disk, STORE, Seq(from), Seq(floor), &mut |seq, kind, payload| {
        assert_eq!(kind, Kind::Create);
        found.push((seq.0, payload.to_vec()));
        Ok(())
    });
    (found, scan.unwrap())
}

/// The groups 1-2, 3 and 4-6, each synced; the name of the file.
fn small_log(disk: &dyn Disk) -> String {
    let mut writer = create(disk, 1, 1);
    for group in [1..=2, 3..=3, 4..=6] {
        append(&mut writer, group).unwrap();
        writer.sync().unwrap();
    }
    writer.finish().unwrap();
    format!("wal/{}", writer.name())
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(folder.path());
    disk.make_dir(FOLDER).unwrap();
    let path = small_log(&disk);
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!(found, commits(1..=6));
    assert_eq!((scan.last, scan.proven, scan.torn_bytes), (Seq(6), Seq(3), 0));
    assert_eq!((scan.holes, scan.damage), (vec![], vec![]));
    let name = path.strip_prefix("wal/").unwrap().to_owned();
    let bytes = disk.len(&path).unwrap();
    let info = FileInfo { name, number: 1, first: Seq(1), last: Seq(6), bytes, is_readable: true };
    assert_eq!(scan.files, [info]);
    assert_eq!(read(&disk, 4, 3).0, commits(4..=6), "from a seq on");
}

#[test]
fn rows_are_read_back() {
    let rows = [
        Chunk::new("a").vector([1.0, -2.0]).text("hello").tenant("t"),
        Chunk::new("bcd").text("waits for its vector"),
        Chunk::new("e").vector([0.5, 0.0]),
    ]
    .map(|chunk| admit(chunk, 2, false).unwrap());
    let mut payload = RowsPayload::new(9);
    for row in &rows {
        let mut body = Vec::new();
        encode_body(row, Ver(5), 3, &mut body);
        payload.push(&body, row.vector.as_deref());
    }
    let removed = [Slot(4), Slot(70_000)];
    let mut bytes = Vec::new();
    payload.head(&removed, Slot(65_535), &mut bytes);
    bytes.extend_from_slice(payload.rows());

    let commit = RowsCommit::parse(&bytes).unwrap();
    assert_eq!((commit.collection, commit.first, commit.count), (9, Slot(65_535), 3));
    assert_eq!(commit.removed().collect::<Vec<_>>(), removed);
    let read: Vec<_> = commit.rows().map(|row| row.body.to_row(row.vector())).collect();
    assert_eq!(read, rows);
    assert!(commit.rows().all(|row| (row.body.ver, row.body.node) == (Ver(5), 3)));

    for len in 0..bytes.len() {
        assert!(RowsCommit::parse(&bytes[..len]).is_none(), "{len} bytes of {}", bytes.len());
    }
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Some(commit) = RowsCommit::parse(&bytes) {
            assert_eq!(commit.rows().count(), commit.count, "what parses is whole");
        }
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn l2_every_truncation_gives_a_prefix() {
    let disk = MemDisk::default();
    let path = small_log(&disk);
    let whole = disk.bytes(&path);
    for len in 0..whole.len() {
        disk.set_bytes(&path, whole[..len].to_vec());
        let (found, scan) = read(&disk, 1, 0);
        assert_eq!(found, commits(1..=6)[..found.len()], "{len} bytes");
        // The last group proves the one before.
        assert!(found.len() < 6 || len >= whole.len() - 7, "{len} bytes");
        assert_eq!((scan.holes, scan.damage), (vec![], vec![]), "{len} bytes");
        assert_eq!(scan.last, Seq(found.len() as u64), "{len} bytes");
    }
}

#[test]
fn l8_every_flipped_bit_is_harmless_torn_or_reported() {
    let disk = MemDisk::default();
    let path = small_log(&disk);
    let whole = disk.bytes(&path);
    let (mut reported, mut torn) = (0, 0);
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        disk.set_bytes(&path, flipped);
        let (found, scan) = read(&disk, 1, 0);
        let is_lost = |seq: u64| scan.holes.iter().any(|(a, b)| (a.0..=b.0).contains(&seq));
        let expected: Commits =
            commits(1..=scan.last.0).into_iter().filter(|(seq, _)| !is_lost(*seq)).collect();
        assert_eq!(found, expected, "bit {bit}");
        // 1 to 3 are proven by the last group: their loss is never silent.
        if found.iter().filter(|(seq, _)| *seq <= 3).count() < 3 {
            assert!(!scan.damage.is_empty(), "bit {bit}");
            reported += 1;
        } else if found.len() < 6 {
            torn += 1;
        }
    }
    assert!(reported > 500 && torn > 500, "{reported} {torn}");
}

/// A length that is not checked makes a scan of junk read up to 16 MiB for each 8 bytes of it.
#[test]
fn l7_no_flipped_bit_of_a_record_s_head_is_believed() {
    let disk = MemDisk::default();
    let bytes = disk.bytes(&small_log(&disk));
    let salt = u64::from_le_bytes(bytes[16..24].try_into().unwrap());
    let head = &bytes[HEAD_BYTES..HEAD_BYTES + RECORD_HEAD_BYTES];
    assert!(RecordHead::decode(head, salt).is_some());
    for bit in 0..RECORD_HEAD_BYTES * 8 {
        let mut flipped = head.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(RecordHead::decode(&flipped, salt), None, "bit {bit}");
    }
}

#[test]
fn l9_a_proven_seq_tells_damage_from_a_torn_tail() {
    let disk = MemDisk::default();
    let path = small_log(&disk);
    let whole = disk.bytes(&path);
    // Seq 5, in the middle of the last group: only 3 and before are proven.
    let at = |seq: u64| whole.windows(8).position(|w| w == seq.to_le_bytes()).unwrap() - 8;
    let flip = |seq: u64| {
        let mut bytes = disk.bytes(&path);
        bytes[at(seq) + RECORD_HEAD_BYTES] ^= 1;
        disk.set_bytes(&path, bytes);
    };
    flip(5);
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!((found, scan.holes.len(), scan.last), (commits(1..=4), 0, Seq(4)));
    assert!(scan.torn_bytes > 0);
    // The manifest knows better.
    let (found, scan) = read(&disk, 1, 5);
    assert_eq!((scan.holes, scan.last), (vec![(Seq(5), Seq(5))], Seq(6)));
    assert_eq!(found.iter().map(|c| c.0).collect::<Vec<_>>(), [1, 2, 3, 4, 6]);
    assert_eq!((scan.damage.len(), scan.damage[0].offset), (1, at(5) as u64));
    // Or even more than there is.
    let (found, scan) = read(&disk, 1, 9);
    assert_eq!((found.len(), scan.holes, scan.last), (5, vec![(Seq(5), Seq(5)), (Seq(7), Seq(9))], Seq(9)));
    // A later record proves 2.
    flip(2);
    let (found, scan) = read(&disk, 1, 0);
    assert_eq!((scan.holes, scan.last), (vec![(Seq(2), Seq(2))], Seq(4)));
    assert_eq!(found.iter().map(|c| c.0).collect::<Vec<_>>(), [1, 3, 4]);
    // Below what is asked for, damage does not matter.
    let (found, scan) = read(&disk, 3, 0);
    assert_eq!((found, scan.damage), (commits(3..=4), vec![]));
}

#[test]
fn l3_a_commit_of_many_parts_is_whole_or_absent() {
    let disk = MemDisk::default();
    let mut writer = create(&disk, 1, 1);
    let big: Vec<u8> = (0..2 * PART_BYTES_MAX + 5).map(|i| (i % 251) as u8).collect();
    let group = vec![(1, payload(1)), (2, big), (3, payload(3))];
    append_as(&mut writer, &group).unwrap();
    let path = format!("wal/{}", writer.name());
    let whole = disk.bytes(&path);
    let (found, scan) = read(&disk, 1, 0);
    assert!(found == group && scan.last == Seq(3));
    drop(found);

    let first = HEAD_BYTES + RECORD_HEAD_BYTES + payload(1).len().next_multiple_of(8);
    let stride = RECORD_HEAD_BYTES + PART_BYTES_MAX;
    for part in 0..3 {
        let mut bytes = whole.clone();
        bytes[first + part * stride + RECORD_HEAD_BYTES + 1] ^= 4;
        disk.set_bytes(&path, bytes);
        let (found, scan) = read(&disk, 1, 0);
        assert!(found == group[..1] && scan.holes.is_empty(), "part {part}");
        let (found, scan) = read(&disk, 1, 3);
        assert!(found == [group[0].clone(), group[2].clone()], "part {part}");
        assert_eq!(scan.holes, [(Seq(2), Seq(2))], "part {part}");
    }
    for len in [first + 3, first + stride, first + 2 * stride, first + 2 * stride + 36] {
        disk.set_bytes(&path, whole[..len].to_vec());
        assert!(read(&disk, 1, 0).0 == group[..1], "{len} bytes");
    }
}
