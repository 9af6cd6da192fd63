//! JSON lines: line i belongs to row i; fields that nobody asks for are passed over.

use super::Parsed;
use crate::import::Lines;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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
pub(super) fn read(input: Lines, rows: usize) -> Parsed<Vec<Map<String, Value>>> {
    lines::<Line>(input, rows).map(|lines| lines.into_iter().map(|line| line.metadata).collect())
}

/// Reads `rows` lines. Blank lines at the end are allowed, blank lines between are not: they would shift rows.
pub(super) fn lines<T: DeserializeOwned>(mut input: Lines, rows: usize) -> Parsed<Vec<T>> {
    let mut found = Vec::new();
    let mut number = 0;
    while let Some(line) = input.next()? {
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        if found.len() + 1 < number {
            return Err(format!("line {number} follows a blank line; line i must belong to row i"));
        }
        found.push(serde_json::from_slice(line).map_err(|e| format!("line {number}: {e}"))?);
    }
    if found.len() != rows {
        return Err(format!("has {} lines, but the base has {rows} rows", found.len()));
    }
    Ok(found)
}
