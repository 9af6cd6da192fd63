//! Names of collections: which may be given, which are the library's own, and how they change.
//!
//! Invariants: a name that begins with a dot is hidden: no caller opens, lists or drops such a collection and no mirror sees
//! it; any number of names change in one commit, so that a crash leaves all of them as before or as after; the numbers of
//! collections, and with them rows, files and handles, stay. No two collections have one name, here or in a mirror's database: a
//! name leads to one collection, and this is the one place that says to which.

use super::collection::Collection;
use super::files::replay::Renamed;
use super::inner::{Called, Inner};
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
    /// given up by another of them. A mirror's database is to call them the same.
    pub(crate) fn rename(&self, changes: &[(&str, &str)]) -> Result<()> {
        self.alive.shared.rename(changes, None)
    }

    /// A name that no collection has, and no mirror's database has for one but `of`: the first of `stem`, `stem2`, `stem3` and so on.
    #[cfg_attr(not(feature = "ingest"), allow(dead_code, reason = "migrations are its user"))]
    pub(crate) fn free_name(&self, stem: &str, of: Option<&Collection>) -> String {
        self.alive.shared.free_name(stem, of.map(|of| of.inner().number))
    }
}

impl Shared {
    /// With `numbers`, those are the collections that are meant, and a store that has a mirror goes on calling them there what it did:
    /// rows are found there by that name, and would have to be sent anew under another.
    pub(super) fn rename(&self, changes: &[(&str, &str)], numbers: Option<&[u32]>) -> Result<()> {
        let mut collections = self.collections.write();
        let (mut next, mut moved): (BTreeMap<String, Arc<Inner>>, Vec<_>) = (collections.clone(), Vec::new());
        for (from, to) in changes {
            check_any_name(to)?;
            let inner = next.remove(*from).ok_or_else(|| {
                Error::new(ErrorKind::NotFound, format!("there is no collection {}", excerpt(from)))
            })?;
            if numbers.is_some_and(|numbers| !numbers.contains(&inner.number)) {
                let other = format!("collection {} is another one by now; look again", excerpt(from));
                return Err(Error::new(ErrorKind::Conflict, other));
            }
            moved.push((inner, *to));
        }
        for (inner, to) in &moved {
            if next.insert((*to).to_owned(), inner.clone()).is_some() {
                let taken = format!("the name {to:?} is taken; drop that collection, or use another name");
                return Err(Error::new(ErrorKind::Conflict, taken));
            }
        }
        let Some((first, _)) = moved.first() else { return Ok(()) };
        let stays = numbers.is_some() && self.line.tie().is_attached();
        let called = |inner: &Inner, to: &str| Called::new(to, stays.then(|| inner.mirror_name()).as_deref());
        let called: Vec<Called> = moved.iter().map(|(inner, to)| called(inner, to)).collect();
        for (called, (inner, _)) in called.iter().zip(&moved) {
            let is_moved = |other: &Inner| moved.iter().any(|(moved, _)| moved.number == other.number);
            let others = next.values().filter(|other| other.number != inner.number && !is_moved(other));
            ensure_free_there(called.there(), others)?;
        }
        let numbers = || moved.iter().map(|(inner, _)| inner.number);
        let names =
            numbers().zip(&called).map(|(number, called)| (number, called.here.to_string())).collect();
        let there = |(number, called): (u32, &Called)| Some((number, called.there.as_ref()?.to_string()));
        let mirror_names = numbers().zip(&called).filter_map(there).collect();
        let text = serde_json::to_string(&Renamed { names, mirror_names }).unwrap_or_default();
        self.announce(first, Event::Names(text))?;
        moved.iter().zip(called).for_each(|((inner, _), called)| inner.set_called(called));
        *collections = next;
        drop(collections);
        self.line.tie().notify();
        Ok(())
    }

    pub(super) fn free_name(&self, stem: &str, of: Option<u32>) -> String {
        let collections = self.collections.read();
        let others = || collections.values().filter(|inner| Some(inner.number) != of);
        let is_free =
            |name: &String| !collections.contains_key(name) && ensure_free_there(name, others()).is_ok();
        let all = std::iter::once(stem.to_owned()).chain((2..).map(|nth: u32| format!("{stem}{nth}")));
        all.into_iter().find(is_free).unwrap_or_default()
    }

    /// The collection that a mirror's database calls so.
    pub(crate) fn find_there(&self, name: &str) -> Option<Arc<Inner>> {
        let found = |inner: &&Arc<Inner>| *inner.mirror_name() == *name && !is_hidden(&inner.name());
        self.collections.read().values().find(found).cloned()
    }

    /// What a mirror's database calls the collection of this name; the name itself if there is none.
    pub(crate) fn name_there(&self, name: &str) -> String {
        self.collections
            .read()
            .get(name)
            .map_or_else(|| name.to_owned(), |inner| inner.mirror_name().to_string())
    }

    /// What a collection of a mirror's database is called here. One that is not here must not be taken for another that has the name.
    pub(crate) fn name_here(&self, there: &str) -> String {
        match self.find_there(there) {
            Some(inner) => inner.name().to_string(),
            None if self.collections.read().contains_key(there) => format!("{there} in the database"),
            None => there.to_owned(),
        }
    }
}

/// A collection that is new, or is called something else, must not be taken for one of these in a mirror's database.
pub(super) fn ensure_free_there<'a>(
    name: &str,
    mut others: impl Iterator<Item = &'a Arc<Inner>>,
) -> Result<()> {
    let Some(other) = others.find(|other| *other.mirror_name() == *name) else { return Ok(()) };
    let taken = format!(
        "the mirror's database calls collection {:?} {}, since it was switched; use another name",
        other.name(),
        excerpt(name)
    );
    Err(Error::new(ErrorKind::Conflict, taken))
}
