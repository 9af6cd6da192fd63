//! Removes the files that no kept manifest names.
//!
//! Invariants: manifests go first, durably, and then what only they named, so that no manifest ever names a file that is
//! gone; with no manifest to spare, nothing is removed; nor is a name that is not ours, or in use. The log is not touched.

use super::Manifest;
use super::commit::numbers;
use super::names::{Name, collection_number, manifest_name};
use crate::disk::{Bug, Disk, fault, planted};
use crate::error::Result;
use std::collections::{BTreeSet, HashSet};

/// Removes what none of `keep` names and for which `in_use` is false, and returns it. `in_use` is asked for paths of files,
/// and with a `/` at the end for folders of collections that are not in a manifest yet. The first error ends it: what
/// is left goes the next time.
pub(crate) fn sweep(
    disk: &dyn Disk,
    keep: &[Manifest],
    in_use: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let Some(newest) = keep.iter().map(|m| m.number).max() else { return Ok(Vec::new()) };
    let mut sweeper = Sweeper { disk, in_use, removed: Vec::new() };
    let kept_numbers: BTreeSet<u64> = keep.iter().map(|m| m.number).collect();
    for number in numbers(disk)? {
        if number < newest && !kept_numbers.contains(&number) {
            sweeper.remove(manifest_name(number))?;
        }
    }
    if !sweeper.removed.is_empty() {
        disk.sync_dir("").map_err(|e| fault("sync", "the store's folder", e))?;
    }
    let keep_files = if planted(Bug::SweepNamedFiles) { &[] } else { keep };
    let named: HashSet<String> = keep_files.iter().flat_map(Manifest::paths).collect();
    let alive: BTreeSet<u32> = keep.iter().flat_map(|m| m.collections.iter().map(|c| c.number)).collect();
    for folder in sweeper.list("")? {
        let Some(number) = collection_number(&folder) else { continue };
        sweeper.folder(&folder, &named, alive.contains(&number))?;
    }
    Ok(sweeper.removed)
}

struct Sweeper<'a> {
    disk: &'a dyn Disk,
    in_use: &'a dyn Fn(&str) -> bool,
    removed: Vec<String>,
}

impl Sweeper<'_> {
    /// `folder` ends with `/`.
    fn folder(&mut self, folder: &str, named: &HashSet<String>, is_alive: bool) -> Result<()> {
        let plain = folder.trim_end_matches('/');
        for name in self.list(plain)? {
            let path = format!("{folder}{name}");
            if Name::parse(&name).is_some() && !named.contains(&path) {
                self.remove(path)?;
            }
        }
        if !is_alive && !(self.in_use)(folder) && self.list(plain)?.is_empty() {
            self.disk.remove_dir(plain).map_err(|e| fault("remove", plain, e))?;
            self.removed.push(folder.to_owned());
        }
        Ok(())
    }

    fn remove(&mut self, path: String) -> Result<()> {
        if (self.in_use)(&path) {
            return Ok(());
        }
        self.disk.remove(&path).map_err(|e| fault("remove", &path, e))?;
        self.removed.push(path);
        Ok(())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        self.disk.list(folder).map_err(|e| fault("list", folder, e))
    }
}
