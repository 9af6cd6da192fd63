//! Canonical JSON: one text for all objects that `jsonb` finds equal.
//!
//! Rules: no white space; keys in the order of their UTF-8 bytes (not jsonb's, which puts short keys first: the order
//! must only be fixed, and this one needs no explanation); numbers as [`Num`] writes them, so that `1.0`, `1e0` and `1`
//! are one, and so are `0` and `-0.0`; in strings only `"`, `\` and control characters are escaped. jsonb keeps the last
//! of duplicate keys; so does the parser that made the `Map`.
//!
//! The text survives the database: jsonb holds numbers as decimals, prints them with all digits, and reading those gives
//! the same number again. That needs the exact float parser of serde_json (feature `float_roundtrip`).

use super::num::Num;
use serde_json::Value;
use std::fmt::Write;

/// A JSON object.
pub(crate) type Map = serde_json::Map<String, Value>;

/// The canonical text. Recursive: the caller has bounded the depth.
pub(crate) fn to_canonical(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

/// The canonical text of an object; empty for an empty object.
pub(super) fn of_metadata(map: &Map) -> String {
    let mut out = String::new();
    if !map.is_empty() {
        write_object(map, &mut out);
    }
    out
}

/// The object that canonical text describes; `None` if it is not an object.
pub(super) fn parse(text: &str) -> Option<Map> {
    serde_json::from_str(text).ok()
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        // Writing to a string cannot fail, here and below.
        Value::Number(number) => match Num::of(number) {
            Some(num) => _ = write!(out, "{num}"),
            None => _ = write!(out, "{number}"),
        },
        Value::String(s) => write_string(s, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => write_object(map, out),
    }
}

fn write_object(map: &Map, out: &mut String) {
    // A no-op on serde_json's own map, but a host may switch on `preserve_order`.
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    out.push('{');
    for (i, (key, value)) in entries.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(key, out);
        out.push(':');
        write_value(value, out);
    }
    out.push('}');
}

fn write_string(s: &str, out: &mut String) {
    out.push('"');
    let mut rest = s;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        out.push_str(&rest[..at]);
        let byte = rest.as_bytes()[at];
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            _ => _ = write!(out, "\\u{byte:04x}"),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}
