//! Data sets that are generated from a seed, their collections, and recall against brute force in double precision.
//!
//! The model is the one of `nearfield bench search`: a mixture in a space of a few latent dimensions, each cluster flat in
//! directions of its own, mapped linearly to the wanted dimension, plus a little noise.

use super::random::Random;
use nearfield::{Chunk, Collection, Filter, Metric, Options, Response, Schema, Store};

pub(crate) const K: usize = 10;
/// Centres are this much wider apart than the widest axis of a cluster.
const CENTRE_SPREAD: f32 = 0.4;

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    pub(crate) metric: Metric,
    pub(crate) dim: usize,
    /// Dimensions of the space that the rows come from.
    pub(crate) latent: usize,
    pub(crate) clusters: usize,
    pub(crate) rows: usize,
    pub(crate) queries: usize,
    /// Added to every value: data that is not centred.
    pub(crate) shift: f32,
    /// One row in 100 times this is an exact copy of another.
    pub(crate) copies_percent: usize,
}

pub(crate) struct Data {
    pub(crate) recipe: Recipe,
    pub(crate) rows: Vec<Vec<f32>>,
    pub(crate) queries: Vec<Vec<f32>>,
}

impl Recipe {
    pub(crate) fn generate(self) -> Data {
        let mut random = Random::new(self.seed);
        let scale = 1.0 / (self.dim as f32).sqrt();
        let axes: Vec<Vec<f32>> =
            (0..self.latent).map(|_| random.bells(self.dim).iter().map(|x| x * scale).collect()).collect();
        let clusters: Vec<Vec<(f32, f32)>> = (0..self.clusters).map(|_| self.cluster(&mut random)).collect();
        let row = |random: &mut Random| {
            let u = random.unit();
            let cluster = &clusters[(u * u * self.clusters as f32) as usize];
            let mut row: Vec<f32> =
                random.bells(self.dim).iter().map(|x| 0.3 * x * scale + self.shift).collect();
            for (&(centre, spread), axis) in cluster.iter().zip(&axes) {
                let along = centre + spread * random.bell();
                row.iter_mut().zip(axis).for_each(|(value, direction)| *value += along * direction);
            }
            row
        };
        let mut rows: Vec<Vec<f32>> = (0..self.rows).map(|_| row(&mut random)).collect();
        let queries = (0..self.queries).map(|_| row(&mut random)).collect();
        for i in 0..self.rows {
            if random.below(100) < self.copies_percent {
                // Half of the copies are of a few rows, as boilerplate is.
                let of = if random.below(2) == 0 { random.below(8) } else { random.below(self.rows) };
                rows[i] = rows[of].clone();
            }
        }
        Data { recipe: self, rows, queries }
    }

    /// Centre and spread on each latent axis.
    fn cluster(&self, random: &mut Random) -> Vec<(f32, f32)> {
        let mut ranks: Vec<usize> = (0..self.latent).collect();
        for i in (1..self.latent).rev() {
            ranks.swap(i, random.below(i + 1));
        }
        let spread = |rank: usize| 1.0 / (rank as f32 + 1.0).sqrt().sqrt();
        ranks.into_iter().map(|rank| (CENTRE_SPREAD * random.bell(), spread(rank))).collect()
    }
}

impl Data {
    /// A collection of all rows, linked by `threads` threads in one batch; row i has the id `i`.
    pub(crate) fn build(&self, threads: usize) -> Collection {
        self.build_of(0..self.rows.len(), threads, |_, chunk| chunk)
    }

    /// A collection of the rows `which`, each chunk finished by `finish`.
    pub(crate) fn build_of(
        &self,
        which: impl IntoIterator<Item = usize>,
        threads: usize,
        finish: impl Fn(usize, Chunk) -> Chunk,
    ) -> Collection {
        let store = Store::memory_with(Options::default().build_threads(threads)).unwrap();
        let schema = Schema::new(self.recipe.dim, self.recipe.metric);
        let collection = store.create_collection(self.recipe.name, schema).unwrap();
        let chunk = |i: usize| finish(i, Chunk::new(i.to_string()).vector(self.rows[i].clone()));
        let ack = collection.upsert(which.into_iter().map(chunk)).unwrap();
        assert_eq!(ack.rejected, 0);
        collection
    }

    /// The distances from query `q` to every row.
    pub(crate) fn distances(&self, q: usize) -> Vec<f64> {
        self.rows.iter().map(|row| distance(self.recipe.metric, &self.queries[q], row)).collect()
    }
}

/// The truth for one query: the distance of the k-th nearest, and which hits are that near.
pub(crate) struct Truth {
    distances: Vec<f64>,
    edge: f64,
    wanted: usize,
}

impl Truth {
    /// Over all rows for which `is_candidate`.
    pub(crate) fn of(data: &Data, q: usize, is_candidate: impl Fn(usize) -> bool) -> Self {
        let distances = data.distances(q);
        let mut near: Vec<f64> =
            distances.iter().enumerate().filter(|(i, _)| is_candidate(*i)).map(|(_, d)| *d).collect();
        let wanted = K.min(near.len());
        let edge = match wanted {
            0 => f64::NEG_INFINITY,
            n => *near.select_nth_unstable_by(n - 1, f64::total_cmp).1,
        };
        Self { distances, edge, wanted }
    }

    /// The share of the wanted hits that are as near as the last of them. Hits at the same distance are worth the same.
    pub(crate) fn recall(&self, response: &Response) -> f64 {
        let near = |id: &str| self.distances[id.parse::<usize>().unwrap()] <= self.edge;
        let good = response.hits.iter().filter(|hit| near(hit.id.as_str())).count();
        good as f64 / self.wanted.max(1) as f64
    }
}

fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(x, y)| f(f64::from(*x), f64::from(*y))).sum()
    };
    match metric {
        Metric::Cosine => 1.0 - sum(&|x, y| x * y) / (sum(&|x, _| x * x).sqrt() * sum(&|_, y| y * y).sqrt()),
        Metric::L2 => sum(&|x, y| (x - y) * (x - y)).sqrt(),
        Metric::Dot => -sum(&|x, y| x * y),
        Metric::L1 => sum(&|x, y| (x - y).abs()),
    }
}

/// Mean recall and mean work per query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) recall: f64,
    pub(crate) visited: f64,
    pub(crate) distances: f64,
}

/// Every query once at `ef`; each answer has as many hits as there can be.
pub(crate) fn measure(
    data: &Data,
    truths: &[Truth],
    collection: &Collection,
    ef: usize,
    filter: Option<&Filter>,
) -> Figures {
    let mut sum = Figures { recall: 0.0, visited: 0.0, distances: 0.0 };
    for (query, truth) in data.queries.iter().zip(truths) {
        let response = collection.search(query).k(K).ef(ef).filter(filter.cloned()).run().unwrap();
        assert_eq!(response.hits.len(), truth.wanted, "fewer hits than there are rows");
        sum.recall += truth.recall(&response);
        sum.visited += response.explain.work.visited as f64;
        sum.distances += response.explain.work.distances as f64;
    }
    let n = data.queries.len() as f64;
    Figures { recall: sum.recall / n, visited: sum.visited / n, distances: sum.distances / n }
}
