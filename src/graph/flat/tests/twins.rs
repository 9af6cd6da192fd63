//! Equal rows: one is a node, the others hang on it, and nobody suffers.

use super::super::levels::level_of;
use super::super::links::List;
use super::bed::{Bed, Random};
use crate::graph::Walk;
use crate::ids::Slot;
use crate::sets::SlotBits;
use std::collections::BTreeSet;

const SEED: u64 = 31;
const DIM: usize = 16;

#[test]
fn ten_thousand_equal_rows_leave_the_others_alone() {
    let mut random = Random(SEED);
    let others = random.clusters(1_000, DIM, 12);
    let queries = random.clusters(60, DIM, 12);
    let equal = random.vector(DIM);
    // The others come before, between and after the equal ones.
    let mut rows: Vec<Vec<f32>> = others[..400].to_vec();
    for (i, other) in others[400..800].iter().enumerate() {
        rows.extend(std::iter::repeat_n(equal.clone(), 25));
        rows.push(other.clone());
        assert_eq!(rows.len(), 400 + 26 * (i + 1));
    }
    rows.extend_from_slice(&others[800..]);
    let mut bed = Bed::of(&rows, 8, 2);
    bed.mend();
    assert_eq!(bed.check(), Ok(0));

    let (equals, different): (Vec<Slot>, Vec<Slot>) =
        bed.live.iter().partition(|s| bed.vectors.get(*s).unwrap() == equal);
    assert_eq!(equals.len(), 10_000);
    // Each equal slot is a node or in one chain; a chain holds nothing else. The two threads may make a node each.
    let mut chained = BTreeSet::new();
    for &node in &equals {
        for twin in bed.chain(node) {
            assert!(chained.insert(twin), "slot {} hangs on two chains", twin.0);
            assert_eq!(bed.vectors.get(twin).unwrap(), equal, "slot {} is no twin", twin.0);
            let links: usize =
                (0..5).map(|level| bed.with_list(twin.0, level, |l| own_links(twin, level, l))).sum();
            assert_eq!(links, 0, "slot {} hangs on a chain and is a node", twin.0);
        }
    }
    assert!(chained.len() >= 9_990, "only {} of the equal rows hang on a chain", chained.len());
    assert!(different.iter().all(|s| bed.chain(*s).is_empty()), "a row without twins has a chain");

    // All of them, as wide a beam as there are: each is found.
    let live = bed.live.clone();
    for walk in [Walk::All, Walk::InGraph(&live)] {
        let found: BTreeSet<Slot> = bed.search_for(&equal, 10_050, 10_050, walk).0.into_iter().collect();
        let missed = equals.iter().filter(|s| !found.contains(s)).count();
        assert_eq!(missed, 0, "equal rows that a search as wide as all misses");
    }
    // Each alone, by a set that holds it alone.
    for &slot in equals.iter().step_by(97) {
        let only = SlotBits::default().with(&[slot], &[]);
        assert_eq!(bed.search(&equal, 10, Walk::InGraph(&only)).0, [slot]);
    }
    let unfound = bed.unfound(&different, 64).len();
    assert_eq!(unfound, 0, "seed {SEED}: so many of the 1,000 others are not found by their own vector");

    // Queries among the others see what they would see without the equal ones.
    let others_only = SlotBits::default().with(&different, &[]);
    let mut alone = Bed::of(&others, 8, 1);
    let mut with_equals = 0.0;
    for query in &queries {
        let (found, _) = bed.search(query, 64, Walk::InGraph(&others_only));
        with_equals += bed.recall(query, &others_only, &found) / queries.len() as f64;
    }
    let without = alone.mean_recall(&queries, 64);
    assert!(with_equals >= without - 0.005, "seed {SEED}: {with_equals} beside equal rows, {without} alone");
}

/// Links of `slot` on `level`; below its level the list is another slot's.
fn own_links(slot: Slot, level: u8, list: List<'_>) -> usize {
    if level > level_of(slot).0 { 0 } else { list.iter().count() }
}

/// 200 rows, 50 of them equal, and the node that carries the longest chain.
fn equal_among_others() -> (Bed, Vec<f32>, Slot) {
    let mut random = Random(SEED);
    let others = random.clusters(150, DIM, 4);
    let equal = random.vector(DIM);
    let mut rows = others[..100].to_vec();
    rows.extend(std::iter::repeat_n(equal.clone(), 50));
    rows.extend_from_slice(&others[100..]);
    let bed = Bed::of(&rows, 8, 1);
    let node = bed.live.iter().max_by_key(|s| bed.chain(*s).len()).unwrap();
    assert!(bed.chain(node).len() >= 40, "the longest chain has {}", bed.chain(node).len());
    (bed, equal, node)
}

fn assert_all_found(bed: &mut Bed, equal: &[f32], told: &str) {
    let live = bed.live.clone();
    let wanted: BTreeSet<Slot> = live.iter().filter(|s| bed.vectors.get(*s).unwrap() == equal).collect();
    for walk in [Walk::All, Walk::InGraph(&live), Walk::FilterFirst(&live)] {
        let found: BTreeSet<Slot> =
            bed.search_for(equal, 200, 200, walk).0.into_iter().filter(|s| live.contains(*s)).collect();
        let missed: Vec<_> = wanted.difference(&found).collect();
        assert!(missed.is_empty(), "{told}: {missed:?} are not found");
    }
}

#[test]
fn a_twin_takes_the_place_of_a_dead_node() {
    for survivors in [0, 1, 2, 3, 49] {
        let (mut bed, equal, node) = equal_among_others();
        let chain = bed.chain(node);
        bed.delete(&[node]);
        let keep = survivors.min(chain.len());
        // From the end: those at the head of the chain die.
        bed.delete(&chain[..chain.len() - keep]);
        assert_all_found(&mut bed, &equal, "before the heal");
        bed.heal(usize::MAX - 1);
        bed.assert_healed("after the heal");
        if keep > 0 {
            assert_eq!(bed.chain(node), [], "the dead node keeps its chain");
        }
        let left: Vec<Slot> = chain[chain.len() - keep..].to_vec();
        for &slot in &left {
            bed.chain(slot);
        }
        let carried: usize = left.iter().map(|s| bed.chain(*s).len()).sum();
        if keep > 0 {
            assert_eq!(carried, keep - 1, "one of {keep} twins is the node, the others hang on it");
        }
        assert_all_found(&mut bed, &equal, "after the heal");
        bed.mend();
        assert_eq!(bed.check(), Ok(0));
        assert_all_found(&mut bed, &equal, "after the mend");
    }
}

#[test]
fn heir_after_heir_dies_and_the_chain_lives() {
    let (mut bed, equal, _) = equal_among_others();
    loop {
        let equals: Vec<Slot> = bed.live.iter().filter(|s| bed.vectors.get(*s).unwrap() == equal).collect();
        let Some(node) = equals.iter().copied().max_by_key(|s| bed.chain(*s).len()) else { break };
        bed.delete(&[node]);
        bed.heal(usize::MAX - 1);
        bed.mend();
        assert_eq!(bed.check(), Ok(0), "{} equal rows left", equals.len() - 1);
        bed.assert_healed("an heir died");
        assert_all_found(&mut bed, &equal, "an heir died");
    }
}

#[test]
fn twins_of_a_node_that_only_the_dead_name_are_not_lost() {
    // The node and everything that links to it die; its twins live on.
    let (mut bed, equal, node) = equal_among_others();
    let named: Vec<Slot> = bed.live.iter().filter(|s| bed.links(*s).contains(&node)).collect();
    let twins = bed.chain(node);
    bed.delete(&named);
    bed.delete(&[node]);
    assert!(twins.iter().all(|t| bed.live.contains(*t)));
    bed.heal(usize::MAX - 1);
    bed.mend();
    assert_eq!(bed.check(), Ok(0));
    assert_all_found(&mut bed, &equal, "after heal and mend");
    let nodes = twins.iter().filter(|t| !bed.live.iter().any(|s| bed.chain(s).contains(t))).count();
    assert!(nodes <= 2, "{nodes} of {} twins became nodes of their own: they flood the lists", twins.len());
}

#[test]
fn new_twins_of_a_dead_node_are_found() {
    let (mut bed, equal, node) = equal_among_others();
    let chain = bed.chain(node);
    bed.delete(&chain);
    bed.delete(&[node]);
    let new = bed.insert(&vec![equal.clone(); 20], 1);
    assert_all_found(&mut bed, &equal, "before the heal");
    bed.heal(7);
    bed.mend();
    assert_eq!(bed.check(), Ok(0));
    assert_eq!(bed.unfound(&new, 64), []);
    assert_all_found(&mut bed, &equal, "after the heal");
}

#[test]
fn mending_makes_no_ring_of_a_chain_whose_node_walks_still_find() {
    // A young twin on an upper level inherits the chain, and loses its links on level 0 alone. Older twins come to be mended
    // first, and a walk leads them to the very node that they hang on.
    let (mut bed, equal, node) = equal_among_others();
    let chain = bed.chain(node);
    let heir = chain.iter().copied().filter(|s| level_of(*s).0 > 0).max().unwrap();
    let dead: Vec<Slot> = chain.iter().copied().filter(|s| *s > heir).chain([node]).collect();
    bed.delete(&dead);
    bed.heal(usize::MAX - 1);
    assert_eq!(bed.check(), Ok(0));
    let twins = bed.chain(heir);
    assert!(!twins.is_empty() && twins.iter().all(|t| *t < heir), "seed {SEED}: {twins:?} on {heir:?}");
    for slot in (0..200).map(Slot) {
        let kept: Vec<Slot> = bed.links(slot).into_iter().filter(|s| *s != heir).collect();
        bed.with_list(slot.0, 0, |l| l.store(kept.into_iter()));
    }
    assert_eq!(bed.mend(), twins.len() + 1);
    assert_eq!(bed.check(), Ok(0));
    for slot in bed.live.clone().iter() {
        bed.chain(slot);
    }
    assert_all_found(&mut bed, &equal, "after the mend");
}

#[test]
fn mending_makes_no_ring_of_a_twin_that_lists_name() {
    // Lists that came from a file that lies: in place of the node they name one of its twins. The node is the youngest, so
    // that the others come to be mended before it.
    let (mut bed, _, node) = equal_among_others();
    bed.delete(&[node]);
    bed.heal(usize::MAX - 1);
    let node = bed.live.iter().max_by_key(|s| bed.chain(*s).len()).unwrap();
    let chain = bed.chain(node);
    let named = chain[chain.len() / 2];
    assert!(chain.iter().all(|s| *s < node), "seed {SEED}: {chain:?} on {node:?}");
    assert!(bed.graph.entry().is_some_and(|(s, _)| s != node), "seed {SEED}");
    for slot in (0..200).map(Slot) {
        let links: Vec<Slot> =
            bed.links(slot).into_iter().map(|s| if s == node { named } else { s }).collect();
        bed.with_list(slot.0, 0, |l| l.store(links.into_iter()));
    }
    assert!(bed.mend() >= chain.len() - 1);
    for slot in bed.live.clone().iter() {
        bed.chain(slot);
    }
    assert_eq!(bed.check(), Ok(0));
}
