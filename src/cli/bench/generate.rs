//! Vectors that are as hard to search as real embeddings, from a seed.
//!
//! The model: a mixture in a space of `LATENT` dimensions, mapped linearly to `dim` dimensions, plus a little noise.
//! A cluster has a centre and a spread for each latent axis; the spreads fall like rank^(-1/4) in an order of its own,
//! so that each cluster is flat in its own directions. Clusters overlap, and their sizes are uneven (cluster =
//! clusters * u^2, so the first hundredth holds a tenth of the rows).
//!
//! The constants are chosen to match 20,000 rows of real text embeddings (package descriptions, 384 dimensions): local
//! intrinsic dimension 23.7 against 24.4, and recall@10 of hnswlib (M 16, efConstruction 200) at ef 16, 32, 64, 128 of
//! .813 .914 .975 .997 against .876 .941 .977 .994. Narrow clusters far apart would be solved at the smallest width.
//!
//! Row i depends on the seed and i alone: any number of threads makes the same rows, and fewer rows are a prefix of
//! more. Only operations that IEEE 754 rounds exactly are used, so every machine makes the same bits.

use super::data::Matrix;

const LATENT: usize = 32;
/// Standard deviation of the centres on each latent axis, against 1 for the widest axis of a cluster.
const CENTRE_SPREAD: f32 = 0.4;
/// Length of the noise.
const NOISE: f32 = 1.0;

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recipe {
    pub(super) seed: u64,
    pub(super) dim: usize,
    pub(super) clusters: usize,
}

/// Independent sources of randomness under one seed.
#[derive(Clone, Copy)]
enum Stream {
    Axes,
    Centres,
    Base,
    Queries,
}

/// The distribution that a recipe stands for.
pub(super) struct Mixture {
    recipe: Recipe,
    /// `LATENT` rows of `dim`.
    axes: Vec<f32>,
    /// For each cluster, centre and spread on each latent axis.
    clusters: Vec<[(f32, f32); LATENT]>,
}

impl Mixture {
    pub(super) fn new(recipe: Recipe) -> Self {
        let scale = 1.0 / (recipe.dim as f32).sqrt();
        let mut random = Random::new(recipe.seed, Stream::Axes, 0);
        let axes = (0..LATENT * recipe.dim).map(|_| random.bell() * scale).collect();
        let clusters = (0..recipe.clusters).map(|c| cluster(recipe.seed, c)).collect();
        Self { recipe, axes, clusters }
    }

    /// The first `rows` vectors to index, made on `threads` threads.
    pub(super) fn base(&self, rows: usize, threads: usize) -> Matrix {
        self.matrix(Stream::Base, rows, threads)
    }

    /// The first `rows` vectors to search for: of the same distribution, none of them in the base.
    pub(super) fn queries(&self, rows: usize, threads: usize) -> Matrix {
        self.matrix(Stream::Queries, rows, threads)
    }

    fn matrix(&self, stream: Stream, rows: usize, threads: usize) -> Matrix {
        let dim = self.recipe.dim;
        let mut values = vec![0.0; rows * dim];
        let share = rows.div_ceil(threads.max(1)).max(1);
        std::thread::scope(|scope| {
            for (t, part) in values.chunks_mut(share * dim).enumerate() {
                scope.spawn(move || {
                    for (i, row) in part.chunks_mut(dim).enumerate() {
                        self.fill(row, Random::new(self.recipe.seed, stream, (t * share + i) as u64));
                    }
                });
            }
        });
        Matrix { dim, values }
    }

    fn fill(&self, row: &mut [f32], mut random: Random) {
        let u = random.unit();
        let chosen = (u * u * self.clusters.len() as f32) as usize;
        let noise = NOISE / (row.len() as f32).sqrt();
        row.fill_with(|| random.bell() * noise);
        let chosen = &self.clusters[chosen.min(self.clusters.len() - 1)];
        for (&(centre, spread), axis) in chosen.iter().zip(self.axes.chunks_exact(row.len())) {
            let along = centre + spread * random.bell();
            for (value, direction) in row.iter_mut().zip(axis) {
                *value += along * direction;
            }
        }
    }
}

fn cluster(seed: u64, index: usize) -> [(f32, f32); LATENT] {
    let mut random = Random::new(seed, Stream::Centres, index as u64);
    let mut ranks: [usize; LATENT] = std::array::from_fn(|i| i);
    for i in (1..LATENT).rev() {
        ranks.swap(i, (random.unit() * (i + 1) as f32) as usize);
    }
    ranks.map(|rank| (CENTRE_SPREAD * random.bell(), 1.0 / (rank as f32 + 1.0).sqrt().sqrt()))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: Stream, index: u64) -> Self {
        Self(mix(mix(mix(seed) ^ stream as u64) ^ index))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in 0..1, all of its 24 bits random.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// Mean 0, deviation 1: the sum of four uniform values, which is close to normal and needs no library function
    /// whose last bit differs between machines.
    fn bell(&mut self) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
        // Four uniform values on 0..65536 have a variance of 4 / 12 * 65536^2.
        (sum as f32 - 131_070.0) * (1.732_050_8 / 65_536.0)
    }
}

fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
