//! Micro benches of the graph through the public API: what an insert, a search in each regime, a delete and a heal cost.
//! Seeded data; prints work counters beside times. `cargo bench --bench graph [ROWS]`

#![allow(clippy::print_stdout, reason = "a bench prints")]

use nearfield::{Chunk, Collection, Filter, Metric, Options, Schema, Store};
use std::time::Instant;

const DIM: usize = 256;
const CLUSTERS: usize = 200;
const QUERIES: usize = 500;

fn main() -> nearfield::Result<()> {
    // cargo bench passes flags of its own.
    let rows = std::env::args().skip(1).find_map(|a| a.parse().ok()).unwrap_or(20_000);
    println!("{rows} rows x {DIM}, {}, seed 1", nearfield::instruction_set());
    let mut random = Random(1);
    let centers: Vec<Vec<f32>> = (0..CLUSTERS).map(|_| random.vector()).collect();
    let vectors: Vec<Vec<f32>> =
        (0..rows + QUERIES).map(|i| random.near(&centers[i * 7 % CLUSTERS])).collect();
    let (base, queries) = vectors.split_at(rows);
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
        let store = Store::memory_with(Options::default())?;
        let docs = store.create_collection("bench", Schema::new(DIM, metric))?;
        let start = Instant::now();
        for (n, part) in base.chunks(4096).enumerate() {
            docs.upsert(part.iter().enumerate().map(|(i, v)| chunk(n * 4096 + i, v)))?;
        }
        println!("{metric}: insert {:.1} us a row", micros(start, rows));
        for ef in [16, 64, 256] {
            search(&docs, queries, &format!("ef {ef}"), ef, None)?;
        }
        for share in [500, 100, 20, 2] {
            search(
                &docs,
                queries,
                &format!("filter {} permille", share),
                64,
                Some(Filter::lt("permille", share)),
            )?;
        }
        let start = Instant::now();
        let (deleted, _) = docs.delete_where(&Filter::lt("permille", 300))?;
        println!("  delete {:.2} us a row", micros(start, deleted));
        let start = Instant::now();
        docs.heal()?;
        println!("  heal {:.1} us a live row", micros(start, rows - deleted));
        search(&docs, queries, "after healing", 64, None)?;
    }
    Ok(())
}

fn search(
    docs: &Collection,
    queries: &[Vec<f32>],
    what: &str,
    ef: usize,
    filter: Option<Filter>,
) -> nearfield::Result<()> {
    let (mut distances, mut visited, mut plan) = (0, 0, None);
    let mut best = f64::INFINITY;
    for _ in 0..3 {
        (distances, visited) = (0, 0);
        let start = Instant::now();
        for query in queries {
            let found = docs.search(query).ef(ef).filter(filter.clone()).run()?;
            distances += found.explain.work.distances;
            visited += found.explain.work.visited;
            plan = Some(found.explain.plan);
        }
        best = best.min(micros(start, queries.len()));
    }
    let n = queries.len() as u64;
    let plan = plan.map(|p| p.to_string()).unwrap_or_default();
    println!("  {what:22} {best:7.1} us  visited {:4}  distances {:5}  {plan}", visited / n, distances / n);
    Ok(())
}

fn chunk(row: usize, vector: &[f32]) -> Chunk {
    Chunk::new(row.to_string()).vector(vector).meta("permille", row as u64 * 7919 % 1000)
}

fn micros(start: Instant, calls: usize) -> f64 {
    start.elapsed().as_secs_f64() * 1e6 / calls.max(1) as f64
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn float(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIM).map(|_| self.float()).collect()
    }

    fn near(&mut self, center: &[f32]) -> Vec<f32> {
        center.iter().map(|c| c + 0.8 * self.float()).collect()
    }
}
