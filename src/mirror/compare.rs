//! The comparison of one collection with one snapshot: fingerprints of ever smaller ranges, then heads, then names.
//!
//! Invariants: ids that are dirty here count on neither side; what is reported differs, and what differs is reported (up to a
//! number, and for as long as a snapshot may be held; then it says so). Changes nothing.
//!
//! Does not know how both sides came to be at one snapshot: [`audit`](super::audit) sees to that.

use super::remote::{Fingerprint, IdRange, Reading};
use super::report::Differences;
use super::trouble::Step;
use crate::engine::tap::Ledger;
use crate::ids::ChunkId;
use crate::record::{Edition, Head, digest};
use std::ops::Range;

const PARTS: usize = 16;
/// Rows of a range that is listed instead of split.
const LIST_ROWS: usize = 64;
/// Ranges in one statement.
const RANGES: usize = 256;
const HEADS: usize = 5_000;
/// Differences that are listed. One comparison after another finds the rest.
pub(super) const DIFFERENCES_MAX: usize = 1_000_000;

/// Rows that are fetched at once.
const SUSPECTS: usize = 500;

/// Rows whose bytes were not what their digests say, when somebody looked.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    pub(super) seed: u64,
    pub(super) here: Vec<ChunkId>,
    pub(super) there: Vec<ChunkId>,
}

/// A run of ids on both sides.
#[derive(Clone, Debug)]
struct Span {
    places: Range<usize>,
    ids: IdRange,
}

/// With [suspects](Suspects) it is deep: their digests are made anew from the bytes of both sides. `is_late`: it must come to its end.
pub(super) async fn compare<G: Reading>(
    reading: &mut G,
    collection: &str,
    ledger: &Ledger,
    deep: Option<&Suspects>,
    is_late: &dyn Fn() -> bool,
) -> Step<Differences> {
    let mut found = Differences { dirty: ledger.dirty().len(), ..Differences::default() };
    let mut level = vec![Span { places: 0..ledger.len(), ids: IdRange::default() }];
    let mut is_root = true;
    while !level.is_empty() && !found.is_cut {
        let mut next = Vec::new();
        for spans in level.chunks(RANGES) {
            let prints = fingerprints(reading, collection, ledger, spans).await?;
            found.ranges += spans.len();
            for (span, remote) in spans.iter().zip(prints) {
                let local = local(ledger, span.places.clone());
                if is_root {
                    (found.local, found.remote) = (local, remote);
                }
                if local == remote {
                    continue;
                }
                if found.len() > 0 && is_late() {
                    found.is_cut = true;
                    break;
                }
                if span.places.len() <= LIST_ROWS || remote.rows == 0 {
                    list(reading, collection, ledger, span, &mut found).await?;
                } else {
                    next.extend(split(span, |place| ledger.head(place).map(|head| head.id)));
                }
            }
        }
        is_root = false;
        level = next;
    }
    if let Some(suspects) = deep {
        look_again(reading, collection, ledger, suspects, &mut found).await?;
    }
    for heads in
        [&mut found.missing_locally, &mut found.missing_remotely, &mut found.hand_edited, &mut found.decayed]
    {
        heads.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    }
    found.stale.sort_unstable_by(|a, b| a.0.id.cmp(&b.0.id));
    found.is_cut |= found.len() >= DIFFERENCES_MAX;
    Ok(found)
}

fn local(ledger: &Ledger, places: Range<usize>) -> Fingerprint {
    let (rows, xor, sum) = ledger.fingerprint(places);
    Fingerprint { rows, xor, sum }
}

async fn fingerprints<G: Reading>(
    reading: &mut G,
    collection: &str,
    ledger: &Ledger,
    spans: &[Span],
) -> Step<Vec<Fingerprint>> {
    let ranges: Vec<IdRange> = spans.iter().map(|span| span.ids.clone()).collect();
    let from = spans.first().and_then(|span| span.ids.from.as_deref());
    let until = spans.last().and_then(|span| span.ids.until.as_deref());
    let dirty = within(ledger.dirty(), from, until);
    Ok(reading.fingerprints(collection, &ranges, dirty).await?)
}

/// The part of sorted ids that lies in a range.
fn within<'a>(ids: &'a [ChunkId], from: Option<&str>, until: Option<&str>) -> &'a [ChunkId] {
    let place = |bound: &str| ids.partition_point(|id| id.as_str() < bound);
    let start = from.map_or(0, place);
    let end = until.map_or(ids.len(), place).max(start);
    &ids[start..end]
}

/// Cuts a run in parts of about as many rows, at ids that are here.
fn split(span: &Span, id: impl Fn(usize) -> Option<ChunkId>) -> Vec<Span> {
    let Range { start, end } = span.places;
    let step = (end - start).div_ceil(PARTS).max(1);
    let mut parts: Vec<Span> = Vec::new();
    let mut from = span.ids.from.clone();
    for place in (start..end).step_by(step) {
        let next = (place + step).min(end);
        let cut = if next < end { id(next).map(|id| id.to_string()) } else { span.ids.until.clone() };
        if next < end && cut.is_none() {
            continue;
        }
        let first = parts.last().map_or(start, |part: &Span| part.places.end);
        parts.push(Span { places: first..next, ids: IdRange { from, until: cut.clone() } });
        from = cut;
    }
    parts
}

async fn list<G: Reading>(
    reading: &mut G,
    collection: &str,
    ledger: &Ledger,
    span: &Span,
    found: &mut Differences,
) -> Step<()> {
    let mut here = span.places.clone().filter_map(|place| ledger.head(place)).peekable();
    let mut rest = span.ids.clone();
    loop {
        let mut there = reading.heads(collection, &rest, HEADS).await?;
        let is_last = there.len() < HEADS;
        rest.from = there.last().map(|head| after(&head.id));
        there.retain(|head| ledger.dirty().binary_search(&head.id).is_err());
        for theirs in there {
            while let Some(ours) = here.next_if(|ours| ours.id < theirs.id) {
                found.missing_remotely.push(ours);
            }
            match here.next_if(|ours| ours.id == theirs.id) {
                ours if theirs.digest.is_none() => {
                    let _ = ours;
                    found.hand_edited.push(theirs);
                }
                Some(ours) => {
                    if differ(&ours, &theirs) {
                        found.stale.push((ours, theirs));
                    }
                }
                None => found.missing_locally.push(theirs),
            }
        }
        if is_last || found.len() >= DIFFERENCES_MAX {
            break;
        }
    }
    found.missing_remotely.extend(here);
    Ok(())
}

fn differ(ours: &Head, theirs: &Head) -> bool {
    (ours.ver, ours.digest) != (theirs.ver, theirs.digest)
}

/// The least id above `id` that the database can hold: its texts have no `\0`.
pub(super) fn after(id: &str) -> String {
    format!("{id}\u{1}")
}

/// Which of those that seemed to be wrong are so at this snapshot.
async fn look_again<G: Reading>(
    reading: &mut G,
    collection: &str,
    ledger: &Ledger,
    suspects: &Suspects,
    found: &mut Differences,
) -> Step<()> {
    for id in &suspects.here {
        let place = ledger.place(id);
        if let Some(head) = ledger.head(place).filter(|head| head.id == *id)
            && ledger.digest_again(place) != head.digest
        {
            found.decayed.push(head);
        }
    }
    let mut edited = Vec::new();
    for ids in suspects.there.chunks(SUSPECTS) {
        for edition in reading.rows(collection, ids).await? {
            let is_dirty = || ledger.dirty().binary_search(&edition.id).is_ok();
            if says_otherwise(&edition, suspects.seed) && !is_dirty() {
                edited.push(edition.head());
            }
        }
    }
    let ids: std::collections::HashSet<ChunkId> = edited.iter().map(|head| head.id.clone()).collect();
    found.stale.retain(|(ours, _)| !ids.contains(&ours.id));
    found.missing_locally.retain(|head| !ids.contains(&head.id));
    found.hand_edited.extend(edited);
    Ok(())
}

/// Whether its bytes are not what its digest says.
pub(super) fn says_otherwise(edition: &Edition, seed: u64) -> bool {
    edition.row.as_ref().is_some_and(|row| digest(row, seed) != edition.stamp.digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(place: usize) -> Option<ChunkId> {
        Some(format!("{place:04}").as_str().into())
    }

    #[test]
    fn parts_cover_the_range_without_gaps() {
        for len in [65, 100, 1_000, 16, 17, 1] {
            let ids = IdRange { from: Some("0000".into()), until: Some("zz".into()) };
            let parts = split(&Span { places: 0..len, ids }, name);
            assert!(parts.len() <= PARTS);
            assert_eq!((parts[0].places.start, parts[parts.len() - 1].places.end), (0, len));
            assert_eq!(parts[0].ids.from.as_deref(), Some("0000"));
            assert_eq!(parts[parts.len() - 1].ids.until.as_deref(), Some("zz"));
            for pair in parts.windows(2) {
                assert_eq!(pair[0].places.end, pair[1].places.start);
                assert_eq!(pair[0].ids.until, pair[1].ids.from);
                assert_eq!(pair[1].ids.from, name(pair[1].places.start).map(|id| id.to_string()));
            }
        }
    }

    #[test]
    fn sorted_ids_are_cut_by_a_range() {
        let ids: Vec<ChunkId> = ["a", "b", "c"].map(ChunkId::from).to_vec();
        for (from, until, len) in [
            (None, None, 3),
            (Some("b"), None, 2),
            (None, Some("b"), 1),
            (Some("b"), Some("c"), 1),
            (Some("c"), Some("a"), 0),
        ] {
            assert_eq!(within(&ids, from, until).len(), len, "{from:?} {until:?}");
        }
        assert!(after("a").as_str() > "a" && after("a").as_str() < "a\u{2}");
    }
}
