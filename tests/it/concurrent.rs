//! Goal: while rows come, change, die and the graph is healed, every answer is one that some moment could have given.
//! Method: each id has one atomic word that its only writer moves before and after each call; a searcher reads the words
//! before and after its search and knows from them what it may and what it must see. Bounded by counts of writes.

use super::support::random::Random;
use nearfield::{Chunk, Collection, Filter, Hit, Include, Metric, Options, Response, Schema, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const SEED: u64 = 71;
const DIM: usize = 16;
const K: usize = 10;
const TENANTS: usize = 3;
/// Rows that nobody touches; `RARE` of them carry a mark of their own.
const PERMANENT: usize = 300;
const RARE: usize = 7;
const WRITERS: usize = 2;
const IDS_PER_WRITER: usize = 500;
const WRITES: usize = 700;
const BATCH_MAX: usize = 12;
const HEAL_EVERY: usize = 60;
const SEARCHERS: usize = 2;
/// Wider than there are slots in the graph at any time.
const EF_WIDE: usize = 4_096;
/// Rows that no walk may reach until the next mending: a ring of rows that hold each other, and that nothing else holds.
const RING_MAX: usize = 2;

/// What the one writer of an id has done to it. Versions count its writes, upserts and deletes alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Deleted or never written, by write `.0`.
    Absent(u64),
    /// Write `.0` is under way.
    Changing(u64),
    /// Stored by write `.0`.
    Present(u64),
}

struct Words(Vec<AtomicU64>);

impl Words {
    fn get(&self, id: usize) -> State {
        let word = self.0[id].load(Ordering::SeqCst);
        match word & 3 {
            0 => State::Absent(word >> 2),
            1 => State::Changing(word >> 2),
            _ => State::Present(word >> 2),
        }
    }

    fn set(&self, id: usize, state: State) {
        let word = match state {
            State::Absent(v) => v << 2,
            State::Changing(v) => v << 2 | 1,
            State::Present(v) => v << 2 | 2,
        };
        self.0[id].store(word, Ordering::SeqCst);
    }

    fn all(&self) -> Vec<State> {
        (0..self.0.len()).map(|id| self.get(id)).collect()
    }
}

struct Scene {
    collection: Collection,
    words: Words,
    /// Writes that are still to be made.
    left: AtomicUsize,
    /// The greatest acknowledged seq.
    acked: AtomicU64,
    searches: AtomicUsize,
    own_checks: AtomicUsize,
    narrow_misses: AtomicUsize,
}

/// Ids 0.. are permanent, then come those of each writer.
fn name(id: usize) -> String {
    format!("row-{id}")
}

fn number(hit: &Hit) -> usize {
    hit.id.as_str().strip_prefix("row-").expect("an id that was written").parse().unwrap()
}

/// A few ids share their vector, whatever the version: they are twins, and their deaths leave chains.
fn vector(id: usize, version: u64) -> Vec<f32> {
    if id % 10 == 9 && id >= PERMANENT {
        return Random::new(SEED ^ (id as u64 % 40) << 40).bells(DIM);
    }
    Random::new(SEED ^ (id as u64) << 20 ^ version << 40).bells(DIM)
}

fn is_twin(id: usize) -> bool {
    id % 10 == 9 && id >= PERMANENT
}

fn chunk(id: usize, version: u64) -> Chunk {
    let chunk = Chunk::new(name(id))
        .vector(vector(id, version))
        .tenant(format!("t{}", id % TENANTS))
        .meta("version", version)
        .meta("parity", id % 2);
    if id < RARE { chunk.meta("rare", true) } else { chunk }
}

impl Scene {
    fn new() -> Self {
        let store = Store::memory_with(Options::default().build_threads(2)).unwrap();
        let schema = Schema::new(DIM, Metric::L2).m(8).ef_construction(64);
        let collection = store.create_collection("c", schema).unwrap();
        let ids = PERMANENT + WRITERS * IDS_PER_WRITER;
        let words = Words((0..ids).map(|_| AtomicU64::new(0)).collect());
        collection.upsert((0..PERMANENT).map(|id| chunk(id, 1))).unwrap();
        (0..PERMANENT).for_each(|id| words.set(id, State::Present(1)));
        Self {
            collection,
            words,
            left: AtomicUsize::new(WRITERS * WRITES),
            acked: AtomicU64::new(0),
            searches: AtomicUsize::new(0),
            own_checks: AtomicUsize::new(0),
            narrow_misses: AtomicUsize::new(0),
        }
    }

    fn version(&self, id: usize) -> u64 {
        match self.words.get(id) {
            State::Absent(v) | State::Changing(v) | State::Present(v) => v,
        }
    }

    /// Upserts or deletes some of the writer's own ids.
    fn write(&self, writer: usize, random: &mut Random) {
        let first = PERMANENT + writer * IDS_PER_WRITER;
        let ids: BTreeSet<usize> =
            (0..=random.below(BATCH_MAX)).map(|_| first + random.below(IDS_PER_WRITER)).collect();
        let versions: Vec<(usize, u64)> = ids.iter().map(|id| (*id, self.version(*id) + 1)).collect();
        versions.iter().for_each(|(id, v)| self.words.set(*id, State::Changing(*v)));
        let token = if random.below(3) == 0 {
            let names: Vec<String> = ids.iter().map(|id| name(*id)).collect();
            let (_, token) = self.collection.delete(names.iter().map(String::as_str)).unwrap();
            versions.iter().for_each(|(id, v)| self.words.set(*id, State::Absent(*v)));
            token
        } else {
            let ack = self.collection.upsert(versions.iter().map(|(id, v)| chunk(*id, *v))).unwrap();
            assert_eq!((ack.upserted, ack.rejected), (ids.len(), 0));
            versions.iter().for_each(|(id, v)| self.words.set(*id, State::Present(*v)));
            ack.token
        };
        self.acked.fetch_max(token.seq.0, Ordering::SeqCst);
    }

    /// One search of a random kind, checked against what the words allow.
    fn search(&self, random: &mut Random, last_seq: &mut u64) {
        let acked = self.acked.load(Ordering::SeqCst);
        let before = self.words.all();
        let target = choose(random, &before);
        // A row that can be got, acknowledged or not, is there to be found by its own vector.
        let own = match self.collection.get(&name(target)).unwrap() {
            Some(chunk) if random.below(8) > 0 => Some((target, chunk.metadata["version"].as_u64().unwrap())),
            _ => None,
        };
        let query = own.map_or_else(|| Random::new(random.next()).bells(DIM), |(id, v)| vector(id, v));
        let kind = Kind::random(random, target);
        let response = kind.run(&self.collection, &query);
        let after = self.words.all();

        let told = format!("seed {SEED}, {kind:?}, plan {:?}", response.explain);
        assert!(response.as_of.seq.0 >= acked.max(*last_seq), "{told}: as_of {} went back", response.as_of);
        *last_seq = response.as_of.seq.0;
        for hit in &response.hits {
            self.assert_possible(hit, &kind, &before, &after, &told);
        }
        let unique: BTreeSet<&str> = response.hits.iter().map(|h| h.id.as_str()).collect();
        assert_eq!(unique.len(), response.hits.len(), "{told}: an id twice in {:?}", response.hits);
        let certain = (0..before.len())
            .filter(|id| kind.wants(*id) && before[*id] == after[*id])
            .filter(|id| matches!(before[*id], State::Present(_)))
            .count();
        assert!(
            response.hits.len() >= K.min(certain),
            "{told}: {} hits, {certain} live",
            response.hits.len()
        );
        if matches!(kind, Kind::Rare) {
            assert_eq!(unique.len(), RARE, "{told}: {unique:?}");
        }
        if let Some((id, v)) = own
            && kind.wants(id)
            && (after[id] == State::Present(v) || after[id] == State::Changing(v))
        {
            self.own_checks.fetch_add(1, Ordering::Relaxed);
            // A twin may stand for any of its kind.
            let is_found = |r: &Response| {
                if is_twin(id) { r.hits[0].distance == 0.0 } else { r.hits[0].id == *name(id) }
            };
            if !is_found(&response) {
                assert!(!matches!(kind, Kind::Exact), "{told}: version {v} of {id} is not found exactly");
                self.assert_reachable((id, v), &query, is_found, &told);
            }
        }
        self.searches.fetch_add(1, Ordering::Relaxed);
    }

    /// A row that a beam misses is found by one as wide as the collection: then it was the beam's fault, which is counted.
    fn assert_reachable(
        &self,
        (id, v): (usize, u64),
        query: &[f32],
        is_found: impl Fn(&Response) -> bool,
        told: &str,
    ) {
        self.narrow_misses.fetch_add(1, Ordering::Relaxed);
        let wide = self.collection.search(query).k(K).ef(EF_WIDE).run().unwrap();
        let is_at_rest = self.words.get(id) == State::Present(v);
        if !is_found(&wide) && is_at_rest {
            let lost = self.collection.check().unwrap();
            let explain = wide.explain;
            assert!(
                (1..=RING_MAX).contains(&lost),
                "{told}: no walk reaches version {v} of {id}: {explain:?}; {lost} lost"
            );
        }
    }

    /// A hit was written, was not dead all the time, matches, and is of a version that was visible.
    fn assert_possible(&self, hit: &Hit, kind: &Kind, before: &[State], after: &[State], told: &str) {
        let id = number(hit);
        assert!(id < before.len() && kind.wants(id), "{told}: {} does not match", hit.id);
        let version = hit.metadata.as_ref().unwrap()["version"].as_u64().unwrap();
        let least = match before[id] {
            State::Present(v) => v,
            State::Absent(v) => v + 1,
            State::Changing(v) => v - 1,
        };
        let (State::Absent(most) | State::Changing(most) | State::Present(most)) = after[id];
        assert!(
            (least.max(1)..=most).contains(&version),
            "{told}: {} of version {version}, but it went from {:?} to {:?}",
            hit.id,
            before[id],
            after[id]
        );
    }

    /// The collection holds what the words say, to the last row.
    fn assert_final(&self) {
        let live: BTreeMap<String, u64> = (0..self.words.0.len())
            .filter_map(|id| match self.words.get(id) {
                State::Present(v) => Some((name(id), v)),
                State::Absent(_) => None,
                State::Changing(v) => panic!("write {v} of {id} never ended"),
            })
            .collect();
        assert_eq!(self.collection.count(None).unwrap(), live.len(), "seed {SEED}");
        for id in 0..self.words.0.len() {
            let stored = self.collection.get(&name(id)).unwrap();
            let version = stored.as_ref().map(|c| c.metadata["version"].as_u64().unwrap());
            assert_eq!(version, live.get(&name(id)).copied(), "{}", name(id));
            if let (Some(stored), Some(version)) = (stored, version) {
                assert_eq!(stored.vector, Some(vector(id, version)), "{}", name(id));
            }
        }
        let query = vector(0, 1);
        let found = self.collection.search(&query).k(live.len() + 10).exact(true).run().unwrap();
        let found: BTreeSet<String> = found.hits.iter().map(|h| h.id.as_str().to_owned()).collect();
        assert_eq!(found, live.into_keys().collect(), "seed {SEED}");
    }
}

/// Any id, and half of the time one that is being written: what is wrong, is wrong then.
fn choose(random: &mut Random, states: &[State]) -> usize {
    let changing: Vec<usize> =
        (0..states.len()).filter(|id| matches!(states[*id], State::Changing(_))).collect();
    if changing.is_empty() || random.below(2) == 0 {
        return random.below(states.len());
    }
    changing[random.below(changing.len())]
}

#[derive(Clone, Debug)]
enum Kind {
    Plain,
    Exact,
    Parity(usize),
    Rare,
    Tenant(usize),
}

impl Kind {
    /// One that `target` matches, but for `Rare`.
    fn random(random: &mut Random, target: usize) -> Self {
        match random.below(8) {
            0..3 => Self::Plain,
            3 => Self::Exact,
            4 | 5 => Self::Parity(target % 2),
            6 => Self::Tenant(target % TENANTS),
            _ => Self::Rare,
        }
    }

    fn wants(&self, id: usize) -> bool {
        match self {
            Self::Plain | Self::Exact => true,
            Self::Parity(parity) => id % 2 == *parity,
            Self::Rare => id < RARE,
            Self::Tenant(tenant) => id % TENANTS == *tenant,
        }
    }

    fn run(&self, collection: &Collection, query: &[f32]) -> Response {
        let of_tenant = match self {
            Self::Tenant(tenant) => collection.tenant(&format!("t{tenant}")),
            _ => collection.clone(),
        };
        let search = of_tenant.search(query).k(K).include(Include { metadata: true, ..Include::NONE });
        let search = match self {
            Self::Exact => search.exact(true),
            Self::Parity(parity) => search.filter(Filter::eq("parity", *parity as u64)),
            Self::Rare => search.filter(Filter::eq("rare", true)),
            Self::Plain | Self::Tenant(_) => search,
        };
        search.run().unwrap()
    }
}

#[test]
fn every_answer_is_one_that_some_moment_could_have_given() {
    let scene = Scene::new();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let scene = &scene;
            scope.spawn(move || {
                let mut random = Random::new(SEED + writer as u64);
                for at in 0..WRITES {
                    scene.write(writer, &mut random);
                    if at % HEAL_EVERY == writer * HEAL_EVERY / WRITERS {
                        scene.collection.heal().unwrap();
                    }
                    scene.left.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
        for searcher in 0..SEARCHERS {
            let scene = &scene;
            scope.spawn(move || {
                let mut random = Random::new(SEED + 100 + searcher as u64);
                let mut last_seq = 0;
                while scene.left.load(Ordering::SeqCst) > 0 {
                    scene.search(&mut random, &mut last_seq);
                }
            });
        }
    });
    // The scene is quiet: everything must hold to the letter.
    let (mut random, mut last_seq) = (Random::new(SEED + 200), 0);
    (0..500).for_each(|_| scene.search(&mut random, &mut last_seq));
    scene.assert_final();
    assert!(scene.collection.check().is_ok(), "{:?}", scene.collection.check());
    scene.collection.heal().unwrap();
    assert_eq!(scene.collection.check(), Ok(0), "seed {SEED}");
    (0..500).for_each(|_| scene.search(&mut random, &mut last_seq));
    scene.assert_final();
    let [searches, own, narrow] =
        [&scene.searches, &scene.own_checks, &scene.narrow_misses].map(|n| n.load(Ordering::SeqCst));
    println!(
        "{searches} searches, {own} for a row's own vector, {narrow} of them in vain with a narrow beam"
    );
    assert!(own > 200, "only {own} searches met a row at rest");
    assert!(narrow * 500 <= own, "{narrow} of {own} rows were not found by their own vector, seed {SEED}");
}

#[test]
fn one_id_replaced_from_many_threads_is_there_once() {
    // A collection so small that the tail is most of it.
    const THREADS: usize = 4;
    const REPLACEMENTS: usize = 300;
    let collection = Store::memory().create_collection("c", Schema::new(4, Metric::L2)).unwrap();
    let at = |i: usize| [i as f32, 1.0, 0.0, 0.0];
    collection.upsert([Chunk::new("x").vector(at(0))]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let collection = &collection;
            scope.spawn(move || {
                for i in 0..REPLACEMENTS {
                    collection.upsert([Chunk::new("x").vector(at(thread * REPLACEMENTS + i))]).unwrap();
                    if i % 10 == thread {
                        collection.heal().unwrap();
                    }
                    let hits = collection.search(&at(0)).run().unwrap().hits;
                    assert_eq!(hits.len(), 1, "{hits:?}");
                }
            });
        }
    });
    assert_eq!((collection.count(None).unwrap(), collection.stats().tail), (1, 0));
    collection.heal().unwrap();
    assert_eq!(collection.check(), Ok(0));
}
