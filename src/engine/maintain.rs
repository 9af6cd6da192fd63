//! Keeping codes and lists good while rows come and go, in steps that a write can afford.
//!
//! A write of n rows pays for a few n lists of healing, so no write pays for all. [`Inner::heal_all`] does a whole pass.

use super::inner::{Inner, Writer};
use super::view::View;
use crate::codes::{CodeTable, Codec};
use crate::error::Result;
use crate::ids::Slot;
use crate::record::Row;
use std::sync::Arc;

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
/// Lost slots are looked for after the collection has grown by one in so many.
const MEND_GROWTH_SHARE: usize = 4;
const MEND_ROWS_MIN: usize = 32;

impl Inner {
    /// Trains the codec on the first batch, before a row is encoded.
    pub(super) fn train_first(&self, writer: &mut Writer, view: &mut View, rows: &[(usize, Row)]) {
        let sample = || rows.iter().filter_map(|(_, row)| row.vector.as_deref());
        let count = sample().count();
        if view.tables.vectors.blocks() > 0 || count < TRAIN_ROWS_MIN {
            return;
        }
        let step = (count / TRAIN_ROWS).max(1);
        let codec = Codec::trained(self.schema.metric, self.schema.dim, sample().step_by(step));
        let mut tables = view.tables.as_ref().clone();
        tables.codes = CodeTable::new(codec);
        view.tables = Arc::new(tables);
        writer.trained_at = count;
    }

    /// The chores that a write of `rows` rows pays for.
    pub(super) fn maintain(&self, rows: usize) {
        let mut writer = self.writer.lock();
        self.train_again(&mut writer);
        let view = self.view.load_full();
        let slots = view.linked;
        if writer.healing.is_none() && writer.dead > HEAL_DEAD_MIN.max(slots / HEAL_DEAD_SHARE) {
            writer.healing = Some((writer.dead, Slot(0)));
        }
        if writer.healing.is_some() {
            self.heal_step(&mut writer, (rows * HEAL_PER_ROW).max(HEAL_STEP_MIN));
        }
        if writer.unmended > MEND_ROWS_MIN.max(slots / MEND_GROWTH_SHARE) {
            self.mend(&mut writer);
        }
    }

    /// Leads every list around dead slots, and links what no walk reaches.
    pub(super) fn heal_all(&self) -> Result<()> {
        self.ensure_open()?;
        let mut writer = self.writer.lock();
        writer.healing = Some((writer.dead, Slot(0)));
        while writer.healing.is_some() {
            self.heal_step(&mut writer, usize::MAX - 1);
        }
        self.mend(&mut writer);
        Ok(())
    }

    fn heal_step(&self, writer: &mut Writer, budget: usize) {
        let Some((dead, from)) = writer.healing else { return };
        let _alone = self.linking.write();
        let view = self.view.load_full();
        let next = self.with_scratch(|s| self.graph.heal(view.space(), &view.ready, from, budget, s));
        writer.healing = next.map(|slot| (dead, slot));
        if next.is_none() {
            writer.dead -= dead.min(writer.dead);
            writer.unmended = usize::MAX / 2;
            // No list leads to what was dead when the pass began.
            let mut healed = View::clone(&view);
            healed.linked = view.ready.len() - view.tail.len() + writer.dead;
            self.view.store(Arc::new(healed));
        }
    }

    fn mend(&self, writer: &mut Writer) {
        let _alone = self.linking.write();
        let view = self.view.load_full();
        // Rows of the tail are on their way in.
        let linked = view.ready.with(&[], &view.tail);
        self.with_scratch(|s| self.graph.mend(view.space(), &linked, s));
        writer.unmended = 0;
    }

    /// Re-encodes all rows where a codec trained on more of them is a better one.
    fn train_again(&self, writer: &mut Writer) {
        let mut view = View::clone(&self.view.load());
        let rows = view.ready.len();
        if rows < TRAIN_ROWS_MIN
            || writer.trained_at >= TRAIN_UNTIL_ROWS
            || rows < writer.trained_at * TRAIN_GROWTH
        {
            return;
        }
        writer.trained_at = rows;
        let step = (rows / TRAIN_ROWS).max(1);
        let sample = view.ready.iter().step_by(step).filter_map(|s| view.tables.vectors.get(s));
        let codec = Codec::trained(self.schema.metric, self.schema.dim, sample);
        if !codec.replaces(view.tables.codes.codec()) {
            return;
        }
        let Ok(codes) = self.encode_all(&view, codec, &mut writer.work) else {
            // No memory for a second set of codes: the old ones serve on.
            return;
        };
        let _alone = self.linking.write();
        let mut tables = view.tables.as_ref().clone();
        tables.codes = codes;
        view = View::clone(&self.view.load());
        view.tables = Arc::new(tables);
        self.view.store(Arc::new(view));
    }

    fn encode_all(&self, view: &View, codec: Codec, work: &mut Vec<f32>) -> Result<CodeTable> {
        let mut codes = CodeTable::new(codec);
        for block in 0..view.tables.vectors.blocks() {
            codes = codes.with_block(self.block_slots())?;
            for index in 0..view.tables.vectors.rows_in(block) {
                let vector = view.tables.vectors.get(Slot((block as u32) << 16 | index as u32));
                codes.push(vector, work)?;
            }
        }
        Ok(codes)
    }
}
