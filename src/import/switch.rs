//! From the staged collection to the one of the name, by one commit; and what an earlier process left half done.
//!
//! Each step can be done again: the journal says `Switching` when everything that the commit needs is durable, and from then on the way
//! is forward. Whether the commit was made can be told by the staged collection, which has no other name before it.

use super::digest::Digest;
use super::job::Mode;
use super::journal::{BROUGHT, DISCARDED, Entry, Journal, KEEPING, PREVIOUS, STAGED, State, Way};
use crate::engine::{Collection, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ChunkId;
use crate::record::Row;
use std::collections::HashSet;

/// Rows in one commit of a copy.
const COPY_ROWS: usize = 4_096;

/// Makes what is staged the collection of the name.
pub(super) fn switch(store: &Store, journal: &Journal, mut entry: Entry) -> Result<(Entry, Option<String>)> {
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

/// The same from where everything is there. An error has changed nothing. What fails after the commit is no failure of the import: the
/// journal still says that it is under way, so whoever comes next writes down that it is done; a note tells of it.
pub(super) fn finish(store: &Store, journal: &Journal, mut entry: Entry) -> Result<(Entry, Option<String>)> {
    let staged = store.hidden(STAGED);
    if let Some(staged) = &staged {
        commit(store, staged, &entry)?;
    }
    let written = write_down(store, journal, &mut entry, staged.is_some());
    let note = written.err().map(|e| {
        format!(
            "it is switched in, but that could not be written down ({e}); the next import or --rollback does"
        )
    });
    Ok((entry, note))
}

/// The one commit that makes the collection what it is to be.
fn commit(store: &Store, staged: &Collection, entry: &Entry) -> Result<()> {
    let into = store.open_collection(&entry.into).ok();
    match (entry.way, into) {
        (Way::Rename, into) => {
            drop_if_there(store, DISCARDED)?;
            // The import before can be undone until this very commit.
            let changes =
                [(PREVIOUS, DISCARDED), (entry.into.as_str(), PREVIOUS), (STAGED, entry.into.as_str())];
            let is_there = [store.hidden(PREVIOUS).is_some(), into.is_some(), true];
            let changes: Vec<_> =
                changes.into_iter().zip(is_there).filter(|(_, is)| *is).map(|(c, _)| c).collect();
            store.rename(&changes)
        }
        (Way::Exchange, None) => {
            let gone = format!("collection {:?} is not there any more; import into a new one", entry.into);
            Err(Error::new(ErrorKind::NotFound, gone))
        }
        (Way::Exchange, Some(into)) => {
            let rows = rows_of(staged)?;
            let gone = if entry.mode == Mode::Replace { others(&into, &rows)? } else { Vec::new() };
            into.exchange(rows, gone).map(drop)
        }
    }
}

fn write_down(store: &Store, journal: &Journal, entry: &mut Entry, has_staged: bool) -> Result<()> {
    drop_if_there(store, DISCARDED)?;
    if entry.way == Way::Rename || has_staged {
        drop_if_there(store, BROUGHT)?;
    }
    if entry.way == Way::Exchange && has_staged {
        drop_if_there(store, PREVIOUS)?;
        store.rename(&[(STAGED, BROUGHT), (KEEPING, PREVIOUS)])?;
    }
    entry.after = Some(Digest::of(&store.open_collection(&entry.into)?)?);
    entry.state = State::Done;
    journal.set_last(entry)
}

/// Finishes an import that an earlier process had begun to switch in. Where the collection went meanwhile, there is nothing to switch.
pub(super) fn finish_begun(store: &Store, journal: &Journal) -> Result<Option<Entry>> {
    let Some(entry) = journal.now()?.filter(|entry| entry.state == State::Switching) else { return Ok(None) };
    match finish(store, journal, entry) {
        Err(e) if e.kind() == ErrorKind::NotFound => give_up(store, journal).map(|()| None),
        done => done.map(|(entry, _)| Some(entry)),
    }
}

/// Settles what an earlier process left: an import that had begun to switch is finished, one that had not is removed.
pub(super) fn settle(store: &Store, journal: &Journal) -> Result<Option<Entry>> {
    match finish_begun(store, journal)? {
        Some(entry) => Ok(Some(entry)),
        None => give_up(store, journal).map(|()| None),
    }
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
