//! A name goes from one collection to another while callers write to it.
//!
//! Invariant: from before the last look at what both hold until the name has gone over, nobody's write to either is under way; a write
//! that comes meanwhile waits, and is then refused where its handle was opened by the name before (`Collection::writes`). So what was
//! acknowledged under a name is in the collection that has it: no write falls between the last copy and the change.
//!
//! Versions that a mirror brings are no callers' writes and do not wait.

use super::collection::Collection;
use super::write::upsert::Ack;
use crate::error::{Error, Result, excerpt};
use crate::ids::{ChunkId, Ver};
use crate::record::Chunk;
use parking_lot::RwLockWriteGuard;
use std::sync::atomic::Ordering;

/// Two collections that nobody else writes to as long as it is held.
pub(crate) struct Turns<'a> {
    of: [&'a Collection; 2],
    _held: [RwLockWriteGuard<'a, ()>; 2],
}

impl<'a> Turns<'a> {
    /// Waits for the writes that are under way.
    pub(crate) fn of(one: &'a Collection, other: &'a Collection) -> Result<Self> {
        let (a, b) = (one.inner(), other.inner());
        if a.number == b.number {
            let message = format!("collection {} cannot take its own place", excerpt(one.name()));
            return Err(Error::invalid(message));
        }
        let (first, second) = if a.number < b.number { (a, b) } else { (b, a) };
        Ok(Self { of: [one, other], _held: [first.turn.write(), second.turn.write()] })
    }

    /// Rows of one of both that come and go where what they replace is what was seen: a write of whoever holds the turns. It does
    /// not wait for a mirror's database: callers wait meanwhile.
    pub(crate) fn replace(
        &self,
        into: &Collection,
        chunks: Vec<(Chunk, Option<Ver>)>,
        gone: Vec<(ChunkId, Ver)>,
    ) -> Result<Ack> {
        into.inner().replace(chunks, gone)
    }

    /// Gives both their new names in one commit. Refused where one was renamed or dropped since it was opened.
    pub(crate) fn rename(self, names: [&str; 2]) -> Result<()> {
        let [one, other] = self.of;
        let were = [one.inner().name(), other.inner().name()];
        let changes = [(&*were[0], names[0]), (&*were[1], names[1])];
        let numbers = [one.inner().number, other.inner().number];
        one.store().shared.rename(&changes, Some(&numbers))?;
        for collection in self.of {
            collection.inner().was_switched.store(true, Ordering::Release);
        }
        Ok(())
    }
}

impl Collection {
    /// Rows that come and go where what they replace is what was seen, each for itself; what was not is told as
    /// [`CHANGED`](super::CHANGED), and what was to go and has changed stays.
    pub(crate) fn replace(
        &self,
        chunks: Vec<(Chunk, Option<Ver>)>,
        gone: Vec<(ChunkId, Ver)>,
    ) -> Result<Ack> {
        let _turn = self.writes()?;
        self.inner().replace(chunks, gone)
    }
}
