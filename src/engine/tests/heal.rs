//! Goal: at no moment between the steps of a pass is a live row out of the reach of walks, though rows come and die between
//! them. Method: rows that are far apart, of which some hang on the dead alone once half are dead; the chores of a store in
//! memory are called one step at a time.

use crate::config::{Metric, Options, Schema};
use crate::engine::{Collection, Store};
use crate::record::Chunk;

const SEED: u64 = 17;
const DIM: usize = 64;
const ROWS: usize = 8_000;
const STEP: usize = 64;

/// About normal values; of each row and version the same.
fn chunk(i: usize, version: u64) -> Chunk {
    let mut state = SEED ^ (i as u64) << 20 ^ version << 50;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let vector: Vec<f32> = (0..DIM).map(|_| (0..4).map(|_| next()).sum()).collect();
    Chunk::new(format!("id-{i}")).vector(vector)
}

fn assert_reached(docs: &Collection, told: &str) {
    assert_eq!(docs.check(), Ok(0), "seed {SEED}, {told}");
}

#[test]
fn no_step_of_a_pass_loses_a_row() {
    let store = Store::memory_with(Options::default().build_threads(1)).unwrap();
    let docs =
        store.create_collection("docs", Schema::new(DIM, Metric::L2).m(8).ef_construction(64)).unwrap();
    docs.upsert((0..ROWS).map(|i| chunk(i, 0))).unwrap();
    assert_reached(&docs, "linked");
    let doomed: Vec<String> = (0..ROWS).step_by(2).map(|i| format!("id-{i}")).collect();
    docs.delete(doomed.iter().map(String::as_str)).unwrap();
    assert_reached(&docs, "deleted");
    let mut steps = 0;
    while docs.stats().dead > ROWS / 4 {
        assert!(docs.inner().care(STEP), "{} dead after {steps} steps: no pass was made", docs.stats().dead);
        steps += 1;
        assert_reached(&docs, &format!("step {steps}"));
        if steps % 4 == 0 {
            let changed = (0..10).map(|at| chunk((steps * 31 + at * 7) % ROWS, steps as u64));
            docs.upsert(changed).unwrap();
            let more: Vec<String> =
                (0..60).map(|at| format!("id-{}", (steps * 130 + at * 6) % ROWS + 1)).collect();
            docs.delete(more.iter().map(String::as_str)).unwrap();
            assert_reached(&docs, &format!("written after step {steps}"));
        }
    }
    assert!(steps > 20, "only {steps} steps");
    docs.heal().unwrap();
    assert_reached(&docs, "healed");
}
