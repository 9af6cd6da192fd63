//! Keeping codes and lists good while rows come and go, in steps that a write can afford.
//!
//! In a store in memory a write of n rows pays for a few n lists of healing, so no write pays for all.
//! [`Inner::heal_all`] does a whole pass.

use super::pauses::Job;
use crate::codes::{CodeTable, Codec};
use crate::engine::inner::{Chores, Healing, Inner};
use crate::engine::view::View;
use crate::error::Result;
use crate::graph::Pass;
use crate::ids::Slot;
use crate::record::Row;
use crate::sets::SlotBits;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Rows that a codec is trained on, at most.
const TRAIN_ROWS: usize = 4096;
/// Rows from which a first batch is worth training on.
const TRAIN_ROWS_MIN: usize = 256;
/// The codec is trained anew at these multiples of the rows it was trained at, until there are this many.
const TRAIN_GROWTH: usize = 4;
const TRAIN_UNTIL_ROWS: usize = 65_536;
/// Dead slots in lists, one in so many, that start a pass of healing.
const HEAL_DEAD_SHARE: usize = 10;
const HEAL_DEAD_MIN: usize = 1_024;
/// Lists healed for each row written while a pass is under way.
const HEAL_PER_ROW: usize = 16;
const HEAL_STEP_MIN: usize = 64;
/// Rows moved in one step, at least: each step is a commit.
const MOVE_ROWS_MIN: usize = 32;
/// Lost slots are looked for after the collection has grown by one in so many.
const MEND_GROWTH_SHARE: usize = 4;
const MEND_ROWS_MIN: usize = 32;
/// Lost slots are looked for anew so often: a link forced in may push another slot's last one out.
const MEND_ROUNDS: usize = 8;
/// Slots mended while nobody may link.
const MEND_STEP: usize = 64;

/// Rows whose words a write looks up, at least.
const WORDS_ROWS_MIN: usize = 64;
/// One step of making or merging segments for so many rows written, and one more: a segment has a thousand texts, and is merged thrice.
const WORDS_ROWS_PER_STEP: usize = 512;

/// Lists of one step of [`Inner::reclaim`].
const RECLAIM_LISTS: usize = 1_024;

impl Inner {
    /// Trains the codec on the first batch, before a row is encoded. The caller holds the writer's lock.
    pub(crate) fn train_first<'r>(&self, view: &mut View, rows: impl Iterator<Item = &'r Row> + Clone) {
        let sample = || rows.clone().filter_map(|row| row.vector.as_deref());
        if view.tables.vectors.rows() > 0 {
            return;
        }
        let count = sample().count();
        if count < TRAIN_ROWS_MIN {
            return;
        }
        let step = (count / TRAIN_ROWS).max(1);
        let codec = Codec::trained(self.schema.metric, self.schema.dim, sample().step_by(step));
        // The first block was made for rows of the untrained codec.
        let Ok(codes) = self.encode_rows(view, CodeTable::new(codec), &mut Vec::new()) else { return };
        let mut tables = view.tables.as_ref().clone();
        tables.codes = codes;
        view.tables = Arc::new(tables);
        self.trained_at.store(count, Ordering::Relaxed);
        self.files.lock().codec += 1;
    }

    /// The chores that a write of `rows` rows pays for.
    pub(crate) fn maintain(self: &Arc<Self>, rows: usize) {
        self.care((rows * HEAL_PER_ROW).max(HEAL_STEP_MIN));
        // What a search would have to look up, and at times a segment.
        let view = self.view.load_full();
        self.words.catch_up(&view, rows.max(WORDS_ROWS_MIN));
        for _ in 0..=rows / WORDS_ROWS_PER_STEP {
            // What fails is told in the statistics, and tried again.
            if !self.words.step(&view).unwrap_or(false) {
                break;
            }
        }
    }

    /// Looks up the words of all rows and makes segments of them, until `until`.
    pub(crate) fn settle_words(&self, until: Instant) {
        let goes_on = || Instant::now() < until;
        let view = self.view.load_full();
        while goes_on() && !self.words.catch_up(&view, WORDS_ROWS_MIN) {}
        // What fails is told in the statistics, and tried again.
        while goes_on() && self.words.step(&view).unwrap_or(false) {}
    }

    /// One step of the chores, of about `budget` lists; false if there is nothing to do, or somebody is at it.
    pub(crate) fn care(self: &Arc<Self>, budget: usize) -> bool {
        let Some(mut chores) = self.chores.try_lock() else { return false };
        self.free_retired();
        self.train_again();
        if chores.healing.is_some() {
            self.heal_step(&mut chores, budget);
            return true;
        }
        // First what makes more slots dead, so that one pass of healing serves all.
        if self.move_step(budget.max(MOVE_ROWS_MIN)) {
            return true;
        }
        let slots = self.view.load().linked.len();
        let dead = self.dead.load(Ordering::Relaxed);
        if dead > HEAL_DEAD_MIN.max(slots / HEAL_DEAD_SHARE) || self.has_empty_block_to_heal() {
            self.begin_healing(&mut chores);
            return true;
        }
        if self.unmended.load(Ordering::Relaxed) > MEND_ROWS_MIN.max(slots / MEND_GROWTH_SHARE) {
            self.mend(&SlotBits::default());
            return true;
        }
        self.drop_empty_blocks()
    }

    /// The chores until none is left, then a pass over all lists, however few are dead, and what that makes possible.
    pub(crate) fn reclaim(self: &Arc<Self>, goes_on: &dyn Fn() -> bool) -> Result<()> {
        while goes_on() && self.care(RECLAIM_LISTS) {}
        if goes_on() {
            self.heal_all()?;
        }
        while goes_on() && self.care(RECLAIM_LISTS) {}
        Ok(())
    }

    /// Leads every list around dead slots, links what no walk reaches, and gives back blocks whose rows are all gone.
    pub(crate) fn heal_all(&self) -> Result<()> {
        self.ensure_open()?;
        let mut chores = self.chores.lock();
        self.begin_healing(&mut chores);
        while chores.healing.is_some() {
            self.heal_step(&mut chores, usize::MAX - 1);
        }
        self.mend(&SlotBits::default());
        self.drop_empty_blocks();
        Ok(())
    }

    /// Begins a pass that ends with no list naming what is dead now.
    pub(crate) fn begin_healing(&self, chores: &mut Chores) {
        let view = self.view.load_full();
        let gone: Vec<Slot> = view.linked.iter().filter(|slot| !view.ready.contains(*slot)).collect();
        chores.healing =
            Some(Healing { gone: SlotBits::default().with(&gone, &[]), leads: false, from: Slot(0) });
    }

    fn heal_step(&self, chores: &mut Chores, budget: usize) {
        let Some(Healing { gone, leads, from }) = &mut chores.healing else { return };
        let _pause = self.line.pauses.begin(Job::Heal);
        let _alone = self.linking.write();
        let view = self.view.load_full();
        let space = view.space();
        let pass = Pass { live: &view.ready, linked: &view.linked, gone };
        let next = self.with_scratch(|s| match leads {
            false => self.graph.hand_over(space, pass, *from, budget, s),
            true => self.graph.heal(space, pass, *from, budget, s),
        });
        self.link_steps.fetch_add(1, Ordering::Relaxed);
        if let Some(next) = next {
            *from = next;
            return;
        }
        if !*leads {
            (*leads, *from) = (true, Slot(0));
            drop((_alone, _pause));
            return self.mend(gone);
        }
        let dead: Vec<Slot> = gone.iter().collect();
        chores.healing = None;
        // Threads that link at once may have dropped what the other counted on.
        self.unmended.store(usize::MAX / 2, Ordering::Relaxed);
        let _writer = self.writer.lock();
        let mut healed = View::clone(&self.view.load());
        healed.linked = healed.linked.with(&[], &dead);
        let left = healed.linked.len() - healed.linked.and(&healed.ready).len();
        self.dead.store(left, Ordering::Relaxed);
        self.view.store(Arc::new(healed));
    }

    /// Links what no walk reaches that keeps off the slots of `gone`.
    fn mend(&self, gone: &SlotBits) {
        self.unmended.store(0, Ordering::Relaxed);
        for _ in 0..MEND_ROUNDS {
            let view = self.view.load_full();
            // Rows of the tail are on their way in.
            let mut lost = self.graph.lost(&view.ready.with(&[], &view.tail), gone);
            let mut mended = 0;
            while lost.len() > 0 {
                let _pause = self.line.pauses.begin(Job::Mend);
                let _alone = self.linking.write();
                let view = self.view.load_full();
                mended += self
                    .with_scratch(|s| self.graph.mend(view.space(), &view.ready, &mut lost, MEND_STEP, s));
                self.link_steps.fetch_add(1, Ordering::Relaxed);
            }
            if mended == 0 {
                return;
            }
        }
    }

    /// Re-encodes all rows where a codec trained on more of them is a better one. Commits wait for the rows that came
    /// while the others were encoded, no longer. The caller holds the chores.
    fn train_again(&self) {
        let view = self.view.load_full();
        let rows = view.ready.len();
        let trained_at = self.trained_at.load(Ordering::Relaxed);
        if rows < TRAIN_ROWS_MIN || trained_at >= TRAIN_UNTIL_ROWS || rows < trained_at * TRAIN_GROWTH {
            return;
        }
        self.trained_at.store(rows, Ordering::Relaxed);
        let step = (rows / TRAIN_ROWS).max(1);
        let sample = view.ready.iter().step_by(step).filter_map(|s| view.tables.vectors.get(s));
        let codec = Codec::trained(self.schema.metric, self.schema.dim, sample);
        if !codec.replaces(view.tables.codes.codec()) {
            return;
        }
        let mut work = Vec::new();
        // No memory for a second set of codes: the old ones serve on.
        let Ok(codes) = self.encode_rows(&view, CodeTable::new(codec), &mut work) else { return };
        let _pause = self.line.pauses.begin(Job::Train);
        let _alone = self.linking.write();
        let _writer = self.writer.lock();
        let mut view = View::clone(&self.view.load());
        let Ok(codes) = self.encode_rows(&view, codes, &mut work) else { return };
        let mut tables = view.tables.as_ref().clone();
        tables.codes = codes;
        self.retire(std::mem::replace(&mut view.tables, Arc::new(tables)));
        self.view.store(Arc::new(view));
        self.files.lock().codec += 1;
    }

    /// Brings `codes` up to the rows of `view`.
    fn encode_rows(&self, view: &View, mut codes: CodeTable, work: &mut Vec<f32>) -> Result<CodeTable> {
        let vectors = &view.tables.vectors;
        for block in 0..vectors.blocks() {
            if codes.blocks() <= block {
                codes = codes.with_block(vectors.capacity_of(block))?;
            }
            for index in codes.rows_in(block)..vectors.rows_in(block) {
                let slot = Slot((block as u32) << 16 | index as u32);
                codes.push(slot.block(), vectors.get(slot), work)?;
            }
        }
        Ok(codes)
    }
}
