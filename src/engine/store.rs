//! The store: named collections and the line of commits they share.

use super::collection::Collection;
use super::commit::Line;
use super::inner::Inner;
use super::write::Token;
use crate::config::{Options, Schema};
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::limits;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Collections of chunks. Cloning gives another handle to the same store.
///
/// ```
/// use nearfield::{Chunk, Filter, Metric, Schema, Store};
///
/// let store = Store::memory();
/// let docs = store.create_collection("docs", Schema::new(3, Metric::Cosine))?;
/// docs.upsert([
///     Chunk::new("a").vector([1.0, 0.0, 0.0]).text("about a").meta("lang", "en"),
///     Chunk::new("b").vector([0.0, 1.0, 0.0]).meta("lang", "de"),
/// ])?;
/// let found = docs.search(&[0.9, 0.1, 0.0]).k(1).filter(Filter::eq("lang", "en")).run()?;
/// assert_eq!(found.hits[0].id, "a");
/// # Ok::<(), nearfield::Error>(())
/// ```
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    line: Arc<Line>,
    collections: RwLock<BTreeMap<String, Collection>>,
}

impl Store {
    /// A store that lives and dies with the process.
    pub fn memory() -> Self {
        Self::of(Options::default())
    }

    /// The same with options of its own.
    pub fn memory_with(options: Options) -> Result<Self> {
        options.validate()?;
        Ok(Self::of(options))
    }

    fn of(options: Options) -> Self {
        Self { shared: Arc::new(Shared { options, line: Arc::default(), collections: RwLock::default() }) }
    }

    /// Makes a collection. An error if one of that name exists.
    pub fn create_collection(&self, name: &str, schema: Schema) -> Result<Collection> {
        schema.validate()?;
        check_name(name)?;
        let mut collections = self.shared.collections.write();
        if collections.contains_key(name) {
            let exists = format!("collection {name:?} exists; open it, drop it, or use another name");
            return Err(Error::new(ErrorKind::Conflict, exists));
        }
        let inner = Inner::new(name, schema, self.shared.options.clone(), self.shared.line.clone())?;
        let collection = Collection::new(Arc::new(inner));
        collections.insert(name.to_owned(), collection.clone());
        Ok(collection)
    }

    /// Opens a collection. An error if there is none of that name.
    pub fn open_collection(&self, name: &str) -> Result<Collection> {
        self.shared.collections.read().get(name).cloned().ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("there is no collection {}; create it first", excerpt(name)),
            )
        })
    }

    /// Opens a collection, or makes it. An error if one exists with another schema.
    pub fn get_or_create(&self, name: &str, schema: Schema) -> Result<Collection> {
        match self.create_collection(name, schema.clone()) {
            Err(e) if e.kind() == ErrorKind::Conflict => {}
            done => return done,
        }
        let collection = self.open_collection(name)?;
        if *collection.schema() != schema {
            let other = format!(
                "collection {name:?} exists with another schema: {:?}, not {schema:?}; use its schema or another name",
                collection.schema()
            );
            return Err(Error::new(ErrorKind::Conflict, other));
        }
        Ok(collection)
    }

    /// Drops a collection with all its chunks. Handles to it answer with an error from then on.
    pub fn drop_collection(&self, name: &str) -> Result<()> {
        let collection = self.open_collection(name)?;
        collection.inner().dropped.store(true, Ordering::Release);
        self.shared.collections.write().remove(name);
        Ok(())
    }

    /// All collections, by name.
    pub fn collections(&self) -> Vec<Collection> {
        self.shared.collections.read().values().cloned().collect()
    }

    /// The last commit.
    pub fn token(&self) -> Token {
        self.shared.line.token()
    }
}

/// Names become file names: letters, digits, `-`, `_` and `.`, not first a dot.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty()
        || name.len() > limits::NAME_BYTES_MAX
        || name.starts_with('.')
        || !name.chars().all(allowed)
    {
        return Err(Error::invalid(format!(
            "collection name {} is not 1 to {} letters, digits, '-', '_' or '.', the first not a dot",
            excerpt(name),
            limits::NAME_BYTES_MAX
        )));
    }
    Ok(())
}
