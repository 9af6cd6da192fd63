//! What the files of a block promise: rows come back bit by bit, and damage costs the rows it touches and no other.

use super::format::{CODES_MAGIC, INDEX_BYTES, ROWS_MAGIC};
use super::{CodesAt, CodesFile, RowSource, RowsFile, RowsHead, quarantine, write_codes, write_rows};
use crate::codes::{CodeTable, Codec, QueryCode, VectorTable};
use crate::config::Metric;
use crate::disk::{Disk, Mapping, RealDisk, SectionsWriter};
use crate::error::ErrorKind;
use crate::ids::{BlockId, Slot};
use std::cell::Cell;
use std::fs;
use std::ops::Range;
use tempfile::TempDir;

const DIM: usize = 64;
const ROWS: usize = 300;
const PIECE: usize = 65_536;
const HEAD: RowsHead = RowsHead { collection: 7, block: 2, dim: DIM as u32, rows: ROWS as u32 };

/// Rows that follow from their number; one in nine has no vector.
struct Made(Vec<Vec<f32>>);

impl Made {
    fn new() -> Self {
        Self(
            (0..ROWS)
                .map(|row| (0..DIM).map(|i| ((row * 31 + i * 7) % 97) as f32 - 48.5).collect())
                .collect(),
        )
    }

    fn of_body(&self, row: usize) -> Vec<u8> {
        let mut body = Vec::new();
        self.body(row, &mut body);
        body
    }
}

impl RowSource for Made {
    fn vector(&self, row: usize) -> Option<&[f32]> {
        (row % 9 != 4).then(|| &self.0[row][..])
    }

    fn body(&self, row: usize, out: &mut Vec<u8>) {
        out.extend((0..40 + row * 53 % 900).map(|i| (row * 17 + i * 3) as u8));
    }

    fn id_hash(&self, row: usize) -> u64 {
        (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

fn disk() -> (TempDir, RealDisk) {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(folder.path());
    disk.make_dir("c").unwrap();
    (folder, disk)
}

/// Whether what the file serves of `row` is right, part by part; wrong bytes fail.
fn served(file: &RowsFile, made: &Made, row: usize) -> [bool; 3] {
    let vectors = file.vectors();
    let vector = file.vector_is_sound(row).then(|| vectors.get(row).unwrap());
    let none = vec![0.0; DIM];
    assert!(vector.is_none_or(|v| v == made.vector(row).unwrap_or(&none)), "vector {row}");
    let body = file.body(row);
    assert!(body.is_none_or(|b| b == made.of_body(row)), "body {row}");
    let hash = file.id_hash(row);
    assert!(hash.is_none_or(|h| h == made.id_hash(row)), "hash {row}");
    [vector.is_some(), body.is_some(), hash.is_some()]
}

#[test]
fn rows_come_back_as_written() {
    let (_folder, disk) = disk();
    let (made, paced) = (Made::new(), Cell::new(0));
    let named = write_rows(&disk, "c/r", HEAD, &made, &|n| paced.set(paced.get() + n)).unwrap();
    assert!(disk.list("tmp").unwrap().is_empty() && paced.get() > ROWS * DIM * 4);
    for mapping in [Mapping::Shared, Mapping::Private, Mapping::Copy] {
        let file = RowsFile::open(&disk, "c/r", mapping, Some(&named)).unwrap();
        assert_eq!((file.head(), file.rows(), file.dim()), (HEAD, ROWS, DIM));
        for row in 0..ROWS {
            assert_eq!(served(&file, &made, row), [true; 3], "row {row}");
        }
        assert!(file.body(ROWS).is_none() && file.id_hash(ROWS).is_none() && !file.vector_is_sound(ROWS));
        assert!(file.check_all(&|_| {}).is_empty() && file.damaged_rows().is_empty());
    }
    let empty = RowsHead { rows: 0, ..HEAD };
    write_rows(&disk, "c/e", empty, &made, &|_| {}).unwrap();
    let file = RowsFile::open(&disk, "c/e", Mapping::Shared, None).unwrap();
    assert!(file.rows() == 0 && file.vectors().get(0).is_none() && !file.vector_is_sound(0));
    let other = RowsFile::open(&disk, "c/e", Mapping::Shared, Some(&named)).err().unwrap();
    assert_eq!(other.kind(), ErrorKind::Corrupt);
}

/// Where the parts of each row stand, from FORMAT.md alone.
fn extents(made: &Made) -> Vec<[Range<usize>; 3]> {
    let page = |n: usize| n.next_multiple_of(4_096);
    let index = page(4_096 + ROWS * DIM * 4);
    let mut body = page(index + ROWS * 24);
    let row = |row: usize| {
        let (vector, entry) = (4_096 + row * DIM * 4, index + row * 24);
        body += made.of_body(row).len();
        [vector..vector + DIM * 4, entry..entry + 24, body - made.of_body(row).len()..body]
    };
    (0..ROWS).map(row).collect()
}

#[test]
fn l8_l20_damage_costs_exactly_the_rows_of_the_bad_piece() {
    let (folder, disk) = disk();
    let made = Made::new();
    write_rows(&disk, "c/r", HEAD, &made, &|_| {}).unwrap();
    let (path, bytes) = (folder.path().join("c/r"), fs::read(folder.path().join("c/r")).unwrap());
    let extents = extents(&made);
    let (mut opened, mut refused) = (0, 0);
    for bit in (0..bytes.len() * 8).step_by(4_799) {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let file = match RowsFile::open(&disk, "c/r", Mapping::Shared, None) {
            Ok(file) => file,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                refused += 1;
                continue;
            }
        };
        opened += 1;
        let piece = bit / 8 / PIECE;
        let touches = |r: &Range<usize>| r.start / PIECE <= piece && piece <= (r.end - 1) / PIECE;
        assert_eq!(file.check_all(&|_| {}), [piece as u32], "bit {bit}");
        let want: Vec<u16> =
            (0..ROWS).filter(|row| extents[*row].iter().any(touches)).map(|row| row as u16).collect();
        assert_eq!(file.damaged_rows(), want, "bit {bit}");
        for (row, [vector, entry, body]) in extents.iter().enumerate() {
            let has_entry = !touches(entry);
            let want = [!touches(vector), has_entry && !touches(body), has_entry];
            assert_eq!(served(&file, &made, row), want, "bit {bit}, row {row}");
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} {refused}");
}

#[test]
fn damage_is_noticed_without_a_full_check() {
    let (folder, disk) = disk();
    let made = Made::new();
    write_rows(&disk, "c/r", HEAD, &made, &|_| {}).unwrap();
    let mut bytes = fs::read(folder.path().join("c/r")).unwrap();
    let last = &extents(&made)[ROWS - 1][2];
    bytes[last.start] ^= 1;
    fs::write(folder.path().join("c/r"), &bytes).unwrap();
    let file = RowsFile::open(&disk, "c/r", Mapping::Shared, None).unwrap();
    assert!(file.damaged_rows().is_empty(), "nobody has touched it");
    assert!(file.body(ROWS - 1).is_none() && file.damaged_rows().contains(&(ROWS as u16 - 1)));
}

#[test]
fn l7_truncated_rows_and_codes_never_open() {
    let (folder, disk) = disk();
    write_rows(&disk, "c/r", HEAD, &Made::new(), &|_| {}).unwrap();
    let bytes = fs::read(folder.path().join("c/r")).unwrap();
    for len in (0..bytes.len()).step_by(487) {
        fs::write(folder.path().join("c/r"), &bytes[..len]).unwrap();
        let error = RowsFile::open(&disk, "c/r", Mapping::Shared, None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{len}");
        assert!(CodesFile::open(&disk, "c/r", Mapping::Shared, None).is_err());
    }
}

/// A file whose checksums all hold, whoever wrote it.
fn forged(disk: &RealDisk, magic: [u8; 8], version: u32, description: &str, sections: &[&[u8]]) {
    let _ = disk.remove("c/f");
    let mut writer =
        SectionsWriter::create(disk, "c/f", magic, version, sections.len(), description.len()).unwrap();
    for section in sections {
        writer.begin().unwrap();
        writer.write(section).unwrap();
    }
    writer.finish(description.as_bytes()).unwrap();
}

#[test]
fn l7_lies_under_valid_checksums_are_refused() {
    let (_folder, disk) = disk();
    let rows =
        |dim: u64, rows: u64| format!("{{\"collection\":1,\"block\":0,\"dim\":{dim},\"rows\":{rows}}}");
    let sections: [&[u8]; 3] = [&[0; 16], &[0xff; 2 * INDEX_BYTES], &[7; 40]];
    for description in [
        rows(2, 3),
        rows(3, 2),
        rows(0, 2),
        rows(16_001, 2),
        rows(u64::from(u32::MAX), u64::from(u32::MAX)),
        rows(u64::MAX, 2),
        rows(2, 65_537),
        rows(2, 2).replace("block", "blok"),
        String::new(),
    ] {
        forged(&disk, ROWS_MAGIC, 1, &description, &sections);
        let error = RowsFile::open(&disk, "c/f", Mapping::Shared, None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{description}");
    }
    forged(&disk, ROWS_MAGIC, 1, &rows(2, 2), &sections[..2]);
    assert!(RowsFile::open(&disk, "c/f", Mapping::Shared, None).is_err());
    // The shape is right, the index points far outside.
    forged(&disk, ROWS_MAGIC, 1, &rows(2, 2), &sections);
    let file = RowsFile::open(&disk, "c/f", Mapping::Shared, None).unwrap();
    assert!(file.body(0).is_none() && file.body(1).is_none() && file.vector_is_sound(1));
}

#[test]
fn l21_newer_blocks_are_refused_by_name() {
    let (_folder, disk) = disk();
    forged(&disk, ROWS_MAGIC, 2, "{}", &[]);
    let rows = RowsFile::open(&disk, "c/f", Mapping::Shared, None).err().unwrap();
    forged(&disk, CODES_MAGIC, 2, "{}", &[]);
    let codes = CodesFile::open(&disk, "c/f", Mapping::Shared, None).err().unwrap();
    for error in [rows, codes] {
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("c/f was written by a newer version 2"), "{error}");
    }
}

/// A table of two blocks; the second has all but the first ten rows.
fn table(metric: Metric, trained: bool) -> CodeTable {
    let made = Made::new();
    let sample = made.0.iter().map(Vec::as_slice);
    let codec = if trained { Codec::trained(metric, DIM, sample) } else { Codec::untrained(metric, DIM) };
    let mut table = CodeTable::new(codec);
    for (block, rows) in [0..10, 10..ROWS].into_iter().enumerate() {
        table = table.with_block(rows.len()).unwrap();
        for row in rows {
            table.push(BlockId(block as u16), made.vector(row), &mut Vec::new()).unwrap();
        }
    }
    table
}

fn codes_at(rows: usize) -> CodesAt {
    CodesAt { collection: 7, block: BlockId(1), rows, codec: 3 }
}

#[test]
fn l18_codes_and_codec_come_back_bit_by_bit() {
    let (_folder, disk) = disk();
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
        for trained in [false, true] {
            let table = table(metric, trained);
            let named = write_codes(&disk, "c/c", codes_at(ROWS - 10), &table, &|_| {}).unwrap();
            let file = CodesFile::open(&disk, "c/c", Mapping::Shared, Some(&named)).unwrap();
            assert_eq!((file.head().codec, file.head().block, file.head().rows), (3, 1, ROWS as u32 - 10));
            assert!(file.codec().same_as(table.codec()) && !file.codec().replaces(table.codec()));
            assert_eq!(file.codec().parts(), table.codec().parts());
            let read = CodeTable::new(file.codec().clone()).with_empty_block().unwrap();
            let (codes, terms) = file.codes().unwrap();
            let read = read.with_mapped_block(codes, terms).unwrap();
            assert!(read.code_of(Slot(0)).is_none() && read.terms_of(Slot(0)).is_none());
            let (mut was, mut is) = (QueryCode::default(), QueryCode::default());
            table.codec().query(&Made::new().0[5], &mut was);
            read.codec().query(&Made::new().0[5], &mut is);
            assert_eq!((&was.bytes, was.bias, was.mul, was.add), (&is.bytes, is.bias, is.mul, is.add));
            for row in 0..ROWS - 10 {
                let slot = Slot::new(BlockId(1), row as u16);
                assert_eq!(read.code_of(slot), table.code_of(slot));
                assert_eq!(read.terms_of(slot), table.terms_of(slot));
                read.query_of(slot, &mut is);
                table.query_of(slot, &mut was);
                assert_eq!((was.mul, was.add), (is.mul, is.add));
            }
            assert!(file.check_all(&|_| {}).is_empty());
        }
    }
    let error = write_codes(&disk, "c/d", codes_at(ROWS), &table(Metric::L2, true), &|_| {}).unwrap_err();
    assert!(error.kind() == ErrorKind::Internal && disk.list("tmp").unwrap().is_empty());
}

#[test]
fn l8_flipped_codes_are_refused_or_found_bad() {
    let (folder, disk) = disk();
    let table = table(Metric::Dot, true);
    write_codes(&disk, "c/c", codes_at(ROWS - 10), &table, &|_| {}).unwrap();
    let (path, bytes) = (folder.path().join("c/c"), fs::read(folder.path().join("c/c")).unwrap());
    for bit in (0..bytes.len() * 8).step_by(977) {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        match CodesFile::open(&disk, "c/c", Mapping::Shared, None) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
            Ok(file) => assert_eq!(file.check_all(&|_| {}).len(), 1, "bit {bit}"),
        }
    }
}

#[test]
fn l7_codecs_that_cannot_be_are_refused() {
    let (_folder, disk) = disk();
    let head = |form: &str, cosine: bool, scale: &str, terms: bool| {
        format!(
            "{{\"collection\":1,\"block\":0,\"dim\":2,\"rows\":1,\"codec\":1,\"form\":\"{form}\",\
             \"cosine\":{cosine},\"scale\":{scale},\"stride\":32,\"terms\":{terms}}}"
        )
    };
    let open = |description: &str, center: &[u8], terms: &[u8]| {
        forged(&disk, CODES_MAGIC, 1, description, &[center, &[0; 32], terms]);
        CodesFile::open(&disk, "c/f", Mapping::Shared, None).map(|_| ()).map_err(|e| e.kind())
    };
    let nan = [f32::NAN.to_le_bytes(), 1f32.to_le_bytes()].concat();
    assert_eq!(open(&head("unit", true, "0.1", false), &[], &[]), Ok(()));
    assert_eq!(open(&head("euclid", false, "0.1", true), &[0; 8], &[0; 8]), Ok(()));
    for (description, center, terms) in [
        (head("unit", false, "0.1", false), &[][..], &[][..]),
        (head("unit", true, "0.1", false), &[0; 8], &[]),
        (head("unit", true, "0.1", true), &[], &[0; 8]),
        (head("unit", true, "0", false), &[], &[]),
        (head("unit", true, "1e300", false), &[], &[]),
        (head("unit", true, "-1", false), &[], &[]),
        (head("round", true, "0.1", false), &[], &[]),
        (head("inner", true, "0.1", true), &[0; 8], &[0; 8]),
        (head("inner", false, "0.1", true), &[0; 4], &[0; 8]),
        (head("inner", false, "0.1", true), &nan, &[0; 8]),
        (head("inner", false, "0.1", true), &[0; 8], &[0; 7]),
        (head("inner", false, "0.1", true).replace("32", "64"), &[0; 8], &[0; 8]),
    ] {
        assert_eq!(open(&description, center, terms), Err(ErrorKind::Corrupt), "{description}");
    }
}

#[test]
fn tables_take_mapped_blocks_and_know_that_they_are_full() {
    let (_folder, disk) = disk();
    let made = Made::new();
    write_rows(&disk, "c/r", HEAD, &made, &|_| {}).unwrap();
    let file = RowsFile::open(&disk, "c/r", Mapping::Shared, None).unwrap();
    let vectors =
        VectorTable::new(DIM).with_empty_block().unwrap().with_mapped_block(file.vectors(), None).unwrap();
    assert!(vectors.next_slot().index() == 0 && vectors.push(BlockId(1), None).is_err());
    assert_eq!((vectors.blocks(), vectors.rows_in(0), vectors.rows_in(1)), (2, 0, ROWS));
    assert_eq!(vectors.get(Slot::new(BlockId(1), 3)), Some(&made.0[3][..]));
    let grown = vectors.with_block(5).unwrap();
    assert_eq!(grown.push(BlockId(2), Some(&made.0[0])).unwrap(), Slot::new(BlockId(2), 0));
    let back = grown.with_dropped_block(1).unwrap();
    assert!(back.get(Slot::new(BlockId(1), 3)).is_none() && back.get(Slot::new(BlockId(2), 0)).is_some());
    let again = back.with_replaced_block(1, file.vectors(), None).unwrap();
    assert_eq!(again.get(Slot::new(BlockId(1), 3)), vectors.get(Slot::new(BlockId(1), 3)));
    assert!(again.with_replaced_block(3, file.vectors(), None).is_err());
    assert!(VectorTable::new(DIM + 1).with_mapped_block(file.vectors(), None).is_err());

    let table = table(Metric::Dot, true);
    write_codes(&disk, "c/c", codes_at(ROWS - 10), &table, &|_| {}).unwrap();
    let codes = CodesFile::open(&disk, "c/c", Mapping::Shared, None).unwrap();
    let parts = || codes.codes().unwrap();
    let replaced = table.with_replaced_block(1, parts().0, parts().1).unwrap();
    let slot = Slot::new(BlockId(1), 77);
    assert_eq!(replaced.code_of(slot), table.code_of(slot));
    assert!(replaced.push(BlockId(0), None, &mut Vec::new()).is_err());
    assert!(replaced.with_dropped_block(1).unwrap().code_of(slot).is_none());
    assert!(table.with_mapped_block(parts().0, None).is_err());
    assert!(table.with_replaced_block(2, parts().0, parts().1).is_err());
}

#[test]
fn a_bad_piece_is_kept_once_as_evidence() {
    let (folder, disk) = disk();
    write_rows(&disk, "c/r", HEAD, &Made::new(), &|_| {}).unwrap();
    let mut bytes = fs::read(folder.path().join("c/r")).unwrap();
    bytes[PIECE + 9] ^= 1;
    fs::write(folder.path().join("c/r"), &bytes).unwrap();
    let file = RowsFile::open(&disk, "c/r", Mapping::Copy, None).unwrap();
    assert_eq!(file.check_all(&|_| {}), [1]);
    let path = quarantine(&disk, file.file(), 1).unwrap();
    assert_eq!(path, "quarantine/c-r-piece-1-65536");
    assert_eq!(fs::read(folder.path().join(&path)).unwrap(), bytes[PIECE..2 * PIECE]);
    fs::write(folder.path().join(&path), b"first").unwrap();
    assert_eq!(quarantine(&disk, file.file(), 1).unwrap(), path);
    assert_eq!(fs::read(folder.path().join(&path)).unwrap(), b"first");
    assert_eq!(quarantine(&disk, file.file(), 99).unwrap_err().kind(), ErrorKind::Internal);
}
