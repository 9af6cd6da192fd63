//! Rankings made from rankings: one hit per document, and variety.

use crate::codes::Exact;
use crate::config::Metric;
use crate::engine::view::View;
use crate::ids::Slot;
use std::collections::HashSet;

/// Keeps the nearest chunk of each document, and every chunk that has none.
pub(crate) fn nearest_of_each_document(view: &View, hits: &mut Vec<(f32, Slot)>) {
    let mut seen = HashSet::new();
    hits.retain(|(_, slot)| view.tables.rows.document(*slot).is_none_or(|document| seen.insert(document)));
}

/// Maximal marginal relevance (Carbonell and Goldstein, 1998): chooses `k` hits one by one, each the best by
/// `lambda * score to the query - (1 - lambda) * greatest score to one already chosen`.
pub(crate) fn diversify(view: &View, metric: Metric, lambda: f32, k: usize, hits: &mut Vec<(f32, Slot)>) {
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
        if let Some(vector) = view.tables.vectors.get(chosen.1) {
            let exact = Exact::new(metric, vector);
            for (alike, (_, slot)) in alike.iter_mut().zip(&left) {
                if let Some(other) = view.tables.vectors.get(*slot) {
                    *alike = alike.max(metric.score(exact.distance(other)));
                }
            }
        }
        hits.push(chosen);
    }
}
