//! Readers of tables against files they wrote and files that lie.

use super::plain::{Integers, Plain};
use crate::import::input::{Input, Parsed};
use proptest::prelude::*;
use std::io::Cursor;
use std::path::Path;

/// What a table holds, by its width.
type Table<T> = (usize, Vec<T>);

fn input(bytes: &[u8], len: usize) -> Input {
    Input::of(Cursor::new(bytes.to_vec()), len as u64)
}

/// All of a file that says it has `len` bytes.
fn all_floats(bytes: &[u8], len: usize, extension: &str) -> Parsed<Table<f32>> {
    let mut table = Plain::of(input(bytes, len), extension, Path::new("x"))?;
    let mut values = Vec::new();
    while table.next_floats(&mut values).map_err(|e| e.to_string())? {}
    Ok((table.columns(), values))
}

fn all_integers(bytes: &[u8], len: usize, extension: &str) -> Parsed<Table<i128>> {
    let mut table = Integers::open(input(bytes, len), extension)?;
    let mut values = Vec::new();
    while table.next(&mut values)? {}
    Ok((table.columns(), values))
}

/// A `.npy` file of version `version` with this header text, padded as NumPy does.
fn npy_file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
    let before = if version == 1 { 10 } else { 12 };
    let length = (before + header.len() + 1).next_multiple_of(64) - before;
    let mut file = [b"\x93NUMPY", &[version, 0][..]].concat();
    match version {
        1 => file.extend((length as u16).to_le_bytes()),
        _ => file.extend((length as u32).to_le_bytes()),
    }
    file.extend(format!("{header:<width$}\n", width = length - 1).bytes());
    file.extend(data);
    file
}

fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")
}

fn floats(file: &[u8]) -> Parsed<Table<f32>> {
    all_floats(file, file.len(), "npy")
}

fn integers(file: &[u8]) -> Parsed<Table<i128>> {
    all_integers(file, file.len(), "npy")
}

fn vecs(file: &[u8]) -> Parsed<Table<f32>> {
    all_floats(file, file.len(), "fvecs")
}

fn le(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn vecs_file(rows: &[&[f32]]) -> Vec<u8> {
    rows.iter().flat_map(|row| [(row.len() as i32).to_le_bytes().to_vec(), le(row)].concat()).collect()
}

const SIX: [f32; 6] = [0.5, -1.0, 2.0, 3.25, 0.0, 65_504.0];

#[test]
fn npy_of_every_version_and_width_is_read() {
    let wanted = (3, SIX.to_vec());
    for version in 1..=3 {
        assert_eq!(floats(&npy_file(version, &header("<f4", "(2, 3)"), &le(&SIX))).unwrap(), wanted);
    }
    let halves: Vec<u8> = SIX.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
    assert_eq!(floats(&npy_file(1, &header("<f2", "(2, 3)"), &halves)).unwrap(), wanted);

    let wide: Vec<u8> = SIX.iter().flat_map(|&v| f64::from(v).to_le_bytes()).collect();
    assert_eq!(floats(&npy_file(1, &header("<f8", "(2, 3)"), &wide)).unwrap(), wanted);

    let wanted = (2, vec![7, -1]);
    let narrow = [7i32, -1].map(i32::to_le_bytes).concat();
    let wide = [7i64, -1].map(i64::to_le_bytes).concat();
    assert_eq!(integers(&npy_file(1, &header("<i4", "(1, 2)"), &narrow)).unwrap(), wanted);
    assert_eq!(integers(&npy_file(2, &header("<i8", "(1,2,)"), &wide)).unwrap(), wanted);
    let unsigned = u64::MAX.to_le_bytes();
    assert_eq!(
        integers(&npy_file(1, &header("<u8", "(1,)"), &unsigned)).unwrap(),
        (1, vec![i128::from(u64::MAX)])
    );
}

#[test]
fn npy_keys_come_in_any_order_and_quotes() {
    let text = r#" { "shape":(2,3), "fortran_order" : False,"descr":"<f4"}  "#;
    assert_eq!(floats(&npy_file(1, text, &le(&SIX))).unwrap().0, 3);
}

#[test]
fn npy_more_values_than_a_buffer_are_read() {
    let values: Vec<f32> = (0..40_000).map(|i| i as f32).collect();
    assert_eq!(floats(&npy_file(1, &header("<f4", "(20000, 2)"), &le(&values))).unwrap().1, values);
}

#[test]
fn npy_headers_that_lie_are_refused_with_a_reason() {
    let told = |text: &str| floats(&npy_file(1, text, &le(&SIX))).unwrap_err();
    let big = u64::MAX.to_string();
    for (text, reason) in [
        (header("<f4", "(3, 3)"), "does not fill"),
        (header("<f4", "(1, 3)"), "does not fill"),
        (header("<f4", &format!("({big}, {big})")), "does not fill"),
        (header("<f4", &format!("({big}, 2)")), "does not fill"),
        (header("<f4", &format!("({big}0, 3)")), "64 bits"),
        (header("<f4", "(-2, 3)"), "whole number"),
        (header("<f4", "(6,)"), "two dimensions"),
        (header("<f4", "()"), "two dimensions"),
        (header("<f4", "(0, 3)"), "neither of them 0"),
        (header("<f4", "(1, 2, 3)"), "two dimensions"),
        (header("<c8", "(2, 3)"), "'<c8'; vectors and ids are read from <f2, <f4, <f8"),
        (header(">f4", "(2, 3)"), "'>f4'"),
        (header("<i4", "(2, 3)"), "'<i4'"),
        (header("<f4", "(2, 3)").replace("False", "True"), "Fortran order"),
        (header("<f4", "(2, 3)").replace("False", "0"), "True or False"),
        (header("<f4", "(2, 3)").replace("'<f4'", "[('x', '<f4')]"), "structured"),
        (header("<f4", "(2, 3)").replace("shape", "shade"), "unknown key 'shade'"),
        (header("<f4", "(2, 3), 'shape': (2, 3)"), "twice"),
        (header("<f4", "(2, 3)") + "x", "goes on"),
        ("{'descr': '<f4'}".to_owned(), "lacks one"),
        ("{'descr': '\u{e9}".to_owned(), "a string"),
        (String::new(), "`{`"),
    ] {
        assert!(told(&text).contains(reason), "{text}: {}", told(&text));
    }
    let file = npy_file(1, &header("<f4", "(1, 2)"), &le(&[1.0, 2.0]));
    assert!(integers(&file).unwrap_err().contains("ids are read from <i4, <i8, <u4 and <u8"));
}

#[test]
fn npy_starts_that_lie_are_refused() {
    let good = npy_file(2, &header("<f4", "(2, 3)"), &le(&SIX));
    let with = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        floats(&file).unwrap_err()
    };
    assert!(with(0, b"PK").contains("not a .npy file"));
    assert!(with(6, &[4]).contains("version 4"));
    assert!(with(8, &u32::MAX.to_le_bytes()).contains("header of 4294967295 bytes"));
    assert!(with(20, &[0xff]).contains("not text"));
}

#[test]
fn every_truncation_is_an_error() {
    let narrow = [7i32, -1].map(i32::to_le_bytes).concat();
    let files = [
        npy_file(1, &header("<f4", "(2, 3)"), &le(&SIX)),
        npy_file(3, &header("<f4", "(2, 3)"), &le(&SIX)),
        npy_file(1, &header("<i4", "(1, 2)"), &narrow),
    ];
    for file in &files {
        for end in 0..file.len() {
            let (part, whole) = (&file[..end], file.len());
            assert!(floats(part).is_err() && integers(part).is_err(), "{end} bytes");
            // The file was cut after its size was asked for.
            assert!(all_floats(part, whole, "npy").is_err() && all_integers(part, whole, "npy").is_err());
        }
    }
    let file = vecs_file(&[&[1.0, 2.0], &[3.0, 4.0]]);
    for end in (0..file.len()).filter(|end| *end != file.len() / 2) {
        assert!(vecs(&file[..end]).is_err(), "{end} bytes");
        assert!(all_floats(&file[..end], file.len(), "fvecs").is_err(), "{end} bytes");
    }
}

#[test]
fn vecs_are_read() {
    let file = vecs_file(&[&[1.0, 2.0], &[3.0, 4.0], &[-5.0, 0.5]]);
    assert_eq!(vecs(&file).unwrap(), (2, vec![1.0, 2.0, 3.0, 4.0, -5.0, 0.5]));
    let file = [2i32, 9, -1].map(i32::to_le_bytes).concat();
    assert_eq!(all_integers(&file, file.len(), "ivecs").unwrap(), (2, vec![9, -1]));
    let file = [&2i32.to_le_bytes()[..], &[0, 255]].concat();
    assert_eq!(all_floats(&file, file.len(), "bvecs").unwrap(), (2, vec![0.0, 255.0]));
}

#[test]
fn vecs_that_lie_are_refused_with_a_reason() {
    let told = |file: &[u8]| vecs(file).unwrap_err();
    let with = |dim: i32| [dim.to_le_bytes().to_vec(), le(&SIX)].concat();
    assert!(told(&with(0)).contains("claims 0 values"));
    assert!(told(&with(-6)).contains("claims -6 values"));
    assert!(told(&with(i32::MAX)).contains("8589934592 bytes each"));
    assert!(told(&with(5)).contains("no multiple"));
    assert!(
        told(&vecs_file(&[&[1.0, 2.0, 3.0], &[1.0], &[1.0]])).contains("row 1 has 1 values and row 0 has 3")
    );
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(file in proptest::collection::vec(any::<u8>(), 0..200), text in "[{}',:()a-z0-9<_ ]{0,80}") {
        for bytes in [file.clone(), npy_file(1, &text, &file), npy_file(2, &header("<f4", &text), &file)] {
            let _ = (floats(&bytes), integers(&bytes), vecs(&bytes));
        }
    }

    #[test]
    fn vectors_survive_a_round_trip(rows in 1usize..20, dim in 1usize..20, bits in proptest::collection::vec(any::<u32>(), 400)) {
        let values: Vec<f32> = bits.iter().map(|b| f32::from_bits(*b)).take(rows * dim).collect();
        let same = |found: Parsed<Table<f32>>| {
            let (width, found) = found.unwrap();
            width == dim && found.iter().map(|x| x.to_bits()).eq(values.iter().map(|x| x.to_bits()))
        };
        let npy = npy_file(1, &header("<f4", &format!("({rows}, {dim})")), &le(&values));
        prop_assert!(same(floats(&npy)));
        let rows: Vec<&[f32]> = values.chunks(dim).collect();
        prop_assert!(same(vecs(&vecs_file(&rows))));
    }
}
