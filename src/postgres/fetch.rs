//! A row of the table as it comes: checked at the door like everything that comes in, and canonical after it.
//!
//! Invariant: what leaves here was admitted. A row that cannot be (somebody wrote it by hand) is set aside with the reason, and
//! delays no other.

use super::binary::{self, Broken, Fields};
use crate::config::{Metric, Schema};
use crate::ids::{ChunkId, Ver};
use crate::mirror::remote::Refused;
use crate::record::{self, Chunk, Edition, Head, Map, Row, Stamp};

/// Columns of `sql::ROWS` and `sql::SCAN`.
pub(super) const COLUMNS: usize = 12;

/// What a row is held to.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) collection: String,
    pub(super) schema: Schema,
    pub(super) seed: u64,
}

/// A row that came, or why it cannot come in.
pub(super) type Admitted = Result<Edition, Refused>;

impl Door {
    /// The edition that the fields are; broken if they are not even columns of our types.
    pub(super) fn admit(&self, fields: &Fields<'_, COLUMNS>) -> Result<Admitted, Broken> {
        let head = head(fields)?;
        if head.is_deleted {
            return Ok(Ok(edition(head, None, 0)));
        }
        Ok(match self.row(fields, &head)? {
            Ok(row) => {
                // Nobody has looked at it since it was edited: now somebody does.
                let digest = head.digest.unwrap_or_else(|| record::digest(&row, self.seed));
                Ok(edition(head, Some(row), digest))
            }
            Err(reason) => Err(Refused { collection: self.collection.clone(), head, reason }),
        })
    }

    fn row(&self, fields: &Fields<'_, COLUMNS>, head: &Head) -> Result<Result<Row, String>, Broken> {
        let [_, _, _, _, _, document, chunk_index, tenant, text, metadata, model, embedding] = fields;
        let metadata: Map = match serde_json::from_slice(metadata.ok_or(Broken)?) {
            Ok(map) => map,
            // jsonb holds numbers that no 64-bit float does.
            Err(e) => return Ok(Err(format!("metadata cannot be read: {e}"))),
        };
        let chunk = Chunk {
            id: head.id.to_string(),
            vector: embedding.map(|bytes| binary::vector_of(bytes).ok_or(Broken)).transpose()?,
            text: string(*text)?,
            document_id: string(*document)?,
            // The table refuses what is negative; one that was made elsewhere may not.
            chunk_index: binary::i32_of(chunk_index.ok_or(Broken)?)
                .ok_or(Broken)?
                .try_into()
                .unwrap_or(u32::MAX),
            metadata,
            tenant: string(*tenant)?,
            embedding_model: string(*model)?,
        };
        let is_cosine = self.schema.metric == Metric::Cosine;
        Ok(record::admit(chunk, self.schema.dim, is_cosine).map_err(|rejection| rejection.reason))
    }
}

fn head(fields: &Fields<'_, COLUMNS>) -> Result<Head, Broken> {
    let [id, ver, node, deleted, digest, ..] = fields;
    Ok(Head {
        id: ChunkId::from(str(id.ok_or(Broken)?)?),
        ver: Ver(integer(*ver)?.ok_or(Broken)?),
        node: integer(*node)?.ok_or(Broken)? as u64,
        digest: integer(*digest)?.map(|digest| digest as u64),
        is_deleted: deleted.and_then(binary::bool_of).ok_or(Broken)?,
    })
}

fn edition(head: Head, row: Option<Row>, digest: u64) -> Edition {
    Edition { id: head.id, stamp: Stamp { ver: head.ver, node: head.node, digest }, row }
}

fn integer(field: Option<&[u8]>) -> Result<Option<i64>, Broken> {
    field.map(|bytes| binary::i64_of(bytes).ok_or(Broken)).transpose()
}

fn string(field: Option<&[u8]>) -> Result<Option<String>, Broken> {
    field.map(|bytes| str(bytes).map(str::to_owned)).transpose()
}

fn str(bytes: &[u8]) -> Result<&str, Broken> {
    std::str::from_utf8(bytes).map_err(|_| Broken)
}
