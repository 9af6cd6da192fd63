//! Metadata from JSON lines: the field `metadata` of line i belongs to row i; the other fields are passed over.

use super::Parsed;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::io::BufRead;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// Reads the metadata of `rows` rows. Blank lines at the end are allowed, blank lines between are not: they would shift rows.
pub(super) fn read(input: impl BufRead, rows: usize) -> Parsed<Vec<Map<String, Value>>> {
    let mut found = Vec::new();
    for (i, line) in input.lines().enumerate() {
        let line = line.map_err(|e| format!("line {}: {e} (a .zst file must be unpacked first)", i + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        if found.len() < i {
            return Err(format!("line {} follows a blank line; line i must belong to row i", i + 1));
        }
        let line: Line = serde_json::from_str(&line).map_err(|e| format!("line {}: {e}", i + 1))?;
        found.push(line.metadata);
    }
    if found.len() != rows {
        return Err(format!("has {} lines, but the base has {rows} rows", found.len()));
    }
    Ok(found)
}
