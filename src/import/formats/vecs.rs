//! The `.fvecs`, `.bvecs` and `.ivecs` formats of the TEXMEX data sets: each row is its dimension as i32, then its values (f32, u8 or
//! i32), all little-endian. Every row has the dimension of the first.

use crate::import::input::{Input, Parsed, push_f32s};

const HEAD_BYTES: u64 = 4;

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    F32,
    U8,
    I32,
}

/// A file of rows, and how far it is read.
pub(crate) struct Vecs {
    input: Input,
    kind: Kind,
    pub(crate) rows: u64,
    pub(crate) columns: usize,
    next: u64,
    row: Vec<u8>,
}

impl Kind {
    pub(crate) fn of(extension: &str) -> Option<Self> {
        [("fvecs", Self::F32), ("bvecs", Self::U8), ("ivecs", Self::I32)]
            .into_iter()
            .find(|(name, _)| *name == extension)
            .map(|(_, kind)| kind)
    }

    fn bytes(self) -> u64 {
        if self == Self::U8 { 1 } else { 4 }
    }
}

impl Vecs {
    pub(crate) fn open(mut input: Input, kind: Kind) -> Parsed<Self> {
        let file_bytes = input.len();
        let columns = dimension(&mut input, 0)?;
        input.seek(0)?;
        let row_bytes = HEAD_BYTES + kind.bytes() * u64::from(columns);
        if !file_bytes.is_multiple_of(row_bytes) {
            return Err(format!(
                "rows of {columns} values take {row_bytes} bytes each, which {file_bytes} bytes are no multiple of"
            ));
        }
        Ok(Self {
            input,
            kind,
            rows: file_bytes / row_bytes,
            columns: columns as usize,
            next: 0,
            row: Vec::new(),
        })
    }

    /// Where the next row stands.
    pub(crate) fn at(&self) -> u64 {
        self.input.at()
    }

    fn next_bytes(&mut self) -> Parsed<Option<&[u8]>> {
        if self.next == self.rows {
            return Ok(None);
        }
        let (row, columns) = (self.next, self.columns);
        let found = dimension(&mut self.input, row)?;
        if found as usize != columns {
            return Err(format!(
                "row {row} has {found} values and row 0 has {columns}: all rows must have equally many"
            ));
        }
        // The file has a whole number of such rows.
        self.row.resize(columns * self.kind.bytes() as usize, 0);
        self.input.fill(&mut self.row)?;
        self.next += 1;
        Ok(Some(&self.row))
    }

    /// Appends the next row; false after the last.
    pub(crate) fn next_floats(&mut self, out: &mut Vec<f32>) -> Parsed<bool> {
        let kind = self.kind;
        let Some(bytes) = self.next_bytes()? else { return Ok(false) };
        match kind {
            Kind::F32 => push_f32s(bytes, out),
            Kind::U8 => out.extend(bytes.iter().map(|&b| f32::from(b))),
            Kind::I32 => out.extend(integers(bytes).map(|value| value as f32)),
        }
        Ok(true)
    }

    /// The same of whole numbers.
    pub(crate) fn next_integers(&mut self, out: &mut Vec<i128>) -> Parsed<bool> {
        let kind = self.kind;
        let Some(bytes) = self.next_bytes()? else { return Ok(false) };
        match kind {
            Kind::U8 => out.extend(bytes.iter().map(|&b| i128::from(b))),
            _ => out.extend(integers(bytes).map(i128::from)),
        }
        Ok(true)
    }
}

fn integers(bytes: &[u8]) -> impl Iterator<Item = i32> + '_ {
    bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b))
}

fn dimension(input: &mut Input, row: u64) -> Parsed<u32> {
    match input.i32()? {
        dim if dim > 0 => Ok(dim.unsigned_abs()),
        dim => Err(format!("row {row} claims {dim} values; a row has at least 1")),
    }
}
