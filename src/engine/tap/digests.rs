//! Digests of rows, made once: a row never changes, so its digest is kept with its block.

use crate::engine::view::View;
use crate::ids::Slot;
use crate::record::digest_of;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Not made yet. A row that really has this digest is read each time.
const UNKNOWN: u64 = 0;

type Block = Arc<[AtomicU64]>;

/// The digests of one collection, those that were asked for.
#[derive(Default)]
pub(crate) struct Digests(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    seed: u64,
    blocks: Vec<Option<Block>>,
}

/// The digests of one state, with one seed.
pub(crate) struct Reader<'v> {
    view: &'v View,
    seed: u64,
    blocks: Vec<Block>,
}

impl Digests {
    /// A block is gone.
    pub(crate) fn forget(&self, block: usize) {
        self.0.lock().blocks.get_mut(block).map(Option::take);
    }

    /// To read the digests of the rows that `view` shows.
    pub(crate) fn reader<'v>(&self, view: &'v View, seed: u64) -> Reader<'v> {
        let vectors = &view.tables.vectors;
        let mut kept = self.0.lock();
        if kept.seed != seed {
            *kept = Kept { seed, blocks: Vec::new() };
        }
        let len = vectors.blocks().max(kept.blocks.len());
        kept.blocks.resize_with(len, || None);
        let blocks = kept.blocks.iter_mut().enumerate().take(vectors.blocks()).map(|(block, place)| {
            let capacity = vectors.capacity_of(block);
            // One that was dropped has come down to nothing.
            let is_new = place.as_ref().is_none_or(|held| held.len() < capacity);
            if is_new {
                *place = Some((0..capacity).map(|_| AtomicU64::new(UNKNOWN)).collect());
            }
            place.clone().unwrap_or_default()
        });
        Reader { view, seed, blocks: blocks.collect() }
    }
}

impl Reader<'_> {
    /// The digest of a row; nothing if it is damaged.
    pub(crate) fn get(&self, slot: Slot) -> Option<u64> {
        let place = self.blocks.get(slot.block().index()).and_then(|block| block.get(slot.index()));
        match place.map_or(UNKNOWN, |place| place.load(Ordering::Relaxed)) {
            UNKNOWN => {
                let digest = self.again(slot)?;
                place.inspect(|place| place.store(digest, Ordering::Relaxed));
                Some(digest)
            }
            digest => Some(digest),
        }
    }

    /// The same from the row's bytes.
    pub(crate) fn again(&self, slot: Slot) -> Option<u64> {
        again(self.view, slot, self.seed)
    }
}

/// The digest of a row from its bytes.
pub(crate) fn again(view: &View, slot: Slot, seed: u64) -> Option<u64> {
    let body = view.tables.rows.get(slot)?;
    let vector = if view.ready.contains(slot) { Some(view.tables.vectors.get(slot)?) } else { None };
    Some(digest_of(&body, vector, seed))
}
