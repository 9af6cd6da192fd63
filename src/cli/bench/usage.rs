//! Bytes of a store's files, by kind.

use crate::{Error, ErrorKind, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

/// Bytes by kind of file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Usage {
    pub(super) bytes: u64,
    pub(super) bytes_per_row: f64,
    pub(super) bytes_per_row_by_kind: BTreeMap<&'static str, f64>,
}

/// Every file below the folder. Lengths, not blocks: what is preallocated counts.
pub(super) fn of(folder: &Path) -> Result<Usage> {
    let mut usage = Usage::default();
    usage.add(folder).map_err(|e| {
        Error::new(ErrorKind::Unavailable, format!("{} cannot be measured", folder.display())).with_source(e)
    })?;
    Ok(usage)
}

impl Usage {
    fn add(&mut self, folder: &Path) -> std::io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let (path, about) = entry.and_then(|e| Ok((e.path(), e.metadata()?)))?;
            if about.is_dir() {
                self.add(&path)?;
                continue;
            }
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            self.bytes += about.len();
            *self.bytes_per_row_by_kind.entry(kind(name)).or_default() += about.len() as f64;
        }
        Ok(())
    }

    /// Divides by so many rows.
    pub(super) fn per(&mut self, rows: usize) {
        let rows = rows.max(1) as f64;
        self.bytes_per_row = self.bytes as f64 / rows;
        self.bytes_per_row_by_kind.values_mut().for_each(|bytes| *bytes /= rows);
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.bytes_per_row_by_kind.iter().filter(|(_, bytes)| **bytes >= 0.05);
        let parts: Vec<String> = parts.map(|(name, bytes)| format!("{name} {bytes:.1}")).collect();
        write!(f, "{:.1} bytes a row ({})", self.bytes_per_row, parts.join(", "))
    }
}

fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "rows")) => "rows",
        Some((_, "codes")) => "codes",
        Some((_, "wal")) => "log",
        _ if name.starts_with("links-") => "links",
        _ if name.starts_with("sets-") => "sets",
        _ if name.starts_with("manifest-") => "manifests",
        _ => "other",
    }
}
