//! The digest: one 64-bit number per row, compared with the database's to find drift.
//!
//! Invariant: the encoding is unambiguous (every field has a presence byte and a length) and never changes. The seed is a
//! secret of the database, so nobody can prepare two rows with one digest.

use super::format::RowRef;
use super::row::Row;
use crate::ids::Ver;
use xxhash_rust::xxh3::Xxh3;

#[cfg_attr(not(test), allow(dead_code, reason = "the mirror is its user"))]
/// The digest of the canonical row. An absent payload and an empty one are the same row.
pub(crate) fn digest(row: &Row, seed: u64) -> u64 {
    let body = RowRef::of(row.id.as_str(), row.payload.as_deref(), Ver(0));
    digest_of(&body, row.vector.as_deref(), seed)
}

/// The same of a row where it stands. Who wrote which version of it does not count.
pub(crate) fn digest_of(body: &RowRef<'_>, vector: Option<&[f32]>, seed: u64) -> u64 {
    // Named one by one, so that a new field cannot be forgotten here.
    #[rustfmt::skip]
    let RowRef { id, ver: _, node: _, chunk_index, has_vector: _, text, document, tenant, embedding_model, metadata } = body;

    let mut fields = Fields(Xxh3::with_seed(seed));
    fields.text(Some(id));
    fields.vector(vector);
    fields.text(*text);
    fields.text(Some(if metadata.is_empty() { "{}" } else { metadata }));
    fields.text(*document);
    fields.0.update(&chunk_index.to_le_bytes());
    fields.text(*tenant);
    fields.text(*embedding_model);
    fields.0.digest()
}

struct Fields(Xxh3);

impl Fields {
    fn text(&mut self, text: Option<&str>) {
        if self.head(text.map(str::len)) {
            self.0.update(text.unwrap_or_default().as_bytes());
        }
    }

    fn vector(&mut self, vector: Option<&[f32]>) {
        if !self.head(vector.map(<[f32]>::len)) {
            return;
        }
        let mut bytes = [0; 1024];
        for part in vector.unwrap_or_default().chunks(bytes.len() / 4) {
            for (out, &x) in bytes.as_chunks_mut().0.iter_mut().zip(part) {
                // Zero has two signs and one value.
                *out = if x == 0.0 { [0; 4] } else { x.to_le_bytes() };
            }
            self.0.update(&bytes[..part.len() * 4]);
        }
    }

    /// Presence and length, before the bytes. True if there are bytes to come.
    fn head(&mut self, len: Option<usize>) -> bool {
        self.0.update(&[u8::from(len.is_some())]);
        if let Some(len) = len {
            self.0.update(&(len as u64).to_le_bytes());
        }
        len.is_some()
    }
}
