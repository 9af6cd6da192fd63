//! The `.codes` file: the codec and the codes of the slots of one block. Derived: what is damaged is made anew from the rows.
//!
//! Invariant: a file that opens has a codec that could have made it, and as many codes as it says. The codes are mapped for
//! the kernels: who puts them to use checks the file first, or asks [`CodesFile::is_sound`] for each row.

use super::format::{
    CENTER, CODES, CODES_MAGIC, CODES_SECTIONS, CODES_VERSION, CodesHead, FLOAT_BYTES, TERMS, TERMS_PER_ROW,
};
use super::{Kind, expect_len, head_of, internal, put_floats, shape, write};
use crate::codes::{CodeTable, Codec, CodecParts};
use crate::disk::{Disk, Mapping, Named, Rows, SectionsFile, damaged};
use crate::error::Result;
use crate::ids::{BlockId, Slot};
use std::sync::Arc;

const KIND: Kind = Kind { magic: CODES_MAGIC, version: CODES_VERSION, sections: CODES_SECTIONS };

/// Which codes are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodesAt {
    pub(crate) collection: u32,
    pub(crate) block: BlockId,
    /// The first so many slots of the block.
    pub(crate) rows: usize,
    /// Which codec of the collection made them.
    pub(crate) codec: u32,
}

/// Writes the codes of a block; see [`super`] for `pace` and durability.
pub(crate) fn write_codes(
    disk: &dyn Disk,
    path: &str,
    at: CodesAt,
    table: &CodeTable,
    pace: &dyn Fn(usize),
) -> Result<Named> {
    let CodecParts { form, cosine, dim, scale, center } = table.codec().parts();
    let CodesAt { collection, block: BlockId(block), rows, codec } = at;
    let number =
        |n: usize| u32::try_from(n).map_err(|_| internal(path, "it is too large; please report this"));
    let head = CodesHead {
        collection,
        block,
        dim: number(dim)?,
        rows: number(rows)?,
        codec,
        form,
        cosine,
        scale: f64::from(scale),
        stride: number(table.codec().stride())?,
        terms: table.codec().has_terms(),
    };
    shape(path, head.dim, head.rows)?;
    let slots = || (0..rows).map(|row| Slot::new(at.block, row as u16));
    let missing = |slot: Slot| {
        internal(path, &format!("slot {} of block {block} has no code; please report this", slot.index()))
    };
    write(disk, path, KIND, &head, pace, |file| {
        let mut bytes = Vec::new();
        file.begin()?;
        put_floats(center, &mut bytes);
        file.write(&bytes)?;
        file.begin()?;
        for slot in slots() {
            file.write(table.code_of(slot).ok_or_else(|| missing(slot))?)?;
        }
        file.begin()?;
        for slot in slots().filter(|_| head.terms) {
            let terms = table.terms_of(slot).ok_or_else(|| missing(slot))?;
            put_floats(&[terms.factor, terms.offset], &mut bytes);
            file.write(&bytes)?;
        }
        Ok(())
    })
}

/// An open `.codes` file.
pub(crate) struct CodesFile {
    head: CodesHead,
    codec: Codec,
    file: SectionsFile,
}

impl CodesFile {
    /// Opens the file and checks its structure and its codec; no code is read. With `named`, no other file of that name is
    /// accepted.
    pub(crate) fn open(disk: &dyn Disk, path: &str, mapping: Mapping, named: Option<&Named>) -> Result<Self> {
        let file = SectionsFile::open(disk, path, KIND.magic, KIND.version, mapping, named)?;
        let head: CodesHead = head_of(&file, KIND)?;
        let (dim, rows) = shape(path, head.dim, head.rows)?;
        let center = file.section(CENTER);
        if !center.is_empty() {
            expect_len(&file, CENTER, dim, FLOAT_BYTES)?;
        }
        if !file.check(center.clone()) {
            return Err(damaged(path, center.start as u64, "the checksum of its centre does not match"));
        }
        let floats = file.map().bytes().get(center.clone()).unwrap_or_default().as_chunks().0;
        let floats: Vec<f32> = floats.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let scale = head.scale as f32;
        let parts = CodecParts { form: head.form, cosine: head.cosine, dim, scale, center: &floats };
        let codec = Codec::of_parts(parts)
            .filter(|codec| codec.stride() == head.stride as usize && codec.has_terms() == head.terms)
            .ok_or_else(|| damaged(path, 0, "no codec is as it describes"))?;
        expect_len(&file, CODES, rows, codec.stride())?;
        expect_len(&file, TERMS, if head.terms { rows } else { 0 }, TERMS_PER_ROW * FLOAT_BYTES)?;
        Ok(Self { head, codec, file })
    }

    pub(crate) fn head(&self) -> CodesHead {
        self.head
    }

    /// What made the codes.
    pub(crate) fn codec(&self) -> &Codec {
        &self.codec
    }

    /// The frame: its pieces, and how a manifest remembers the file.
    pub(crate) fn file(&self) -> &SectionsFile {
        &self.file
    }

    /// All codes and terms, verified or not, for a table with the same codec.
    pub(crate) fn codes(&self) -> Result<(Rows<u8>, Option<Rows<f32>>)> {
        let rows = self.head.rows as usize;
        let at = |section| self.file.section(section).start;
        let map = || Arc::clone(self.file.map());
        let codes = Rows::mapped(map(), at(CODES), self.codec.stride(), rows)?;
        let terms = self.head.terms.then(|| Rows::mapped(map(), at(TERMS), TERMS_PER_ROW, rows));
        Ok((codes, terms.transpose()?))
    }

    /// Verifies the whole file and returns the bad pieces. `pace` hears of each piece's bytes after they were read.
    pub(crate) fn check_all(&self, pace: &dyn Fn(usize)) -> Vec<u32> {
        self.file.check_all(pace)
    }
}
