//! The door (a table of refusals), the canonical form (properties, and what a trip through jsonb does), the digest.

use super::canonical::{of_metadata, parse};
use super::digest::digest;
use super::validate::Rejection;
use super::*;
use crate::error::{Error, ErrorKind};
use crate::ids::Ver;
use crate::limits::*;
use proptest::prelude::*;
use serde_json::{Number, Value, json};
use std::cmp::Ordering;

fn map(value: Value) -> Map {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

fn full() -> Chunk {
    Chunk::new("a")
        .vector([0.6, 0.8])
        .text("hello")
        .document("manual", 3)
        .meta("lang", "en")
        .meta("n", 1.0)
        .tenant("t")
        .embedding_model("m")
}

#[test]
fn an_admitted_chunk_reads_back_equal() {
    let row = admit(full(), 2, true).unwrap();
    assert_eq!(row.to_chunk(), full().meta("n", 1));
    let payload = row.payload.unwrap();
    assert_eq!(&*payload.metadata, r#"{"lang":"en","n":1}"#);
    assert_eq!(payload.heap_bytes(), 5 + 19 + (6 + 16) + (1 + 16) + (1 + 16));
}

#[test]
fn a_row_of_id_and_vector_has_no_payload() {
    let row = admit(Chunk::new("a").vector([0.0, 0.0]), 2, false).unwrap();
    assert_eq!(row.payload, None);
    assert_eq!(row.to_chunk(), Chunk::new("a").vector([0.0, 0.0]));
}

#[test]
fn every_refusal_names_value_limit_and_remedy() {
    let v = || Chunk::new("a").vector([1.0, 0.0]);
    let long = |n| "x".repeat(n);
    let deep = (0..METADATA_DEPTH_MAX).fold(json!(1), |inner, _| json!([inner]));
    let table: Vec<(Chunk, &str)> = vec![
        (Chunk { id: String::new(), ..v() }, "id is empty; give 1 to 512 bytes"),
        (Chunk { id: long(513), ..v() }, "id has 513 bytes; the limit is 512"),
        (
            Chunk { id: "a\0".into(), ..v() },
            "id holds \\u0000 at byte 1; Postgres cannot store it: remove it",
        ),
        (Chunk::new("a"), "neither a vector nor a text; give at least one"),
        (Chunk::new("a").text(""), "neither a vector nor a text; give at least one"),
        (Chunk::new("a").vector([1.0]), "vector has 1 dimensions; the collection has 2"),
        (Chunk::new("a").vector([1.0, f32::NAN]), "vector[1] is NaN; every element must be finite"),
        (Chunk::new("a").vector([f32::NEG_INFINITY, 0.0]), "vector[0] is -inf; every element must be finite"),
        (Chunk::new("a").vector([0.0, -0.0]), "vector is all zeros and has no direction"),
        (
            Chunk::new("a").vector([1e-16, 0.0]),
            "the minimum for cosine is 1e-30, below which its direction is lost",
        ),
        (Chunk::new("a").vector([1e19, 0.0]), "the limit is 1e37, beyond which distances overflow: scale"),
        (v().text(long(TEXT_BYTES_MAX + 1)), "text has 16777217 bytes; the limit is 16777216: split it"),
        (v().text("x\0"), "text holds \\u0000 at byte 1"),
        (v().document("", 0), "document_id is empty; give 1 to 512 bytes"),
        (v().document("d", 1 << 31), "chunk_index is 2147483648; the limit is 2147483647"),
        (v().tenant(long(600)), "tenant has 600 bytes; the limit is 512"),
        (v().tenant("\0"), "tenant holds \\u0000 at byte 0"),
        (v().embedding_model(""), "embedding_model is empty; give 1 to 512 bytes"),
        (v().meta("k\0", 1), "a metadata key holds \\u0000 at byte 1"),
        (v().meta("k", json!({"x\0": 1})), "a metadata key holds \\u0000 at byte 1"),
        (v().meta("k", json!([["\0"]])), "metadata \"k\" holds \\u0000 at byte 0"),
        (
            v().meta("k", long(METADATA_BYTES_MAX)),
            "metadata has 65544 bytes as canonical JSON; the limit is 65536",
        ),
        (v().meta("k", deep), "metadata is nested deeper than the limit of 32: flatten it"),
    ];
    for (chunk, part) in table {
        let rejection: Rejection = admit(chunk, 2, true).expect_err(part);
        assert!(rejection.reason.contains(part), "{:?} lacks {part:?}", rejection.reason);
        assert_eq!(Error::from(rejection).kind(), ErrorKind::Invalid);
    }
}

#[test]
fn the_limits_themselves_are_admitted() {
    let deep = (1..METADATA_DEPTH_MAX).fold(json!(1), |inner, _| json!([inner]));
    let mut chunk =
        full().meta("deep", deep).text("x".repeat(TEXT_BYTES_MAX)).tenant("t".repeat(ID_BYTES_MAX));
    chunk.id = "i".repeat(ID_BYTES_MAX);
    chunk.chunk_index = CHUNK_INDEX_MAX;
    let rest = METADATA_BYTES_MAX - of_metadata(&chunk.metadata).len() - r#","pad":"""#.len();
    let row = admit(chunk.meta("pad", "x".repeat(rest)), 2, true).unwrap();
    assert_eq!(row.payload.unwrap().metadata.len(), METADATA_BYTES_MAX);

    admit(Chunk::new("a").vector([f32::MIN_POSITIVE, 0.0]), 2, false).expect("only cosine needs a direction");
    admit(Chunk::new("a").text("waits for its vector"), 2, true).unwrap();
}

#[test]
fn chunks_are_json_without_what_is_absent() {
    assert_eq!(serde_json::to_value(Chunk::new("a")).unwrap(), json!({"id": "a", "chunk_index": 0}));
    let text = serde_json::to_string(&full()).unwrap();
    assert_eq!(serde_json::from_str::<Chunk>(&text).unwrap(), full());
    let error = serde_json::from_str::<Chunk>(r#"{"id": "a", "vectors": []}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `vectors`"), "{error}");
    serde_json::from_str::<Chunk>(r#"{"text": "\ud800"}"#).expect_err("a lone surrogate");
}

#[test]
fn canonical_text_is_what_it_has_always_been() {
    let table = [
        (r#"{"b": 1, "a": 2, "aa": 3, "Z": 4}"#, r#"{"Z":4,"a":2,"aa":3,"b":1}"#),
        (r#"{"a": [1.0, 1e0, 10e-1, -0.0, 0]}"#, r#"{"a":[1,1,1,0,0]}"#),
        (
            r#"{"a": [18446744073709551615, -9223372036854775808]}"#,
            r#"{"a":[18446744073709551615,-9223372036854775808]}"#,
        ),
        (
            r#"{"a": [9007199254740993, 1152921504606846976.0]}"#,
            r#"{"a":[9007199254740993,1152921504606846976]}"#,
        ),
        (r#"{"a": [18446744073709551616, 1e20, -1e19]}"#, r#"{"a":[1.8446744073709552e19,1e20,-1e19]}"#),
        (
            r#"{"a": [0.1, 1E-5, 0.000009, 5e-324, 1.7976931348623157e308]}"#,
            r#"{"a":[0.1,0.00001,9e-6,5e-324,1.7976931348623157e308]}"#,
        ),
        (r#"{"a": "\u0001\n\"\\\/\u00e9\u007f"}"#, "{\"a\":\"\\u0001\\u000a\\\"\\\\/\u{e9}\u{7f}\"}"),
        (r#"{"a": [true, false, null, {}, []], "": ""}"#, r#"{"":"","a":[true,false,null,{},[]]}"#),
        (r#"{"a": 1, "a": 2}"#, r#"{"a":2}"#),
        ("{}", ""),
    ];
    for (given, canonical) in table {
        assert_eq!(of_metadata(&parse(given).unwrap()), canonical, "{given}");
    }
}

fn number() -> impl Strategy<Value = Number> {
    let float = prop_oneof![
        prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        (any::<i64>(), 0..40)
            .prop_map(|(n, shift)| n as f64 / f64::from(1 << (shift % 20)) * 2f64.powi(shift)),
    ];
    let edge = prop::sample::select(vec![0i128, 1 << 53, 1 << 60, 1 << 62, 1 << 63, 1 << 64]);
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        float.prop_map(|f| Number::from_f64(f).unwrap()),
        (edge, -3i128..4, any::<bool>(), any::<bool>()).prop_map(|(edge, step, minus, as_float)| {
            let n = if minus { -edge } else { edge } + step;
            match (i64::try_from(n), u64::try_from(n)) {
                (Ok(n), _) if !as_float => n.into(),
                (_, Ok(n)) if !as_float => n.into(),
                _ => Number::from_f64(n as f64).unwrap(),
            }
        }),
    ]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// What jsonb makes of a number: a decimal, printed with all its digits.
fn decimal(n: &str) -> String {
    let (mantissa, exponent) = n.split_once('e').unwrap_or((n, "0"));
    let exponent: i32 = exponent.parse().unwrap();
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = whole.len() as i32 + exponent;
    if point <= 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(-point as usize));
    }
    let point = point as usize;
    let digits = format!("{digits:0<point$}");
    let (whole, fraction) = digits.split_at(point);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// An independent exact comparison: integers as such; a float against an integer by its whole part, then its fraction.
fn compare(a: &Number, b: &Number) -> Ordering {
    let int = |n: &Number| n.as_i64().map(i128::from).or(n.as_u64().map(i128::from));
    let mixed = |i: i128, f: f64| {
        // Beyond 2^100 the float is larger than any integer here, and the cast saturates well above them.
        i.cmp(&(f.trunc() as i128)).then(0.0.partial_cmp(&f.fract()).unwrap())
    };
    match (int(a), int(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => mixed(a, b.as_f64().unwrap()),
        (None, Some(b)) => mixed(b, a.as_f64().unwrap()).reverse(),
        (None, None) => a.as_f64().unwrap().partial_cmp(&b.as_f64().unwrap()).unwrap(),
    }
}

proptest! {
    #[test]
    fn canonical_text_is_a_fixed_point(value in json_value()) {
        let text = to_canonical(&value);
        let again: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(to_canonical(&again), text);
    }

    #[test]
    fn the_order_of_keys_does_not_matter(entries in prop::collection::btree_map(any::<String>(), json_value(), 0..8)) {
        let forward: Map = entries.clone().into_iter().collect();
        let backward: Map = entries.into_iter().rev().collect();
        prop_assert_eq!(of_metadata(&forward), of_metadata(&backward));
    }

    #[test]
    fn a_number_survives_the_database(n in number()) {
        let text = Num::of(&n).unwrap().to_string();
        let stored: Number = serde_json::from_str(&decimal(&text)).unwrap();
        prop_assert_eq!(Num::of(&stored).unwrap().to_string(), text, "{}", stored);
    }

    #[test]
    fn numbers_order_exactly(a in number(), b in number()) {
        let (x, y) = (Num::of(&a).unwrap(), Num::of(&b).unwrap());
        prop_assert_eq!(x.cmp(&y), compare(&a, &b), "{} {}", a, b);
        prop_assert_eq!(x == y, x.to_string() == y.to_string());
        prop_assert_eq!(Num::of(&x.to_number()), Some(x));
    }

    #[test]
    fn whatever_is_admitted_keeps_its_digest(metadata in prop::collection::btree_map("[^\0]*", number(), 0..4)) {
        let metadata: Map = metadata.into_iter().map(|(k, n)| (k, n.into())).collect();
        let row = admit(Chunk::new("a").text("t").metadata(metadata), 2, true).unwrap();
        let again = admit(row.to_chunk(), 2, true).unwrap();
        prop_assert_eq!(&again, &row);
        prop_assert_eq!(digest(&again, 7), digest(&row, 7));
    }
}

fn digest_of(chunk: Chunk) -> u64 {
    digest(&admit(chunk, 2, false).unwrap(), 7)
}

#[test]
fn every_field_changes_the_digest() {
    let id = |id: &str| Chunk { id: id.into(), ..full() };
    let variants = vec![
        full(),
        id("b"),
        full().vector([0.6, 0.800_000_1]),
        Chunk { vector: None, ..full() },
        full().text("hello "),
        full().text(""),
        Chunk { text: None, ..full() },
        full().document("manual", 4),
        full().document("manua", 3),
        Chunk { document_id: None, ..full() },
        full().meta("lang", "de"),
        full().meta("lang", Value::Null),
        full().metadata(Map::new()),
        full().tenant("u"),
        Chunk { tenant: None, ..full() },
        full().embedding_model("n"),
        Chunk { embedding_model: None, ..full() },
        // Moved from one field to the next: only presence and length tell them apart.
        Chunk { tenant: Some("m".into()), embedding_model: Some("t".into()), ..full() },
        Chunk { tenant: None, embedding_model: Some("t".into()), ..full() },
        Chunk { embedding_model: None, ..full().tenant("tm") },
        full().tenant("x\u{1}y").embedding_model("z"),
        full().tenant("x").embedding_model("y\u{1}z"),
        Chunk { id: "ah".into(), text: Some("ello".into()), ..full() },
        Chunk { vector: None, ..id("a\u{1}") },
    ];
    let mut digests: Vec<u64> = variants.iter().cloned().map(digest_of).collect();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), variants.len());
    let row = admit(full(), 2, true).unwrap();
    assert_ne!(digest(&row, 7), digest(&row, 8), "the seed");
}

#[test]
fn equal_rows_have_equal_digests() {
    assert_eq!(digest_of(Chunk::new("a").vector([0.0, 1.0])), digest_of(Chunk::new("a").vector([-0.0, 1.0])));
    assert_eq!(digest_of(full()), digest_of(full().meta("n", 1)));
    let bare = admit(Chunk::new("a").vector([1.0, 0.0]), 2, true).unwrap();
    let boxed = Row { payload: Some(Box::default()), ..bare.clone() };
    assert_eq!(digest(&bare, 7), digest(&boxed, 7), "an empty payload says nothing");
}

/// The encoding once more, assembled by hand and hashed in one go.
#[test]
fn the_encoding_is_presence_length_and_bytes() {
    let mut bytes = Vec::new();
    let mut field = |len: u64, field: &[u8]| {
        bytes.push(1);
        bytes.extend(len.to_le_bytes());
        bytes.extend(field);
    };
    field(1, b"a");
    field(2, &[0x9a, 0x99, 0x19, 0x3f, 0xcd, 0xcc, 0x4c, 0x3f]);
    field(5, b"hello");
    field(19, br#"{"lang":"en","n":1}"#);
    field(6, b"manual");
    bytes.extend([3, 0, 0, 0]);
    bytes.extend([0, 0]);
    let row = admit(Chunk { tenant: None, embedding_model: None, ..full() }, 2, true).unwrap();
    assert_eq!(digest(&row, 7), xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, 7));
}

#[test]
fn digests_are_what_they_have_always_been() {
    let wide = Chunk::new("wide").vector((0..1000).map(|i| i as f32).collect::<Vec<_>>());
    let wide = digest(&admit(wide, 1000, true).unwrap(), 1);
    let digests = [digest_of(full()), digest_of(Chunk::new("a").text("\u{e9}")), wide];
    assert_eq!(digests, [6430305589973695837, 2030892357823840757, 7658744948631364135]);
}

#[test]
fn metadata_of_a_payload_is_an_object_again() {
    let payload = Payload { metadata: r#"{"a":[1,{"b":null}]}"#.into(), ..Payload::default() };
    assert_eq!(payload.metadata_map(), map(json!({"a": [1, {"b": null}]})));
    assert_eq!(Payload::default().metadata_map(), Map::new());
}

fn body_of(row: &Row) -> Vec<u8> {
    let mut body = Vec::new();
    encode_body(row, Ver(-3), 9, &mut body);
    body
}

fn any_row() -> impl Strategy<Value = Row> {
    let name = || prop::option::of("[^\0]{1,20}");
    let texts = (prop::option::of("[^\0]{0,40}"), prop::collection::btree_map("[a-z]{1,3}", number(), 0..3));
    (("[^\0]{1,30}", prop::bool::ANY), texts, (name(), name(), name()), 0..=CHUNK_INDEX_MAX).prop_map(
        |((id, has_vector), (text, metadata), (document_id, tenant, embedding_model), chunk_index)| {
            let has_vector = has_vector || text.as_ref().is_none_or(String::is_empty);
            let vector = has_vector.then(|| vec![1.0, -2.5]);
            let metadata = metadata.into_iter().map(|(k, n)| (k, n.into())).collect();
            let chunk =
                Chunk { id, vector, text, document_id, chunk_index, metadata, tenant, embedding_model };
            admit(chunk, 2, false).unwrap()
        },
    )
}

proptest! {
    #[test]
    fn a_body_reads_back_as_its_row(row in any_row()) {
        let body = body_of(&row);
        let read = RowRef::parse(&body).unwrap();
        prop_assert_eq!(read.to_row(row.vector.clone()), row.clone());
        prop_assert_eq!((read.ver, read.node, read.has_vector), (Ver(-3), 9, row.vector.is_some()));
        let held = RowRef::of(row.id.as_str(), row.payload.as_deref(), Ver(-3));
        prop_assert_eq!(RowRef { node: 9, has_vector: row.vector.is_some(), ..held }, read);
    }

    #[test]
    fn l7_a_damaged_body_is_a_row_or_none(row in any_row()) {
        let body = body_of(&row);
        for len in 0..body.len() {
            prop_assert_eq!(RowRef::parse(&body[..len]), None);
        }
        for bit in 0..body.len() * 8 {
            let mut flipped = body.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // What parses is the one encoding of what it says.
            if let Some(read) = RowRef::parse(&flipped) {
                let mut again = Vec::new();
                read.encode(&mut again);
                prop_assert_eq!(again, flipped);
            }
        }
    }

    #[test]
    fn l7_any_bytes_are_a_row_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        RowRef::parse(&bytes);
    }
}

#[test]
fn a_body_is_what_the_page_says() {
    let body = body_of(&admit(full(), 2, true).unwrap());
    let mut expected = Vec::new();
    expected.extend((-3i64).to_le_bytes());
    expected.extend(9u64.to_le_bytes());
    expected.extend(3u32.to_le_bytes());
    expected.extend([63, 0, 1, 0, 6, 0, 1, 0, 1, 0, 0, 0, 5, 0, 0, 0, 19, 0, 0, 0]);
    expected.extend(br#"amanualtmhello{"lang":"en","n":1}"#);
    assert_eq!(body, expected);
}
