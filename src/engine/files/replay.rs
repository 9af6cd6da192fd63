//! The log over the files: what was committed since they were written is done again.
//!
//! Invariants: doing it twice is doing it once (L6), because every record names the slots it fills and empties; a slot is filled
//! once and emptied once in its life, so the order of both does not matter to the outcome. What is dirty follows the same way;
//! acknowledgements are in no record, so what was acknowledged since is dirty again, which does no harm.

use super::restore::{Restored, block_slots, mapping, restore_graph};
use crate::config::{Options, Schema};
use crate::disk::{Bug, Disk, planted};
use crate::engine::damage::missing::{Missing, Trace};
use crate::engine::inner::{Called, Files, Inner, Parts};
use crate::engine::names::{check_any_name, check_name};
use crate::engine::store::Shared;
use crate::engine::tap::Marks;
use crate::engine::view::View;
use crate::engine::words::Words;
use crate::engine::write::draft::{Clock, NewRow};
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::ids::{ChunkId, Seq, Slot, Ver};
use crate::manifest::{CollectionEntry, Manifest, Marked};
use crate::record::Grave;
use crate::sets::SlotBits;
use crate::wal::{Kind, LoggedRow, Marking, RowsCommit};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a record says of a collection that comes or goes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Described {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// What a database calls it, if not that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mirror_name: Option<String>,
    pub(crate) schema: Schema,
}

/// What a record says of collections that got other names.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Renamed {
    pub(crate) names: Vec<(u32, String)>,
    /// What a database calls those of them that it calls otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mirror_names: Vec<(u32, String)>,
}

pub(crate) struct Replay {
    collections: BTreeMap<u32, Redone>,
    options: Options,
    /// Above every version that this store gave, and that moved its clock.
    pub(crate) clock: Clock,
    /// Whether the store has a mirror: `MIRROR` says so, or files that only such a store has.
    pub(crate) is_attached: bool,
    pub(crate) next_collection: u32,
    seq: Seq,
}

/// A collection on its way back.
struct Redone {
    restored: Restored,
    called: Called,
    schema: Schema,
    /// Of a block.
    slots: usize,
    added: Vec<Slot>,
    with_vector: Vec<Slot>,
    removed: Vec<Slot>,
    /// Rows that became dirty.
    soiled: Vec<Slot>,
    graves: BTreeMap<ChunkId, Grave>,
    work: Vec<f32>,
    /// The first commit that put a row into each block that no file holds.
    block_seqs: BTreeMap<u16, Seq>,
}

impl Replay {
    pub(crate) fn new(
        restored: Vec<Restored>,
        manifest: &Manifest,
        options: &Options,
        is_attached: bool,
    ) -> Self {
        let is_attached = is_attached || restored.iter().any(|r| r.sets.marked.is_some());
        let collections = restored.into_iter().map(|restored| {
            let CollectionEntry { name, mirror_name, schema, .. } = &restored.entry;
            let (called, schema) = (Called::new(name, mirror_name.as_deref()), schema.clone());
            (restored.entry.number, Redone::new(restored, called, schema, options))
        });
        Self {
            collections: collections.collect(),
            options: options.clone(),
            clock: Clock::after(Ver(i64::try_from(manifest.ver).unwrap_or(i64::MAX))),
            is_attached,
            next_collection: manifest.next_collection,
            seq: manifest.seq,
        }
    }

    pub(crate) fn redo(&mut self, seq: Seq, kind: Kind, payload: &[u8]) -> Result<()> {
        self.seq = self.seq.max(seq);
        match kind {
            Kind::Rows => {
                let commit = RowsCommit::parse(payload).ok_or_else(|| unreadable(seq))?;
                // Of before the store had a mirror: all its rows are dirty.
                let dirty = vec![true; commit.count];
                self.rows(seq, &commit, &dirty, Marking::default())?;
            }
            Kind::Mirrored => {
                let (commit, dirty, marking) =
                    RowsCommit::parse_mirrored(payload).ok_or_else(|| unreadable(seq))?;
                self.is_attached = true;
                self.rows(seq, &commit, &dirty, marking)?;
            }
            Kind::Create => {
                let new = described(payload).ok_or_else(|| unreadable(seq))?;
                new.schema.validate()?;
                check_any_name(&new.name)?;
                new.mirror_name.iter().try_for_each(|name| check_name(name))?;
                self.next_collection = self.next_collection.max(new.number.saturating_add(1));
                let fresh = || {
                    Redone::new(
                        Restored::nothing(new.number, &new.name, &new.schema),
                        Called::new(&new.name, new.mirror_name.as_deref()),
                        new.schema.clone(),
                        &self.options,
                    )
                };
                self.collections.entry(new.number).or_insert_with(fresh);
            }
            Kind::Drop => {
                let gone = described(payload).ok_or_else(|| unreadable(seq))?;
                self.collections.remove(&gone.number);
            }
            Kind::Names => {
                let renamed: Renamed = serde_json::from_slice(payload).map_err(|_| unreadable(seq))?;
                let there: BTreeMap<u32, String> = renamed.mirror_names.into_iter().collect();
                there.values().try_for_each(|name| check_name(name))?;
                for (number, name) in renamed.names {
                    check_any_name(&name)?;
                    // One that is not there was dropped later.
                    if let Some(redone) = self.collections.get_mut(&number) {
                        redone.called = Called::new(&name, there.get(&number).map(String::as_str));
                    }
                }
            }
        }
        Ok(())
    }

    fn rows(&mut self, seq: Seq, commit: &RowsCommit<'_>, dirty: &[bool], marking: Marking) -> Result<()> {
        // A collection that is not there was dropped later.
        let Some(redone) = self.collections.get_mut(&commit.collection) else { return Ok(()) };
        for row in commit.rows() {
            match row.body.node {
                0 => self.clock = Clock::after(self.clock.last().max(row.body.ver)),
                _ => self.clock.observe(row.body.ver),
            }
        }
        marking.graves.iter().for_each(|(_, grave)| self.clock.observe(grave.ver));
        redone.rows(seq, commit, dirty)?;
        redone.mark(seq, marking);
        Ok(())
    }

    /// The collections as they were, by name.
    pub(crate) fn finish(self, shared: &Shared, disk: &dyn Disk) -> Result<BTreeMap<String, Arc<Inner>>> {
        let (seq, is_attached) = (self.seq, self.is_attached);
        let mut found = BTreeMap::new();
        for redone in self.collections.into_values() {
            let inner = Arc::new(redone.finish(shared, disk, seq, is_attached)?);
            if let Some(other) = found.insert(inner.name().to_string(), inner) {
                let twice =
                    format!("two collections are called {}; run `nearfield doctor`", excerpt(&other.name()));
                return Err(Error::new(ErrorKind::Corrupt, twice));
            }
        }
        Ok(found)
    }
}

impl Redone {
    fn new(restored: Restored, called: Called, schema: Schema, options: &Options) -> Self {
        let graves = restored.sets.marked.iter().flat_map(|marked| marked.graves.iter().cloned()).collect();
        Self {
            restored,
            soiled: Vec::new(),
            graves,
            called,
            slots: block_slots(&schema, options),
            schema,
            added: Vec::new(),
            with_vector: Vec::new(),
            removed: Vec::new(),
            work: Vec::new(),
            block_seqs: BTreeMap::new(),
        }
    }

    /// Does the rows of one commit again.
    fn rows(&mut self, seq: Seq, commit: &RowsCommit<'_>, dirty: &[bool]) -> Result<()> {
        let is_new = seq > self.restored.sets_seq;
        let slots = self.slots;
        let mut slot = commit.first;
        for (row, is_dirty) in commit.rows().zip(dirty) {
            let vector = row.vector();
            if vector.as_ref().is_some_and(|v| v.len() != self.schema.dim) || slot.index() >= slots {
                return Err(unreadable(seq));
            }
            if is_new || self.restored.sets.live.contains(slot) {
                self.added.push(slot);
                if vector.is_some() {
                    self.with_vector.push(slot);
                }
                if is_new && *is_dirty {
                    self.soiled.push(slot);
                }
            }
            if self.restored.tables.vectors.holds(slot) && planted(Bug::ReplayTwiceAppends) {
                let again = self.restored.tables.vectors.next_slot();
                self.added.push(again);
                self.fill(again, new_row(&row, vector))?;
            } else if !self.restored.tables.vectors.holds(slot) {
                self.block_seqs.entry(slot.block().0).or_insert(seq);
                self.fill(slot, new_row(&row, vector))?;
            }
            slot = slot.following(slots);
        }
        if is_new && !planted(Bug::ForgetRemovedSlots) {
            self.removed.extend(commit.removed());
        }
        Ok(())
    }

    /// The same of what it says to the mirror.
    fn mark(&mut self, seq: Seq, marking: Marking) {
        if seq > self.restored.sets_seq {
            self.soiled.extend(marking.soiled);
            self.graves.extend(marking.graves);
            for id in &marking.risen {
                self.graves.remove(id);
            }
        }
    }

    /// What is dirty of the rows that are live in the end.
    fn marks(&mut self, live: &SlotBits, seq: Seq) -> Marks {
        let marked = self.restored.sets.marked.take();
        // Sets of before the store had a mirror: it knows of none of these rows.
        let before = marked.map_or_else(|| self.restored.sets.live.clone(), |marked| marked.dirty);
        let soiled: Vec<Slot> = self.soiled.iter().copied().filter(|slot| live.contains(*slot)).collect();
        let dirty = before.and(live).with(&soiled, &[]);
        let graves = std::mem::take(&mut self.graves).into_iter().collect();
        Marks::restored(Marked { dirty, graves }, seq)
    }

    /// Writes a row into the next slot of its block. Slots before it that no record fills were lost with a part of the log.
    fn fill(&mut self, slot: Slot, new: NewRow) -> Result<()> {
        let capacity = self.slots;
        let tables = &mut self.restored.tables;
        while tables.vectors.blocks() <= slot.block().index() {
            tables.grow(capacity)?;
        }
        for _ in tables.vectors.rows_in(slot.block().index())..slot.index() {
            tables.vectors.push(slot.block(), None)?;
            tables.codes.push(slot.block(), None, &mut self.work)?;
        }
        tables.write(slot, new, slot.index() + 1 == capacity, &mut self.work)
    }

    fn finish(mut self, shared: &Shared, disk: &dyn Disk, seq: Seq, is_attached: bool) -> Result<Inner> {
        let alive = self.restored.sets.live.with(&self.added, &self.removed);
        let marks = if is_attached { self.marks(&alive, seq) } else { Marks::default() };
        let Restored { entry, tables, sets, codec, mut damage, lost, .. } = self.restored;
        let (unusable, remade, alarm) = (self.restored.unusable, self.restored.remade, self.restored.alarm);
        let has_bad_sets = self.restored.bad_sets.is_some();
        let live = alive;
        let ready = sets.ready.with(&self.with_vector, &self.removed);
        // Known to be gone, but for what was written or deleted since.
        let removed: HashSet<Slot> = self.removed.iter().copied().collect();
        let known: Vec<Slot> =
            entry.missing.iter().copied().map(Slot).filter(|slot| !removed.contains(slot)).collect();
        // Found to be gone, or named by a set and held by no file and no record.
        let unheld = live.iter().filter(|slot| !tables.vectors.is_written(*slot));
        // A row that waits for its vector loses nothing with the place of one.
        let is_lost = |slot: &Slot| ready.contains(*slot) || tables.rows.get(*slot).is_none();
        let lost = lost.into_iter().filter(is_lost);
        let found: Vec<Slot> = lost.chain(unheld).filter(|slot| live.contains(*slot)).collect();
        let (live, ready) = (live.with(&[], &known), ready.with(&[], &known));
        let (live, ready) = (live.with(&[], &found), ready.with(&[], &found));
        let mut marks = marks;
        marks.clean_rows(&known);
        marks.clean_rows(&found);
        let (graph, linked) = restore_graph(disk, &entry, &shared.options, &tables, &mut damage)?;
        let tail: Arc<[Slot]> = ready.iter().filter(|slot| !linked.contains(*slot)).collect();
        let was_cut = !tail.is_empty();
        let links_saved = (linked.len() > 0).then_some(0);
        let dropped: BTreeSet<u16> = entry.dropped_blocks.iter().copied().collect();
        let dropped_saved = dropped.len();
        let view = View { seq, tables: Arc::new(tables), live, ready, tail, linked };
        let mut missing = Missing::default();
        let trace = |slot| Trace::of(&view, shared.id_seed, slot);
        known.iter().for_each(|slot| missing.insert(*slot, trace(*slot)));
        missing.told(&known);
        found.iter().for_each(|slot| missing.insert(*slot, trace(*slot)));
        let rows = (0..view.tables.vectors.blocks()).map(|b| view.tables.vectors.rows_in(b)).collect();
        let mut words = Words::new(entry.number, &self.schema)?;
        if let Some(home) = &shared.home {
            words = words.with_files(&home.disk, mapping(shared.options.io), &entry, rows);
        }
        let parts = Parts {
            words,
            number: entry.number,
            called: self.called,
            schema: self.schema,
            id_seed: shared.id_seed,
            view,
            graph,
            files: Files {
                block_seqs: self.block_seqs,
                missing,
                unusable,
                remade,
                has_bad_sets,
                has_bad_links: false,
                codec,
                links_saved,
                dropped,
                dropped_saved,
            },
            alarm,
            marks,
        };
        damage.into_iter().for_each(|what| shared.note_damaged(what));
        let inner = Inner::of(parts, shared.options.clone(), shared.line.clone());
        if was_cut {
            // Links that were saved beside writers may have lost a few slots.
            inner.unmended.store(usize::MAX / 2, Ordering::Relaxed);
        }
        Ok(inner.with_background(shared.bell.clone()))
    }
}

fn new_row(row: &LoggedRow<'_>, vector: Option<Vec<f32>>) -> NewRow {
    NewRow { row: row.body.to_row(vector), ver: row.body.ver, node: row.body.node, since: None }
}

pub(crate) fn described(payload: &[u8]) -> Option<Described> {
    serde_json::from_slice(payload).ok()
}

fn unreadable(seq: Seq) -> Error {
    let message = format!("the log's commit {seq} is whole and makes no sense; run `nearfield doctor`");
    Error::new(ErrorKind::Corrupt, message)
}
