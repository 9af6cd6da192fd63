//! The checkpoint of the lists, written while other threads link.
//!
//! It holds the slots that were linked before it began, the *covered* ones. Links and next twins that name others are left
//! out, so that lists stay tight and chains whole. It is fuzzy: every list is the one of some moment. A covered slot whose
//! last link gave way to a new slot's meanwhile is lost in the file; mending finds it.
//!
//! Healing must not run beside it: it takes covered slots out of chains.

use super::FlatGraph;
use super::format::{CELL_BYTES, CELL_SLOTS, Description, MAGIC, SECTIONS, VERSION};
use super::levels::{LEVEL_MAX, level_of, list_index};
use super::links::{LinkBlock, Lists};
use crate::disk::{Disk, Named, SectionsWriter};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BlockId, Level, Slot};
use crate::sets::SlotBits;

/// The covered slots that stand in blocks.
struct Covered<'a> {
    slots: &'a SlotBits,
    /// Slots of each block that the file has room for.
    rows: Vec<usize>,
}

impl Covered<'_> {
    fn contains(&self, slot: Slot) -> bool {
        self.rows.get(slot.block().index()).is_some_and(|rows| slot.index() < *rows)
            && self.slots.contains(slot)
    }

    fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.slots.iter().filter(|s| self.contains(*s))
    }
}

impl FlatGraph {
    pub(super) fn save_links(
        &self,
        disk: &dyn Disk,
        path: &str,
        covered: &SlotBits,
        pace: &dyn Fn(usize),
    ) -> Result<Named> {
        let blocks = self.blocks.load();
        let lists = Lists(&blocks);
        let mut rows = vec![0; blocks.len()];
        for slot in covered.iter() {
            let block = slot.block().index();
            if let Some(rows) = rows.get_mut(block).filter(|_| slot.index() < blocks[block].capacity()) {
                *rows = slot.index() + 1;
            }
        }
        // Blocks that were made for rows that never came are not there when the file is read.
        rows.truncate(rows.iter().rposition(|rows| *rows > 0).map_or(0, |last| last + 1));
        let blocks = &blocks[..rows.len()];
        let covered = Covered { slots: covered, rows };
        let entry = self.entry_among(lists, &covered);
        let description = Description {
            m: self.m,
            entry: entry.map(|s| s.0),
            level: entry.map_or(0, |s| level_of(s).0),
            rows: covered.rows.clone(),
        };
        let description = serde_json::to_vec(&description).map_err(|e| {
            Error::new(ErrorKind::Internal, "the description of links is not JSON; please report this")
                .with_source(e)
        })?;
        let chains = Chains::of(lists, &covered);
        let sections = SECTIONS * blocks.len();
        let mut file =
            SectionsWriter::create(disk, path, MAGIC, VERSION, sections, description.len())?.with_pace(pace);
        for (b, block) in blocks.iter().enumerate() {
            for level in (0..=LEVEL_MAX).map(Level) {
                file.begin()?;
                file.write(&lists_of(block, b, level, &covered))?;
            }
            let slots = || slots_of(b, covered.rows[b]);
            file.begin()?;
            file.write(&slots().flat_map(|s| chains.next_cell(s).to_le_bytes()).collect::<Vec<_>>())?;
            file.begin()?;
            file.write(&bits(slots().map(|s| chains.heads.contains(s))))?;
            file.begin()?;
            file.write(&bits(slots().map(|s| covered.contains(s))))?;
        }
        file.finish(&description)
    }

    /// The entry, or if it is too young the covered node on the highest level.
    fn entry_among(&self, lists: Lists<'_>, covered: &Covered<'_>) -> Option<Slot> {
        let (entry, _) = self.entry()?;
        if covered.contains(entry) {
            return Some(entry);
        }
        let is_node = |s: &Slot| lists.list(*s, Level(0)).iter().next().is_some();
        covered.iter().filter(is_node).max_by_key(|s| level_of(*s))
    }
}

fn slots_of(block: usize, rows: usize) -> impl Iterator<Item = Slot> {
    (0..rows).map(move |index| Slot::new(BlockId(block as u16), index as u16))
}

/// The lists of one level of a block, without what is not covered.
fn lists_of(block: &LinkBlock, b: usize, level: Level, covered: &Covered<'_>) -> Vec<u8> {
    let rows = covered.rows[b];
    let mut bytes = vec![0; LinkBlock::cells(block.m(), rows, level) * CELL_BYTES];
    for slot in slots_of(b, rows).filter(|s| level_of(*s) >= level && covered.contains(*s)) {
        let list = block.list(slot, level);
        let width = list.capacity() * CELL_BYTES;
        let from = list_index(slot, level) * width;
        let cells = bytes.get_mut(from..from + width).unwrap_or_default().chunks_exact_mut(CELL_BYTES);
        let mut seen = [slot; crate::codes::BATCH];
        let mut n = 1;
        // A list that changes while it is read may show a link twice.
        for link in list.iter().filter(|l| covered.contains(*l)) {
            if n < seen.len() && !seen[..n].contains(&link) {
                seen[n] = link;
                n += 1;
            }
        }
        for (cell, link) in cells.zip(&seen[1..n]) {
            cell.copy_from_slice(&(!link.0).to_le_bytes());
        }
    }
    bytes
}

/// One bit for each slot, in whole cells.
fn bits(slots: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, bit) in slots.enumerate() {
        if at % CELL_SLOTS == 0 {
            bytes.resize(bytes.len() + CELL_BYTES, 0);
        }
        bytes[at / 8] |= u8::from(bit) << (at % 8);
    }
    bytes
}

/// The chains of covered slots, each slot in one of them at most.
struct Chains {
    /// The cell of what follows each slot.
    next: Vec<Vec<u32>>,
    heads: Bits,
}

impl Chains {
    fn of(lists: Lists<'_>, covered: &Covered<'_>) -> Self {
        let mut chains = Self {
            next: covered.rows.iter().map(|rows| vec![0; *rows]).collect(),
            heads: Bits::of(&covered.rows),
        };
        let mut taken = Bits::of(&covered.rows);
        let starts = |s: &Slot| lists.block_of(*s).is_some_and(|b| b.has_twins(*s));
        for node in covered.iter().filter(starts) {
            if !taken.insert(node) {
                continue;
            }
            let mut last = node;
            for twin in lists.twins(node).filter(|t| covered.contains(*t)) {
                // A slot that came out of one chain and went into another may still be named by both.
                if taken.insert(twin) {
                    chains.lead(last, twin);
                    last = twin;
                }
            }
            if last != node {
                chains.heads.insert(node);
            }
        }
        chains
    }

    fn lead(&mut self, from: Slot, to: Slot) {
        if let Some(cell) = self.next.get_mut(from.block().index()).and_then(|b| b.get_mut(from.index())) {
            *cell = !to.0;
        }
    }

    fn next_cell(&self, slot: Slot) -> u32 {
        self.next.get(slot.block().index()).and_then(|b| b.get(slot.index())).copied().unwrap_or(0)
    }
}

/// A set of slots that is being filled.
pub(super) struct Bits(Vec<Vec<bool>>);

impl Bits {
    /// Empty, with room for so many slots in each block.
    pub(super) fn of(rows: &[usize]) -> Self {
        Self(rows.iter().map(|rows| vec![false; *rows]).collect())
    }

    /// True if it was not in; false also where there is no such slot.
    pub(super) fn insert(&mut self, slot: Slot) -> bool {
        let bit = self.0.get_mut(slot.block().index()).and_then(|b| b.get_mut(slot.index()));
        bit.is_some_and(|bit| !std::mem::replace(bit, true))
    }

    pub(super) fn contains(&self, slot: Slot) -> bool {
        self.0.get(slot.block().index()).and_then(|b| b.get(slot.index())).is_some_and(|bit| *bit)
    }
}
