//! Which files of a folder are meant, and what they are called.
//!
//! A file is called by its path from the place that documents are named from, with `/` between names: that is its document's id, so
//! it is the same on every run and in every folder that is added. Invariants: links are not followed (they lead round in circles); a
//! folder that is a store is not part of any; the order is the same each time; what is left out is told with the reason, unless
//! rules leave it out.

use super::extract::Content;
use super::kind::Kind;
use crate::error::{Error, ErrorKind, Result};
use ignore::WalkBuilder;
use ignore::overrides::{Override, OverrideBuilder};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Rules of a folder beside `.gitignore` and `.ignore`, in the same words.
const RULES: &str = ".nearfieldignore";
/// A file that is found in the folder of a store.
const STORE: &str = "IDENT";
/// Bytes of a file of an unknown kind that are looked at.
const SAMPLE: u64 = 8_192;

/// Which files of a folder are documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderOptions {
    /// Only files that one of these patterns names, in the words of `.gitignore`. Default: all.
    pub include: Vec<String>,
    /// Not those that one of these names. Default: none.
    pub exclude: Vec<String>,
    /// Files and folders whose names begin with a dot, too. Default: false.
    pub hidden: bool,
    /// Whether `.gitignore`, `.ignore` and `.nearfieldignore` leave files out. Default: true.
    pub ignore_files: bool,
    /// Larger files are left out. Default: 64 MiB.
    pub file_bytes_max: u64,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self {
            include: Vec::new(),
            exclude: Vec::new(),
            hidden: false,
            ignore_files: true,
            file_bytes_max: 64 << 20,
        }
    }
}

/// A file that is a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FoundFile {
    /// Its document's id.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

/// The files of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Those that are documents, by name.
    pub files: Vec<FoundFile>,
    /// Those that are not, each with the reason.
    pub left_out: Vec<(String, String)>,
}

impl FoundFile {
    /// Its bytes.
    pub fn read(&self) -> Result<Content> {
        let bytes = fs::read(&self.path).map_err(|e| {
            let kind = if e.kind() == std::io::ErrorKind::NotFound {
                ErrorKind::NotFound
            } else {
                ErrorKind::Unavailable
            };
            Error::new(kind, format!("{} cannot be read", self.path.display())).with_source(e)
        })?;
        Ok(Content::file(&self.name, bytes))
    }
}

/// The documents that `path`, a file or a folder, is or holds; named from `base`, or as absolute paths beyond it.
pub fn find_files(path: &Path, base: &Path, options: &FolderOptions) -> Result<Found> {
    let absolute = |path: &Path| {
        fs::canonicalize(path).map_err(|e| {
            Error::new(ErrorKind::NotFound, format!("{} cannot be looked at", path.display())).with_source(e)
        })
    };
    let (path, base) = (absolute(path)?, absolute(base)?);
    let mut found = Found::default();
    if path.is_file() {
        let file = FoundFile { name: name(&path, &base), path };
        take(file, options, &mut found);
        return Ok(found);
    }
    // Asked after all rules, which would otherwise leave nothing out that a pattern names.
    let include = rules(&path, options.include.iter().cloned())?;
    let mut walk = WalkBuilder::new(&path);
    walk.standard_filters(options.ignore_files)
        .hidden(!options.hidden)
        .require_git(false)
        .follow_links(false)
        .overrides(rules(&path, options.exclude.iter().map(|pattern| format!("!{pattern}")))?)
        .sort_by_file_name(Ord::cmp)
        // The folder that was named is meant, whatever it holds.
        .filter_entry(|entry| entry.depth() == 0 || !entry.path().join(STORE).is_file());
    if options.ignore_files {
        walk.add_custom_ignore_filename(RULES);
    }
    for entry in walk.build() {
        match entry {
            Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                let path = entry.into_path();
                if include.matched(&path, false).is_ignore() {
                    continue;
                }
                take(FoundFile { name: name(&path, &base), path }, options, &mut found);
            }
            Ok(_) => {}
            Err(e) => found.left_out.push((path.display().to_string(), e.to_string())),
        }
    }
    found.files.sort();
    Ok(found)
}

/// A file that is gone: neither a file of this name nor anything else is there.
pub(crate) fn is_gone(name: &str, base: &Path) -> bool {
    fs::symlink_metadata(base.join(name)).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
}

/// What documents below `path` are called begins with this.
pub(crate) fn names_below(path: &Path, base: &Path) -> Result<String> {
    let found = fs::canonicalize(path).and_then(|path| Ok((path, fs::canonicalize(base)?)));
    let (path, base) = found.map_err(|e| {
        Error::new(ErrorKind::NotFound, format!("{} cannot be looked at", path.display())).with_source(e)
    })?;
    let name = name(&path, &base);
    Ok(if name.is_empty() || path.is_file() { name } else { format!("{name}/") })
}

fn name(path: &Path, base: &Path) -> String {
    path.strip_prefix(base).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

fn rules(root: &Path, patterns: impl Iterator<Item = String>) -> Result<Override> {
    let mut rules = OverrideBuilder::new(root);
    let wrong = |pattern: &str, e: ignore::Error| {
        Error::invalid(format!("{pattern:?} is no pattern of files; write it as in .gitignore"))
            .with_source(e)
    };
    for pattern in patterns {
        rules.add(&pattern).map_err(|e| wrong(&pattern, e))?;
    }
    rules.build().map_err(|e| wrong("the list", e))
}

fn take(file: FoundFile, options: &FolderOptions, found: &mut Found) {
    match unfit(&file, options) {
        Some(why) => found.left_out.push((file.name, why)),
        None => found.files.push(file),
    }
}

/// Why a file is no document, as far as can be told without reading all of it.
fn unfit(file: &FoundFile, options: &FolderOptions) -> Option<String> {
    let bytes = match fs::metadata(&file.path) {
        Ok(about) => about.len(),
        Err(e) => return Some(format!("it cannot be read: {e}")),
    };
    if bytes > options.file_bytes_max {
        return Some(format!("it has {bytes} bytes, more than {}", options.file_bytes_max));
    }
    if Kind::of_name(&file.name).is_some() {
        return None;
    }
    let mut start = Vec::new();
    let read = fs::File::open(&file.path).and_then(|open| open.take(SAMPLE).read_to_end(&mut start));
    match read {
        Err(e) => Some(format!("it cannot be read: {e}")),
        Ok(_) if Kind::of(&file.name, &start) == Kind::Pdf => None,
        Ok(_) => super::decode::decode(&start).err().map(|_| "it is binary".to_owned()),
    }
}
