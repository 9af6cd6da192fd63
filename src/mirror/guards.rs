//! When the mirror stops and asks. Pure: counts and identities in, a verdict out.
//!
//! Invariants: no automatic step deletes more than the guard (M17); after an identity change nothing is deleted before a full
//! comparison (M11); a copied data directory does not write under its original's name.

use super::options::MirrorOptions;
use super::remote::{Database, Identity, NodeMark};
use std::fmt;

/// What a person must decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    MassDelete { collection: String, deletes: usize, rows: usize },
    DatabaseEmpty { collection: String, rows: usize },
    DatabaseReplaced { was: Identity, is: Identity },
    ClonedDirectory { ours: NodeMark, found: NodeMark },
    Damage { collection: String, lost: usize, rows: usize },
}

impl Block {
    /// The word after `blocked:` in the state.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::MassDelete { .. } => "mass_delete",
            Self::DatabaseEmpty { .. } => "database_empty",
            Self::DatabaseReplaced { .. } => "database_replaced",
            Self::ClonedDirectory { .. } => "cloned_directory",
            Self::Damage { .. } => "damage",
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MassDelete { collection, deletes, rows } => {
                write!(f, "{deletes} or more of {rows} rows of {collection:?} would be deleted here")
            }
            Self::DatabaseEmpty { collection, rows } => {
                write!(f, "the database has no row of {collection:?}, here are {rows} that it once had")
            }
            Self::DatabaseReplaced { was, is } => write!(
                f,
                "this is another database: system {}, epoch {}; it was system {}, epoch {}",
                is.system, is.epoch, was.system, was.epoch
            ),
            Self::ClonedDirectory { ours, found } => write!(
                f,
                "another copy of this data directory writes to the database: it was opened {} times and has sent {}, this one {} and {}",
                found.incarnation, found.pushes, ours.incarnation, ours.pushes
            ),
            Self::Damage { collection, lost, rows } => {
                write!(f, "{lost} of {rows} rows of {collection:?} are damaged: look at the disk first")
            }
        }
    }
}

/// Deletions that one step may carry out in a collection of `rows`.
pub(super) fn deletes_max(options: &MirrorOptions, rows: usize) -> usize {
    options.delete_guard_rows.max((rows as f64 * options.delete_guard_share) as usize)
}

/// Whether so many rows are lost that the disk is suspected and not the rows.
pub(super) fn is_disk_suspect(options: &MirrorOptions, lost: usize, rows: usize) -> bool {
    let all = lost + rows;
    lost > options.delete_guard_rows && lost as f64 > all as f64 * options.damage_guard_share
}

/// What is known of the database from before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remembered<'a> {
    pub(super) identity: Option<&'a Identity>,
    /// The last push that it answered.
    pub(super) acked: Option<NodeMark>,
    /// The last push that was tried.
    pub(super) sent: NodeMark,
    /// Something here is a copy of what it once had.
    pub(super) has_clean: bool,
}

/// Who answered, measured by what is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meeting {
    /// Nothing is known here that could be lost: begin anew.
    First,
    Same,
    /// It lost its last commits, or may have: send again, compare everything.
    WentBack,
    Stop(Block),
}

pub(super) fn meet(remembered: &Remembered<'_>, found: &Database) -> Meeting {
    let Remembered { identity, acked, sent, has_clean } = *remembered;
    if let Some(mark) = found.mark
        && (mark.incarnation, mark.pushes) > (sent.incarnation, sent.pushes)
    {
        return Meeting::Stop(Block::ClonedDirectory { ours: sent, found: mark });
    }
    let Some(was) = identity else { return Meeting::First };
    let is = &found.identity;
    if (&was.system, &was.database, &was.epoch) != (&is.system, &is.database, &is.epoch) {
        let block = Block::DatabaseReplaced { was: was.clone(), is: is.clone() };
        return if has_clean { Meeting::Stop(block) } else { Meeting::First };
    }
    let order = |mark: NodeMark| (mark.incarnation, mark.pushes);
    let went_back = acked.is_some_and(|acked| found.mark.is_none_or(|mark| order(mark) < order(acked)));
    if was.timeline != is.timeline || went_back { Meeting::WentBack } else { Meeting::Same }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delete_guard_is_the_greater_of_both() {
        let o = MirrorOptions::default();
        for (rows, max) in [(0, 500), (1_000, 500), (10_000, 500), (10_020, 501), (1_000_000, 50_000)] {
            assert_eq!(deletes_max(&o, rows), max, "{rows} rows");
        }
    }

    #[test]
    fn a_disk_is_suspected_beyond_a_fifth() {
        let o = MirrorOptions::default();
        for (lost, rows, is) in
            [(0, 0, false), (500, 0, false), (501, 0, true), (2_000, 8_000, false), (2_001, 7_999, true)]
        {
            assert_eq!(is_disk_suspect(&o, lost, rows), is, "{lost} of {rows}");
        }
    }

    fn identity(system: &str, timeline: u32, epoch: &str) -> Identity {
        Identity { system: system.into(), timeline, database: "d".into(), epoch: epoch.into() }
    }

    fn mark(incarnation: u64, pushes: u64) -> NodeMark {
        NodeMark { node: 7, incarnation, pushes }
    }

    #[test]
    fn who_answers_is_measured_by_what_is_remembered() {
        let was = identity("s", 1, "e");
        let sent = mark(3, 10);
        let table = [
            // identity remembered, acked, clean rows; found identity, mark; verdict
            (None, None, false, identity("s", 1, "e"), None, "first"),
            (None, None, true, identity("s", 1, "e"), None, "first"),
            (Some(&was), None, true, identity("s", 1, "e"), None, "same"),
            (Some(&was), Some(mark(3, 9)), true, identity("s", 1, "e"), Some(mark(3, 9)), "same"),
            (Some(&was), Some(mark(3, 9)), true, identity("s", 1, "e"), Some(mark(3, 10)), "same"),
            (Some(&was), Some(mark(2, 99)), true, identity("s", 1, "e"), Some(mark(3, 1)), "same"),
            (Some(&was), Some(mark(3, 9)), true, identity("s", 1, "e"), Some(mark(3, 8)), "back"),
            (Some(&was), Some(mark(3, 9)), true, identity("s", 1, "e"), Some(mark(2, 99)), "back"),
            (Some(&was), Some(mark(3, 9)), true, identity("s", 1, "e"), None, "back"),
            (Some(&was), Some(mark(3, 9)), true, identity("s", 2, "e"), Some(mark(3, 9)), "back"),
            (Some(&was), None, false, identity("t", 1, "e"), None, "first"),
            (Some(&was), None, true, identity("t", 1, "e"), None, "replaced"),
            (Some(&was), None, true, identity("s", 1, "f"), None, "replaced"),
            (Some(&was), None, true, identity("s", 1, "e"), Some(mark(4, 0)), "cloned"),
            (Some(&was), None, true, identity("s", 1, "e"), Some(mark(3, 11)), "cloned"),
            (None, None, false, identity("s", 1, "e"), Some(mark(4, 0)), "cloned"),
        ];
        for (at, (identity, acked, has_clean, is, mark, verdict)) in table.into_iter().enumerate() {
            let found = Database {
                identity: is,
                digest_seed: 0,
                is_standby: false,
                is_read_only: false,
                unix_ms: 0,
                is_supervised: true,
                mark,
                tombstone_floor: 0,
                server: String::new(),
            };
            let word = match meet(&Remembered { identity, acked, sent, has_clean }, &found) {
                Meeting::First => "first",
                Meeting::Same => "same",
                Meeting::WentBack => "back",
                Meeting::Stop(Block::DatabaseReplaced { .. }) => "replaced",
                Meeting::Stop(Block::ClonedDirectory { .. }) => "cloned",
                Meeting::Stop(_) => "other",
            };
            assert_eq!(word, verdict, "case {at}");
        }
    }
}
