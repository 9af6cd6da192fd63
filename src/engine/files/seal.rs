//! Blocks from memory into files, and files in place of memory.
//!
//! Invariant: a block that takes no more rows never changes, so its file can be written while everything goes on.

use super::checkpoint::Subject;
use super::restore::mapping;
use crate::block::{CodesAt, RowSource, RowsFile, RowsHead, write_codes, write_rows};
use crate::disk::{Disk, publish, temporary};
use crate::engine::inner::Inner;
use crate::engine::tables::fields::FieldBlock;
use crate::engine::tables::ids;
use crate::engine::upkeep::pauses::Job;
use crate::engine::view::View;
use crate::error::Result;
use crate::ids::{BlockId, Seq, Slot};
use crate::manifest::{AtSeq, BlockEntry, CollectionEntry, FileEntry, HeadEntry, Name, collection_folder};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The rows of one block of a view.
struct Source<'a> {
    view: &'a View,
    block: BlockId,
    id_seed: u64,
}

impl RowSource for Source<'_> {
    fn vector(&self, row: usize) -> Option<&[f32]> {
        self.view.tables.vectors.get(Slot::new(self.block, row as u16))
    }

    fn body(&self, row: usize, out: &mut Vec<u8>) {
        if let Some(body) = self.view.tables.rows.get(Slot::new(self.block, row as u16)) {
            body.encode(out);
        }
    }

    fn id_hash(&self, row: usize) -> u64 {
        let slot = Slot::new(self.block, row as u16);
        let rows = &self.view.tables.rows;
        // A damaged row of the growing block goes from file to file until its block is given back.
        let known = rows.id_hash(slot).or_else(|| Some(ids::hash(self.id_seed, rows.get(slot)?.id)));
        known.unwrap_or(ids::UNKNOWN)
    }
}

/// Writes every full block that has no file, and codes that another codec made. Says whether there was any.
pub(crate) fn write_full_blocks(
    disk: &dyn Disk,
    subject: &Subject,
    entry: &mut CollectionEntry,
    pace: &dyn Fn(usize),
) -> Result<bool> {
    let Subject { inner, view, remade, .. } = subject;
    let vectors = &view.tables.vectors;
    let codec = inner.files.lock().codec;
    let mut is_new = false;
    for block in (0..vectors.next_slot().block().0).map(BlockId) {
        let rows = vectors.rows_in(block.index());
        if rows == 0 {
            continue;
        }
        let writer = Writer { disk, inner, view, block, rows, codec, pace };
        match entry.blocks.binary_search_by_key(&block.0, |b| b.block) {
            Ok(at) => {
                let held = entry.blocks[at].codes.as_ref().and_then(codes_number);
                let next = next_codes(held, codec, remade.contains(&block.0));
                if let Some(number) = next {
                    entry.blocks[at].codes = Some(writer.codes(Name::Codes(block, number))?);
                    is_new = true;
                }
            }
            Err(at) => {
                let file = writer.rows(Name::Rows(block))?;
                let codes = Some(writer.codes(Name::Codes(block, codec << TRY_BITS))?);
                entry.blocks.insert(at, BlockEntry { block: block.0, rows: rows as u32, file, codes });
                is_new = true;
            }
        }
        if entry.head.as_ref().is_some_and(|head| head.block <= block.0) {
            entry.head = None;
        }
    }
    Ok(is_new)
}

/// Writes the block that grows, if it has rows that its last file has not. Says whether it did.
pub(crate) fn write_head(
    disk: &dyn Disk,
    subject: &Subject,
    entry: &mut CollectionEntry,
    seq: Seq,
    number: u64,
    pace: &dyn Fn(usize),
) -> Result<bool> {
    let Subject { inner, view, remade, .. } = subject;
    let vectors = &view.tables.vectors;
    let block = vectors.next_slot().block();
    let rows = vectors.rows_in(block.index());
    let codec = inner.files.lock().codec;
    if rows == 0 {
        return Ok(false);
    }
    let is_held = |head: &&mut HeadEntry| {
        head.block == block.0 && head.rows as usize == rows && !remade.contains(&block.0)
    };
    if let Some(head) = entry.head.as_mut().filter(is_held) {
        head.seq = seq;
        return Ok(false);
    }
    let writer = Writer { disk, inner, view, block, rows, codec, pace };
    let file = writer.rows(Name::HeadRows(number))?;
    let codes = Some(writer.codes(Name::HeadCodes(number))?);
    entry.head = Some(HeadEntry { block: block.0, rows: rows as u32, seq, file, codes });
    Ok(true)
}

/// Writes the graph's lists, if any has changed since they were last written. Says whether it did.
pub(crate) fn write_links(
    disk: &dyn Disk,
    inner: &Inner,
    view: &View,
    entry: &mut CollectionEntry,
    seq: Seq,
    number: u64,
    pace: &dyn Fn(usize),
) -> Result<bool> {
    // Healing would take covered slots out of chains.
    let _still = inner.chores.lock();
    if inner.files.lock().has_bad_links {
        return Ok(entry.links.take().is_some());
    }
    let steps = inner.link_steps.load(Ordering::Relaxed);
    if let Some(links) = entry.links.as_mut().filter(|_| inner.files.lock().links_saved == Some(steps)) {
        links.seq = seq;
        return Ok(false);
    }
    let name = Name::Links(number);
    let path = format!("{}/{name}", collection_folder(inner.number));
    let tmp = temporary(disk, &path)?;
    let Some(named) = inner.graph.save(disk, &tmp, &view.linked, pace)? else { return Ok(false) };
    publish(disk, &tmp, &path)?;
    entry.links = Some(AtSeq { seq, file: FileEntry::new(name, named) });
    inner.files.lock().links_saved = Some(steps);
    Ok(true)
}

/// The low bits of the number in the name of a file of codes say which try it is: a file that was found bad keeps its name,
/// and what was made again gets another. The bits above are the codec's generation.
pub(crate) const TRY_BITS: u32 = 8;

/// The number of the next file of codes of a block that has the file of number `held`; `None` if that one will do.
fn next_codes(held: Option<u32>, codec: u32, is_bad: bool) -> Option<u32> {
    match held {
        Some(number) if number >> TRY_BITS == codec => {
            let next = (number + 1) & ((1 << TRY_BITS) - 1);
            is_bad.then_some(codec << TRY_BITS | next)
        }
        _ => Some(codec << TRY_BITS),
    }
}

fn codes_number(file: &FileEntry) -> Option<u32> {
    match Name::parse(&file.name) {
        Some(Name::Codes(_, number)) => Some(number),
        _ => None,
    }
}

struct Writer<'a> {
    disk: &'a dyn Disk,
    inner: &'a Inner,
    view: &'a View,
    block: BlockId,
    rows: usize,
    codec: u32,
    pace: &'a dyn Fn(usize),
}

impl Writer<'_> {
    fn rows(&self, name: Name) -> Result<FileEntry> {
        let head = RowsHead {
            collection: self.inner.number,
            block: self.block.0,
            dim: self.inner.schema.dim as u32,
            rows: self.rows as u32,
        };
        let source = Source { view: self.view, block: self.block, id_seed: self.inner.id_seed };
        let named = write_rows(self.disk, &self.path(name), head, &source, self.pace)?;
        Ok(FileEntry::new(name, named))
    }

    fn codes(&self, name: Name) -> Result<FileEntry> {
        let at =
            CodesAt { collection: self.inner.number, block: self.block, rows: self.rows, codec: self.codec };
        let named = write_codes(self.disk, &self.path(name), at, &self.view.tables.codes, self.pace)?;
        Ok(FileEntry::new(name, named))
    }

    fn path(&self, name: Name) -> String {
        format!("{}/{name}", collection_folder(self.inner.number))
    }
}

impl Inner {
    /// Puts the files of sealed blocks in the place of their memory.
    pub(crate) fn bring_in(&self, disk: &dyn Disk, entry: &CollectionEntry) -> Result<()> {
        for block in &entry.blocks {
            let at = usize::from(block.block);
            let view = self.view.load_full();
            let is_in = view.tables.rows.file(at).is_some_and(|file| file.rows() == block.rows as usize);
            if is_in || view.tables.vectors.rows_in(at) == 0 {
                continue;
            }
            let path = entry.path(&block.file);
            let named = block.file.named();
            let file = RowsFile::open(disk, &path, mapping(self.options.io), Some(&named))?;
            let file = Arc::new(file.with_alarm(self.damage.alarm.clone()));
            let fields = Arc::new(FieldBlock::of_file(file.rows(), true));
            drop(fields.read(&view.tables.rows, BlockId(block.block)));
            let _writer = self.writer.lock();
            let _pause = self.line.pauses.begin(Job::Seal);
            let mut view = View::clone(&self.view.load());
            let mut tables = view.tables.as_ref().clone();
            tables.vectors = tables.vectors.with_replaced_block(at, file.vectors(), Some(file.clone()))?;
            tables.rows = tables.rows.with_moved(at, Some(file));
            if let Some(place) = tables.fields.get_mut(at) {
                *place = fields;
            }
            self.retire(std::mem::replace(&mut view.tables, Arc::new(tables)));
            self.view.store(Arc::new(view));
            self.files.lock().block_seqs.remove(&block.block);
        }
        Ok(())
    }
}
