//! The log of one store: commits that no other file holds yet.
//!
//! Policy, all of it: a write that does not fit fails alone and leaves the log as it was; one that adds something leaves room for
//! deletes, which are written when the disk has no byte free; a sync that fails is never repeated
//! on that file: what was not durable is written to a new one, and if that fails too, nothing is written any more.

use super::draft::{Event, Staged};
use crate::config::Options;
use crate::disk::{Bug, Disk, fault, planted};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Seq;
use crate::record::encode_body;
use crate::wal::{self, Commit, FileInfo, Kind, RowsPayload, Writer};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// A file that is as long as this is followed by a new one. The oldest file stays for its last row that no block's file holds, so
/// this is what a small store may take too much.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Free space is looked up again after so many bytes were written.
const LOOK_BYTES: u64 = 4 << 20;
/// Bytes that a commit which adds something leaves in the file for deletes.
const DELETES_BYTES: usize = 32 << 10;
/// New files that are tried after a failed sync.
const RESTARTS_MAX: usize = 3;

pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    store: u64,
    writer: Writer,
    /// Files before the writer's.
    older: Vec<FileInfo>,
    number: u32,
    first: Seq,
    file_bytes_max: u64,
    reserve_bytes: u64,
    unlooked_bytes: u64,
    poison: Option<String>,
    counters: Counters,
}

/// What a log has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) commits: u64,
    pub(crate) groups: u64,
    pub(crate) syncs: u64,
    /// New files after a failed sync.
    pub(crate) restarts: u64,
    pub(crate) bytes: u64,
}

/// Where a log begins.
pub(crate) struct LogStart<'a> {
    pub(crate) store: u64,
    /// The number of its first file.
    pub(crate) number: u32,
    /// The first seq of that file.
    pub(crate) first: Seq,
    /// What that file holds from the beginning.
    pub(crate) tail: &'a [Commit<'a>],
    /// Files before it.
    pub(crate) older: Vec<FileInfo>,
}

impl Log {
    pub(crate) fn open(disk: Arc<dyn Disk>, start: LogStart<'_>, options: &Options) -> Result<Self> {
        let LogStart { store, number, first, tail, older } = start;
        let writer = Writer::create_with(&*disk, store, number, first, salt(), tail)?;
        Ok(Self {
            disk,
            store,
            writer,
            older,
            number,
            first,
            file_bytes_max: file_bytes_max(options),
            reserve_bytes: options.disk_reserve_bytes,
            unlooked_bytes: LOOK_BYTES,
            poison: None,
            counters: Counters::default(),
        })
    }

    /// Refuses rows when the disk is nearly full. Deletes are always taken: they make room in the end.
    pub(crate) fn check_space(&mut self) -> Result<()> {
        if self.unlooked_bytes < LOOK_BYTES {
            return Ok(());
        }
        let space =
            self.disk.space().map_err(|e| fault("look up the free space of", &self.disk.place(), e))?;
        if space.free < self.reserve_bytes {
            let message = format!(
                "{} has {} bytes free, and {} are kept in reserve (disk_reserve_bytes); free room on the disk, or lower the reserve",
                self.disk.place(),
                space.free,
                self.reserve_bytes
            );
            return Err(Error::new(ErrorKind::Full, message));
        }
        self.unlooked_bytes = 0;
        Ok(())
    }

    /// Writes the commits of a group, and makes them durable if `durable`. On an error none of them happened, as far as
    /// anyone will ever see; unless the log is poisoned, when a restart may find them.
    pub(crate) fn write(&mut self, commits: &[Staged], durable: bool) -> Result<()> {
        self.check_poison()?;
        if self.writer.len() >= self.file_bytes_max {
            // A file that grows too long is better than a write that fails.
            let _ = self.roll();
            self.check_poison()?;
        }
        let mut pieces = Vec::with_capacity(commits.len());
        for commit in commits {
            pieces.push(pieces_of(commit));
        }
        let records: Vec<Commit<'_>> = commits
            .iter()
            .zip(&pieces)
            .map(|(commit, (kind, head, rows))| Commit {
                seq: commit.seq,
                kind: *kind,
                payload: [head, rows.rows()],
            })
            .collect();
        let before = self.writer.len();
        let room = if commits.iter().any(Staged::adds) { DELETES_BYTES } else { 0 };
        if let Err(failed) = self.writer.append(&records, room) {
            if self.writer.is_poisoned() {
                self.restart(failed.again())?;
            }
            // Who needs room is told so before the next commit is written.
            self.unlooked_bytes = LOOK_BYTES;
            return Err(failed);
        }
        let bytes = self.writer.len() - before;
        self.unlooked_bytes += bytes;
        self.counters.bytes += bytes;
        self.counters.commits += commits.len() as u64;
        self.counters.groups += 1;
        if durable { self.flush() } else { Ok(()) }
    }

    /// Makes everything that was written durable.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.check_poison()?;
        self.counters.syncs += 1;
        let Err(failed) = self.writer.sync() else { return Ok(()) };
        self.restart(failed)
    }

    /// Goes on in a new file after a failed sync.
    fn restart(&mut self, failed: Error) -> Result<()> {
        let old = self.info();
        let first = Seq(self.writer.proven().0 + 1);
        for _ in 0..RESTARTS_MAX {
            self.number += 1;
            if self.writer.restart(&*self.disk, self.number, salt()).is_ok() {
                self.counters.restarts += 1;
                self.first = first;
                self.older.push(old);
                return Ok(());
            }
        }
        self.poison(&failed);
        self.check_poison()
    }

    /// Writes no more: what the log holds is not what the store shows.
    pub(crate) fn poison(&mut self, why: &Error) {
        self.poison.get_or_insert_with(|| why.to_string());
    }

    fn roll(&mut self) -> Result<()> {
        if let Err(failed) = self.writer.finish() {
            self.restart(failed)?;
        }
        let old = self.info();
        let first = Seq(self.writer.last().0 + 1);
        self.number += 1;
        match Writer::create(&*self.disk, self.store, self.number, first, salt()) {
            Ok(writer) => self.writer = writer,
            // Nobody knows which file counts; one that is newer than both does.
            Err(failed) if failed.kind() == ErrorKind::Poisoned => return self.restart(failed),
            Err(failed) => return Err(failed),
        }
        self.first = first;
        self.older.push(old);
        Ok(())
    }

    /// The paths of the files that hold nothing from `replay_from` on.
    pub(crate) fn obsolete(&self, replay_from: Seq) -> Vec<String> {
        let mut files = self.older.clone();
        files.push(self.info());
        wal::obsolete(&files, replay_from).iter().map(|name| format!("{}/{name}", wal::FOLDER)).collect()
    }

    /// A file was removed.
    pub(crate) fn forget(&mut self, path: &str) {
        self.older.retain(|file| path != format!("{}/{}", wal::FOLDER, file.name));
    }

    /// Writes no more, and gives back what the file has too much.
    pub(crate) fn close(&mut self) -> Result<()> {
        self.check_poison()?;
        match self.writer.finish() {
            Ok(()) => Ok(()),
            Err(failed) => self.restart(failed),
        }
    }

    /// A file of its own from the next commit on, so that the older ones can go.
    pub(crate) fn cut(&mut self) -> Result<()> {
        self.check_poison()?;
        if self.writer.last() >= self.first { self.roll() } else { Ok(()) }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.older.iter().map(|f| f.bytes).sum::<u64>() + self.writer.len()
    }

    /// Why nothing is written any more.
    pub(crate) fn check_poison(&self) -> Result<()> {
        let Some(why) = &self.poison else { return Ok(()) };
        let message = format!(
            "the store is read-only since the disk failed to keep a write ({why}); searches go on: look at the disk, then open the store again"
        );
        Err(Error::new(ErrorKind::Poisoned, message))
    }

    fn info(&self) -> FileInfo {
        FileInfo {
            name: self.writer.name().to_owned(),
            number: self.number,
            first: self.first,
            last: self.writer.last(),
            bytes: self.writer.len(),
            is_readable: true,
        }
    }
}

/// The kind of a commit's record, and the two pieces of its payload.
fn pieces_of(commit: &Staged) -> (Kind, Vec<u8>, RowsPayload) {
    let mut rows = RowsPayload::new(commit.collection.number);
    let mut head = Vec::new();
    let kind = match &commit.event {
        Event::Rows => {
            let mut body = Vec::new();
            for new in &commit.rows {
                body.clear();
                encode_body(&new.row, new.ver, new.node, &mut body);
                rows.push(&body, new.row.vector.as_deref());
            }
            rows.head(&commit.removed, commit.first, &mut head);
            match &commit.marking {
                None => Kind::Rows,
                Some(marking) => {
                    rows.mark(commit.rows.iter().map(|new| new.since.is_some()), marking);
                    Kind::Mirrored
                }
            }
        }
        Event::Create(text) => {
            head.extend_from_slice(text.as_bytes());
            Kind::Create
        }
        Event::Drop(text) => {
            head.extend_from_slice(text.as_bytes());
            Kind::Drop
        }
        Event::Names(text) => {
            head.extend_from_slice(text.as_bytes());
            Kind::Names
        }
    };
    (kind, head, rows)
}

#[cfg(not(test))]
const fn file_bytes_max(_: &Options) -> u64 {
    FILE_BYTES_MAX
}

#[cfg(test)]
fn file_bytes_max(options: &Options) -> u64 {
    options.tiny.map_or(FILE_BYTES_MAX, |tiny| tiny.log_file_bytes)
}

/// Hard to guess and never twice the same.
fn salt() -> u64 {
    if planted(Bug::ReuseSalt) {
        return 1;
    }
    RandomState::new().hash_one(std::time::SystemTime::now())
}
