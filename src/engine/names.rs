//! Names of collections: which may be given, which are the library's own, and how they change.
//!
//! Invariants: a name that begins with a dot is hidden: no caller opens, lists or drops such a collection and no mirror sees
//! it; any number of names change in one commit, so that a crash leaves all of them as before or as after; the numbers of
//! collections, and with them rows, files and handles, stay.

use super::collection::Collection;
use super::files::replay::Renamed;
use super::inner::Inner;
use super::store::{Shared, Store};
use super::write::draft::Event;
use crate::config::Schema;
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::limits;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the names of the library's own collections begin with.
const HIDDEN: char = '.';

pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with(HIDDEN)
}

/// Names are told in messages and typed in shells: letters, digits, `-`, `_` and `.`, not first a dot.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if is_hidden(name) { Err(refused(name)) } else { check_any_name(name) }
}

/// The same for names that may be the library's own.
pub(crate) fn check_any_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fits = (1..=limits::NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(allowed);
    if fits { Ok(()) } else { Err(refused(name)) }
}

fn refused(name: &str) -> Error {
    Error::invalid(format!(
        "collection name {} is not 1 to {} letters, digits, '-', '_' or '.', the first not a dot",
        excerpt(name),
        limits::NAME_BYTES_MAX
    ))
}

#[cfg_attr(not(feature = "server"), allow(dead_code, reason = "imports are its user"))]
impl Store {
    /// A collection of the library's own, made if it is not there.
    pub(crate) fn hidden_or_create(&self, name: &str, schema: Schema) -> Result<Collection> {
        let inner = match self.alive.shared.find(name) {
            Err(e) if e.kind() == ErrorKind::NotFound => self.alive.shared.create_any(name, schema)?,
            found => found?,
        };
        Ok(Collection::new(inner, self.alive.clone()))
    }

    /// The same if it is there.
    pub(crate) fn hidden(&self, name: &str) -> Option<Collection> {
        let inner = self.alive.shared.find(name).ok()?;
        Some(Collection::new(inner, self.alive.clone()))
    }

    pub(crate) fn drop_hidden(&self, name: &str) -> Result<()> {
        self.alive.shared.drop_named(name)
    }

    /// Collections get other names, all at once: each of `changes` says from what to what. A name that is given must be free, or be
    /// given up by another of them.
    pub(crate) fn rename(&self, changes: &[(&str, &str)]) -> Result<()> {
        self.alive.shared.rename(changes)
    }
}

impl Shared {
    fn rename(&self, changes: &[(&str, &str)]) -> Result<()> {
        let mut collections = self.collections.write();
        let (mut next, mut moved): (BTreeMap<String, Arc<Inner>>, Vec<_>) = (collections.clone(), Vec::new());
        for (from, to) in changes {
            check_any_name(to)?;
            let inner = next.remove(*from).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no collection {}", excerpt(from)))
            })?;
            moved.push((inner, *to));
        }
        for (inner, to) in &moved {
            if next.insert((*to).to_owned(), inner.clone()).is_some() {
                let taken = format!("the name {to:?} is taken; drop that collection, or use another name");
                return Err(Error::new(ErrorKind::Conflict, taken));
            }
        }
        let Some((first, _)) = moved.first() else { return Ok(()) };
        let names = moved.iter().map(|(inner, to)| (inner.number, (*to).to_owned())).collect();
        let text = serde_json::to_string(&Renamed { names }).unwrap_or_default();
        self.announce(first, Event::Names(text))?;
        moved.iter().for_each(|(inner, to)| inner.set_name(to));
        *collections = next;
        drop(collections);
        self.line.tie().notify();
        Ok(())
    }
}
