//! Goal: recovery may be cut short anywhere, again and again, and the store that comes out of it is as good as any (L6).
//! Method: images of a run are opened and written to; then the power goes in each operation of that, and in each operation of
//! the recovery from there.

use super::check::{Checked, recover, state_of};
use super::crash::{is_long, seeds};
use super::model::{World, options};
use crate::config::Durability;
use crate::disk::sim::{Loss, Random};

/// Power losses before the one that is looked at.
const DEPTH: usize = 3;

struct Nest {
    random: Random,
    /// Images opened, by the number of power losses before.
    images: [usize; DEPTH + 1],
}

impl Nest {
    /// Loses power `times` in `world`, and at every operation of what follows.
    fn break_in(&mut self, world: &World, depth: usize, times: usize) -> Checked {
        for _ in 0..times {
            let mut replay = world.disk.replay();
            let at = self.random.next() % (world.disk.operations() + 1);
            while replay.operations() < at && replay.step() {}
            let (loss, dice) = (Loss::ALL[self.random.below(Loss::ALL.len())], self.random.next());
            let image = replay.image(loss, dice);
            let told = |e: String| format!("{loss:?} in operation {at}, {depth} deep: {e}");
            let possible = world.possible(at);
            let (store, found) = recover(&image, &world.options, possible).map_err(told)?;
            let mut inner =
                World::recovered(image, store, possible, self.random.next(), world.options.clone());
            inner.remember(possible[found].state.clone(), true);
            inner.walk(2);
            self.everywhere(&inner, depth).map_err(told)?;
        }
        Ok(())
    }

    fn everywhere(&mut self, world: &World, depth: usize) -> Checked {
        let mut replay = world.disk.replay();
        loop {
            let at = replay.operations();
            for loss in [Loss::Unsynced, Loss::ALL[1 + self.random.below(Loss::ALL.len() - 1)]] {
                let image = replay.image(loss, self.random.next());
                let told = |e| format!("then {loss:?} in operation {at}: {e}");
                let (store, _) = recover(&image, &world.options, world.possible(at)).map_err(told)?;
                state_of(&store)?;
                self.images[depth] += 1;
            }
            if !replay.step() {
                break;
            }
        }
        if depth < DEPTH { self.break_in(world, depth + 1, 1) } else { Ok(()) }
    }
}

fn run(first: u64, durability: Durability, goal: usize) {
    let started = std::time::Instant::now();
    let (mut images, mut runs) = ([0; DEPTH + 1], 0);
    for seed in seeds(first) {
        let mut world = World::new(seed, options(durability));
        world.walk(12);
        let mut nest = Nest { random: Random::new(seed), images };
        nest.break_in(&world, 1, 4).unwrap_or_else(|e| panic!("seed {seed}, {durability}: {e}"));
        (images, runs) = (nest.images, runs + 1);
        if images.iter().sum::<usize>() >= goal {
            break;
        }
    }
    let [_, once, twice, thrice] = images;
    println!(
        "nested, {durability}: {once} images after one power loss, {twice} after two, {thrice} after three; \
         {runs} runs from seed {first}, {:.1?}",
        started.elapsed()
    );
}

#[test]
fn l6_recovery_may_be_cut_short_anywhere() {
    run(2_000_001, Durability::Durable, if is_long() { 20_000 } else { 4_000 });
}

#[test]
fn l6_recovery_of_buffered_writes_may_be_cut_short_anywhere() {
    run(3_000_001, Durability::Buffered, if is_long() { 5_000 } else { 1_000 });
}
