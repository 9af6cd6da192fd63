//! A disk in memory that loses what was not synced: the tests' machine for power losses, faults and full disks.
//!
//! A [`SimDisk`] is a handle on one machine. It keeps what the process sees, what surely survives, and the changes between
//! (see `inode` for bytes, `model` for names). From any moment [`SimDisk::image`] starts a new machine with one possible
//! content of the disk after a power loss; the old one goes on. [`SimDisk::replay`] walks through a finished run and takes
//! images at each of its operations, so that one run serves any number of crash points.
//!
//! Numbers of operations and calls count from 0. An *operation* changes something: `create`, `write_at`, `set_len`, `sync`,
//! `rename`, `remove`, `make_dir`, `remove_dir`, `sync_dir`, failed ones included. A *call* is any call at all. Images and
//! snapshots start with no lock, no fault and all counters at 0.
//!
//! What it knows of failures beyond the contract of [`Disk`](super::Disk): bytes that a failed `sync` left behind stay in
//! doubt until written and synced again. A failed `sync_dir` leaves its changes pending, and a later one may save them.

mod fault;
mod inode;
mod loss;
mod machine;
mod model;
mod pages;
mod random;
mod replay;
mod tests;

pub(crate) use {fault::Fault, loss::Loss, machine::Counters, random::Random, replay::Replay};

use super::{Disk, File, Lock, Map, Mapping, Space};
use fault::Need;
use machine::Machine;
use model::{Model, Node, Op};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A handle; its clones are of the same machine.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<Machine>>);

impl SimDisk {
    /// A machine with an empty disk.
    pub(crate) fn new() -> Self {
        Self::start(Model::new(), None)
    }

    fn start(model: Model, capacity: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Machine::new(model, capacity))))
    }

    /// A machine of its own in the same state, unsynced changes included. Pages are shared until written.
    pub(crate) fn snapshot(&self) -> Self {
        let machine = self.0.lock();
        Self::start(machine.model.clone(), machine.capacity)
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().faults.calls
    }

    /// Calls that met a fault.
    pub(crate) fn faults_met(&self) -> u64 {
        self.0.lock().faults.hits
    }

    pub(crate) fn counters(&self) -> Counters {
        self.0.lock().counters
    }

    /// The first `n` operations are done; the next is under way when the power goes, and it and all after it fail.
    pub(crate) fn crash_after(&self, n: u64) {
        self.0.lock().crash = Some(n);
    }

    /// A machine that starts with one possible content of the disk, if the power goes now or went before.
    pub(crate) fn image(&self, loss: Loss, seed: u64) -> Self {
        let machine = self.0.lock();
        Self::start(machine.at_loss().after(loss, seed), machine.capacity)
    }

    /// The run so far, from its start.
    pub(crate) fn replay(&self) -> Replay {
        Replay::new(&self.0.lock())
    }

    /// The image of a power loss in operation `n` of the run so far. For many, step through one [`Self::replay`].
    pub(crate) fn image_at(&self, n: u64, loss: Loss, seed: u64) -> Self {
        let mut replay = self.replay();
        while replay.operations() < n && replay.step() {}
        replay.image(loss, seed)
    }

    /// Call `n` fails; if `sticky`, so does every later one that such a fault can hit.
    pub(crate) fn fail(&self, n: u64, fault: Fault, sticky: bool) {
        self.0.lock().faults.plan(n, fault, sticky);
    }

    /// From now on nothing fails that was to fail. The power does not come back.
    pub(crate) fn heal(&self) {
        self.0.lock().faults.heal();
    }

    /// Room for so many bytes of files.
    pub(crate) fn capacity(&self, bytes: u64) {
        self.0.lock().capacity = Some(bytes);
    }

    /// Every file that the process sees, with its length.
    pub(crate) fn files(&self) -> BTreeMap<String, u64> {
        let model = &self.0.lock().model;
        model.paths().into_iter().map(|(path, file)| (path, model.files[file].live().len())).collect()
    }

    /// Every file that the process sees, with its bytes. No call: it meets no fault.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let model = &self.0.lock().model;
        model.paths().into_iter().map(|(path, file)| (path, model.files[file].live().all())).collect()
    }

    /// Turns one bit of a file over, durably.
    pub(crate) fn flip(&self, path: &str, bit: u64) -> io::Result<()> {
        let mut machine = self.0.lock();
        let file = machine.model.file(path)?;
        let byte = machine.model.files[file].live().read(bit / 8, 1);
        let byte = byte.first().ok_or(io::ErrorKind::InvalidInput)? ^ (1 << (bit % 8));
        force(&mut machine, path, bit / 8, &[byte], None)
    }

    /// Cuts or extends a file, durably.
    pub(crate) fn truncate(&self, path: &str, len: u64) -> io::Result<()> {
        let mut machine = self.0.lock();
        machine.model.file(path)?;
        force(&mut machine, path, 0, &[], Some(len))
    }

    /// Puts bytes into a file, durably. A file that is not there is made.
    pub(crate) fn overwrite(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        force(&mut self.0.lock(), path, offset, bytes, None)
    }

    fn change(&self, op: Op) -> io::Result<()> {
        self.0.lock().change(op)
    }
}

fn force(machine: &mut Machine, path: &str, offset: u64, bytes: &[u8], len: Option<u64>) -> io::Result<()> {
    machine.force(Op::Force { path: path.to_owned(), offset, bytes: bytes.into(), len })
}

impl Disk for SimDisk {
    fn place(&self) -> String {
        "the simulated disk".to_owned()
    }

    fn unique(&self) -> u64 {
        let mut machine = self.0.lock();
        machine.unique += 1;
        machine.unique
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn File>> {
        let mut machine = self.0.lock();
        machine.change(Op::Create(path.to_owned()))?;
        let file = machine.model.file(path)?;
        Ok(Box::new(SimFile { disk: self.clone(), file }))
    }

    fn read(&self, path: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut machine = self.0.lock();
        machine.call(Need::Read)?;
        let file = machine.model.file(path)?;
        Ok(machine.model.files[file].live().read(offset, len))
    }

    fn len(&self, path: &str) -> io::Result<u64> {
        let mut machine = self.0.lock();
        machine.call(Need::Read)?;
        let file = machine.model.file(path)?;
        Ok(machine.model.files[file].live().len())
    }

    fn map(&self, path: &str, _: Mapping) -> io::Result<Map> {
        let bytes = self.read(path, 0, usize::MAX)?;
        Map::of(&bytes)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(Op::Rename { from: from.to_owned(), to: to.to_owned() })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.change(Op::Remove(path.to_owned()))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut machine = self.0.lock();
        machine.call(Need::Read)?;
        let number = match machine.model.folder(folder) {
            Ok(number) => number,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let with_slash = |(name, node): (&Arc<str>, &Node)| match node {
            Node::File(_) => name.to_string(),
            Node::Folder(_) => format!("{name}/"),
        };
        let mut names: Vec<String> = machine.model.folders[number].live.iter().map(with_slash).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn make_dir(&self, folder: &str) -> io::Result<()> {
        self.change(Op::MakeDir(folder.to_owned()))
    }

    fn remove_dir(&self, folder: &str) -> io::Result<()> {
        self.change(Op::RemoveDir(folder.to_owned()))
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.change(Op::SyncDir(folder.to_owned()))
    }

    fn lock(&self, path: &str, note: &str) -> io::Result<Result<Box<dyn Lock>, String>> {
        let mut machine = self.0.lock();
        machine.has_power()?;
        machine.call(Need::Change)?;
        if let Some(note) = machine.locks.get(path) {
            return Ok(Err(note.clone()));
        }
        // The note is written as by the real disk, but it is no operation: nothing depends on it.
        force(&mut machine, path, 0, note.as_bytes(), Some(note.len() as u64))?;
        machine.locks.insert(path.to_owned(), note.trim().to_owned());
        Ok(Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned() })))
    }

    fn space(&self) -> io::Result<Space> {
        let mut machine = self.0.lock();
        machine.call(Need::Read)?;
        Ok(Space { free: machine.free(), total: machine.total() })
    }

    fn share(&self, path: &str, to: &Path) -> io::Result<()> {
        let bytes = self.read(path, 0, usize::MAX)?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(to)?;
        io::Write::write_all(&mut file, &bytes)
    }
}

struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl File for SimFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.change(Op::Write { file: self.file, offset, bytes: bytes.into() })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.change(Op::SetLen { file: self.file, len })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.change(Op::Sync(self.file))
    }
}

struct SimLock {
    disk: SimDisk,
    path: String,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.remove(&self.path);
    }
}
