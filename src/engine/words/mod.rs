//! The text index of a collection, as the engine uses it: rows come from the view, files are named in the manifest.
//!
//! Invariant: nothing here fails a write, a checkpoint of rows or an opening: what goes wrong is told in statistics and answers, and the words are
//! looked up again. Without the feature `text` there are no words, and a search for some is refused.

#[cfg(not(feature = "text"))]
mod absent;
#[cfg(feature = "text")]
mod served;
#[cfg(test)]
#[cfg(feature = "text")]
mod tests;

#[cfg(not(feature = "text"))]
pub(crate) use absent::Words;
#[cfg(feature = "text")]
pub(crate) use served::Words;

use super::read::answer::TextWork;
use crate::ids::Slot;

/// Which texts a text leg answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those that hold some of the words.
    Any,
    /// Those that hold all of them, words that no text holds aside.
    All,
}

/// What the text leg of a search found.
pub(crate) struct TextHits {
    /// By score, then by id.
    pub(crate) hits: Vec<(f32, Slot)>,
    /// What a text of average length scores that holds all words once.
    pub(crate) plain: f32,
    pub(crate) work: TextWork,
    /// All rows were looked at.
    pub(crate) is_whole: bool,
}
