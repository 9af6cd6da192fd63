//! The real disk: a folder of the operating system.

use super::{Disk, File, Lock, Map, Mapping, Space};
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A program that this process starts holds what is locked here until it has become that program: a moment, which is waited
/// for where the holder calls itself by our own name.
const LOCK_TRIES: usize = 10;
const LOCK_REST: Duration = Duration::from_millis(4);

/// File systems over a network, by the number that `statfs` gives: their locks and syncs promise less.
const REMOTE: [(u64, &str); 6] = [
    (0x6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x517b, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
];

pub(crate) struct RealDisk {
    root: PathBuf,
    unique: AtomicU64,
}

impl RealDisk {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), unique: AtomicU64::new(0) }
    }

    fn at(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

impl Disk for RealDisk {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn File>> {
        let file = fs::OpenOptions::new().write(true).create_new(true).open(self.at(path))?;
        Ok(Box::new(RealFile(file)))
    }

    fn read(&self, path: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = fs::File::open(self.at(path))?;
        let there = file.metadata()?.len().saturating_sub(offset);
        let mut bytes = vec![0; len.min(usize::try_from(there).unwrap_or(len))];
        let mut at = 0;
        while at < bytes.len() {
            match file.read_at(&mut bytes[at..], offset + at as u64) {
                Ok(0) => break,
                Ok(n) => at += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        bytes.truncate(at);
        Ok(bytes)
    }

    fn unique(&self) -> u64 {
        self.unique.fetch_add(1, Ordering::Relaxed)
    }

    fn len(&self, path: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.at(path))?.len())
    }

    fn map(&self, path: &str, mapping: Mapping) -> io::Result<Map> {
        let file = fs::File::open(self.at(path))?;
        match mapping {
            Mapping::Shared => Map::shared(&file),
            Mapping::Private => Map::private(&file),
            Mapping::Copy => Map::read(&file),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.at(folder)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            // A name that is no UTF-8 is none of ours.
            let Ok(mut name) = entry.file_name().into_string() else { continue };
            if entry.file_type()?.is_dir() {
                name.push('/');
            }
            names.push(name);
        }
        names.sort_unstable();
        Ok(names)
    }

    fn make_dir(&self, folder: &str) -> io::Result<()> {
        if !folder.is_empty() {
            return fs::create_dir_all(self.at(folder));
        }
        // The names above the store are nobody else's to sync: without them a power loss takes the store as a whole.
        let new: Vec<&Path> = self.root.ancestors().take_while(|folder| !folder.exists()).collect();
        fs::create_dir_all(&self.root)?;
        for folder in new {
            let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
            fs::File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    fn remove_dir(&self, folder: &str) -> io::Result<()> {
        fs::remove_dir(self.at(folder))
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        fs::File::open(self.at(folder))?.sync_all()
    }

    fn lock(&self, path: &str, note: &str) -> io::Result<Result<Box<dyn Lock>, String>> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(self.at(path))?;
        for rest in (0..LOCK_TRIES).rev() {
            match file.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) => {
                    let holder = self.read(path, 0, 256)?;
                    let holder = String::from_utf8_lossy(&holder).trim().to_owned();
                    if rest == 0 || holder != note.trim() {
                        return Ok(Err(holder));
                    }
                    std::thread::sleep(LOCK_REST);
                }
                Err(fs::TryLockError::Error(e)) => return Err(e),
            }
        }
        // Only a hint for people: the lock is the operating system's.
        let hint = file.set_len(0).and_then(|()| file.write_all_at(note.as_bytes(), 0));
        hint.map(|()| Ok(Box::new(RealLock { _file: file }) as Box<dyn Lock>))
    }

    fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(&self.root)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space { free: bytes(stat.f_bavail), total: bytes(stat.f_blocks) })
    }

    #[cfg(target_os = "linux")]
    fn remote(&self) -> Option<&'static str> {
        let kind = rustix::fs::statfs(&self.root).ok()?.f_type as u64 & 0xffff_ffff;
        REMOTE.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
    }

    fn share(&self, path: &str, to: &Path) -> io::Result<()> {
        let from = self.at(path);
        match fs::hard_link(&from, to) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                fs::copy(&from, to)?;
                fs::File::open(to)?.sync_all()
            }
            done => done,
        }
    }
}

struct RealFile(fs::File);

impl File for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// The operating system frees it with the file.
struct RealLock {
    _file: fs::File,
}

impl Lock for RealLock {}
