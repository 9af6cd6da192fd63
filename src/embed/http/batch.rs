//! Which texts go into one request: a pure function over their sizes.

use std::ops::Range;

/// Consecutive ranges of texts, none with more than `texts_max` texts, or more than `tokens_max` tokens unless it is one text.
pub(super) fn cut(tokens: &[usize], texts_max: usize, tokens_max: usize) -> Vec<Range<usize>> {
    let (mut batches, mut from, mut sum) = (Vec::new(), 0, 0_usize);
    for (at, n) in tokens.iter().enumerate() {
        if at > from && (at - from == texts_max || sum.saturating_add(*n) > tokens_max) {
            batches.push(from..at);
            (from, sum) = (at, 0);
        }
        sum = sum.saturating_add(*n);
    }
    if from < tokens.len() {
        batches.push(from..tokens.len());
    }
    batches
}
