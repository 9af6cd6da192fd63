//! What the user stores, and the one canonical form of it that everything below and beside this store agrees on.
//!
//! Owns: the public [`Chunk`], the check at the door ([`admit`]), the canonical [`Row`], its [`digest`], and the bytes that it
//! is on a disk ([`RowRef`]).
//!
//! Invariants:
//! - A [`Row`] exists only if Postgres would take it: acceptance implies mirrorability (M14).
//! - Rows that are equal as Postgres compares them (`jsonb`, `vector`) have one canonical form, hence one digest.
//! - The canonical form and the digest's encoding never change: digests lie in databases. Golden tests hold them.
//!
//! Does not know: slots, files, the collection (only its dimension and whether it is cosine).

#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "requests and imports are its users"))]
mod apart;
mod canonical;
mod chunk;
#[cfg_attr(not(feature = "mirror"), allow(dead_code, reason = "the mirror is its user"))]
mod digest;
#[cfg_attr(not(feature = "mirror"), allow(dead_code, reason = "the mirror is its user"))]
mod edition;
#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "requests and imports are its users"))]
mod floats;
mod format;
mod grave;
mod num;
mod row;
#[cfg(test)]
mod tests;
mod validate;

#[cfg_attr(
    not(feature = "server"),
    allow(unused_imports, reason = "requests and imports are its users")
)]
pub(crate) use apart::read_apart;
pub(crate) use canonical::{Map, to_canonical};
pub use chunk::Chunk;
#[cfg_attr(not(feature = "mirror"), allow(unused_imports, reason = "the mirror is its user"))]
pub(crate) use digest::{digest, digest_of};
pub(crate) use edition::{Edition, Head, Stamp};
#[cfg_attr(
    not(feature = "server"),
    allow(unused_imports, reason = "requests and imports are its users")
)]
pub(crate) use floats::{Floats, maybe_floats};
pub(crate) use format::{RowRef, encode_body};
pub(crate) use grave::{Grave, encode_grave, encode_id, parse_grave, parse_id};
pub(crate) use num::Num;
pub(crate) use row::{Payload, Row};
pub(crate) use validate::admit;
