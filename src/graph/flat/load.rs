//! A graph from a checkpoint of its lists. The file is not trusted, even where its checksums hold.
//!
//! Lists are used as they are: a link out of range, to itself, to a lower level or twice costs a distance, because every use
//! is bounded by what exists. What could hang a reader is verified first: chains of twins end, no slot is in two, and none
//! that is still to be linked is in one. With private pages opening reads the chains alone, whatever the lists weigh.

use super::FlatGraph;
use super::format::{
    ARRAYS, CELL_BYTES, CELL_SLOTS, Description, HEADS, LINKED, MAGIC, NEXT_TWINS, SECTIONS, VERSION,
};
use super::levels::level_of;
use super::links::LinkBlock;
use super::save::Bits;
use crate::disk::{Disk, Map, Mapping, Named, SectionsFile, damaged, fault};
use crate::error::{Error, Result};
use crate::graph::{BlockShape, Loaded};
use crate::ids::{BLOCK_SLOTS, BlockId, Slot};
use crate::sets::{BlockBits, SlotBits};
use std::ops::Range;
use std::sync::Arc;

impl FlatGraph {
    /// The graph in the file `path`, with the blocks `shapes`. With [`Mapping::Copy`] every byte is verified; otherwise lists
    /// stay in the file's pages, unverified until somebody checks the file.
    pub(crate) fn load(
        m: usize,
        ef_construction: usize,
        disk: &dyn Disk,
        path: &str,
        named: Option<&Named>,
        mapping: Mapping,
        shapes: &[BlockShape],
    ) -> Result<Loaded<Self>> {
        let (source, map) = open(disk, path, named, mapping)?;
        let file = Checkpoint::read(&source, m, shapes)?;
        let linked = file.linked()?;
        file.check_chains(&linked)?;
        let entry = file.entry(&linked)?;
        let mut blocks = Vec::with_capacity(shapes.len());
        for (b, shape) in shapes.iter().enumerate() {
            blocks.push(Arc::new(file.block(b, shape, &map, mapping != Mapping::Copy)?));
        }
        let graph = Self::new(m, ef_construction);
        graph.blocks.store(Arc::new(blocks));
        if let Some(slot) = entry {
            graph.set_entry(slot, level_of(slot));
        }
        Ok(Loaded { graph, linked })
    }
}

/// The file as bytes that nobody changes, and the pages that cells are made from. What was written to no longer matches its
/// checksum, so private pages are another mapping; a copy is verified before.
fn open(
    disk: &dyn Disk,
    path: &str,
    named: Option<&Named>,
    mapping: Mapping,
) -> Result<(SectionsFile, Arc<Map>)> {
    if mapping == Mapping::Copy {
        let source = SectionsFile::open(disk, path, MAGIC, VERSION, mapping, named)?;
        if let Some(piece) = source.check_all(&|_| {}).first() {
            return Err(damaged(path, source.piece_range(*piece).start as u64, "a checksum does not match"));
        }
        let map = Arc::clone(source.map());
        return Ok((source, map));
    }
    let source = SectionsFile::open(disk, path, MAGIC, VERSION, Mapping::Shared, named)?;
    let map = disk.map(path, Mapping::Private).map_err(|e| fault("map", path, e))?;
    Ok((source, Arc::new(map)))
}

/// A file whose sections have the lengths that its description asks for.
struct Checkpoint<'a> {
    source: &'a SectionsFile,
    description: Description,
    /// Slots of each block that are used: none of a block that was dropped since.
    rows: Vec<usize>,
}

impl<'a> Checkpoint<'a> {
    fn read(source: &'a SectionsFile, m: usize, shapes: &[BlockShape]) -> Result<Self> {
        let bad = |what: &str| damaged(source.path(), 0, what);
        let description: Description = serde_json::from_slice(source.description())
            .map_err(|e| bad("its description is not that of links").with_source(e))?;
        if description.m != m {
            return Err(bad("its lists have another length than the collection's"));
        }
        let fits = |(rows, shape): (&usize, &BlockShape)| {
            shape.capacity == 0 || (*rows <= shape.rows && shape.rows <= shape.capacity)
        };
        if description.rows.len() > shapes.len()
            || !description.rows.iter().zip(shapes).all(fits)
            || description.rows.iter().any(|rows| *rows > BLOCK_SLOTS)
        {
            return Err(bad("it has more rows than the collection"));
        }
        let lengths = description
            .rows
            .iter()
            .flat_map(|rows| LinkBlock::lengths(m, *rows).into_iter().chain([rows.div_ceil(CELL_SLOTS)]));
        let are_right = lengths.enumerate().all(|(i, len)| source.section(i).len() == len * CELL_BYTES);
        if source.sections() != description.rows.len() * SECTIONS || !are_right {
            return Err(bad("its sections have other lengths than its description says"));
        }
        let rows = description.rows.iter().zip(shapes);
        let rows = rows.map(|(rows, shape)| if shape.capacity == 0 { 0 } else { *rows }).collect();
        Ok(Self { source, description, rows })
    }

    fn section(&self, block: usize, section: usize) -> Range<usize> {
        self.source.section(block * SECTIONS + section)
    }

    fn damaged(&self, block: usize, section: usize, what: &str) -> Error {
        damaged(self.source.path(), self.section(block, section).start as u64, what)
    }

    /// The cells of a section, verified.
    fn cells(&self, block: usize, section: usize) -> Result<impl Iterator<Item = u32> + use<'a>> {
        let range = self.section(block, section);
        if !self.source.check(range.clone()) {
            return Err(self.damaged(block, section, "a checksum does not match"));
        }
        let bytes: &'a [u8] = self.source.map().bytes().get(range).unwrap_or_default();
        Ok(bytes.chunks_exact(CELL_BYTES).map(|c| c.first_chunk().map_or(0, |c| u32::from_le_bytes(*c))))
    }

    /// The slots of a section of bits.
    fn slots(&self, block: usize, section: usize) -> Result<Vec<Slot>> {
        let mut slots = Vec::new();
        for (at, cell) in self.cells(block, section)?.enumerate() {
            let set = (0..CELL_SLOTS).filter(|bit| cell >> bit & 1 == 1).map(|bit| at * CELL_SLOTS + bit);
            slots.extend(set);
        }
        if slots.last().is_some_and(|last| *last >= self.description.rows[block]) {
            return Err(self.damaged(block, section, "a bit stands for a slot that does not exist"));
        }
        Ok(slots.into_iter().map(|index| Slot::new(BlockId(block as u16), index as u16)).collect())
    }

    fn linked(&self) -> Result<SlotBits> {
        let mut blocks = Vec::with_capacity(self.rows.len());
        for (block, rows) in self.rows.iter().enumerate() {
            let mut bits = BlockBits::default();
            if *rows > 0 {
                for slot in self.slots(block, LINKED)? {
                    bits.words_mut()[slot.index() / 64] |= 1 << (slot.index() % 64);
                }
            }
            blocks.push(Arc::new(bits));
        }
        Ok(SlotBits::of_blocks(blocks))
    }

    fn entry(&self, linked: &SlotBits) -> Result<Option<Slot>> {
        let Some(slot) = self.description.entry.map(Slot) else { return Ok(None) };
        if !linked.contains(slot) || level_of(slot).0 != self.description.level {
            return Err(damaged(self.source.path(), 0, "walks start at a slot that is no such node"));
        }
        Ok(Some(slot))
    }

    /// Every slot that names a next one is reached from the one head of its chain, and no chain comes back to itself: each
    /// slot is named once at most, heads never, and walks from the heads see every cell.
    fn check_chains(&self, linked: &SlotBits) -> Result<()> {
        let (mut next, mut heads) = (Vec::new(), Vec::new());
        for (block, rows) in self.rows.iter().enumerate() {
            let is_used = *rows > 0;
            next.push(if is_used {
                self.cells(block, NEXT_TWINS)?.collect::<Vec<u32>>()
            } else {
                Vec::new()
            });
            heads.extend(if is_used { self.slots(block, HEADS)? } else { Vec::new() });
        }
        let next_of = |s: Slot| next.get(s.block().index()).and_then(|b| b.get(s.index())).copied();
        let mut left = next.iter().flatten().filter(|cell| **cell != 0).count();
        let mut taken = Bits::of(&self.rows);
        for head in &heads {
            taken.insert(*head);
        }
        let broken =
            |slot: Slot| self.damaged(slot.block().index(), NEXT_TWINS, "a chain of twins is broken");
        for head in heads {
            let mut at = head;
            while let Some(cell) = next_of(at).filter(|cell| *cell != 0) {
                let twin = Slot(!cell);
                if !linked.contains(at) || !linked.contains(twin) || !taken.insert(twin) {
                    return Err(broken(at));
                }
                left -= 1;
                at = twin;
            }
        }
        if left > 0 {
            return Err(damaged(self.source.path(), 0, "a chain of twins has no start"));
        }
        Ok(())
    }

    /// The lists of a block: in the pages of `map` if no row can come, otherwise in memory that has room for more.
    fn block(&self, b: usize, shape: &BlockShape, map: &Arc<Map>, in_file: bool) -> Result<LinkBlock> {
        let m = self.description.m;
        let rows = self.rows.get(b).copied().unwrap_or(0);
        if rows == 0 {
            return LinkBlock::new(m, shape.capacity);
        }
        if rows < shape.capacity {
            // What is copied is read, so it is verified.
            for array in 0..ARRAYS {
                let _verified = self.cells(b, array)?;
            }
        }
        let starts: [usize; ARRAYS] = std::array::from_fn(|array| self.section(b, array).start);
        let block = LinkBlock::mapped(m, rows, map, starts, in_file)?;
        if rows < shape.capacity { block.copied(shape.capacity) } else { Ok(block) }
    }
}
