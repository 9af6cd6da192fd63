//! The digest: one 64-bit number per row, compared with the database's to find drift.
//!
//! Invariant: the encoding is unambiguous (every field has a presence byte and a length) and never changes. The seed is a
//! secret of the database, so nobody can prepare two rows with one digest.

use super::row::{Payload, Row};
use xxhash_rust::xxh3::Xxh3;

/// The digest of the canonical row. An absent payload and an empty one are the same row.
pub(crate) fn digest(row: &Row, seed: u64) -> u64 {
    let empty = Payload::default();
    let Row { id, vector, payload } = row;
    let payload = payload.as_deref().unwrap_or(&empty);
    // Named one by one, so that a new field cannot be forgotten here.
    let Payload { text, metadata: _, document, chunk_index, tenant, embedding_model } = payload;

    let mut fields = Fields(Xxh3::with_seed(seed));
    fields.text(Some(id.as_str()));
    fields.vector(vector.as_deref());
    fields.text(text.as_deref());
    fields.text(Some(payload.metadata_json()));
    fields.text(document.as_deref());
    fields.0.update(&chunk_index.to_le_bytes());
    fields.text(tenant.as_deref());
    fields.text(embedding_model.as_deref());
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
