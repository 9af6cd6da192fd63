//! A folder and a collection made equal, again and again.
//!
//! Invariants: a pass looks at all names, their times and sizes, so that it does not matter what anybody was told of changes; what
//! looks as it did is not read, unless it was written so lately that its time may hide another write; what is read and has not changed is
//! not embedded (`document.rs`); a document goes when its file does, and only if it came from a file.

use super::document::{DocumentReport, Documents};
use super::folder::{FolderOptions, find_files, is_gone, names_below};
use crate::engine::Collection;
use crate::error::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Documents in one look at the collection.
const PAGE: usize = 1_000;
/// Two writes within this may leave the same time.
const HIDDEN: Duration = Duration::from_secs(2);

/// What one pass has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FollowReport {
    /// Files that are documents.
    pub files: usize,
    /// Those that were read.
    pub read: usize,
    /// Documents that were new or have changed.
    pub stored: usize,
    /// Documents that were removed, because their files are gone.
    pub removed: usize,
    /// Chunks that were embedded.
    pub embedded: usize,
    /// Files that could not be added, and why.
    pub failed: BTreeMap<String, String>,
    /// Some files were written so lately that another look is needed soon.
    pub again: bool,
}

/// How a file looked.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    bytes: u64,
}

/// Remembers how the files of a folder looked.
pub struct Follow {
    root: PathBuf,
    base: PathBuf,
    options: FolderOptions,
    seen: HashMap<String, Look>,
    failed: BTreeMap<String, String>,
}

impl Follow {
    /// The folder `root`, its documents named by their paths from `base`. Nothing was looked at yet.
    pub fn new(root: impl Into<PathBuf>, base: impl Into<PathBuf>, options: FolderOptions) -> Self {
        let (seen, failed) = (HashMap::new(), BTreeMap::new());
        Self { root: root.into(), base: base.into(), options, seen, failed }
    }

    /// Makes the collection equal to the folder. An error is everyone's: the folder cannot be looked at, nothing can be written, or
    /// nobody embeds; the next pass goes on.
    pub fn pass(&mut self, documents: &Documents<'_>) -> Result<FollowReport> {
        let found = find_files(&self.root, &self.base, &self.options)?;
        let mut report = FollowReport { files: found.files.len(), ..FollowReport::default() };
        let mut there = HashMap::new();
        for file in found.files {
            let Ok(about) = fs::metadata(&file.path) else { continue };
            let look = Look { modified: about.modified().ok(), bytes: about.len() };
            // Of a clock that was set back nothing can be told, either.
            let age = look.modified.and_then(|then| SystemTime::now().duration_since(then).ok());
            let is_fresh = age.is_none_or(|age| age < HIDDEN);
            report.again |= is_fresh;
            if self.seen.get(&file.name) == Some(&look) {
                there.insert(file.name, look);
                continue;
            }
            report.read += 1;
            let about = json!({"path": file.name}).as_object().cloned().unwrap_or_default();
            match file.read().and_then(|content| documents.store(&file.name, &content, about)) {
                Ok(DocumentReport { added, changed, removed, embedded, .. }) => {
                    report.stored += usize::from(added + changed + removed + embedded > 0);
                    report.embedded += embedded;
                    self.failed.remove(&file.name);
                }
                // It went meanwhile.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) if is_of_file(&e) => _ = self.failed.insert(file.name.clone(), e.to_string()),
                Err(e) => return Err(e),
            }
            if !is_fresh {
                there.insert(file.name, look);
            }
        }
        self.seen = there;
        self.failed.retain(|name, _| !is_gone(name, &self.base));
        report.failed = self.failed.clone();
        report.removed = remove_gone(documents.collection(), &self.root, &self.base, false)?;
        Ok(report)
    }
}

/// Whether an error of a document is about its file alone.
pub(crate) fn is_of_file(error: &Error) -> bool {
    let is_io = std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>());
    error.kind() == ErrorKind::Invalid || is_io && error.message().ends_with("cannot be read")
}

/// Removes the documents below `path` whose files are gone; says how many there are. `dry` only counts them.
pub(crate) fn remove_gone(docs: &Collection, path: &Path, base: &Path, dry: bool) -> Result<usize> {
    let below = names_below(path, base)?;
    let (mut gone, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = docs.documents(after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.document_id.clone());
        for document in page {
            let id = document.document_id;
            if id.starts_with(&below) && is_gone(&id, base) && came_from_file(docs, &id)? {
                gone.push(id);
            }
        }
    }
    if !dry {
        gone.iter().try_for_each(|id| docs.delete_document(id).map(drop))?;
    }
    Ok(gone.len())
}

/// Others are none of a folder's business.
fn came_from_file(docs: &Collection, id: &str) -> Result<bool> {
    let first = docs.get(&format!("{id}#0"))?;
    Ok(first.is_some_and(|chunk| chunk.metadata.get("path").and_then(|path| path.as_str()) == Some(id)))
}
