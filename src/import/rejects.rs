//! Rows that are not stored: counted, the first of them kept for the report, all of them listed in a file if one is named.

use super::source::Place;
use crate::error::{Error, ErrorKind, Result};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Kept for the report.
const SHOWN: usize = 10;

/// A row, and why it is not stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Reject {
    /// Where it stands.
    pub(crate) place: String,
    /// Its id, if that could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) reason: String,
}

pub(crate) struct Rejects {
    pub(crate) count: u64,
    pub(crate) first: Vec<Reject>,
    max: u64,
    file: Option<(PathBuf, BufWriter<File>)>,
}

impl Rejects {
    /// More than `max` end an import.
    pub(crate) fn new(max: u64, path: Option<&Path>) -> Result<Self> {
        let open = |path: &Path| {
            let file = File::create(path).map_err(|e| failed(path, e))?;
            Ok::<_, Error>((path.to_owned(), BufWriter::new(file)))
        };
        Ok(Self { count: 0, first: Vec::new(), max, file: path.map(open).transpose()? })
    }

    pub(crate) fn add(&mut self, place: Place, id: Option<&str>, reason: String) -> Result<()> {
        let reject = Reject { place: place.to_string(), id: id.map(crate::error::excerpt), reason };
        self.count += 1;
        if let Some((path, file)) = &mut self.file {
            let line = serde_json::to_string(&reject).unwrap_or_default();
            writeln!(file, "{line}").map_err(|e| failed(path, e))?;
        }
        if self.first.len() < SHOWN {
            self.first.push(reject);
        }
        Ok(())
    }

    /// Writes what is buffered, and refuses to go on if there are too many.
    pub(crate) fn judge(&mut self) -> Result<()> {
        if let Some((path, file)) = &mut self.file {
            file.flush().map_err(|e| failed(path, e))?;
        }
        let (count, max) = (self.count, self.max);
        if count <= max {
            return Ok(());
        }
        let mut message = format!(
            "{count} rows cannot be stored, and --max-rejects allows {max}; nothing was changed. Mend the file, or raise the limit \
             to leave them out"
        );
        for Reject { place, id, reason } in &self.first {
            let id = id.as_ref().map_or(String::new(), |id| format!(", id {id}"));
            message += &format!("\n  {place}{id}: {reason}");
        }
        if count > self.first.len() as u64 {
            message += "\n  ... (--rejects FILE lists all)";
        }
        Err(Error::invalid(message))
    }

    /// Whether going on can only end in a refusal.
    pub(crate) fn is_over(&self) -> bool {
        // Enough of them are read to be listed, and all of them if somebody wants the list.
        self.file.is_none() && self.count > self.max && self.first.len() >= SHOWN
    }
}

fn failed(path: &Path, cause: std::io::Error) -> Error {
    let message = format!("{} cannot be written; name another file with --rejects", path.display());
    Error::new(ErrorKind::Unavailable, message).with_source(cause)
}
