//! The last import undone: the collection is what it was before, by one commit.
//!
//! It may be killed anywhere and called again: what it does is told from what is there.

use super::digest::Digest;
use super::job::Mode;
use super::journal::{BROUGHT, DISCARDED, Entry, Journal, PREVIOUS, STAGED, State, Way};
use super::switch::{drop_if_there, ids_of, rows_of, settle};
use crate::engine::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ChunkId;
use crate::record::Row;
use serde::Serialize;

/// What was undone.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RollbackReport {
    /// The file that had been imported.
    pub(crate) source: String,
    pub(crate) into: String,
    pub(crate) mode: Mode,
    /// Whether the collection is there, and its rows.
    pub(crate) rows_after: Option<u64>,
    pub(crate) notes: Vec<String>,
}

/// Undoes the last import. Writes that came after it go with it, if `yes`; without, they are a reason to refuse.
pub(crate) fn rollback(store: &Store, yes: bool) -> Result<RollbackReport> {
    let journal = Journal::open(store)?;
    let mut notes = Vec::new();
    if settle(store, &journal)?.is_some() {
        notes.push("the last import had been cut short while it switched; it was finished first".to_owned());
    }
    let last = journal.last()?.filter(|last| last.state == State::Done);
    let last = last.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, "there is no import to undo; only the last one can be, and only once")
    })?;
    if is_undone(store, &last)? {
        notes.push("an earlier call had undone it already".to_owned());
    } else {
        check_unchanged(store, &last, yes)?;
        undo(store, &last, &mut notes)?;
    }
    journal.set_last(&Entry { state: State::RolledBack, ..last.clone() })?;
    for name in [STAGED, PREVIOUS, BROUGHT, DISCARDED] {
        drop_if_there(store, name)?;
    }
    let there = store.open_collection(&last.into).ok();
    let rows_after = there.map(|collection| collection.stats().rows as u64);
    Ok(RollbackReport { source: last.source, into: last.into, mode: last.mode, rows_after, notes })
}

/// Whether an earlier call did it and was killed before it could write that down.
fn is_undone(store: &Store, last: &Entry) -> Result<bool> {
    let there = store.open_collection(&last.into).ok();
    Ok(match (last.way, last.before) {
        (Way::Rename, None) => there.is_none_or(|there| there.is_mirrored() && there.stats().rows == 0),
        // Going back takes the name from what was kept.
        (Way::Rename, Some(_)) => store.hidden(PREVIOUS).is_none(),
        (Way::Exchange, before) => {
            there.as_ref().map(Digest::of).transpose()? == before && last.after != last.before
        }
    })
}

fn check_unchanged(store: &Store, last: &Entry, yes: bool) -> Result<()> {
    let there = store.open_collection(&last.into).map_err(|_| {
        let gone = format!("collection {:?} is not there any more: there is nothing to undo", last.into);
        Error::new(ErrorKind::NotFound, gone)
    })?;
    let now = Digest::of(&there)?;
    if yes || Some(now) == last.after {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Conflict,
        format!(
            "collection {:?} was written to since the import: it has {} rows and had {}; say --yes to lose what was written since",
            last.into,
            now.rows,
            last.after.map_or(0, |after| after.rows)
        ),
    ))
}

fn undo(store: &Store, last: &Entry, notes: &mut Vec<String>) -> Result<()> {
    let name = last.into.as_str();
    let there = store.open_collection(name)?;
    match (last.way, last.before) {
        (Way::Rename, Some(_)) => store.rename(&[(name, STAGED), (PREVIOUS, name)]),
        // A database is told of rows that go, not of a collection that does.
        (Way::Rename, None) if there.is_mirrored() => {
            notes.push(
                "the store has a mirror: the collection stays, empty, so that its rows go there, too"
                    .to_owned(),
            );
            exchange(store, name, Vec::new(), ids_of(&there)?)
        }
        (Way::Rename, None) => store.drop_collection(name),
        (Way::Exchange, _) => {
            let lost = || {
                let message = "what the import replaced is not there any more: it cannot be undone";
                Error::new(ErrorKind::NotFound, message)
            };
            let kept = rows_of(&store.hidden(PREVIOUS).ok_or_else(lost)?)?;
            let brought = ids_of(&store.hidden(BROUGHT).ok_or_else(lost)?)?;
            exchange(store, name, kept, brought)
        }
    }
}

/// One commit: these rows come, and of these ids those that no row has go.
fn exchange(
    store: &Store,
    name: &str,
    rows: Vec<Row>,
    mut gone: std::collections::HashSet<String>,
) -> Result<()> {
    for row in &rows {
        gone.remove(row.id.as_str());
    }
    let gone = gone.iter().map(|id| ChunkId::from(id.as_str())).collect();
    store.open_collection(name)?.exchange(rows, gone).map(drop)
}
