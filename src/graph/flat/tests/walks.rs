//! The two walks under a set, called directly: they answer from the set alone, and find what is there to find.

use super::bed::{Bed, K, Random};
use crate::graph::Walk;
use crate::ids::Slot;
use crate::sets::SlotBits;

const SEED: u64 = 51;
const ROWS: usize = 20_000;
const DIM: usize = 24;

/// Percent of the rows in the set, and the least recall of either walk at a beam of 64. At 1 % the set is too thin for
/// filter-first (.64 measured), and the planner scans it.
const GATES: [(usize, f64, f64); 4] = [(50, 0.96, 0.96), (20, 0.99, 0.98), (5, 0.99, 0.96), (1, 0.99, 0.60)];

#[test]
fn walks_under_a_set_answer_from_it_and_find_its_nearest() {
    let mut random = Random(SEED);
    let rows = random.clusters(ROWS, DIM, 100);
    let queries = random.clusters(25, DIM, 100);
    // One thread: two build another graph each time, and a gate on recall would sometimes be missed.
    let mut bed = Bed::of(&rows, 16, 1);
    bed.mend();
    // Rows without structure beyond their cluster are hard: this is what a walk over everything finds.
    let unfiltered = bed.mean_recall(&queries, 64);
    assert!(unfiltered >= 0.95, "seed {SEED}: recall {unfiltered}");
    for (percent, in_graph, filter_first) in GATES {
        let picked: Vec<Slot> = bed.live.iter().filter(|_| random.below(100) < percent).collect();
        let set = SlotBits::default().with(&picked, &[]);
        for (name, walk, wanted) in [
            ("in-graph", Walk::InGraph(&set), in_graph),
            ("filter-first", Walk::FilterFirst(&set), filter_first),
        ] {
            let (mut recall, mut distances) = (0.0, 0);
            for query in &queries {
                let (found, work) = bed.search(query, 64, walk);
                let outside: Vec<_> = found.iter().filter(|s| !set.contains(**s)).collect();
                assert!(outside.is_empty(), "{name} at {percent} %: {outside:?} are not in the set");
                let mut unique = found.clone();
                unique.sort_unstable();
                unique.dedup();
                assert_eq!(unique.len(), found.len(), "{name} at {percent} %: a slot twice");
                assert!(
                    found.len() <= 3 * 64 && (found.len() >= K || name != "in-graph"),
                    "{name} at {percent} %"
                );
                recall += bed.recall(query, &set, &found) / queries.len() as f64;
                distances += work.distances / queries.len() as u64;
            }
            assert!(
                recall >= wanted,
                "{name} at {percent} %, seed {SEED}: recall {recall} for {distances} distances, wanted {wanted}"
            );
        }
    }
}

#[test]
fn twins_of_nodes_outside_the_set_are_found() {
    let mut random = Random(SEED);
    let mut rows = random.clusters(1_000, DIM, 10);
    let copies = rows.clone();
    rows.extend(copies);
    let mut bed = Bed::of(&rows, 8, 1);
    bed.mend();
    // The set holds the copies alone; most of them hang on nodes outside it.
    let second: Vec<Slot> = (1_000..2_000).map(Slot).collect();
    let set = SlotBits::default().with(&second, &[]);
    for slot in second.iter().copied().step_by(5) {
        let query = bed.vectors.get(slot).unwrap().to_vec();
        for (name, walk) in [("in-graph", Walk::InGraph(&set)), ("filter-first", Walk::FilterFirst(&set))] {
            let found = bed.search(&query, 64, walk).0;
            assert!(found.contains(&slot), "{name}: slot {} is not found, seed {SEED}", slot.0);
            assert!(found.iter().all(|s| set.contains(*s)), "{name} answers from outside the set");
        }
    }
}
