//! Large files, written in one stream and then mapped: a head, sections, a checksum for each piece.
//!
//! Invariants: a file is complete or does not open, because the head is written last and the trailer says where everything
//! ends; no byte is handed out as sound before the piece that holds it was verified, and a piece is verified once; damage is
//! local to its pieces. Opening reads the trailer, the table and the head, whatever the size of the file.
//!
//! Knows nothing of what descriptions and sections mean.

use super::format::{
    ALIGN, CHECK_BYTES, DESCRIPTION_BYTES, ENTRIES, ENTRY_BYTES, ENTRY_LEN, ENTRY_OFFSET, HEAD_BYTES_MAX,
    MAGIC, PIECE_BYTES, SECTIONS, TABLE_ENTRY_BYTES, TRAILER_BYTES, TRAILER_CHECK, TRAILER_LEN,
    TRAILER_PIECES, TRAILER_TABLE, VERSION, check_at, description_at, u32_at, u64_at,
};
use super::{Bug, Disk, Map, Mapping, Named, damaged, fault, newer, planted};
use crate::error::Result;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// A file of sections, in memory.
pub(crate) struct SectionsFile {
    path: String,
    map: Arc<Map>,
    version: u32,
    named: Named,
    description: Range<usize>,
    sections: Vec<Range<usize>>,
    /// Where the pieces end and their checksums start.
    table: usize,
    pieces: usize,
    /// One bit for each piece that was verified, by what came out. A piece is in neither until it was first touched.
    good: Vec<AtomicU64>,
    bad: Vec<AtomicU64>,
    /// Raised when a piece is found bad.
    alarm: Option<Arc<AtomicBool>>,
}

impl SectionsFile {
    /// Opens the file. With `named`, no other file of that name is accepted.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: &str,
        magic: [u8; 8],
        version_max: u32,
        mapping: Mapping,
        named: Option<&Named>,
    ) -> Result<Self> {
        let map = Arc::new(disk.map(path, mapping).map_err(|e| fault("map", path, e))?);
        let mut file = Self::with_trailer(path, map)?;
        file.expect(named)?;
        file.read_head(magic, version_max)?;
        Ok(file)
    }

    /// Opens a file of any kind for its checksums alone: its sections are not looked at.
    pub(crate) fn examine(
        disk: &dyn Disk,
        path: &str,
        mapping: Mapping,
        named: Option<&Named>,
    ) -> Result<Self> {
        let map = Arc::new(disk.map(path, mapping).map_err(|e| fault("map", path, e))?);
        let file = Self::with_trailer(path, map)?;
        file.expect(named)?;
        Ok(file)
    }

    /// The same file, of which the head cannot be read, with its sections where they must stand: behind a description of so many
    /// bytes, `lens` bytes each, the last up to the end. `None` if the head can be read, or there is no room for them.
    pub(crate) fn with_layout(mut self, description_bytes: usize, lens: &[usize]) -> Option<Self> {
        let head = description_at(lens.len() + 1)?.checked_add(description_bytes)?;
        if self.check(0..head.min(self.table)) {
            return None;
        }
        let mut start = head.checked_next_multiple_of(ALIGN)?;
        for len in lens {
            let end = start.checked_add(*len).filter(|end| *end <= self.table)?;
            self.sections.push(start..end);
            start = end.checked_next_multiple_of(ALIGN)?;
        }
        self.sections.push(start..self.table);
        (start <= self.table).then_some(self)
    }

    fn expect(&self, named: Option<&Named>) -> Result<()> {
        let Some(named) = named.filter(|named| **named != self.named) else { return Ok(()) };
        let what = format_args!(
            "it has {} bytes and is not the file of {} that the manifest names",
            self.named.len, named.len
        );
        Err(damaged(&self.path, self.named.len.saturating_sub(TRAILER_BYTES as u64), what))
    }

    /// Everything that the end of the file says, verified.
    fn with_trailer(path: &str, map: Arc<Map>) -> Result<Self> {
        let bytes = map.bytes();
        let len = bytes.len();
        let Some((before, trailer)) = bytes.split_last_chunk::<TRAILER_BYTES>() else {
            return Err(damaged(path, 0, format_args!("it has {len} bytes, fewer than a trailer")));
        };
        let broken = |what: &str| damaged(path, before.len() as u64, what);
        let field = |at| u64_at(trailer, at).and_then(|n| usize::try_from(n).ok());
        let check = check_at(trailer, TRAILER_CHECK);
        let (Some(table), Some(pieces), Some(check)) = (field(TRAILER_TABLE), field(TRAILER_PIECES), check)
        else {
            return Err(broken("its trailer has no place in this machine's memory"));
        };
        let table_bytes = pieces.checked_mul(TABLE_ENTRY_BYTES);
        let is_consistent = field(TRAILER_LEN) == Some(len)
            && pieces == table.div_ceil(PIECE_BYTES)
            && table_bytes.and_then(|n| n.checked_add(table)) == Some(before.len())
            && u32::try_from(pieces).is_ok();
        if !is_consistent {
            return Err(broken("its end is not that of a complete file"));
        }
        let covered = bytes.get(table..len - CHECK_BYTES).map(xxh3_128);
        if covered != Some(check) {
            return Err(broken("the checksum of its checksums does not match"));
        }
        let words = || (0..pieces.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Self {
            path: path.to_owned(),
            version: 0,
            named: Named { len: len as u64, check },
            description: 0..0,
            sections: Vec::new(),
            table,
            pieces,
            good: words(),
            bad: words(),
            alarm: None,
            map,
        })
    }

    /// Magic, version, sections and description; reads no byte of a piece before it was verified, but for what says how
    /// many pieces the head has.
    fn read_head(&mut self, magic: [u8; 8], version_max: u32) -> Result<()> {
        let map = Arc::clone(&self.map);
        let bytes = map.bytes().get(..self.table).unwrap_or_default();
        let broken = |at: usize, what: &str| damaged(&self.path, at as u64, what);
        if !self.check(0..ENTRIES) {
            return Err(broken(0, "the checksum of its head does not match"));
        }
        if bytes.get(MAGIC..VERSION) != Some(&magic[..]) {
            return Err(broken(MAGIC, "it is a file of another kind"));
        }
        let field = |at| u32_at(bytes, at).unwrap_or(0);
        let version = field(VERSION);
        if version > version_max {
            return Err(newer(&self.path, version, version_max));
        }
        let sections = field(SECTIONS) as usize;
        let described = description_at(sections).and_then(|at| {
            let end = at.checked_add(field(DESCRIPTION_BYTES) as usize)?;
            (end <= self.table && end <= HEAD_BYTES_MAX).then_some(at..end)
        });
        let Some(description) = described else {
            return Err(broken(DESCRIPTION_BYTES, "its head does not end where it can"));
        };
        if !self.check(0..description.end) {
            return Err(broken(0, "the checksum of its head does not match"));
        }
        let mut ranges = Vec::with_capacity(sections);
        let mut end = description.end;
        for section in 0..sections {
            let at = ENTRIES + section * ENTRY_BYTES;
            let number = |at| u64_at(bytes, at).and_then(|n| usize::try_from(n).ok());
            let (start, len) = (number(at + ENTRY_OFFSET), number(at + ENTRY_LEN));
            let range = start.zip(len).and_then(|(start, len)| Some(start..start.checked_add(len)?));
            let is_inside = |r: &Range<usize>| r.end <= self.table || planted(Bug::SkipBoundCheck);
            let fits = |r: &Range<usize>| r.start.is_multiple_of(ALIGN) && r.start >= end && is_inside(r);
            let Some(range) = range.filter(fits) else {
                return Err(broken(at, &format!("section {section} has no place in it")));
            };
            end = range.end;
            ranges.push(range);
        }
        (self.version, self.description, self.sections) = (version, description, ranges);
        Ok(())
    }

    /// The same file, which raises `alarm` whenever it finds a piece bad.
    pub(crate) fn with_alarm(mut self, alarm: Arc<AtomicBool>) -> Self {
        if !self.bad().is_empty() {
            alarm.store(true, Ordering::Release);
        }
        self.alarm = Some(alarm);
        self
    }

    /// Where it is, for messages.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The version of what it holds.
    #[cfg(test)]
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// How a manifest remembers it.
    #[cfg(test)]
    pub(crate) fn named(&self) -> Named {
        self.named
    }

    /// The bytes, verified and not. Check before `Cells` are made from private pages: what changes no longer matches.
    pub(crate) fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// What the writer said about the sections; verified.
    pub(crate) fn description(&self) -> &[u8] {
        self.map.bytes().get(self.description.clone()).unwrap_or_default()
    }

    /// How many sections.
    pub(crate) fn sections(&self) -> usize {
        self.sections.len()
    }

    /// Where section `i` stands in the file: inside of it, from a multiple of 4,096 on. Empty where there is none.
    pub(crate) fn section(&self, i: usize) -> Range<usize> {
        self.sections.get(i).cloned().unwrap_or(0..0)
    }

    /// Where section `i` starts: [`Self::section`] for the hot path.
    #[inline]
    pub(crate) fn section_start(&self, i: usize) -> usize {
        self.sections.get(i).map_or(0, |section| section.start)
    }

    /// How many pieces.
    pub(crate) fn pieces(&self) -> usize {
        self.pieces
    }

    /// Where piece `piece` stands in the file. Empty where there is none.
    pub(crate) fn piece_range(&self, piece: u32) -> Range<usize> {
        let start = (piece as usize).saturating_mul(PIECE_BYTES).min(self.table);
        start..start.saturating_add(PIECE_BYTES).min(self.table)
    }

    /// Whether all bytes of `range` are as they were written. A piece is read the first time that one of its bytes is asked
    /// for; later, and from any thread, the answer is one load for each piece.
    #[inline]
    pub(crate) fn check(&self, range: Range<usize>) -> bool {
        if range.start > range.end || range.end > self.table {
            return false;
        }
        if range.is_empty() {
            return true;
        }
        let mut all = true;
        for piece in range.start / PIECE_BYTES..=(range.end - 1) / PIECE_BYTES {
            all &= is_set(&self.good, piece) || self.verify(piece);
        }
        all
    }

    /// Verifies every piece and returns the bad ones. `pace` hears of each piece's bytes after they were read.
    pub(crate) fn check_all(&self, pace: &dyn Fn(usize)) -> Vec<u32> {
        for piece in 0..self.pieces {
            let range = self.piece_range(piece as u32);
            self.check(range.clone());
            pace(range.len());
        }
        self.bad()
    }

    /// The pieces found bad so far, in order.
    pub(crate) fn bad(&self) -> Vec<u32> {
        (0..self.pieces).filter(|piece| is_set(&self.bad, *piece)).map(|piece| piece as u32).collect()
    }

    /// Whether a piece of `range` was found bad so far. Reads nothing.
    pub(crate) fn is_known_bad(&self, range: Range<usize>) -> bool {
        !range.is_empty()
            && (range.start / PIECE_BYTES..=(range.end - 1) / PIECE_BYTES)
                .any(|piece| is_set(&self.bad, piece))
    }

    /// Two threads that come at once both read the piece, and find the same.
    #[cold]
    fn verify(&self, piece: usize) -> bool {
        if is_set(&self.bad, piece) {
            return false;
        }
        let bytes = self.map.bytes();
        let covered = bytes.get(self.piece_range(piece as u32));
        let stored = piece
            .checked_mul(TABLE_ENTRY_BYTES)
            .and_then(|at| at.checked_add(self.table))
            .and_then(|at| u64_at(bytes, at));
        let is_good = planted(Bug::TrustPieces)
            || piece < self.pieces && covered.map(|bytes| xxh3_64_with_seed(bytes, piece as u64)) == stored;
        let set = if is_good { &self.good } else { &self.bad };
        if let Some(word) = set.get(piece / 64) {
            word.fetch_or(1 << (piece % 64), Ordering::Release);
        }
        if let Some(alarm) = self.alarm.as_ref().filter(|_| !is_good) {
            alarm.store(true, Ordering::Release);
        }
        is_good
    }
}

#[inline]
fn is_set(bits: &[AtomicU64], at: usize) -> bool {
    bits.get(at / 64).is_some_and(|word| word.load(Ordering::Acquire) >> (at % 64) & 1 == 1)
}
