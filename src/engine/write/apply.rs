//! Carrying out staged commits: rows into the tables, ids to their slots, one new view.
//!
//! Invariant: until the view is published nothing of it can be seen; what it shows was written before.

use super::draft::{NewRow, Staged};
use crate::engine::inner::Inner;
use crate::engine::tap::Step;
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Seq, Slot};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Carries out commits that were staged together, each collection's at one stroke.
pub(crate) fn apply(commits: &mut [Staged]) -> Result<()> {
    let mut collections: Vec<Arc<Inner>> = Vec::new();
    for commit in commits.iter() {
        if !collections.iter().any(|c| Arc::ptr_eq(c, &commit.collection)) {
            collections.push(commit.collection.clone());
        }
    }
    collections.into_iter().try_for_each(|collection| {
        let mine = commits.iter_mut().filter(|c| Arc::ptr_eq(&c.collection, &collection));
        collection.apply(mine.collect())
    })
}

impl Inner {
    /// Adds blocks until there is one that `slot` is in, or the one before it is not full.
    pub(crate) fn make_room(&self, slot: Slot) -> Result<()> {
        let _writer = self.writer.lock();
        let mut view = View::clone(&self.view.load());
        let blocks = view.tables.vectors.blocks();
        // The block of the next row is made when a row comes for it.
        let needed = slot.block().index() + usize::from(slot.index() > 0);
        for _ in blocks..needed {
            self.grow(&mut view)?;
        }
        if blocks < needed {
            self.view.store(Arc::new(view));
        }
        Ok(())
    }

    fn apply(&self, commits: Vec<&mut Staged>) -> Result<()> {
        self.make_names();
        let mut writer = self.writer.lock();
        let mut view = View::clone(&self.view.load());
        self.train_first(&mut view, commits.iter().flat_map(|c| c.rows.iter().map(|new| &new.row)));
        let (mut added, mut removed, mut ready) = (Vec::new(), Vec::new(), Vec::new());
        let mut ends = Vec::with_capacity(commits.len());
        let mut steps: Vec<Step> = Vec::new();
        let (mut seq, mut slot) = (Seq(0), Slot(0));
        for commit in commits {
            for (nth, row) in std::mem::take(&mut commit.rows).into_iter().enumerate() {
                if nth == 0 {
                    slot = commit.first;
                }
                if nth == 0 || slot.index() == 0 {
                    self.files.lock().block_seqs.entry(slot.block().0).or_insert(commit.seq);
                }
                if row.row.vector.is_some() {
                    ready.push(slot);
                }
                steps.extend(row.since.map(|since| Step::Soil(slot, since)));
                self.put_row(&view, slot, row, &mut writer.work)?;
                added.push(slot);
                slot = slot.following(self.block_slots());
            }
            removed.extend_from_slice(&commit.removed);
            if let Some(marking) = commit.marking.take() {
                steps.push(Step::Clean(commit.removed.clone()));
                steps.push(Step::Mark(marking, commit.seq));
            }
            ends.push((added.len(), removed.len()));
            seq = commit.seq;
        }
        // Held until the view is published: who reads an id under the lock finds its row in the view.
        let mut ids = self.ids_mut();
        let rows = &view.tables.rows;
        let (mut from_added, mut from_removed) = (0, 0);
        for (added_end, removed_end) in ends {
            for &slot in &added[from_added..added_end] {
                ids.put(rows, slot);
            }
            for &slot in &removed[from_removed..removed_end] {
                ids.remove(rows, slot);
            }
            (from_added, from_removed) = (added_end, removed_end);
        }
        view.live = view.live.with(&added, &removed);
        view.ready = view.ready.with(&ready, &removed);
        // A row may be gone at once, and one that waits to be linked may have been replaced.
        ready.retain(|s| view.ready.contains(*s));
        let waiting = view.tail.iter().copied().filter(|s| view.ready.contains(*s));
        view.tail = waiting.chain(ready.iter().copied()).collect();
        view.seq = seq;
        self.dead.fetch_add(removed.len(), Ordering::Relaxed);
        {
            // The marks are those of the view, for who holds their lock.
            let mut marks = self.marks();
            steps.into_iter().for_each(|step| step.take(&mut marks));
            self.view.store(Arc::new(view));
        }
        self.clear_missing(&removed);
        // Whoever takes a slot off the queue finds it in the view.
        self.unlinked.push(&ready);
        Ok(())
    }

    /// Writes the row of `slot`, which is the next one, and puts it into the sets of its document and tenant.
    fn put_row(&self, view: &View, slot: Slot, mut new: NewRow, work: &mut Vec<f32>) -> Result<()> {
        if let Some(payload) = &mut new.row.payload {
            self.members_mut().put(slot, payload);
        }
        // A block that becomes a file gets its index anew, beside the writes.
        let freeze = self.background.is_none() && slot.index() + 1 == self.block_slots();
        view.tables.write(slot, new, freeze, work)
    }

    /// Adds a block to every table.
    fn grow(&self, view: &mut View) -> Result<()> {
        if view.tables.vectors.blocks() > usize::from(u16::MAX) {
            let full = "the collection has used all of its 4 billion slots; create a new one and import this one into it";
            return Err(Error::new(ErrorKind::Full, full));
        }
        let mut grown = view.tables.as_ref().clone();
        grown.grow(self.block_slots())?;
        self.graph.grow(self.block_slots())?;
        view.tables = Arc::new(grown);
        Ok(())
    }
}
