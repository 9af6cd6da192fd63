//! From the staged collection to the one of the name, by one commit; and what an earlier process left half done.
//!
//! Each step can be done again: the journal says `Switching` when everything that the commit needs is durable, and from then on the way
//! is forward. Whether the commit was made can be told by the staged collection, which has no other name before it.

use super::digest::Digest;
use super::job::Mode;
use super::journal::{BROUGHT, Entry, Journal, KEEPING, PREVIOUS, STAGED, State, Way};
use crate::engine::{Collection, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ChunkId;
use crate::record::Row;
use std::collections::HashSet;

/// Rows in one commit of a copy.
const COPY_ROWS: usize = 4_096;

/// Makes what is staged the collection of the name.
pub(super) fn switch(store: &Store, journal: &Journal, mut entry: Entry) -> Result<Entry> {
    let there = store.open_collection(&entry.into).ok();
    entry.before = there.as_ref().map(Digest::of).transpose()?;
    drop_if_there(store, KEEPING)?;
    if let (Way::Exchange, Some(there)) = (entry.way, &there) {
        keep_what_goes(store, there, entry.mode)?;
    }
    entry.state = State::Switching;
    journal.set_now(&entry)?;
    finish(store, journal, entry)
}

/// The same from where everything is there.
pub(super) fn finish(store: &Store, journal: &Journal, mut entry: Entry) -> Result<Entry> {
    if let Some(staged) = store.hidden(STAGED) {
        // The way back before this import ends where there is none but forward.
        drop_if_there(store, PREVIOUS)?;
        drop_if_there(store, BROUGHT)?;
        match entry.way {
            Way::Rename => {
                let changes = [(entry.into.as_str(), PREVIOUS), (STAGED, entry.into.as_str())];
                let is_there = store.open_collection(&entry.into).is_ok();
                store.rename(if is_there { &changes } else { &changes[1..] })?;
            }
            Way::Exchange => {
                let into = store.open_collection(&entry.into)?;
                let rows = rows_of(&staged)?;
                let gone = if entry.mode == Mode::Replace { others(&into, &rows)? } else { Vec::new() };
                into.exchange(rows, gone)?;
                store.rename(&[(STAGED, BROUGHT), (KEEPING, PREVIOUS)])?;
            }
        }
    }
    entry.state = State::Done;
    entry.after = Some(Digest::of(&store.open_collection(&entry.into)?)?);
    journal.set_last(&entry)?;
    Ok(entry)
}

/// Settles what an earlier process left: an import that had begun to switch is finished, one that had not is removed.
pub(super) fn settle(store: &Store, journal: &Journal) -> Result<Option<Entry>> {
    let now = journal.now()?;
    if let Some(entry) = now.filter(|entry| entry.state == State::Switching) {
        return finish(store, journal, entry).map(Some);
    }
    give_up(store, journal).map(|()| None)
}

/// Removes what was staged.
pub(super) fn give_up(store: &Store, journal: &Journal) -> Result<()> {
    drop_if_there(store, STAGED)?;
    drop_if_there(store, KEEPING)?;
    journal.forget_now()
}

pub(super) fn drop_if_there(store: &Store, name: &str) -> Result<()> {
    match store.drop_hidden(name) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Copies the rows that the exchange replaces or removes, so that it can be undone.
fn keep_what_goes(store: &Store, there: &Collection, mode: Mode) -> Result<()> {
    let kept = store.hidden_or_create(KEEPING, there.schema().clone())?;
    let staged = store.hidden(STAGED).ok_or_else(|| Error::new(ErrorKind::Internal, "nothing is staged"))?;
    let comes = if mode == Mode::Append { Some(ids_of(&staged)?) } else { None };
    let mut batch: Vec<Row> = Vec::new();
    there.for_each(None, &mut |row, vector| {
        if comes.as_ref().is_none_or(|ids| ids.contains(row.id)) {
            batch.push(row.to_row(vector.map(<[f32]>::to_vec)));
        }
        if batch.len() >= COPY_ROWS {
            kept.exchange(std::mem::take(&mut batch), Vec::new())?;
        }
        Ok(())
    })?;
    kept.exchange(batch, Vec::new()).map(drop)
}

/// All rows of a collection, in memory.
pub(super) fn rows_of(collection: &Collection) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    collection.for_each(None, &mut |row, vector| {
        rows.push(row.to_row(vector.map(<[f32]>::to_vec)));
        Ok(())
    })?;
    Ok(rows)
}

pub(super) fn ids_of(collection: &Collection) -> Result<HashSet<String>> {
    let mut ids = HashSet::new();
    collection.for_each(None, &mut |row, _| {
        ids.insert(row.id.to_owned());
        Ok(())
    })?;
    Ok(ids)
}

/// The ids of a collection that are none of these rows.
fn others(collection: &Collection, rows: &[Row]) -> Result<Vec<ChunkId>> {
    let mut ids = ids_of(collection)?;
    for row in rows {
        ids.remove(row.id.as_str());
    }
    Ok(ids.iter().map(|id| ChunkId::from(id.as_str())).collect())
}
