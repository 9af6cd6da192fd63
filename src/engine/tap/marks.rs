//! What the database does not know yet of one collection: dirty rows, and the graves of deletions.
//!
//! Invariants: a dirty slot is live; of an id stands a row or a grave, never both; marks change with the view that they belong
//! to, under its writer's locks, but for acknowledgements, which may come at any time and be lost.
//!
//! Does not know views, the log, or whether anybody listens.

use super::Ticket;
use crate::ids::{ChunkId, Seq, Slot, Ver};
use crate::manifest::Marked;
use crate::record;
use crate::sets::SlotBits;
use crate::wal::Marking;
use std::collections::{BTreeMap, BTreeSet};

/// Since when a row is dirty that was so before the store was opened, or attached: before every commit.
const BEFORE: Seq = Seq(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grave {
    pub(crate) ver: Ver,
    pub(crate) node: u64,
    /// Dirty since this commit, or clean since about this one.
    since: Seq,
    pub(crate) is_dirty: bool,
}

#[derive(Default)]
pub(crate) struct Marks {
    /// Rows that were dirty before this opening.
    old: SlotBits,
    /// Rows that became so since, and the commits that made them.
    new: BTreeMap<Slot, Seq>,
    by_seq: BTreeSet<(Seq, Slot)>,
    graves: BTreeMap<ChunkId, Grave>,
    dirty_graves: BTreeSet<(Seq, ChunkId)>,
    /// The last commit before this opening: what was dirty then may be of any commit up to it.
    base: Seq,
    /// Counts what the file of sets does not know, acknowledgements above all.
    changes: u64,
    saved: u64,
}

impl Marks {
    /// As files and log left them after the commit `base`.
    pub(crate) fn restored(marked: Marked, base: Seq) -> Self {
        let mut marks = Self { old: marked.dirty, base, ..Self::default() };
        for (id, record::Grave { ver, node, is_dirty }) in marked.graves {
            let since = if is_dirty { BEFORE } else { base };
            marks.put_grave(id, Grave { ver, node, since, is_dirty });
        }
        marks.changes = 0;
        marks
    }

    /// From now on marks are kept, and all these rows are dirty.
    pub(crate) fn attach(&mut self, live: SlotBits, base: Seq) {
        *self = Self { old: live, base, changes: self.changes + 1, saved: self.saved, ..Self::default() };
    }

    /// Since when a row is dirty.
    pub(crate) fn since(&self, slot: Slot) -> Option<Seq> {
        self.new.get(&slot).copied().or_else(|| self.old.contains(slot).then_some(BEFORE))
    }

    pub(crate) fn is_dirty(&self, slot: Slot) -> bool {
        self.since(slot).is_some()
    }

    pub(crate) fn grave(&self, id: &str) -> Option<&Grave> {
        self.graves.get(id)
    }

    /// A row is dirty since a commit, if it is not since an earlier one.
    pub(crate) fn soil(&mut self, slot: Slot, since: Seq) {
        if self.is_dirty(slot) {
            return;
        }
        self.changes += 1;
        if since == BEFORE {
            self.old = self.old.with(&[slot], &[]);
        } else {
            self.new.insert(slot, since);
            self.by_seq.insert((since, slot));
        }
    }

    /// These rows are gone, or clean.
    pub(crate) fn clean_rows(&mut self, slots: &[Slot]) {
        let old: Vec<Slot> = slots.iter().copied().filter(|slot| self.old.contains(*slot)).collect();
        if !old.is_empty() {
            self.changes += 1;
            self.old = self.old.with(&[], &old);
        }
        for slot in slots {
            if let Some(since) = self.new.remove(slot) {
                self.changes += 1;
                self.by_seq.remove(&(since, *slot));
            }
        }
    }

    /// A deletion of the commit `seq`.
    pub(crate) fn bury(&mut self, id: ChunkId, grave: record::Grave, seq: Seq) {
        let record::Grave { ver, node, is_dirty } = grave;
        self.put_grave(id, Grave { ver, node, since: seq, is_dirty });
    }

    fn put_grave(&mut self, id: ChunkId, grave: Grave) {
        self.exhume(&id);
        if grave.is_dirty {
            self.dirty_graves.insert((grave.since, id.clone()));
        }
        self.graves.insert(id, grave);
        self.changes += 1;
    }

    /// A row came to the id.
    pub(crate) fn exhume(&mut self, id: &ChunkId) {
        if let Some(grave) = self.graves.remove(id) {
            self.dirty_graves.remove(&(grave.since, id.clone()));
            self.changes += 1;
        }
    }

    /// The database knows of these. What is gone, or of another version, stays as it is.
    pub(crate) fn acknowledge(&mut self, tickets: &[Ticket], now: Seq) {
        let rows: Vec<Slot> = tickets
            .iter()
            .filter_map(|ticket| match ticket {
                Ticket::Row(slot) => Some(*slot),
                Ticket::Grave(..) => None,
            })
            .collect();
        self.clean_rows(&rows);
        for ticket in tickets {
            let Ticket::Grave(id, ver) = ticket else { continue };
            if let Some(grave) = self.graves.get_mut(id).filter(|grave| grave.is_dirty && grave.ver == *ver) {
                self.dirty_graves.remove(&(grave.since, id.clone()));
                (grave.is_dirty, grave.since) = (false, now);
                self.changes += 1;
            }
        }
    }

    /// Forgets graves that became clean before `before`.
    pub(crate) fn forget(&mut self, before: Seq) {
        let graves = self.graves.len();
        self.graves.retain(|_, grave| grave.is_dirty || grave.since >= before);
        self.changes += (graves - self.graves.len()) as u64;
    }

    /// The first commit of which something is dirty, as far as is known.
    pub(crate) fn first_dirty(&self) -> Option<Seq> {
        let old = (self.old.len() > 0).then_some(BEFORE);
        let row = self.by_seq.first().map(|(seq, _)| *seq);
        let grave = self.dirty_graves.first().map(|(seq, _)| *seq);
        [old, row, grave].into_iter().flatten().min()
    }

    /// Whether something that this commit wrote is dirty still, or may be.
    pub(crate) fn holds(&self, seq: Seq) -> bool {
        let row = self.by_seq.range((seq, Slot(0))..).next().is_some_and(|(of, _)| *of == seq);
        let from = (seq, ChunkId::from(""));
        let grave = self.dirty_graves.range(from..).next().is_some_and(|(of, _)| *of == seq);
        row || grave || seq <= self.base && self.first_dirty() == Some(BEFORE)
    }

    /// Dirty rows, the oldest first; of those of before the opening, those of lower slots.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Seq, Slot)> + '_ {
        self.old.iter().map(|slot| (BEFORE, slot)).chain(self.by_seq.iter().copied())
    }

    pub(crate) fn rows_len(&self) -> usize {
        self.old.len() + self.new.len()
    }

    /// Dirty graves, the oldest first.
    pub(crate) fn dirty_graves(&self) -> impl Iterator<Item = (Seq, &ChunkId, &Grave)> + '_ {
        self.dirty_graves.iter().filter_map(|(seq, id)| Some((*seq, id, self.graves.get(id)?)))
    }

    pub(crate) fn dirty_graves_len(&self) -> usize {
        self.dirty_graves.len()
    }

    /// Dirty rows as a set.
    pub(crate) fn dirty(&self) -> SlotBits {
        let new: Vec<Slot> = self.new.keys().copied().collect();
        self.old.with(&new, &[])
    }

    /// What the file of sets holds of it, and which state that is.
    pub(crate) fn image(&self) -> (Marked, u64) {
        let grave = |(id, grave): (&ChunkId, &Grave)| {
            let Grave { ver, node, is_dirty, .. } = *grave;
            (id.clone(), record::Grave { ver, node, is_dirty })
        };
        (Marked { dirty: self.dirty(), graves: self.graves.iter().map(grave).collect() }, self.changes)
    }

    /// Whether the file of sets says something else.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.changes != self.saved
    }

    /// A file of sets holds the state `changes`.
    pub(crate) fn saved(&mut self, changes: u64) {
        self.saved = changes;
    }
}

/// What a commit does to the marks.
pub(crate) enum Step {
    Soil(Slot, Seq),
    /// These rows are gone.
    Clean(Vec<Slot>),
    Mark(Marking, Seq),
}

impl Step {
    pub(crate) fn take(self, marks: &mut Marks) {
        match self {
            Self::Soil(slot, since) => marks.soil(slot, since),
            Self::Clean(slots) => marks.clean_rows(&slots),
            Self::Mark(Marking { soiled, graves, risen }, seq) => {
                soiled.into_iter().for_each(|slot| marks.soil(slot, seq));
                graves.into_iter().for_each(|(id, grave)| marks.bury(id, grave, seq));
                risen.iter().for_each(|id| marks.exhume(id));
            }
        }
    }
}
