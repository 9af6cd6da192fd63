//! A collection from the files that a manifest names: blocks mapped, links mapped, nothing read that can wait.
//!
//! Invariant: what is derived and does not fit (codes of another codec, links that do not check) is made again from rows; what
//! is lost is said. Rows of files are taken as they are: whoever uses one checks its piece first.

use super::seal::TRY_BITS;
use crate::block::{CodesFile, RowsFile, RowsHead};
use crate::codes::{CodeTable, Codec};
use crate::config::{GraphKind, Io, Options, Schema};
use crate::disk::{Disk, Mapping, damaged};
use crate::engine::inner::graph_of;
use crate::engine::tables::fields::FieldBlock;
use crate::engine::view::Tables;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{BlockShape, FlatGraph, Graph};
use crate::ids::{BLOCK_SLOTS, BlockId, Seq, Slot};
use crate::limits;
use crate::manifest::{AtSeq, CollectionEntry, FileEntry, Manifest, Name, Sets, read_sets};
use crate::sets::SlotBits;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What the files of one collection hold.
pub(crate) struct Restored {
    pub(crate) entry: CollectionEntry,
    pub(crate) tables: Tables,
    pub(crate) sets: Sets,
    /// The commits that `sets` covers.
    pub(crate) sets_seq: Seq,
    /// Why they are not the newest ones: then the log must hold everything since.
    pub(crate) bad_sets: Option<Error>,
    /// Which codec made the codes.
    pub(crate) codec: u32,
    /// Files that could not be used, and why.
    pub(crate) damage: Vec<String>,
    /// Slots whose rows are not there any more.
    pub(crate) lost: Vec<Slot>,
    /// Files of rows that cannot be used at all.
    pub(crate) unusable: Vec<String>,
    /// Blocks whose codes were made again: their file is bad, or of another codec.
    pub(crate) remade: BTreeSet<u16>,
    /// Raised by the files of rows when a piece does not check.
    pub(crate) alarm: Arc<AtomicBool>,
    /// Blocks with a file, and those of them whose rows are damaged, as far as anyone has looked.
    pub(crate) blocks: usize,
    pub(crate) bad_blocks: usize,
}

/// Slots of a block: as many as fit into its bytes.
pub(crate) fn block_slots(schema: &Schema, options: &Options) -> usize {
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

pub(crate) fn mapping(io: Io) -> Mapping {
    match io {
        Io::Mmap => Mapping::Shared,
        Io::Heap => Mapping::Copy,
    }
}

impl Restored {
    /// A collection that no file holds anything of.
    pub(crate) fn nothing(number: u32, name: &str, schema: &Schema) -> Self {
        Self {
            entry: CollectionEntry::new(number, name, schema.clone()),
            tables: Tables::new(schema),
            sets: Sets::default(),
            sets_seq: Seq(0),
            bad_sets: None,
            codec: 0,
            damage: Vec::new(),
            lost: Vec::new(),
            unusable: Vec::new(),
            remade: BTreeSet::new(),
            alarm: Arc::default(),
            blocks: 0,
            bad_blocks: 0,
        }
    }
}

/// `verify`: every piece of every file is checked before it is used.
pub(crate) fn restore(
    disk: &dyn Disk,
    entry: &CollectionEntry,
    before: &[Manifest],
    options: &Options,
    verify: bool,
) -> Result<Restored> {
    let mut damage = Vec::new();
    let (sets, sets_seq, bad_sets) = sets_of(disk, entry, before)?;
    damage.extend(bad_sets.iter().map(|e| e.to_string()));
    let (codec, generation) = newest_codec(disk, entry, options, &mut damage);
    let tables = Tables { codes: CodeTable::new(codec), ..Tables::new(&entry.schema) };
    let made = Restored {
        tables,
        sets,
        sets_seq,
        bad_sets,
        codec: generation,
        damage,
        blocks: entry.blocks.len() + usize::from(entry.head.is_some()),
        ..Restored::nothing(entry.number, &entry.name, &entry.schema)
    };
    let capacity = block_slots(&entry.schema, options);
    let mut maker = Maker { disk, entry, mapping: mapping(options.io), capacity, verify, made };
    maker.blocks()?;
    Ok(Restored { entry: entry.clone(), ..maker.made })
}

/// The sets, the commits that they cover, and why they are older than the manifest's. Without sets nobody knows what was
/// deleted, and that is never guessed; but those of a manifest before say it together with the log.
fn sets_of(
    disk: &dyn Disk,
    entry: &CollectionEntry,
    before: &[Manifest],
) -> Result<(Sets, Seq, Option<Error>)> {
    let read = |at: &AtSeq| read_sets(disk, &entry.path(&at.file), &at.file.named());
    let Some(newest) = &entry.sets else { return Ok((Sets::default(), Seq(0), None)) };
    let bad = match read(newest) {
        Ok(sets) => return Ok((sets, newest.seq, None)),
        Err(e) if e.kind() == ErrorKind::Corrupt => e,
        Err(e) => return Err(e),
    };
    let of_same = |manifest: &Manifest| {
        let old = manifest.collections.iter().find(|old| old.number == entry.number)?;
        old.sets.clone().filter(|at| at.file != newest.file && at.seq <= newest.seq)
    };
    for at in before.iter().filter_map(of_same) {
        if let Ok(sets) = read(&at) {
            return Ok((sets, at.seq, Some(bad)));
        }
    }
    Err(bad)
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
            Ok(codes) if !fits(codes.codec(), &entry.schema) => {
                damage.push(misfit(&entry.path(file)).to_string());
            }
            Ok(codes) if codes.head().codec >= newest => return (codes.codec().clone(), codes.head().codec),
            Ok(codes) => drop(older.get_or_insert_with(|| codes.codec().clone())),
            Err(e) => damage.push(e.to_string()),
        }
    }
    // A generation is one codec: this one goes on under a number that no file has.
    let generation = if head.is_some() || newest > 0 { newest.saturating_add(1) } else { 0 };
    (older.unwrap_or_else(|| Codec::untrained(entry.schema.metric, entry.schema.dim)), generation)
}

/// Whether rows of the schema can be encoded with it.
fn fits(codec: &Codec, schema: &Schema) -> bool {
    let untrained = Codec::untrained(schema.metric, schema.dim);
    let (made, wanted) = (codec.parts(), untrained.parts());
    (made.dim, made.cosine) == (wanted.dim, wanted.cosine)
}

fn generation_of(file: &FileEntry) -> u32 {
    match Name::parse(&file.name) {
        Some(Name::Codes(_, number)) => number >> TRY_BITS,
        _ => 0,
    }
}

struct Maker<'a> {
    disk: &'a dyn Disk,
    entry: &'a CollectionEntry,
    mapping: Mapping,
    /// Slots of the growing block.
    capacity: usize,
    verify: bool,
    made: Restored,
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
        self.made.tables.vectors = self.made.tables.vectors.with_empty_block()?;
        self.made.tables.codes = self.made.tables.codes.with_empty_block()?;
        self.made.tables.rows = self.made.tables.rows.with_nothing();
        self.made.tables.fields.push(Arc::default());
        Ok(())
    }

    fn sealed(&mut self, at: usize) -> Result<()> {
        let block = &self.entry.blocks[at];
        let path = self.entry.path(&block.file);
        let Some(rows) = self.rows(&path, &block.file, block.block, block.rows)? else {
            return self.nothing();
        };
        if self.verify {
            self.check(&rows);
        }
        let codes = block.codes.as_ref().and_then(|file| self.codes(file, rows.rows(), self.verify));
        self.made.tables.vectors =
            self.made.tables.vectors.with_mapped_block(rows.vectors(), Some(rows.clone()))?;
        self.made.tables.codes = match codes {
            Some((codes, terms)) => self.made.tables.codes.with_mapped_block(codes, terms)?,
            None => {
                self.made.remade.insert(block.block);
                self.encode(BlockId(block.block), rows.rows(), rows.rows())?
            }
        };
        self.made.tables.fields.push(Arc::new(FieldBlock::of_file(rows.rows(), true)));
        self.made.tables.rows = self.made.tables.rows.with_file(rows, false);
        Ok(())
    }

    /// The growing block: its rows are copied, because more will stand behind them.
    fn head(&mut self) -> Result<()> {
        let Some(head) = &self.entry.head else { return Ok(()) };
        let block = BlockId(head.block);
        while self.made.tables.vectors.blocks() < block.index() {
            self.nothing()?;
        }
        let path = self.entry.path(&head.file);
        let Some(rows) = self.rows(&path, &head.file, head.block, head.rows)? else {
            return self.nothing();
        };
        // Copied into memory and written again from there: nothing of it may be believed unread.
        self.check(&rows);
        self.made.tables.vectors = self.made.tables.vectors.with_block(self.capacity)?;
        for row in 0..rows.rows() {
            let vectors = rows.vectors();
            let sound = vectors.get(row).filter(|_| rows.vector_is_sound(row));
            self.made.tables.vectors.push(block, sound)?;
        }
        self.made.tables.codes = self.head_codes(block, rows.rows())?;
        self.made.tables.fields.push(Arc::new(FieldBlock::of_file(rows.rows(), false)));
        self.made.tables.rows = self.made.tables.rows.with_file(rows, true);
        Ok(())
    }

    fn head_codes(&mut self, block: BlockId, rows: usize) -> Result<CodeTable> {
        let file = self.entry.head.as_ref().and_then(|head| head.codes.as_ref());
        match file.and_then(|file| self.codes(file, rows, true)) {
            Some((codes, terms)) => {
                self.made.tables.codes.with_copied_block(self.capacity, &codes, terms.as_ref())
            }
            None => {
                self.made.remade.insert(block.0);
                self.encode(block, rows, self.capacity)
            }
        }
    }

    /// A file of rows; `None` if it cannot be used: all its rows are lost.
    fn rows(&mut self, path: &str, file: &FileEntry, block: u16, rows: u32) -> Result<Option<Arc<RowsFile>>> {
        match self.rows_file(path, file, block, rows) {
            Ok(rows) => Ok(Some(Arc::new(rows.with_alarm(self.made.alarm.clone())))),
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.made.damage.push(e.to_string());
                self.made.unusable.push(path.to_owned());
                self.made.bad_blocks += 1;
                self.made.lost.extend((0..rows).map(|i| Slot::new(BlockId(block), i as u16)));
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    fn rows_file(&self, path: &str, file: &FileEntry, block: u16, rows: u32) -> Result<RowsFile> {
        let dim = self.entry.schema.dim as u32;
        let head = RowsHead { collection: self.entry.number, block, dim, rows };
        let read = RowsFile::open_known(self.disk, path, self.mapping, &file.named(), head)?;
        if read.head() == head { Ok(read) } else { Err(misfit(path)) }
    }

    /// Verifies a file of rows; what is bad is lost.
    fn check(&mut self, rows: &RowsFile) {
        if !rows.check_all(&|_| {}).is_empty() {
            let block = BlockId(rows.head().block);
            self.made.bad_blocks += 1;
            self.made.lost.extend(rows.damaged_rows().into_iter().map(|row| Slot::new(block, row)));
        }
    }

    /// Codes of the codec in use, or nothing: then they are made again.
    #[allow(clippy::type_complexity, reason = "what a table takes")]
    fn codes(
        &mut self,
        file: &FileEntry,
        rows: usize,
        verify: bool,
    ) -> Option<(crate::disk::Rows<u8>, Option<crate::disk::Rows<f32>>)> {
        let path = self.entry.path(file);
        let opened = CodesFile::open(self.disk, &path, self.mapping, Some(&file.named())).and_then(|codes| {
            let fits = codes.codec().same_as(self.made.tables.codes.codec())
                && codes.head().codec == self.made.codec
                && codes.head().rows as usize == rows;
            let bad = if verify { codes.check_all(&|_| {}) } else { Vec::new() };
            match bad.first() {
                Some(piece) => {
                    let at = codes.file().piece_range(*piece).start as u64;
                    Err(damaged(&path, at, "the checksum of its codes does not match"))
                }
                None if fits => codes.codes().map(Some),
                None => Ok(None),
            }
        });
        opened.unwrap_or_else(|e| {
            self.made.damage.push(e.to_string());
            None
        })
    }

    /// The table with one more block, its codes made from the vectors.
    fn encode(&self, block: BlockId, rows: usize, capacity: usize) -> Result<CodeTable> {
        let codes = self.made.tables.codes.with_block(capacity)?;
        let mut work = Vec::new();
        for row in 0..rows {
            codes.push(block, self.made.tables.vectors.get(Slot::new(block, row as u16)), &mut work)?;
        }
        Ok(codes)
    }
}

/// The graph from its file, and the slots that it holds. Where the file does not do, an empty one: all rows will be linked again.
pub(crate) fn restore_graph(
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
