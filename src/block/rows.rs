//! The `.rows` file: vectors, ids, texts and metadata of the slots of one block.
//!
//! Invariant: what is handed out was verified, but for the vectors as a whole: they are mapped for the kernels, and who
//! searches them asks [`RowsFile::vector_is_sound`] first, or checks the file before.

use super::format::{
    BODIES, BODY_BYTES, BODY_OFFSET, FLOAT_BYTES, ID_HASH, INDEX, INDEX_BYTES, ROWS_MAGIC, ROWS_SECTIONS,
    ROWS_VERSION, RowsHead, VECTORS,
};
use super::{Kind, expect_len, head_of, internal, put_floats, shape, write};
use crate::disk::{Bug, Disk, Mapping, Named, Rows, SectionsFile, SectionsWriter, planted};
use crate::error::{ErrorKind, Result};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const KIND: Kind = Kind { magic: ROWS_MAGIC, version: ROWS_VERSION, sections: ROWS_SECTIONS };

/// Where rows come from when they are written: each is asked for by its place in the block.
pub(crate) trait RowSource {
    /// `None` for a row that has no vector.
    fn vector(&self, row: usize) -> Option<&[f32]>;

    /// Appends the row's body. It is asked for twice and must be the same.
    fn body(&self, row: usize, out: &mut Vec<u8>);

    /// XXH3-64 of the row's id, seeded with the store's id seed.
    fn id_hash(&self, row: usize) -> u64;
}

/// Writes the rows of a block; see [`super`] for `pace` and durability.
pub(crate) fn write_rows(
    disk: &dyn Disk,
    path: &str,
    head: RowsHead,
    source: &dyn RowSource,
    pace: &dyn Fn(usize),
) -> Result<Named> {
    let (dim, rows) = shape(path, head.dim, head.rows)?;
    write(disk, path, KIND, &head, pace, |file| {
        write_vectors(file, path, dim, rows, source)?;
        let lens = write_index(file, path, rows, source)?;
        file.begin()?;
        let mut body = Vec::new();
        for (row, len) in lens.into_iter().enumerate() {
            body.clear();
            source.body(row, &mut body);
            if body.len() != len as usize {
                return Err(internal(path, &format!("row {row} changed meanwhile; please report this")));
            }
            file.write(&body)?;
        }
        Ok(())
    })
}

fn write_vectors(
    file: &mut SectionsWriter<'_>,
    path: &str,
    dim: usize,
    rows: usize,
    source: &dyn RowSource,
) -> Result<()> {
    file.begin()?;
    let none = vec![0; dim * FLOAT_BYTES];
    let mut bytes = Vec::new();
    for row in 0..rows {
        match source.vector(row) {
            None => file.write(&none)?,
            Some(vector) if vector.len() == dim => {
                put_floats(vector, &mut bytes);
                file.write(&bytes)?;
            }
            Some(vector) => {
                let what =
                    format!("row {row} has {} dimensions, not {dim}; please report this", vector.len());
                return Err(internal(path, &what));
            }
        }
    }
    Ok(())
}

/// Returns the bytes of each body: they are made twice rather than kept.
fn write_index(
    file: &mut SectionsWriter<'_>,
    path: &str,
    rows: usize,
    source: &dyn RowSource,
) -> Result<Vec<u32>> {
    file.begin()?;
    let (mut lens, mut body, mut offset) = (Vec::with_capacity(rows), Vec::new(), 0u64);
    for row in 0..rows {
        body.clear();
        source.body(row, &mut body);
        let len = u32::try_from(body.len())
            .map_err(|_| internal(path, &format!("row {row} has {} bytes", body.len())))?;
        let mut entry = [0; INDEX_BYTES];
        entry[BODY_OFFSET..ID_HASH].copy_from_slice(&offset.to_le_bytes());
        entry[ID_HASH..BODY_BYTES].copy_from_slice(&source.id_hash(row).to_le_bytes());
        entry[BODY_BYTES..BODY_BYTES + 4].copy_from_slice(&len.to_le_bytes());
        file.write(&entry)?;
        offset += u64::from(len);
        lens.push(len);
    }
    Ok(lens)
}

/// An open `.rows` file.
pub(crate) struct RowsFile {
    head: RowsHead,
    dim: usize,
    rows: usize,
    file: SectionsFile,
    vectors: Arc<Rows<f32>>,
}

impl RowsFile {
    /// Opens the file and checks its structure; no row is read. With `named`, no other file of that name is accepted.
    pub(crate) fn open(disk: &dyn Disk, path: &str, mapping: Mapping, named: Option<&Named>) -> Result<Self> {
        let file = SectionsFile::open(disk, path, KIND.magic, KIND.version, mapping, named)?;
        let head: RowsHead = head_of(&file, KIND)?;
        let (dim, rows) = shape(path, head.dim, head.rows)?;
        expect_len(&file, VECTORS, rows, dim * FLOAT_BYTES)?;
        expect_len(&file, INDEX, rows, INDEX_BYTES)?;
        let at = file.section(VECTORS).start;
        let vectors = Arc::new(Rows::mapped(Arc::clone(file.map()), at, dim, rows)?);
        Ok(Self { head, dim, rows, file, vectors })
    }

    /// The same for a file whose head is known: where its first piece is damaged, with the head in it, the other pieces still
    /// say all that they held.
    pub(crate) fn open_known(
        disk: &dyn Disk,
        path: &str,
        mapping: Mapping,
        named: &Named,
        head: RowsHead,
    ) -> Result<Self> {
        match Self::open(disk, path, mapping, Some(named)) {
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                Self::without_head(disk, path, mapping, named, head).unwrap_or(Err(e))
            }
            opened => opened,
        }
    }

    /// `None` if the damage is not that of the head.
    fn without_head(
        disk: &dyn Disk,
        path: &str,
        mapping: Mapping,
        named: &Named,
        head: RowsHead,
    ) -> Option<Result<Self>> {
        let file = SectionsFile::examine(disk, path, mapping, Some(named)).ok()?;
        let (dim, rows) = shape(path, head.dim, head.rows).ok()?;
        let vector_bytes = rows.checked_mul(dim)?.checked_mul(FLOAT_BYTES)?;
        let description = serde_json::to_vec(&head).ok()?;
        let file = file.with_layout(description.len(), &[vector_bytes, rows * INDEX_BYTES])?;
        let at = file.section(VECTORS).start;
        let vectors = Rows::mapped(Arc::clone(file.map()), at, dim, rows).ok()?;
        let file = Self { head, dim, rows, file, vectors: Arc::new(vectors) };
        // The sections are where they were written, or the first entry says otherwise.
        let is_first =
            |entry: &[u8]| entry.get(BODY_OFFSET..ID_HASH).is_some_and(|b| b.iter().all(|b| *b == 0));
        file.index(0).is_none_or(is_first).then_some(Ok(file))
    }

    /// The same file, which raises `alarm` whenever it finds a piece bad.
    pub(crate) fn with_alarm(mut self, alarm: Arc<AtomicBool>) -> Self {
        self.file = self.file.with_alarm(alarm);
        self
    }

    pub(crate) fn head(&self) -> RowsHead {
        self.head
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    #[cfg(test)]
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// The frame: its pieces, and how a manifest remembers the file.
    pub(crate) fn file(&self) -> &SectionsFile {
        &self.file
    }

    /// All vectors, verified or not.
    pub(crate) fn vectors(&self) -> Arc<Rows<f32>> {
        Arc::clone(&self.vectors)
    }

    /// Whether the vector of `row` is as it was written.
    #[inline]
    pub(crate) fn vector_is_sound(&self, row: usize) -> bool {
        row < self.rows && self.file.check(self.vector_range(row))
    }

    /// The body of `row`; `None` if it is damaged or there is no such row.
    pub(crate) fn body(&self, row: usize) -> Option<&[u8]> {
        let range = self.body_range(row)?;
        if self.file.check(range.clone()) { self.file.map().bytes().get(range) } else { None }
    }

    /// The hash of the id of `row`; `None` if it is damaged or there is no such row.
    pub(crate) fn id_hash(&self, row: usize) -> Option<u64> {
        self.index(row)?.get(ID_HASH..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
    }

    /// Verifies the whole file and returns the bad pieces. `pace` hears of each piece's bytes after they were read.
    pub(crate) fn check_all(&self, pace: &dyn Fn(usize)) -> Vec<u32> {
        self.file.check_all(pace)
    }

    /// The rows with a vector, an index entry or a body in a piece that was found bad so far, in order. Reads no more than
    /// the index.
    pub(crate) fn damaged_rows(&self) -> Vec<u16> {
        let index_is_good = self.file.check(self.file.section(INDEX));
        if index_is_good && self.file.bad().is_empty() || planted(Bug::DropDamageSilently) {
            return Vec::new();
        }
        let is_damaged = |row: &usize| {
            self.file.is_known_bad(self.vector_range(*row))
                || self.body_range(*row).is_none_or(|body| self.file.is_known_bad(body))
        };
        (0..self.rows).filter(is_damaged).map(|row| row as u16).collect()
    }

    /// Cannot overflow: the section was found to hold that many.
    #[inline]
    fn vector_range(&self, row: usize) -> Range<usize> {
        let bytes = self.dim * FLOAT_BYTES;
        let start = self.file.section_start(VECTORS) + row * bytes;
        start..start + bytes
    }

    /// The verified index entry of `row`.
    fn index(&self, row: usize) -> Option<&[u8]> {
        if row >= self.rows {
            return None;
        }
        let start = self.file.section_start(INDEX) + row * INDEX_BYTES;
        let range = start..start + INDEX_BYTES;
        if self.file.check(range.clone()) { self.file.map().bytes().get(range) } else { None }
    }

    /// Where the body of `row` stands, inside of its section.
    fn body_range(&self, row: usize) -> Option<Range<usize>> {
        let entry = self.index(row)?;
        let offset = u64::from_le_bytes(*entry.get(BODY_OFFSET..)?.first_chunk()?);
        let len = u32::from_le_bytes(*entry.get(BODY_BYTES..)?.first_chunk()?);
        let section = self.file.section(BODIES);
        let start = usize::try_from(offset).ok()?.checked_add(section.start)?;
        let end = start.checked_add(len as usize)?;
        (end <= section.end).then_some(start..end)
    }
}

impl crate::codes::Sound for RowsFile {
    #[inline]
    fn is_sound(&self, row: usize) -> bool {
        self.vector_is_sound(row)
    }
}
