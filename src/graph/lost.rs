//! What a look over all lists found: which slots no walk reaches, and how many lists name each of the others. Walks of a
//! look may be told to keep off some slots: what they do not reach is lost as soon as lists are led around those.
//!
//! Looking runs beside linking, so what it found may be out of date: a slot may have been lost since, or be reached again.
//! Neither does harm. Whoever mends looks again until nothing is lost, and a link put in for a slot that is reached is
//! one link more.

use crate::ids::Slot;
use crate::sets::SlotBits;
use std::collections::VecDeque;

/// Lost slots, and what mending them needs to know of the others.
#[derive(Default)]
pub(crate) struct Lost {
    slots: VecDeque<Slot>,
    in_links: Vec<u16>,
    gone: SlotBits,
}

impl Lost {
    /// Room for `slots` slots, none of them reached so far, for walks that keep off those of `gone`.
    pub(super) fn among(slots: usize, gone: &SlotBits) -> Self {
        Self { slots: VecDeque::new(), in_links: vec![0; slots], gone: gone.clone() }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn push(&mut self, slot: Slot) {
        self.slots.push_back(slot);
    }

    pub(super) fn take(&mut self) -> Option<Slot> {
        self.slots.pop_front()
    }

    /// Whether a walk reaches `slot`.
    pub(super) fn is_reached(&self, slot: Slot) -> bool {
        self.links_to(slot) > 0
    }

    /// Whether walks keep off `slot`.
    pub(super) fn is_gone(&self, slot: Slot) -> bool {
        self.gone.contains(slot)
    }

    /// How many lists that are reached name `slot`; 0 if walks keep off it.
    pub(super) fn links_to(&self, slot: Slot) -> u16 {
        self.in_links.get(slot.0 as usize).copied().unwrap_or(0)
    }

    /// One more link to `slot`. True if it is the first by which a walk reaches it.
    pub(super) fn link(&mut self, slot: Slot) -> bool {
        if self.is_gone(slot) {
            return false;
        }
        let Some(n) = self.in_links.get_mut(slot.0 as usize) else { return false };
        *n = n.saturating_add(1);
        *n == 1
    }

    /// One link less.
    pub(super) fn unlink(&mut self, slot: Slot) {
        if let Some(n) = self.in_links.get_mut(slot.0 as usize) {
            *n = n.saturating_sub(1);
        }
    }
}

/// Mends until nothing is lost, or nothing more can be done. Says how many were lost at first.
#[cfg(test)]
pub(super) fn mend_all(
    graph: &dyn super::Graph,
    space: super::Space<'_>,
    live: &SlotBits,
    gone: &SlotBits,
    scratch: &mut super::Scratch,
) -> usize {
    let mut lost_first = None;
    for _ in 0..8 {
        let mut lost = graph.lost(live, gone);
        lost_first.get_or_insert(lost.len());
        let mut mended = 0;
        while lost.len() > 0 {
            mended += graph.mend(space, live, &mut lost, 5, scratch);
        }
        if mended == 0 {
            break;
        }
    }
    lost_first.unwrap_or(0)
}
