//! Walks the records of one file.
//!
//! Invariants: only records whose both checks hold are shown; after one that does not hold, the walk goes on at the next that
//! does; memory stays below one record and one window, whatever the file says. Does not know what may follow what.

use super::format::{ALIGN, HEAD_BYTES, RECORD_HEAD_BYTES, RecordHead};
use crate::disk::{Disk, fault};
use crate::error::Result;

/// Bytes that are read at a time, at least.
const WINDOW_BYTES: usize = 1 << 20;

pub(super) enum Step<'a> {
    Record {
        at: u64,
        head: RecordHead,
        payload: &'a [u8],
    },
    /// No record here. `is_blank`: nothing was written either.
    Break {
        at: u64,
        is_blank: bool,
    },
    End,
}

pub(super) struct Walk<'d> {
    window: Window<'d>,
    salt: u64,
    at: u64,
}

impl<'d> Walk<'d> {
    pub(super) fn new(disk: &'d dyn Disk, path: String, len: u64, salt: u64) -> Self {
        let window = Window { disk, path, len, start: 0, bytes: Vec::new() };
        Self { window, salt, at: HEAD_BYTES as u64 }
    }

    pub(super) fn step(&mut self) -> Result<Step<'_>> {
        let at = self.at;
        if at >= self.window.len {
            return Ok(Step::End);
        }
        let Some(head) = self.check(at)? else { return self.resume(at) };
        self.at = at + head.stride() as u64;
        let record = self.window.get(at, RECORD_HEAD_BYTES + head.payload_bytes)?;
        Ok(Step::Record { at, head, payload: &record[RECORD_HEAD_BYTES..] })
    }

    /// The head of the record at `at`, if there is one.
    fn check(&mut self, at: u64) -> Result<Option<RecordHead>> {
        let Some(head) = RecordHead::decode(self.window.get(at, RECORD_HEAD_BYTES)?, self.salt) else {
            return Ok(None);
        };
        let record = self.window.get(at, RECORD_HEAD_BYTES + head.payload_bytes)?;
        Ok(head.holds(record, self.salt).then_some(head))
    }

    /// Moves to the next record after `at`, or to the end.
    fn resume(&mut self, at: u64) -> Result<Step<'_>> {
        let is_blank = self.window.get(at, RECORD_HEAD_BYTES)?.iter().all(|&b| b == 0);
        self.at += ALIGN as u64;
        while self.at < self.window.len && self.check(self.at)?.is_none() {
            self.at += ALIGN as u64;
        }
        Ok(Step::Break { at, is_blank })
    }
}

/// The part of a file that is in memory.
struct Window<'d> {
    disk: &'d dyn Disk,
    path: String,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// `len` bytes from `at` on, fewer where the file ends.
    fn get(&mut self, at: u64, len: usize) -> Result<&[u8]> {
        let end = self.len.min(at + len as u64);
        if at < self.start || end > self.start + self.bytes.len() as u64 {
            self.bytes = self
                .disk
                .read(&self.path, at, len.max(WINDOW_BYTES))
                .map_err(|e| fault("read", &self.path, e))?;
            self.start = at;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX).min(self.bytes.len());
        let rest = &self.bytes[from..];
        Ok(&rest[..len.min(rest.len())])
    }
}
