//! What BM25 has to know of all texts, counted over segments and tail.

use super::broken;
use super::question::Question;
use super::segment::{Segment, schema};
use super::tail::TailRun;
use crate::error::Result;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tantivy::Term;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::query::{Bm25StatisticsProvider, Bm25Weight};
use tantivy::schema::Field;

pub(super) struct Statistics {
    pub(super) field: Field,
    docs: u64,
    tokens: u64,
    /// Texts that hold each word of the question.
    freqs: HashMap<Term, u64>,
}

impl Statistics {
    pub(super) fn new(segments: &[Arc<Segment>], tail: &[TailRun], terms: &BTreeSet<&str>) -> Result<Self> {
        let (_, field) = schema();
        let docs =
            segments.iter().map(|s| s.docs()).sum::<usize>() + tail.iter().map(TailRun::docs).sum::<usize>();
        let tokens =
            segments.iter().map(|s| s.tokens()).sum::<u64>() + tail.iter().map(TailRun::tokens).sum::<u64>();
        let mut freqs = HashMap::new();
        for text in terms {
            let term = Term::from_field_text(field, text);
            let mut freq: u64 = tail.iter().map(|run| run.doc_freq(text)).sum();
            for reader in segments.iter().filter_map(|segment| segment.reader()) {
                let index = reader.inverted_index(field).map_err(|e| broken("be read", e))?;
                freq += u64::from(index.doc_freq(&term).map_err(|e| broken("be read", e))?);
            }
            freqs.insert(term, freq);
        }
        Ok(Self { field, docs: docs as u64, tokens, freqs })
    }

    pub(super) fn term(&self, text: &str) -> Term {
        Term::from_field_text(self.field, text)
    }

    /// Whether some text holds the word.
    pub(super) fn is_held(&self, text: &str) -> bool {
        self.freqs.get(&self.term(text)).is_some_and(|freq| *freq > 0)
    }

    /// What a text of average length scores that holds each word and phrase once.
    pub(super) fn plain(&self, question: &Question) -> Result<f32> {
        let words = u32::try_from(self.tokens / self.docs.max(1)).unwrap_or(u32::MAX);
        let length = FieldNormReader::fieldnorm_to_id(words);
        let phrases =
            question.phrases.iter().map(|phrase| phrase.iter().map(|(_, term)| term.as_str()).collect());
        let words = question.words.iter().map(|term| vec![term.as_str()]);
        let once = |terms: Vec<&str>| Ok(self.weight(terms.into_iter())?.score(length, 1));
        phrases.chain(words).map(once).sum()
    }

    /// The weight of a word, or of some that stand together.
    pub(super) fn weight<'t>(&self, terms: impl Iterator<Item = &'t str>) -> Result<Bm25Weight> {
        let terms: Vec<Term> = terms.map(|term| self.term(term)).collect();
        Bm25Weight::for_terms(self, &terms).map_err(|e| broken("weigh words", e))
    }
}

impl Bm25StatisticsProvider for Statistics {
    fn total_num_tokens(&self, _: Field) -> tantivy::Result<u64> {
        Ok(self.tokens)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(self.docs)
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        Ok(self.freqs.get(term).copied().unwrap_or(0))
    }
}
