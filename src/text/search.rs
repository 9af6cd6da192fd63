//! Searching segments and tail for one question.
//!
//! A segment that cannot be read is forgotten, and the search begins again without it: its rows are lag until somebody looks them up again.

use super::broken;
use super::collect::{Best, Found, Order};
use super::index::{TextIndex, guarded};
use super::question::{Question, Wanted};
use super::segment::{Run, Segment};
use super::statistics::Statistics;
use crate::error::{Error, Result};
use crate::ids::BlockId;
use crate::sets::SlotBits;
use std::borrow::Cow;
use std::sync::Arc;
use tantivy::query::{BooleanQuery, EnableScoring, Occur, PhraseQuery, Query, TermQuery, Weight};
use tantivy::schema::IndexRecordOption;

/// Searches that meet a bad segment drop it and begin again, so often.
const TRIES: usize = 4;

impl TextIndex {
    /// The best `k` rows of `accepted`.
    pub(crate) fn search(
        &self,
        question: &Question,
        wanted: Wanted,
        accepted: &SlotBits,
        k: usize,
        order: &Order<'_>,
    ) -> Result<Found> {
        self.adopt();
        let mut tries = TRIES;
        loop {
            match guarded("search", || self.search_once(question, wanted, accepted, k, order)) {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err((run, e))) => {
                    self.note(&e);
                    self.forget(run);
                    tries -= 1;
                    if tries == 0 {
                        return Err(e);
                    }
                }
                Err(e) => {
                    self.note(&e);
                    return Err(e);
                }
            }
        }
    }

    /// An error in a segment comes with its run.
    fn search_once(
        &self,
        question: &Question,
        wanted: Wanted,
        accepted: &SlotBits,
        k: usize,
        order: &Order<'_>,
    ) -> Result<Result<Found, (Run, Error)>> {
        let mut best = Best::new(k, order);
        let mut found = Found::default();
        if question.is_empty() || k == 0 {
            return Ok(Ok(found));
        }
        let (segments, statistics, question) = {
            let state = self.state.read();
            let segments: Vec<Arc<Segment>> =
                state.segments.iter().map(|held| held.segment.clone()).collect();
            let statistics = match Statistics::new(&segments, &state.tail, &question.terms()) {
                Ok(statistics) => statistics,
                Err(e) => return Ok(Err((self.culprit(&segments, question), e))),
            };
            let question = match wanted {
                Wanted::Any => Cow::Borrowed(question),
                Wanted::All => Cow::Owned(question.known(|word| statistics.is_held(word))),
            };
            for tail in &state.tail {
                found.tail += tail.docs();
                tail.score(&question, wanted, &statistics, &mut |slot, score| {
                    found.scored += 1;
                    if accepted.contains(slot) {
                        best.offer(score, slot);
                    }
                })?;
            }
            (segments, statistics, question)
        };
        found.plain = statistics.plain(&question)?;
        let weight = self.weight(&question, wanted, &statistics)?;
        for segment in &segments {
            let Some(reader) = segment.reader() else { continue };
            found.segments += 1;
            let scored = weight.for_each_pruning(best.threshold(), reader, &mut |document, score| {
                found.scored += 1;
                if let Some(slot) = segment.slot(document).filter(|slot| accepted.contains(*slot)) {
                    best.offer(score, slot);
                }
                best.threshold()
            });
            if let Err(e) = scored {
                return Ok(Err((segment.run, broken("be read", e))));
            }
        }
        found.hits = best.into_hits();
        Ok(Ok(found))
    }

    fn weight(
        &self,
        question: &Question,
        wanted: Wanted,
        statistics: &Statistics,
    ) -> Result<Box<dyn Weight>> {
        let word = |term: &str| -> Box<dyn Query> {
            Box::new(TermQuery::new(statistics.term(term), IndexRecordOption::WithFreqs))
        };
        let phrases = question.phrases.iter().map(|phrase| -> (Occur, Box<dyn Query>) {
            match phrase.as_slice() {
                [(_, term)] => (Occur::Must, word(term)),
                words => {
                    let terms =
                        words.iter().map(|(at, term)| (*at as usize, statistics.term(term))).collect();
                    (Occur::Must, Box::new(PhraseQuery::new_with_offset(terms)))
                }
            }
        });
        let occur = if wanted == Wanted::All { Occur::Must } else { Occur::Should };
        let words = question.words.iter().map(|term| (occur, word(term)));
        let query = BooleanQuery::new(phrases.chain(words).collect());
        let scoring = EnableScoring::enabled_from_statistics_provider(statistics, &self.schema);
        query.weight(scoring).map_err(|e| broken("understand the question", e))
    }

    /// The first segment whose list of words cannot be read.
    fn culprit(&self, segments: &[Arc<Segment>], question: &Question) -> Run {
        let terms = question.terms();
        let is_bad =
            |segment: &&Arc<Segment>| Statistics::new(std::slice::from_ref(*segment), &[], &terms).is_err();
        let none = Run { block: BlockId(0), first: 0, end: 0 };
        segments.iter().find(is_bad).map_or(none, |segment| segment.run)
    }
}
