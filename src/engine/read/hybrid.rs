//! Searches with a text leg: words alone, or words and a vector.
//!
//! Invariants: filter, tenant, thresholds and grouping hold for each leg before rankings are joined; a hit whose vector lies beyond a
//! threshold is no hit, whichever leg found it; a leg that did not run, or not over all rows, is named; without any there is no answer.

use super::answer::{Explain, Leg, Response, TextWork};
use super::filling::Filling;
use super::fuse::{Fusion, Legs, fuse};
use super::search::{How, Search, answer, source};
use crate::codes::Exact;
use crate::engine::view::View;
use crate::engine::words::Wanted;
use crate::error::{Error, ErrorKind, Result};
use crate::filter::Plan;
use crate::ids::Slot;
use crate::limits;
use crate::metrics::Work;
use crate::sets::SlotBits;
use std::collections::{HashMap, HashSet};

/// Hits that each leg hands to fusion for each one asked for, and at least so many in all.
const POOL_PER_HIT: usize = 4;
const POOL_MIN: usize = 50;
/// The same of the vector leg where words lift: what the scale of its scores is taken from.
const LIFT_POOL_PER_HIT: usize = 3;
const LIFT_POOL_MIN: usize = 30;

/// What a leg found: scores, higher is better, the best first.
struct Ranked {
    hits: Vec<(f32, Slot)>,
    /// Of a text leg: see [`Legs::plain`].
    plain: f32,
    explain: Option<Explain>,
    work: Option<TextWork>,
    is_whole: bool,
}

impl Search<'_> {
    /// Answers by words, or by both legs.
    pub(super) fn run_legs(&self, view: &View, filling: Option<&Filling>) -> Result<Response> {
        let vector = self.query.map(|query| self.vector_leg(view, query, self.pool(self.fusion))).transpose();
        // What is lifted must stand on something.
        let vector_hits = vector.as_ref().ok().and_then(Option::as_ref).map_or(0, |leg| leg.hits.len());
        let lifts = self.is_hybrid && self.fusion == Fusion::Lift && vector_hits >= self.k;
        let fusion = if lifts || self.fusion != Fusion::Lift { self.fusion } else { Fusion::Weighted };
        let (wanted, pool) = if lifts { (Wanted::All, self.k + 1) } else { (Wanted::Any, self.pool(fusion)) };
        let text = self.words.map(|words| self.text_leg(view, words, wanted, pool)).transpose();
        let mut degraded = Vec::new();
        let (vector, text) = match (vector, text) {
            (Err(e), _) if !self.is_recoverable(&e) => return Err(e),
            (_, Err(e)) if !self.is_recoverable(&e) => return Err(e),
            (Err(e), Err(_) | Ok(None)) | (Ok(None), Err(e)) => return Err(e),
            (vector, text) => (vector.ok().flatten(), text.ok().flatten()),
        };
        let is_whole = |leg: &Option<Ranked>| leg.as_ref().is_some_and(|leg| leg.is_whole);
        if self.is_hybrid && !is_whole(&vector) {
            degraded.push(Leg::Vector);
        }
        if !is_whole(&text) {
            degraded.push(Leg::Text);
        }
        let hits = match (&vector, &text) {
            (None, None) => {
                return Err(Error::invalid("a search needs a vector, or a text with a word in it"));
            }
            (None, Some(text)) if !self.is_hybrid => text.hits.clone(),
            // Too many to tell which.
            _ if lifts && hits_of(&text).len() > self.k => self.fused(view, fusion, &vector, &None),
            _ => self.fused(view, fusion, &vector, &text),
        };
        let text_scores: HashMap<Slot, f32> =
            hits_of(&text).iter().map(|(score, slot)| (*slot, *score)).collect();
        let nothing = Explain {
            plan: Plan::Exact,
            candidates: 0,
            tail: 0,
            ef: 0,
            work: Work::default(),
            retries: 0,
            text: None,
        };
        let explain = vector.as_ref().and_then(|leg| leg.explain).unwrap_or(nothing);
        let explain = Explain { text: text.as_ref().and_then(|leg| leg.work), ..explain };
        let how = How { exact: false, source: source(filling), explain, degraded_legs: degraded };
        let ranked: Vec<(f32, Slot)> = hits.iter().map(|(score, slot)| (-score, *slot)).collect();
        let mut response = answer(self.collection, view, &ranked, how, self.include);
        // Rows that cannot be read are in no answer, so hits are told by id.
        let slots: HashMap<&str, Slot> =
            hits.iter().map(|(_, slot)| (view.tables.rows.id(*slot), *slot)).collect();
        for hit in &mut response.hits {
            hit.score = -hit.distance;
            let Some(slot) = slots.get(hit.id.as_str()) else { continue };
            hit.text_score = text_scores.get(slot).copied();
            hit.vector_distance = self.query.and_then(|query| self.distance(view, query, *slot));
            hit.snippet = self.snippet(view, *slot);
        }
        Ok(response)
    }

    /// Hits that a leg hands to fusion.
    fn pool(&self, fusion: Fusion) -> usize {
        let (per_hit, min) = match fusion {
            Fusion::Lift => (LIFT_POOL_PER_HIT, LIFT_POOL_MIN),
            Fusion::Rrf | Fusion::Weighted => (POOL_PER_HIT, POOL_MIN),
        };
        if self.is_hybrid { (self.k * per_hit).clamp(min, limits::K_MAX) } else { self.k }
    }

    /// Whether the other leg may answer alone.
    fn is_recoverable(&self, e: &Error) -> bool {
        self.is_hybrid
            && matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Corrupt | ErrorKind::Internal)
    }

    fn vector_leg(&self, view: &View, query: &[f32], pool: usize) -> Result<Ranked> {
        self.collection.check_query(query)?;
        let (accepted, filtered) = self.collection.accepted(view, self.filter.as_ref())?;
        let mut ranking = self.rank(view, query, &accepted, filtered, pool);
        if self.group_by_document {
            ranking = self.grouped(view, query, &accepted, filtered, ranking);
        }
        ranking.hits.retain(|(distance, _)| self.is_near(*distance));
        let metric = self.metric();
        let hits = ranking.hits.iter().map(|(distance, slot)| (metric.score(*distance), *slot)).collect();
        Ok(Ranked { hits, plain: 0.0, explain: Some(ranking.explain), work: None, is_whole: true })
    }

    fn text_leg(&self, view: &View, words: &str, wanted: Wanted, pool: usize) -> Result<Ranked> {
        let inner = self.collection.inner();
        let accepted = self.collection.accepted_texts(view, self.filter.as_ref())?;
        let id = |slot| view.tables.rows.id(slot);
        let mut k = pool;
        loop {
            let mut found =
                inner.words.search(view, words, wanted, &accepted, k, &|a, b| id(a).cmp(id(b)))?;
            let is_all = found.hits.len() < k || k >= accepted.len().min(limits::K_MAX);
            found.hits.retain(|(score, slot)| self.passes(view, *score, *slot));
            if self.group_by_document {
                one_of_each_document(view, &mut found.hits);
            }
            // More than are asked for say that the words tell nothing.
            let enough = if wanted == Wanted::All { pool } else { pool.min(self.k) };
            if found.hits.len() >= enough || is_all {
                found.hits.truncate(pool);
                return Ok(Ranked {
                    hits: found.hits,
                    plain: found.plain,
                    explain: None,
                    work: Some(found.work),
                    is_whole: found.is_whole,
                });
            }
            k = k.saturating_mul(4).min(accepted.len()).min(limits::K_MAX);
        }
    }

    /// Whether a hit of the text leg is within the thresholds.
    fn passes(&self, view: &View, score: f32, slot: Slot) -> bool {
        match self.query.filter(|_| self.has_thresholds()) {
            Some(query) => self.distance(view, query, slot).is_none_or(|distance| self.is_near(distance)),
            None => self.is_hybrid || self.min_score.is_none_or(|min| score >= min),
        }
    }

    fn has_thresholds(&self) -> bool {
        self.max_distance.is_some() || self.min_score.is_some()
    }

    fn is_near(&self, distance: f32) -> bool {
        self.max_distance.is_none_or(|max| distance <= max)
            && self.min_score.is_none_or(|min| self.metric().score(distance) >= min)
    }

    /// How far the row is, if it has a vector.
    fn distance(&self, view: &View, query: &[f32], slot: Slot) -> Option<f32> {
        let vector = view.tables.vectors.get(slot).filter(|_| view.ready.contains(slot))?;
        Some(Exact::new(self.metric(), query).distance(vector))
    }

    /// One ranking of both: by score, then by id. Where documents are grouped they are what is ranked, each with the chunk of the leg that
    /// names it first.
    fn fused(
        &self,
        view: &View,
        fusion: Fusion,
        vector: &Option<Ranked>,
        text: &Option<Ranked>,
    ) -> Vec<(f32, Slot)> {
        let mut heads: HashMap<&str, Slot> = HashMap::new();
        let mut head = |slot: Slot| match view.tables.rows.document(slot).filter(|_| self.group_by_document) {
            Some(document) => *heads.entry(document).or_insert(slot),
            None => slot,
        };
        let mut by_head = |leg: &[(f32, Slot)]| -> Vec<(f32, Slot)> {
            leg.iter().map(|(score, slot)| (*score, head(*slot))).collect()
        };
        let plain = text.as_ref().map_or(0.0, |leg| leg.plain);
        let (vector, text) = (by_head(hits_of(vector)), by_head(hits_of(text)));
        let score = |distance| self.metric().score(distance);
        let near = |slot| self.query.and_then(|query| self.distance(view, query, slot)).map(score);
        let weight = self.vector_weight.unwrap_or(fusion.vector_weight());
        let fused = fuse(fusion, weight, &Legs { vector: &vector, text: &text, plain, near: &near });
        let mut hits: Vec<(f32, Slot)> = fused.into_iter().map(|(slot, score)| (score, slot)).collect();
        let id = |slot| view.tables.rows.id(slot);
        hits.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then_with(|| id(a.1).cmp(id(b.1))));
        hits.truncate(self.k);
        hits
    }
}

impl crate::engine::Collection {
    /// The slots that a text leg may answer with: those without a vector among them.
    fn accepted_texts(&self, view: &View, filter: Option<&crate::filter::Filter>) -> Result<SlotBits> {
        self.ready()?;
        self.live(view, filter)
    }
}

fn hits_of(leg: &Option<Ranked>) -> &[(f32, Slot)] {
    leg.as_ref().map_or(&[], |leg| &leg.hits)
}

/// Keeps the best chunk of each document, and every chunk that has none.
fn one_of_each_document(view: &View, hits: &mut Vec<(f32, Slot)>) {
    let mut seen = HashSet::new();
    hits.retain(|(_, slot)| view.tables.rows.document(*slot).is_none_or(|document| seen.insert(document)));
}
