//! Two collections that are to say the same: which rows of one the other lacks, and which it has beyond.
//!
//! For a migration to another model, whose collections differ in their vectors and in nothing else. Invariants: each row is told with the
//! version that stands in the other collection, so that a write on that condition replaces nothing newer; a row that changes while
//! pages are told stands in a later slot, and is told from there; a damaged row is an error, because nobody may take it for none.

use crate::engine::collection::Collection;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{ChunkId, Slot, Ver};
use crate::record::{Chunk, RowRef};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A row that the other collection lacks, or has another version of.
#[derive(Clone, Debug)]
pub(crate) struct Lacking {
    /// Without a vector, and without the name of a model.
    pub(crate) chunk: Chunk,
    pub(crate) ver: Ver,
    /// What stands under its id there.
    pub(crate) replaces: Option<Ver>,
    /// A vector that stands there, of this very text and by the model that was asked for.
    pub(crate) vector: Option<Vec<f32>>,
    /// All of it stands there but the vector.
    pub(crate) only_waits: bool,
}

/// A page of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Apart {
    pub(crate) lacking: Vec<Lacking>,
    /// Rows that were looked at.
    pub(crate) looked: usize,
    /// Ids of rows that have no text.
    pub(crate) textless: Vec<String>,
    /// The slot where the next page begins. After the last page, rows that are written later begin there.
    pub(crate) next: u32,
    pub(crate) is_last: bool,
}

/// A row that only one collection has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beyond {
    pub(crate) id: ChunkId,
    pub(crate) ver: Ver,
    /// The model of its vector, if it has one and says so.
    pub(crate) embedding_model: Option<String>,
    pub(crate) has_vector: bool,
    pub(crate) has_text: bool,
}

/// How rows are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alike<'a> {
    /// All that a caller stored but the vector.
    Content,
    /// The same, and a vector of this model. Rows without a text are passed over: there is nothing to make one of.
    Embedded(&'a str),
}

impl Collection {
    /// What `other` lacks of up to `limit` rows from the slot `from` on.
    pub(crate) fn lacking(&self, other: &Self, alike: Alike<'_>, from: u32, limit: usize) -> Result<Apart> {
        self.ensure_whole()?;
        other.ensure_whole()?;
        let view = self.inner().view.load_full();
        let mut slots = view.live.iter_from(Slot(from));
        let page: Vec<Slot> = slots.by_ref().take(limit).collect();
        let next = slots.next();
        let mut apart = Apart {
            looked: page.len(),
            is_last: next.is_none(),
            next: next.unwrap_or_else(|| view.tables.vectors.next_slot()).0,
            ..Apart::default()
        };
        let row = |slot: Slot| {
            view.tables.rows.get(slot).ok_or_else(|| {
                self.inner().damage.suspect(slot);
                self.inner().unreadable("", slot, "its row is damaged")
            })
        };
        let rows: Vec<RowRef<'_>> = page.into_iter().map(row).collect::<Result<_>>()?;
        let there = {
            let table = other.inner().ids();
            // Loaded under the table's lock: it shows every slot that the table names.
            let view = other.inner().view.load_full();
            let slots: Vec<_> = rows.iter().map(|row| table.get(&view.tables.rows, row.id)).collect();
            (view, slots)
        };
        for (row, slot) in rows.iter().zip(there.1) {
            if row.text.is_none_or(str::is_empty) && alike != Alike::Content {
                apart.textless.push(row.id.to_owned());
                continue;
            }
            let Some(slot) = slot else {
                other.inner().ensure_absent(row.id, None)?;
                apart.lacking.push(lacking(row, None, None, false));
                continue;
            };
            let found = there.0.tables.rows.get(slot).ok_or_else(|| {
                other.inner().damage.suspect(slot);
                other.inner().unreadable(row.id, slot, "its row is damaged")
            })?;
            let is_same = is_same(row, &found);
            let (is_alike, vector) = match alike {
                Alike::Content => (true, None),
                Alike::Embedded(model) => {
                    let is_made = there.0.ready.contains(slot) && found.embedding_model == Some(model);
                    let vector =
                        there.0.tables.vectors.get(slot).filter(|_| is_made && found.text == row.text);
                    (is_made, vector.map(<[f32]>::to_vec))
                }
            };
            if !(is_same && is_alike) {
                let only_waits = is_same && !there.0.ready.contains(slot);
                apart.lacking.push(lacking(row, Some(found.ver), vector, only_waits));
            }
        }
        Ok(apart)
    }

    /// Which of up to `limit` rows from the slot `from` on `other` does not have (with `texts`, or has without a text), and where to go on.
    pub(crate) fn beyond(
        &self,
        other: &Self,
        texts: bool,
        from: u32,
        limit: usize,
    ) -> Result<(Vec<Beyond>, Option<u32>)> {
        self.ensure_whole()?;
        other.ensure_whole()?;
        let view = self.inner().view.load_full();
        let mut slots = view.live.iter_from(Slot(from));
        let page: Vec<Slot> = slots.by_ref().take(limit).collect();
        let next = slots.next().map(|slot| slot.0);
        let table = other.inner().ids();
        let there = other.inner().view.load_full();
        let mut found = Vec::new();
        for slot in page {
            // One that is damaged is nobody's to remove.
            let Some(row) = view.tables.rows.get(slot) else { continue };
            let is_there = table.get(&there.tables.rows, row.id).is_some_and(|slot| {
                !texts
                    || there.tables.rows.get(slot).is_none_or(|row| row.text.is_some_and(|t| !t.is_empty()))
            });
            if !is_there {
                other.inner().ensure_absent(row.id, None)?;
                found.push(Beyond {
                    id: ChunkId::from(row.id),
                    ver: row.ver,
                    embedding_model: row.embedding_model.map(str::to_owned),
                    has_vector: view.ready.contains(slot),
                    has_text: row.text.is_some_and(|text| !text.is_empty()),
                });
            }
        }
        Ok((found, next))
    }

    /// Where rows begin that are written from now on.
    pub(crate) fn next_slot(&self) -> u32 {
        self.inner().view.load().tables.vectors.next_slot().0
    }

    /// How many rows there are, and how many of them have a vector; of all tenants.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let view = self.inner().view.load();
        (view.live.len(), view.ready.len())
    }

    /// Whether a row of this id is there and has no text.
    pub(crate) fn is_textless(&self, id: &str) -> bool {
        let table = self.inner().ids();
        let view = self.inner().view.load();
        let row = table.get(&view.tables.rows, id).and_then(|slot| view.tables.rows.get(slot));
        row.is_some_and(|row| row.text.is_none_or(str::is_empty))
    }

    /// About `wanted` rows that have a text and a vector, spread over all of them; the same ones for the same `seed`.
    pub(crate) fn sample(&self, wanted: usize, seed: u64) -> Result<Vec<Chunk>> {
        self.ensure_whole()?;
        let view = self.inner().view.load_full();
        let rows = view.ready.len();
        // Half as many again: some have no text.
        let share = (wanted.saturating_mul(3) / 2).max(1) as f64 / rows.max(1) as f64;
        let bound = (share.min(1.0) * f64::from(u32::MAX)) as u32;
        let is_drawn = |slot: &Slot| (xxh3_64_with_seed(&slot.0.to_le_bytes(), seed) >> 32) as u32 <= bound;
        let mut drawn: Vec<Slot> = view.ready.iter().filter(is_drawn).collect();
        // Where more are drawn than wanted, not the oldest are left.
        drawn.sort_unstable_by_key(|slot| xxh3_64_with_seed(&slot.0.to_le_bytes(), !seed));
        let whole = drawn.into_iter().filter_map(|slot| self.seen(&view, slot).map(|(chunk, _)| chunk));
        let has_text = |chunk: &Chunk| chunk.text.as_ref().is_some_and(|text| !text.trim().is_empty());
        Ok(whole.filter(has_text).take(wanted).collect())
    }

    /// Refuses a collection that was dropped, or that lacks damaged rows.
    pub(crate) fn ensure_whole(&self) -> Result<()> {
        self.inner().ensure_open()?;
        if self.is_degraded() {
            let lacks = format!(
                "collection {:?} lacks rows that were damaged; run `nearfield doctor`, then repair or give them up",
                self.inner().name()
            );
            return Err(Error::new(ErrorKind::Corrupt, lacks));
        }
        Ok(())
    }
}

fn lacking(row: &RowRef<'_>, replaces: Option<Ver>, vector: Option<Vec<f32>>, only_waits: bool) -> Lacking {
    let mut chunk = row.to_chunk(None);
    chunk.embedding_model = None;
    Lacking { chunk, ver: row.ver, replaces, vector, only_waits }
}

fn is_same(one: &RowRef<'_>, other: &RowRef<'_>) -> bool {
    one.text == other.text
        && one.metadata == other.metadata
        && one.document == other.document
        && one.chunk_index == other.chunk_index
        && one.tenant == other.tenant
}
