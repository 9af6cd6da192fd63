//! Healing: after a whole pass no live list names a dead slot, however small its steps, and the graph is as good as new.

use super::bed::{Bed, Random};
use crate::ids::Slot;

const SEED: u64 = 41;
const DIM: usize = 20;

fn rows_and_queries() -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let mut random = Random(SEED);
    let mut rows = random.clusters(3_000, DIM, 25);
    // A tenth has a twin.
    for i in (0..3_000).step_by(10) {
        rows[i] = rows[(i + 1_501) % 3_000].clone();
    }
    let queries = random.clusters(60, DIM, 25);
    (rows, queries)
}

#[test]
fn small_steps_promise_what_one_pass_does() {
    let (rows, queries) = rows_and_queries();
    let mut recalls = Vec::new();
    for budget in [usize::MAX - 1, 64, 7, 1] {
        let mut bed = Bed::of(&rows, 8, 1);
        bed.mend();
        let dead = Random(SEED).sample(&bed.live, 2);
        bed.delete(&dead);
        let steps = bed.heal(budget);
        assert_eq!(steps, bed.live.len().div_ceil(budget), "a step heals as many slots as it may");
        bed.assert_healed(&format!("budget {budget}"));
        let lost = bed.mend();
        bed.assert_healed(&format!("budget {budget}, mended"));
        assert_eq!(bed.check(), Ok(0), "budget {budget}, seed {SEED}: mend had {lost} to fix");
        let live: Vec<Slot> = bed.live.iter().collect();
        assert_eq!(bed.unfound(&live, 64), [], "budget {budget}, seed {SEED}: mend had {lost} to fix");
        recalls.push(bed.mean_recall(&queries, 64));
    }
    let survivors: Vec<Vec<f32>> = {
        let bed = Bed::of(&rows, 8, 1);
        let dead = Random(SEED).sample(&bed.live, 2);
        rows.iter().zip(0..).filter(|(_, i)| !dead.contains(&Slot(*i))).map(|(r, _)| r.clone()).collect()
    };
    let fresh = Bed::of(&survivors, 8, 1).mean_recall(&queries, 64);
    for recall in &recalls {
        assert!(*recall >= fresh - 0.01, "seed {SEED}: recall {recalls:?} healed, {fresh} built anew");
    }
}

#[test]
fn rows_may_come_and_go_between_steps() {
    let (rows, queries) = rows_and_queries();
    let mut random = Random(SEED + 1);
    let mut bed = Bed::of(&rows[..2_000], 8, 1);
    let dead = random.sample(&bed.live, 3);
    bed.delete(&dead);
    let gone = bed.gone();
    bed.hand_over(&gone, 50);
    let mut from = Some(Slot(0));
    let mut new = rows[2_000..].chunks(20);
    while let Some(slot) = from {
        from = bed.heal_step(&gone, slot, 50);
        if let Some(rows) = new.next() {
            bed.insert(rows, 1);
            let more = random.sample(&bed.live, 100);
            bed.delete(&more);
        }
        // Mid-way nothing is broken, though some lists still name the dead.
        assert_eq!(bed.check(), Ok(0), "seed {SEED}: lost before slot {}", slot.0);
    }
    // Who died on the way is still walked through, so it may not lead to the gone either.
    for slot in bed.gone().iter().filter(|s| !gone.contains(*s)).chain(bed.live.iter()) {
        let named: Vec<Slot> = bed.links(slot).into_iter().filter(|s| gone.contains(*s)).collect();
        assert_eq!(named, [], "seed {SEED}: slot {} names the gone", slot.0);
    }
    bed.heal(50);
    bed.assert_healed("after a pass without writes");
    let lost = bed.mend();
    assert_eq!(bed.check(), Ok(0), "mend had {lost} to fix");
    let live: Vec<Slot> = bed.live.iter().collect();
    assert_eq!(bed.unfound(&live, 64), [], "seed {SEED}: mend had {lost} to fix");
    let recall = bed.mean_recall(&queries, 64);
    assert!(recall >= 0.97, "seed {SEED}: recall {recall}");
}

#[test]
fn one_survivor_and_few_survivors_are_found() {
    let (rows, _) = rows_and_queries();
    for kept in [1, 2, 40] {
        let mut bed = Bed::of(&rows, 8, 1);
        let live: Vec<Slot> = bed.live.iter().collect();
        let mut random = Random(SEED);
        let mut survivors: Vec<Slot> = (0..kept).map(|_| live[random.below(live.len())]).collect();
        survivors.sort_unstable();
        survivors.dedup();
        let dead: Vec<Slot> = live.into_iter().filter(|s| !survivors.contains(s)).collect();
        bed.delete(&dead);
        bed.heal(16);
        bed.mend();
        bed.assert_healed("few survivors");
        assert_eq!(bed.check(), Ok(0), "{kept} kept");
        assert_eq!(bed.unfound(&survivors, 64), [], "{kept} kept, seed {SEED}");
    }
}

#[test]
fn pass_after_pass_loses_nothing() {
    let mut random = Random(SEED);
    let rows = random.clusters(4_000, 32, 40);
    let queries = random.clusters(60, 32, 40);
    let mut bed = Bed::of(&rows, 16, 1);
    let mut doomed = random.sample(&bed.live, 2);
    for i in (1..doomed.len()).rev() {
        doomed.swap(i, random.below(i + 1));
    }
    for part in doomed.chunks(250) {
        bed.delete(part);
        bed.heal(usize::MAX - 1);
        let (lost, live) = (bed.mend(), bed.live.len());
        let recall = bed.mean_recall(&queries, 64);
        assert_eq!(lost, 0, "seed {SEED}, {live} live: so many lost by the pass");
        assert!(recall >= 0.97, "seed {SEED}, {live} live: recall {recall}");
    }
}
