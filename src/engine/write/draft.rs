//! What a group of orders will do to each collection, worked out before anything is done: which slots go, which come.
//!
//! Invariants: a draft sees the published view and what the group has staged before; new rows take consecutive slots in
//! the order of the commits; staging changes nothing that anyone can see.

use super::upsert::{Done, Token};
use crate::engine::inner::Inner;
use crate::engine::view::View;
use crate::error::Result;
use crate::filter::Filter;
use crate::ids::{ChunkId, Seq, Slot, Ver};
use crate::record::Row;
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
    Delete(Pick),
    /// Live rows among these slots are stored again, so that their block can go.
    Move(Vec<Slot>),
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
    /// Rows that must not be stored: their places in the writer's batch, and why.
    pub(crate) refused: Vec<(usize, &'static str)>,
}

/// A row on its way into a slot.
pub(crate) struct NewRow {
    pub(crate) row: Row,
    pub(crate) ver: Ver,
    /// Who wrote it; 0 for this store.
    pub(crate) node: u64,
}

/// The clock that versions come from: milliseconds since 1970, then a counter. It never goes back, whatever the system's does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock(Ver);

const CLOCK_COUNTER_BITS: u32 = 16;

#[derive(Default)]
pub(crate) struct Drafts(Vec<Draft>);

struct Draft {
    collection: Arc<Inner>,
    view: Arc<View>,
    /// Where the next row goes.
    next: Slot,
    /// Where the group has moved ids, or that it has removed them.
    moved: HashMap<ChunkId, Option<Moved>>,
}

#[derive(Clone)]
struct Moved {
    slot: Slot,
    tenant: Option<Arc<str>>,
}

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
    fn catch_up(&mut self) {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_millis()).unwrap_or(0).saturating_mul(1 << CLOCK_COUNTER_BITS);
        self.0 = self.0.max(Ver(now));
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
            Change::Upsert(rows) => rows.iter().map(|(_, row)| row.bytes()).sum(),
            Change::Move(slots) => slots.len() * self.collection.schema.dim * size_of::<f32>(),
            Change::Delete(_) | Change::Event(_) => 0,
        }
    }

    /// Whether it looks at more than ids, hence at published rows only.
    pub(crate) fn looks_around(&self) -> bool {
        matches!(self.change, Change::Delete(Pick::Document(_) | Pick::Filter(_)) | Change::Move(_))
    }

    /// The same order once more, if it is one that a full disk must not fail.
    pub(crate) fn again(&self) -> Option<Self> {
        let Change::Delete(pick) = &self.change else { return None };
        let (collection, tenant) = (self.collection.clone(), self.tenant.clone());
        Some(Self { collection, tenant, change: Change::Delete(pick.clone()) })
    }

    /// Whether it takes room on the disk that it does not give back.
    pub(crate) fn needs_space(&self) -> bool {
        matches!(self.change, Change::Upsert(_) | Change::Event(Event::Create(_)))
    }
}

impl Staged {
    /// Nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.rows.is_empty() && matches!(self.event, Event::Rows)
    }

    /// Whether the store holds more after it.
    pub(crate) fn adds(&self) -> bool {
        !self.rows.is_empty() || matches!(self.event, Event::Create(_))
    }

    pub(crate) fn done(self, token: Token) -> Done {
        Done { token, removed: self.removed.len(), refused: self.refused }
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

    fn stage(&mut self, change: Change, tenant: Option<&str>, seq: Seq, clock: &mut Clock) -> Staged {
        let mut staged = Staged {
            collection: self.collection.clone(),
            seq,
            event: Event::Rows,
            removed: Vec::new(),
            first: self.next,
            rows: Vec::new(),
            refused: Vec::new(),
        };
        match change {
            Change::Upsert(rows) => self.stage_rows(rows, tenant, clock, &mut staged),
            Change::Delete(pick) => staged.removed = self.stage_delete(pick, tenant),
            Change::Move(slots) => self.stage_move(slots, &mut staged),
            Change::Event(event) => staged.event = event,
        }
        staged
    }

    fn stage_rows(
        &mut self,
        rows: Vec<(usize, Row)>,
        tenant: Option<&str>,
        clock: &mut Clock,
        staged: &mut Staged,
    ) {
        clock.catch_up();
        let block_slots = self.collection.block_slots();
        for (at, row) in rows {
            let held = self.find(&row.id, tenant);
            let of_row = row.payload.as_ref().and_then(|p| p.tenant.clone());
            if let Some(held) = held {
                // A tenant's handle never replaces a row of another tenant.
                if tenant.is_some() && held.tenant.as_deref() != tenant {
                    staged.refused.push((at, "the id is taken outside this tenant; use another"));
                    continue;
                }
                staged.removed.push(held.slot);
            }
            self.moved.insert(row.id.clone(), Some(Moved { slot: self.next, tenant: of_row }));
            self.next = self.next.following(block_slots);
            staged.rows.push(NewRow { row, ver: clock.next(), node: 0 });
        }
    }

    /// The same rows, versions included, in new slots.
    fn stage_move(&mut self, slots: Vec<Slot>, staged: &mut Staged) {
        let block_slots = self.collection.block_slots();
        let tables = self.view.tables.clone();
        for slot in slots.into_iter().filter(|s| self.view.live.contains(*s)) {
            let Some(body) = tables.rows.get(slot) else { continue };
            let vector = if self.view.ready.contains(slot) { tables.vectors.get(slot) } else { None };
            if vector.is_none() && self.view.ready.contains(slot) {
                continue;
            }
            let row = body.to_row(vector.map(<[f32]>::to_vec));
            staged.removed.push(slot);
            staged.rows.push(NewRow { row, ver: body.ver, node: body.node });
            self.next = self.next.following(block_slots);
        }
    }

    fn stage_delete(&mut self, pick: Pick, tenant: Option<&str>) -> Vec<Slot> {
        let slots = match pick {
            Pick::Ids(ids) => {
                let mut slots = Vec::with_capacity(ids.len());
                for id in ids {
                    if let Some(held) = self.find(&id, tenant)
                        && (tenant.is_none() || held.tenant.as_deref() == tenant)
                    {
                        slots.push(held.slot);
                        self.moved.insert(id, None);
                    }
                }
                return slots;
            }
            Pick::Document(document) => self.collection.document_slots(&self.view, &document, tenant),
            Pick::Filter(filter) => {
                let live = self.collection.filters.live(&self.view, &filter);
                self.collection.of_tenant(live, tenant).iter().collect::<Vec<_>>()
            }
        };
        let rows = &self.view.tables.rows;
        let ids = slots.iter().map(|slot| (ChunkId::from(rows.id(*slot)), None));
        self.moved.extend(ids.collect::<Vec<_>>());
        slots
    }

    /// Where the id is, or was before its row was damaged, after all that the group has staged. A damaged row of nobody
    /// knows whom is not there for a tenant.
    fn find(&self, id: &str, tenant: Option<&str>) -> Option<Moved> {
        if let Some(moved) = self.moved.get(id) {
            return moved.clone();
        }
        let rows = &self.view.tables.rows;
        let found = self.collection.ids().get(rows, id);
        if let Some(slot) = found {
            return Some(Moved { slot, tenant: rows.tenant(slot).map(Arc::from) });
        }
        let (slot, of) = self.collection.find_missing(id)?;
        match of {
            None if tenant.is_some() => None,
            of => Some(Moved { slot, tenant: of.flatten() }),
        }
    }
}
