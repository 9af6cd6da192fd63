//! The public handle of a collection: every method checks and delegates.

use super::inner::Inner;
use super::read::answer::Response;
use super::read::search::{RangeSearch, Search};
use super::stats::Stats;
use super::store::Alive;
use super::view::{View, is_whole};
use super::write::draft::Pick;
use super::write::upsert::{Ack, Token};
use crate::config::{Metric, Schema};
use crate::disk::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Filter;
use crate::ids::{ChunkId, Slot, Ver};
use crate::kernels::Kernels;
use crate::limits;
use crate::record::{Chunk, Row, RowRef};
use crate::sets::SlotBits;
use parking_lot::RwLockReadGuard;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A named set of chunks with one dimension and one metric. Cloning gives another handle to the same collection.
///
/// A handle keeps the collection that it was opened to. If the name goes to another one (a migration to another model is switched), what
/// is held goes on reading and is refused writes, by an error of kind [`ErrorKind::Conflict`]: open the name again.
#[derive(Clone)]
pub struct Collection {
    inner: Arc<Inner>,
    /// What it was called when it was opened.
    name: Arc<str>,
    /// Keeps the store open.
    store: Arc<Alive>,
    tenant: Option<Arc<str>>,
}

/// Who is handed every row, and its vector where it has one.
pub(crate) type EachRow<'a> = dyn FnMut(RowRef<'_>, Option<&[f32]>) -> Result<()> + 'a;

/// A page of [`Collection::scroll`].
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The chunks, oldest write first.
    pub chunks: Vec<Chunk>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<u32>,
    /// Damaged rows could be missing from the page.
    pub degraded: bool,
}

impl Collection {
    pub(crate) fn new(inner: Arc<Inner>, store: Arc<Alive>) -> Self {
        Self { name: inner.name(), inner, store, tenant: None }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn store(&self) -> &Arc<Alive> {
        &self.store
    }

    pub(crate) fn tenant_name(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The collection's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the collection is.
    pub fn schema(&self) -> &Schema {
        &self.inner.schema
    }

    /// The same collection, seen by one tenant: it finds, counts, writes and deletes that tenant's chunks alone.
    #[must_use]
    pub fn tenant(&self, tenant: &str) -> Self {
        let Self { inner, name, store, .. } = self.clone();
        Self { inner, name, store, tenant: Some(tenant.into()) }
    }

    /// Stores chunks, replacing those of the same ids. A chunk that cannot be stored is refused alone, with the reason; the
    /// others become visible together.
    pub fn upsert(&self, chunks: impl IntoIterator<Item = Chunk>) -> Result<Ack> {
        let _turn = self.writes()?;
        self.inner.upsert(chunks.into_iter(), self.tenant.as_deref())
    }

    /// Stores rows that were admitted and deletes those of the ids `gone`, in one commit.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "imports are its user"))]
    pub(crate) fn exchange(&self, rows: Vec<Row>, gone: Vec<ChunkId>) -> Result<Ack> {
        let _turn = self.writes()?;
        self.inner.exchange(rows, gone)
    }

    /// A search for the chunks nearest to `query`.
    pub fn search<'a>(&'a self, query: &'a [f32]) -> Search<'a> {
        Search::new(self, query)
    }

    /// A search for the chunks whose texts hold `words`, by BM25 (feature `text`). There is no syntax but quotes: what stands in them must be
    /// in the text as it stands. Chunks that have no vector yet are found like all others.
    pub fn search_text<'a>(&'a self, words: &'a str) -> Search<'a> {
        Search::with_legs(self, None, Some(words), false)
    }

    /// A search by vector and by words, each a leg of its own, whose rankings become one: see [`Search::fusion`]. Filter, tenant and
    /// thresholds hold for both. A leg that cannot run is named in [`Response::degraded_legs`] and the other one answers: so does an
    /// empty `query`, or `words` without a word.
    pub fn search_hybrid<'a>(&'a self, query: &'a [f32], words: &'a str) -> Search<'a> {
        Search::with_legs(self, Some(query), Some(words), true)
    }

    /// Runs several searches on one state of the collection, on `threads` threads (the caller's among them). If they ask the mirror's
    /// database (see [`Source`](crate::Source)), they wait for it as long as one does.
    pub fn search_batch(&self, searches: &[Search<'_>], threads: usize) -> Result<Vec<Response>> {
        let (n, max) = (searches.len(), limits::SEARCH_BATCH_MAX);
        if n > max {
            return Err(Error::invalid(format!("the batch has {n} searches; send at most {max} at a time")));
        }
        self.inner.ensure_open()?;
        if let Some(other) =
            searches.iter().map(Search::collection).find(|c| !Arc::ptr_eq(&c.inner, &self.inner))
        {
            return Err(Error::invalid(format!(
                "the batch runs on collection {:?} and holds a search of another collection, {:?}; send each its own",
                self.name(),
                other.name()
            )));
        }
        let (view, filling) = self.inner.searched();
        let per_thread = n.div_ceil(threads.clamp(1, limits::BUILD_THREADS_MAX)).max(1);
        let answer =
            |part: &[Search<'_>]| part.iter().map(|s| s.run_on(&view, filling.as_ref())).collect::<Vec<_>>();
        let lost = || Error::new(ErrorKind::Internal, "a search of the batch panicked; please report this");
        let mut parts = searches.chunks(per_thread);
        let Some(first) = parts.next() else { return Ok(Vec::new()) };
        let answers = std::thread::scope(|scope| {
            let spawned: Vec<_> = parts.map(|part| scope.spawn(move || answer(part))).collect();
            let mut answers = vec![answer(first)];
            answers.extend(
                spawned.into_iter().map(|handle| handle.join().unwrap_or_else(|_| vec![Err(lost())])),
            );
            answers
        });
        answers.into_iter().flatten().collect()
    }

    /// A search for every chunk at most `max_distance` from `query`. It compares every candidate, so none is missed.
    pub fn range<'a>(&'a self, query: &'a [f32], max_distance: f32) -> RangeSearch<'a> {
        RangeSearch::new(self, query, max_distance)
    }

    /// The chunk of this id, if there is one.
    pub fn get(&self, id: &str) -> Result<Option<Chunk>> {
        Ok(self.get_many([id])?.pop().flatten())
    }

    /// The chunks of these ids, in order; `None` where there is none. An id whose chunk is damaged is an error of kind
    /// [`ErrorKind::Corrupt`]: it would be wrong to say that it is not there.
    pub fn get_many<'i>(&self, ids: impl IntoIterator<Item = &'i str>) -> Result<Vec<Option<Chunk>>> {
        self.ready()?;
        let ids: Vec<&str> = ids.into_iter().collect();
        let (view, slots) = {
            let table = self.inner.ids();
            // Loaded under the table's lock, under which views are published: it shows every slot that the table names.
            let view = self.inner.view.load_full();
            let slots: Vec<Option<Slot>> = ids.iter().map(|id| table.get(&view.tables.rows, id)).collect();
            (view, slots)
        };
        let answer = |(id, slot): (&&str, Option<Slot>)| match slot {
            Some(slot) if self.is_mine(&view, slot) => match self.chunk(&view, slot) {
                None => Err(self.inner.unreadable(id, slot, "its row is damaged")),
                chunk => Ok(chunk),
            },
            Some(_) => Ok(None),
            None => self.inner.ensure_absent(id, self.tenant.as_deref()).map(|()| None),
        };
        ids.iter().zip(slots).map(answer).collect()
    }

    /// The chunks of a document, in their order. Damaged ones are not among them: see [`Stats::missing`].
    pub fn document(&self, document_id: &str) -> Result<Vec<Chunk>> {
        self.ready()?;
        let view = self.inner.view.load_full();
        let slots = self.inner.document_slots(&view, document_id, self.tenant.as_deref());
        let mut chunks: Vec<Chunk> = slots.into_iter().filter_map(|slot| self.chunk(&view, slot)).collect();
        chunks.sort_by_key(|c| c.chunk_index);
        Ok(chunks)
    }

    /// Up to `limit` chunks that match, from `cursor` on. A chunk that lives through the whole scroll is seen; one that is
    /// written meanwhile may be seen twice.
    pub fn scroll(&self, filter: Option<&Filter>, cursor: Option<u32>, limit: usize) -> Result<Page> {
        self.ready()?;
        if limit == 0 {
            return Err(Error::invalid("limit is 0; it must be at least 1, or no page ever comes to an end"));
        }
        let view = self.inner.view.load_full();
        let slots = self.live(&view, filter)?;
        let mut slots = slots.iter_from(Slot(cursor.unwrap_or(0)));
        let chunks = slots.by_ref().take(limit).filter_map(|slot| self.chunk(&view, slot)).collect();
        Ok(Page { chunks, next: slots.next().map(|s| s.0), degraded: self.inner.is_degraded() })
    }

    /// Whether rows may be missing: then counts, look-ups and lists may come short, and answers of searches say `degraded`. What is
    /// damaged and was not read yet is not known.
    pub fn is_degraded(&self) -> bool {
        self.inner.is_degraded()
    }

    /// Calls `each` for every row that matches, all of one state of the collection, oldest write first; says how many there were. A
    /// damaged row is an error: whoever copies all rows must not miss one.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "imports and exports are its users"))]
    pub(crate) fn for_each(&self, filter: Option<&Filter>, each: &mut EachRow<'_>) -> Result<usize> {
        self.ensure_whole()?;
        let view = self.inner.view.load_full();
        let slots = self.live(&view, filter)?;
        for slot in slots.iter() {
            let row = view.tables.rows.get(slot).filter(|_| is_whole(&view, slot));
            let row = row.ok_or_else(|| {
                self.inner.damage.suspect(slot);
                self.inner.unreadable("", slot, "its row is damaged")
            })?;
            each(row, view.tables.vectors.get(slot).filter(|_| view.ready.contains(slot)))?;
        }
        Ok(slots.len())
    }

    /// The store has a mirror, or had one.
    #[cfg_attr(not(feature = "server"), allow(dead_code, reason = "imports are its user"))]
    pub(crate) fn is_mirrored(&self) -> bool {
        self.inner.tie().is_attached()
    }

    /// How many chunks match, exactly. Damaged ones do not count: see [`Stats::missing`].
    pub fn count(&self, filter: Option<&Filter>) -> Result<usize> {
        self.ready()?;
        let view = self.inner.view.load_full();
        Ok(self.live(&view, filter)?.len())
    }

    /// Deletes the chunks of these ids; says how many there were.
    pub fn delete<'i>(&self, ids: impl IntoIterator<Item = &'i str>) -> Result<(usize, Token)> {
        self.ready()?;
        let _turn = self.writes()?;
        self.inner.delete(Pick::Ids(ids.into_iter().map(ChunkId::from).collect()), self.tenant.as_deref())
    }

    /// Deletes the chunks of a document; says how many there were.
    pub fn delete_document(&self, document_id: &str) -> Result<(usize, Token)> {
        self.ready()?;
        let _turn = self.writes()?;
        self.inner.delete(Pick::Document(document_id.into()), self.tenant.as_deref())
    }

    /// Deletes the chunks that match; says how many there were.
    pub fn delete_where(&self, filter: &Filter) -> Result<(usize, Token)> {
        self.ready()?;
        filter.check()?;
        let _turn = self.writes()?;
        self.inner.delete(Pick::Filter(filter.clone()), self.tenant.as_deref())
    }

    /// Leads the graph around deleted chunks, all at once. Writes do the same bit by bit; call it when there is time.
    pub fn heal(&self) -> Result<()> {
        self.inner.heal_all()
    }

    /// Gives back the room of deleted chunks, as the background does bit by bit: blocks that are mostly dead are emptied, the graph
    /// is led around what is gone. Ends when nothing is left to do, or `goes_on` says no.
    pub fn reclaim(&self, goes_on: &dyn Fn() -> bool) -> Result<()> {
        self.inner.reclaim(goes_on)
    }

    /// Checks the graph's invariants: says how many chunks no search can reach (0 in good health), or which one is broken.
    pub fn check(&self) -> std::result::Result<usize, String> {
        let _alone = self.inner.linking.write();
        let view = self.inner.view.load_full();
        self.inner.graph.check(&view.ready.with(&[], &view.tail))
    }

    /// Counts and bytes.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.inner)
    }

    /// Whether both are handles of one collection, whatever it is called; tenants do not count.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether a mirror's database has rows that are still to come: a search asks it for them, or answers with those that are here.
    pub fn is_filling(&self) -> bool {
        self.inner.lack.is_filling()
    }

    /// Whether it was dropped: all calls answer with an error then.
    pub fn is_dropped(&self) -> bool {
        self.inner.ensure_open().is_err()
    }

    /// The files of its store, and its number among collections: for those of other floors that keep something beside it.
    #[cfg_attr(not(feature = "ingest"), allow(dead_code, reason = "the backfill is its user"))]
    pub(crate) fn place(&self) -> Option<(Arc<dyn Disk>, u32)> {
        self.store.shared.home.as_ref().map(|home| (home.disk.clone(), self.inner.number))
    }

    /// The slots a search may answer with, and whether that is fewer than all.
    pub(crate) fn accepted(&self, view: &View, filter: Option<&Filter>) -> Result<(SlotBits, bool)> {
        self.ready()?;
        let mut accepted = match filter {
            None => view.ready.clone(),
            Some(filter) => {
                filter.check()?;
                self.inner.filters.ready(view, filter)
            }
        };
        accepted = self.inner.of_tenant(accepted, self.tenant.as_deref());
        Ok((accepted, filter.is_some() || self.tenant.is_some()))
    }

    pub(crate) fn check_query(&self, query: &[f32]) -> Result<()> {
        let dim = self.inner.schema.dim;
        if query.len() != dim {
            let got = query.len();
            return Err(Error::invalid(format!(
                "the query has {got} dimensions, collection {:?} has {dim}; embed it with the collection's model",
                self.name()
            )));
        }
        if let Some(at) = query.iter().position(|x| !x.is_finite()) {
            return Err(Error::invalid(format!(
                "the query has {} at position {at}; all values must be finite",
                query[at]
            )));
        }
        let norm_sq = f64::from(Kernels::best().norm_sq(query));
        if norm_sq > limits::VECTOR_NORM_SQUARED_MAX {
            return Err(Error::invalid(format!(
                "the query's squared length is {norm_sq:e}; it must be at most {:e}: scale it down",
                limits::VECTOR_NORM_SQUARED_MAX
            )));
        }
        if self.inner.schema.metric == Metric::Cosine && norm_sq < limits::VECTOR_NORM_SQUARED_MIN {
            return Err(Error::invalid(format!(
                "the query's squared length is {norm_sq:e}; cosine needs at least {:e}: a zero vector has no direction",
                limits::VECTOR_NORM_SQUARED_MIN
            )));
        }
        Ok(())
    }

    /// Held by a caller's write: the name goes to no other collection meanwhile. Since it went, handles that were opened by it before only
    /// read: what they write is meant for the collection that has it now.
    pub(crate) fn writes(&self) -> Result<RwLockReadGuard<'_, ()>> {
        let turn = self.inner.turn.read();
        if self.inner.was_switched.load(Ordering::Acquire) && *self.inner.name() != *self.name {
            let message = format!(
                "collection {:?} was switched to another while this handle was held: what the handle reads is called {:?} now; open {:?} \
                 again and write to that",
                self.name(),
                self.inner.name(),
                self.name()
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        Ok(turn)
    }

    /// Refuses a dropped collection, and a call without the tenant it requires.
    pub(crate) fn ready(&self) -> Result<()> {
        self.inner.ensure_open()?;
        if self.inner.schema.tenant_required && self.tenant.is_none() {
            return Err(Error::invalid(format!(
                "collection {:?} requires a tenant; use collection.tenant(..)",
                self.name()
            )));
        }
        Ok(())
    }

    pub(crate) fn live(&self, view: &View, filter: Option<&Filter>) -> Result<SlotBits> {
        let live = match filter {
            None => view.live.clone(),
            Some(filter) => {
                filter.check()?;
                self.inner.filters.live(view, filter)
            }
        };
        Ok(self.inner.of_tenant(live, self.tenant.as_deref()))
    }

    /// The whole of a live row; `None` if any of it is damaged.
    fn chunk(&self, view: &View, slot: Slot) -> Option<Chunk> {
        if !is_whole(view, slot) {
            self.inner.damage.suspect(slot);
            return None;
        }
        let row = view.tables.rows.get(slot)?;
        let vector = view.tables.vectors.get(slot).filter(|_| view.ready.contains(slot));
        Some(row.to_chunk(vector.map(<[f32]>::to_vec)))
    }

    /// The same with the version that it has.
    pub(super) fn seen(&self, view: &View, slot: Slot) -> Option<(Chunk, Ver)> {
        self.chunk(view, slot).zip(view.tables.rows.get(slot).map(|row| row.ver))
    }

    fn is_mine(&self, view: &View, slot: Slot) -> bool {
        self.tenant.is_none() || view.tables.rows.tenant(slot) == self.tenant.as_deref()
    }
}
