//! Evaluated filters, kept: a row never changes, so what a filter says of a slot is true for ever.
//!
//! An entry is brought up to date by evaluating only the blocks that have grown.

use crate::engine::view::View;
use crate::filter::Filter;
use crate::ids::{BlockId, Seq};
use crate::sets::{BlockBits, SlotBits};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) struct FilterCache {
    bytes_max: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_filter: HashMap<Filter, Entry>,
    clock: u64,
}

#[derive(Clone, Default)]
struct Entry {
    used: u64,
    /// What the filter says of each block, and of how many of its rows.
    blocks: Vec<(Arc<BlockBits>, usize)>,
    /// The filter's slots among those ready at a seq.
    ready: Option<(Seq, SlotBits)>,
}

impl FilterCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, entries: Mutex::default() }
    }

    /// The slots of `view.ready` that `filter` matches.
    pub(crate) fn ready(&self, view: &View, filter: &Filter) -> SlotBits {
        let mut entry = self.take(filter);
        if let Some((seq, ready)) = &entry.ready
            && *seq == view.seq
        {
            return ready.clone();
        }
        update(&mut entry, view, filter);
        let ready = matches_of(&entry).and(&view.ready);
        entry.ready = Some((view.seq, ready.clone()));
        self.put(filter, entry);
        ready
    }

    /// The slots of `view.live` that `filter` matches.
    pub(crate) fn live(&self, view: &View, filter: &Filter) -> SlotBits {
        let mut entry = self.take(filter);
        update(&mut entry, view, filter);
        let live = matches_of(&entry).and(&view.live);
        self.put(filter, entry);
        live
    }

    pub(crate) fn bytes(&self) -> usize {
        self.entries.lock().by_filter.values().map(Entry::bytes).sum()
    }

    fn take(&self, filter: &Filter) -> Entry {
        let mut entries = self.entries.lock();
        entries.clock += 1;
        let now = entries.clock;
        match entries.by_filter.get_mut(filter) {
            Some(entry) => {
                entry.used = now;
                entry.clone()
            }
            None => Entry { used: now, ..Entry::default() },
        }
    }

    fn put(&self, filter: &Filter, entry: Entry) {
        let mut entries = self.entries.lock();
        entries.by_filter.insert(filter.clone(), entry);
        let mut bytes: usize = entries.by_filter.values().map(Entry::bytes).sum();
        while bytes > self.bytes_max {
            let Some(oldest) = entries.by_filter.iter().min_by_key(|(_, e)| e.used).map(|(f, _)| f.clone())
            else {
                break;
            };
            bytes -= entries.by_filter.remove(&oldest).map_or(0, |e| e.bytes());
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        self.blocks.len() * 2 * crate::ids::BLOCK_SLOTS / 8 + size_of::<Self>()
    }
}

fn update(entry: &mut Entry, view: &View, filter: &Filter) {
    for (block, index) in view.tables.fields.iter().enumerate() {
        let index = index.read(&view.tables.rows, BlockId(block as u16));
        if entry.blocks.get(block).is_some_and(|(_, rows)| *rows == index.rows()) {
            continue;
        }
        let mut bits = BlockBits::default();
        index.eval_mask(filter, bits.words_mut());
        let evaluated = (Arc::new(bits), index.rows());
        match entry.blocks.get_mut(block) {
            Some(place) => *place = evaluated,
            None => entry.blocks.push(evaluated),
        }
    }
}

fn matches_of(entry: &Entry) -> SlotBits {
    SlotBits::of_blocks(entry.blocks.iter().map(|(bits, _)| bits.clone()).collect())
}
