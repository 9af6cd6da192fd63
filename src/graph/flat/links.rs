//! The lists of one block, and the chains of twins.
//!
//! A cell holds the complement of a slot, so that a zeroed cell is an empty one.
//!
//! Twins are rows with the same code. One of them is a node of the graph; the others hang on it in a chain and have no
//! lists. Without that, a few hundred equal rows fill each other's lists and every beam that comes by, and nobody finds
//! a way in or out. About a tenth of real chunks have a twin.

use super::format::{ARRAYS, CELL_SLOTS, HEADS, LEVELS, NEXT_TWINS};
use super::levels::list_index;
use crate::codes::BATCH;
use crate::disk::{Cells, Map};
use crate::error::Result;
use crate::graph::visited::Visited;
use crate::ids::{Level, Slot};
use crate::kernels::prefetch_cells;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) struct LinkBlock {
    m: usize,
    in_file: bool,
    level0: Cells,
    upper: Vec<Cells>,
    /// The next twin of each slot.
    twin: Cells,
    /// One bit a slot: whether a chain starts there.
    has_twins: Cells,
}

/// The lists of all blocks, as one reader sees them.
#[derive(Clone, Copy)]
pub(crate) struct Lists<'a>(pub(crate) &'a [Arc<LinkBlock>]);

impl<'a> Lists<'a> {
    pub(crate) fn block_of(self, slot: Slot) -> Option<&'a LinkBlock> {
        self.0.get(slot.block().index()).map(|b| &**b)
    }

    #[inline(always)]
    pub(crate) fn list(self, slot: Slot, level: Level) -> List<'a> {
        self.block_of(slot).map_or(List::EMPTY, |b| b.list(slot, level))
    }

    /// The twins of `slot`: slots with the same code, which have no lists of their own.
    pub(crate) fn twins(self, slot: Slot) -> impl Iterator<Item = Slot> + 'a {
        let first = self.block_of(slot).filter(|b| b.has_twins(slot)).and_then(|b| b.next_twin(slot));
        std::iter::successors(first, move |s| self.block_of(*s).and_then(|b| b.next_twin(*s)))
    }
}

/// The list of one node on one level.
#[derive(Clone, Copy)]
pub(crate) struct List<'a>(&'a [AtomicU32]);

impl LinkBlock {
    pub(crate) fn new(m: usize, capacity: usize) -> Result<Self> {
        Self::of(m, capacity, false, |_, len| Cells::new(len))
    }

    /// The lists of `rows` slots that stand in private pages of `map`, each array from its place in `starts` on. `in_file`
    /// says whether those are pages of a file.
    pub(super) fn mapped(
        m: usize,
        rows: usize,
        map: &Arc<Map>,
        starts: [usize; ARRAYS],
        in_file: bool,
    ) -> Result<Self> {
        Self::of(m, rows, in_file, |array, len| Cells::mapped(Arc::clone(map), starts[array], len))
    }

    /// The same lists in anonymous memory with room for `capacity` slots. Nobody writes links meanwhile.
    pub(super) fn copied(&self, capacity: usize) -> Result<Self> {
        let copy = Self::new(self.m, capacity)?;
        for (to, from) in copy.arrays().into_iter().zip(self.arrays()) {
            for (to, from) in to.all().iter().zip(from.all()) {
                to.store(from.load(Ordering::Acquire), Ordering::Release);
            }
        }
        Ok(copy)
    }

    fn of(
        m: usize,
        capacity: usize,
        in_file: bool,
        mut cells: impl FnMut(usize, usize) -> Result<Cells>,
    ) -> Result<Self> {
        let lengths = Self::lengths(m, capacity);
        let mut array = |array: usize| cells(array, lengths[array]);
        Ok(Self {
            m,
            in_file,
            level0: array(LEVELS)?,
            upper: (LEVELS + 1..NEXT_TWINS).map(&mut array).collect::<Result<_>>()?,
            twin: array(NEXT_TWINS)?,
            has_twins: array(HEADS)?,
        })
    }

    /// All arrays, in the order of a checkpoint.
    fn arrays(&self) -> impl IntoIterator<Item = &Cells> {
        std::iter::once(&self.level0).chain(&self.upper).chain([&self.twin, &self.has_twins])
    }

    /// Cells of the lists of one level for `rows` slots.
    pub(super) fn cells(m: usize, rows: usize, level: Level) -> usize {
        let lists = rows.checked_sub(1).map_or(0, |last| list_index(Slot(last as u32), level) + 1);
        lists * if level.0 == 0 { 2 * m } else { m }
    }

    /// Cells of each array for `rows` slots.
    pub(super) fn lengths(m: usize, rows: usize) -> [usize; ARRAYS] {
        std::array::from_fn(|array| match array {
            NEXT_TWINS => rows,
            HEADS => rows.div_ceil(CELL_SLOTS),
            level => Self::cells(m, rows, Level((level - LEVELS) as u8)),
        })
    }

    /// `M`.
    pub(super) fn m(&self) -> usize {
        self.m
    }

    /// Whether the lists stand in pages of a file.
    pub(super) fn is_in_file(&self) -> bool {
        self.in_file
    }

    /// Slots that fit.
    pub(crate) fn capacity(&self) -> usize {
        self.twin.all().len()
    }

    /// The list of `slot` on `level`; empty for a slot that is not in this block.
    #[inline(always)]
    pub(crate) fn list(&self, slot: Slot, level: Level) -> List<'_> {
        let (cells, width) = match level.0 {
            0 => (Some(&self.level0), 2 * self.m),
            l => (self.upper.get(l as usize - 1), self.m),
        };
        let from = list_index(slot, level) * width;
        List(cells.and_then(|c| c.all().get(from..from + width)).unwrap_or_default())
    }

    #[inline(always)]
    pub(crate) fn has_twins(&self, slot: Slot) -> bool {
        let word = self.has_twins.all().get(slot.index() / 32);
        word.is_some_and(|w| w.load(Ordering::Acquire) >> (slot.index() % 32) & 1 == 1)
    }

    pub(crate) fn next_twin(&self, slot: Slot) -> Option<Slot> {
        match self.twin.all().get(slot.index())?.load(Ordering::Acquire) {
            0 => None,
            cell => Some(Slot(!cell)),
        }
    }

    /// Writes what follows `slot` in its chain. The caller holds the write lock of the chain's node.
    pub(crate) fn set_next_twin(&self, slot: Slot, next: Option<Slot>) {
        if let Some(cell) = self.twin.all().get(slot.index()) {
            cell.store(next.map_or(0, |s| !s.0), Ordering::Release);
        }
    }

    /// Says whether a chain starts at `slot`. The caller holds its write lock.
    pub(crate) fn set_has_twins(&self, slot: Slot, value: bool) {
        if let Some(word) = self.has_twins.all().get(slot.index() / 32) {
            let bit = 1 << (slot.index() % 32);
            if value {
                word.fetch_or(bit, Ordering::Release);
            } else {
                word.fetch_and(!bit, Ordering::Release);
            }
        }
    }
}

impl<'a> List<'a> {
    pub(crate) const EMPTY: List<'static> = List(&[]);

    /// The linked slots. A concurrent writer may show some of the old and some of the new ones.
    #[inline(always)]
    pub(crate) fn iter(self) -> impl Iterator<Item = Slot> + 'a {
        self.0.iter().map(|c| c.load(Ordering::Acquire)).take_while(|&c| c != 0).map(|c| Slot(!c))
    }

    /// Writes the linked slots to the front of `out` and says how many.
    pub(crate) fn copy_to(self, out: &mut [u32; BATCH]) -> usize {
        let mut n = 0;
        for (slot, out) in self.iter().zip(out) {
            *out = slot.0;
            n += 1;
        }
        n
    }

    /// Writes the linked slots that `visited` has not seen to the front of `out` and says how many. Walks the whole list
    /// without a branch on its contents: where a list ends, and which slots are new, no processor can predict.
    #[inline(always)]
    pub(crate) fn unseen(self, visited: &mut Visited, out: &mut [u32; BATCH]) -> usize {
        let mut n = 0;
        for cell in self.0.iter().take(BATCH) {
            let cell = cell.load(Ordering::Acquire);
            let slot = Slot(!cell);
            if let Some(place) = out.get_mut(n) {
                *place = slot.0;
            }
            n += usize::from(visited.insert(slot) & (cell != 0));
        }
        n
    }

    pub(crate) fn capacity(self) -> usize {
        self.0.len()
    }

    /// Whether no link stands behind an empty cell.
    pub(crate) fn is_tight(self) -> bool {
        self.0.iter().skip(self.iter().count()).all(|c| c.load(Ordering::Acquire) == 0)
    }

    /// Replaces the list. The caller holds the node's write lock, or nobody can see the node yet.
    pub(crate) fn store(self, slots: impl Iterator<Item = Slot>) {
        let mut cells = self.0.iter();
        for (slot, cell) in slots.zip(&mut cells) {
            cell.store(!slot.0, Ordering::Release);
        }
        cells.for_each(|c| c.store(0, Ordering::Release));
    }

    /// Writes one link. The caller holds the node's write lock.
    pub(crate) fn set(self, at: usize, slot: Slot) {
        if let Some(cell) = self.0.get(at) {
            cell.store(!slot.0, Ordering::Release);
        }
    }

    #[inline(always)]
    pub(crate) fn prefetch(self) {
        prefetch_cells(self.0);
    }
}
