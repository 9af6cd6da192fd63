//! The files of a model's folder, each with a limit of its own, and the folder's name.

use crate::error::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

/// `what` is wrong with a file.
pub(super) fn bad(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::invalid(format!("{}: {what}", path.display()))
}

/// A regular file, and its bytes.
pub(super) fn regular(path: &Path) -> Result<(File, u64)> {
    let cannot = |e: std::io::Error| {
        let kind = match e.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        Error::new(kind, format!("{} cannot be read", path.display())).with_source(e)
    };
    // Before it is opened: a pipe is opened only when somebody writes.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(bad(path, "not a regular file"));
    }
    let file = File::open(path).map_err(cannot)?;
    let len = file.metadata().map_err(cannot)?.len();
    Ok((file, len))
}

/// All of a file that has at most `max` bytes.
pub(super) fn whole(path: &Path, max: u64) -> Result<Vec<u8>> {
    let (file, len) = regular(path)?;
    let mut bytes = Vec::new();
    // It may have grown since its length was asked for.
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| bad(path, e))?;
    if bytes.len() as u64 > max {
        return Err(bad(path, format!("has {} bytes; {max} are read at most", len.max(bytes.len() as u64))));
    }
    Ok(bytes)
}

/// A file of JSON.
pub(super) fn json<T: DeserializeOwned>(path: &Path, max: u64) -> Result<T> {
    serde_json::from_slice(&whole(path, max)?).map_err(|e| bad(path, e))
}

/// The same, or nothing if there is no such file.
pub(super) fn json_if_there<T: DeserializeOwned>(path: &Path, max: u64) -> Result<Option<T>> {
    match json(path, max) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Whether a path stays inside of the folder that it is joined to.
pub(super) fn is_inside(path: &str) -> bool {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

/// What a folder is called; of `.` and the like, what it is called where it lies.
pub(super) fn name(folder: &Path) -> String {
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = folder.file_name().and_then(|_| name(folder)).or_else(|| name(&real)).unwrap_or_default();
    let mut short: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    if short.is_empty() {
        short.push_str("model");
    }
    short
}
