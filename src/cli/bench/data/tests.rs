//! Readers against files they wrote and files that lie.

use super::load::check_truth;
use super::*;
use proptest::prelude::*;

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

fn floats(file: &[u8]) -> Parsed<Matrix> {
    npy::floats(&mut &file[..], file.len() as u64)
}

fn integers(file: &[u8]) -> Parsed<Neighbours> {
    npy::integers(&mut &file[..], file.len() as u64)
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
    let wanted = Matrix { dim: 3, values: SIX.to_vec() };
    for version in 1..=3 {
        assert_eq!(floats(&npy_file(version, &header("<f4", "(2, 3)"), &le(&SIX))).unwrap(), wanted);
    }
    let halves: Vec<u8> = SIX.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
    assert_eq!(floats(&npy_file(1, &header("<f2", "(2, 3)"), &halves)).unwrap(), wanted);

    let wanted = Neighbours { width: 2, rows: vec![7, NO_ROW] };
    let narrow = [7i32, -1].map(i32::to_le_bytes).concat();
    let wide = [7i64, -1].map(i64::to_le_bytes).concat();
    assert_eq!(integers(&npy_file(1, &header("<i4", "(1, 2)"), &narrow)).unwrap(), wanted);
    assert_eq!(integers(&npy_file(2, &header("<i8", "(1,2,)"), &wide)).unwrap(), wanted);
}

#[test]
fn npy_keys_come_in_any_order_and_quotes() {
    let text = r#" { "shape":(2,3), "fortran_order" : False,"descr":"<f4"}  "#;
    assert_eq!(floats(&npy_file(1, text, &le(&SIX))).unwrap().dim, 3);
}

#[test]
fn npy_more_values_than_a_buffer_are_read() {
    let values: Vec<f32> = (0..40_000).map(|i| i as f32).collect();
    assert_eq!(floats(&npy_file(1, &header("<f4", "(20000, 2)"), &le(&values))).unwrap().values, values);
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
        (header("<f8", "(2, 3)"), "'<f8'; vectors are read from <f4 and <f2"),
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
    assert!(integers(&file).unwrap_err().contains("row numbers are read from <i4 and <i8"));
    let file = npy_file(1, &header("<i4", "(1, 1)"), &(-2i32).to_le_bytes());
    assert!(integers(&file).unwrap_err().contains("-2 is no row number"));
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
            let (part, whole) = (&file[..end], file.len() as u64);
            assert!(floats(part).is_err() && integers(part).is_err(), "{end} bytes");
            // The file was cut after its size was asked for.
            assert!(npy::floats(&mut &*part, whole).is_err() && npy::integers(&mut &*part, whole).is_err());
        }
    }
    let file = vecs_file(&[&[1.0, 2.0], &[3.0, 4.0]]);
    for end in (0..file.len()).filter(|end| *end != file.len() / 2) {
        assert!(vecs::floats(&mut &file[..end], end as u64).is_err(), "{end} bytes");
        assert!(vecs::floats(&mut &file[..end], file.len() as u64).is_err(), "{end} bytes");
    }
}

#[test]
fn vecs_are_read() {
    let file = vecs_file(&[&[1.0, 2.0], &[3.0, 4.0], &[-5.0, 0.5]]);
    let found = vecs::floats(&mut &file[..], file.len() as u64).unwrap();
    assert_eq!(found, Matrix { dim: 2, values: vec![1.0, 2.0, 3.0, 4.0, -5.0, 0.5] });
    let file = [2i32, 9, -1].map(i32::to_le_bytes).concat();
    let found = vecs::integers(&mut &file[..], file.len() as u64).unwrap();
    assert_eq!(found, Neighbours { width: 2, rows: vec![9, NO_ROW] });
}

#[test]
fn vecs_that_lie_are_refused_with_a_reason() {
    let told = |file: &[u8]| vecs::floats(&mut &*file, file.len() as u64).unwrap_err();
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
            let _ = (floats(&bytes), integers(&bytes), vecs::floats(&mut &bytes[..], bytes.len() as u64));
        }
    }

    #[test]
    fn vectors_survive_a_round_trip(rows in 1usize..20, dim in 1usize..20, seed: u64) {
        let mixture = super::super::generate::Mixture::new(super::super::generate::Recipe { seed, dim, clusters: 3 });
        let matrix = mixture.base(rows, 1);
        let npy = npy_file(1, &header("<f4", &format!("({rows}, {dim})")), &le(&matrix.values));
        prop_assert_eq!(&floats(&npy).unwrap(), &matrix);
        let rows: Vec<&[f32]> = matrix.values.chunks(dim).collect();
        let file = vecs_file(&rows);
        prop_assert_eq!(&vecs::floats(&mut &file[..], file.len() as u64).unwrap(), &matrix);
    }
}

#[test]
fn metadata_lines_belong_to_rows() {
    let read = |text: &str, rows| metadata::read(text.as_bytes(), rows);
    let found = read("{\"id\":\"a\",\"metadata\":{\"n\":1}}\n{\"id\":\"b\"}\n\n", 2).unwrap();
    assert_eq!((found[0]["n"].as_u64(), found[1].len()), (Some(1), 0));
    for (text, reason) in [
        ("{}\n", "has 1 lines, but the base has 2 rows"),
        ("{}\n\n{}\n", "line 3 follows a blank line"),
        ("{}\n{\"metadata\": [1]}\n", "line 2"),
        ("{}\n{", "line 2"),
    ] {
        assert!(read(text, 2).unwrap_err().contains(reason), "{text}");
    }
    assert!(metadata::read(&b"\x28\xb5\x2f\xfd\xff"[..], 2).unwrap_err().contains("unpacked"));
}

#[test]
fn a_truth_must_fit_its_queries_rows_and_k() {
    let truth = Neighbours { width: 2, rows: vec![0, 1, 2, NO_ROW] };
    assert_eq!(check_truth(&truth, 2, 3, 2), Ok(()));
    // Fewer rows than k: two columns are all there can be.
    assert_eq!(
        check_truth(&truth, 2, 2, 5).unwrap_err(),
        "names row 2, but the base has 2 rows, counted from 0"
    );
    assert!(check_truth(&truth, 3, 3, 2).unwrap_err().contains("2 queries, but there are 3"));
    assert!(check_truth(&truth, 2, 3, 3).unwrap_err().contains("k is 3"));
    assert_eq!(truth.of(1, 2).collect::<Vec<_>>(), [2]);
}
