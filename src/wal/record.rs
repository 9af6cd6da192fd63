//! What a commit of rows says: slots removed, rows added.
//!
//! A writer thread builds [`RowsPayload`] before it knows its seq or slots; the committer adds the [`head`](RowsPayload::head)
//! when it does. [`RowsCommit`] reads both as one payload.
//!
//! Invariant: what parses is whole: the iterators of a parsed commit end nowhere early. Does not know checksums or parts.

use super::marking::Marking;
use crate::ids::Slot;
use crate::record::RowRef;

/// Bytes before a row: of its body, and of its vector.
const ROW_HEAD_BYTES: usize = 8;
const ALIGN: usize = 4;

/// The rows of one commit, as bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowsPayload {
    collection: u32,
    count: u32,
    rows: Vec<u8>,
}

impl RowsPayload {
    pub(crate) fn new(collection: u32) -> Self {
        Self { collection, count: 0, rows: Vec::new() }
    }

    /// Adds a row. `body` says whether there is a vector.
    pub(crate) fn push(&mut self, body: &[u8], vector: Option<&[f32]>) {
        let vector = vector.unwrap_or_default();
        self.rows.reserve(ROW_HEAD_BYTES + size_of_val(vector) + body.len() + ALIGN);
        self.rows.extend((body.len() as u32).to_le_bytes());
        self.rows.extend((size_of_val(vector) as u32).to_le_bytes());
        self.rows.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
        self.rows.extend_from_slice(body);
        self.rows.resize(self.rows.len().next_multiple_of(ALIGN), 0);
        self.count += 1;
    }

    /// Adds what the mirror has to know, after the last row. `dirty` says of each row whether it is.
    pub(crate) fn mark(&mut self, dirty: impl Iterator<Item = bool>, marking: &Marking) {
        marking.encode(dirty, &mut self.rows);
    }

    /// The rows: the second piece of the commit's payload.
    pub(crate) fn rows(&self) -> &[u8] {
        &self.rows
    }

    /// Appends the first piece of the commit's payload: what was removed, and the slot of the first row.
    pub(crate) fn head(&self, removed: &[Slot], first: Slot, out: &mut Vec<u8>) {
        let numbers = [self.collection, removed.len() as u32].into_iter();
        let numbers = numbers.chain(removed.iter().map(|slot| slot.0)).chain([first.0, self.count]);
        out.extend(numbers.flat_map(u32::to_le_bytes));
    }
}

/// A commit of rows, where its payload stands.
#[derive(Clone, Debug)]
pub(crate) struct RowsCommit<'a> {
    pub(crate) collection: u32,
    pub(crate) first: Slot,
    /// Number of rows.
    pub(crate) count: usize,
    removed: &'a [u8],
    rows: &'a [u8],
}

/// A row of a commit.
#[derive(Clone, Debug)]
pub(crate) struct LoggedRow<'a> {
    pub(crate) body: RowRef<'a>,
    vector: &'a [u8],
}

impl<'a> RowsCommit<'a> {
    /// `None` for anything but a whole commit of well-formed rows.
    pub(crate) fn parse(mut payload: &'a [u8]) -> Option<Self> {
        Self::take(&mut payload).filter(|_| payload.is_empty())
    }

    /// The same with what the mirror has to know: which rows are dirty, and the rest.
    pub(crate) fn parse_mirrored(mut payload: &'a [u8]) -> Option<(Self, Vec<bool>, Marking)> {
        let commit = Self::take(&mut payload)?;
        let (dirty, marking) = Marking::parse(payload, commit.count)?;
        Some((commit, dirty, marking))
    }

    fn take(rest: &mut &'a [u8]) -> Option<Self> {
        let collection = number(rest)?;
        let removed_bytes = usize::try_from(number(rest)?).ok()?.checked_mul(4)?;
        let removed = take(rest, removed_bytes)?;
        let first = Slot(number(rest)?);
        let count = usize::try_from(number(rest)?).ok()?;
        let rows: &[u8] = rest;
        for _ in 0..count {
            row(rest)?;
        }
        let rows = &rows[..rows.len() - rest.len()];
        Some(Self { collection, first, count, removed, rows })
    }

    pub(crate) fn removed(&self) -> impl Iterator<Item = Slot> + use<'a> {
        self.removed.as_chunks().0.iter().map(|bytes| Slot(u32::from_le_bytes(*bytes)))
    }

    /// In the order of their slots.
    pub(crate) fn rows(&self) -> impl Iterator<Item = LoggedRow<'a>> + use<'a> {
        let mut unread = self.rows;
        (0..self.count).map_while(move |_| row(&mut unread))
    }
}

impl LoggedRow<'_> {
    pub(crate) fn vector(&self) -> Option<Vec<f32>> {
        let elements = self.vector.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        self.body.has_vector.then(|| elements.collect())
    }
}

fn row<'a>(rest: &mut &'a [u8]) -> Option<LoggedRow<'a>> {
    let body_bytes = usize::try_from(number(rest)?).ok()?;
    let vector_bytes = usize::try_from(number(rest)?).ok()?;
    let vector = take(rest, vector_bytes)?;
    let body = RowRef::parse(take(rest, body_bytes)?)?;
    let padding = take(rest, body_bytes.next_multiple_of(ALIGN) - body_bytes)?;
    let is_sound = vector_bytes.is_multiple_of(4)
        && body.has_vector != vector.is_empty()
        && padding.iter().all(|&b| b == 0);
    is_sound.then_some(LoggedRow { body, vector })
}

fn number(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (bytes, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(bytes)
}
