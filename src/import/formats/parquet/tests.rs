//! Files that pyarrow wrote (`tests/it/import/make_parquet.py`), what may be missing in them, and files that lie.

use super::bits::{Runs, deltas};
use super::thrift::Thrift;
use super::*;
use crate::import::source::Rows;
use serde_json::json;
use std::io::Cursor;

fn made(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/import/files");
    std::fs::read(folder.join(format!("{name}.parquet"))).unwrap()
}

/// All rows, or what is wrong with the file.
fn rows(bytes: &[u8], spec: &Spec) -> Result<Vec<std::result::Result<Chunk, String>>> {
    let mut parquet = Parquet::of(Input::of(Cursor::new(bytes.to_vec()), bytes.len() as u64), spec)?;
    let mut rows = Vec::new();
    while let Some(entry) = parquet.next()? {
        rows.push(entry.chunk);
    }
    assert_eq!(parquet.shape().rows, Some(rows.len() as u64));
    Ok(rows)
}

fn spec(columns: &[(&str, &str)], extra: Extra) -> Spec {
    let columns = columns.iter().map(|(field, column)| ((*field).to_owned(), (*column).to_owned())).collect();
    Spec { columns, extra, ..Spec::default() }
}

fn refused(bytes: &[u8], spec: &Spec) -> String {
    rows(bytes, spec).unwrap_err().to_string()
}

#[test]
fn what_is_missing_in_a_row_is_missing_and_what_is_wrong_is_that_rows_fault() {
    let rows = rows(&made("nulls"), &Spec::default()).unwrap();
    let chunk = |n: usize| rows[n].as_ref().unwrap();
    assert_eq!(chunk(0).vector.as_deref(), Some(&[1.0, 2.0][..]));
    let all = json!({"a": [[1, 2], [], [3]], "b": {"p": true, "q": null}, "c": 0.5});
    assert_eq!(Value::Object(chunk(0).metadata.clone()), all);
    assert_eq!((chunk(1).vector.as_ref(), chunk(1).text.as_ref(), chunk(1).metadata.len()), (None, None, 0));
    assert_eq!((chunk(2).vector.as_ref(), chunk(2).text.as_deref()), (None, Some("")));
    assert_eq!(Value::Object(chunk(2).metadata.clone()), json!({"a": [], "b": {}, "c": null}));
    assert_eq!(
        Value::Object(chunk(3).metadata.clone()),
        json!({"a": [null, [null, 4]], "b": null, "c": -1.0})
    );
    for (n, why) in [(4, "its \"c\" is NaN"), (5, "no id"), (6, "a list with a value that is not there")] {
        let said = rows[n].as_ref().unwrap_err();
        assert!(said.contains(why), "row {n}: {said}");
    }
}

#[test]
fn columns_are_mapped_passed_over_or_kept() {
    let columns = [("id", "name"), ("vector", "embedding"), ("text", "body")];
    let bytes = made("bytes");
    let kept = rows(&bytes, &spec(&columns, Extra::Metadata)).unwrap().remove(1).unwrap();
    assert_eq!((kept.id.as_str(), kept.vector.unwrap().len()), ("id-1", 6));
    assert_eq!(
        Value::Object(kept.metadata),
        json!({"lang": "en", "n": 1, "share": 0.1875, "tags": ["a", "1"]})
    );
    let bare = rows(&bytes, &spec(&columns, Extra::Ignore)).unwrap().remove(1).unwrap();
    assert!(bare.metadata.is_empty() && bare.text.is_some());
    // A column may be called as a field is, and be another.
    let other = spec(&[("id", "body"), ("vector", "embedding"), ("text", "name")], Extra::Metadata);
    let other = rows(&bytes, &other).unwrap().remove(1).unwrap();
    assert_eq!((other.id.as_str(), other.text.as_deref()), ("text 1 \u{e9}", Some("id-1")));
    let nulls = rows(&made("nulls"), &spec(&[("id", "text")], Extra::Metadata)).unwrap().remove(0).unwrap();
    assert_eq!((nulls.id.as_str(), nulls.text, &nulls.metadata["id"]), ("x", None, &json!("all")));
    for (columns, extra, why) in [
        (&columns[..], Extra::Refuse, "the column \"lang\" is no field of a chunk"),
        (&columns[1..], Extra::Ignore, "no column of ids"),
        (&[("id", "nobody")], Extra::Ignore, "has no column \"nobody\""),
        (&[("it", "name")], Extra::Ignore, "no field of a chunk"),
        (&[("id", "name"), ("vector", "body")], Extra::Ignore, "\"body\" is no list of numbers"),
        (&[("id", "name"), ("vector", "tags")], Extra::Ignore, "\"tags\" is no list of numbers"),
        (&[("id", "name"), ("vector", "n")], Extra::Ignore, "\"n\" is no list of numbers"),
    ] {
        let said = refused(&bytes, &spec(columns, extra));
        assert!(said.contains(why), "{said}");
    }
    // What is passed over is not read: a kind that nobody knows is nobody's business.
    let dates = made("dates");
    assert_eq!(rows(&dates, &spec(&[], Extra::Ignore)).unwrap().len(), 20);
    let said = rows(&dates, &spec(&[], Extra::Metadata)).unwrap().remove(0).unwrap_err();
    assert!(said.contains("its \"day\" is a date"), "{said}");
    assert!(
        refused(&made("brotli"), &Spec::default())
            .contains("BROTLI; write it with zstd, snappy, gzip or none")
    );
}

#[test]
fn very_many_rows_of_one_group_are_read_one_by_one() {
    let bytes = made("many");
    let spec = Spec::default();
    let mut parquet = Parquet::of(Input::of(Cursor::new(bytes.clone()), bytes.len() as u64), &spec).unwrap();
    let mut count = 0;
    while let Some(entry) = parquet.next().unwrap() {
        assert_eq!(entry.place, Place::Row(count, 4));
        assert_eq!(entry.chunk.unwrap().vector.unwrap().len(), 6);
        count += 1;
    }
    assert_eq!(
        (count, parquet.shape()),
        (300_000, &Shape { dim: Some(6), rows: Some(300_000), ..Shape::default() })
    );
}

#[test]
fn every_cut_and_many_changes_are_errors_or_rows_and_never_a_panic() {
    let mapped = spec(&[("id", "name"), ("vector", "embedding"), ("text", "body")], Extra::Metadata);
    let keyed = spec(&[("id", "key")], Extra::Refuse);
    let (mut read, mut wrong) = (0, 0);
    for (name, spec) in [
        ("lists", &Spec::default()),
        ("fixed", &keyed),
        ("encodings", &Spec::default()),
        ("halves", &Spec::default()),
        ("bytes", &mapped),
        ("nulls", &Spec::default()),
    ] {
        let whole = made(name);
        assert!(rows(&whole, spec).is_ok());
        for end in 0..whole.len() {
            assert!(rows(&whole[..end], spec).is_err(), "{name} was read although it ends at {end}");
        }
        for at in 0..whole.len() {
            for to in [whole[at] ^ 1 << (at % 8), 0, 0xff, whole[at].wrapping_add(1), 0x80] {
                let mut bytes = whole.clone();
                bytes[at] = to;
                // Numbers may be others; how many rows there are may not.
                match rows(&bytes, spec) {
                    Ok(_) => read += 1,
                    Err(e) => {
                        assert_eq!(e.kind(), crate::error::ErrorKind::Invalid, "{name} at {at}: {e}");
                        assert!(e.to_string().len() < 2_000, "{e}");
                        wrong += 1;
                    }
                }
            }
        }
    }
    assert!(read > 1_000 && wrong > 1_000, "{read} {wrong}");
}

/// A file of one column that has nothing but its description.
fn described(description: &[u8]) -> Vec<u8> {
    [b"PAR1", description, &(description.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

#[test]
fn a_description_that_lies_takes_neither_memory_nor_the_stack() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
    let cases: [(Vec<u8>, &str); 9] = [
        (vec![], "cut off"),
        (vec![0], "describes no columns"),
        // A list of as many structures as there can be.
        ([&[0x29, 0xfc][..], &huge].concat(), "cut off"),
        // A structure in a structure in a structure.
        (vec![0x1c; 1_000_000], "nested deeper"),
        (vec![0x19; 1_000_000], "nested deeper"),
        // A text longer than the file.
        ([&[0x18][..], &huge].concat(), "cut off"),
        (vec![0x1d, 0], "unknown kind 13"),
        (vec![0x0c, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "cut off"),
        // Two elements that are groups of each other's like, without end.
        ([&[0x29, 0x2c][..], &[0x55, 2, 0, 0x55, 2, 0], &[0]].concat(), "is damaged"),
    ];
    for (description, why) in cases {
        let said = refused(&described(&description), &Spec::default());
        assert!(said.contains(why), "{why}: {said}");
    }
    for (bytes, why) in [
        (b"PAR1".to_vec(), "too few"),
        (b"PAR1\0\0\0\0PARE".to_vec(), "is encrypted"),
        (b"PAR1\0\0\0\0PAR2".to_vec(), "is it cut off?"),
        (b"PAR1\xff\xff\xff\xffPAR1".to_vec(), "claims 4294967295 bytes"),
    ] {
        assert!(refused(&bytes, &Spec::default()).contains(why));
    }
}

#[test]
fn what_unpacks_to_more_than_it_says_is_refused_before_it_is_unpacked() {
    // 64 MiB of zeros in the place of a page that is known to have 24 bytes: the head of the page is made anew.
    let zeros = vec![0u8; 64 << 20];
    let zstd = zstd::encode_all(&zeros[..], 3).unwrap();
    let snappy = snap::raw::Encoder::new().compress_vec(&zeros).unwrap();
    let mut gzip = flate2::read::GzEncoder::new(&zeros[..], flate2::Compression::fast());
    let mut gzipped = Vec::new();
    std::io::Read::read_to_end(&mut gzip, &mut gzipped).unwrap();
    for (codec, packed) in [(6, zstd), (1, snappy), (2, gzipped)] {
        for claimed in [0, 24, 1 << 20, (256 << 20) + 1, i64::from(i32::MAX), -1] {
            let said = page(codec, claimed, &packed).unwrap_err();
            assert!(said.contains("a page"), "codec {codec}, {claimed}: {said}");
        }
        assert!(page(codec, 64 << 20, &packed).is_ok(), "codec {codec}");
    }
}

/// Reads a page with this head.
fn page(codec: i64, unpacked: i64, packed: &[u8]) -> Parsed<()> {
    let bytes = [head(unpacked, packed), packed.to_vec()].concat();
    let len = bytes.len() as u64;
    let kind = page::Kind { physical: footer::Physical::Float, codec, def_max: 0, rep_max: 0 };
    kind.read(&mut Input::of(Cursor::new(bytes), len), &mut 0, len).map(drop)
}

/// The head of a page of six plain values.
fn head(unpacked: i64, packed: &[u8]) -> Vec<u8> {
    let number = |n: i64| {
        let mut n = (n << 1 ^ n >> 63) as u64;
        let mut bytes = Vec::new();
        while n >= 0x80 {
            bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    };
    let (unpacked, packed) = (number(unpacked), number(packed.len() as i64));
    [&[0x15, 0, 0x15][..], &unpacked, &[0x15], &packed, &[0x2c, 0x15, 12, 0x15, 0, 0, 0]].concat()
}

#[test]
fn runs_of_a_billion_cost_nothing_and_end_where_they_end() {
    // 2^30 times the value 3, of two bits.
    let bytes = [0x80, 0x80, 0x80, 0x80, 0x08, 3];
    let mut runs = Runs::new(0..6, 2).unwrap();
    assert!((0..1_000).all(|_| runs.next(&bytes) == Ok(3)));
    // Eight values of three bits: 0 to 7, the example of the format's page; then nothing.
    let bytes = [0x03, 0b1000_1000, 0b1100_0110, 0b1111_1010];
    let mut runs = Runs::new(0..4, 3).unwrap();
    assert!((0..8).all(|n| runs.next(&bytes) == Ok(n)));
    assert!(runs.next(&bytes).is_err());
    assert!(Runs::new(0..4, 33).is_err());
    // Behind its own end lie another's bytes.
    assert!(Runs::new(0..2, 3).unwrap().next(&bytes).is_ok());
    assert!((0..8).any(|_| Runs::new(0..1, 3).unwrap().next(&bytes).is_err()));
}

#[test]
fn differences_are_those_of_the_format() {
    // 7, 5, 3, 1, 2, 3, 4, 5: the second example of the format's page, in a block of 128 and four parts.
    let bytes =
        [0x80, 0x01, 0x04, 0x08, 0x0e, 0x03, 0x02, 0, 0, 0, 0b1100_0000, 0b0011_1111, 0, 0, 0, 0, 0, 0, 9];
    assert_eq!(deltas(&bytes, 0), Ok((vec![7, 5, 3, 1, 2, 3, 4, 5], 18)));
    for head in [
        &[0x80, 0x01, 0x00, 0x08, 0x0e][..],
        &[0x00, 0x04, 0x08, 0x0e],
        &[0x80, 0x01, 0x03, 0x08, 0x0e],
        &[0x80, 0x01, 0x04, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x0e],
        &[0x80, 0x01, 0x04, 0x08, 0x0e, 0x03, 65, 0, 0, 0],
    ] {
        assert!(deltas(head, 0).is_err(), "{head:?}");
    }
}

#[test]
fn fields_that_nobody_knows_are_passed_over() {
    // A structure with one of each kind, and a number behind them.
    let bytes = [
        &[0x11, 0x12, 0x13, 5][..],
        &[0x15, 9, 0x17, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x18, 2, b'a', b'b'],
        &[0x19, 0x21, 1, 2],
        &[0x1c, 0x15, 1, 0],
        &[0x15, 0x54, 0],
    ]
    .concat();
    let mut thrift = Thrift::new(&bytes);
    let mut last = 0;
    thrift
        .fields(
            |thrift, id, kind| {
                if id == 9 { thrift.number(kind).map(|n| last = n) } else { thrift.skip(kind) }
            },
        )
        .unwrap();
    assert_eq!((last, thrift.at()), (42, bytes.len()));
}

#[test]
fn all_columns_together_have_a_limit() {
    let description = Footer::parse(&[], 0);
    assert!(description.is_err());
    // Three columns of a page of 200 MiB each: every one is small enough, and all are too many.
    let zeros = vec![0u8; 200 << 20];
    let packed = zstd::encode_all(&zeros[..], 1).unwrap();
    drop(zeros);
    let bytes = [head(200 << 20, &packed), packed].concat();
    let len = bytes.len() as u64;
    let mut held = Held::new(Input::of(Cursor::new(bytes), len));
    let node = footer::Node {
        name: "x".to_owned(),
        times: footer::Times::Once,
        meaning: footer::Meaning::Plain,
        def: 0,
        rep: 0,
        physical: Some(footer::Physical::Float),
        children: Vec::new(),
        leaves: 0..1,
    };
    let piece = footer::Piece { codec: 6, values: 6, from: 0, to: len };
    let mut leaves: Vec<Leaf> = (0..3).map(|_| Leaf::new(&node, footer::Physical::Float)).collect();
    leaves.iter_mut().for_each(|leaf| leaf.begin(&piece, &mut held).unwrap());
    assert!(leaves[0].peek(&mut held).is_ok() && leaves[1].peek(&mut held).is_ok());
    assert!(leaves[2].peek(&mut held).unwrap_err().contains("at once"));
    // Whoever goes on gives back what it held.
    leaves.iter_mut().for_each(|leaf| drop(leaf.begin(&piece, &mut held)));
    leaves.truncate(1);
    assert!((0..5).all(|_| leaves[0].begin(&piece, &mut held).is_ok() && leaves[0].peek(&mut held).is_ok()));
}
