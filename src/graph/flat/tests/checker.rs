//! The checker of invariants can fail: every message is seen once, on a list that was broken on purpose.

use super::super::levels::level_of;
use super::bed::{Bed, Random};
use crate::graph::Walk;
use crate::ids::Slot;

const SEED: u64 = 11;

fn bed() -> Bed {
    let bed = Bed::of(&Random(SEED).clusters(300, 8, 5), 4, 1);
    assert_eq!(bed.check(), Ok(0), "seed {SEED}");
    bed
}

#[test]
fn each_broken_rule_has_its_message() {
    type Break = fn(&Bed);
    // A slot of level 1 or more, to break an upper list.
    fn upper() -> u32 {
        (0..300).find(|s| level_of(Slot(*s)).0 >= 1).unwrap()
    }
    fn low() -> Slot {
        (0..300).map(Slot).find(|s| level_of(*s).0 == 0).unwrap()
    }
    let breaks: [(&str, Break); 6] = [
        ("does not exist", |b| b.with_list(7, 0, |l| l.set(0, Slot(600)))),
        ("does not exist", |b| b.with_list(7, 0, |l| l.set(0, Slot(5 << 16)))),
        ("link to itself", |b| b.with_list(7, 0, |l| l.set(0, Slot(7)))),
        ("the same link twice", |b| {
            b.with_list(7, 0, |l| {
                let first = l.iter().next().unwrap();
                l.set(1, first);
            });
        }),
        ("stands on level 0", |b| b.with_list(upper(), 1, |l| l.set(0, low()))),
        ("behind an empty cell", |b| {
            b.with_list(7, 0, |l| {
                l.store([Slot(1)].into_iter());
                l.set(3, Slot(2));
            });
        }),
    ];
    for (message, break_it) in breaks {
        let bed = bed();
        break_it(&bed);
        let told = bed.check().expect_err(message);
        assert!(told.contains(message), "{told} does not say {message}");
    }
}

#[test]
fn slots_that_no_walk_reaches_are_counted_and_mended() {
    let mut bed = bed();
    let lost = [Slot(40), Slot(41), Slot(120)];
    for slot in bed.live.clone().iter() {
        let kept: Vec<Slot> = bed.links(slot).into_iter().filter(|s| !lost.contains(s)).collect();
        bed.with_list(slot.0, 0, |l| l.store(kept.into_iter()));
    }
    // The entry needs no link.
    let lost: Vec<Slot> =
        lost.into_iter().filter(|s| bed.graph.entry().is_none_or(|(e, _)| e != *s)).collect();
    assert_eq!(bed.check(), Ok(lost.len()), "seed {SEED}");
    assert_eq!(bed.mend(), lost.len());
    assert_eq!(bed.check(), Ok(0));
    assert_eq!(bed.unfound(&lost, 32), []);
    assert_eq!(bed.mend(), 0);
}

#[test]
fn mending_makes_room_in_full_lists() {
    let mut bed = bed();
    let victim = Slot(200);
    assert_ne!(bed.graph.entry().map(|(e, _)| e), Some(victim), "seed {SEED}");
    // Every list is filled up with any links, none of them to the victim.
    let all: Vec<Slot> = bed.live.iter().filter(|s| *s != victim).collect();
    let mut random = Random(SEED);
    for &slot in &all {
        let mut links = bed.links(slot);
        links.retain(|s| *s != victim);
        let room = bed.with_list(slot.0, 0, |l| l.capacity());
        while links.len() < room {
            let more = all[random.below(all.len())];
            if more != slot && !links.contains(&more) {
                links.push(more);
            }
        }
        bed.with_list(slot.0, 0, |l| l.store(links.into_iter()));
    }
    assert_eq!(bed.check(), Ok(1));
    assert_eq!(bed.mend(), 1);
    assert_eq!(bed.check(), Ok(0), "the victim got a place and nobody lost his");
    let query = bed.vectors.get(victim).unwrap().to_vec();
    assert!(bed.search(&query, 64, Walk::All).0.contains(&victim));
}
