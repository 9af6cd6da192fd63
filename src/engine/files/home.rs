//! Where a store stands on a disk: the folder's lock, its identity, and the manifest that holds.

use super::snapshot;
use crate::disk::{Bug, Disk, Lock, empty_tmp, fault, planted};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{self, Ident, KEPT, Latest, Manifest, manifest_number};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) const LOCK: &str = "LOCK";

pub(crate) struct Home {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) ident: Ident,
    lock: Mutex<Option<Box<dyn Lock>>>,
    /// The manifests that are kept, newest first. Held while the next one is made: there is one checkpoint at a time.
    pub(crate) manifests: Mutex<Vec<Manifest>>,
    /// Held by whoever writes down what was lost.
    pub(crate) repairing: Mutex<()>,
    /// The highest number that a manifest was ever tried with: one whose commit failed may be on the disk.
    number: AtomicU64,
    /// What opening had to say.
    pub(crate) warnings: Vec<String>,
}

impl Home {
    /// Takes the folder, finds the state that holds, and marks it as opened once more, durably.
    pub(crate) fn take(disk: Arc<dyn Disk>) -> Result<Self> {
        disk.make_dir("").map_err(|e| fault("make the folder", &disk.place(), e))?;
        snapshot::check_whole(&*disk)?;
        let lock = lock(&*disk)?;
        let mut warnings = Vec::new();
        if let Some(kind) = disk.remote() {
            warnings.push(format!(
                "{} is on {kind}, a file system over a network: its locks and syncs may promise more than they keep; use a local disk",
                disk.place()
            ));
        }
        let (ident, before, invalid) = match manifest::latest(&*disk)? {
            Latest::Empty => {
                let ident = Ident::random(unix_ms());
                ident.create(&*disk)?;
                (ident, Manifest::new(ident.store), Vec::new())
            }
            Latest::Found { manifest, invalid } => (Ident::read(&*disk)?, *manifest, invalid),
            Latest::Lost { .. } if planted(Bug::EmptyOnLostManifest) => {
                let ident = Ident::random(unix_ms());
                (ident, Manifest::new(ident.store), Vec::new())
            }
            Latest::Lost { why } => return Err(lost(&why)),
        };
        if before.store != ident.store {
            return Err(lost(&format!(
                "the manifests and IDENT of {} are of different stores",
                disk.place()
            )));
        }
        warnings.extend(invalid.iter().map(|(name, why)| format!("{name} is passed over: {why}")));
        let last = invalid.iter().filter_map(|(name, _)| manifest_number(name)).max().unwrap_or(0);
        let mut manifest = before;
        manifest.number = manifest.number.max(last) + 1;
        if !planted(Bug::SkipIncarnation) {
            manifest.incarnation += 1;
        }
        manifest::commit(&*disk, &manifest)?;
        empty_tmp(&*disk);
        let number = AtomicU64::new(manifest.number);
        let manifests = Mutex::new(manifest::kept(&*disk)?);
        Ok(Self {
            disk,
            ident,
            lock: Mutex::new(Some(lock)),
            manifests,
            repairing: Mutex::new(()),
            number,
            warnings,
        })
    }

    /// Others may open the folder from now on.
    pub(crate) fn unlock(&self) {
        *self.lock.lock() = None;
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.lock.lock().is_some()
    }

    /// For the next manifest, and the files that it is the first to name.
    pub(crate) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes `next` the state. Its files are durable.
    pub(crate) fn commit(&self, manifests: &mut Vec<Manifest>, next: Manifest) -> Result<()> {
        manifest::commit(&*self.disk, &next)?;
        manifests.insert(0, next);
        manifests.truncate(KEPT);
        Ok(())
    }
}

pub(crate) fn lock(disk: &dyn Disk) -> Result<Box<dyn Lock>> {
    let note = format!("{}\n", std::process::id());
    match disk.lock(LOCK, &note).map_err(|e| fault("lock", &disk.place(), e))? {
        Ok(lock) => Ok(lock),
        Err(holder) => {
            let holder =
                if holder.is_empty() { "an unknown process".into() } else { format!("process {holder}") };
            let message = format!(
                "{} is open already, by {holder}; close it there, or use another folder",
                disk.place()
            );
            Err(Error::new(ErrorKind::AlreadyOpen, message))
        }
    }
}

fn lost(why: &str) -> Error {
    let message = format!(
        "{why}. Nothing was changed: run `nearfield doctor`, restore a snapshot, or move the folder away and rebuild"
    );
    Error::new(ErrorKind::Corrupt, message)
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
