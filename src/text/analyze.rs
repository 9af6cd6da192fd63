//! From a text to words. The same for texts and for questions, but for stop words: a text keeps them, so that phrases find them, and
//! a question drops them unless it has nothing else.

use super::format::ANALYZER;
use crate::config::Language;
use crate::limits;
use std::collections::BTreeSet;
use tantivy::tokenizer::{
    AsciiFoldingFilter, Language as Stems, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer,
    StopWordFilter, TextAnalyzer, TokenStream,
};

/// A word of a text: what is compared, which one it is, and where it stands.
pub(super) struct Word<'a> {
    pub(super) term: &'a str,
    pub(super) position: u32,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Cuts texts into words. Its clones cut alike.
#[derive(Clone)]
pub(super) struct Analyzer {
    language: Language,
    all: TextAnalyzer,
    /// The same without stop words; `None` where the language has no list of them.
    telling: Option<TextAnalyzer>,
}

impl Analyzer {
    /// `None` for a language that is off.
    pub(super) fn new(language: Language) -> Option<Self> {
        let stems = match language {
            Language::Off => return None,
            language => stems_of(language),
        };
        let words = || {
            let base = TextAnalyzer::builder(SimpleTokenizer::default());
            base.filter(RemoveLongFilter::limit(limits::TEXT_TERM_BYTES_MAX)).filter(LowerCaser).dynamic()
        };
        let stop = stems.and_then(StopWordFilter::new);
        let telling = stop.map(|stop| {
            let words = words().filter_dynamic(stop);
            finish(words, stems)
        });
        Some(Self { language, all: finish(words(), stems), telling })
    }

    pub(super) fn language(&self) -> Language {
        self.language
    }

    /// Which words it makes: segments of another analyzer are not used.
    pub(super) fn version(&self) -> u32 {
        ANALYZER
    }

    /// For tantivy, under the name that the schema has.
    pub(super) fn tantivy(&self) -> TextAnalyzer {
        self.all.clone()
    }

    /// Calls `each` for every word, in order.
    pub(super) fn words(&mut self, text: &str, each: &mut dyn FnMut(Word<'_>)) {
        walk(&mut self.all, text, each);
    }

    /// Whether the language has a list of words that say nothing.
    pub(super) fn has_stop_words(&self) -> bool {
        self.telling.is_some()
    }

    /// The positions of words that are no stop words; `None` if there is nothing else, or no list of them.
    pub(super) fn telling(&mut self, text: &str) -> Option<BTreeSet<u32>> {
        let mut positions = BTreeSet::new();
        walk(self.telling.as_mut()?, text, &mut |word| {
            positions.insert(word.position);
        });
        (!positions.is_empty()).then_some(positions)
    }
}

fn finish(words: tantivy::tokenizer::TextAnalyzerBuilder, stems: Option<Stems>) -> TextAnalyzer {
    let words = match stems {
        Some(stems) => words.filter_dynamic(Stemmer::new(stems)),
        None => words,
    };
    // After the stems, which need the accents.
    words.filter_dynamic(AsciiFoldingFilter).build()
}

fn walk(analyzer: &mut TextAnalyzer, text: &str, each: &mut dyn FnMut(Word<'_>)) {
    let mut stream = analyzer.token_stream(text);
    while stream.advance() {
        let token = stream.token();
        each(Word {
            term: &token.text,
            position: u32::try_from(token.position).unwrap_or(u32::MAX),
            from: token.offset_from,
            to: token.offset_to,
        });
    }
}

fn stems_of(language: Language) -> Option<Stems> {
    Some(match language {
        Language::Off | Language::None => return None,
        Language::English => Stems::English,
        Language::Arabic => Stems::Arabic,
        Language::Danish => Stems::Danish,
        Language::Dutch => Stems::Dutch,
        Language::Finnish => Stems::Finnish,
        Language::French => Stems::French,
        Language::German => Stems::German,
        Language::Greek => Stems::Greek,
        Language::Hungarian => Stems::Hungarian,
        Language::Italian => Stems::Italian,
        Language::Norwegian => Stems::Norwegian,
        Language::Portuguese => Stems::Portuguese,
        Language::Romanian => Stems::Romanian,
        Language::Russian => Stems::Russian,
        Language::Spanish => Stems::Spanish,
        Language::Swedish => Stems::Swedish,
        Language::Tamil => Stems::Tamil,
        Language::Turkish => Stems::Turkish,
    })
}
