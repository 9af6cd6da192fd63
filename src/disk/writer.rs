//! Writes a file of sections in one stream, hashing as it goes.
//!
//! Invariants: until [`SectionsWriter::finish`] the file has no head and no trailer, so that it cannot be taken for a complete
//! one; a writer that is dropped unfinished removes its file, because its bytes may be what fills the disk.

use super::format::{
    ALIGN, ENTRIES, HEAD_BYTES_MAX, PIECE_BYTES, TABLE_ENTRY_BYTES, TRAILER_BYTES, VERSION, description_at,
};
use super::{Bug, Disk, File, Named, fault, planted};
use crate::error::{Error, ErrorKind, Result};
use std::ops::Range;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// Bytes gathered before one write: whole pieces.
const BUFFER_BYTES: usize = 1 << 20;
const _: () = assert!(BUFFER_BYTES.is_multiple_of(PIECE_BYTES));

/// A file of sections that is being written.
pub(crate) struct SectionsWriter<'a> {
    disk: &'a dyn Disk,
    path: String,
    file: Box<dyn File>,
    magic: [u8; 8],
    version: u32,
    /// How many there will be.
    sections: usize,
    /// Those begun; the last has no end yet.
    begun: Vec<Range<usize>>,
    head_bytes: usize,
    /// The pieces that the head stands in, to hash when it is known.
    first: Vec<u8>,
    buffer: Vec<u8>,
    /// Bytes written before the buffer: a multiple of the buffer's.
    flushed: usize,
    checks: Vec<u64>,
    pace: &'a dyn Fn(usize),
    is_finished: bool,
}

impl<'a> SectionsWriter<'a> {
    /// Starts the file `path`, a name of [`super::temporary`]. The description that comes with `finish` has at most
    /// `description_bytes_max` bytes.
    pub(crate) fn create(
        disk: &'a dyn Disk,
        path: &str,
        magic: [u8; 8],
        version: u32,
        sections: usize,
        description_bytes_max: usize,
    ) -> Result<Self> {
        let head_bytes = description_at(sections)
            .and_then(|at| at.checked_add(description_bytes_max))
            .and_then(|end| end.checked_next_multiple_of(ALIGN))
            .filter(|bytes| *bytes <= HEAD_BYTES_MAX)
            .ok_or_else(|| misused(path, "its head would be larger than 16 MiB"))?;
        let file = disk.create(path).map_err(|e| fault("create", path, e))?;
        let mut writer = Self {
            disk,
            path: path.to_owned(),
            file,
            magic,
            version,
            sections,
            begun: Vec::new(),
            head_bytes,
            first: Vec::new(),
            buffer: Vec::with_capacity(BUFFER_BYTES),
            flushed: 0,
            checks: Vec::new(),
            pace: &|_| {},
            is_finished: false,
        };
        writer.zeros_to(head_bytes)?;
        Ok(writer)
    }

    /// Calls `pace` with the number of bytes after each write, so that a writer in the background can be held back.
    #[must_use]
    pub(crate) fn with_pace(mut self, pace: &'a dyn Fn(usize)) -> Self {
        self.pace = pace;
        self
    }

    /// Starts the next section.
    pub(crate) fn begin(&mut self) -> Result<()> {
        if self.begun.len() == self.sections {
            return Err(misused(&self.path, "it has all its sections"));
        }
        self.end_section();
        self.zeros_to(self.at().next_multiple_of(ALIGN))?;
        let at = self.at();
        self.begun.push(at..at);
        Ok(())
    }

    /// Appends to the section.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.begun.is_empty() {
            return Err(misused(&self.path, "no section was begun"));
        }
        self.append(bytes)
    }

    /// Makes the file complete and durable under the name that it was created with.
    pub(crate) fn finish(mut self, description: &[u8]) -> Result<Named> {
        let described = description_at(self.sections).map(|at| at.saturating_add(description.len()));
        if self.begun.len() != self.sections || described.is_none_or(|end| end > self.head_bytes) {
            return Err(misused(
                &self.path,
                "it lacks a section, or its description is longer than announced",
            ));
        }
        self.end_section();
        self.flush()?;
        let table = self.flushed;

        let head = self.head(description);
        self.first[..head.len()].copy_from_slice(&head);
        for (piece, bytes) in self.first.chunks(PIECE_BYTES).enumerate() {
            self.checks[piece] = xxh3_64_with_seed(bytes, piece as u64);
        }
        let mut end = Vec::with_capacity(self.checks.len() * TABLE_ENTRY_BYTES + TRAILER_BYTES);
        end.extend(self.checks.iter().flat_map(|check| check.to_le_bytes()));
        let len = table + end.len() + TRAILER_BYTES;
        for number in [table, self.checks.len(), len] {
            end.extend_from_slice(&(number as u64).to_le_bytes());
        }
        let check = xxh3_128(&end);
        end.extend_from_slice(&check.to_le_bytes());

        let written = self.file.write_at(table as u64, &end).and_then(|()| self.file.write_at(0, &head));
        let sync = || if planted(Bug::SkipSyncBeforeRename) { Ok(()) } else { self.file.sync() };
        written.and_then(|()| sync()).map_err(|e| fault("write", &self.path, e))?;
        self.is_finished = true;
        Ok(Named { len: len as u64, check })
    }

    /// The head without the zeros after it.
    fn head(&self, description: &[u8]) -> Vec<u8> {
        let mut head = Vec::with_capacity(self.head_bytes);
        head.extend_from_slice(&self.magic);
        for number in [self.version, description.len() as u32, self.sections as u32, 0] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        for section in &self.begun {
            head.extend_from_slice(&(section.start as u64).to_le_bytes());
            head.extend_from_slice(&(section.len() as u64).to_le_bytes());
        }
        head.extend_from_slice(description);
        head
    }

    /// Bytes appended so far.
    fn at(&self) -> usize {
        self.flushed + self.buffer.len()
    }

    fn end_section(&mut self) {
        let at = self.at();
        if let Some(section) = self.begun.last_mut() {
            section.end = at;
        }
    }

    fn zeros_to(&mut self, end: usize) -> Result<()> {
        while self.at() < end {
            let missing = end - self.at();
            self.append(&[0; ALIGN][..missing.min(ALIGN)])?;
        }
        Ok(())
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BUFFER_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes the buffer. It is full, or the last.
    fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let first_bytes = self.head_bytes.next_multiple_of(PIECE_BYTES);
        for piece in self.buffer.chunks(PIECE_BYTES) {
            self.checks.push(xxh3_64_with_seed(piece, self.checks.len() as u64));
        }
        let missing = first_bytes.saturating_sub(self.first.len()).min(self.buffer.len());
        self.first.extend_from_slice(&self.buffer[..missing]);
        let written = self.file.write_at(self.flushed as u64, &self.buffer);
        written.map_err(|e| fault("write", &self.path, e))?;
        self.flushed += self.buffer.len();
        (self.pace)(self.buffer.len());
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for SectionsWriter<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = self.disk.remove(&self.path);
        }
    }
}

fn misused(path: &str, what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("{path} cannot be written: {what}; please report this"))
}

const _: () = assert!(ENTRIES == VERSION + 4 * 4);
