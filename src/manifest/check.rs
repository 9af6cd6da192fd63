//! What a manifest must say to be one: names that are ours and fit their entries, ids in order and in range, bounded counts.
//!
//! Invariant: what passes can be used without further doubt about its structure. A manifest is checked before it is written,
//! too, so that none is committed that cannot be read.

use super::format::{FORMAT, HOLES_MAX, MISSING_MAX};
use super::{CollectionEntry, FileEntry, Manifest, Name};
use crate::error::excerpt;
use crate::ids::{BLOCK_SLOTS, BlockId, Seq, Slot};
use crate::limits;

/// Copies of copies, each of them written to.
const ORIGINS_MAX: usize = 1 << 16;

/// What is wrong, with the value.
type Checked = Result<(), String>;

fn expect(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

/// Refuses what no store can be in. `number` is that of the manifest's name.
pub(super) fn check(manifest: &Manifest, number: u64) -> Checked {
    let m = manifest;
    expect(m.format == FORMAT, || format!("its format is {}, not {FORMAT}", m.format))?;
    expect(m.number == number && number > 0, || format!("it has the number {}, not {number}", m.number))?;
    let replay_max = m.seq.0.saturating_add(1);
    expect(m.replay_from.0 <= replay_max, || {
        format!("it replays from {}, beyond its seq {}", m.replay_from, m.seq)
    })?;
    expect(m.holes.len() <= HOLES_MAX, || format!("it has {} holes, more than {HOLES_MAX}", m.holes.len()))?;
    for hole in &m.holes {
        expect(hole.first <= hole.last, || format!("a hole goes from {} to {}", hole.first, hole.last))?;
    }
    ascending("holes", m.holes.windows(2).all(|w| w[0].last < w[1].first))?;
    expect(m.origins.len() <= ORIGINS_MAX, || format!("it has {} origins", m.origins.len()))?;
    ascending("origins", m.origins.windows(2).all(|w| w[0].ver < w[1].ver))?;
    for origin in &m.origins {
        let fits = (1..=i64::MAX as u64).contains(&origin.node) && origin.ver <= m.ver;
        expect(fits, || format!("node {} wrote up to {}, its ver is {}", origin.node, origin.ver, m.ver))?;
    }
    ascending("collections", m.collections.windows(2).all(|w| w[0].number < w[1].number))?;
    let (here, there): (Vec<&str>, Vec<&str>) = m
        .collections
        .iter()
        .map(|c| (c.name.as_str(), c.mirror_name.as_ref().unwrap_or(&c.name).as_str()))
        .unzip();
    for mut names in [here, there] {
        names.sort_unstable();
        for pair in names.windows(2) {
            expect(pair[0] != pair[1], || format!("two collections are called {}", excerpt(pair[0])))?;
        }
    }
    for collection in &m.collections {
        let in_collection = |what| format!("collection {}: {what}", excerpt(&collection.name));
        let number = collection.number;
        expect(number < m.next_collection, || {
            in_collection(format!("its number is {number}, the next is {}", m.next_collection))
        })?;
        check_collection(collection, m.seq).map_err(in_collection)?;
    }
    Ok(())
}

fn check_collection(c: &CollectionEntry, seq_max: Seq) -> Checked {
    for name in std::iter::once(&c.name).chain(&c.mirror_name) {
        let fits = !name.is_empty() && name.len() <= limits::NAME_BYTES_MAX;
        expect(fits, || format!("its name has {} bytes", name.len()))?;
    }
    // Whether this build serves the schema is asked elsewhere: a manifest is no less valid for it.
    c.schema.validate().or_else(|e| if needs_feature(c) { Ok(()) } else { Err(e.to_string()) })?;

    ascending("blocks", c.blocks.windows(2).all(|w| w[0].block < w[1].block))?;
    for entry in &c.blocks {
        rows_fit(entry.block, entry.rows)?;
        named(&entry.file, |name| name == Name::Rows(BlockId(entry.block)))?;
        if let Some(codes) = &entry.codes {
            named(codes, |name| matches!(name, Name::Codes(block, _) if block.0 == entry.block))?;
        }
    }
    ascending("dropped blocks", c.dropped_blocks.windows(2).all(|w| w[0] < w[1]))?;
    let is_dropped = |block: u16| c.dropped_blocks.binary_search(&block).is_ok();
    for entry in &c.blocks {
        expect(!is_dropped(entry.block), || format!("block {} has a file and was dropped", entry.block))?;
    }
    if let Some(head) = &c.head {
        rows_fit(head.block, head.rows)?;
        named(&head.file, |name| matches!(name, Name::HeadRows(_)))?;
        if let Some(codes) = &head.codes {
            named(codes, |name| matches!(name, Name::HeadCodes(_)))?;
        }
        let last = c.blocks.iter().map(|b| b.block).chain(c.dropped_blocks.iter().copied()).max();
        expect(last.is_none_or(|last| last < head.block), || {
            format!("its growing block is {}, not after all others", head.block)
        })?;
        seq_fits(head.seq, seq_max)?;
    }
    if let Some(links) = &c.links {
        named(&links.file, |name| matches!(name, Name::Links(_)))?;
        seq_fits(links.seq, seq_max)?;
    }
    if let Some(sets) = &c.sets {
        named(&sets.file, |name| matches!(name, Name::Sets(_)))?;
        seq_fits(sets.seq, seq_max)?;
    }
    ascending("texts", c.texts.windows(2).all(|w| (w[0].block, w[0].first) < (w[1].block, w[1].first)))?;
    for text in &c.texts {
        named(&text.file, |name| matches!(name, Name::Text(block, _) if block.0 == text.block))?;
        let is_run = text.first < text.end && text.end <= BLOCK_SLOTS as u32;
        expect(is_run && !is_dropped(text.block), || {
            format!("the words of block {} cover {} to {}", text.block, text.first, text.end)
        })?;
    }
    expect(c.missing.len() <= MISSING_MAX, || {
        format!("it misses {} slots, more than {MISSING_MAX}", c.missing.len())
    })?;
    ascending("missing slots", c.missing.windows(2).all(|w| w[0] < w[1]))?;
    for &slot in &c.missing {
        let block = Slot(slot).block();
        expect(!is_dropped(block.0), || format!("slot {slot} is missing from dropped block {}", block.0))?;
    }
    Ok(())
}

fn ascending(what: &str, holds: bool) -> Checked {
    expect(holds, || format!("its {what} are not in ascending order"))
}

fn rows_fit(block: u16, rows: u32) -> Checked {
    expect((1..=BLOCK_SLOTS as u32).contains(&rows), || format!("block {block} has {rows} rows"))
}

fn seq_fits(seq: Seq, seq_max: Seq) -> Checked {
    expect(seq <= seq_max, || format!("a file of seq {seq} is in a state of seq {seq_max}"))
}

/// A name that parses is one of ours, without a folder in it.
fn named(file: &FileEntry, fits: impl FnOnce(Name) -> bool) -> Checked {
    expect(Name::parse(&file.name).is_some_and(fits), || {
        format!("{} is not the name of such a file", excerpt(&file.name))
    })
}

/// Whether all that is wrong with the schema is that this build lacks the second graph.
pub(super) fn needs_feature(c: &CollectionEntry) -> bool {
    use crate::config::{GraphKind, Metric, Schema};
    let other = Schema { graph: GraphKind::Flat, metric: Metric::L2, ..c.schema.clone() };
    c.schema.graph == GraphKind::HnswRs && c.schema.validate().is_err() && other.validate().is_ok()
}
