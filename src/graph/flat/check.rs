//! The invariants, checked over all lists. For tests, `verify` and the suspicious.

use super::FlatGraph;
use super::levels::level_of;
use crate::ids::{Level, Slot};
use crate::sets::SlotBits;
use std::collections::HashSet;

impl FlatGraph {
    pub(super) fn check_all(&self, live: &SlotBits) -> Result<usize, String> {
        let blocks = self.blocks.load();
        let lost = self.find_lost(live, &SlotBits::default());
        let in_range = |s: Slot| blocks.get(s.block().index()).is_some_and(|b| s.index() < b.capacity());
        for (b, block) in blocks.iter().enumerate() {
            for index in 0..block.capacity() {
                let slot = Slot((b as u32) << 16 | index as u32);
                // What was healed around keeps its lists; nobody comes by.
                if !lost.is_reached(slot) && !live.contains(slot) {
                    continue;
                }
                for level in (0..=level_of(slot).0).map(Level) {
                    let list = block.list(slot, level);
                    let links: Vec<Slot> = list.iter().collect();
                    let say =
                        |what: String| Err(format!("list of slot {} on level {}: {what}", slot.0, level.0));
                    if let Some(bad) = links.iter().find(|l| !in_range(**l)) {
                        return say(format!("link to slot {}, which does not exist", bad.0));
                    }
                    if links.contains(&slot) {
                        return say("link to itself".into());
                    }
                    if links.iter().collect::<HashSet<_>>().len() != links.len() {
                        return say(format!("the same link twice in {links:?}"));
                    }
                    if let Some(low) = links.iter().find(|l| level_of(**l) < level) {
                        return say(format!(
                            "link to slot {}, which stands on level {}",
                            low.0,
                            level_of(*low).0
                        ));
                    }
                    if !list.is_tight() {
                        return say("a link behind an empty cell".into());
                    }
                }
            }
        }
        Ok(lost.len())
    }
}
