//! Graphs of every size and shape: none, one and two rows, the least and the greatest `m`, a line, one thread and four.

use super::super::links::Lists;
use super::bed::{Bed, K, Random};
use crate::graph::Walk;
use crate::ids::{Level, Slot};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

const SEED: u64 = 21;

#[test]
fn no_rows_one_row_and_two_rows() {
    let mut bed = Bed::empty(3, 16, 8);
    assert!(bed.search(&[1.0, 0.0, 0.0], 5, Walk::All).0.is_empty());
    assert_eq!((bed.check(), bed.mend(), bed.heal(10)), (Ok(0), 0, 1));
    bed.insert(&[vec![1.0, 0.0, 0.0]], 1);
    assert_eq!(bed.search(&[0.0, 1.0, 0.0], 5, Walk::All).0, [Slot(0)]);
    assert_eq!((bed.check(), bed.mend(), bed.heal(10)), (Ok(0), 0, 1));
    bed.insert(&[vec![0.0, 1.0, 0.0]], 1);
    assert_eq!(bed.search(&[0.0, 1.0, 0.0], 5, Walk::All).0, [Slot(1), Slot(0)]);
    assert_eq!(bed.search(&[0.0, 1.0, 0.0], 1, Walk::All).0[0], Slot(1));
    assert_eq!((bed.links(Slot(0)), bed.links(Slot(1))), (vec![Slot(1)], vec![Slot(0)]));
    let only = bed.live.with(&[], &[Slot(1)]);
    for walk in [Walk::InGraph(&only), Walk::FilterFirst(&only)] {
        assert_eq!(bed.search(&[0.0, 1.0, 0.0], 5, walk).0, [Slot(0)]);
    }
    assert_eq!((bed.check(), bed.mend()), (Ok(0), 0));
}

#[test]
fn the_least_and_the_greatest_m() {
    let mut random = Random(SEED);
    let rows = random.clusters(1_500, 12, 10);
    let queries = random.clusters(50, 12, 10);
    for (m, wanted) in [(2, 0.5), (32, 0.999)] {
        let mut bed = Bed::of(&rows, m, 1);
        let lost = bed.check().unwrap();
        assert_eq!(bed.mend(), lost);
        assert_eq!(bed.check(), Ok(0), "m {m}, seed {SEED}: {lost} lost");
        let longest = bed.live.iter().map(|s| bed.links(s).len()).max();
        assert_eq!(longest, Some(2 * m), "m {m}");
        let recall = bed.mean_recall(&queries, 200);
        assert!(recall >= wanted, "m {m}, seed {SEED}: recall {recall}, {lost} were lost");
    }
}

#[test]
fn rows_on_a_line_are_found_from_any_end() {
    // Sorted, reversed and shuffled: the order of inserts decides which links are long.
    let points: Vec<Vec<f32>> = (0..2_000).map(|i| vec![i as f32, 2.0 * i as f32, 0.0]).collect();
    let mut shuffled = points.clone();
    let mut random = Random(SEED);
    for i in (1..shuffled.len()).rev() {
        shuffled.swap(i, random.below(i + 1));
    }
    let reversed: Vec<_> = points.iter().rev().cloned().collect();
    for (order, rows) in [("sorted", points), ("reversed", reversed), ("shuffled", shuffled)] {
        let mut bed = Bed::of(&rows, 8, 1);
        let lost = bed.mend();
        assert_eq!(bed.check(), Ok(0), "{order}: {lost} lost");
        let queries: Vec<_> = rows.iter().step_by(40).cloned().collect();
        let recall = bed.mean_recall(&queries, 64);
        assert!(recall >= 0.95, "{order}, seed {SEED}: recall {recall}, {lost} lost");
    }
}

#[test]
fn every_slot_is_reachable_after_a_build_with_one_thread_and_with_four() {
    let mut random = Random(SEED);
    let rows = random.clusters(4_000, 24, 40);
    let queries = random.clusters(60, 24, 40);
    let mut recalls = Vec::new();
    for threads in [1, 4] {
        let mut bed = Bed::of(&rows, 8, threads);
        let lost = bed.mend();
        assert_eq!(bed.check(), Ok(0), "{threads} threads, seed {SEED}: mend had {lost} to fix");
        assert!(lost <= 2, "{threads} threads, seed {SEED}: mend had {lost} of 4000 to fix");
        let slots: Vec<Slot> = bed.live.iter().step_by(4).collect();
        assert_eq!(bed.unfound(&slots, 64), [], "{threads} threads, seed {SEED}: mend had {lost} to fix");
        recalls.push(bed.mean_recall(&queries, 100));
    }
    assert!(recalls.iter().all(|r| *r >= 0.97), "seed {SEED}: recall with 1 and 4 threads {recalls:?}");
    assert!((recalls[0] - recalls[1]).abs() <= 0.01, "seed {SEED}: recall with 1 and 4 threads {recalls:?}");
}

#[test]
fn no_link_leads_to_a_node_before_its_own_links_do() {
    // A reader follows every link of level 0 while rows are linked; where it leads there must be a way on.
    let rows = Random(SEED).clusters(5_000, 16, 20);
    let mut bed = Bed::empty(16, 16, rows.len());
    let slots = bed.push(&rows);
    let linking = AtomicBool::new(true);
    let (mut looks, mut dead_ends) = (0u64, BTreeSet::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            bed.link(&slots, 2);
            linking.store(false, Ordering::Release);
        });
        let blocks = bed.graph.blocks.load();
        let list = |slot: Slot| Lists(&blocks).list(slot, Level(0));
        while linking.load(Ordering::Acquire) {
            for next in slots.iter().flat_map(|s| list(*s).iter()) {
                looks += 1;
                // The first two have nobody to link to at first.
                if next.0 > 1 && list(next).iter().next().is_none() {
                    dead_ends.insert(next);
                }
            }
        }
    });
    assert!(
        dead_ends.is_empty(),
        "seed {SEED}: in {looks} looks, {dead_ends:?} were linked to before they had a link"
    );
    assert!(looks > 10_000, "only {looks} looks while 5,000 rows were linked");
}

#[test]
fn all_rows_die_and_others_come() {
    let mut random = Random(SEED);
    let rows = random.clusters(1_200, 10, 6);
    let queries = random.clusters(40, 10, 6);
    for heals in [false, true] {
        let mut bed = Bed::empty(10, 8, 2_400);
        let old = bed.insert(&rows[..600], 1);
        bed.delete(&old);
        if heals {
            assert_eq!(bed.heal(100), 1);
            assert_eq!(bed.mend(), 0);
        }
        let new = bed.insert(&rows[600..], 1);
        bed.heal(usize::MAX - 1);
        bed.mend();
        assert_eq!(bed.check(), Ok(0), "healed {heals}");
        bed.assert_healed("after others came");
        assert_eq!(bed.unfound(&new, 64), [], "healed {heals}, seed {SEED}");
        let recall = bed.mean_recall(&queries, 64);
        assert!(recall >= 0.98, "healed {heals}, seed {SEED}: recall {recall}");
        for query in &queries {
            let found = bed.search(query, 20, Walk::All).0;
            assert!(found.len() >= K && found.iter().all(|s| bed.live.contains(*s)), "seed {SEED}");
        }
    }
}
