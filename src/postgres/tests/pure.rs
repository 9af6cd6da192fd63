//! What needs no server: tables of codes, URLs, bytes.

use crate::limits::DIM_MAX;
use crate::mirror::remote::FaultClass::{self, *};
use crate::postgres::binary::{Broken, Decoder, Encoder, Fields, vector_of};
use crate::postgres::fault::class_of;
use crate::postgres::schema::MIGRATIONS;
use crate::postgres::{Postgres, Settings, connect};
use proptest::prelude::*;

#[test]
fn every_sqlstate_has_its_class() {
    let table: [(FaultClass, &[&str]); 7] = [
        (
            Transient,
            &[
                "08000", "08001", "08003", "08004", "08006", "08P01", "57P01", "57P02", "57P03", "57P05",
                "40001", "40P01", "40003", "55P03", "55006", "57014", "25P03", "25P04",
            ],
        ),
        (Demoted, &["25006"]),
        (Resource, &["53000", "53100", "53200", "53300", "53400", "58030", "58000"]),
        (Schema, &["42P01", "42703", "42804", "42883", "42704", "42P10", "3F000", "3D000", "57P04"]),
        (Permission, &["28000", "28P01", "42501", "26000", "42P05"]),
        (Data, &["22021", "22P05", "22003", "22P02", "23502", "23505", "23514", "54000", "54001"]),
        (Unknown, &["", "XX000", "XX001", "0A000", "25P02", "P0001", "2"]),
    ];
    for (class, codes) in table {
        for code in codes {
            assert_eq!(class_of(code), class, "{code}");
        }
    }
}

fn refusal(url: &str) -> String {
    let settings = Settings { url: url.to_owned(), ..Settings::default() };
    assert!(!format!("{settings:?}").contains("se%c") && !format!("{settings:?}").contains("secret"));
    let fault = Postgres::new(settings).unwrap_err();
    assert!(fault.remedy.is_some(), "{fault:?}");
    format!("{} | {}", fault.message, fault.remedy.unwrap_or_default())
}

#[test]
fn an_url_that_cannot_be_read_says_which_part_and_no_password() {
    for (url, part) in [
        ("", "empty"),
        ("localhost/db", "no scheme"),
        ("mysql://u:secret@h/db", "scheme"),
        ("postgres://u:secret@h:54x/db", "port"),
        ("postgres://u:secret@h:99999/db", "port"),
        ("postgres://u:sec@ret@h/db", "%40"),
        ("postgres://u:secret/x@h/db", "%2F"),
        ("postgres://u:secret#x@h/db", "%23"),
        ("postgres://u:secret%zz@h/db", "%25"),
        ("postgres://u:secret@h/db?sslmode=maybe", "sslmode"),
        ("postgres://u:secret@h/db?pasword=secret", "parameter"),
    ] {
        let said = refusal(url);
        assert!(said.contains(part), "{url}: {said}");
        for leak in ["secret", "sec@ret", "maybe", "pasword"] {
            assert!(!said.contains(leak), "{url}: {said}");
        }
    }
}

#[test]
fn urls_lead_somewhere() {
    for (url, place) in [
        ("postgres://u:secret@h:5433/db", "h:5433/db"),
        ("postgresql://u@h/db?sslmode=require", "h:5432/db"),
        ("postgres://u:%40%2F%3F%23@[::1]:5433/db", "[::1]:5433/db"),
        ("postgres://u@h/db?host=/var/run&application_name=me", "/var/run/db"),
    ] {
        let options = connect::options(url).unwrap();
        assert_eq!(connect::place(&options), place);
    }
}

#[test]
fn a_schema_name_that_needs_quoting_is_refused() {
    for schema in ["", "a b", "a\"; DROP", "Upper", "1a", "pg_mine", "caf\u{e9}", &"x".repeat(64)] {
        let settings =
            Settings { url: "postgres://h/db".into(), schema: schema.into(), ..Settings::default() };
        assert!(Postgres::new(settings).is_err(), "{schema:?}");
    }
}

#[test]
fn every_migration_is_embedded_in_order() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".sql"))
        .collect();
    files.sort();
    let embedded: Vec<String> = MIGRATIONS.iter().map(|(n, name, _)| format!("{n:04}_{name}.sql")).collect();
    assert_eq!(files, embedded);
}

type Owned = Vec<[Option<Vec<u8>>; 3]>;

fn rows() -> impl Strategy<Value = Owned> {
    let field = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    proptest::collection::vec([field(), field(), field()], 0..6)
}

fn encode(rows: &Owned) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.header();
    for row in rows {
        encoder.row(3);
        for field in row {
            match field {
                Some(bytes) => encoder.bytes(bytes),
                None => encoder.null(),
            }
        }
    }
    encoder.trailer();
    encoder.pending().to_vec()
}

/// What comes out, and whether it was complete.
fn decode(pieces: &[&[u8]]) -> Result<(Owned, bool), Broken> {
    let (mut decoder, mut rows) = (Decoder::<3>::default(), Owned::new());
    for piece in pieces {
        decoder.read(piece, |fields: &Fields<'_, 3>| rows.push(fields.map(|f| f.map(<[u8]>::to_vec))))?;
    }
    Ok((rows, decoder.is_complete()))
}

proptest! {
    #[test]
    fn rows_read_back_however_they_are_cut(rows in rows(), cuts in proptest::collection::vec(0_usize..400, 0..5)) {
        let bytes = encode(&rows);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
        prop_assert_eq!(decode(&pieces), Ok((rows, true)));
    }

    #[test]
    fn an_end_that_is_missing_is_noticed(rows in rows(), short in 1_usize..60) {
        let bytes = encode(&rows);
        let end = bytes.len().saturating_sub(short);
        prop_assert!(!decode(&[&bytes[..end]]).is_ok_and(|(_, is_complete)| is_complete));
        let more = [bytes.as_slice(), &[0]].concat();
        prop_assert_eq!(decode(&[&more]), Err(Broken));
    }

    #[test]
    fn hostile_bytes_never_panic(rows in rows(), at in any::<prop::sample::Index>(), byte in any::<u8>(), noise in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = encode(&rows);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(&[&bytes]);
        let _ = decode(&[&noise]);
        let _ = decode(&[&bytes[..at], &noise, &bytes[at..]]);
        let _ = vector_of(&noise);
    }

    #[test]
    fn vectors_read_back_bit_for_bit(bits in proptest::collection::vec(any::<u32>(), 1..40)) {
        let vector: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        let mut encoder = Encoder::default();
        encoder.vector(Some(&vector));
        let read = vector_of(&encoder.pending()[4..]).unwrap();
        prop_assert_eq!(read.into_iter().map(f32::to_bits).collect::<Vec<_>>(), bits);
    }
}

#[test]
fn the_widest_vector_fits_its_header() {
    let mut encoder = Encoder::default();
    encoder.vector(Some(&vec![1.0; DIM_MAX]));
    assert_eq!(vector_of(&encoder.pending()[4..]).map(|v| v.len()), Some(DIM_MAX));
    assert_eq!(vector_of(&encoder.pending()[4..100]), None);
    assert_eq!(vector_of(&[]), None);
}

#[test]
fn a_length_beyond_all_rows_is_refused_before_it_is_awaited() {
    let mut bytes = encode(&Vec::new());
    bytes.truncate(bytes.len() - 2);
    bytes.extend([0, 3, 0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(decode(&[&bytes]), Err(Broken));
    assert_eq!(decode(&[b"PGCOPY\n\xff\r\n\0\0\0\0\x01\0\0\0\0"]), Err(Broken), "a flag that is not known");
    assert_eq!(decode(&[b"PGC0"]), Err(Broken));
}
