//! Writes the newest file of the log.
//!
//! Invariants:
//! - One `write_at` for each group of commits; what it holds beyond them is zeros.
//! - Between the end of the records and the end of the file stand zeros only: whatever a failed write left there is taken out,
//!   and that is made durable, before the next write. Else the file is given up.
//! - A full disk takes no zeros away that were there: what was kept free for a later group stays so.
//! - `unsynced` holds every record that is not known to be durable. A failed sync ends this file, not the log:
//!   [`Writer::restart`] writes them to a new one.
//! - A file's head is written, and synced, after everything that the file is made with: a head that is there proves it.
//!
//! Does not know: what a payload says, who waits for it.

use super::format::*;
use super::{FOLDER, Kind, file_name, path};
use crate::disk::{Bug, Disk, File, fault, planted};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Seq;
use std::io;

/// Zeros written after a small group: a sync after overwriting zeros takes 88 us, after growing the file 208 us.
const ZEROS_AHEAD_BYTES: usize = 256 << 10;
/// Groups of this size simply grow the file.
const BIG_GROUP_BYTES: usize = 64 << 10;
/// Memory that an empty buffer keeps.
const IDLE_BUFFER_BYTES_MAX: usize = 4 << 20;

/// One commit, encoded but for its record's head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) seq: Seq,
    pub(crate) kind: Kind,
    /// Two pieces, written one after the other.
    pub(crate) payload: [&'a [u8]; 2],
}

/// The newest file of the log, and what it may still lose.
pub(crate) struct Writer {
    file: Box<dyn File>,
    name: String,
    head: FileHead,
    /// End of the records.
    end: u64,
    /// End of the zeros after them.
    zeroed: u64,
    last: Seq,
    proven: Seq,
    /// Records from `proven` on, as they stand in the file.
    unsynced: Vec<u8>,
    /// Nothing is written to this file any more.
    is_poisoned: bool,
}

impl Writer {
    /// Makes a file for commits from `first` on; everything before is durable. `salt` is random. After an error older files may be
    /// written to as before, unless it is [`ErrorKind::Poisoned`]: then nobody knows which file counts.
    pub(crate) fn create(disk: &dyn Disk, store: u64, number: u32, first: Seq, salt: u64) -> Result<Self> {
        Self::create_with(disk, store, number, first, salt, &[])
    }

    /// The same with commits that are in the file, durably, from the moment on that the file counts: until then an older
    /// file's copies do.
    pub(crate) fn create_with(
        disk: &dyn Disk,
        store: u64,
        number: u32,
        first: Seq,
        salt: u64,
        commits: &[Commit<'_>],
    ) -> Result<Self> {
        let head = FileHead { salt, first, store, number };
        let proven = Seq(first.0.saturating_sub(1));
        let (mut records, mut last) = (Vec::new(), proven);
        encode_group(&mut records, salt, &mut last, proven, commits)?;
        let file = make(disk, &head, &records)?;
        let end = (HEAD_BYTES + records.len()) as u64;
        let name = file_name(first, number);
        let unsynced = Vec::new();
        Ok(Self { file, name, head, end, zeroed: end, last, proven: last, unsynced, is_poisoned: false })
    }

    /// Writes a group, and leaves `room` bytes of zeros or more after it. On an error none of it is in the log; after
    /// [`ErrorKind::Full`] another group may fit: one that is smaller, or leaves less room.
    pub(crate) fn append(&mut self, commits: &[Commit<'_>], room: usize) -> Result<()> {
        self.check()?;
        let (start, mut last) = (self.unsynced.len(), self.last);
        let encoded = encode_group(&mut self.unsynced, self.head.salt, &mut last, self.proven, commits);
        if let Err(error) = encoded {
            self.unsynced.truncate(start);
            return Err(error);
        }
        let bytes = self.unsynced.len() - start;
        let end = self.end + bytes as u64;
        let zeros = match end + room as u64 > self.zeroed {
            true if bytes < BIG_GROUP_BYTES => ZEROS_AHEAD_BYTES.max(room),
            true => room,
            false => 0,
        };
        let mut written = self.write_last(bytes, zeros);
        if zeros > room && written.as_ref().is_err_and(is_full) && !self.is_poisoned {
            written = self.write_last(bytes, room);
        }
        if let Err(e) = written {
            self.unsynced.truncate(self.unsynced.len() - bytes);
            return Err(fault("write to", &path(&self.name), e));
        }
        (self.end, self.last) = (end, last);
        Ok(())
    }

    /// Writes the last `bytes` of what is not durable, and zeros after them. On an error nothing of it is in the file.
    fn write_last(&mut self, bytes: usize, zeros: usize) -> io::Result<()> {
        let start = self.unsynced.len() - bytes;
        self.unsynced.resize(start + bytes + zeros, 0);
        let written_end = self.end + (bytes + zeros) as u64;
        let written = self.file.write_at(self.end, &self.unsynced[start..]);
        self.unsynced.truncate(start + bytes);
        if written.is_ok() {
            self.zeroed = self.zeroed.max(written_end);
            return written;
        }
        let group = self.unsynced.split_off(start);
        self.take_out(written_end);
        self.unsynced.extend(group);
        written
    }

    /// Makes everything appended durable. After an error only [`restart`](Self::restart) helps.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.check()?;
        if self.proven == self.last {
            return Ok(());
        }
        self.sync_file()
    }

    /// Goes on in a new file that holds, durably, every commit that the old one may have lost. On an error nothing has changed:
    /// try again with another number.
    pub(crate) fn restart(&mut self, disk: &dyn Disk, number: u32, salt: u64) -> Result<()> {
        let head = FileHead { salt, first: Seq(self.proven.0 + 1), number, ..self.head };
        let mut records = self.unsynced.clone();
        seal_all(&mut records, salt);
        self.file = make(disk, &head, &records)?;
        self.name = file_name(head.first, number);
        self.head = head;
        self.end = (HEAD_BYTES + records.len()) as u64;
        self.zeroed = self.end;
        self.is_poisoned = false;
        self.settle();
        Ok(())
    }

    /// Gives back the zeros and makes everything durable: the file is complete.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.check()?;
        // Zeros that stay do no harm.
        if self.zeroed > self.end && self.file.set_len(self.end).is_ok() {
            self.zeroed = self.end;
        }
        self.sync_file()
    }

    /// Bytes of the file up to the end of its records.
    pub(crate) fn len(&self) -> u64 {
        self.end
    }

    /// The file's name inside its folder.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The last commit that was appended.
    pub(crate) fn last(&self) -> Seq {
        self.last
    }

    /// The last commit that is durable.
    pub(crate) fn proven(&self) -> Seq {
        self.proven
    }

    /// Bytes of records that are not known to be durable, held in memory.
    #[cfg(test)]
    pub(crate) fn unsynced_bytes(&self) -> usize {
        self.unsynced.len()
    }

    /// Whether a sync failed, or what a failed write left could not be cut off.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    fn check(&self) -> Result<()> {
        if self.is_poisoned {
            return Err(poisoned(&path(&self.name)));
        }
        Ok(())
    }

    /// Removes what a failed write may have left after the records, for good: zeros again where zeros were.
    fn take_out(&mut self, written_end: u64) {
        let held = self.zeroed.min(written_end).saturating_sub(self.end) as usize;
        let over =
            || self.file.set_len(self.zeroed).and_then(|()| self.file.write_at(self.end, &vec![0; held]));
        if held == 0 || over().is_err() {
            self.zeroed = self.end;
            self.is_poisoned = self.file.set_len(self.end).is_err();
        }
        // Without the sync, a power loss could bring back whole records after shorter new ones.
        self.is_poisoned |= self.sync_file().is_err();
    }

    fn sync_file(&mut self) -> Result<()> {
        let synced = self.file.sync();
        if let Err(e) =
            if planted(Bug::RetryFailedSync) { synced.or_else(|_| self.file.sync()) } else { synced }
        {
            self.is_poisoned = true;
            return Err(poisoned(&path(&self.name)).with_source(e));
        }
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        self.proven = self.last;
        self.unsynced.clear();
        self.unsynced.shrink_to(IDLE_BUFFER_BYTES_MAX);
    }
}

fn is_full(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn poisoned(path: &str) -> Error {
    let message = format!(
        "{path} could not be made durable; what was not acknowledged may be lost: look at the system's log for the disk, \
         then reopen the store"
    );
    Error::new(ErrorKind::Poisoned, message)
}

/// Makes a file of the log: records first, the head when they are durable, the name last.
fn make(disk: &dyn Disk, head: &FileHead, records: &[u8]) -> Result<Box<dyn File>> {
    let path = path(&file_name(head.first, head.number));
    let file = disk.create(&path).map_err(|e| fault("create", &path, e))?;
    let write = || {
        if !records.is_empty() {
            file.write_at(HEAD_BYTES as u64, records)?;
            file.sync()?;
        }
        file.write_at(0, &head.encode())?;
        file.sync()?;
        disk.sync_dir(FOLDER)
    };
    let Err(e) = write() else { return Ok(file) };
    // Its head may count: it must be gone before commits go to an older file.
    match disk.remove(&path).and_then(|()| disk.sync_dir(FOLDER)) {
        Ok(()) => Err(fault("write to", &path, e)),
        Err(_) => Err(poisoned(&path).with_source(e)),
    }
}

/// Appends the records of `commits`, whose seqs follow `last`.
fn encode_group(
    out: &mut Vec<u8>,
    salt: u64,
    last: &mut Seq,
    proven: Seq,
    commits: &[Commit<'_>],
) -> Result<()> {
    for commit in commits {
        let bytes = commit.payload[0].len() + commit.payload[1].len();
        if commit.seq.0 != last.0 + 1 || bytes == 0 {
            let seq = commit.seq;
            let message =
                format!("a commit of seq {seq} and {bytes} bytes was to follow seq {last}; report this");
            return Err(Error::new(ErrorKind::Internal, message));
        }
        for start in (0..bytes).step_by(PART_BYTES_MAX) {
            let end = bytes.min(start + PART_BYTES_MAX);
            let more = if end < bytes { MORE } else { 0 };
            let continued = if start > 0 { CONTINUED } else { 0 };
            let marks = (commit.kind.code(), more | continued);
            encode_record(out, salt, marks, (commit.seq, proven), part(commit.payload, start, end));
        }
        *last = commit.seq;
    }
    Ok(())
}

/// Bytes `start..end` of two pieces that stand one after the other.
fn part(payload: [&[u8]; 2], start: usize, end: usize) -> [&[u8]; 2] {
    let [a, b] = payload;
    let cut = |at: usize| (at.min(a.len()), at.saturating_sub(a.len()));
    let ((a_start, b_start), (a_end, b_end)) = (cut(start), cut(end));
    [&a[a_start..a_end], &b[b_start..b_end]]
}

/// Makes records those of a file with another salt.
fn seal_all(records: &mut [u8], salt: u64) {
    let mut at = 0;
    while at < records.len() {
        let payload_bytes = u32_at(records, at) as usize;
        seal(&mut records[at..at + RECORD_HEAD_BYTES + payload_bytes], salt);
        at += RECORD_HEAD_BYTES + payload_bytes.next_multiple_of(ALIGN);
    }
}
