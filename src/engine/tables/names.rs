//! What finds rows by name: ids, documents, tenants. Made from the rows when it is first needed, so that opening a store does
//! not wait for it.

use super::ids::IdTable;
use crate::engine::damage::alarm::Damage;
use crate::engine::inner::Inner;
use crate::engine::view::View;
use crate::ids::Slot;
use crate::record::Payload;
use parking_lot::{Once, RwLock, RwLockReadGuard, RwLockWriteGuard};
use roaring::RoaringBitmap;
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) struct Names {
    made: Once,
    ids: RwLock<IdTable>,
    members: RwLock<Members>,
}

/// Slots by document and by tenant. Dead slots stay in until their block goes; every reader intersects with `live`.
#[derive(Default)]
pub(crate) struct Members {
    pub(crate) documents: HashMap<Arc<str>, RoaringBitmap>,
    pub(crate) tenants: HashMap<Arc<str>, RoaringBitmap>,
    pub(crate) models: HashMap<Arc<str>, ()>,
}

impl Names {
    pub(crate) fn new(seed: u64) -> Self {
        Self { made: Once::new(), ids: RwLock::new(IdTable::new(seed)), members: RwLock::default() }
    }
}

impl Inner {
    pub(crate) fn ids(&self) -> RwLockReadGuard<'_, IdTable> {
        self.make_names();
        self.names.ids.read()
    }

    pub(crate) fn ids_mut(&self) -> RwLockWriteGuard<'_, IdTable> {
        self.make_names();
        self.names.ids.write()
    }

    pub(crate) fn members(&self) -> RwLockReadGuard<'_, Members> {
        self.make_names();
        self.names.members.read()
    }

    pub(crate) fn members_mut(&self) -> RwLockWriteGuard<'_, Members> {
        self.make_names();
        self.names.members.write()
    }

    /// Reads the names of all live rows, the first time. Whoever changes the view comes by here before.
    pub(crate) fn make_names(&self) {
        self.names.made.call_once(|| {
            let view = self.view.load_full();
            fill(&view, &self.damage, &mut self.names.ids.write(), &mut self.names.members.write());
        });
    }
}

fn fill(view: &View, damage: &Damage, ids: &mut IdTable, members: &mut Members) {
    let rows = &view.tables.rows;
    ids.reserve(rows, view.live.len());
    for slot in view.live.iter() {
        let Some(row) = rows.get(slot) else {
            damage.suspect(slot);
            continue;
        };
        ids.add(rows, slot);
        members.add(slot, row.document, row.tenant);
    }
}

impl Members {
    /// Puts the slot into its sets.
    fn add(&mut self, slot: Slot, document: Option<&str>, tenant: Option<&str>) {
        for (map, name) in [(&mut self.documents, document), (&mut self.tenants, tenant)] {
            let Some(name) = name else { continue };
            match map.get_mut(name) {
                Some(slots) => slots.insert(slot.0),
                None => map.entry(name.into()).or_default().insert(slot.0),
            };
        }
    }

    /// Takes a slot out, and with the last one the name.
    pub(crate) fn forget(&mut self, slot: Slot, document: Option<&str>, tenant: Option<&str>) {
        for (map, name) in [(&mut self.documents, document), (&mut self.tenants, tenant)] {
            let Some(name) = name else { continue };
            if let Some(slots) = map.get_mut(name) {
                slots.remove(slot.0);
                if slots.is_empty() {
                    map.remove(name);
                }
            }
        }
    }

    /// The same, and shares the names with the payload.
    pub(crate) fn put(&mut self, slot: Slot, payload: &mut Payload) {
        if let Some(document) = &mut payload.document {
            intern(&mut self.documents, document).insert(slot.0);
        }
        if let Some(tenant) = &mut payload.tenant {
            intern(&mut self.tenants, tenant).insert(slot.0);
        }
        if let Some(model) = &mut payload.embedding_model {
            intern(&mut self.models, model);
        }
    }
}

/// The value under `name`, after pointing `name` at the copy that the map holds.
fn intern<'m, V: Default>(map: &'m mut HashMap<Arc<str>, V>, name: &mut Arc<str>) -> &'m mut V {
    if let Some((held, _)) = map.get_key_value(name) {
        *name = held.clone();
    }
    map.entry(name.clone()).or_default()
}
