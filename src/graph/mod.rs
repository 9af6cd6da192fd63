//! The index over vectors: finds near slots without looking at all of them.
//!
//! Owns links. Knows nothing of ids, text, tenants or why a slot is dead: it sees codes, rows and sets of slots.

mod flat;
#[cfg(feature = "hnsw-rs")]
mod hnsw_rs;
mod lost;
mod pool;
mod scratch;
mod visited;

use crate::codes::{CodeTable, VectorTable};
use crate::disk::{Disk, Named};
use crate::error::Result;
use crate::ids::Slot;
use crate::metrics::Work;
use crate::sets::SlotBits;

pub(crate) use flat::FlatGraph;
#[cfg(feature = "hnsw-rs")]
pub(crate) use hnsw_rs::HnswRsGraph;
pub(crate) use lost::Lost;
pub(crate) use pool::Near;
pub(crate) use scratch::Scratch;

/// What a graph can look at: the codes and the full-precision rows of every slot.
#[derive(Clone, Copy)]
pub(crate) struct Space<'a> {
    pub(crate) codes: &'a CodeTable,
    #[cfg_attr(not(feature = "hnsw-rs"), allow(dead_code, reason = "the flat graph is content with codes"))]
    pub(crate) vectors: &'a VectorTable,
}

/// One question to a graph.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    /// The vector, as the user gave it.
    pub(crate) query: &'a [f32],
    /// How many of the answers count.
    pub(crate) k: usize,
    /// The width of the beam.
    pub(crate) ef: usize,
    pub(crate) walk: Walk<'a>,
}

/// How a walk treats the slots that an answer may not hold.
#[derive(Clone, Copy)]
pub(crate) enum Walk<'a> {
    /// Every linked slot is an answer.
    All,
    /// Walk over every slot, answer with those of the set.
    InGraph(&'a SlotBits),
    /// Walk over slots of the set alone, reaching through others to their neighbours.
    FilterFirst(&'a SlotBits),
}

/// The rows of one block, as a graph that is loaded must have room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockShape {
    /// Slots that fit; 0 if the block was dropped.
    pub(crate) capacity: usize,
    /// Slots that are taken: all that fit, in a block that no longer grows.
    pub(crate) rows: usize,
}

/// Which slots a pass of healing is about. One that is linked, neither live nor gone, died since the pass began: it is walked
/// through until the next one, so its lists are led around the gone too.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    /// Worth linking to.
    pub(crate) live: &'a SlotBits,
    /// Those that may have lists: live, dead and gone.
    pub(crate) linked: &'a SlotBits,
    /// Dead when the pass began: no list names them when it is through.
    pub(crate) gone: &'a SlotBits,
}

/// A graph that was read from a file.
pub(crate) struct Loaded<G> {
    pub(crate) graph: G,
    /// The slots that it holds, dead ones among them. The others are to be linked; none of these may be linked again.
    pub(crate) linked: SlotBits,
}

/// Finds near slots. Searches and `lost` run beside everything; `link` runs beside itself and `save`; all others that change
/// something run alone among writers.
pub(crate) trait Graph: Send + Sync {
    /// Makes room for the next block, of `capacity` slots.
    fn grow(&self, capacity: usize) -> Result<()>;

    /// Forgets the lists of a block whose rows are all gone, after lists were led around them. `live` are slots that walks
    /// may start at.
    fn drop_block(&self, _block: usize, _live: &SlotBits) -> Result<()> {
        Ok(())
    }

    /// Moves the lists of a block from the pages of a file into memory of its own. False if they stand there.
    fn warm_block(&self, _block: usize) -> Result<bool> {
        Ok(false)
    }

    /// Links one slot whose code and row are readable. `live` are the slots worth linking to.
    fn link(&self, space: Space<'_>, live: &SlotBits, slot: Slot, scratch: &mut Scratch) -> Work;

    /// Answers with `ask.ef` slots or a few more, where there are, nearest first, in `scratch.near`.
    fn search(&self, space: Space<'_>, ask: &Ask<'_>, scratch: &mut Scratch) -> Work;

    /// Prepares up to `budget` slots that are gone, from `from` on, for being led around: what hangs on them and is live
    /// gets links of its own. Returns where to go on, or `None` at the end.
    fn hand_over(
        &self,
        _space: Space<'_>,
        _pass: Pass<'_>,
        _from: Slot,
        _budget: usize,
        _scratch: &mut Scratch,
    ) -> Option<Slot> {
        None
    }

    /// Leads the lists of up to `budget` slots from `from` on around the slots that are gone.
    /// Returns where to go on, or `None` at the end.
    ///
    /// A pass loses no row if everything on `gone` was handed over before, and what is `lost` without `gone` was mended:
    /// healing keeps every link to another slot.
    fn heal(
        &self,
        space: Space<'_>,
        pass: Pass<'_>,
        from: Slot,
        budget: usize,
        scratch: &mut Scratch,
    ) -> Option<Slot>;

    /// The slots of `live` that no walk reaches that keeps off the slots of `gone`. Every one of `live` was linked before.
    /// Only reads: what is linked meanwhile can make it miss a slot, or name one too many, and neither does harm.
    fn lost(&self, live: &SlotBits, gone: &SlotBits) -> Lost;

    /// Takes up to `budget` slots off `lost` and links those of them that are live and still out of reach; says how many it
    /// linked. A link forced in may push out another slot's last one, so look again afterwards.
    fn mend(
        &self,
        space: Space<'_>,
        live: &SlotBits,
        lost: &mut Lost,
        budget: usize,
        scratch: &mut Scratch,
    ) -> usize;

    /// Checks the invariants over all lists: how many live slots can not be reached, or which rule is broken.
    fn check(&self, live: &SlotBits) -> std::result::Result<usize, String>;

    /// Writes a file, under a name of [`crate::disk::temporary`], that holds the lists of the slots in `covered`: all that
    /// were linked before, live or dead. `None` if this graph has no such file, and is built again from its rows.
    fn save(
        &self,
        _disk: &dyn Disk,
        _path: &str,
        _covered: &SlotBits,
        _pace: &dyn Fn(usize),
    ) -> Result<Option<Named>> {
        Ok(None)
    }

    /// Bytes of the links of `rows` linked slots.
    fn bytes(&self, rows: usize) -> usize;
}
