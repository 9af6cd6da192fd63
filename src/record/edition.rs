//! A version of a chunk as the sides of a mirror exchange it, and the order between versions.
//!
//! Invariant: of two versions of one chunk the greater [`Stamp`] wins, on every side, whichever came first; so applying the
//! same versions in any order, any number of times, ends in the same state (M5).

use super::row::Row;
use crate::ids::{ChunkId, Ver};

/// What decides between two versions. The fields are compared in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stamp {
    pub(crate) ver: Ver,
    /// Who wrote it; never 0.
    pub(crate) node: u64,
    /// Of the content, with the database's seed; 0 for a deletion.
    pub(crate) digest: u64,
}

/// One version of one chunk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Edition {
    pub(crate) id: ChunkId,
    pub(crate) stamp: Stamp,
    /// Nothing: it was deleted.
    pub(crate) row: Option<Row>,
}

/// An edition without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: ChunkId,
    pub(crate) ver: Ver,
    pub(crate) node: u64,
    /// Nothing: somebody edited the row by hand, and nobody has looked at what it says since.
    pub(crate) digest: Option<u64>,
    pub(crate) is_deleted: bool,
}

impl Edition {
    /// The same without its content.
    pub(crate) fn head(&self) -> Head {
        let Stamp { ver, node, digest } = self.stamp;
        Head { id: self.id.clone(), ver, node, digest: Some(digest), is_deleted: self.row.is_none() }
    }
}
