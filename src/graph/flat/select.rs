//! Choosing links (algorithm 4): keep a candidate unless a nearer chosen one is nearer to it than the node itself.
//!
//! Pruned candidates fill what is left of the list (`keepPrunedConnections`; average degree 19 -> 26, +25 % searches per
//! second at recall .99). At equality a candidate is kept: a strict rule isolates near duplicates.

use crate::codes::{BATCH, CodeTable, QueryCode};
use crate::graph::pool::unpack;
use crate::ids::Slot;
use crate::metrics::Work;

/// Chosen neighbours compared in one step, nearest first: most candidates fall to the first few.
const STEP: usize = 4;

/// Chooses up to `m` of `candidates` (packed, ascending) into `chosen`.
pub(super) fn select(
    codes: &CodeTable,
    candidates: &[u64],
    m: usize,
    row: &mut QueryCode,
    chosen: &mut Vec<u64>,
    work: &mut Work,
) {
    chosen.clear();
    let m = m.min(BATCH);
    let mut pruned = [0u64; BATCH];
    let mut pruned_n = 0;
    let mut slots = [0u32; BATCH];
    for &key in candidates {
        if chosen.len() >= m {
            break;
        }
        if is_covered(codes, key, &slots[..chosen.len()], STEP, row, work) {
            if let Some(place) = pruned.get_mut(pruned_n) {
                *place = key;
                pruned_n += 1;
            }
        } else {
            slots[chosen.len()] = unpack(key).slot.0;
            chosen.push(key);
        }
    }
    let room = m - chosen.len();
    chosen.extend_from_slice(&pruned[..pruned_n.min(room)]);
}

/// Chooses up to `m - held.len()` of `candidates` (packed, ascending) into `chosen`, to stand beside the links `held`.
pub(super) fn fill(
    codes: &CodeTable,
    candidates: &[u64],
    held: &[Slot],
    m: usize,
    row: &mut QueryCode,
    chosen: &mut Vec<u64>,
    work: &mut Work,
) {
    chosen.clear();
    let mut links: Vec<u32> = held.iter().map(|s| s.0).collect();
    let mut pruned = Vec::new();
    for &key in candidates.iter().filter(|&&k| !held.contains(&unpack(k).slot)) {
        if links.len() >= m {
            break;
        }
        if is_covered(codes, key, &links, STEP, row, work) {
            pruned.push(key);
        } else {
            links.push(unpack(key).slot.0);
            chosen.push(key);
        }
    }
    chosen.extend(pruned.into_iter().take(m.saturating_sub(links.len())));
}

/// Which of a full list's candidates (packed, ascending) is dropped: the farthest that a nearer one covers, else the
/// farthest, of those that `drop` does drop; none if it drops none. It is what [`select`] would leave out, found from the far
/// end, where hardly a candidate is not covered.
pub(super) fn victim(
    codes: &CodeTable,
    candidates: &[u64],
    row: &mut QueryCode,
    drop: &mut dyn FnMut(u64) -> bool,
    work: &mut Work,
) -> Option<usize> {
    let mut slots = [0u32; BATCH];
    for (slot, &key) in slots.iter_mut().zip(candidates) {
        *slot = unpack(key).slot.0;
    }
    let far_first = || (1..candidates.len().min(BATCH)).rev();
    far_first()
        .find(|&at| {
            is_covered(codes, candidates[at], &slots[..at], 2 * STEP, row, work) && drop(candidates[at])
        })
        .or_else(|| far_first().find(|&at| drop(candidates[at])))
}

/// Whether one of `nearer` is nearer to the candidate than the node that chooses.
fn is_covered(
    codes: &CodeTable,
    key: u64,
    nearer: &[u32],
    step: usize,
    row: &mut QueryCode,
    work: &mut Work,
) -> bool {
    if nearer.is_empty() {
        return false;
    }
    let candidate = unpack(key);
    codes.query_of(candidate.slot, row);
    let mut out = [0.0; BATCH];
    nearer.chunks(step).any(|part| {
        codes.distances(row, part, &mut out);
        work.distances += part.len() as u64;
        out[..part.len()].iter().any(|&d| d < candidate.distance)
    })
}
