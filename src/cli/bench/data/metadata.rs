//! JSON lines: line i belongs to row i; fields that nobody asks for are passed over.

use super::Parsed;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::io::BufRead;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// What can be stored beside a vector.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(in crate::cli::bench) struct Doc {
    pub(in crate::cli::bench) id: Option<String>,
    pub(in crate::cli::bench) document_id: Option<String>,
    pub(in crate::cli::bench) text: Option<String>,
    #[serde(default)]
    pub(in crate::cli::bench) metadata: Map<String, Value>,
}

/// Reads the metadata of `rows` rows.
pub(super) fn read(input: impl BufRead, rows: usize) -> Parsed<Vec<Map<String, Value>>> {
    lines::<Line>(input, rows).map(|lines| lines.into_iter().map(|line| line.metadata).collect())
}

/// Reads `rows` lines. Blank lines at the end are allowed, blank lines between are not: they would shift rows.
pub(super) fn lines<T: DeserializeOwned>(input: impl BufRead, rows: usize) -> Parsed<Vec<T>> {
    let mut found = Vec::new();
    for (i, line) in input.lines().enumerate() {
        let line = line.map_err(|e| format!("line {}: {e} (a .zst file must be unpacked first)", i + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        if found.len() < i {
            return Err(format!("line {} follows a blank line; line i must belong to row i", i + 1));
        }
        found.push(serde_json::from_str(&line).map_err(|e| format!("line {}: {e}", i + 1))?);
    }
    if found.len() != rows {
        return Err(format!("has {} lines, but the base has {rows} rows", found.len()));
    }
    Ok(found)
}
