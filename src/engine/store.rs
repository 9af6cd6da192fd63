//! The store: named collections and the line of commits they share, in memory or on a disk.

use super::collection::Collection;
use super::damage::health::Health;
use super::damage::repair::Refetcher;
use super::files::home::Home;
use super::files::open;
use super::inner::{Called, Inner};
use super::names::{check_name, ensure_free_there, is_hidden};
use super::stats::StoreStats;
use super::tap::Tie;
use super::upkeep::keeper::{Bell, Keeper};
use super::write::commit::Line;
use super::write::draft::{Change, Event, Order};
use super::write::upsert::Token;
use crate::config::{Durability, Options, Schema};
use crate::disk::{Disk, RealDisk, fault};
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::manifest::{Ident, collection_folder};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

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
    pub(crate) alive: Arc<Alive>,
}

/// What all handles of a store share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) line: Arc<Line>,
    pub(crate) collections: RwLock<BTreeMap<String, Arc<Inner>>>,
    pub(crate) next_collection: AtomicU32,
    /// Where it stands on a disk; nowhere for a store in memory.
    pub(crate) home: Option<Home>,
    /// Wakes the background thread, if there is one.
    pub(crate) bell: Option<Arc<Bell>>,
    pub(crate) health: Mutex<Health>,
    pub(crate) refetch: Refetcher,
    pub(crate) id_seed: u64,
}

/// Held by every handle. When the last one goes, the store does the least that is safe: what was acknowledged becomes
/// durable, the background thread ends, the lock is free.
pub(crate) struct Alive {
    pub(crate) shared: Arc<Shared>,
    pub(crate) keeper: Option<Keeper>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(keeper) = &self.keeper {
            keeper.stop();
        }
        // Nobody is left to be told. Durable writes are durable already.
        let _ = self.shared.line.close();
        if let Some(home) = &self.shared.home {
            home.unlock();
        }
    }
}

impl Store {
    /// Opens the store in a folder, or makes one there. The second opener of a folder, in this process or another, gets
    /// [`ErrorKind::AlreadyOpen`].
    ///
    /// Every write that is acknowledged from then on survives a crash of the process or of the machine
    /// ([`Options::durability`]).
    pub fn open(folder: impl AsRef<Path>, options: Options) -> Result<Self> {
        Self::open_on(Arc::new(RealDisk::new(folder.as_ref())), options)
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Self> {
        options.validate()?;
        let bell = Arc::<Bell>::default();
        let shared = Arc::new(open::open(disk, options, Some(bell.clone()))?);
        let keeper = Some(Keeper::start(&shared, bell)?);
        Ok(Self { alive: Arc::new(Alive { shared, keeper }) })
    }

    /// Without a background thread: writes pay for the chores, and every file is written by a call. What a run does to the disk
    /// then depends on nothing but the calls.
    #[cfg(test)]
    pub(crate) fn open_still(disk: Arc<dyn Disk>, options: Options) -> Result<Self> {
        let shared = Arc::new(open::open(disk, options, None)?);
        Ok(Self { alive: Arc::new(Alive { shared, keeper: None }) })
    }

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
        let Ident { id_seed, node, .. } = Ident::random(0);
        let line = Line::memory(Tie::new(node, Vec::new(), None));
        let shared = Shared::new(options, line, None, None, id_seed);
        Self { alive: Arc::new(Alive { shared: Arc::new(shared), keeper: None }) }
    }

    /// Makes a collection. An error if one of that name exists.
    pub fn create_collection(&self, name: &str, schema: Schema) -> Result<Collection> {
        let inner = self.alive.shared.create(name, schema)?;
        Ok(Collection::new(inner, self.alive.clone()))
    }

    /// Opens a collection. An error if there is none of that name.
    pub fn open_collection(&self, name: &str) -> Result<Collection> {
        // Hidden ones are none of a caller's.
        let inner = if is_hidden(name) { Err(none(name)) } else { self.alive.shared.find(name) }?;
        Ok(Collection::new(inner, self.alive.clone()))
    }

    /// Opens a collection, or makes it. An error if one exists with another schema.
    pub fn get_or_create(&self, name: &str, schema: Schema) -> Result<Collection> {
        let inner = self.alive.shared.find_or_create(name, schema)?;
        Ok(Collection::new(inner, self.alive.clone()))
    }

    /// Drops a collection with all its chunks. Handles to it answer with an error from then on.
    pub fn drop_collection(&self, name: &str) -> Result<()> {
        if is_hidden(name) {
            self.open_collection(name).map(drop)
        } else {
            self.alive.shared.drop_named(name)
        }
    }

    /// All collections, by name.
    pub fn collections(&self) -> Vec<Collection> {
        let shown = self.alive.shared.shown_collections();
        shown.into_iter().map(|inner| Collection::new(inner, self.alive.clone())).collect()
    }

    /// The last commit.
    pub fn token(&self) -> Token {
        self.alive.shared.line.token()
    }

    /// Counts, bytes and the state of the background work.
    pub fn stats(&self) -> StoreStats {
        StoreStats::of(&self.alive.shared)
    }

    /// Refuses what a write would be refused for now: the store was closed, is read-only after a failed write, or has no room.
    pub fn check_writable(&self) -> Result<()> {
        self.alive.shared.line.check_writable()
    }

    /// The files of the store, for those of other floors that keep something beside them.
    #[cfg_attr(not(feature = "embed"), allow(dead_code, reason = "the cache of vectors is its user"))]
    pub(crate) fn disk(&self) -> Option<Arc<dyn Disk>> {
        self.alive.shared.home.as_ref().map(|home| home.disk.clone())
    }

    /// When writes are acknowledged.
    pub fn durability(&self) -> Durability {
        self.alive.shared.options.durability
    }

    /// Writes everything that a start would otherwise have to make again, and gives back the room of the log: the next
    /// opening takes milliseconds. Writes and searches go on meanwhile. Does nothing to a store in memory.
    pub fn checkpoint(&self) -> Result<()> {
        self.alive.shared.checkpoint_whole()
    }

    /// Accepts that damaged rows and lost commits are gone: answers are not `degraded` any more, and an id that may have been
    /// one of them is not there. Says how many rows were given up; `lost_rows.jsonl` in the folder keeps a line for each. Not
    /// while so much is bad that the disk is suspected ([`Options::repair_share_max`]).
    pub fn accept_loss(&self) -> Result<usize> {
        self.alive.shared.accept_loss()
    }

    /// Takes no more writes, and makes the next opening fast: rows are linked until `deadline` has passed, then a checkpoint
    /// is written. What was acknowledged is durable in any case. Searches through handles that are left go on.
    pub fn close(&self, deadline: Duration) -> Result<()> {
        let until = Instant::now() + deadline;
        let shared = &self.alive.shared;
        if let Some(keeper) = &self.alive.keeper {
            keeper.stop();
        }
        shared.line.close()?;
        if shared.home.as_ref().is_some_and(|home| !home.is_locked()) {
            return Ok(());
        }
        for inner in shared.open_collections() {
            while Instant::now() < until && inner.link_waiting(64) > 0 {}
            // What has no segment is looked up by the next one who opens it.
            inner.settle_words(until);
        }
        let done = if Instant::now() < until { shared.checkpoint_whole() } else { Ok(()) };
        if let Some(home) = &shared.home {
            home.unlock();
        }
        done
    }
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        line: Line,
        home: Option<Home>,
        bell: Option<Arc<Bell>>,
        id_seed: u64,
    ) -> Self {
        Self {
            options,
            line: Arc::new(line),
            collections: RwLock::default(),
            next_collection: AtomicU32::new(1),
            home,
            bell,
            health: Mutex::default(),
            refetch: Refetcher::default(),
            id_seed,
        }
    }

    fn create(&self, name: &str, schema: Schema) -> Result<Arc<Inner>> {
        check_name(name)?;
        self.create_any(name, schema)
    }

    /// The same for names that are the library's own.
    pub(crate) fn create_any(&self, name: &str, schema: Schema) -> Result<Arc<Inner>> {
        self.create_called(Called::new(name, None), schema)
    }

    fn create_called(&self, called: Called, schema: Schema) -> Result<Arc<Inner>> {
        schema.validate()?;
        let name = called.here.to_string();
        let mut collections = self.collections.write();
        if collections.contains_key(&name) {
            let exists = format!("collection {name:?} exists; open it, drop it, or use another name");
            return Err(Error::new(ErrorKind::Conflict, exists));
        }
        ensure_free_there(called.there(), collections.values())?;
        let number = self.next_collection.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::new(self.collection(number, &name, schema)?);
        inner.set_called(called);
        self.announce(&inner, Event::Create(inner.describe()))?;
        collections.insert(name, inner.clone());
        Ok(inner)
    }

    /// Makes the collection that a mirror's database has and this store does not. It is called the same here, unless that is the name of
    /// another one since a switch.
    pub(crate) fn adopt(&self, name: &str, schema: &Schema) -> Result<Arc<Inner>> {
        match self.create(name, schema.clone()) {
            Err(e) if e.kind() == ErrorKind::Conflict => {}
            done => return done,
        }
        if let Some(inner) = self.find_there(name) {
            return Ok(inner);
        }
        let here = self.free_name(&format!("{name}.there"), None);
        check_name(&here)?;
        self.create_called(Called::new(&here, Some(name)), schema.clone())
    }

    pub(crate) fn find(&self, name: &str) -> Result<Arc<Inner>> {
        self.collections.read().get(name).cloned().ok_or_else(|| none(name))
    }

    pub(crate) fn drop_named(&self, name: &str) -> Result<()> {
        let mut collections = self.collections.write();
        let inner = collections.get(name).cloned().ok_or_else(|| none(name))?;
        self.announce(&inner, Event::Drop(inner.describe()))?;
        inner.dropped.store(true, Ordering::Release);
        collections.remove(name);
        drop(collections);
        self.line.tie().notify();
        Ok(())
    }

    pub(crate) fn find_or_create(&self, name: &str, schema: Schema) -> Result<Arc<Inner>> {
        let taken = match self.create(name, schema.clone()) {
            Err(e) if e.kind() == ErrorKind::Conflict => e,
            done => return done,
        };
        let inner = self.find(name).map_err(|_| taken)?;
        if inner.schema != schema {
            let other = format!(
                "collection {name:?} exists with another schema: {:?}, not {schema:?}; use its schema or another name",
                inner.schema
            );
            return Err(Error::new(ErrorKind::Conflict, other));
        }
        Ok(inner)
    }

    /// A collection without rows, which nobody sees yet.
    pub(crate) fn collection(&self, number: u32, name: &str, schema: Schema) -> Result<Inner> {
        Inner::new(number, name, schema, self.options.clone(), self.line.clone(), self.id_seed)
            .map(|inner| inner.with_background(self.bell.clone()))
    }

    pub(crate) fn open_collections(&self) -> Vec<Arc<Inner>> {
        self.collections.read().values().cloned().collect()
    }

    /// Those that are not the library's own.
    pub(crate) fn shown_collections(&self) -> Vec<Arc<Inner>> {
        let collections = self.collections.read();
        collections.iter().filter(|(name, _)| !is_hidden(name)).map(|(_, inner)| inner.clone()).collect()
    }

    /// Commits that a collection comes, goes, or is called something else. Its folder is there before.
    pub(crate) fn announce(&self, inner: &Arc<Inner>, event: Event) -> Result<()> {
        if let (Some(home), Event::Create(_)) = (&self.home, &event) {
            let folder = collection_folder(inner.number);
            let failed = |e| fault("make the folder", &folder, e);
            home.disk.make_dir(&folder).and_then(|()| home.disk.sync_dir("")).map_err(failed)?;
        }
        let order = Order { collection: inner.clone(), tenant: None, change: Change::Event(event) };
        self.line.commit(order).map(drop)
    }

    /// Rows that the graphs of all collections hold.
    pub(crate) fn linked_rows(&self) -> usize {
        self.collections.read().values().map(|inner| inner.view.load().linked.len()).sum()
    }
}

fn none(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no collection {}; create it first", excerpt(name)))
}
