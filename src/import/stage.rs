//! From rows of a file to rows of the staged collection, in batches that are a commit each.
//!
//! Invariant: what is taken and what is refused follows from the file alone, row by row, and batches are whole. So the number of rows that
//! are staged says how far an import that was killed had come: it reads the file from its beginning and passes over as many.

use super::digest::Digest;
use super::rejects::Rejects;
use super::source::{Entry, Rows};
use crate::config::{Metric, Schema};
use crate::engine::Collection;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Chunk, Row, admit};
use std::collections::HashSet;
use xxhash_rust::xxh3::xxh3_128;

/// Bytes of rows in one commit, at most; a larger row is a commit of its own.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Rows whose neighbours are looked up in the end.
pub(super) const SAMPLES: usize = 16;

/// What a file came to.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    /// Rows that were there already.
    pub(super) resumed: u64,
    pub(super) samples: Vec<Vec<f32>>,
}

/// What takes rows.
pub(super) trait Taker {
    /// How many of them an earlier run has brought.
    fn staged(&self) -> u64;

    /// Takes all of them, or fails.
    fn take(&self, batch: Vec<Row>) -> Result<()>;
}

impl Taker for Collection {
    fn staged(&self) -> u64 {
        self.stats().rows as u64
    }

    fn take(&self, batch: Vec<Row>) -> Result<()> {
        self.exchange(batch, Vec::new()).map(drop)
    }
}

/// Where rows go.
pub(super) struct Stage<'a> {
    /// Nowhere: they are looked at, and that is all.
    pub(super) into: Option<&'a dyn Taker>,
    pub(super) schema: Schema,
    pub(super) batch_rows: usize,
    /// Bytes of all rows together.
    pub(super) bytes_max: u64,
}

impl Stage<'_> {
    pub(super) fn fill(
        &self,
        rows: &mut dyn Rows,
        rejects: &mut Rejects,
        tell: &mut dyn FnMut(u64),
    ) -> Result<Taken> {
        let there = self.into.map_or(0, Taker::staged);
        let (mut taken, mut ids, mut batch) = (Taken::default(), Ids::default(), Batch::default());
        let mut read = 0;
        while let Some(Entry { place, chunk }) = rows.next()? {
            read += 1;
            let id = chunk.as_ref().ok().map(|chunk| chunk.id.clone());
            let row = match chunk.and_then(|chunk| self.admit(chunk, &mut ids)) {
                Ok(row) => row,
                Err(reason) => {
                    rejects.add(place, id.as_deref(), reason)?;
                    if rejects.is_over() {
                        break;
                    }
                    continue;
                }
            };
            taken.count(&row, self.bytes_max)?;
            if taken.digest.rows <= there {
                taken.resumed += 1;
                tell(read);
                continue;
            }
            if batch.is_full(&row, self.batch_rows) {
                self.store(batch.take())?;
                tell(read);
            }
            if self.into.is_some() {
                batch.push(row);
            }
        }
        self.store(batch.take())?;
        tell(read);
        rejects.judge()?;
        if taken.digest.rows == 0 {
            return Err(Error::invalid("the file has no row that can be stored; nothing was changed"));
        }
        Ok(taken)
    }

    /// The row that a chunk is, or why it cannot be stored.
    pub(super) fn admit(&self, chunk: Chunk, ids: &mut Ids) -> std::result::Result<Row, String> {
        if self.schema.tenant_required && chunk.tenant.is_none() {
            return Err("the collection requires a tenant; name it with --tenant".to_owned());
        }
        let row = admit(chunk, self.schema.dim, self.schema.metric == Metric::Cosine);
        let row = row.map_err(|rejection| rejection.reason)?;
        if ids.is_new(row.id.as_str()) { Ok(row) } else { Err("its id came before in this file".to_owned()) }
    }

    fn store(&self, batch: Vec<Row>) -> Result<()> {
        match self.into {
            Some(into) if !batch.is_empty() => into.take(batch),
            _ => Ok(()),
        }
    }
}

impl Taken {
    fn count(&mut self, row: &Row, bytes_max: u64) -> Result<()> {
        self.bytes += row.bytes() as u64;
        if self.bytes > bytes_max {
            return Err(Error::new(
                ErrorKind::Full,
                format!(
                    "the file has more than {bytes_max} bytes of rows, which is what can go into a collection that is there in \
                     one commit; import it into a collection of its own, or in parts"
                ),
            ));
        }
        self.digest.add(row);
        let Some(vector) = &row.vector else { return Ok(()) };
        // Each row is as likely to be among them as any other, and the same each time.
        if self.samples.len() < SAMPLES {
            self.samples.push(vector.clone());
        } else {
            let at = mix(self.digest.rows) % self.digest.rows;
            if let Some(sample) = usize::try_from(at).ok().and_then(|at| self.samples.get_mut(at)) {
                sample.clone_from(vector);
            }
        }
        Ok(())
    }
}

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Ids that were seen, 16 bytes each: less than an index keeps of a row, and no two ids of any file have the same.
#[derive(Default)]
pub(super) struct Ids(HashSet<u128>);

impl Ids {
    fn is_new(&mut self, id: &str) -> bool {
        self.0.insert(xxh3_128(id.as_bytes()))
    }
}

#[derive(Default)]
struct Batch {
    rows: Vec<Row>,
    bytes: usize,
}

impl Batch {
    fn is_full(&self, next: &Row, rows_max: usize) -> bool {
        self.rows.len() >= rows_max || !self.rows.is_empty() && self.bytes + next.bytes() > BATCH_BYTES_MAX
    }

    fn push(&mut self, row: Row) {
        self.bytes += row.bytes();
        self.rows.push(row);
    }

    fn take(&mut self) -> Vec<Row> {
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }
}
