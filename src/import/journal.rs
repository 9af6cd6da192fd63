//! What is remembered of imports, in the store itself: the one under way, and the last one that was switched in.
//!
//! Two rows of a hidden collection, so that what is written here is as durable as the rows it speaks of, and changes as a whole.

use super::digest::Digest;
use super::job::Mode;
use crate::config::{Metric, Schema};
use crate::engine::{Collection, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ChunkId;
use crate::record::{Chunk, admit};
use serde::{Deserialize, Serialize};

const NAME: &str = ".import-journal";
const NOW: &str = "now";
const LAST: &str = "last";

/// The collection that an import fills.
pub(super) const STAGED: &str = ".import-staged";
/// What an import will replace, while that is written down.
pub(super) const KEEPING: &str = ".import-keeping";
/// What the last import replaced: the whole collection, or the rows of it.
pub(super) const PREVIOUS: &str = ".import-previous";
/// What the import before replaced, from when it is not wanted any more until it is dropped.
pub(super) const DISCARDED: &str = ".import-discarded";
/// What the last import brought, where the collection that it went into was there before.
pub(super) const BROUGHT: &str = ".import-brought";

/// How an import is switched in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    /// The staged collection takes the name: nothing is copied.
    Rename,
    /// Its rows go into the collection that is there, in one commit.
    Exchange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Rows are on their way into [`STAGED`].
    Staging,
    /// All that must be there before the switch is there.
    Switching,
    Done,
    RolledBack,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) state: State,
    /// Of the files and of everything that was asked for.
    pub(super) fingerprint: String,
    pub(super) source: String,
    pub(super) into: String,
    pub(super) mode: Mode,
    pub(super) way: Way,
    /// Of the rows of the file, once they are verified.
    pub(super) staged: Digest,
    /// Of the collection before and after, where that is known.
    pub(super) before: Option<Digest>,
    pub(super) after: Option<Digest>,
}

pub(super) struct Journal {
    rows: Collection,
}

impl Journal {
    pub(super) fn open(store: &Store) -> Result<Self> {
        // Its rows are texts; a collection has vectors of some length all the same.
        Ok(Self { rows: store.hidden_or_create(NAME, Schema::new(1, Metric::L2))? })
    }

    pub(super) fn now(&self) -> Result<Option<Entry>> {
        self.read(NOW)
    }

    pub(super) fn last(&self) -> Result<Option<Entry>> {
        self.read(LAST)
    }

    pub(super) fn set_now(&self, entry: &Entry) -> Result<()> {
        self.write(Some((NOW, entry)), &[])
    }

    /// The one under way is the last one now.
    pub(super) fn set_last(&self, entry: &Entry) -> Result<()> {
        self.write(Some((LAST, entry)), &[NOW])
    }

    /// There is none under way any more.
    pub(super) fn forget_now(&self) -> Result<()> {
        self.write(None, &[NOW])
    }

    fn read(&self, id: &str) -> Result<Option<Entry>> {
        let Some(text) = self.rows.get(id)?.and_then(|chunk| chunk.text) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).map_err(|e| {
            let message = "what is remembered of the last import makes no sense to this version";
            Error::new(ErrorKind::Conflict, message).with_source(e)
        })
    }

    fn write(&self, entry: Option<(&str, &Entry)>, gone: &[&str]) -> Result<()> {
        let row = |(id, entry): (&str, &Entry)| {
            let text = serde_json::to_string(entry)
                .map_err(|e| Error::new(ErrorKind::Internal, "the journal is no JSON").with_source(e))?;
            admit(Chunk::new(id).text(text), 1, false).map_err(Error::from)
        };
        let rows = entry.map(row).transpose()?.into_iter().collect();
        self.rows.exchange(rows, gone.iter().map(|id| ChunkId::from(*id)).collect()).map(drop)
    }
}
