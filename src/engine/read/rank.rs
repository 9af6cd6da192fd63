//! Rankings made from rankings: one hit per document, and variety.

use super::answer::{Hit, Include};
use crate::codes::Exact;
use crate::config::Metric;
use crate::engine::inner::Inner;
use crate::engine::view::View;
use crate::ids::Slot;
use std::collections::HashSet;

/// What stands in a ranking.
pub(crate) trait Ranked {
    fn document<'a>(&'a self, view: &'a View) -> Option<&'a str>;

    fn vector<'a>(&'a self, view: &'a View) -> Option<&'a [f32]>;

    /// The hit that it is in an answer; nothing if it is damaged.
    fn hit(&self, inner: &Inner, view: &View, distance: f32, include: Include) -> Option<Hit>;
}

impl Ranked for Slot {
    fn document<'a>(&'a self, view: &'a View) -> Option<&'a str> {
        view.tables.rows.document(*self)
    }

    fn vector<'a>(&'a self, view: &'a View) -> Option<&'a [f32]> {
        view.tables.vectors.get(*self)
    }

    fn hit(&self, inner: &Inner, view: &View, distance: f32, include: Include) -> Option<Hit> {
        let Some(row) = view.tables.rows.get(*self) else {
            inner.damage.suspect(*self);
            return None;
        };
        let vector = if include.vector { self.vector(view) } else { None };
        Some(Hit::of(&row, vector, inner.schema.metric, distance, include))
    }
}

/// Keeps the nearest chunk of each document, and every chunk that has none.
pub(crate) fn nearest_of_each_document<T: Ranked>(view: &View, hits: &mut Vec<(f32, T)>) {
    let mut seen = HashSet::new();
    hits.retain(|(_, row)| row.document(view).is_none_or(|document| seen.insert(document.to_owned())));
}

/// Maximal marginal relevance (Carbonell and Goldstein, 1998): chooses `k` hits one by one, each the best by
/// `lambda * score to the query - (1 - lambda) * greatest score to one already chosen`.
pub(crate) fn diversify<T: Ranked>(
    view: &View,
    metric: Metric,
    lambda: f32,
    k: usize,
    hits: &mut Vec<(f32, T)>,
) {
    let mut left = std::mem::take(hits);
    // The greatest score of each to a chosen one.
    let mut alike = vec![f32::NEG_INFINITY; left.len()];
    while hits.len() < k && !left.is_empty() {
        let value = |at: usize| {
            let redundancy = if hits.is_empty() { 0.0 } else { alike[at] };
            lambda * metric.score(left[at].0) - (1.0 - lambda) * redundancy
        };
        // The first of equals: `left` is sorted by nearness.
        let best = (0..left.len()).fold(0, |best, at| if value(at) > value(best) { at } else { best });
        let chosen = left.remove(best);
        alike.remove(best);
        if let Some(vector) = chosen.1.vector(view) {
            let exact = Exact::new(metric, vector);
            for (alike, (_, row)) in alike.iter_mut().zip(&left) {
                if let Some(other) = row.vector(view) {
                    *alike = alike.max(metric.score(exact.distance(other)));
                }
            }
        }
        hits.push(chosen);
    }
}
