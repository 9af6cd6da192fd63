//! The adapter against brute force, and against everything that is known to break the crate.

use super::HnswRsGraph;
use crate::codes::{CodeTable, Codec, Exact, VectorTable};
use crate::config::Metric;
use crate::graph::lost::mend_all;
use crate::graph::{Ask, Graph, Near, Pass, Scratch, Space, Walk};
use crate::ids::Slot;
use crate::sets::SlotBits;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const METRICS: [Metric; 4] = [Metric::Cosine, Metric::L2, Metric::Dot, Metric::L1];
const DIM: usize = 24;
const BLOCK_ROWS: usize = 4_096;

/// Numbers that look random; the same for the same seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / (1u64 << 23) as f32 - 1.0
    }

    fn row(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.next()).collect()
    }
}

/// Rows around `clusters` centres.
fn clustered(seed: u64, rows: usize, clusters: usize) -> Vec<Vec<f32>> {
    let mut noise = Noise(seed);
    let centres: Vec<Vec<f32>> = (0..clusters).map(|_| noise.row(DIM)).collect();
    (0..rows).map(|i| centres[i % clusters].iter().map(|c| c + 0.3 * noise.next()).collect()).collect()
}

/// A graph and the rows it is about.
struct World {
    metric: Metric,
    codes: CodeTable,
    vectors: VectorTable,
    graph: HnswRsGraph,
    rows: BTreeMap<Slot, Vec<f32>>,
}

impl World {
    fn new(metric: Metric, m: usize) -> Self {
        let codes = CodeTable::new(Codec::untrained(metric, DIM));
        let graph = HnswRsGraph::new(metric, DIM, m, 64);
        Self { metric, codes, vectors: VectorTable::new(DIM), graph, rows: BTreeMap::new() }
    }

    fn of(metric: Metric, rows: &[Vec<f32>]) -> Self {
        let mut world = Self::new(metric, 16);
        for slot in world.push(rows) {
            world.link(slot);
        }
        world
    }

    fn push(&mut self, rows: &[Vec<f32>]) -> Vec<Slot> {
        let push = |row: &Vec<f32>| {
            if self.vectors.next_slot().block().index() == self.vectors.blocks() {
                self.vectors = self.vectors.with_block(BLOCK_ROWS).unwrap();
                self.graph.grow(BLOCK_ROWS).unwrap();
            }
            let slot = self.vectors.push(self.vectors.next_slot().block(), Some(row)).unwrap();
            self.rows.insert(slot, row.clone());
            slot
        };
        rows.iter().map(push).collect()
    }

    fn space(&self) -> Space<'_> {
        Space { codes: &self.codes, vectors: &self.vectors }
    }

    fn live(&self) -> SlotBits {
        SlotBits::default().with(&self.rows.keys().copied().collect::<Vec<_>>(), &[])
    }

    fn link(&self, slot: Slot) {
        self.graph.link(self.space(), &SlotBits::default(), slot, &mut Scratch::default());
    }

    fn near(&self, query: &[f32], ef: usize, walk: Walk<'_>) -> Vec<Near> {
        let mut scratch = Scratch::default();
        self.graph.search(self.space(), &Ask { query, k: 1, ef, walk }, &mut scratch);
        scratch.near
    }

    fn exact(&self, query: &[f32], k: usize, of: impl Fn(Slot) -> bool) -> Vec<Near> {
        let exact = Exact::new(self.metric, query);
        let slots = self.rows.iter().filter(|(s, _)| of(**s));
        let mut near: Vec<Near> =
            slots.map(|(s, r)| Near { distance: exact.distance(r), slot: *s }).collect();
        near.sort_by(|a, b| a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot)));
        near.truncate(k);
        near
    }
}

fn recall(found: &[Near], truth: &[Near]) -> f64 {
    let hits = truth.iter().filter(|t| found.iter().any(|f| f.slot == t.slot)).count();
    hits as f64 / truth.len() as f64
}

fn is_in(near: &[Near], slot: Slot) -> bool {
    near.iter().any(|n| n.slot == slot)
}

#[test]
fn answers_as_brute_force_does() {
    for metric in METRICS {
        let rows = clustered(1, 2_000, 20);
        let world = World::of(metric, &rows);
        let mut noise = Noise(2);
        let mut total = 0.0;
        for i in 0..100 {
            let query: Vec<f32> = rows[i * 7].iter().map(|x| x + 0.1 * noise.next()).collect();
            let (near, truth) = (world.near(&query, 64, Walk::All), world.exact(&query, 10, |_| true));
            assert_eq!(near.len(), 64);
            let exact = Exact::new(metric, &query);
            for n in &near {
                assert_eq!(n.distance.to_bits(), exact.distance(&world.rows[&n.slot]).to_bits(), "{metric}");
            }
            assert!(near.is_sorted_by(|a, b| (a.distance, a.slot) < (b.distance, b.slot)), "{metric}");
            total += recall(&near[..10], &truth);
        }
        assert!(total / 100.0 >= 0.95, "recall of {metric} is {}", total / 100.0);
        assert!(world.graph.search(world.space(), &ask(&rows[0]), &mut Scratch::default()).reranked > 64);
    }
}

fn ask(query: &[f32]) -> Ask<'_> {
    Ask { query, k: 10, ef: 64, walk: Walk::All }
}

#[test]
fn a_filtered_search_stays_in_the_set_and_finds_it() {
    for metric in METRICS {
        let rows = clustered(3, 2_000, 20);
        let world = World::of(metric, &rows);
        // Under dot most rows are strays, which only this finds.
        mend_all(&world.graph, world.space(), &world.live(), &SlotBits::default(), &mut Scratch::default());
        for step in [2, 20, 400] {
            let slots: Vec<Slot> = world.rows.keys().copied().skip(1).step_by(step).collect();
            let set = SlotBits::default().with(&slots, &[]);
            let (mut total, mut first) = (0.0, 0);
            for (i, query) in rows.iter().step_by(40).enumerate() {
                let walk = if i % 2 == 0 { Walk::InGraph(&set) } else { Walk::FilterFirst(&set) };
                let truth = world.exact(query, 10, |s| set.contains(s));
                let near = world.near(query, 64, walk);
                assert!(near.iter().all(|n| set.contains(n.slot)), "{metric} every {step}th");
                total += recall(&near, &truth);
                // A beam of one is where the crate loses hits.
                let nearest = world.near(query, 1, walk);
                assert!(nearest.len() <= 1 && nearest.iter().all(|n| set.contains(n.slot)));
                first += nearest.len();
            }
            assert!(total / 50.0 >= 0.95, "recall of {metric} in every {step}th is {}", total / 50.0);
            assert_eq!(first, 50, "{metric} every {step}th");
        }
        assert!(world.near(&rows[0], 64, Walk::InGraph(&SlotBits::default())).is_empty());
    }
}

#[test]
fn three_thousand_equal_rows_hide_neither_themselves_nor_others() {
    for metric in METRICS {
        let others = clustered(5, 100, 10);
        let mut rows = vec![others[0].iter().map(|x| x + 0.01).collect::<Vec<f32>>(); 3_000];
        // In between, so that many equal ones come before and after each.
        others.iter().enumerate().for_each(|(i, row)| rows.insert(i * 30, row.clone()));
        let world = World::of(metric, &rows);
        assert_eq!(world.graph.check(&world.live()), Ok(0), "{metric}");
        let everything = world.near(&rows[1], 3_100, Walk::All);
        assert_eq!(everything.len(), 3_100, "{metric}");
        let own = world.rows.iter().find(|(_, row)| **row == others[50]).unwrap();
        assert!(is_in(&world.near(own.1, 3_100, Walk::All), *own.0));
        // One of the twins, and not the one that stands for them.
        let last = SlotBits::default().with(&[Slot(3_000)], &[]);
        assert_eq!(world.rows[&Slot(3_000)], rows[1]);
        assert_eq!(world.near(&others[70], 5, Walk::InGraph(&last))[0].slot, Slot(3_000), "{metric}");
    }
}

#[test]
fn rows_far_from_all_others_are_found() {
    for metric in [Metric::L2, Metric::L1] {
        let mut rows = clustered(7, 4_000, 3);
        let mut noise = Noise(8);
        let far: Vec<Vec<f32>> = (0..60).map(|_| noise.row(DIM).iter().map(|x| 5.0 * x).collect()).collect();
        rows.extend_from_slice(&far);
        let mut world = World::of(metric, &rows);
        for slot in world.push(&clustered(7, 1_000, 3)) {
            world.link(slot);
        }
        let of_far = |row: &Vec<f32>| *world.rows.iter().find(|(_, r)| *r == row).unwrap().0;
        let missed = far.iter().filter(|row| !is_in(&world.near(row, 64, Walk::All), of_far(row))).count();
        assert_eq!(missed, 0, "of 60 under {metric}");
    }
}

#[test]
fn any_m_builds_a_graph_that_answers() {
    for m in [0, 1, 2, 255, 256, 1_000, usize::MAX] {
        let mut world = World::new(Metric::L1, m);
        let rows = clustered(9, 300, 5);
        world.push(&rows).into_iter().for_each(|s| world.link(s));
        let found =
            world.rows.iter().filter(|(s, row)| world.near(row, 32, Walk::All)[0].slot == **s).count();
        // With two links a node the graph is a rope.
        let wanted = if m <= 2 { 200 } else { 300 };
        assert!(found >= wanted, "{found} of 300 with m = {m}");
    }
}

#[test]
fn more_rows_than_the_hint_are_found() {
    let rows = clustered(11, 2_000, 20);
    let mut world = World::new(Metric::L1, 16);
    let small = super::Build::new(world.graph.plan, 3);
    world.push(&rows);
    small.grow(BLOCK_ROWS).unwrap();
    for slot in world.rows.keys() {
        small.link(&world.vectors, *slot);
    }
    assert!(small.broken().is_none() && small.lost(&world.live()).is_empty());
}

#[test]
fn rows_without_a_distance_are_left_out_and_harm_nobody() {
    for metric in METRICS {
        let mut rows = clustered(13, 500, 5);
        for (at, value) in [(0, f32::NAN), (100, f32::INFINITY), (200, f32::NEG_INFINITY), (300, f32::NAN)] {
            rows[at][3] = value;
        }
        rows[400] = vec![0.0; DIM];
        let world = World::of(metric, &rows);
        let left_out = if metric == Metric::Cosine { 5 } else { 4 };
        let live = world.live();
        mend_all(&world.graph, world.space(), &live, &SlotBits::default(), &mut Scratch::default());
        assert_eq!(world.graph.check(&live), Ok(left_out), "{metric}");
        let near = world.near(&rows[1], 500, Walk::All);
        assert_eq!(near.len(), 500 - left_out, "{metric}");
        assert!(near.iter().all(|n| n.distance.is_finite()));
        assert!(world.near(&rows[0], 10, Walk::All).is_empty());
    }
}

#[test]
fn a_slot_goes_in_once_and_mend_takes_in_what_was_forgotten() {
    let mut rows = clustered(15, 500, 5);
    // Slot 7 stands for two more: linked again, it must not lose them.
    rows[8] = rows[7].clone();
    rows[9] = rows[7].clone();
    let mut world = World::of(Metric::L1, &rows);
    let forgotten = world.push(&clustered(16, 3, 3));
    for slot in [Slot(0), Slot(7), Slot(7)] {
        world.link(slot);
    }
    let live = world.live();
    assert_eq!(world.graph.check(&live), Ok(3));
    assert_eq!(
        mend_all(&world.graph, world.space(), &live, &SlotBits::default(), &mut Scratch::default()),
        3
    );
    assert_eq!(world.graph.check(&live), Ok(0));
    for slot in forgotten {
        assert_eq!(world.near(&world.rows[&slot], 10, Walk::All)[0].slot, slot);
    }
    // A slot that no table knows is nothing to link.
    world.link(Slot(1 << 20));
    assert_eq!(world.graph.check(&live), Ok(0));
}

#[test]
fn four_threads_link_while_others_search() {
    for metric in METRICS {
        let mut rows = clustered(17, 3_000, 20);
        // A third of the rows are twins of others.
        for i in (0..3_000).step_by(3) {
            rows[i] = rows[i / 9 * 3 + 1].clone();
        }
        let mut world = World::new(metric, 16);
        let slots = world.push(&rows);
        let (next, done) = (AtomicUsize::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let linkers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                            world.link(*slot);
                            let walk = SlotBits::default().with(&[*slot], &[]);
                            // Its own search, from the moment that the link returned.
                            let near = world.near(&world.rows[slot], 1, Walk::InGraph(&walk));
                            assert!(near.len() == 1 || metric == Metric::Dot, "{metric}: {slot:?}");
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let near = world.near(&rows[500], 32, Walk::All);
                    assert!(near.is_sorted_by(|a, b| (a.distance, a.slot) < (b.distance, b.slot)));
                }
            });
            let ended: Vec<_> = linkers.into_iter().map(|l| l.join()).collect();
            done.store(true, Ordering::Relaxed);
            assert!(ended.iter().all(Result::is_ok));
        });
        let live = world.live();
        mend_all(&world.graph, world.space(), &live, &SlotBits::default(), &mut Scratch::default());
        assert_eq!(world.graph.check(&live), Ok(0), "{metric}");
        let truth = world.exact(&rows[500], 10, |_| true);
        assert!(recall(&world.near(&rows[500], 64, Walk::All)[..20], &truth) >= 0.9, "{metric}");
    }
}

#[test]
fn threads_that_meet_in_an_empty_graph_all_get_in() {
    for round in 0..50 {
        let mut world = World::new(Metric::L2, 8);
        let slots = world.push(&clustered(round, 8, 8));
        std::thread::scope(|scope| {
            slots.iter().for_each(|slot| {
                scope.spawn(|| world.link(*slot));
            });
        });
        assert_eq!(world.graph.check(&world.live()), Ok(0), "round {round}");
    }
}

/// This graph asks for nothing but who lives.
fn pass(live: &SlotBits) -> Pass<'_> {
    Pass { live, linked: live, gone: live }
}

/// Heals in steps; says how many there were.
fn heal(world: &World, live: &SlotBits, budget: usize) -> usize {
    let (mut steps, mut from) = (0, Some(Slot(0)));
    while let Some(slot) = from {
        from = world.graph.heal(world.space(), pass(live), slot, budget, &mut Scratch::default());
        steps += 1;
    }
    steps
}

#[test]
fn healing_lets_go_of_the_dead_and_keeps_the_living() {
    for (metric, budget, steps) in [
        (Metric::L1, usize::MAX - 1, 1),
        (Metric::L2, 400, 10),
        (Metric::Dot, 1_200, 4),
        (Metric::Cosine, 1_200, 4),
    ] {
        let mut rows = clustered(19, 2_000, 20);
        rows[1_001] = rows[1_000].clone();
        rows[1_003] = rows[1_000].clone();
        let world = World::of(metric, &rows);
        // Every even slot dies, among them the one that stands for its twins.
        let dead: Vec<Slot> = (0..2_000).step_by(2).map(Slot).collect();
        let live = world.live().with(&[], &dead);
        assert_eq!(heal(&world, &live, budget), steps, "{metric}");
        mend_all(&world.graph, world.space(), &live, &SlotBits::default(), &mut Scratch::default());
        assert_eq!(world.graph.check(&live), Ok(0), "{metric}");
        let near = world.near(&rows[0], 2_000, Walk::All);
        assert_eq!(near.len(), 1_000, "{metric}");
        assert!(near.iter().all(|n| live.contains(n.slot)), "{metric}");
        assert!(is_in(&near, Slot(1_001)) && is_in(&near, Slot(1_003)));
        // Nothing dead is in any more: the next pass is none.
        world.graph.heal(world.space(), pass(&live), Slot(0), 4, &mut Scratch::default());
        assert!(world.graph.next.lock().is_none() && world.graph.late.lock().is_none());
    }
}

#[test]
fn what_is_linked_during_a_pass_is_in_after_it() {
    let mut world = World::of(Metric::L1, &clustered(21, 4_000, 20));
    let live = world.live().with(&[], &[Slot(5)]);
    let old = world.vectors.clone();
    let heal = |world: &World, from| {
        let space = Space { codes: &world.codes, vectors: &old };
        world.graph.heal(space, pass(&live), from, 4_000, &mut Scratch::default())
    };
    let mut from = heal(&world, Slot(0));
    // Into the last block and one that the healer's table has not.
    let added = world.push(&clustered(22, 300, 20));
    assert_eq!(world.vectors.blocks(), old.blocks() + 1);
    for part in added.chunks(100) {
        part.iter().for_each(|s| world.link(*s));
        // Searches see it before and after.
        assert_eq!(world.near(&world.rows[&part[0]], 10, Walk::All)[0].slot, part[0]);
        from = heal(&world, from.unwrap());
    }
    assert_eq!(from, None);
    assert_eq!(world.graph.check(&world.live()), Ok(1), "the dead one alone is out");
}

#[test]
fn links_and_searches_run_beside_a_pass() {
    let mut world = World::of(Metric::L1, &clustered(23, 1_500, 20));
    let live = world.live().with(&[], &[Slot(5)]);
    let added = world.push(&clustered(24, 600, 20));
    let world = &world;
    std::thread::scope(|scope| {
        let healer = scope.spawn(|| heal(world, &live, usize::MAX - 1));
        while world.graph.late.lock().is_none() && !healer.is_finished() {
            std::thread::yield_now();
        }
        for part in added.chunks(200) {
            scope.spawn(|| part.iter().for_each(|s| world.link(*s)));
        }
        while !healer.is_finished() {
            assert_eq!(world.near(&world.rows[&Slot(1)], 10, Walk::All)[0].slot, Slot(1));
        }
    });
    assert_eq!(world.graph.check(&world.live()), Ok(1), "the dead one alone is out");
}

#[test]
fn the_estimate_of_memory_holds_the_rows_and_the_lists() {
    let graph = HnswRsGraph::new(Metric::L1, 384, 16, 200);
    assert_eq!(graph.bytes(1_000), 4_302_000);
}
