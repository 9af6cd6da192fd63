//! The files of one segment, as tantivy reads them: in memory after they were made, or sections of a mapped file.
//!
//! Invariants: nothing is written here; of a mapped file no byte is handed out before its piece was verified. What is handed out of it is a
//! copy: tantivy asks for a word's postings at a time.

use crate::disk::SectionsFile;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tantivy::HasLen;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, OwnedBytes, WatchCallback, WatchHandle, WritePtr,
};

/// Files of a mapped segment up to this size are copied when it is opened: they are asked for at every search.
const COPIED_BYTES_MAX: usize = 128 << 10;

/// Read-only files by name.
#[derive(Clone)]
pub(super) struct Bundle(Arc<BTreeMap<PathBuf, Body>>);

#[derive(Clone)]
enum Body {
    Memory(OwnedBytes),
    Mapped(Mapped),
}

/// A section of a file.
#[derive(Clone)]
struct Mapped {
    file: Arc<SectionsFile>,
    range: Range<usize>,
}

impl Bundle {
    /// Files in memory.
    pub(super) fn in_memory(files: impl Iterator<Item = (PathBuf, OwnedBytes)>) -> Self {
        Self(Arc::new(files.map(|(name, bytes)| (name, Body::Memory(bytes))).collect()))
    }

    /// Files in the sections of `file`: each of `names` in the next, from section `first` on.
    pub(super) fn mapped(file: &Arc<SectionsFile>, first: usize, names: &[String]) -> io::Result<Self> {
        let body = |(nth, name): (usize, &String)| {
            let mapped = Mapped { file: file.clone(), range: file.section(first + nth) };
            let len = mapped.range.len();
            let body = if len <= COPIED_BYTES_MAX {
                Body::Memory(mapped.read(0..len)?)
            } else {
                Body::Mapped(mapped)
            };
            Ok((PathBuf::from(name), body))
        };
        Ok(Self(Arc::new(names.iter().enumerate().map(body).collect::<io::Result<_>>()?)))
    }

    /// Every file with its bytes.
    pub(super) fn files(&self) -> impl Iterator<Item = io::Result<(&Path, OwnedBytes)>> {
        self.0.iter().map(|(name, body)| Ok((name.as_path(), body.read_bytes(0..body.len())?)))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.values().map(|body| body.len() as u64).sum()
    }

    /// Bytes of it that are on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let heap = |body: &Body| if let Body::Memory(bytes) = body { bytes.len() } else { 0 };
        self.0.values().map(heap).sum()
    }

    fn body(&self, path: &Path) -> Result<&Body, OpenReadError> {
        self.0.get(path).ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))
    }
}

impl Mapped {
    fn read(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        let (from, to) = (self.range.start.checked_add(range.start), self.range.start.checked_add(range.end));
        let inside =
            from.zip(to).map(|(from, to)| from..to).filter(|r| r.start <= r.end && r.end <= self.range.end);
        let bytes =
            inside.filter(|r| self.file.check(r.clone())).and_then(|r| self.file.map().bytes().get(r));
        let bytes = bytes.ok_or_else(|| {
            let what = format!("{}: the checksum of a piece does not match", self.file.path());
            io::Error::new(io::ErrorKind::InvalidData, what)
        })?;
        Ok(OwnedBytes::new(bytes.to_vec()))
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("len", &self.len()).finish()
    }
}

impl HasLen for Body {
    fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Mapped(mapped) => mapped.range.len(),
        }
    }
}

impl FileHandle for Body {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        match self {
            Self::Memory(bytes) if range.start <= range.end && range.end <= bytes.len() => {
                Ok(bytes.slice(range))
            }
            Self::Memory(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Self::Mapped(mapped) => mapped.read(range),
        }
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, "a segment never changes")
}

impl Directory for Bundle {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        Ok(Arc::new(self.body(path)?.clone()))
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_owned() })
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.0.contains_key(path))
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(read_only(), path.to_owned()))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let body = self.body(path)?;
        let bytes =
            body.read_bytes(0..body.len()).map_err(|e| OpenReadError::wrap_io_error(e, path.to_owned()))?;
        Ok(bytes.as_slice().to_vec())
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        // Nobody writes, so nobody has to wait.
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}
