//! What manifests promise: the highest valid one is the state, none is taken for an empty store, and nothing named is removed.

use super::commit::numbers;
use super::sets::{decode, encode};
use super::*;
use crate::config::{GraphKind, Metric};
use crate::disk::{Disk, RealDisk, write_envelope};
use crate::error::ErrorKind;
use crate::ids::{BlockId, Slot, Ver};
use crate::record::Grave;
use crate::sets::SlotBits;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::TempDir;

fn disk() -> (TempDir, RealDisk) {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(folder.path());
    (folder, disk)
}

fn file(name: Name) -> FileEntry {
    FileEntry::new(name, Named { len: 100, check: u128::MAX - 5 })
}

/// One collection with all kinds of files.
fn manifest(number: u64) -> Manifest {
    let block = |block: u16| BlockEntry {
        block,
        rows: 65_536,
        file: file(Name::Rows(BlockId(block))),
        codes: Some(file(Name::Codes(BlockId(block), 2))),
    };
    let seq = Seq(40);
    let head = HeadEntry {
        block: 4,
        rows: 17,
        seq,
        file: file(Name::HeadRows(41)),
        codes: Some(file(Name::HeadCodes(41))),
    };
    let text = |block, first, end, number| TextEntry {
        block,
        first,
        end,
        file: file(Name::Text(BlockId(block), number)),
    };
    let entry = CollectionEntry {
        number: 1,
        name: "docs".into(),
        mirror_name: Some("docs.next".into()),
        schema: Schema::new(8, Metric::Cosine),
        blocks: vec![block(0), block(2)],
        head: Some(head),
        links: Some(AtSeq { seq: Seq(33), file: file(Name::Links(33)) }),
        sets: Some(AtSeq { seq: Seq(41), file: file(Name::Sets(41)) }),
        texts: vec![text(0, 0, 9, 1), text(2, 0, 4, 0), text(2, 4, 65_536, 7)],
        missing: vec![3, 4, 2 << 16 | 9],
        dropped_blocks: vec![1, 3],
    };
    Manifest {
        format: FORMAT,
        number,
        store: u64::MAX,
        incarnation: 3,
        seq: Seq(41),
        ver: 1 << 60,
        next_collection: 5,
        replay_from: Seq(42),
        holes: vec![Hole { first: Seq(5), last: Seq(6) }, Hole { first: Seq(9), last: Seq(9) }],
        origins: vec![Origin { node: 7, ver: 1 << 40 }, Origin { node: i64::MAX as u64, ver: 1 << 60 }],
        collections: vec![entry],
    }
}

fn found(disk: &RealDisk) -> (Manifest, usize) {
    match latest(disk).unwrap() {
        Latest::Found { manifest, invalid } => (*manifest, invalid.len()),
        other => panic!("{other:?}"),
    }
}

/// In place: a file that is cut and written again is flushed by the file system. A second flip undoes the first.
fn flip(path: &Path, bit: usize) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit as u64 / 8).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit as u64 / 8).unwrap();
}

#[test]
fn names_are_made_and_parsed_alike_and_no_other_is_ours() {
    for name in [
        Name::Rows(BlockId(0xffff)),
        Name::Codes(BlockId(0x1a), u32::MAX),
        Name::HeadRows(1),
        Name::HeadCodes(u64::MAX),
        Name::Links(0xab),
        Name::Sets(0),
        Name::Text(BlockId(9), 3),
    ] {
        assert_eq!(Name::parse(&name.to_string()), Some(name));
    }
    assert_eq!(manifest_number("manifest-00000000000000ff"), Some(255));
    assert_eq!(collection_number("c0000001f/"), Some(31));
    for name in [
        "",
        "block",
        "block-",
        "block-0001",
        "block-1.rows",
        "block-001A.rows",
        "block-00001.rows",
        "block-0001.rows.bak",
        "block-0001-2.codes",
        "block-0001.codes",
        "links-1",
        "links-0000000000000001.x",
        "links-+000000000000001",
        "../x",
        "head-0000000000000001",
    ] {
        assert_eq!(Name::parse(name), None, "{name}");
    }
    assert!(
        ["manifest-1", "manifest-00000000000000FF", "manifest-"].iter().all(|n| manifest_number(n).is_none())
    );
    assert!(["c00000001", "c1/", "c0000001F/", "d00000001/"].iter().all(|n| collection_number(n).is_none()));
}

#[test]
fn l12_the_highest_valid_manifest_wins() {
    let (folder, disk) = disk();
    for number in [1, 2, 15, 16] {
        commit(&disk, &manifest(number)).unwrap();
    }
    assert_eq!(found(&disk), (manifest(16), 0));
    for number in [15, 16, 0] {
        assert_eq!(commit(&disk, &manifest(number)).unwrap_err().kind(), ErrorKind::Internal, "{number}");
    }
    // The newest is torn, the next has a flipped bit: the one before holds.
    let path = |number| folder.path().join(manifest_name(number));
    fs::write(path(16), &fs::read(path(16)).unwrap()[..100]).unwrap();
    flip(&path(15), 333);
    assert_eq!(found(&disk), (manifest(2), 2));
    assert_eq!(kept(&disk).unwrap(), [manifest(2), manifest(1)]);
    // A torn one still keeps its number from being used again.
    assert!(commit(&disk, &manifest(16)).is_err());
    commit(&disk, &manifest(17)).unwrap();
    assert_eq!(found(&disk), (manifest(17), 0));
    // One manifest under the name of another is not it.
    fs::copy(path(17), path(18)).unwrap();
    assert_eq!(found(&disk), (manifest(17), 1));
}

#[test]
fn l7_no_flip_and_no_truncation_of_a_manifest_is_missed() {
    let (folder, disk) = disk();
    commit(&disk, &manifest(1)).unwrap();
    commit(&disk, &manifest(2)).unwrap();
    let path = folder.path().join(manifest_name(2));
    let bytes = fs::read(&path).unwrap();
    for bit in 0..bytes.len() * 8 {
        flip(&path, bit);
        assert_eq!(found(&disk), (manifest(1), 1), "bit {bit}");
        flip(&path, bit);
    }
    assert_eq!(found(&disk), (manifest(2), 0));
    for len in (0..bytes.len()).rev() {
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len as u64).unwrap();
        assert_eq!(found(&disk), (manifest(1), 1), "{len} bytes");
    }
}

#[test]
fn a_store_without_a_valid_manifest_is_new_only_when_there_is_nothing() {
    let (folder, disk) = disk();
    let is_empty = || matches!(latest(&disk).unwrap(), Latest::Empty);
    let lost = || match latest(&disk).unwrap() {
        Latest::Lost { why } => why,
        other => panic!("{other:?}"),
    };
    assert!(is_empty());
    Ident::random(5).create(&disk).unwrap();
    for folder in ["wal", "tmp", "c00000001", "quarantine", "mine"] {
        disk.make_dir(folder).unwrap();
    }
    fs::write(folder.path().join("mine/x"), b"x").unwrap();
    fs::write(folder.path().join("tmp/0-manifest-0000000000000001"), b"x").unwrap();
    assert!(is_empty(), "a creation that was cut short");
    fs::write(folder.path().join("c00000001/anything"), b"x").unwrap();
    assert!(lost().contains("no manifest; it has c00000001"), "{}", lost());
    fs::remove_file(folder.path().join("c00000001/anything")).unwrap();
    fs::write(folder.path().join("wal/anything"), b"x").unwrap();
    assert!(lost().contains("wal"));
    fs::remove_file(folder.path().join("wal/anything")).unwrap();
    fs::write(folder.path().join(manifest_name(1)), b"").unwrap();
    assert!(lost().contains("manifest-0000000000000001 is damaged"), "{}", lost());
}

#[test]
fn l21_a_newer_manifest_is_refused_by_name_and_nothing_older_taken_for_it() {
    let (_folder, disk) = disk();
    commit(&disk, &manifest(1)).unwrap();
    write_envelope(&disk, &manifest_name(2), *b"NFmanif\n", FORMAT + 1, b"{\"of\":\"the future\"}").unwrap();
    let error = latest(&disk).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.message().contains("newer version 2; this build reads up to 1"), "{error}");
    assert!(kept(&disk).is_err());
    write_envelope(&disk, IDENT, *b"NFident\n", FORMAT + 1, b"{}").unwrap();
    assert_eq!(Ident::read(&disk).unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn a_collection_of_the_second_graph_needs_a_build_that_has_it() {
    let (_folder, disk) = disk();
    let mut m = manifest(1);
    m.collections[0].schema = Schema::new(8, Metric::L1).graph(GraphKind::HnswRs);
    commit(&disk, &m).unwrap();
    match latest(&disk) {
        Ok(Latest::Found { manifest, .. }) => assert!(cfg!(feature = "hnsw-rs") && *manifest == m),
        Ok(other) => panic!("{other:?}"),
        Err(e) => assert!(!cfg!(feature = "hnsw-rs") && e.kind() == ErrorKind::Conflict, "{e}"),
    }
}

#[test]
fn l7_manifests_that_cannot_be_are_refused_with_the_value() {
    let (_folder, disk) = disk();
    type Change = fn(&mut Manifest);
    let collection = |m: &Manifest| m.collections[0].clone();
    let second = collection(&manifest(1));
    let cases: [(&str, Change); 29] = [
        ("format is 9", |m| m.format = 9),
        ("replays from 43", |m| m.replay_from = Seq(43)),
        ("hole goes from 7 to 6", |m| m.holes[0].first = Seq(7)),
        ("holes are not", |m| m.holes[0].last = Seq(9)),
        ("origins are not", |m| m.origins[0].ver = 1 << 60),
        ("node 0 wrote", |m| m.origins[0].node = 0),
        ("its ver is 5", |m| m.ver = 5),
        ("number is 5, the next is 5", |m| m.collections[0].number = 5),
        ("dim is 0", |m| m.collections[0].schema.dim = 0),
        ("name has 0 bytes", |m| m.collections[0].name.clear()),
        ("name has 129 bytes", |m| m.collections[0].name = "x".repeat(129)),
        ("blocks are not", |m| m.collections[0].blocks.reverse()),
        ("block 2 has 0 rows", |m| m.collections[0].blocks[1].rows = 0),
        ("block 2 has 65537 rows", |m| m.collections[0].blocks[1].rows = 65_537),
        ("block-0001.rows", |m| m.collections[0].blocks[0].file.name = "block-0001.rows".into()),
        ("../../etc/passwd", |m| m.collections[0].blocks[0].file.name = "../../etc/passwd".into()),
        ("block-0000.rows", |m| m.collections[0].blocks[0].codes = Some(file(Name::Rows(BlockId(0))))),
        ("block 2 has a file and was", |m| m.collections[0].dropped_blocks = vec![2]),
        ("dropped blocks are not", |m| m.collections[0].dropped_blocks = vec![3, 3]),
        ("growing block is 4", |m| m.collections[0].dropped_blocks.push(4)),
        ("file of seq 40 is in a state of seq 39", |m| (m.seq, m.replay_from) = (Seq(39), Seq(1))),
        ("sets-0000000000000002", |m| {
            m.collections[0].links.as_mut().unwrap().file = file(Name::Sets(2));
        }),
        ("texts are not", |m| m.collections[0].texts.swap(1, 2)),
        ("the words of block 0 cover 9 to 9", |m| m.collections[0].texts[0].first = 9),
        ("the words of block 2 cover 4 to 65537", |m| m.collections[0].texts[2].end = 65_537),
        ("text-0002-00000000", |m| m.collections[0].texts[0].file = file(Name::Text(BlockId(2), 0))),
        ("missing slots are not", |m| m.collections[0].missing.push(1)),
        ("dropped block 1", |m| m.collections[0].missing = vec![1 << 16]),
        ("misses 1048577 slots", |m| m.collections[0].missing = (0..=1 << 20).collect()),
    ];
    for (i, (what, change)) in cases.into_iter().enumerate() {
        let mut m = manifest(i as u64 + 1);
        change(&mut m);
        let error = commit(&disk, &m).unwrap_err();
        assert!(error.kind() == ErrorKind::Internal && error.message().contains(what), "{what}: {error}");
        // The same from a file: whoever wrote it.
        let body = serde_json::to_vec(&m).unwrap();
        write_envelope(&disk, &manifest_name(m.number), *b"NFmanif\n", FORMAT, &body).unwrap();
        match latest(&disk).unwrap() {
            Latest::Lost { why } => assert!(why.contains(what), "{what}: {why}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    let mut twice = manifest(99);
    twice.collections.push(CollectionEntry { number: 2, mirror_name: None, ..second });
    assert!(commit(&disk, &twice).unwrap_err().message().contains("two collections are called \"docs\""));
    // The same for what a database calls them.
    twice.collections[1].name = "docs.next".into();
    assert!(
        commit(&disk, &twice).unwrap_err().message().contains("two collections are called \"docs.next\"")
    );
    twice.collections[1].mirror_name = Some("docs".into());
    assert!(commit(&disk, &twice).is_ok());
}

#[test]
fn an_ident_is_read_as_written_and_no_two_are_alike() {
    let (folder, disk) = disk();
    let (one, two) = (Ident::random(7), Ident::random(7));
    assert!(one.store != two.store && one.id_seed != two.id_seed && one.node != two.node);
    assert!((1..=i64::MAX as u64).contains(&one.node));
    one.create(&disk).unwrap();
    two.create(&disk).unwrap();
    assert_eq!(Ident::read(&disk).unwrap(), two);
    let path = folder.path().join(IDENT);
    let bytes = fs::read(&path).unwrap();
    for bit in 0..bytes.len() * 8 {
        flip(&path, bit);
        assert_eq!(Ident::read(&disk).unwrap_err().kind(), ErrorKind::Corrupt);
        flip(&path, bit);
    }
}

#[test]
fn the_live_set_is_read_as_written() {
    let (folder, disk) = disk();
    let slots: Vec<Slot> = (0..3_000u32).map(|i| Slot(i * 67 % (3 << 16))).chain([Slot(0x3_ffff)]).collect();
    let of = |slots: &[Slot]| {
        let live = SlotBits::default().with(slots, &[]);
        Sets { ready: live.with(&[], &slots[..slots.len() / 3]), live, marked: None }
    };
    for sets in [Sets::default(), of(&slots)] {
        let named = write_sets(&disk, "s", &sets).unwrap();
        let read = read_sets(&disk, "s", &named).unwrap();
        for (read, written) in [(read.live, sets.live), (read.ready, sets.ready)] {
            assert!(read.iter().eq(written.iter()) && read.len() == written.len());
            assert_eq!(read.blocks_len(), written.blocks_len());
        }
    }
    let named = write_sets(&disk, "s", &of(&slots)).unwrap();
    let bytes = fs::read(folder.path().join("s")).unwrap();
    assert_eq!(bytes.len(), 24 + 8 + 2 * 4 * 8_192 + 16);
    for bit in (0..bytes.len() * 8).step_by(997) {
        flip(&folder.path().join("s"), bit);
        assert_eq!(read_sets(&disk, "s", &named).err().unwrap().kind(), ErrorKind::Corrupt, "{bit}");
        flip(&folder.path().join("s"), bit);
    }
    write_sets(&disk, "s", &Sets::default()).unwrap();
    assert!(read_sets(&disk, "s", &named).is_err(), "another file of that name");
    let body = encode(&of(&slots));
    for wrong in [&body[..7], &body[..8], &body[..body.len() - 1], &[&body[..], &[0]].concat()] {
        assert!(decode(1, wrong).is_none() && decode(2, wrong).is_none());
    }
}

#[test]
fn l7_what_a_database_does_not_know_is_read_as_written_or_not_at_all() {
    let (_folder, disk) = disk();
    let grave = |ver, is_dirty| Grave { ver: Ver(ver), node: 7, is_dirty };
    let live = SlotBits::default().with(&[Slot(1), Slot(70_000)], &[]);
    let graves = vec![("a".into(), grave(5, true)), ("bb".into(), grave(-1, false))];
    let marked = Marked { dirty: live.with(&[], &[Slot(1)]), graves };
    let sets = Sets { ready: live.clone(), live, marked: Some(marked) };
    for sets in [Sets { marked: Some(Marked::default()), ..Sets::default() }, sets.clone()] {
        let named = write_sets(&disk, "s", &sets).unwrap();
        let (read, wrote) = (read_sets(&disk, "s", &named).unwrap().marked.unwrap(), sets.marked.unwrap());
        assert!(read.dirty.iter().eq(wrote.dirty.iter()) && read.graves == wrote.graves);
    }
    let body = encode(&sets);
    assert!((0..body.len()).step_by(61).chain([body.len() - 1]).all(|len| decode(2, &body[..len]).is_none()));
    assert!(decode(2, &[&body[..], &[0]].concat()).is_none() && decode(1, &body).is_none());
    let bits = body.len() - 100;
    for at in (0..8).chain(bits..body.len()) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut wrong = body.clone();
            wrong[at] = value;
            // Whatever it is, it is something or nothing.
            let _ = decode(2, &wrong).map(|sets| sets.marked.map(|marked| marked.graves.len()));
        }
    }
    let mut twice = sets;
    twice.marked.iter_mut().for_each(|marked| marked.graves.swap(0, 1));
    assert!(decode(2, &encode(&twice)).is_none(), "not in order");
}

/// Makes every file that the manifest names, and commits it.
fn materialize(disk: &RealDisk, root: &Path, m: &Manifest) {
    disk.make_dir("c00000001").unwrap();
    for path in m.paths() {
        fs::write(root.join(path), b"x").unwrap();
    }
    commit(disk, m).unwrap();
}

#[test]
fn l15_a_sweep_removes_what_no_kept_manifest_names_and_nothing_else() {
    let (folder, disk) = disk();
    let root = folder.path();
    let old = manifest(1);
    materialize(&disk, root, &old);
    for number in 2..=5 {
        let mut m = manifest(number);
        // Each state has sets of its own; the head goes with the fourth.
        m.collections[0].sets = Some(AtSeq { seq: Seq(number), file: file(Name::Sets(number)) });
        if number >= 4 {
            m.collections[0].head = None;
        }
        materialize(&disk, root, &m);
    }
    let unknown = [
        "notes.txt",
        "manifest-old",
        "c00000001/block-0000.rows.bak",
        "c00000001/README",
        "mine/x",
        "wal/1-2.wal",
    ];
    for folder in ["mine", "wal", "tmp", "c00000002", "c00000003", "c00000004"] {
        disk.make_dir(folder).unwrap();
    }
    for path in unknown {
        fs::write(root.join(path), b"x").unwrap();
    }
    let stray = ["c00000001/links-00000000000000ff", "c00000002/block-0000.rows"];
    let used = ["c00000001/links-00000000000000fe", "tmp/8-x"];
    for path in stray.iter().chain(&used) {
        fs::write(root.join(path), b"x").unwrap();
    }
    fs::write(root.join("c00000004/of another"), b"x").unwrap();
    assert!(sweep(&disk, &[], &|_| false).unwrap().is_empty(), "nothing to spare, nothing to remove");

    let keep = kept(&disk).unwrap();
    assert_eq!(keep.iter().map(|m| m.number).collect::<Vec<_>>(), [5, 4, 3]);
    let in_use = |path: &str| used.contains(&path) || path == "c00000003/";
    let mut removed = sweep(&disk, &keep, &in_use).unwrap();
    removed.sort();
    let sets = |seq| format!("c00000001/{}", Name::Sets(seq));
    let mut want: Vec<String> = stray.iter().map(|s| s.to_string()).collect();
    // The head that only the third state names stays.
    want.extend([manifest_name(1), manifest_name(2), sets(2), sets(41), "c00000002/".into()]);
    want.sort();
    assert_eq!(removed, want);
    for path in removed {
        assert!(!root.join(&path).exists(), "{path}");
    }
    let named = keep.iter().flat_map(|m| m.paths());
    for path in named.chain(unknown.iter().chain(&used).map(|s| s.to_string())) {
        assert!(root.join(&path).exists(), "{path}");
    }
    assert!(root.join("c00000003").exists() && root.join("c00000004/of another").exists());
    assert!(sweep(&disk, &keep, &in_use).unwrap().is_empty());
    assert_eq!(numbers(&disk).unwrap(), [3, 4, 5]);
}

#[test]
fn l14_a_manifest_goes_before_the_files_that_only_it_names() {
    let (folder, disk) = disk();
    materialize(&disk, folder.path(), &manifest(1));
    let mut next = manifest(2);
    next.collections[0].links = None;
    materialize(&disk, folder.path(), &next);
    let removed = sweep(&disk, &[next], &|_| false).unwrap();
    assert_eq!(removed, [manifest_name(1), format!("c00000001/{}", Name::Links(33))]);
}
