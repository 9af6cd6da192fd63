//! What covers which rows: segments and runs of the tail, in order.
//!
//! Invariant: of each block both follow one another from its first slot on, segments first.

use super::merges::{self, Size};
use super::segment::{Run, Segment};
use super::tail::TailRun;
use crate::ids::{BLOCK_SLOTS, BlockId, Slot};
use crate::manifest::FileEntry;
use crate::sets::SlotBits;
use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct State {
    /// By run.
    pub(super) segments: Vec<Held>,
    /// By run; of each block what follows its segments.
    pub(super) tail: Vec<TailRun>,
    pub(super) dropped: BTreeSet<BlockId>,
}

#[derive(Clone)]
pub(super) struct Held {
    pub(super) segment: Arc<Segment>,
    pub(super) file: Option<FileEntry>,
    pub(super) is_mapped: bool,
}

/// Where a block's cover ends.
#[derive(Clone, Copy)]
pub(super) struct Cover {
    pub(super) block: BlockId,
    /// The first place that is not covered; `None` if all are.
    pub(super) first: Option<u16>,
}

/// The live slots of a block that are not covered.
pub(super) fn uncovered(live: &SlotBits, cover: Cover) -> impl Iterator<Item = Slot> + '_ {
    let from = cover.first.map(|first| live.iter_from(Slot::new(cover.block, first)));
    from.into_iter().flatten().take_while(move |slot| slot.block() == cover.block)
}

impl Run {
    /// Whether `other` is of the same block and starts where it does, or later.
    pub(super) fn is_before(self, other: Self) -> bool {
        self.block == other.block && self.first <= other.first
    }
}

impl State {
    /// `None` for a block that was given back.
    pub(super) fn covered(&self, block: BlockId) -> Option<Cover> {
        if self.dropped.contains(&block) {
            return None;
        }
        let tail = self.tail.iter().rev().map(|tail| tail.run).find(|run| run.block == block);
        let segment =
            || self.segments.iter().rev().map(|held| held.segment.run).find(|run| run.block == block);
        let end = tail.or_else(segment).map_or(0, |run| run.end);
        Some(Cover { block, first: u16::try_from(end).ok().filter(|_| (end as usize) < BLOCK_SLOTS) })
    }

    /// Adds rows behind what covers their block.
    pub(super) fn append(&mut self, part: TailRun) {
        let follows =
            |tail: &&mut TailRun| tail.run.block == part.run.block && tail.run.end == part.run.first;
        match self.tail.iter_mut().find(follows).filter(|tail| !tail.is_full()) {
            Some(tail) => tail.extend(part),
            None => {
                let at = self.tail.partition_point(|tail| tail.run < part.run);
                self.tail.insert(at, part);
            }
        }
    }

    pub(super) fn insert(&mut self, held: Held) {
        let at = self.segments.partition_point(|other| other.segment.run < held.segment.run);
        self.segments.insert(at, held);
    }

    /// A run of the tail that takes no more rows.
    pub(super) fn ripe(&self, growing: BlockId) -> Option<&TailRun> {
        let is_last =
            |run: Run| self.tail.iter().all(|other| other.run.block != run.block || other.run <= run);
        // In order: a segment never comes before one that it follows.
        self.tail.iter().find(|tail| tail.is_full() || tail.run.block < growing || !is_last(tail.run))
    }

    /// Segments of one block that become one.
    pub(super) fn mergeable(&self, growing: BlockId) -> Option<std::ops::Range<usize>> {
        let mut start = 0;
        while let Some(first) = self.segments.get(start) {
            let block = first.segment.run.block;
            let len =
                self.segments[start..].iter().take_while(|held| held.segment.run.block == block).count();
            let sizes: Vec<Size> = self.segments[start..start + len]
                .iter()
                .map(|held| Size { docs: held.segment.docs(), bytes: held.segment.bytes() })
                .collect();
            let is_whole = block < growing && self.tail.iter().all(|tail| tail.run.block != block);
            if let Some(range) = merges::next(&sizes, is_whole) {
                return Some(start + range.start..start + range.end);
            }
            start += len;
        }
        None
    }
}
