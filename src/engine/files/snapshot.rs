//! A second store from the files of one state: a snapshot of a living store, and a store from a snapshot.
//!
//! Invariants: a copy holds every commit up to one seq, and none after; the file `PARTIAL` stands in its folder from before its
//! first file until all of it is durable, and no folder with that file is opened or copied from; files are shared by hard links
//! where the disk can, which is safe because no store ever changes a file that a manifest names (L13).
//!
//! A copy is a store of its own, by a new `store` and a new `node`: it may live beside its original, and from the first commit of
//! either on both say different things under the same seqs. What it keeps is `id_seed`, which is in its files, and in its manifest
//! whose rows those are that say they are of this store. A copy of a store with a mirror is attached to a database too and keeps what
//! is dirty and buried, but remembers nothing of that database: its mirror begins anew, under its own node.

use super::checkpoint::Scope;
use super::home::{self, unix_ms};
use crate::disk::{Disk, Lock, RealDisk, TMP, fault, verify_envelope, verify_sections};
use crate::engine::store::Store;
use crate::engine::write::upsert::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{
    self, Bond, CollectionEntry, FileEntry, IDENT, Ident, Latest, MIRROR, Manifest, Name, Origin, PARTIAL,
    collection_folder,
};
use crate::wal;
use serde::Serialize;
use std::cell::Cell;
use std::path::{Path, PathBuf};

/// What a snapshot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SnapshotReport {
    /// Its last commit: everything up to it is in the snapshot, and nothing after it.
    pub token: Token,
    /// Collections.
    pub collections: usize,
    /// Files of rows and of what is derived from them.
    pub files: usize,
    /// Their bytes. On the disk of the store they take no room of their own, until the store drops them.
    pub bytes: u64,
}

impl SnapshotReport {
    fn of(manifest: &Manifest) -> Self {
        let files = || manifest.collections.iter().flat_map(CollectionEntry::files);
        Self {
            token: Token { incarnation: manifest.incarnation, seq: manifest.seq },
            collections: manifest.collections.len(),
            files: files().count(),
            bytes: files().map(|file| file.len).sum(),
        }
    }
}

impl Store {
    /// Copies the store into `folder`, which must be empty or not there, while writes and searches go on. The copy has every
    /// write that was acknowledged before this call, and perhaps some that came during it: all up to the token of the report.
    ///
    /// It is a [`Self::checkpoint`] whose files get a second name: on the disk of the store it takes milliseconds beyond the
    /// checkpoint and next to no room, on another disk the files are copied. A snapshot that was cut short is never taken for a
    /// whole one: its folder is refused by name until it is removed.
    ///
    /// The folder is a store of its own, with an identity of its own: [`Self::open`] opens it in place, [`Self::restore`] makes any
    /// number of stores from it. Neither can change the original.
    pub fn snapshot(&self, folder: impl AsRef<Path>) -> Result<SnapshotReport> {
        let shared = &self.alive.shared;
        let Some(home) = &shared.home else {
            return Err(Error::invalid(
                "a store in memory has no files to take a snapshot of; make it with Store::open",
            ));
        };
        if !home.is_locked() {
            return Err(Error::new(ErrorKind::Closed, "the store was closed; open it again for a snapshot"));
        }
        let target = Target::begin(folder.as_ref())?;
        // Held until all is shared: no checkpoint and no sweep meanwhile.
        let mut manifests = home.manifests.lock();
        let shared_out = shared.checkpoint_of(home, &mut manifests, Scope::Whole, &|_| {}).and_then(|()| {
            let bond = shared.line.tie().is_attached().then(Bond::default);
            target.fill(&*home.disk, &home.ident, &manifests[0], bond)
        });
        target.done(shared_out, &manifests[0])?;
        Ok(SnapshotReport::of(&manifests[0]))
    }

    /// Makes a store in `folder`, which must be empty or not there, from a snapshot. Every byte of the snapshot is verified first:
    /// one that is damaged is refused, and nothing is made of it. [`Self::open`] opens the new store.
    ///
    /// Files are shared with the snapshot where both are on one disk. The new store has an identity of its own.
    pub fn restore(snapshot: impl AsRef<Path>, folder: impl AsRef<Path>) -> Result<SnapshotReport> {
        Self::restore_with(snapshot, folder, &|_, _| {})
    }

    /// The same; `progress` hears how many bytes of how many are verified.
    pub fn restore_with(
        snapshot: impl AsRef<Path>,
        folder: impl AsRef<Path>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<SnapshotReport> {
        let from = RealDisk::new(snapshot.as_ref());
        let _unopened = closed(&from)?;
        let refused = |e: Error| {
            let message = format!("{} cannot be restored; use another snapshot", from.place());
            Error::new(e.kind(), message).with_source(e)
        };
        let (ident, manifest) = state(&from)?;
        let bond = Bond::read(&from).map_err(refused)?.map(|_| Bond::default());
        // Before the long part.
        let target = Target::begin(folder.as_ref())?;
        let filled = verify(&from, &manifest, progress)
            .map_err(refused)
            .and_then(|()| target.fill(&from, &ident, &manifest, bond));
        target.done(filled, &manifest)?;
        Ok(SnapshotReport::of(&manifest))
    }
}

/// Refuses the folder of a copy that was cut short.
pub(crate) fn check_whole(disk: &dyn Disk) -> Result<()> {
    match disk.len(PARTIAL) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(fault("look for", PARTIAL, e)),
        Ok(_) => Err(partial(&disk.place())),
    }
}

fn partial(place: &str) -> Error {
    let message = format!(
        "{place} holds {PARTIAL}: a snapshot or a restoration into it is under way or was cut short; if nobody is at it, remove the \
         folder and make it again"
    );
    Error::new(ErrorKind::Conflict, message)
}

/// Makes sure that nobody has the source open. A folder without a lock was never opened.
fn closed(from: &dyn Disk) -> Result<Option<Box<dyn Lock>>> {
    match from.len(home::LOCK) {
        Ok(_) => home::lock(from).map(Some),
        Err(_) => Ok(None),
    }
}

/// Identity and state of a snapshot.
fn state(from: &dyn Disk) -> Result<(Ident, Manifest)> {
    let place = from.place();
    check_whole(from)?;
    let (manifest, invalid) = match manifest::latest(from)? {
        Latest::Found { manifest, invalid } => (*manifest, invalid),
        Latest::Empty => {
            let message = format!("{place} holds no snapshot; name the folder that one was made in");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        Latest::Lost { why } => {
            let message = format!("{why}: it cannot be restored; use another snapshot");
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
    };
    let damaged = |why: String| {
        Error::new(ErrorKind::Corrupt, format!("{place} cannot be restored: {why}; use another snapshot"))
    };
    if let Some((_, why)) = invalid.into_iter().next() {
        return Err(damaged(why));
    }
    let ident = Ident::read(from).map_err(|e| damaged(e.to_string()))?;
    if ident.store != manifest.store {
        return Err(damaged(format!("{IDENT} and the manifest are of different stores")));
    }
    let mut commits = 0;
    let scan = wal::scan(from, ident.store, manifest.replay_from, manifest.seq, &mut |_, _, _| {
        commits += 1;
        Ok(())
    })?;
    if commits > 0 || !scan.holes.is_empty() || !scan.damage.is_empty() {
        let message = format!(
            "{place} is a store that was written to, not a snapshot; make a snapshot of it (Store::snapshot, or `nearfield snapshot \
             create --data`) and restore that"
        );
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok((ident, manifest))
}

/// Reads every file that the manifest names.
fn verify(from: &dyn Disk, manifest: &Manifest, progress: &dyn Fn(u64, u64)) -> Result<()> {
    let total = SnapshotReport::of(manifest).bytes;
    let done = Cell::new(0);
    let pace = |bytes: usize| {
        done.set(done.get() + bytes as u64);
        progress(done.get(), total);
    };
    for entry in &manifest.collections {
        for file in entry.files() {
            let verify = if is_envelope(file) { verify_envelope } else { verify_sections };
            verify(from, &entry.path(file), &file.named(), &pace)?;
        }
    }
    Ok(())
}

fn is_envelope(file: &FileEntry) -> bool {
    matches!(Name::parse(&file.name), Some(Name::Sets(_)))
}

/// A new identity for the same rows.
fn of_its_own(ident: &Ident, manifest: &Manifest) -> (Ident, Manifest) {
    let new = Ident { id_seed: ident.id_seed, ..Ident::random(unix_ms()) };
    let mut manifest = Manifest { store: new.store, ..manifest.clone() };
    // Without rows of its own, the node need not be remembered.
    if manifest.origins.last().map_or(0, |origin| origin.ver) < manifest.ver {
        manifest.origins.push(Origin { node: ident.node, ver: manifest.ver });
    }
    (new, manifest)
}

/// A folder that a store is being copied into.
struct Target {
    root: PathBuf,
    disk: RealDisk,
}

impl Target {
    /// Takes an empty folder, or makes it.
    fn begin(root: &Path) -> Result<Self> {
        let disk = RealDisk::new(root);
        let place = disk.place();
        let above: Vec<&Path> = root.ancestors().skip(1).take_while(|a| !a.is_dir()).collect();
        disk.make_dir("").map_err(|e| fault("make the folder", &place, e))?;
        let names = disk.list("").map_err(|e| fault("list", &place, e))?;
        if names.iter().any(|name| name == PARTIAL) {
            return Err(partial(&place));
        }
        if let Some(name) = names.first() {
            let message = format!("{place} is not empty: it has {name}; name a folder that is new or empty");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        // Made by one of two who come at once.
        let made = disk.create(PARTIAL).and_then(|file| file.sync()).and_then(|()| disk.sync_dir(""));
        made.map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => partial(&place),
            _ => fault("write to", &place, e),
        })?;
        // The folder's own name, and those of all that were made above it.
        for parent in root.ancestors().skip(1).take(above.len() + 1) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            let disk = RealDisk::new(parent);
            disk.sync_dir("").map_err(|e| fault("sync", &disk.place(), e))?;
        }
        Ok(Self { root: root.to_owned(), disk })
    }

    /// Everything, durably: files, identity, and the manifest last.
    fn fill(&self, from: &dyn Disk, ident: &Ident, manifest: &Manifest, bond: Option<Bond>) -> Result<()> {
        for entry in &manifest.collections {
            let folder = collection_folder(entry.number);
            self.disk.make_dir(&folder).map_err(|e| fault("make", &folder, e))?;
            for path in entry.files().map(|file| entry.path(file)) {
                let to = self.root.join(&path);
                from.share(&path, &to)
                    .map_err(|e| fault(&format!("copy {path} to"), &to.display().to_string(), e))?;
            }
            self.disk.sync_dir(&folder).map_err(|e| fault("sync", &folder, e))?;
        }
        let (ident, manifest) = of_its_own(ident, manifest);
        ident.create(&self.disk)?;
        bond.map_or(Ok(()), |bond| bond.write(&self.disk))?;
        manifest::commit(&self.disk, &manifest)?;
        let finish = self.disk.remove(PARTIAL).and_then(|()| self.disk.sync_dir(""));
        finish.map_err(|e| fault("finish", &self.disk.place(), e))?;
        // Empty by now, and in nobody's way.
        let _ = self.disk.remove_dir(TMP);
        Ok(())
    }

    /// Takes away what an attempt that failed has made, so that the next finds an empty folder.
    fn done(&self, filled: Result<()>, manifest: &Manifest) -> Result<()> {
        let Err(e) = filled else { return Ok(()) };
        // Best effort: what is left is known by its PARTIAL.
        let folders: Vec<String> = manifest.collections.iter().map(|c| collection_folder(c.number)).collect();
        for folder in folders.iter().map(String::as_str).chain([TMP]) {
            for name in self.disk.list(folder).unwrap_or_default() {
                let _ = self.disk.remove(&format!("{folder}/{name}"));
            }
            let _ = self.disk.remove_dir(folder);
        }
        for name in [IDENT, MIRROR, &manifest::manifest_name(manifest.number), PARTIAL] {
            let _ = self.disk.remove(name);
        }
        let _ = self.disk.remove_dir("");
        Err(e)
    }
}

#[cfg(test)]
mod tests;
