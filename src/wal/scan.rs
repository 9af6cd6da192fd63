//! Reads the log back, and decides what its end is: torn, or damaged.
//!
//! Two passes. The first finds how far something proves that commits were durable: the floor that the manifest gives, the head of
//! every file (all before its first seq), what each valid record says. The second hands out commits in order. A gap whose
//! commits were durable is a hole, and reading goes on behind it; one that nothing proves is the torn end.
//!
//! Invariants: every visited commit is whole and as written (L3, L8); seqs rise; a second scan of the same files says the same (L6).
//! Writes nothing. Does not know what a payload says, nor which holes were reported before.

use super::format::{CONTINUED, FileHead, HEAD_BYTES, HeadFlaw, MORE, RecordHead};
use super::walk::{Step, Walk};
use super::{FOLDER, Kind, parse_name, path};
use crate::disk::{Bug, Disk, fault, planted};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Seq;

/// Damage remembered for one hole: more says nothing new.
const NOTES_MAX: usize = 16;

/// Is handed every commit: its seq, what it is, its payload.
pub(crate) type Visit<'v> = dyn FnMut(Seq, Kind, &[u8]) -> Result<()> + 'v;

/// What reading the log back found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// The highest seq that was ever durable or visited. The next commit follows it.
    pub(crate) last: Seq,
    /// The highest seq that something proves to have been durable.
    pub(crate) proven: Seq,
    /// Seqs that were durable and are gone: first and last of each range.
    pub(crate) holes: Vec<(Seq, Seq)>,
    pub(crate) damage: Vec<Damage>,
    /// In the order in which they were made.
    pub(crate) files: Vec<FileInfo>,
    /// Bytes dropped because nothing proves that they were acknowledged.
    pub(crate) torn_bytes: u64,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) file: String,
    pub(crate) offset: u64,
    pub(crate) why: String,
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileInfo {
    pub(crate) name: String,
    pub(crate) number: u32,
    pub(crate) first: Seq,
    /// The last commit that is read from it; before `first` if there is none.
    pub(crate) last: Seq,
    pub(crate) bytes: u64,
    /// Whether its head is sound. Else nothing is read from it.
    pub(crate) is_readable: bool,
}

/// Names of the files that hold nothing from `replay_from` on: all that a later file replaces, or follows, up to there. Files are in
/// the order in which they were made; the one being written is the last, and stays.
pub(crate) fn obsolete(files: &[FileInfo], replay_from: Seq) -> Vec<String> {
    let later = files.iter().rposition(|file| file.is_readable && file.first <= replay_from);
    files[..later.unwrap_or_default()].iter().map(|file| file.name.clone()).collect()
}

/// Reads every commit from seq `from` on, in order. `floor` is the highest seq that is known to have been durable.
pub(crate) fn scan(
    disk: &dyn Disk,
    store: u64,
    from: Seq,
    floor: Seq,
    visit: &mut Visit<'_>,
) -> Result<Scan> {
    let logs = open(disk, store)?;
    let proven = logs.iter().try_fold(floor, |proven, log| survey(disk, log, proven))?;
    let out = Scan { proven, ..Scan::default() };
    let mut replay =
        Replay { from, next: from, notes: Vec::new(), pending: None, is_ended: false, out, visit };
    for log in logs {
        replay.read(disk, log)?;
    }
    Ok(replay.finish())
}

/// A file, and what is read from it.
struct Log {
    info: FileInfo,
    head: Result<FileHead, HeadFlaw>,
    /// From here on a later file counts.
    cut: Seq,
}

/// The files in the order in which they were made.
fn open(disk: &dyn Disk, store: u64) -> Result<Vec<Log>> {
    let names = disk.list(FOLDER).map_err(|e| fault("list", FOLDER, e))?;
    let mut logs = Vec::new();
    for name in names {
        let Some((first, number)) = parse_name(&name) else { continue };
        let path = path(&name);
        let bytes = disk.len(&path).map_err(|e| fault("read", &path, e))?;
        let start = disk.read(&path, 0, HEAD_BYTES).map_err(|e| fault("read", &path, e))?;
        let head = match FileHead::decode(&start) {
            Err(HeadFlaw::Newer(version)) => return Err(newer(&path, &format!("format version {version}"))),
            Ok(head) if (head.store, head.first, head.number) != (store, first, number) => {
                Err(HeadFlaw::Damaged)
            }
            Err(HeadFlaw::Damaged) if (FileHead { salt: 0, first, store, number }).is_torn(&start) => {
                Err(HeadFlaw::Blank)
            }
            head => head,
        };
        let last = Seq(first.0.saturating_sub(1));
        let info = FileInfo { name, number, first, last, bytes, is_readable: head.is_ok() };
        logs.push(Log { info, head, cut: Seq(u64::MAX) });
    }
    logs.sort_by_key(|log| (log.info.number, log.info.first));
    let mut cut = Seq(u64::MAX);
    for log in logs.iter_mut().rev() {
        log.cut = cut;
        if log.info.is_readable {
            cut = cut.min(log.info.first);
        }
    }
    Ok(logs)
}

/// The highest seq that `log` proves to have been durable, or `proven` if that is higher.
fn survey(disk: &dyn Disk, log: &Log, mut proven: Seq) -> Result<Seq> {
    let Ok(head) = log.head else { return Ok(proven) };
    proven = proven.max(Seq(head.first.0.saturating_sub(1)));
    let mut walk = Walk::new(disk, path(&log.info.name), log.info.bytes, head.salt);
    loop {
        match walk.step()? {
            Step::Record { head, .. } if head.seq < log.cut => proven = proven.max(head.proven),
            Step::Record { .. } | Step::Break { .. } => {}
            Step::End => return Ok(proven),
        }
    }
}

struct Replay<'v, 'f> {
    from: Seq,
    /// The commit that must come next.
    next: Seq,
    /// What was wrong since the last commit that was in order.
    notes: Vec<Damage>,
    /// The parts so far of a commit.
    pending: Option<(Seq, u8, Vec<u8>)>,
    /// The torn end was found.
    is_ended: bool,
    out: Scan,
    visit: &'v mut Visit<'f>,
}

impl Replay<'_, '_> {
    fn read(&mut self, disk: &dyn Disk, mut log: Log) -> Result<()> {
        self.pending = None;
        match log.head {
            Ok(head) => self.read_records(disk, &mut log, head.salt)?,
            Err(HeadFlaw::Blank) => self.note(&log.info.name, 0, "it has no head: it was being made"),
            // A later file holds all that could be needed of it.
            Err(_) if log.cut <= self.from => {}
            Err(_) => {
                let why =
                    "its head is damaged, or it belongs to another store: no commit can be read from it";
                let file = log.info.name.clone();
                self.out.damage.push(Damage { file, offset: 0, why: why.to_owned() });
            }
        }
        self.out.files.push(log.info);
        Ok(())
    }

    fn read_records(&mut self, disk: &dyn Disk, log: &mut Log, salt: u64) -> Result<()> {
        let mut walk = Walk::new(disk, path(&log.info.name), log.info.bytes, salt);
        let (mut used_end, mut is_torn) = (HEAD_BYTES as u64, false);
        loop {
            match walk.step()? {
                Step::Record { at, head, payload } if head.seq < log.cut => {
                    is_torn = true;
                    if self.record(&log.info.name, at, &head, payload)? {
                        log.info.last = log.info.last.max(head.seq);
                        (used_end, is_torn) = (at + head.stride() as u64, false);
                    }
                }
                // Replaced by a later file.
                Step::Record { .. } => self.pending = None,
                Step::Break { at, is_blank } => {
                    self.give_up(&log.info.name, at)?;
                    is_torn |= !is_blank;
                    self.note(&log.info.name, at, "the bytes of a record do not match its checksum");
                }
                Step::End => break,
            }
        }
        if is_torn {
            self.out.torn_bytes += log.info.bytes.saturating_sub(used_end);
        }
        Ok(())
    }

    /// A commit whose next part does not stand at `at` never happened.
    fn give_up(&mut self, name: &str, at: u64) -> Result<()> {
        match self.pending.take() {
            Some((seq, kind, bytes)) if planted(Bug::KeepPartialCommit) => {
                self.commit(name, at, (seq, kind), &bytes).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Takes one valid record. True if it completed a commit that is in order.
    fn record(&mut self, name: &str, at: u64, head: &RecordHead, payload: &[u8]) -> Result<bool> {
        let before = self.pending.take();
        let is_whole = head.flags & MORE == 0;
        if head.flags & CONTINUED == 0 {
            if is_whole {
                return self.commit(name, at, (head.seq, head.kind), payload);
            }
            self.pending = Some((head.seq, head.kind, payload.to_vec()));
            return Ok(false);
        }
        // A part without those before it says nothing.
        let Some((seq, kind, mut bytes)) = before else { return Ok(false) };
        if (seq, kind) != (head.seq, head.kind) {
            return Ok(false);
        }
        bytes.extend_from_slice(payload);
        if is_whole {
            return self.commit(name, at, (seq, kind), &bytes);
        }
        self.pending = Some((seq, kind, bytes));
        Ok(false)
    }

    fn commit(&mut self, name: &str, at: u64, (seq, kind): (Seq, u8), payload: &[u8]) -> Result<bool> {
        if self.is_ended {
            return Ok(false);
        }
        if seq < self.next {
            // Held by other files; what was wrong before it does not matter.
            self.notes.clear();
            return Ok(seq < self.from);
        }
        if seq > self.next && !self.gap(Seq(seq.0 - 1), name, at) {
            return Ok(false);
        }
        let Some(kind) = Kind::of(kind) else {
            return Err(newer(&path(name), &format!("a record of type {kind} at offset {at}")));
        };
        (self.visit)(seq, kind, payload)?;
        self.next = Seq(seq.0.saturating_add(1));
        self.notes.clear();
        Ok(true)
    }

    /// Commits from `next` to `to` are not there. False if that is the torn end.
    fn gap(&mut self, to: Seq, name: &str, at: u64) -> bool {
        let lost = to.min(self.out.proven);
        if lost >= self.next {
            if self.notes.is_empty() {
                self.note(name, at, "records before this offset are missing");
            }
            self.out.damage.append(&mut self.notes);
            self.out.holes.push((self.next, lost));
            self.next = Seq(lost.0.saturating_add(1));
        }
        self.is_ended = lost < to;
        !self.is_ended
    }

    fn note(&mut self, name: &str, offset: u64, why: &str) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(Damage { file: name.to_owned(), offset, why: why.to_owned() });
        }
    }

    fn finish(mut self) -> Scan {
        if self.next <= self.out.proven {
            let (name, at) = self.out.files.last().map_or((String::new(), 0), |f| (f.name.clone(), f.bytes));
            self.gap(self.out.proven, &name, at);
        }
        self.out.last = Seq(self.next.0.saturating_sub(1)).max(self.out.proven);
        self.out
    }
}

fn newer(path: &str, what: &str) -> Error {
    let message = format!("{path} was written by a newer version ({what}): open the store with that version");
    Error::new(ErrorKind::Conflict, message)
}
