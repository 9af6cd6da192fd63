//! A collection from the files that a manifest names: blocks mapped, links mapped, nothing read that can wait.
//!
//! Invariant: what is derived and does not fit (codes of another codec, links that do not check) is made again from rows; what
//! is lost is said. Rows of files are taken as they are: whoever uses one checks its piece first.

use super::fields::FieldBlock;
use super::inner::graph_of;
use super::view::Tables;
use crate::block::{CodesFile, RowsFile};
use crate::codes::{CodeTable, Codec};
use crate::config::{GraphKind, Io, Options, Schema};
use crate::disk::{Disk, Mapping};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{BlockShape, FlatGraph, Graph};
use crate::ids::{BLOCK_SLOTS, BlockId, Seq, Slot};
use crate::limits;
use crate::manifest::{CollectionEntry, FileEntry, Name, Sets, read_sets};
use crate::sets::SlotBits;
use std::sync::Arc;

/// What the files of one collection hold.
pub(super) struct Restored {
    pub(super) entry: CollectionEntry,
    pub(super) tables: Tables,
    pub(super) sets: Sets,
    /// The commits that `sets` covers.
    pub(super) sets_seq: Seq,
    /// Which codec made the codes.
    pub(super) codec: u32,
    /// Files that could not be used, and why.
    pub(super) damage: Vec<String>,
    /// Slots whose rows are not there any more.
    pub(super) lost: Vec<Slot>,
}

/// Slots of a block: as many as fit into its bytes.
pub(super) fn block_slots(schema: &Schema, options: &Options) -> usize {
    (limits::BLOCK_BYTES_MAX / (schema.dim * size_of::<f32>())).clamp(1, block_slots_max(options))
}

#[cfg(not(test))]
const fn block_slots_max(_: &Options) -> usize {
    BLOCK_SLOTS
}

#[cfg(test)]
fn block_slots_max(options: &Options) -> usize {
    options.tiny.map_or(BLOCK_SLOTS, |tiny| tiny.block_slots)
}

pub(super) fn mapping(io: Io) -> Mapping {
    match io {
        Io::Mmap => Mapping::Shared,
        Io::Heap => Mapping::Copy,
    }
}

impl Restored {
    /// A collection that no file holds anything of.
    pub(super) fn nothing(number: u32, name: &str, schema: &Schema) -> Self {
        Self {
            entry: CollectionEntry::new(number, name, schema.clone()),
            tables: Tables::new(schema),
            sets: Sets::default(),
            sets_seq: Seq(0),
            codec: 0,
            damage: Vec::new(),
            lost: Vec::new(),
        }
    }
}

pub(super) fn restore(disk: &dyn Disk, entry: &CollectionEntry, options: &Options) -> Result<Restored> {
    let mut damage = Vec::new();
    let (sets, sets_seq) = match &entry.sets {
        None => (Sets::default(), Seq(0)),
        // Without it nobody knows what was deleted: never guess.
        Some(at) => (read_sets(disk, &entry.path(&at.file), &at.file.named())?, at.seq),
    };
    let (codec, generation) = newest_codec(disk, entry, options, &mut damage);
    let tables = Tables { codes: CodeTable::new(codec), ..Tables::new(&entry.schema) };
    let slots = block_slots(&entry.schema, options);
    let mapping = mapping(options.io);
    let mut maker = Maker { disk, entry, slots, mapping, tables, generation, damage, lost: Vec::new() };
    maker.blocks()?;
    let Maker { tables, damage, lost, .. } = maker;
    Ok(Restored { entry: entry.clone(), tables, sets, sets_seq, codec: generation, damage, lost })
}

/// The codec of the newest codes, and its generation. Every file of codes holds its codec.
fn newest_codec(
    disk: &dyn Disk,
    entry: &CollectionEntry,
    options: &Options,
    damage: &mut Vec<String>,
) -> (Codec, u32) {
    let mut files: Vec<&FileEntry> = entry.blocks.iter().filter_map(|b| b.codes.as_ref()).collect();
    files.sort_by_key(|file| std::cmp::Reverse(generation_of(file)));
    let newest = files.first().map_or(0, |file| generation_of(file));
    // The growing block's name does not tell.
    let head = entry.head.as_ref().and_then(|h| h.codes.as_ref());
    let mut older = None;
    for file in head.into_iter().chain(files) {
        match CodesFile::open(disk, &entry.path(file), mapping(options.io), Some(&file.named())) {
            Ok(codes) if codes.head().codec >= newest => return (codes.codec().clone(), codes.head().codec),
            Ok(codes) => drop(older.get_or_insert_with(|| codes.codec().clone())),
            Err(e) => damage.push(e.to_string()),
        }
    }
    // A generation is one codec: this one goes on under a number that no file has.
    let generation = if head.is_some() || newest > 0 { newest.saturating_add(1) } else { 0 };
    (older.unwrap_or_else(|| Codec::untrained(entry.schema.metric, entry.schema.dim)), generation)
}

fn generation_of(file: &FileEntry) -> u32 {
    match Name::parse(&file.name) {
        Some(Name::Codes(_, generation)) => generation,
        _ => 0,
    }
}

struct Maker<'a> {
    disk: &'a dyn Disk,
    entry: &'a CollectionEntry,
    /// Of a block.
    slots: usize,
    mapping: Mapping,
    tables: Tables,
    generation: u32,
    damage: Vec<String>,
    lost: Vec<Slot>,
}

impl Maker<'_> {
    fn blocks(&mut self) -> Result<()> {
        let sealed = self.entry.blocks.iter().map(|b| b.block);
        let last = sealed.chain(self.entry.dropped_blocks.iter().copied()).max();
        for block in 0..last.map_or(0, |last| last + 1) {
            match self.entry.blocks.binary_search_by_key(&block, |b| b.block) {
                Ok(at) => self.sealed(at)?,
                Err(_) => self.nothing()?,
            }
        }
        self.head()
    }

    /// A block that was given back.
    fn nothing(&mut self) -> Result<()> {
        self.tables.vectors = self.tables.vectors.with_empty_block()?;
        self.tables.codes = self.tables.codes.with_empty_block()?;
        self.tables.rows = self.tables.rows.with_nothing();
        self.tables.fields.push(Arc::default());
        Ok(())
    }

    fn sealed(&mut self, at: usize) -> Result<()> {
        let block = &self.entry.blocks[at];
        let path = self.entry.path(&block.file);
        let rows = match self.rows_file(&path, &block.file, block.block, block.rows) {
            Ok(rows) => Arc::new(rows),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.damage.push(e.to_string());
                self.lost.extend((0..block.rows).map(|i| Slot::new(BlockId(block.block), i as u16)));
                return self.nothing();
            }
            Err(e) => return Err(e),
        };
        let codes = block.codes.as_ref().and_then(|file| self.codes(file, rows.rows()));
        self.tables.vectors = self.tables.vectors.with_mapped_block(rows.vectors(), Some(rows.clone()))?;
        self.tables.codes = match codes {
            Some((codes, terms)) => self.tables.codes.with_mapped_block(codes, terms)?,
            None => self.encode(BlockId(block.block), rows.rows(), rows.rows())?,
        };
        self.tables.fields.push(Arc::new(FieldBlock::of_file(rows.rows(), true)));
        self.tables.rows = self.tables.rows.with_file(rows, false);
        Ok(())
    }

    /// The growing block: its rows are copied, because more will stand behind them.
    fn head(&mut self) -> Result<()> {
        let Some(head) = &self.entry.head else { return Ok(()) };
        let block = BlockId(head.block);
        while self.tables.vectors.blocks() < block.index() {
            self.nothing()?;
        }
        let path = self.entry.path(&head.file);
        let rows = match self.rows_file(&path, &head.file, head.block, head.rows) {
            Ok(rows) => Arc::new(rows),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.damage.push(e.to_string());
                self.lost.extend((0..head.rows).map(|i| Slot::new(block, i as u16)));
                return self.nothing();
            }
            Err(e) => return Err(e),
        };
        let capacity = self.slots;
        self.tables.vectors = self.tables.vectors.with_block(capacity)?;
        for row in 0..rows.rows() {
            let vector = rows.vectors();
            let sound = vector.get(row).filter(|_| rows.vector_is_sound(row));
            if sound.is_none() {
                self.lost.push(Slot::new(block, row as u16));
            }
            self.tables.vectors.push(block, sound)?;
        }
        self.tables.codes = self.head_codes(block, rows.rows(), capacity)?;
        self.tables.fields.push(Arc::new(FieldBlock::of_file(rows.rows(), false)));
        self.tables.rows = self.tables.rows.with_file(rows, true);
        Ok(())
    }

    fn head_codes(&mut self, block: BlockId, rows: usize, capacity: usize) -> Result<CodeTable> {
        let file = self.entry.head.as_ref().and_then(|head| head.codes.as_ref());
        match file.and_then(|file| self.codes(file, rows)) {
            Some((codes, terms)) => self.tables.codes.with_copied_block(capacity, &codes, terms.as_ref()),
            None => self.encode(block, rows, capacity),
        }
    }

    fn rows_file(&self, path: &str, file: &FileEntry, block: u16, rows: u32) -> Result<RowsFile> {
        let read = RowsFile::open(self.disk, path, self.mapping, Some(&file.named()))?;
        let head = read.head();
        let fits = head.collection == self.entry.number
            && head.block == block
            && head.rows == rows
            && head.dim as usize == self.entry.schema.dim;
        if fits { Ok(read) } else { Err(misfit(path)) }
    }

    /// Codes of the codec in use, or nothing: then they are made again.
    #[allow(clippy::type_complexity, reason = "what a table takes")]
    fn codes(
        &mut self,
        file: &FileEntry,
        rows: usize,
    ) -> Option<(crate::disk::Rows<u8>, Option<crate::disk::Rows<f32>>)> {
        let path = self.entry.path(file);
        let opened = CodesFile::open(self.disk, &path, self.mapping, Some(&file.named())).and_then(|codes| {
            let fits = codes.head().codec == self.generation && codes.head().rows as usize == rows;
            if fits { codes.codes().map(Some) } else { Ok(None) }
        });
        opened.unwrap_or_else(|e| {
            self.damage.push(e.to_string());
            None
        })
    }

    /// The table with one more block, its codes made from the vectors.
    fn encode(&self, block: BlockId, rows: usize, capacity: usize) -> Result<CodeTable> {
        let codes = self.tables.codes.with_block(capacity)?;
        let mut work = Vec::new();
        for row in 0..rows {
            codes.push(block, self.tables.vectors.get(Slot::new(block, row as u16)), &mut work)?;
        }
        Ok(codes)
    }
}

/// The graph from its file, and the slots that it holds. Where the file does not do, an empty one: all rows will be linked again.
pub(super) fn restore_graph(
    disk: &dyn Disk,
    entry: &CollectionEntry,
    options: &Options,
    tables: &Tables,
    damage: &mut Vec<String>,
) -> Result<(Box<dyn Graph>, SlotBits)> {
    let schema = &entry.schema;
    let vectors = &tables.vectors;
    let shape = |b| BlockShape { capacity: vectors.capacity_of(b), rows: vectors.rows_in(b) };
    let shapes: Vec<BlockShape> = (0..vectors.blocks()).map(shape).collect();
    if let Some(links) = entry.links.as_ref().filter(|_| schema.graph == GraphKind::Flat) {
        let mapping = if options.io == Io::Mmap { Mapping::Private } else { Mapping::Copy };
        let (path, named) = (entry.path(&links.file), links.file.named());
        match FlatGraph::load(schema.m, schema.ef_construction, disk, &path, Some(&named), mapping, &shapes) {
            Ok(loaded) => return Ok((Box::new(loaded.graph), loaded.linked)),
            Err(e) if e.kind() == ErrorKind::Corrupt => damage.push(e.to_string()),
            Err(e) => return Err(e),
        }
    }
    let graph = graph_of(schema)?;
    shapes.iter().try_for_each(|shape| graph.grow(shape.capacity))?;
    Ok((graph, SlotBits::default()))
}

fn misfit(path: &str) -> Error {
    let message = format!("{path} holds another block than its manifest says; run `nearfield doctor`");
    Error::new(ErrorKind::Corrupt, message)
}
