//! The question: builders of searches, their checks, and how rankings become answers.

use super::answer::{Explain, Include, Leg, Response, Snippet, Source};
use super::filling::{Filling, Hunt};
use super::fuse::Fusion;
use super::rank::{self, Ranked};
use super::run::{Job, Ranking};
use crate::config::Metric;
use crate::engine::collection::Collection;
use crate::engine::view::View;
use crate::engine::write::upsert::Token;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::ids::Slot;
use crate::limits;
use crate::sets::SlotBits;

/// Default width of the beam.
const EF: usize = 64;
/// Hits asked for by default.
const K: usize = 10;
/// Candidates that MMR chooses from, for each hit.
const MMR_POOL_PER_HIT: usize = 4;

/// A search under construction; made by [`Collection::search`].
#[derive(Clone)]
#[must_use = "a search does nothing until it is run"]
pub struct Search<'a> {
    pub(super) collection: &'a Collection,
    /// The question of the vector leg, if there is one.
    pub(super) query: Option<&'a [f32]>,
    /// That of the text leg.
    pub(super) words: Option<&'a str>,
    /// Both legs were asked for, whether there is a question for them or not.
    pub(super) is_hybrid: bool,
    pub(super) fusion: Fusion,
    pub(super) vector_weight: Option<f32>,
    pub(super) k: usize,
    ef: Option<usize>,
    pub(super) filter: Option<Filter>,
    exact: bool,
    pub(super) max_distance: Option<f32>,
    pub(super) min_score: Option<f32>,
    mmr: Option<f32>,
    pub(super) group_by_document: bool,
    pub(super) include: Include,
}

impl<'a> Search<'a> {
    pub(crate) fn new(collection: &'a Collection, query: &'a [f32]) -> Self {
        Self::with_legs(collection, Some(query), None, false)
    }

    /// A search with the legs that there is a question for. An empty one of a hybrid search is none.
    pub(crate) fn with_legs(
        collection: &'a Collection,
        query: Option<&'a [f32]>,
        words: Option<&'a str>,
        is_hybrid: bool,
    ) -> Self {
        Self {
            collection,
            query: query.filter(|query| !is_hybrid || !query.is_empty()),
            words: words.filter(|words| !is_hybrid || words.contains(char::is_alphanumeric)),
            is_hybrid,
            fusion: Fusion::default(),
            vector_weight: None,
            k: K,
            ef: None,
            filter: None,
            exact: false,
            max_distance: None,
            min_score: None,
            mmr: None,
            group_by_document: false,
            include: Include::NONE,
        }
    }

    /// How many hits. Default: 10.
    pub fn k(mut self, k: usize) -> Self {
        self.k = k;
        self
    }

    /// How hard to look: more finds more and takes longer. Near what it means in other HNSW libraries, not the same:
    /// measure on your data. It may be less than `k`. Default: 64, or `k` if that is more.
    pub fn ef(mut self, ef: usize) -> Self {
        self.ef = Some(ef);
        self
    }

    /// Only chunks whose metadata match.
    pub fn filter(mut self, filter: impl Into<Option<Filter>>) -> Self {
        self.filter = filter.into();
        self
    }

    /// Compare every candidate at full precision. Default: false.
    pub fn exact(mut self, exact: bool) -> Self {
        self.exact = exact;
        self
    }

    /// How the rankings of a hybrid search become one. Default: [`Fusion::Lift`].
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// The vector leg's share of the score, 0 to 1; the rest is the text leg's. [`Fusion::Rrf`] has none. Default: 0.5 under
    /// [`Fusion::Lift`], 0.7 under [`Fusion::Weighted`].
    pub fn vector_weight(mut self, weight: f32) -> Self {
        self.vector_weight = Some(weight);
        self
    }

    /// Only hits at most this far. In a hybrid search hits of the text leg must be as near, if they have a vector.
    pub fn max_distance(mut self, distance: f32) -> Self {
        self.max_distance = Some(distance);
        self
    }

    /// Only hits with at least this score: that of the metric, also in a hybrid search (see [`Self::max_distance`]); BM25's in a search for
    /// words alone.
    pub fn min_score(mut self, score: f32) -> Self {
        self.min_score = Some(score);
        self
    }

    /// Trade nearness for variety (maximal marginal relevance): 1 is nearness alone, 0 variety alone.
    pub fn mmr(mut self, lambda: f32) -> Self {
        self.mmr = Some(lambda);
        self
    }

    /// At most one hit per document, its nearest. Chunks without a document stand for themselves.
    pub fn group_by_document(mut self, group: bool) -> Self {
        self.group_by_document = group;
        self
    }

    /// What hits carry. Default: [`Include::NONE`].
    pub fn include(mut self, include: Include) -> Self {
        self.include = include;
        self
    }

    /// Answers.
    pub fn run(&self) -> Result<Response> {
        let (view, filling) = self.collection.inner().searched();
        self.run_on(&view, filling.as_ref())
    }

    pub(crate) fn collection(&self) -> &'a Collection {
        self.collection
    }

    pub(crate) fn run_on(&self, view: &View, filling: Option<&Filling>) -> Result<Response> {
        self.check()?;
        let Some(query) = self.query.filter(|_| !self.is_hybrid) else { return self.run_legs(view, filling) };
        self.collection.check_query(query)?;
        let (accepted, filtered) = self.collection.accepted(view, self.filter.as_ref())?;
        let k = if self.mmr.is_some() { self.k.saturating_mul(MMR_POOL_PER_HIT) } else { self.k };
        let k = k.min(limits::K_MAX);
        if let Some(response) =
            filling.and_then(|filling| self.run_on_both(view, query, filling, &accepted, k))
        {
            return Ok(response);
        }
        let mut ranking = self.rank(view, query, &accepted, filtered, k);
        if self.group_by_document {
            ranking = self.grouped(view, query, &accepted, filtered, ranking);
        }
        let hits = self.settled(view, ranking.hits);
        let how = How {
            exact: ranking.exact,
            source: source(filling),
            explain: ranking.explain,
            degraded_legs: Vec::new(),
        };
        Ok(answer(self.collection, view, &hits, how, self.include))
    }

    /// Answers with rows that are not here yet, if somebody can be asked.
    fn run_on_both(
        &self,
        view: &View,
        query: &[f32],
        filling: &Filling,
        accepted: &SlotBits,
        wanted: usize,
    ) -> Option<Response> {
        let exactly = Self { exact: true, ..self.clone() };
        let rank = |slots: &SlotBits, k: usize| {
            let ranking = exactly.rank(view, query, slots, true, k);
            if self.group_by_document { exactly.grouped(view, query, slots, true, ranking) } else { ranking }
        };
        let hunt = Hunt {
            collection: self.collection,
            view,
            query,
            filter: self.filter.as_ref(),
            accepted,
            wanted,
            by_document: self.group_by_document,
            distance_max: self.max_distance.unwrap_or(f32::INFINITY),
            rank: &rank,
        };
        let (mut hits, explain) = hunt.run(filling)?;
        if self.group_by_document {
            rank::nearest_of_each_document(view, &mut hits);
        }
        hits.truncate(wanted);
        let hits = self.settled(view, hits);
        let how = How { exact: true, source: Source::Database, explain, degraded_legs: Vec::new() };
        Some(answer(self.collection, view, &hits, how, self.include))
    }

    /// The hits that are near enough, and various enough, as many as were asked for.
    fn settled<T: Ranked>(&self, view: &View, mut hits: Vec<(f32, T)>) -> Vec<(f32, T)> {
        let metric = self.metric();
        let max = self.max_distance.unwrap_or(f32::INFINITY);
        let min = self.min_score.unwrap_or(f32::NEG_INFINITY);
        hits.retain(|(d, _)| *d <= max && metric.score(*d) >= min);
        if let Some(lambda) = self.mmr {
            rank::diversify(view, metric, lambda, self.k, &mut hits);
        }
        hits.truncate(self.k);
        hits
    }

    pub(super) fn rank(
        &self,
        view: &View,
        query: &[f32],
        accepted: &SlotBits,
        filtered: bool,
        k: usize,
    ) -> Ranking {
        let ef = self.ef.unwrap_or(EF.max(k));
        let job = Job { view, query, k, ef, accepted, filtered, exact: self.exact };
        self.collection.inner().run(&job)
    }

    /// Ranks more and more chunks until there are `k` documents among them, or no more chunks.
    pub(super) fn grouped(
        &self,
        view: &View,
        query: &[f32],
        accepted: &SlotBits,
        filtered: bool,
        mut ranking: Ranking,
    ) -> Ranking {
        let mut k = self.k;
        loop {
            let ranked = ranking.hits.len();
            let mut groups = ranking.hits.clone();
            rank::nearest_of_each_document(view, &mut groups);
            let wanted = if self.mmr.is_some() { self.k * MMR_POOL_PER_HIT } else { self.k };
            if groups.len() >= wanted || ranked >= accepted.len() || k >= accepted.len() {
                ranking.hits = groups;
                return ranking;
            }
            k = k.saturating_mul(4).min(accepted.len());
            ranking = self.rank(view, query, accepted, filtered, k);
        }
    }

    pub(super) fn metric(&self) -> Metric {
        self.collection.inner().schema.metric
    }

    /// Where asked for, what shows that the row was found by words.
    pub(super) fn snippet(&self, view: &View, slot: Slot) -> Option<Snippet> {
        let words = self.words.filter(|_| self.include.snippet)?;
        self.collection.inner().words.snippet(view.tables.rows.get(slot)?.text?, words)
    }

    fn check(&self) -> Result<()> {
        within("k", self.k, limits::K_MAX)?;
        if let Some(ef) = self.ef {
            within("ef", ef, limits::EF_MAX)?;
        }
        not_nan("max_distance", self.max_distance)?;
        not_nan("min_score", self.min_score)?;
        if let Some(lambda) = self.mmr
            && !(0.0..=1.0).contains(&lambda)
        {
            return Err(Error::invalid(format!("mmr lambda is {lambda}; it must be 0 to 1")));
        }
        if let Some(weight) = self.vector_weight
            && !(0.0..=1.0).contains(&weight)
        {
            return Err(Error::invalid(format!("vector_weight is {weight}; it must be 0 to 1")));
        }
        if self.words.is_none() && !self.is_hybrid {
            return Ok(());
        }
        if self.mmr.is_some() {
            return Err(Error::invalid("mmr chooses by vectors alone; leave it out of a search for words"));
        }
        if self.query.is_none() && !self.is_hybrid && self.max_distance.is_some() {
            return Err(Error::invalid(
                "max_distance needs a vector; a search for words alone has min_score",
            ));
        }
        Ok(())
    }
}

/// A search for every chunk within a distance; made by [`Collection::range`].
#[derive(Clone)]
#[must_use = "a search does nothing until it is run"]
pub struct RangeSearch<'a> {
    collection: &'a Collection,
    query: &'a [f32],
    max_distance: f32,
    limit: usize,
    filter: Option<Filter>,
    include: Include,
}

impl<'a> RangeSearch<'a> {
    pub(crate) fn new(collection: &'a Collection, query: &'a [f32], max_distance: f32) -> Self {
        let limit = limits::RANGE_HITS_MAX;
        Self { collection, query, max_distance, limit, filter: None, include: Include::NONE }
    }

    /// At most so many hits, the nearest. Default and most: 10,000.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Only chunks whose metadata match.
    pub fn filter(mut self, filter: impl Into<Option<Filter>>) -> Self {
        self.filter = filter.into();
        self
    }

    /// What hits carry. Default: [`Include::NONE`].
    pub fn include(mut self, include: Include) -> Self {
        self.include = include;
        self
    }

    /// Answers with every chunk within the distance: all candidates are compared at full precision, so none is missed.
    pub fn run(&self) -> Result<Response> {
        within("limit", self.limit, limits::RANGE_HITS_MAX)?;
        not_nan("max_distance", Some(self.max_distance))?;
        self.collection.check_query(self.query)?;
        let (view, filling) = self.collection.inner().searched();
        let (accepted, filtered) = self.collection.accepted(&view, self.filter.as_ref())?;
        if let Some(response) = filling.as_ref().and_then(|f| self.run_on_both(&view, f, &accepted)) {
            return Ok(response);
        }
        let mut ranking = self.rank(&view, &accepted, filtered, self.limit);
        ranking.hits.retain(|(d, _)| *d <= self.max_distance);
        let how = How {
            exact: ranking.exact,
            source: source(filling.as_ref()),
            explain: ranking.explain,
            degraded_legs: Vec::new(),
        };
        Ok(answer(self.collection, &view, &ranking.hits, how, self.include))
    }

    /// Answers with rows that are not here yet, if somebody can be asked.
    fn run_on_both(&self, view: &View, filling: &Filling, accepted: &SlotBits) -> Option<Response> {
        let hunt = Hunt {
            collection: self.collection,
            view,
            query: self.query,
            filter: self.filter.as_ref(),
            accepted,
            wanted: self.limit,
            by_document: false,
            distance_max: self.max_distance,
            rank: &|slots, k| self.rank(view, slots, true, k),
        };
        let (mut hits, explain) = hunt.run(filling)?;
        hits.retain(|(d, _)| *d <= self.max_distance);
        hits.truncate(self.limit);
        let how = How { exact: true, source: Source::Database, explain, degraded_legs: Vec::new() };
        Some(answer(self.collection, view, &hits, how, self.include))
    }

    fn rank(&self, view: &View, accepted: &SlotBits, filtered: bool, k: usize) -> Ranking {
        let job = Job { view, query: self.query, k, ef: 1, accepted, filtered, exact: true };
        self.collection.inner().run(&job)
    }
}

/// How an answer came about.
pub(super) struct How {
    pub(super) exact: bool,
    pub(super) source: Source,
    pub(super) explain: Explain,
    pub(super) degraded_legs: Vec<Leg>,
}

/// Where the rows come from if nobody elsewhere was heard.
pub(super) fn source(filling: Option<&Filling>) -> Source {
    if filling.is_some() { Source::Partial } else { Source::Local }
}

pub(super) fn answer<T: Ranked>(
    collection: &Collection,
    view: &View,
    hits: &[(f32, T)],
    how: How,
    include: Include,
) -> Response {
    let inner = collection.inner();
    let hits = hits.iter().filter_map(|(distance, row)| row.hit(inner, view, *distance, include)).collect();
    let as_of = Token { incarnation: 0, seq: view.seq };
    let How { exact, source, explain, degraded_legs } = how;
    Response { hits, as_of, exact, degraded: inner.is_degraded(), degraded_legs, source, explain }
}

fn within(name: &str, value: usize, max: usize) -> Result<()> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} is {value}; it must be 1 to {max}")))
}

fn not_nan(name: &str, value: Option<f32>) -> Result<()> {
    if value.is_some_and(f32::is_nan) {
        return Err(Error::invalid(format!("{name} is NaN; it must be a number")));
    }
    Ok(())
}
