//! Full-text search: which texts hold the words of a question, best first (BM25), over immutable segments made with tantivy.
//!
//! Owns the words of a collection: how texts are cut into them, segments (a run of slots of one block, made once, saved in one file), the
//! tail of rows that stand in no segment yet, and the ranking over both.
//!
//! Invariants:
//! - segments and tail cover each block from its first slot on without a gap; a slot is covered once, and what is covered never changes;
//! - statistics (how many texts, how long, how many hold a word) are counted over segments and tail together, so that a row has the
//!   same score on either side;
//! - all of it is derived: a segment that cannot be read is dropped with all that follow it in its block, and made again from rows;
//! - no thread is started here, and no lock is held while a segment is made.
//!
//! Knows slots, texts and a predicate; no id, no metadata, no tenant, no collection. What tantivy calls an index is one segment here: of its
//! writers, readers, merges and directories only those are used that start no thread and touch no file.

mod analyze;
mod bundle;
mod collect;
mod format;
mod index;
mod merges;
mod question;
mod search;
mod segment;
mod snippet;
mod state;
mod statistics;
mod tail;
#[cfg(test)]
mod tests;

pub(crate) use index::{SavedSegment, TextIndex, Texts};
pub(crate) use question::Wanted;
pub(crate) use segment::Run;
pub(crate) use snippet::Snippet;

use crate::error::{Error, ErrorKind};

/// What tantivy says, as an error of ours: its files are derived, and its failures end in a rebuild.
fn broken(what: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the text index cannot {what}: {cause}"))
}
