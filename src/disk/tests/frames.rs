//! What envelopes and sections promise: every damaged byte is noticed, and only where it stands.

use crate::disk::{
    Disk, Mapping, Named, RealDisk, SectionsFile, SectionsWriter, publish, read_envelope,
    read_named_envelope, temporary, write_envelope,
};
use crate::error::{Error, ErrorKind};
use std::cell::Cell;
use std::fs;
use tempfile::TempDir;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

const MAGIC: [u8; 8] = *b"testfile";
const PIECE: usize = 65_536;

fn disk() -> (TempDir, RealDisk) {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(folder.path());
    (folder, disk)
}

fn sections_of(disk: &RealDisk, path: &str, sections: &[Vec<u8>], version: u32) -> Named {
    let tmp = temporary(disk, path).unwrap();
    let mut writer = SectionsWriter::create(disk, &tmp, MAGIC, version, sections.len(), 100).unwrap();
    for section in sections {
        writer.begin().unwrap();
        for part in section.chunks(30_011) {
            writer.write(part).unwrap();
        }
    }
    let named = writer.finish(b"{\"a\":1}").unwrap();
    publish(disk, &tmp, path).unwrap();
    named
}

fn open(disk: &RealDisk, mapping: Mapping) -> Result<SectionsFile, Error> {
    SectionsFile::open(disk, "f", MAGIC, 3, mapping, None)
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

#[test]
fn an_envelope_is_read_as_written() {
    let (_folder, disk) = disk();
    for body in [&b""[..], b"{}", &noise(100_000)] {
        let named = write_envelope(&disk, "f", MAGIC, 3, body).unwrap();
        assert_eq!(named.len, disk.len("f").unwrap());
        assert_eq!(read_envelope(&disk, "f", MAGIC, 3, body.len()).unwrap(), (3, body.to_vec()));
        assert_eq!(read_named_envelope(&disk, "f", MAGIC, 9, &named).unwrap(), (3, body.to_vec()));
        let other = Named { check: named.check ^ 1, ..named };
        assert_eq!(read_named_envelope(&disk, "f", MAGIC, 9, &other).unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let error = read_envelope(&disk, "f", MAGIC, 3, 99_999).unwrap_err();
    assert!(error.message().contains("100000 bytes; at most 99999"), "{error}");
    assert_eq!(read_envelope(&disk, "f", *b"otherone", 3, 1 << 20).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(disk.list("tmp").unwrap().is_empty());
}

#[test]
fn a_named_file_survives_json() {
    let named = Named { len: u64::MAX, check: 0xab };
    let json = serde_json::to_string(&named).unwrap();
    assert!(json.contains("\"000000000000000000000000000000ab\""), "{json}");
    assert_eq!(serde_json::from_str::<Named>(&json).unwrap(), named);
    for bad in ["ab", "+00000000000000000000000000000ab", "x00000000000000000000000000000ab"] {
        assert!(
            serde_json::from_str::<Named>(&format!("{{\"len\":1,\"check\":\"{bad}\"}}")).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn l21_newer_versions_are_refused_by_name() {
    let (_folder, disk) = disk();
    write_envelope(&disk, "e", MAGIC, 7, b"a body of the future").unwrap();
    sections_of(&disk, "f", &[noise(10)], 7);
    for error in
        [read_envelope(&disk, "e", MAGIC, 3, 1 << 20).unwrap_err(), open(&disk, Mapping::Copy).err().unwrap()]
    {
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("a newer version 7; this build reads up to 3"), "{error}");
    }
}

#[test]
fn l7_no_flip_and_no_truncation_of_an_envelope_is_missed() {
    let (folder, disk) = disk();
    write_envelope(&disk, "f", MAGIC, 3, b"{\"some\":\"body\"}").unwrap();
    let (path, bytes) = (folder.path().join("f"), fs::read(folder.path().join("f")).unwrap());
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = read_envelope(&disk, "f", MAGIC, 3, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.message().starts_with("f is damaged at byte "), "{error}");
    };
    for len in 0..bytes.len() {
        refused(&bytes[..len]);
    }
    refused(&[&bytes[..], &[0]].concat());
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(&bytes);
    }
}

#[test]
fn sections_are_read_as_written() {
    let (_folder, disk) = disk();
    let cases: [&[usize]; 6] =
        [&[], &[0], &[1, 0, 4_096, 4_097], &[3 << 20, 5], &[PIECE - 4_096, PIECE], &[7; 6_000]];
    for lens in cases {
        let sections: Vec<Vec<u8>> = lens.iter().map(|len| noise(*len)).collect();
        let named = sections_of(&disk, "f", &sections, 3);
        for mapping in [Mapping::Shared, Mapping::Private, Mapping::Copy] {
            let file = SectionsFile::open(&disk, "f", MAGIC, 3, mapping, Some(&named)).unwrap();
            assert_eq!((file.description(), file.version(), file.named()), (&b"{\"a\":1}"[..], 3, named));
            assert_eq!(file.sections(), lens.len());
            for (i, section) in sections.iter().enumerate() {
                let range = file.section(i);
                assert!(range.start.is_multiple_of(4_096) && file.check(range.clone()));
                assert_eq!(&file.map().bytes()[range], &section[..]);
            }
            assert!(file.section(lens.len()).is_empty() && file.check_all(&|_| {}).is_empty());
        }
        let other = Named { check: !named.check, ..named };
        assert!(SectionsFile::open(&disk, "f", MAGIC, 3, Mapping::Copy, Some(&other)).is_err());
    }
}

#[test]
fn a_writer_calls_its_pace_and_refuses_misuse() {
    let (_folder, disk) = disk();
    let paced = Cell::new(0);
    let count = |bytes: usize| paced.set(paced.get() + bytes);
    let mut writer = SectionsWriter::create(&disk, "f", MAGIC, 1, 1, 4).unwrap().with_pace(&count);
    assert_eq!(writer.write(b"a").unwrap_err().kind(), ErrorKind::Internal);
    writer.begin().unwrap();
    writer.write(&noise(5 << 20)).unwrap();
    assert_eq!(paced.get(), 5 << 20, "whole buffers only");
    assert_eq!(writer.begin().unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(writer.finish(&[b' '; 5_000]).unwrap_err().kind(), ErrorKind::Internal);
    assert!(disk.list("").unwrap().is_empty(), "an unfinished file removes itself");
    assert!(SectionsWriter::create(&disk, "f", MAGIC, 1, usize::MAX, 4).is_err());
    assert!(SectionsWriter::create(&disk, "f", MAGIC, 1, 1, usize::MAX).is_err());
    drop(SectionsWriter::create(&disk, "f", MAGIC, 1, 1, 1).unwrap());
    let temporary_names: Vec<String> = (0..3).map(|_| temporary(&disk, "c/x").unwrap()).collect();
    assert!(
        temporary_names.windows(2).all(|w| w[0] != w[1] && w[0].starts_with("tmp/") && w[0].ends_with("-x"))
    );
}

#[test]
fn l7_truncated_sections_never_open() {
    let (folder, disk) = disk();
    sections_of(&disk, "f", &[noise(PIECE), noise(100)], 3);
    let (path, bytes) = (folder.path().join("f"), fs::read(folder.path().join("f")).unwrap());
    let ends = (0..bytes.len()).filter(|len| len % 61 == 0 || *len < 64 || len + 200 > bytes.len());
    for len in ends.collect::<Vec<_>>() {
        fs::write(&path, &bytes[..len]).unwrap();
        assert_eq!(open(&disk, Mapping::Shared).err().unwrap().kind(), ErrorKind::Corrupt, "{len}");
    }
    // Bytes after the end are no less wrong.
    fs::write(&path, [&bytes[..], &[0; 40]].concat()).unwrap();
    assert!(open(&disk, Mapping::Shared).is_err());
}

#[test]
fn l8_a_flip_in_a_section_is_found_in_its_piece_and_in_no_other() {
    let (folder, disk) = disk();
    let sections = [noise(PIECE), noise(2 * PIECE), noise(100)];
    sections_of(&disk, "f", &sections, 3);
    let (path, bytes) = (folder.path().join("f"), fs::read(folder.path().join("f")).unwrap());
    let table = bytes.len() - 40 - 4 * 8;
    let bits =
        (0..bytes.len() * 8).filter(|bit| bit % 1_201 == 0 || bit / 8 < 200 || bit / 8 + 80 > bytes.len());
    for bit in bits.collect::<Vec<_>>() {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let piece = bit / 8 / PIECE;
        match open(&disk, Mapping::Copy) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(piece == 0 || bit / 8 >= table, "bit {bit}: {error}");
            }
            Ok(file) => {
                assert!(piece > 0 && bit / 8 < table, "bit {bit} was not noticed");
                for i in 0..3 {
                    let range = file.section(i);
                    let holds = range.start / PIECE <= piece && piece <= (range.end - 1) / PIECE;
                    assert_eq!(file.check(range), !holds, "bit {bit}, section {i}");
                }
                assert_eq!(file.check_all(&|_| {}), [piece as u32]);
                assert!(file.is_known_bad(bit / 8..bit / 8 + 1) && !file.is_known_bad(0..PIECE));
            }
        }
    }
}

#[test]
fn ranges_outside_are_not_sound_and_threads_agree() {
    let (folder, disk) = disk();
    sections_of(&disk, "f", &[noise(70 * PIECE)], 3);
    let mut bytes = fs::read(folder.path().join("f")).unwrap();
    for piece in [5, 66, 69] {
        bytes[piece * PIECE + 77] ^= 4;
    }
    fs::write(folder.path().join("f"), &bytes).unwrap();
    let file = open(&disk, Mapping::Shared).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let file = &file;
            scope.spawn(move || {
                for i in 0..71usize {
                    let piece = (i * 13 + thread * 31) % 71;
                    let range = file.piece_range(piece as u32);
                    assert_eq!(file.check(range), ![5, 66, 69].contains(&piece), "piece {piece}");
                }
            });
        }
    });
    assert_eq!((file.bad(), file.pieces()), (vec![5, 66, 69], 71));
    let end = file.section(0).end;
    assert!(!file.check(0..end + 1) && !file.check(0..usize::MAX) && !file.check(usize::MAX..usize::MAX));
    assert!(!file.check(6 * PIECE - 1..6 * PIECE + 1) && file.check(end..end));
    assert!(file.piece_range(71).is_empty() && file.piece_range(u32::MAX).is_empty());
}

/// The checksums of a file of one piece, made to match whatever it says.
fn reseal(bytes: &mut [u8]) {
    let table = bytes.len() - 40 - 8;
    let check = xxh3_64_with_seed(&bytes[..table], 0);
    bytes[table..table + 8].copy_from_slice(&check.to_le_bytes());
    let end = bytes.len() - 16;
    let check = xxh3_128(&bytes[table..end]);
    bytes[end..].copy_from_slice(&check.to_le_bytes());
}

#[test]
fn l7_sections_that_lie_outside_of_the_file_are_refused() {
    let (folder, disk) = disk();
    sections_of(&disk, "f", &[noise(4096), noise(100)], 1);
    let path = folder.path().join("f");
    let whole = fs::read(&path).unwrap();
    let mut same = whole.clone();
    reseal(&mut same);
    assert_eq!(same, whole);
    // Offset and length of the second section, behind the 24 bytes before and the first.
    for (at, value) in [(40, 1 << 20), (40, 1 << 62), (48, 101), (48, 1 << 20), (48, u64::MAX)] {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
        reseal(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let error = open(&disk, Mapping::Shared).err();
        assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Corrupt), "{value} at {at}");
    }
}
