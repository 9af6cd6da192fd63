//! Index files of hnswlib (`save_index`): labels, vectors, deletion marks.
//!
//! The file does not say its space, so the metric is the user's to name; how long a vector is follows from the offsets in its
//! head. Of the space `cosine` it holds vectors of length one. Rows that were marked as deleted are passed over.

use crate::error::Result;
use crate::import::input::{Input, Parsed, bad, push_f32s};
use crate::import::source::{Entry, Place, Rows, Shape};
use crate::limits::DIM_MAX;
use crate::record::Chunk;
use std::path::{Path, PathBuf};

const HEAD_BYTES: u64 = 96;
const LABEL_BYTES: u64 = 8;
/// Before the links of a row stands their number (2 bytes) and its mark.
const MARK_AT: usize = 2;
const DELETED: u8 = 1;

/// What the head says.
#[derive(Debug, PartialEq)]
struct Head {
    rows: u64,
    row_bytes: u64,
    vector_at: u64,
    label_at: u64,
    links_bytes: u64,
}

pub(crate) struct Hnswlib {
    path: PathBuf,
    input: Input,
    head: Head,
    shape: Shape,
    next: u64,
    row: Vec<u8>,
}

impl Hnswlib {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut input = Input::open(path)?;
        let (head, deleted) = check(&mut input).map_err(|what| bad(path, what))?;
        let dim = (head.label_at - head.vector_at) / 4;
        let mut notes = vec!["an hnswlib index".to_owned()];
        if deleted > 0 {
            notes.push(format!("{deleted} rows are marked as deleted in it and are passed over"));
        }
        if deleted == head.rows {
            return Err(bad(path, format!("holds no rows: all {deleted} are marked as deleted")));
        }
        let shape =
            Shape { dim: usize::try_from(dim).ok(), metric: None, rows: Some(head.rows - deleted), notes };
        let row = vec![0; head.row_bytes as usize];
        Ok(Self { path: path.to_owned(), input, head, shape, next: 0, row })
    }

    /// The next row that was not deleted.
    fn read(&mut self) -> Parsed<Option<(Place, Chunk)>> {
        while self.next < self.head.rows {
            let place = Place::Row(self.next, self.input.at());
            self.input.fill(&mut self.row)?;
            self.next += 1;
            if self.row[MARK_AT] & DELETED != 0 {
                continue;
            }
            let (vector_at, label_at) = (self.head.vector_at as usize, self.head.label_at as usize);
            let label = self.row[label_at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            let mut vector = Vec::with_capacity((label_at - vector_at) / 4);
            push_f32s(&self.row[vector_at..label_at], &mut vector);
            return Ok(Some((place, Chunk::new(label.to_string()).vector(vector))));
        }
        Ok(None)
    }
}

impl Rows for Hnswlib {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn next(&mut self) -> Result<Option<Entry>> {
        let read = self.read().map_err(|what| bad(&self.path, what))?;
        Ok(read.map(|(place, chunk)| Entry { place, chunk: Ok(chunk) }))
    }
}

/// Walks through the whole file once; its head, and how many rows are deleted. It stands before the first row afterwards.
fn check(input: &mut Input) -> Parsed<(Head, u64)> {
    let head = Head::read(input)?;
    input.claim(head.rows, head.row_bytes, "rows")?;
    let mut deleted = 0;
    for _ in 0..head.rows {
        let start: [u8; 4] = input.take()?;
        deleted += u64::from(start[MARK_AT] & DELETED != 0);
        input.skip(head.row_bytes - 4)?;
    }
    for row in 0..head.rows {
        let at = input.at();
        let bytes = u64::from(input.u32()?);
        if !bytes.is_multiple_of(head.links_bytes) {
            let whole = head.links_bytes;
            return Err(format!("at byte {at}: {bytes} bytes of links of row {row}; a level has {whole}"));
        }
        input.skip(bytes)?;
    }
    input.end()?;
    input.seek(HEAD_BYTES)?;
    Ok((head, deleted))
}

impl Head {
    fn read(input: &mut Input) -> Parsed<Self> {
        if input.len() < HEAD_BYTES {
            return Err(format!("{} bytes are too few for an hnswlib index", input.len()));
        }
        let (level0_at, _max_rows, rows, row_bytes) =
            (input.u64()?, input.u64()?, input.u64()?, input.u64()?);
        let (label_at, vector_at) = (input.u64()?, input.u64()?);
        let (_level, _entry) = (input.i32()?, input.u32()?);
        let (m, m0, _m) = (input.u64()?, input.u64()?, input.u64()?);
        let _scale_and_width: [u8; 16] = input.take()?;
        let links = |m: u64| m.checked_mul(4).and_then(|bytes| bytes.checked_add(4));
        let vector_bytes = label_at.saturating_sub(vector_at);
        let fits = level0_at == 0
            && links(m0) == Some(vector_at)
            && label_at.checked_add(LABEL_BYTES) == Some(row_bytes)
            && (4..=4 * DIM_MAX as u64).contains(&vector_bytes)
            && vector_bytes.is_multiple_of(4);
        let links_bytes = links(m).filter(|_| fits).ok_or_else(|| {
            format!(
                "not an hnswlib index of floats: its head says rows of {row_bytes} bytes with {m0} links, a vector from \
                 {vector_at} on and a label at {label_at}, which do not belong together"
            )
        })?;
        if rows == 0 {
            return Err("holds no rows".to_owned());
        }
        Ok(Self { rows, row_bytes, vector_at, label_at, links_bytes })
    }
}
