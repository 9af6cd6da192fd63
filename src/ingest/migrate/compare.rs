//! Both models asked the same, before the switch.
//!
//! Neighbours are looked for exactly, so that what differs are the models and not what a graph missed; times are those of usual searches.

use super::Migration;
use crate::config::within;
use crate::embed::Embedder;
use crate::engine::Collection;
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::record::Chunk;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Words of an excerpt at least.
const WORDS: usize = 4;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queries {
    /// So many rows of the collection, the same for the same seed: the middle of the text of each.
    Rows {
        /// How many, 1 to 10,000.
        rows: usize,
        /// Which.
        seed: u64,
    },
    /// These.
    Texts(Vec<String>),
}

/// How to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparisonOptions {
    /// What is asked. Default: the texts of 100 rows.
    pub queries: Queries,
    /// Neighbours that are compared, 1 to 1,000. Default: 10.
    pub k: usize,
    /// For whom texts are asked, in a collection that requires a tenant. Rows are asked for their own.
    pub tenant: Option<String>,
}

impl Default for ComparisonOptions {
    fn default() -> Self {
        Self { queries: Queries::Rows { rows: 100, seed: 42 }, k: 10, tenant: None }
    }
}

/// One model's answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SideComparison {
    /// The collection.
    pub collection: String,
    /// The share of queries that found the row that they are of, among `k`. Only where both models embedded the queries.
    pub found: Option<f64>,
    /// The share that found it first.
    pub found_first: Option<f64>,
    /// The median of a usual search, in microseconds.
    pub search_p50_us: f64,
}

/// How two models differ.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Queries that were asked.
    pub queries: usize,
    /// Neighbours that were compared.
    pub k: usize,
    /// The mean share of neighbours that both sides name.
    pub overlap: f64,
    /// The collection as it is.
    pub before: SideComparison,
    /// The filled one.
    pub after: SideComparison,
}

/// A query on its way.
struct Query {
    /// The row that it is of.
    row: Option<Chunk>,
    tenant: Option<String>,
    vectors: [Vec<f32>; 2],
}

impl Migration {
    /// Asks both collections the same. `before` and `after` are their models. Without `before`, rows stand for themselves: their vectors are the
    /// queries, they do not count as their own neighbours, and whether a text finds its row is not told.
    pub fn compare(
        &self,
        before: Option<&dyn Embedder>,
        after: &dyn Embedder,
        options: &ComparisonOptions,
    ) -> Result<Comparison> {
        within("k", options.k, 1, 1_000, "10 is the default")?;
        let sides = [self.from()?, self.filled()?];
        for (side, embedder) in sides.iter().zip([before, Some(after)]) {
            if let Some(embedder) = embedder.filter(|embedder| embedder.dim() != side.schema().dim) {
                let message = format!(
                    "model {} makes vectors of {} numbers, collection {:?} has {}: name its own model",
                    excerpt(embedder.model()),
                    embedder.dim(),
                    side.name(),
                    side.schema().dim
                );
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
        let queries = queries(&sides, before, after, options)?;
        if queries.is_empty() {
            let message =
                "there is nothing to ask: no row of both collections has a text and a vector; fill it first";
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        ask(&sides, &queries, options.k, before.is_some())
    }
}

fn queries(
    sides: &[Collection; 2],
    before: Option<&dyn Embedder>,
    after: &dyn Embedder,
    options: &ComparisonOptions,
) -> Result<Vec<Query>> {
    let (rows, texts): (Vec<Option<Chunk>>, Vec<String>) = match (&options.queries, before) {
        (Queries::Texts(_), None) => {
            let message =
                "texts are embedded by both models: name the model that the collection has now, too";
            return Err(Error::invalid(message));
        }
        (Queries::Texts(texts), Some(_)) => (vec![None; texts.len()], texts.clone()),
        (Queries::Rows { rows, seed }, _) => {
            within("rows", *rows, 1, 10_000, "100 is the default")?;
            // Of the second: what has its vector there has one in the first, most often.
            let sample = sides[1].sample(*rows, *seed)?;
            let texts =
                sample.iter().map(|row| excerpt_of(row.text.as_deref().unwrap_or_default())).collect();
            (sample.into_iter().map(Some).collect(), texts)
        }
    };
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let Some(before) = before else { return own_vectors(sides, rows) };
    let made = [before.embed_each(&texts), after.embed_each(&texts)];
    let [one, other] = made;
    let mut queries = Vec::new();
    for ((row, one), other) in rows.into_iter().zip(one).zip(other) {
        let vectors = match (one, other) {
            (Ok(one), Ok(other)) => [one, other],
            // An excerpt without a word has no vector: it is no question.
            (Err(e), _) | (_, Err(e)) if e.kind() == ErrorKind::Invalid && row.is_some() => continue,
            (Err(e), _) | (_, Err(e)) => return Err(e),
        };
        let tenant = row.as_ref().map_or(options.tenant.clone(), |row| row.tenant.clone());
        queries.push(Query { row, tenant, vectors });
    }
    Ok(queries)
}

/// Rows that stand for themselves.
fn own_vectors(sides: &[Collection; 2], rows: Vec<Option<Chunk>>) -> Result<Vec<Query>> {
    let mut queries = Vec::new();
    for row in rows.into_iter().flatten() {
        let there = on_behalf(&sides[0], row.tenant.as_deref()).get(&row.id)?;
        if let (Some(one), Some(other)) = (there.and_then(|row| row.vector), row.vector.clone()) {
            queries.push(Query { tenant: row.tenant.clone(), row: Some(row), vectors: [one, other] });
        }
    }
    Ok(queries)
}

fn ask(sides: &[Collection; 2], queries: &[Query], k: usize, finds: bool) -> Result<Comparison> {
    let mut times = [Vec::new(), Vec::new()];
    let (mut overlap, mut found, mut first) = (0.0, [0; 2], [0; 2]);
    for query in queries {
        let mut named: [Vec<String>; 2] = Default::default();
        let own = query.row.as_ref().map(|row| row.id.as_str());
        for (side, collection) in sides.iter().enumerate() {
            let collection = on_behalf(collection, query.tenant.as_deref());
            let search = collection.search(&query.vectors[side]);
            let began = Instant::now();
            search.clone().k(k).run()?;
            times[side].push(began.elapsed());
            let hits = search.k(if finds { k } else { k + 1 }).exact(true).run()?.hits;
            let mut ids: Vec<String> = hits.into_iter().map(|hit| hit.id.to_string()).collect();
            found[side] += usize::from(ids.iter().any(|id| own == Some(id)));
            first[side] += usize::from(ids.first().is_some_and(|id| own == Some(id)));
            if !finds {
                ids.retain(|id| own != Some(id));
                ids.truncate(k);
            }
            named[side] = ids;
        }
        let one: HashSet<&String> = named[0].iter().collect();
        let most = named[0].len().max(named[1].len());
        let both = named[1].iter().filter(|id| one.contains(id)).count();
        overlap += if most == 0 { 1.0 } else { both as f64 / most as f64 };
    }
    let all = queries.len() as f64;
    let has_rows = finds && queries.iter().all(|query| query.row.is_some());
    let side = |at: usize| SideComparison {
        collection: sides[at].name().to_owned(),
        found: has_rows.then(|| found[at] as f64 / all),
        found_first: has_rows.then(|| first[at] as f64 / all),
        search_p50_us: median(&times[at]).as_secs_f64() * 1e6,
    };
    Ok(Comparison { queries: queries.len(), k, overlap: overlap / all, before: side(0), after: side(1) })
}

/// A tenant's rows, where calls must name one; everybody's where not.
fn on_behalf(collection: &Collection, tenant: Option<&str>) -> Collection {
    match tenant.filter(|_| collection.schema().tenant_required) {
        Some(tenant) => collection.tenant(tenant),
        None => collection.clone(),
    }
}

/// The third of the words in the middle, or all of a few.
fn excerpt_of(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.len() < 2 * WORDS {
        return text.to_owned();
    }
    let taken = (words.len() / 3).max(WORDS);
    let from = (words.len() - taken) / 2;
    words[from..from + taken].join(" ")
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
