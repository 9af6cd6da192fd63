//! A graph with its codes, rows and live set, as an engine would hold them, and the truth by brute force.

use super::super::FlatGraph;
use super::super::links::{List, Lists};
use crate::codes::{CodeTable, Codec, Exact, VectorTable};
use crate::config::Metric;
use crate::graph::lost::mend_all;
use crate::graph::{Ask, Graph, Pass, Scratch, Space, Walk};
use crate::ids::{Level, Slot};
use crate::metrics::Work;
use crate::sets::SlotBits;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) const K: usize = 10;

/// SplitMix64, from a seed that every assertion prints.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Mean 0, about normal.
    pub(super) fn bell(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
        (sum as f32 - 131_070.0) / 37_837.0
    }

    pub(super) fn vector(&mut self, dim: usize) -> Vec<f32> {
        (0..dim).map(|_| self.bell()).collect()
    }

    /// `rows` vectors around `clusters` centres.
    pub(super) fn clusters(&mut self, rows: usize, dim: usize, clusters: usize) -> Vec<Vec<f32>> {
        let centres: Vec<_> = (0..clusters).map(|_| self.vector(dim)).collect();
        let row = |r: &mut Self| {
            let centre = &centres[r.below(clusters)];
            centre.iter().map(|c| c + 0.7 * r.bell()).collect()
        };
        (0..rows).map(|_| row(self)).collect()
    }

    /// Every slot of `of` with a chance of one in `n`.
    pub(super) fn sample(&mut self, of: &SlotBits, n: usize) -> Vec<Slot> {
        of.iter().filter(|_| self.below(n) == 0).collect()
    }
}

pub(super) struct Bed {
    pub(super) graph: FlatGraph,
    pub(super) codes: CodeTable,
    pub(super) vectors: VectorTable,
    pub(super) live: SlotBits,
    pub(super) scratch: Scratch,
    metric: Metric,
}

impl Bed {
    /// An empty graph with room for `capacity` rows of `dim` values under l2.
    pub(super) fn empty(dim: usize, m: usize, capacity: usize) -> Self {
        let graph = FlatGraph::new(m, 100.max(m));
        graph.grow(capacity).unwrap();
        Self {
            graph,
            codes: CodeTable::new(Codec::untrained(Metric::L2, dim)).with_block(capacity).unwrap(),
            vectors: VectorTable::new(dim).with_block(capacity).unwrap(),
            live: SlotBits::default(),
            scratch: Scratch::default(),
            metric: Metric::L2,
        }
    }

    /// A graph of `rows`, linked by `threads` threads, with room for as many again.
    pub(super) fn of(rows: &[Vec<f32>], m: usize, threads: usize) -> Self {
        let mut bed = Self::empty(rows[0].len(), m, 2 * rows.len());
        bed.insert(rows, threads);
        bed
    }

    /// Makes room for `capacity` more rows.
    pub(super) fn add_block(&mut self, capacity: usize) {
        self.graph.grow(capacity).unwrap();
        self.codes = self.codes.with_block(capacity).unwrap();
        self.vectors = self.vectors.with_block(capacity).unwrap();
    }

    pub(super) fn space(&self) -> Space<'_> {
        Space { codes: &self.codes, vectors: &self.vectors }
    }

    pub(super) fn insert(&mut self, rows: &[Vec<f32>], threads: usize) -> Vec<Slot> {
        let slots = self.push(rows);
        self.link(&slots, threads);
        slots
    }

    /// Makes rows live that are not linked yet.
    pub(super) fn push(&mut self, rows: &[Vec<f32>]) -> Vec<Slot> {
        let mut slots = Vec::new();
        for row in rows {
            let block = self.vectors.next_slot().block();
            slots.push(self.vectors.push(block, Some(row)).unwrap());
            self.codes.push(block, Some(row), &mut Vec::new()).unwrap();
        }
        self.live = self.live.with(&slots, &[]);
        slots
    }

    pub(super) fn link(&self, slots: &[Slot], threads: usize) {
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let mut scratch = Scratch::default();
                    while let Some(&slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.graph.link(self.space(), &self.live, slot, &mut scratch);
                    }
                });
            }
        });
    }

    pub(super) fn delete(&mut self, slots: &[Slot]) {
        self.live = self.live.with(&[], slots);
    }

    /// One pass of healing, `budget` lists at a time. Says how many steps it took.
    pub(super) fn heal(&mut self, budget: usize) -> usize {
        let gone = self.gone();
        self.hand_over(&gone, budget);
        let (mut from, mut steps) = (Some(Slot(0)), 0);
        while let Some(slot) = from {
            from = self.heal_step(&gone, slot, budget);
            steps += 1;
        }
        steps
    }

    /// The dead, linked or not.
    pub(super) fn gone(&self) -> SlotBits {
        let live: Vec<Slot> = self.live.iter().collect();
        self.linked().with(&[], &live)
    }

    /// All that ever came.
    fn linked(&self) -> SlotBits {
        let rows: Vec<usize> = (0..self.vectors.blocks()).map(|b| self.vectors.rows_in(b)).collect();
        SlotBits::of_rows(&rows)
    }

    /// What comes before lists are led around `gone`.
    pub(super) fn hand_over(&mut self, gone: &SlotBits, budget: usize) {
        let space = Space { codes: &self.codes, vectors: &self.vectors };
        let mut from = Some(Slot(0));
        while let Some(slot) = from {
            let pass = Pass { live: &self.live, linked: &self.linked(), gone };
            from = self.graph.hand_over(space, pass, slot, budget, &mut self.scratch);
        }
        mend_all(&self.graph, space, &self.live, gone, &mut self.scratch);
    }

    pub(super) fn heal_step(&mut self, gone: &SlotBits, from: Slot, budget: usize) -> Option<Slot> {
        let space = Space { codes: &self.codes, vectors: &self.vectors };
        let pass = Pass { live: &self.live, linked: &self.linked(), gone };
        self.graph.heal(space, pass, from, budget, &mut self.scratch)
    }

    pub(super) fn mend(&mut self) -> usize {
        let space = Space { codes: &self.codes, vectors: &self.vectors };
        mend_all(&self.graph, space, &self.live, &SlotBits::default(), &mut self.scratch)
    }

    pub(super) fn check(&self) -> Result<usize, String> {
        self.graph.check(&self.live)
    }

    /// The links of `slot` on `level`, for reading and for breaking.
    pub(super) fn with_list<T>(&self, slot: u32, level: u8, look: impl FnOnce(List<'_>) -> T) -> T {
        let blocks = self.graph.blocks.load();
        look(Lists(&blocks).list(Slot(slot), Level(level)))
    }

    pub(super) fn links(&self, slot: Slot) -> Vec<Slot> {
        self.with_list(slot.0, 0, |list| list.iter().collect())
    }

    /// The chain of `slot`; fails if it never ends.
    pub(super) fn chain(&self, slot: Slot) -> Vec<Slot> {
        let blocks = self.graph.blocks.load();
        let chain: Vec<Slot> = Lists(&blocks).twins(slot).take(1 << 16).collect();
        assert!(chain.len() < 1 << 16, "the chain of slot {} has no end", slot.0);
        chain
    }

    pub(super) fn search(&mut self, query: &[f32], ef: usize, walk: Walk<'_>) -> (Vec<Slot>, Work) {
        self.search_for(query, K, ef, walk)
    }

    /// With `k` answers asked for: a walk that has them may stop, so who wants all says so.
    pub(super) fn search_for(
        &mut self,
        query: &[f32],
        k: usize,
        ef: usize,
        walk: Walk<'_>,
    ) -> (Vec<Slot>, Work) {
        let space = Space { codes: &self.codes, vectors: &self.vectors };
        let work = self.graph.search(space, &Ask { query, k, ef, walk }, &mut self.scratch);
        (self.scratch.near.iter().map(|n| n.slot).collect(), work)
    }

    pub(super) fn distance(&self, query: &[f32], slot: Slot) -> f32 {
        Exact::new(self.metric, query).distance(self.vectors.get(slot).unwrap())
    }

    /// The distance of the k-th nearest of `among`.
    pub(super) fn edge(&self, query: &[f32], among: &SlotBits) -> f32 {
        let mut all: Vec<f32> = among.iter().map(|s| self.distance(query, s)).collect();
        all.sort_unstable_by(f32::total_cmp);
        all[K.min(all.len()) - 1]
    }

    /// The share of the `K` nearest of `among` that `found` holds once it is rescored; a tie with the last of them counts.
    pub(super) fn recall(&self, query: &[f32], among: &SlotBits, found: &[Slot]) -> f64 {
        let edge = self.edge(query, among);
        let hits = found.iter().filter(|s| among.contains(**s) && self.distance(query, **s) <= edge);
        hits.count().min(K) as f64 / K.min(among.len()) as f64
    }

    /// The mean recall over `queries` with a beam of `ef` over the whole graph, against live rows.
    pub(super) fn mean_recall(&mut self, queries: &[Vec<f32>], ef: usize) -> f64 {
        let live = self.live.clone();
        let mut sum = 0.0;
        for query in queries {
            let (found, _) = self.search(query, ef, Walk::All);
            sum += self.recall(query, &live, &found);
        }
        sum / queries.len() as f64
    }

    /// Live slots that a search for their own vector does not find among the first `ef`.
    pub(super) fn unfound(&mut self, slots: &[Slot], ef: usize) -> Vec<Slot> {
        let live = self.live.clone();
        let missed = |bed: &mut Self, slot: Slot| {
            let query = bed.vectors.get(slot).unwrap().to_vec();
            !bed.search(&query, ef, Walk::InGraph(&live)).0.contains(&slot)
        };
        slots.iter().copied().filter(|s| missed(self, *s)).collect()
    }

    /// Fails if a live list or the chain of a live slot names a dead slot, or walks start at a dead one.
    pub(super) fn assert_healed(&self, told: &str) {
        for slot in self.live.iter() {
            let dead: Vec<_> = self.chain(slot).into_iter().filter(|s| !self.live.contains(*s)).collect();
            assert!(dead.is_empty(), "{told}: the dead {dead:?} hang on slot {}", slot.0);
            for level in 0..=super::super::levels::level_of(slot).0 {
                let links: Vec<Slot> = self.with_list(slot.0, level, |list| list.iter().collect());
                let dead: Vec<_> = links.iter().filter(|s| !self.live.contains(**s)).collect();
                assert!(dead.is_empty(), "{told}: slot {} names the dead {dead:?} on level {level}", slot.0);
            }
        }
        let entry = self.graph.entry();
        assert!(
            entry.is_some_and(|(slot, _)| self.live.contains(slot)),
            "{told}: the entry {entry:?} is dead"
        );
    }
}
