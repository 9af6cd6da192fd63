//! Files of other stores into collections, and collections into files.
//!
//! Owns the formats (`formats/`), the steps of an import, and what is remembered of it. An import is *staged* into a collection that nobody
//! sees, *verified* against the file that it came from, and *switched* in with one commit of the engine.
//!
//! Invariants:
//! - until the switch nothing that anybody sees has changed, and the switch is one commit: a kill at any instant leaves the
//!   collection as it was or as it was to be;
//! - what a kill leaves is found by the next import: of the same files it goes on from there, of others it removes it;
//! - an error removes what was staged;
//! - the last import can be undone until the next one switches.
//!
//! Does not know the command line; progress is told to whoever asks for it. No file is believed, and none is run.

mod digest;
mod elsewhere;
mod export;
mod formats;
mod input;
mod job;
mod journal;
mod lines;
mod plan;
mod rejects;
mod rollback;
mod source;
mod stage;
mod switch;
#[cfg(test)]
mod tests;
mod verify;

pub(crate) use elsewhere::{Elsewhere, Page, bring, send};
pub(crate) use export::{ExportReport, ExportRequest, VectorForm, export};
pub(crate) use formats::{Integers, Plain as Floats, csv_mapping};
pub(crate) use input::{Input, Parsed, bad, extension};
pub(crate) use job::{Mode, Report, Request, Step, run};
pub(crate) use lines::Lines;
pub(crate) use rollback::{RollbackReport, rollback};
pub(crate) use source::{Extra, Format, Spec};
