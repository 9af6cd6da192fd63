//! The protocol on the twin: by example in `steps.rs`, `faults.rs`, `fallback.rs` and `threads.rs`, on disks that fail in
//! `disk.rs`, by random histories in `model.rs`.

mod disk;
mod fallback;
mod faults;
mod model;
mod steps;
mod switched;
mod threads;

use super::options::MirrorOptions;
use super::sides::{Clock, Sides};
use super::trouble::Step;
use super::twin::{Twin, World, drive};
use crate::config::{Metric, Schema};
use crate::engine::tap::Tap;
use crate::engine::{Collection, Store};
use crate::record::Chunk;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The one collection of most tests.
const DOCS: &str = "docs";

fn schema() -> Schema {
    Schema::new(2, Metric::L2)
}

/// A store with a mirror that nothing drives but the test.
struct Replica {
    store: Store,
    docs: Collection,
    tap: Tap,
    line: Twin,
    options: MirrorOptions,
    clock: Arc<AtomicU64>,
    sides: Sides<Twin>,
}

/// The time that histories begin at: stores take their versions from the machine's clock.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn world() -> Arc<Mutex<World>> {
    Arc::new(Mutex::new(World::new(now_ms())))
}

impl Replica {
    fn new(world: &Arc<Mutex<World>>, options: MirrorOptions) -> Self {
        Self::of(world, schema(), options)
    }

    fn of(world: &Arc<Mutex<World>>, schema: Schema, options: MirrorOptions) -> Self {
        let store = Store::memory();
        let docs = store.create_collection(DOCS, schema).unwrap();
        let (tap, line) = (store.tap(), Twin::new(world.clone()));
        let clock = Arc::new(AtomicU64::new(now_ms()));
        let sides = sides(&tap, &line, &options, &clock);
        Self { store, docs, tap, line, options, clock, sides }
    }

    fn put(&self, id: &str, x: f32) {
        self.docs.upsert([Chunk::new(id).vector([x, 1.0])]).unwrap();
    }

    fn delete(&self, id: &str) {
        self.docs.delete([id]).unwrap();
    }

    /// The process dies and comes back: the store is whole, what the mirror had in mind is what it wrote down.
    fn crash(&mut self) {
        self.line.calm();
        self.sides = sides(&self.tap, &self.line, &self.options, &self.clock);
    }

    /// One step; what follows from its failure is noted as the worker would. A step that hangs is dropped.
    fn run<T>(&mut self, step: impl AsyncFnOnce(&mut Sides<Twin>) -> Step<T>) -> Option<Step<T>> {
        let done = drive(step(&mut self.sides));
        match &done {
            Some(Err(trouble)) => self.sides.note(trouble),
            Some(Ok(_)) => {}
            None => self.sides.note(&super::repair::not_connected(None)),
        }
        done
    }

    /// Connects, verifies, sends and reads until there is nothing left to do.
    fn settle(&mut self) {
        if self.sides.database.is_none() {
            self.run(async |sides| sides.greet().await).unwrap().unwrap();
        }
        self.run(async |sides| sides.pull().await).unwrap().unwrap();
        self.run(async |sides| sides.push_all().await).unwrap().unwrap();
        self.run(async |sides| sides.pull().await).unwrap().unwrap();
    }

    fn x(&self, id: &str) -> Option<f32> {
        self.docs.get(id).unwrap().and_then(|chunk| chunk.vector).map(|vector| vector[0])
    }
}

fn sides(tap: &Tap, line: &Twin, options: &MirrorOptions, clock: &Arc<AtomicU64>) -> Sides<Twin> {
    try_sides(tap, line, options, clock).unwrap()
}

fn try_sides(
    tap: &Tap,
    line: &Twin,
    options: &MirrorOptions,
    clock: &Arc<AtomicU64>,
) -> crate::Result<Sides<Twin>> {
    let clock: Clock = Arc::new({
        let clock = clock.clone();
        move || clock.load(Ordering::Relaxed)
    });
    Sides::new(tap.clone(), Arc::new(line.clone()), options.clone(), clock, 7)
}

/// The content of a row in the database.
fn x_there(world: &Arc<Mutex<World>>, id: &str) -> Option<f32> {
    let world = world.lock();
    world.last(DOCS, id)?.row.as_ref()?.vector.as_ref().map(|vector| vector[0])
}
