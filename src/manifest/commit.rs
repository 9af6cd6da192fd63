//! Publishes a manifest, and finds the one that holds.
//!
//! Invariant: a manifest has its name only when it and every file it names are durable (the latter is the caller's part); so
//! a torn or lost newest manifest leaves the one before, and never half a state.

use super::format::{FORMAT, MANIFEST_BYTES_MAX, MANIFEST_MAGIC};
use super::names::{WAL, collection_number, manifest_name, manifest_number};
use super::{Manifest, check};
use crate::disk::{Bug, Disk, damaged, fault, planted, read_envelope, write_envelope};
use crate::error::{Error, ErrorKind, Result};

/// How many manifests are kept: the newest, and those to fall back to.
pub(crate) const KEPT: usize = 3;

/// What a store's folder says about its state.
#[derive(Debug)]
pub(crate) enum Latest {
    /// A new store: there is nothing but perhaps an IDENT from a creation that was cut short.
    Empty,
    /// The newest valid manifest, and the newer ones that are not, each with the reason.
    Found { manifest: Box<Manifest>, invalid: Vec<(String, String)> },
    /// There is data, and no manifest to read it by.
    Lost { why: String },
}

/// Finds the state. A manifest of a newer format is an error: nothing older is taken for it.
pub(crate) fn latest(disk: &dyn Disk) -> Result<Latest> {
    let mut invalid = Vec::new();
    let mut numbers = numbers(disk)?;
    if !planted(Bug::LowestManifestWins) {
        numbers.reverse();
    }
    for number in numbers {
        match read(disk, number) {
            Ok(manifest) => return Ok(Latest::Found { manifest: Box::new(manifest), invalid }),
            Err(e) if e.kind() == ErrorKind::Corrupt => invalid.push((manifest_name(number), e.to_string())),
            Err(e) => return Err(e),
        }
    }
    let data = data(disk)?;
    if invalid.is_empty() && data.is_empty() {
        return Ok(Latest::Empty);
    }
    let reasons: Vec<&str> = invalid.iter().map(|(_, why)| why.as_str()).collect();
    let found = if data.is_empty() { String::new() } else { format!("; it has {}", data.join(", ")) };
    let why = match reasons.is_empty() {
        true => format!("{} has no manifest{found}", disk.place()),
        false => format!("{} has no manifest that can be read{found}: {}", disk.place(), reasons.join("; ")),
    };
    Ok(Latest::Lost { why })
}

/// The newest valid manifests, newest first, as many as are kept: what a sweep must spare.
pub(crate) fn kept(disk: &dyn Disk) -> Result<Vec<Manifest>> {
    let mut kept = Vec::new();
    for number in numbers(disk)?.into_iter().rev() {
        match read(disk, number) {
            Ok(manifest) => kept.push(manifest),
            Err(e) if e.kind() == ErrorKind::Corrupt => {}
            Err(e) => return Err(e),
        }
        if kept.len() == KEPT {
            break;
        }
    }
    Ok(kept)
}

/// Makes `manifest` the state. Its number is higher than any before; its files are durable.
pub(crate) fn commit(disk: &dyn Disk, manifest: &Manifest) -> Result<()> {
    let number = manifest.number;
    let refused = |why: String| {
        let message = format!("manifest {number} cannot be committed: {why}; please report this");
        Error::new(ErrorKind::Internal, message)
    };
    check::check(manifest, number).map_err(refused)?;
    if let Some(last) = numbers(disk)?.last().filter(|last| **last >= number) {
        return Err(refused(format!("there is {last} already")));
    }
    let body = serde_json::to_vec(manifest).map_err(|e| refused("it is no JSON".into()).with_source(e))?;
    if body.len() > MANIFEST_BYTES_MAX {
        return Err(refused(format!("it has {} bytes, more than {MANIFEST_BYTES_MAX}", body.len())));
    }
    write_envelope(disk, &manifest_name(number), MANIFEST_MAGIC, FORMAT, &body)?;
    disk.sync_dir("").map_err(|e| fault("sync", "the store's folder", e))
}

/// Numbers of all manifests, valid or not, ascending.
pub(crate) fn numbers(disk: &dyn Disk) -> Result<Vec<u64>> {
    let names = disk.list("").map_err(|e| fault("list", "the store's folder", e))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| manifest_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// One manifest, checked.
pub(crate) fn read(disk: &dyn Disk, number: u64) -> Result<Manifest> {
    let path = manifest_name(number);
    let (_, body) = read_envelope(disk, &path, MANIFEST_MAGIC, FORMAT, MANIFEST_BYTES_MAX)?;
    let manifest: Manifest =
        serde_json::from_slice(&body).map_err(|e| damaged(&path, 0, "it cannot be read").with_source(e))?;
    check::check(&manifest, number).map_err(|why| damaged(&path, 0, why))?;
    if let Some(c) = manifest.collections.iter().find(|c| check::needs_feature(c)) {
        let message = format!(
            "collection {} was made with graph {}; open the store with a build that has the feature `hnsw-rs`",
            c.name, c.schema.graph
        );
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(manifest)
}

/// Folders that hold data: those of collections and the log.
fn data(disk: &dyn Disk) -> Result<Vec<String>> {
    let names = disk.list("").map_err(|e| fault("list", "the store's folder", e))?;
    let mut data = Vec::new();
    for name in names {
        let folder = name.trim_end_matches('/');
        let is_ours = collection_number(&name).is_some() || (folder == WAL && folder != name);
        if is_ours && !disk.list(folder).map_err(|e| fault("list", folder, e))?.is_empty() {
            data.push(folder.to_owned());
        }
    }
    Ok(data)
}
