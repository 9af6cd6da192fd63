//! What a comparison found: for the caller, and whole for the repair.

use super::remote::Fingerprint;
use crate::ids::ChunkId;
use crate::record::Head;
use serde::{Deserialize, Serialize};

/// What one side holds of a collection, in three numbers. Equal roots are the proof that both sides are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Live rows that were compared.
    pub rows: u64,
    /// XOR of digests and versions.
    pub xor: u64,
    /// Sum of digests.
    pub sum: u64,
}

impl From<Fingerprint> for Root {
    fn from(Fingerprint { rows, xor, sum }: Fingerprint) -> Self {
        Self { rows, xor, sum }
    }
}

/// What an audit found out about one collection, at one snapshot of both sides. Rows that wait to be sent are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The collection.
    pub collection: String,
    /// When.
    pub unix_ms: u64,
    /// Bytes were looked at, not only digests.
    pub is_deep: bool,
    /// This store.
    pub local: Root,
    /// The database.
    pub database: Root,
    /// Rows that wait to be sent, or were edited by hand and are held by somebody since. They were left out on both sides.
    pub dirty: usize,
    /// In the database, not here.
    pub missing_locally: Vec<ChunkId>,
    /// Here, not in the database.
    pub missing_remotely: Vec<ChunkId>,
    /// Of another version here than there.
    pub stale: Vec<ChunkId>,
    /// Those of them whose newer version is here.
    pub stale_remotely: Vec<ChunkId>,
    /// Changed in the database by hand; their digests say nothing, or something else than their bytes.
    pub hand_edited: Vec<ChunkId>,
    /// Their bytes here are not what they were (deep audits only).
    pub decayed: Vec<ChunkId>,
    /// Ranges whose fingerprints were asked for.
    pub ranges: usize,
    /// There are more differences than are named: a snapshot may not be held for long. A repair looks until there are none.
    pub is_cut: bool,
    /// What a repair has changed: rows here and rows there. Nothing in an audit, or a dry run.
    pub repaired: usize,
}

impl AuditReport {
    /// Both sides are equal, row for row.
    pub fn is_equal(&self) -> bool {
        self.local == self.database && self.drift() == 0
    }

    /// Rows that differ.
    pub fn drift(&self) -> usize {
        self.missing_locally.len()
            + self.missing_remotely.len()
            + self.stale.len()
            + self.hand_edited.len()
            + self.decayed.len()
    }
}

/// The rows that differ, as both sides have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    pub(super) local: Fingerprint,
    pub(super) remote: Fingerprint,
    pub(super) dirty: usize,
    /// As the database has them.
    pub(super) missing_locally: Vec<Head>,
    /// As they are here.
    pub(super) missing_remotely: Vec<Head>,
    /// Here, there.
    pub(super) stale: Vec<(Head, Head)>,
    /// As the database has them.
    pub(super) hand_edited: Vec<Head>,
    /// As they are here.
    pub(super) decayed: Vec<Head>,
    pub(super) ranges: usize,
    /// There are more than were listed.
    pub(super) is_cut: bool,
}

impl Differences {
    pub(super) fn len(&self) -> usize {
        self.missing_locally.len()
            + self.missing_remotely.len()
            + self.stale.len()
            + self.hand_edited.len()
            + self.decayed.len()
    }

    pub(super) fn report(&self, collection: &str, unix_ms: u64, is_deep: bool) -> AuditReport {
        let ids = |heads: &[Head]| heads.iter().map(|head| head.id.clone()).collect();
        AuditReport {
            collection: collection.to_owned(),
            unix_ms,
            is_deep,
            local: self.local.into(),
            database: self.remote.into(),
            dirty: self.dirty,
            missing_locally: ids(&self.missing_locally),
            missing_remotely: ids(&self.missing_remotely),
            stale: self.stale.iter().map(|(local, _)| local.id.clone()).collect(),
            stale_remotely: self
                .stale
                .iter()
                .filter(|(local, there)| (local.ver, local.node) > (there.ver, there.node))
                .map(|(local, _)| local.id.clone())
                .collect(),
            hand_edited: ids(&self.hand_edited),
            decayed: ids(&self.decayed),
            ranges: self.ranges,
            is_cut: self.is_cut,
            repaired: 0,
        }
    }
}
