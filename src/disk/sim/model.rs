//! The whole state of a simulated disk, and the operations that change it. Knows no faults and no limits.
//!
//! Files and folders are numbered, names point to numbers: a file whose name was lost is still there, and nobody can reach
//! it. A folder's names have a live and a durable form; the changes between wait for `sync_dir`, in order. A rename from
//! one folder to another is two changes, one in each: a crash may show both names, or none.
//!
//! Invariants: applying the same operations to the same model gives the same model, numbers included; a folder without
//! pending changes has equal live and durable names.

use super::inode::{Change, Inode};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// Beyond what any test means.
const LEN_MAX: u64 = 1 << 36;

pub(super) type Names = BTreeMap<Arc<str>, Node>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    File(usize),
    Folder(usize),
}

/// One operation, as far as it was carried out.
#[derive(Clone)]
pub(super) enum Op {
    /// It failed and changed nothing.
    Nothing,
    Create(String),
    Write {
        file: usize,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    SetLen {
        file: usize,
        len: u64,
    },
    Sync(usize),
    FailSync(usize),
    Rename {
        from: String,
        to: String,
    },
    Remove(String),
    MakeDir(String),
    RemoveDir(String),
    SyncDir(String),
    /// No operation of the process: bytes of a file, made if it is not there, change under its hands.
    Force {
        path: String,
        offset: u64,
        bytes: Arc<[u8]>,
        len: Option<u64>,
    },
}

impl Op {
    /// Whether the process asked for it.
    pub(super) fn is_counted(&self) -> bool {
        !matches!(self, Self::Force { .. })
    }

    /// Whether a power loss in the middle of it may leave what it would have done.
    pub(super) fn may_be_under_way(&self) -> bool {
        !matches!(self, Self::Sync(_) | Self::FailSync(_) | Self::SyncDir(_))
    }
}

#[derive(Clone, Default)]
pub(super) struct Folder {
    pub(super) live: Names,
    pub(super) durable: Names,
    pub(super) pending: Vec<Entry>,
}

/// A change of one folder, whole or not at all.
#[derive(Clone)]
pub(super) enum Entry {
    Link(Arc<str>, Node),
    Unlink(Arc<str>),
    Move(Arc<str>, Arc<str>, Node),
}

impl Entry {
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            Self::Link(name, node) => {
                names.insert(Arc::clone(name), *node);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Move(from, to, node) => {
                names.remove(from);
                names.insert(Arc::clone(to), *node);
            }
        }
    }
}

#[derive(Clone)]
pub(super) struct Model {
    pub(super) files: Vec<Arc<Inode>>,
    /// The first is the store's own.
    pub(super) folders: Vec<Arc<Folder>>,
    edits: u64,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { files: Vec::new(), folders: vec![Arc::default()], edits: 0 }
    }

    pub(super) fn apply(&mut self, op: &Op) -> io::Result<()> {
        match op {
            Op::Nothing => {}
            Op::Create(path) => self.create(path)?,
            Op::Write { file, offset, bytes } => {
                if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > LEN_MAX) {
                    return Err(ErrorKind::FileTooLarge.into());
                }
                self.edit(*file, Change::Write { offset: *offset, bytes: Arc::clone(bytes) });
            }
            Op::SetLen { len, .. } if *len > LEN_MAX => return Err(ErrorKind::FileTooLarge.into()),
            Op::SetLen { file, len } => self.edit(*file, Change::SetLen(*len)),
            Op::Sync(file) => self.file_mut(*file).sync(),
            Op::FailSync(file) => self.file_mut(*file).fail_sync(),
            Op::Rename { from, to } => self.rename(from, to)?,
            Op::Remove(path) => {
                self.file(path)?;
                let (folder, name) = self.parent(path)?;
                self.change(folder, Entry::Unlink(name.into()));
            }
            Op::MakeDir(path) => self.make_dir(path)?,
            Op::RemoveDir(path) => self.remove_dir(path)?,
            Op::SyncDir(path) => {
                let number = self.folder(path)?;
                let folder = Arc::make_mut(&mut self.folders[number]);
                if !folder.pending.is_empty() {
                    folder.durable = folder.live.clone();
                    folder.pending.clear();
                }
            }
            Op::Force { path, offset, bytes, len } => self.force(path, *offset, bytes, *len)?,
        }
        Ok(())
    }

    fn create(&mut self, path: &str) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        if self.folders[folder].live.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.files.push(Arc::default());
        self.change(folder, Entry::Link(name.into(), Node::File(self.files.len() - 1)));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let node = Node::File(self.file(from)?);
        let ((source, old), (target, new)) = (self.parent(from)?, self.parent(to)?);
        if let Some(Node::Folder(_)) = self.folders[target].live.get(new) {
            return Err(ErrorKind::IsADirectory.into());
        }
        if source == target {
            if old != new {
                self.change(source, Entry::Move(old.into(), new.into(), node));
            }
            return Ok(());
        }
        self.change(target, Entry::Link(new.into(), node));
        self.change(source, Entry::Unlink(old.into()));
        Ok(())
    }

    fn make_dir(&mut self, path: &str) -> io::Result<()> {
        let mut at = 0;
        for name in names(path) {
            at = match self.folders[at].live.get(name) {
                Some(Node::Folder(number)) => *number,
                Some(Node::File(_)) => return Err(ErrorKind::AlreadyExists.into()),
                None => {
                    self.folders.push(Arc::default());
                    let number = self.folders.len() - 1;
                    self.change(at, Entry::Link(name.into(), Node::Folder(number)));
                    number
                }
            };
        }
        Ok(())
    }

    fn remove_dir(&mut self, path: &str) -> io::Result<()> {
        let number = self.folder(path)?;
        if !self.folders[number].live.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        let (folder, name) = self.parent(path)?;
        self.change(folder, Entry::Unlink(name.into()));
        Ok(())
    }

    fn force(&mut self, path: &str, offset: u64, bytes: &Arc<[u8]>, len: Option<u64>) -> io::Result<()> {
        if self.file(path).is_err() {
            self.create(path)?;
        }
        let number = self.file(path)?;
        let file = self.file_mut(number);
        file.force(&Change::Write { offset, bytes: Arc::clone(bytes) });
        if let Some(len) = len {
            file.force(&Change::SetLen(len));
        }
        Ok(())
    }

    fn change(&mut self, folder: usize, entry: Entry) {
        let folder = Arc::make_mut(&mut self.folders[folder]);
        entry.apply(&mut folder.live);
        folder.pending.push(entry);
    }

    fn edit(&mut self, file: usize, change: Change) {
        self.edits += 1;
        let time = self.edits;
        self.file_mut(file).edit(time, change);
    }

    fn file_mut(&mut self, file: usize) -> &mut Inode {
        Arc::make_mut(&mut self.files[file])
    }

    /// The number of the folder that the process sees at `path`.
    pub(super) fn folder(&self, path: &str) -> io::Result<usize> {
        names(path).try_fold(0, |at, name| match self.folders[at].live.get(name) {
            Some(Node::Folder(number)) => Ok(*number),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        })
    }

    /// The number of the file that the process sees at `path`.
    pub(super) fn file(&self, path: &str) -> io::Result<usize> {
        let (folder, name) = self.parent(path)?;
        match self.folders[folder].live.get(name) {
            Some(Node::File(number)) => Ok(*number),
            Some(Node::Folder(_)) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn parent<'a>(&self, path: &'a str) -> io::Result<(usize, &'a str)> {
        let (folder, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or(("", path));
        if name.is_empty() {
            return Err(ErrorKind::InvalidInput.into());
        }
        Ok((self.folder(folder)?, name))
    }

    /// Every file that the process sees, by path.
    pub(super) fn paths(&self) -> BTreeMap<String, usize> {
        let (mut paths, mut todo) = (BTreeMap::new(), vec![(String::new(), 0)]);
        while let Some((prefix, folder)) = todo.pop() {
            for (name, node) in &self.folders[folder].live {
                match node {
                    Node::File(number) => {
                        paths.insert(format!("{prefix}{name}"), *number);
                    }
                    Node::Folder(number) => todo.push((format!("{prefix}{name}/"), *number)),
                }
            }
        }
        paths
    }

    /// Bytes of every file that the process sees.
    pub(super) fn used(&self) -> u64 {
        self.paths().values().map(|file| self.files[*file].live().len()).sum()
    }
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}
