//! `IDENT`: what this store is, written once and never again.

use super::format::{FORMAT, IDENT_BYTES_MAX, IDENT_MAGIC};
use super::names::IDENT;
use crate::disk::{Disk, damaged, fault, read_envelope, write_envelope};
use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, RandomState};

/// What makes a store this one and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ident {
    pub(crate) format: u32,
    /// Random: tells this store's files from those of another.
    pub(crate) store: u64,
    /// Random: seeds the hashes of ids, so that strangers cannot choose collisions.
    pub(crate) id_seed: u64,
    /// Random, 63 bits, not 0: the name of this store where rows of many meet. A Postgres `bigint` holds it.
    pub(crate) node: u64,
    pub(crate) created_unix_ms: u64,
}

impl Ident {
    /// A new identity.
    pub(crate) fn random(created_unix_ms: u64) -> Self {
        // The standard library seeds its hashers from the system's source of randomness.
        let number = |what: &str| RandomState::new().hash_one((what, created_unix_ms));
        Self {
            format: FORMAT,
            store: number("store"),
            id_seed: number("id_seed"),
            node: (number("node") & i64::MAX as u64).max(1),
            created_unix_ms,
        }
    }

    /// Makes it durable, over the IDENT of a creation that was cut short.
    pub(crate) fn create(&self, disk: &dyn Disk) -> Result<()> {
        let body = serde_json::to_vec(self).map_err(|e| {
            Error::new(ErrorKind::Internal, "IDENT is no JSON; please report this").with_source(e)
        })?;
        write_envelope(disk, IDENT, IDENT_MAGIC, FORMAT, &body)?;
        disk.sync_dir("").map_err(|e| fault("sync", "the store's folder", e))
    }

    pub(crate) fn read(disk: &dyn Disk) -> Result<Self> {
        let (_, body) = read_envelope(disk, IDENT, IDENT_MAGIC, FORMAT, IDENT_BYTES_MAX)?;
        let ident: Self = serde_json::from_slice(&body)
            .map_err(|e| damaged(IDENT, 0, "it cannot be read").with_source(e))?;
        if ident.format != FORMAT || !(1..=i64::MAX as u64).contains(&ident.node) {
            let what = format_args!("format {} and node {} cannot be", ident.format, ident.node);
            return Err(damaged(IDENT, 0, what));
        }
        Ok(ident)
    }
}
