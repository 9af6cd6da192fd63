//! Goal: a power loss at any instant of any run leaves a store that opens with every acknowledged write, whole batches, and
//! nothing else (L1 to L3, L5, L12 to L15, L19). Method: a run on the simulated disk is walked through again operation by
//! operation; at each the power goes, the image is opened and compared with the model.
//!
//! `NEARFIELD_SEED` runs one seed alone; `NEARFIELD_CRASH=long` runs as many as a release needs.

use super::check::{Checked, Files, recover, start_of, swept};
use super::model::{World, options};
use crate::config::{Durability, Options};
use crate::disk::Disk;
use crate::disk::sim::Loss;
use crate::engine::Store;
use crate::error::ErrorKind;
use std::sync::Arc;

/// Begins a run.
type Make = fn(u64, Options) -> World;

/// Whether this is the run of a release.
pub(super) fn is_long() -> bool {
    std::env::var("NEARFIELD_CRASH").is_ok_and(|value| value == "long")
}

/// The seeds of a run: one that is named, or all from `first` on until `goal` is reached.
pub(super) fn seeds(first: u64) -> impl Iterator<Item = u64> {
    let named = std::env::var("NEARFIELD_SEED").ok().and_then(|seed| seed.parse().ok());
    (named.unwrap_or(first)..).take(if named.is_some() { 1 } else { usize::MAX })
}

fn crash_everywhere(seed: u64, durability: Durability, make: Make) -> Checked<usize> {
    let mut world = make(seed, options(durability));
    let n = 5 + world.random.below(36);
    world.walk(n);
    let (mut replay, mut files, mut images) = (world.disk.replay(), Files::default(), 0);
    loop {
        let at = replay.operations();
        for (nth, loss) in Loss::ALL.into_iter().enumerate() {
            let dice = seed ^ at << 8 ^ nth as u64;
            let image = replay.image(loss, dice);
            let told = |e: String| format!("seed {seed}, {durability}, {loss:?} in operation {at}: {e}");
            files.look(&image).map_err(told)?;
            let (store, found) = recover(&image, &world.options, world.possible(at)).map_err(told)?;
            images += 1;
            if (dice ^ dice >> 7).is_multiple_of(16) {
                go_on(&image, store, &world, at, found).map_err(told)?;
            }
        }
        if !replay.step() {
            return Ok(images);
        }
    }
}

/// L6, L15: what was recovered stays so, and a checkpoint leaves nothing over.
fn go_on(
    image: &crate::disk::sim::SimDisk,
    store: crate::Store,
    world: &World,
    at: u64,
    found: usize,
) -> Checked {
    store.checkpoint().map_err(|e| format!("checkpoint after recovery: {e}"))?;
    swept(image, &store)?;
    let start = start_of(&store)?;
    drop(store);
    let mut point = world.possible(at)[found].clone();
    (point.state, point.token, point.ver) = (start.state, start.token, start.ver);
    recover(image, &world.options, &[point]).map(drop)
}

fn run(first: u64, durability: Durability, make: Make, goal: usize) {
    let (mut images, mut runs) = (0, 0);
    let started = std::time::Instant::now();
    for seed in seeds(first) {
        images += crash_everywhere(seed, durability, make).unwrap_or_else(|e| panic!("{e}"));
        runs += 1;
        if images >= goal {
            break;
        }
    }
    println!(
        "crash, {durability}: {images} images of {runs} runs from seed {first}, {:.1?}",
        started.elapsed()
    );
}

#[test]
fn l1_l2_l3_l5_acknowledged_writes_survive_a_power_loss_at_any_operation() {
    run(1, Durability::Durable, World::new, if is_long() { 300_000 } else { 16_000 });
}

#[test]
fn l2_a_power_loss_takes_only_the_end_of_buffered_writes() {
    run(1_000_001, Durability::Buffered, World::new, if is_long() { 30_000 } else { 4_000 });
}

/// What is dirty and buried is looked at in `engine/tap/tests/model.rs`.
#[test]
fn l1_l2_l3_l5_hold_in_a_store_with_a_mirror() {
    run(2_000_001, Durability::Durable, World::attached, if is_long() { 60_000 } else { 3_000 });
}

#[test]
fn a_store_that_lost_its_manifests_is_not_taken_for_a_new_one() {
    for is_removed in [true, false] {
        let mut world = World::new(7, options(Durability::Durable));
        world.walk(20);
        world.store = None;
        let disk = world.disk;
        for name in disk.files().keys().filter(|name| name.starts_with("manifest-")) {
            if is_removed { disk.remove(name) } else { disk.truncate(name, 40) }.unwrap();
        }
        let before = disk.contents();
        let error = Store::open_still(Arc::new(disk.clone()), world.options).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!(disk.contents(), before, "nothing was changed");
    }
}
