//! The bytes of a row without its vector, as the log and the blocks hold it. `FORMAT.md`, section Row, is the law.
//!
//! Invariants: a row has one encoding; what parses encodes to the same bytes again; parsing never panics and never
//! allocates. Does not know checksums: whoever stores a body guards it.

use super::row::{Payload, Row};
use crate::ids::{ChunkId, Ver};
use crate::limits::{ID_BYTES_MAX, METADATA_BYTES_MAX, TEXT_BYTES_MAX};

const VER: usize = 0;
const NODE: usize = VER + 8;
const CHUNK_INDEX: usize = NODE + 8;
const FLAGS: usize = CHUNK_INDEX + 4;
const ZERO: usize = FLAGS + 1;
const ID_BYTES: usize = ZERO + 1;
const DOCUMENT_BYTES: usize = ID_BYTES + 2;
const TENANT_BYTES: usize = DOCUMENT_BYTES + 2;
const MODEL_BYTES: usize = TENANT_BYTES + 2;
const ZERO_2: usize = MODEL_BYTES + 2;
const TEXT_BYTES: usize = ZERO_2 + 2;
const METADATA_BYTES: usize = TEXT_BYTES + 4;
/// Where the strings start.
const HEAD_BYTES: usize = METADATA_BYTES + 4;

const _: () = assert!(HEAD_BYTES == 40);
const _: () = assert!(ID_BYTES_MAX <= u16::MAX as usize);
const _: () = assert!(TEXT_BYTES_MAX <= u32::MAX as usize);
const _: () = assert!(METADATA_BYTES_MAX <= u32::MAX as usize);

const TEXT: u8 = 1;
const DOCUMENT: u8 = 2;
const TENANT: u8 = 4;
const MODEL: u8 = 8;
const METADATA: u8 = 16;
const VECTOR: u8 = 32;
const FLAGS_ALL: u8 = TEXT | DOCUMENT | TENANT | MODEL | METADATA | VECTOR;

/// Appends the body of `row`.
pub(crate) fn encode_body(row: &Row, ver: Ver, node: u64, out: &mut Vec<u8>) {
    let body = RowRef::of(row.id.as_str(), row.payload.as_deref(), ver);
    RowRef { node, has_vector: row.vector.is_some(), ..body }.encode(out);
}

/// A row without its vector, its strings where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowRef<'a> {
    pub(crate) id: &'a str,
    pub(crate) ver: Ver,
    pub(crate) node: u64,
    pub(crate) chunk_index: u32,
    pub(crate) has_vector: bool,
    pub(crate) text: Option<&'a str>,
    pub(crate) document: Option<&'a str>,
    pub(crate) tenant: Option<&'a str>,
    pub(crate) embedding_model: Option<&'a str>,
    /// Canonical JSON, empty when there is none.
    pub(crate) metadata: &'a str,
}

impl<'a> RowRef<'a> {
    /// A row that is in memory. It says neither node nor vector: set those fields where they matter.
    pub(crate) fn of(id: &'a str, payload: Option<&'a Payload>, ver: Ver) -> Self {
        Self {
            id,
            ver,
            node: 0,
            chunk_index: payload.map_or(0, |p| p.chunk_index),
            has_vector: false,
            text: payload.and_then(|p| p.text.as_deref()),
            document: payload.and_then(|p| p.document.as_deref()),
            tenant: payload.and_then(|p| p.tenant.as_deref()),
            embedding_model: payload.and_then(|p| p.embedding_model.as_deref()),
            metadata: payload.map_or("", |p| &p.metadata),
        }
    }

    /// The row of exactly these bytes; `None` if they are not one.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let flags = head[FLAGS];
        if flags & !FLAGS_ALL != 0 || head[ZERO] != 0 || u16_at(head, ZERO_2)? != 0 {
            return None;
        }
        let rest = &mut rest;
        let has = |flag: u8| flags & flag != 0;
        let row = Self {
            id: take(rest, u16_at(head, ID_BYTES)?.into())?,
            document: optional(rest, has(DOCUMENT), u16_at(head, DOCUMENT_BYTES)?.into())?,
            tenant: optional(rest, has(TENANT), u16_at(head, TENANT_BYTES)?.into())?,
            embedding_model: optional(rest, has(MODEL), u16_at(head, MODEL_BYTES)?.into())?,
            text: optional(rest, has(TEXT), usize::try_from(u32_at(head, TEXT_BYTES)?).ok()?)?,
            metadata: take(rest, usize::try_from(u32_at(head, METADATA_BYTES)?).ok()?)?,
            ver: Ver(u64_at(head, VER)? as i64),
            node: u64_at(head, NODE)?,
            chunk_index: u32_at(head, CHUNK_INDEX)?,
            has_vector: has(VECTOR),
        };
        let is_whole = rest.is_empty() && !row.id.is_empty() && has(METADATA) != row.metadata.is_empty();
        is_whole.then_some(row)
    }

    /// Appends the bytes that [`parse`](Self::parse) reads. Every length fits: `admit` has checked it against the limits.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
        let flags = flag(self.text.is_some(), TEXT)
            | flag(self.document.is_some(), DOCUMENT)
            | flag(self.tenant.is_some(), TENANT)
            | flag(self.embedding_model.is_some(), MODEL)
            | flag(!self.metadata.is_empty(), METADATA)
            | flag(self.has_vector, VECTOR);
        let names = [Some(self.id), self.document, self.tenant, self.embedding_model];
        let texts = [self.text, Some(self.metadata)];

        out.extend(self.ver.0.to_le_bytes());
        out.extend(self.node.to_le_bytes());
        out.extend(self.chunk_index.to_le_bytes());
        out.extend([flags, 0]);
        names.iter().for_each(|s| out.extend((s.map_or(0, str::len) as u16).to_le_bytes()));
        out.extend([0; 2]);
        texts.iter().for_each(|s| out.extend((s.map_or(0, str::len) as u32).to_le_bytes()));
        names.iter().chain(&texts).flatten().for_each(|s| out.extend(s.as_bytes()));
    }

    /// The row on its own, with the vector that stood beside it.
    pub(crate) fn to_row(self, vector: Option<Vec<f32>>) -> Row {
        let payload = Payload {
            text: self.text.map(Into::into),
            metadata: self.metadata.into(),
            document: self.document.map(Into::into),
            chunk_index: self.chunk_index,
            tenant: self.tenant.map(Into::into),
            embedding_model: self.embedding_model.map(Into::into),
        };
        Row { id: ChunkId::from(self.id), vector, payload: payload.boxed() }
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a str> {
    let (bytes, after) = rest.split_at_checked(len)?;
    *rest = after;
    std::str::from_utf8(bytes).ok()
}

/// The outer `None` is for a length without a flag.
fn optional<'a>(rest: &mut &'a [u8], is_there: bool, len: usize) -> Option<Option<&'a str>> {
    match (is_there, len) {
        (true, _) => take(rest, len).map(Some),
        (false, 0) => Some(None),
        (false, _) => None,
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
