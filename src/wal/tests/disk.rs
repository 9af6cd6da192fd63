//! A disk in memory whose I/O fails where a test says. It knows nothing of power: that is the simulated disk's.

use crate::disk::{Disk, File, Lock, Map, Mapping, Space};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// Steps that fail, each once.
    failing: Vec<&'static str>,
    /// Steps until one fails, and whether all later ones do.
    countdown: Option<(usize, bool)>,
    writes: usize,
    /// Bytes that all files may have together, if there is a limit.
    capacity: Option<usize>,
}

impl State {
    fn used(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }
}

#[derive(Clone, Default)]
pub(super) struct MemDisk(Arc<Mutex<State>>);

impl MemDisk {
    pub(super) fn bytes(&self, path: &str) -> Vec<u8> {
        self.0.lock().files[path].clone()
    }

    pub(super) fn set_bytes(&self, path: &str, bytes: Vec<u8>) {
        self.0.lock().files.insert(path.to_owned(), bytes);
    }

    /// The next step of this name fails.
    pub(super) fn fail(&self, step: &'static str) {
        self.0.lock().failing.push(step);
    }

    /// The `n`-th step from now on fails; all after it too if it is `sticky`.
    pub(super) fn fail_nth(&self, n: usize, is_sticky: bool) {
        self.0.lock().countdown = Some((n, is_sticky));
    }

    /// Whether what should fail has failed; nothing fails any more.
    pub(super) fn heal(&self) -> bool {
        let mut state = self.0.lock();
        state.failing.clear();
        state.countdown.take().is_none_or(|(n, _)| n == 0)
    }

    /// From now on there is room for so many bytes more.
    pub(super) fn leave(&self, free: usize) {
        let mut state = self.0.lock();
        state.capacity = Some(state.used() + free);
    }

    pub(super) fn writes(&self) -> usize {
        self.0.lock().writes
    }

    fn step(&self, step: &str) -> Result<()> {
        let mut state = self.0.lock();
        if let Some(at) = state.failing.iter().position(|s| *s == step) {
            state.failing.remove(at);
            return Err(ErrorKind::StorageFull.into());
        }
        let fails = match &mut state.countdown {
            Some((0, is_sticky)) => *is_sticky,
            Some((n, _)) => {
                *n -= 1;
                *n == 0
            }
            None => false,
        };
        if fails { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Disk for MemDisk {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn unique(&self) -> u64 {
        0
    }

    fn create(&self, path: &str) -> Result<Box<dyn File>> {
        self.step("create")?;
        if self.0.lock().files.insert(path.to_owned(), Vec::new()).is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        Ok(Box::new(MemFile { disk: self.clone(), path: path.to_owned() }))
    }

    fn read(&self, path: &str, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.step("read")?;
        let state = self.0.lock();
        let bytes = state.files.get(path).ok_or(Error::from(ErrorKind::NotFound))?;
        let from = bytes.len().min(offset as usize);
        Ok(bytes[from..bytes.len().min(from + len)].to_vec())
    }

    fn len(&self, path: &str) -> Result<u64> {
        Ok(self.0.lock().files.get(path).ok_or(Error::from(ErrorKind::NotFound))?.len() as u64)
    }

    fn map(&self, _: &str, _: Mapping) -> Result<Map> {
        Err(ErrorKind::Unsupported.into())
    }

    fn rename(&self, _: &str, _: &str) -> Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn remove(&self, path: &str) -> Result<()> {
        self.step("remove")?;
        self.0.lock().files.remove(path).map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let state = self.0.lock();
        let inside = state.files.keys().filter_map(|path| path.strip_prefix(folder)?.strip_prefix('/'));
        Ok(inside.map(str::to_owned).collect())
    }

    fn make_dir(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn remove_dir(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _: &str) -> Result<()> {
        self.step("sync_dir")
    }

    fn lock(&self, _: &str, _: &str) -> Result<std::result::Result<Box<dyn Lock>, String>> {
        Err(ErrorKind::Unsupported.into())
    }

    fn space(&self) -> Result<Space> {
        Ok(Space { free: 0, total: 0 })
    }

    fn share(&self, _: &str, _: &Path) -> Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
}

struct MemFile {
    disk: MemDisk,
    path: String,
}

impl MemFile {
    /// Bytes that can be written at `offset`.
    fn room_from(&self, offset: usize) -> usize {
        let state = self.disk.0.lock();
        let held = state.files.get(&self.path).map_or(0, Vec::len).saturating_sub(offset);
        state.capacity.map_or(usize::MAX, |capacity| held + capacity.saturating_sub(state.used()))
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(bytes) = self.disk.0.lock().files.get_mut(&self.path) {
            change(bytes);
        }
    }
}

impl File for MemFile {
    /// A write that fails has written everything that there is room for: the worst that can be left behind.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let (offset, asked) = (offset as usize, bytes.len());
        let bytes = &bytes[..asked.min(self.room_from(offset))];
        self.change(|file| {
            file.resize(file.len().max(offset + bytes.len()), 0);
            file[offset..offset + bytes.len()].copy_from_slice(bytes);
        });
        self.disk.0.lock().writes += 1;
        if bytes.len() < asked { Err(ErrorKind::StorageFull.into()) } else { self.disk.step("write") }
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.disk.step("set_len")?;
        self.change(|file| file.resize(len as usize, 0));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.disk.step("sync")
    }
}
