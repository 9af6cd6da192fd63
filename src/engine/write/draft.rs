//! What a group of orders will do to each collection, worked out before anything is done: which slots go, which come.
//!
//! Invariants: a draft sees the published view and what the group has staged before; new rows take consecutive slots in
//! the order of the commits; staging changes nothing that anyone can see.

use super::swap::Swap;
use super::upsert::{Done, Token};
use crate::engine::inner::Inner;
use crate::engine::tap::{Applied, Tapped};
use crate::engine::view::View;
use crate::error::Result;
use crate::filter::Filter;
use crate::ids::{ChunkId, Seq, Slot, Ver};
use crate::record::{Grave, Row};
use crate::wal::Marking;
use std::collections::HashMap;
use std::sync::Arc;

/// What a writer asks for.
pub(crate) struct Order {
    pub(crate) collection: Arc<Inner>,
    /// The tenant whose rows it may touch; all if none.
    pub(crate) tenant: Option<Box<str>>,
    pub(crate) change: Change,
}

pub(crate) enum Change {
    /// Rows, each with its place in the writer's batch.
    Upsert(Vec<(usize, Row)>),
    /// Rows that come and ids that go, in one commit.
    Exchange(Vec<(usize, Row)>, Vec<ChunkId>),
    /// The same where all that is replaced is what was seen.
    Swap(Swap),
    Delete(Pick),
    /// Live rows among these slots are stored again, so that their block can go.
    Move(Vec<Slot>),
    /// What the mirror wants.
    Tapped(Tapped),
    /// The collection comes, or goes.
    Event(Event),
}

/// What a commit is.
pub(crate) enum Event {
    Rows,
    /// A collection was made; the text describes it.
    Create(String),
    /// It was dropped.
    Drop(String),
    /// Collections got other names; the text says which.
    Names(String),
}

/// Rows to delete.
#[derive(Clone)]
pub(crate) enum Pick {
    Ids(Vec<ChunkId>),
    Document(Box<str>),
    Filter(Filter),
}

/// One commit, worked out.
pub(crate) struct Staged {
    pub(crate) collection: Arc<Inner>,
    pub(crate) seq: Seq,
    pub(crate) event: Event,
    /// Slots that are live before, or come with this commit, and are not after it.
    pub(crate) removed: Vec<Slot>,
    /// The slot of the first row.
    pub(crate) first: Slot,
    pub(crate) rows: Vec<NewRow>,
    /// What the mirror has to know; nothing in a store that was never attached.
    pub(crate) marking: Option<Marking>,
    /// What became of versions from the database.
    pub(crate) applied: Applied,
    /// Rows that must not be stored: their places in the writer's batch, and why.
    pub(crate) refused: Vec<(usize, &'static str)>,
}

/// A row on its way into a slot.
pub(crate) struct NewRow {
    pub(crate) row: Row,
    pub(crate) ver: Ver,
    /// Who wrote it; 0 for this store.
    pub(crate) node: u64,
    /// The commit since which the database does not know it; nothing if it does, or there is none.
    pub(crate) since: Option<Seq>,
}

/// The clock that versions come from: milliseconds since 1970, then a counter. It never goes back, whatever the system's does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock(Ver);

const CLOCK_COUNTER_BITS: u32 = 16;

#[derive(Default)]
pub(crate) struct Drafts(Vec<Draft>);

pub(crate) struct Draft {
    collection: Arc<Inner>,
    view: Arc<View>,
    /// Where the next row goes.
    next: Slot,
    /// Where the group has moved ids, or that it has removed them.
    moved: HashMap<ChunkId, Found>,
}

/// What stands under an id.
#[derive(Clone, Default)]
struct Found {
    row: Option<Held>,
    /// Of its grave.
    buried: Option<Ver>,
}

#[derive(Clone)]
struct Held {
    slot: Slot,
    ver: Ver,
    tenant: Option<Arc<str>>,
}

/// Versions seen elsewhere move the clock unless they are further ahead of the system's time than this: somebody's clock is wrong.
const CLOCK_AHEAD_MS_MAX: i64 = 5 * 60 * 1_000;

impl Clock {
    /// A clock whose versions are all above `ver`.
    pub(crate) fn after(ver: Ver) -> Self {
        Self(ver)
    }

    /// The last version that it gave.
    pub(crate) fn last(self) -> Ver {
        self.0
    }

    /// Moves on to the system's time, if that is ahead.
    pub(crate) fn catch_up(&mut self) {
        self.0 = self.0.max(Self::system(0));
    }

    /// Moves on to a version that was seen elsewhere.
    pub(crate) fn observe(&mut self, seen: Ver) {
        if seen <= Self::system(CLOCK_AHEAD_MS_MAX) {
            self.0 = self.0.max(seen);
        }
    }

    fn system(ahead_ms: i64) -> Ver {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(since.as_millis()).unwrap_or(0).saturating_add(ahead_ms);
        Ver(now_ms.saturating_mul(1 << CLOCK_COUNTER_BITS))
    }

    fn next(&mut self) -> Ver {
        self.0 = Ver(self.0.0.saturating_add(1));
        self.0
    }
}

impl Order {
    /// Bytes that it adds to a group, about.
    pub(crate) fn bytes(&self) -> usize {
        match &self.change {
            Change::Upsert(rows) | Change::Exchange(rows, _) => rows.iter().map(|(_, row)| row.bytes()).sum(),
            Change::Swap(swap) => swap.rows.iter().map(|(_, row, _)| row.bytes()).sum(),
            Change::Move(slots) => slots.len() * self.collection.schema.dim * size_of::<f32>(),
            Change::Tapped(tapped) => tapped.bytes(),
            Change::Delete(_) | Change::Event(_) => 0,
        }
    }

    /// Whether it looks at more than ids, hence at published rows only.
    pub(crate) fn looks_around(&self) -> bool {
        matches!(
            self.change,
            Change::Delete(Pick::Document(_) | Pick::Filter(_)) | Change::Move(_) | Change::Tapped(_)
        )
    }

    /// The same order once more, if it is one that a full disk must not fail.
    pub(crate) fn again(&self) -> Option<Self> {
        let Change::Delete(pick) = &self.change else { return None };
        let (collection, tenant) = (self.collection.clone(), self.tenant.clone());
        Some(Self { collection, tenant, change: Change::Delete(pick.clone()) })
    }

    /// Whether it takes room on the disk that it does not give back.
    pub(crate) fn needs_space(&self) -> bool {
        match &self.change {
            Change::Upsert(_) | Change::Event(Event::Create(_)) => true,
            Change::Exchange(rows, _) => !rows.is_empty(),
            Change::Swap(swap) => !swap.rows.is_empty(),
            Change::Tapped(tapped) => tapped.brings_rows(),
            _ => false,
        }
    }
}

impl Staged {
    /// Nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty()
            && self.rows.is_empty()
            && self.marking.as_ref().is_none_or(Marking::is_empty)
            && matches!(self.event, Event::Rows)
    }

    /// Since when a row that this commit writes is dirty.
    pub(crate) fn dirty(&self) -> Option<Seq> {
        self.marking.is_some().then_some(self.seq)
    }

    /// Whether the store holds more after it.
    pub(crate) fn adds(&self) -> bool {
        !self.rows.is_empty() || matches!(self.event, Event::Create(_))
    }

    pub(crate) fn done(self, token: Token) -> Done {
        Done { token, removed: self.removed.len(), refused: self.refused, applied: self.applied }
    }
}

impl Drafts {
    /// Works out `order` as the commit `seq`.
    pub(crate) fn stage(&mut self, order: Order, seq: Seq, clock: &mut Clock) -> Result<Staged> {
        order.collection.ensure_open()?;
        let at = match self.0.iter().position(|d| Arc::ptr_eq(&d.collection, &order.collection)) {
            Some(at) => at,
            None => {
                self.0.push(Draft::new(order.collection));
                self.0.len() - 1
            }
        };
        if let Change::Swap(swap) = &order.change {
            swap.check(&self.0[at], order.tenant.as_deref())?;
        }
        Ok(self.0[at].stage(order.change, order.tenant.as_deref(), seq, clock))
    }

    /// Adds the blocks that the staged rows need. What can fail fails here, before anything is written.
    pub(crate) fn make_room(&self) -> Result<()> {
        self.0.iter().try_for_each(|draft| draft.collection.make_room(draft.next))
    }
}

impl Draft {
    fn new(collection: Arc<Inner>) -> Self {
        let view = collection.view.load_full();
        let next = view.tables.vectors.next_slot();
        Self { collection, view, next, moved: HashMap::new() }
    }

    pub(crate) fn collection(&self) -> &Arc<Inner> {
        &self.collection
    }

    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }

    fn stage(&mut self, change: Change, tenant: Option<&str>, seq: Seq, clock: &mut Clock) -> Staged {
        let mut staged = Staged {
            collection: self.collection.clone(),
            seq,
            event: Event::Rows,
            removed: Vec::new(),
            first: self.next,
            rows: Vec::new(),
            marking: self.collection.tie().is_attached().then(Marking::default),
            applied: Applied::default(),
            refused: Vec::new(),
        };
        match change {
            Change::Upsert(rows) => self.stage_rows(rows, tenant, clock, &mut staged),
            Change::Exchange(rows, gone) => self.stage_exchange(rows, gone, tenant, clock, &mut staged),
            Change::Swap(mut swap) => {
                let gone = swap.removable(self, tenant);
                let rows = swap.allowed(self, tenant, &mut staged);
                self.stage_exchange(rows, gone, tenant, clock, &mut staged);
            }
            Change::Delete(pick) => self.stage_delete(pick, tenant, clock, &mut staged),
            Change::Move(slots) => self.stage_move(slots, &mut staged),
            Change::Tapped(tapped) => self.stage_tapped(tapped, clock, &mut staged),
            Change::Event(event) => staged.event = event,
        }
        staged
    }

    fn stage_exchange(
        &mut self,
        rows: Vec<(usize, Row)>,
        gone: Vec<ChunkId>,
        tenant: Option<&str>,
        clock: &mut Clock,
        staged: &mut Staged,
    ) {
        // The clock moves for rows alone.
        if !rows.is_empty() {
            self.stage_rows(rows, tenant, clock, staged);
        }
        self.stage_delete(Pick::Ids(gone), tenant, clock, staged);
    }

    fn stage_rows(
        &mut self,
        rows: Vec<(usize, Row)>,
        tenant: Option<&str>,
        clock: &mut Clock,
        staged: &mut Staged,
    ) {
        clock.catch_up();
        for (at, row) in rows {
            let found = self.find(&row.id, tenant);
            if let Some(held) = &found.row {
                // A tenant's handle never replaces a row of another tenant.
                if tenant.is_some() && held.tenant.as_deref() != tenant {
                    staged.refused.push((at, "the id is taken outside this tenant; use another"));
                    continue;
                }
                staged.removed.push(held.slot);
            }
            if let (Some(_), Some(marking)) = (found.buried, &mut staged.marking) {
                marking.risen.push(row.id.clone());
            }
            let (ver, node) = self.version(found.ver(), clock);
            let since = staged.dirty();
            self.push(NewRow { row, ver, node, since }, staged);
        }
    }

    /// A version of this store that is above `before`, and who to say wrote it. A version ahead of the clock says so by name: what
    /// says 0 is taken to be of the clock.
    pub(crate) fn version(&self, before: Option<Ver>, clock: &mut Clock) -> (Ver, u64) {
        let ver = clock.next();
        match before {
            Some(before) if before >= ver => (Ver(before.0.saturating_add(1)), self.collection.tie().node()),
            _ => (ver, 0),
        }
    }

    /// Stages a row for the next slot.
    pub(crate) fn push(&mut self, new: NewRow, staged: &mut Staged) {
        let tenant = new.row.payload.as_ref().and_then(|p| p.tenant.clone());
        let held = Held { slot: self.next, ver: new.ver, tenant };
        self.moved.insert(new.row.id.clone(), Found { row: Some(held), buried: None });
        self.next = self.next.following(self.collection.block_slots());
        staged.rows.push(new);
    }

    /// Stages that the row of an id goes. Where there is a mirror it leaves a grave.
    fn remove(&mut self, id: ChunkId, slot: Slot, before: Ver, clock: &mut Clock, staged: &mut Staged) {
        staged.removed.push(slot);
        let mut found = Found::default();
        // Nobody knows what to bury of a row whose id cannot be read.
        if staged.marking.is_some() && !id.is_empty() {
            clock.catch_up();
            let (ver, _) = self.version(Some(before), clock);
            found.buried = Some(ver);
            self.bury(id.clone(), ver, staged);
        }
        self.moved.insert(id, found);
    }

    /// Stages a deletion by this store.
    pub(crate) fn bury(&mut self, id: ChunkId, ver: Ver, staged: &mut Staged) {
        let node = self.collection.tie().node();
        self.put_grave(id, Grave { ver, node, is_dirty: true }, staged);
    }

    /// Nothing stands under the id any more.
    pub(crate) fn forget(&mut self, id: &ChunkId) {
        self.moved.insert(id.clone(), Found::default());
    }

    /// Stages a grave.
    pub(crate) fn put_grave(&mut self, id: ChunkId, grave: Grave, staged: &mut Staged) {
        self.moved.insert(id.clone(), Found { row: None, buried: Some(grave.ver) });
        if let Some(marking) = &mut staged.marking {
            marking.graves.push((id, grave));
        }
    }

    /// The same rows, versions included, in new slots.
    fn stage_move(&mut self, slots: Vec<Slot>, staged: &mut Staged) {
        for slot in slots.into_iter().filter(|slot| self.view.live.contains(*slot)).collect::<Vec<_>>() {
            if let Some(new) = self.again(slot) {
                let since = self.collection.marks().since(slot);
                staged.removed.push(slot);
                self.push(NewRow { since, ..new }, staged);
            }
        }
    }

    /// A published row, to be stored again; nothing if it is damaged. It is clean.
    pub(crate) fn again(&self, slot: Slot) -> Option<NewRow> {
        let tables = &self.view.tables;
        let body = tables.rows.get(slot)?;
        let vector = if self.view.ready.contains(slot) { Some(tables.vectors.get(slot)?) } else { None };
        let row = body.to_row(vector.map(<[f32]>::to_vec));
        Some(NewRow { row, ver: body.ver, node: body.node, since: None })
    }

    fn stage_delete(&mut self, pick: Pick, tenant: Option<&str>, clock: &mut Clock, staged: &mut Staged) {
        let slots = match pick {
            Pick::Ids(ids) => {
                for id in ids {
                    if let Some(held) = self.find(&id, tenant).row
                        && (tenant.is_none() || held.tenant.as_deref() == tenant)
                    {
                        self.remove(id, held.slot, held.ver, clock, staged);
                    }
                }
                return;
            }
            Pick::Document(document) => self.collection.document_slots(&self.view, &document, tenant),
            Pick::Filter(filter) => {
                let live = self.collection.filters.live(&self.view, &filter);
                self.collection.of_tenant(live, tenant).iter().collect::<Vec<_>>()
            }
        };
        let view = self.view.clone();
        for slot in slots {
            let row = view.tables.rows.get(slot);
            let (id, ver) = row.map_or(("", Ver(0)), |row| (row.id, row.ver));
            self.remove(ChunkId::from(id), slot, ver, clock, staged);
        }
    }

    /// The version that stands under an id after all that the group has staged.
    pub(super) fn version_of(&self, id: &str, tenant: Option<&str>) -> Option<Ver> {
        self.find(id, tenant).row.map(|held| held.ver)
    }

    /// Where the id is, or was before its row was damaged, after all that the group has staged. A damaged row of nobody
    /// knows whom is not there for a tenant.
    fn find(&self, id: &str, tenant: Option<&str>) -> Found {
        if let Some(found) = self.moved.get(id) {
            return found.clone();
        }
        let rows = &self.view.tables.rows;
        let held = self.collection.ids().get(rows, id);
        if let Some(slot) = held {
            let row = rows.get(slot);
            let ver = row.map_or(Ver(0), |row| row.ver);
            let tenant = row.and_then(|row| row.tenant).map(Arc::from);
            return Found { row: Some(Held { slot, ver, tenant }), buried: None };
        }
        let buried = self.collection.marks().grave(id).map(|grave| grave.ver);
        let row = self.collection.find_missing(id).and_then(|(slot, of)| {
            let ver = rows.get(slot).map_or(Ver(0), |row| row.ver);
            match of {
                None if tenant.is_some() => None,
                of => Some(Held { slot, ver, tenant: of.flatten() }),
            }
        });
        Found { row, buried }
    }
}

impl Found {
    fn ver(&self) -> Option<Ver> {
        self.row.as_ref().map(|held| held.ver).max(self.buried)
    }
}
