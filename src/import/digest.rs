//! One number for a set of rows, in whatever order they come: the count, and the sum of their digests.

use crate::engine::Collection;
use crate::error::Result;
use crate::record::{Row, RowRef, digest, digest_of};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Digests of one store are compared with those of a file: nobody has to be kept from making two rows of one digest.
const SEED: u64 = 0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    pub(crate) rows: u64,
    pub(crate) sum: u64,
}

impl Digest {
    pub(crate) fn add(&mut self, row: &Row) {
        self.put(digest(row, SEED));
    }

    pub(crate) fn add_ref(&mut self, row: &RowRef<'_>, vector: Option<&[f32]>) {
        self.put(digest_of(row, vector, SEED));
    }

    fn put(&mut self, digest: u64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(digest);
    }

    /// Of all rows of a collection.
    pub(crate) fn of(collection: &Collection) -> Result<Self> {
        let mut all = Self::default();
        collection.for_each(None, &mut |row, vector| {
            all.add_ref(&row, vector);
            Ok(())
        })?;
        Ok(all)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} of {} rows", self.sum, self.rows)
    }
}
