//! Goal: runs of a store that a seed repeats, and what each must have left. Method: operations are drawn from the seed and
//! carried out on a store on a simulated disk and on a map; the map is remembered after each, with the disk's clock.

use crate::config::{Durability, Metric, Options, Schema, Tiny};
use crate::disk::sim::{Random, SimDisk};
use crate::engine::files::checkpoint::Scope;
use crate::engine::{Store, Token};
use crate::error::Result;
use crate::filter::Filter;
use crate::ids::Ver;
use crate::record::{Chunk, admit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const DIM: usize = 4;
/// Different ids in one collection.
const IDS: usize = 60;
const DOCUMENTS: usize = 5;
const NAMES: [&str; 3] = ["a", "b", "c"];
pub(super) const LANGS: [&str; 3] = ["en", "de", "fr"];
pub(super) const TENANTS: [&str; 2] = ["t0", "t1"];

pub(super) type Rows = BTreeMap<String, Chunk>;

/// Collections by name.
pub(super) type State = BTreeMap<String, Arc<Rows>>;

/// What was acknowledged, and when.
#[derive(Clone)]
pub(super) struct Point {
    /// Operations of the disk that were done by then.
    pub(super) operations: u64,
    pub(super) state: State,
    pub(super) token: Token,
    pub(super) ver: Ver,
    /// A power loss must not take it back.
    pub(super) is_durable: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Upsert(&'static str, Vec<Chunk>),
    Delete(&'static str, Vec<String>),
    DeleteDocument(&'static str, String, Option<&'static str>),
    DeleteLang(&'static str, &'static str),
    /// Rows that come and ids that go, in one commit.
    Exchange(&'static str, Vec<Chunk>, Vec<String>),
    Create(&'static str),
    /// Two names change places, the second of which may be free.
    Rename(&'static str, &'static str),
    Drop(&'static str),
    Checkpoint(Scope),
    /// Buffered commits to the disk.
    Flush,
    /// Handles dropped, or the store closed, and opened again.
    Reopen {
        close: bool,
    },
}

pub(super) fn schema() -> Schema {
    Schema::new(DIM, Metric::L2)
}

/// Small blocks and small log files; no room is kept free.
pub(super) fn options(durability: Durability) -> Options {
    let tiny = Some(Tiny { block_slots: 16, log_file_bytes: 4096 });
    Options { tiny, durability, disk_reserve_bytes: 0, ..Options::default() }
}

fn vector(random: &mut Random) -> Vec<f32> {
    (0..DIM).map(|_| random.below(2000) as f32 / 1000.0 - 1.0).collect()
}

fn chunk(random: &mut Random) -> Chunk {
    let id = random.below(IDS);
    let mut chunk = Chunk::new(format!("id-{id}"))
        .text("x".repeat(1 + random.below(60)))
        .meta("lang", LANGS[random.below(LANGS.len())])
        .meta("n", random.below(1000) as u64);
    if !random.eighths(1) {
        chunk = chunk.vector(vector(random));
    }
    if random.eighths(5) {
        chunk = chunk.document(format!("doc-{}", random.below(DOCUMENTS)), id as u32);
    }
    if random.eighths(3) {
        chunk = chunk.tenant(TENANTS[random.below(TENANTS.len())]);
    }
    chunk
}

impl Op {
    /// Any operation that the state allows.
    pub(super) fn draw(random: &mut Random, state: &State) -> Self {
        let open: Vec<&'static str> = NAMES.into_iter().filter(|name| state.contains_key(*name)).collect();
        if open.is_empty() || open.len() < NAMES.len() && random.below(20) == 0 {
            let free: Vec<_> = NAMES.into_iter().filter(|name| !state.contains_key(*name)).collect();
            return Self::Create(free[random.below(free.len())]);
        }
        let name = open[random.below(open.len())];
        match random.below(40) {
            0 => Self::Drop(name),
            20 => Self::Rename(name, NAMES[random.below(NAMES.len())]),
            21..=22 => {
                let gone = (0..random.below(6)).map(|_| format!("id-{}", random.below(IDS))).collect();
                Self::Exchange(name, (0..random.below(6)).map(|_| chunk(random)).collect(), gone)
            }
            1..=2 => Self::Reopen { close: true },
            3..=4 => Self::Reopen { close: false },
            5..=7 => Self::Checkpoint(Scope::Seal),
            8..=9 => Self::Checkpoint(Scope::Links),
            10..=11 => Self::Checkpoint(Scope::Whole),
            12 => Self::Flush,
            13..=16 => {
                let n = 1 + random.below(6);
                Self::Delete(name, (0..n).map(|_| format!("id-{}", random.below(IDS))).collect())
            }
            17..=18 => {
                let tenant = if random.eighths(3) { Some(TENANTS[random.below(2)]) } else { None };
                Self::DeleteDocument(name, format!("doc-{}", random.below(DOCUMENTS)), tenant)
            }
            19 => Self::DeleteLang(name, LANGS[random.below(LANGS.len())]),
            _ => {
                let n = 1 + if random.eighths(3) { random.below(30) } else { random.below(4) };
                Self::Upsert(name, (0..n).map(|_| chunk(random)).collect())
            }
        }
    }

    /// The state after it.
    pub(super) fn apply(&self, state: &State) -> State {
        let mut state = state.clone();
        let mut change = |name: &str, change: &dyn Fn(&mut Rows)| {
            change(Arc::make_mut(state.get_mut(name).unwrap()));
        };
        match self {
            Self::Upsert(name, chunks) => change(name, &|rows| {
                rows.extend(chunks.iter().map(|c| (c.id.clone(), c.clone())));
            }),
            Self::Delete(name, ids) => change(name, &|rows| rows.retain(|id, _| !ids.contains(id))),
            Self::DeleteDocument(name, document, tenant) => change(name, &|rows| {
                let of = |c: &Chunk| tenant.is_none() || c.tenant.as_deref() == *tenant;
                rows.retain(|_, c| c.document_id.as_deref() != Some(document) || !of(c));
            }),
            Self::DeleteLang(name, lang) => {
                change(name, &|rows| rows.retain(|_, c| c.metadata["lang"] != *lang))
            }
            Self::Exchange(name, chunks, ids) => change(name, &|rows| {
                rows.extend(chunks.iter().map(|c| (c.id.clone(), c.clone())));
                rows.retain(|id, _| !ids.contains(id));
            }),
            Self::Rename(from, to) => {
                let (one, other) = (state.remove(*from), state.remove(*to));
                state.extend(one.into_iter().map(|rows| ((*to).to_owned(), rows)));
                state.extend(other.into_iter().map(|rows| ((*from).to_owned(), rows)));
            }
            Self::Create(name) => drop(state.insert((*name).to_owned(), Arc::default())),
            Self::Drop(name) => drop(state.remove(*name)),
            Self::Checkpoint(_) | Self::Flush | Self::Reopen { .. } => {}
        }
        state
    }

    /// Carries it out; `Reopen` is left to who holds the store.
    pub(super) fn run(&self, store: &Store) -> Result<()> {
        match self {
            Self::Upsert(name, chunks) => {
                let ack = store.open_collection(name)?.upsert(chunks.clone())?;
                assert_eq!(ack.rejected, 0);
            }
            Self::Delete(name, ids) => {
                store.open_collection(name)?.delete(ids.iter().map(String::as_str))?;
            }
            Self::DeleteDocument(name, document, tenant) => {
                let collection = store.open_collection(name)?;
                let mine = tenant.map_or(collection.clone(), |tenant| collection.tenant(tenant));
                mine.delete_document(document)?;
            }
            Self::DeleteLang(name, lang) => {
                store.open_collection(name)?.delete_where(&Filter::eq("lang", *lang))?;
            }
            Self::Exchange(name, chunks, ids) => {
                let gone = ids.iter().map(|id| id.as_str().into()).collect();
                let rows = chunks.iter().map(|c| admit(c.clone(), DIM, false).unwrap()).collect();
                store.open_collection(name)?.exchange(rows, gone)?;
            }
            Self::Rename(from, to) => {
                let is_taken = from != to && store.open_collection(to).is_ok();
                let changes = [(*from, *to), (*to, *from)];
                store.rename(if is_taken { &changes } else { &changes[..1] })?;
            }
            Self::Create(name) => drop(store.create_collection(name, schema())?),
            Self::Drop(name) => store.drop_collection(name)?,
            Self::Checkpoint(scope) => store.alive.shared.checkpoint(*scope, &|_| {})?,
            Self::Flush => store.alive.shared.line.with_log(|log| log.flush()).unwrap_or(Ok(()))?,
            Self::Reopen { .. } => {}
        }
        Ok(())
    }

    /// Whether all that was acknowledged before is durable after it, even if it is buffered.
    fn settles(&self) -> bool {
        matches!(self, Self::Flush | Self::Reopen { .. } | Self::Checkpoint(Scope::Whole))
    }
}

/// A store on a simulated disk, and all that it has acknowledged.
pub(super) struct World {
    pub(super) disk: SimDisk,
    pub(super) options: Options,
    pub(super) store: Option<Store>,
    pub(super) points: Vec<Point>,
    pub(super) random: Random,
}

impl World {
    /// A new store.
    pub(super) fn new(seed: u64, options: Options) -> Self {
        Self::on(SimDisk::new(), Start::default(), seed, options).unwrap()
    }

    /// A new store with a mirror, which nobody serves: its log and its sets hold more.
    pub(super) fn attached(seed: u64, options: Options) -> Self {
        let mut world = Self::new(seed, options);
        world.store().tap().attach().unwrap();
        world.remember(world.state().clone(), true);
        world
    }

    /// A store that `before` was acknowledged of, by somebody else.
    pub(super) fn on(disk: SimDisk, before: Start, seed: u64, options: Options) -> Result<Self> {
        let store = Store::open_still(Arc::new(disk.clone()), options.clone())?;
        let Start { state, token, ver } = before;
        let first = Point { operations: 0, state, token, ver, is_durable: true };
        let mut world =
            Self { disk, options, store: Some(store), points: vec![first], random: Random::new(seed) };
        world.remember(world.state().clone(), true);
        Ok(world)
    }

    /// A store that was opened after a power loss, when any of `possible` was on the disk.
    pub(super) fn recovered(
        disk: SimDisk,
        store: Store,
        possible: &[Point],
        seed: u64,
        options: Options,
    ) -> Self {
        let mut points = possible.to_vec();
        for (nth, point) in points.iter_mut().enumerate() {
            (point.operations, point.is_durable) = (0, nth == 0);
        }
        Self { disk, options, store: Some(store), points, random: Random::new(seed) }
    }

    pub(super) fn state(&self) -> &State {
        &self.points.last().unwrap().state
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    pub(super) fn draw(&mut self) -> Op {
        Op::draw(&mut self.random, &self.points.last().unwrap().state)
    }

    /// `n` operations from the seed.
    pub(super) fn walk(&mut self, n: usize) {
        for _ in 0..n {
            let op = self.draw();
            self.step(&op).unwrap();
        }
    }

    /// One operation, remembered when it was acknowledged.
    pub(super) fn step(&mut self, op: &Op) -> Result<()> {
        let after = op.apply(self.state());
        if let Op::Reopen { close } = op {
            let store = self.store.take().unwrap();
            if *close {
                store.close(Duration::from_secs(60))?;
            }
            drop(store);
            self.store = Some(Store::open_still(Arc::new(self.disk.clone()), self.options.clone())?);
        } else {
            op.run(self.store())?;
        }
        let is_durable = self.options.durability == Durability::Durable || op.settles();
        self.remember(after, is_durable);
        Ok(())
    }

    pub(super) fn remember(&mut self, state: State, is_durable: bool) {
        let store = self.store();
        let ver = store.alive.shared.line.between(|mark| mark.ver);
        let point =
            Point { operations: self.disk.operations(), state, token: store.token(), ver, is_durable };
        self.points.push(point);
    }

    /// What a power loss after so many operations of the disk may leave.
    pub(super) fn possible(&self, operations: u64) -> &[Point] {
        let done = self.points.iter().rposition(|p| p.operations <= operations).unwrap_or(0);
        let from = self.points[..=done].iter().rposition(|p| p.is_durable).unwrap_or(0);
        &self.points[from..self.points.len().min(done + 2)]
    }
}

/// What a store must hold when it is opened, and what it must be beyond.
#[derive(Clone, Default)]
pub(super) struct Start {
    pub(super) state: State,
    pub(super) token: Token,
    pub(super) ver: Ver,
}
