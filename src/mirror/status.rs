//! What the mirror says of itself.
//!
//! Invariant: one line is told for each change of state, and none otherwise (M16).

use super::backoff::Breaker;
use super::deep::AuditProgress;
use super::gate::FallbackStatus;
use super::options::{MirrorOptions, OnChange, OnRebuild};
use super::rebuild::RebuildProgress;
use super::remote::{FaultClass, Remote};
use super::report::Root;
use super::sides::Sides;
use crate::ids::Seq;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// Dirty rows that are older make a mirror lag.
const LAG_MS: u64 = 10_000;

/// Where a mirror stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MirrorState {
    /// It was stopped.
    #[default]
    Disabled,
    /// The database does not answer, or not yet.
    Connecting,
    /// Collections are compared or filled.
    Verifying,
    /// The feed has not read all there is.
    CatchingUp,
    /// Both sides are equal, but for what was written in the last seconds.
    InSync,
    /// Rows have waited for longer than 10 seconds to be sent, those aside that the database refuses (`dead_letters_out`).
    Lagging,
    /// A person must decide, with `resolve`; the word says about what.
    Blocked(&'static str),
    /// A collection, or the tables, are of another shape there: nothing is written to either side.
    SchemaMismatch,
    /// The database lacks room, memory or connections.
    DbResource,
}

impl fmt::Display for MirrorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "disabled",
            Self::Connecting => "connecting",
            Self::Verifying => "verifying",
            Self::CatchingUp => "catching_up",
            Self::InSync => "in_sync",
            Self::Lagging => "lagging",
            Self::Blocked(reason) => return write!(f, "blocked:{reason}"),
            Self::SchemaMismatch => "schema_mismatch",
            Self::DbResource => "db_resource",
        })
    }
}

impl Serialize for MirrorState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The last comparison of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LastAudit {
    /// When.
    pub unix_ms: u64,
    /// This store.
    pub local: Root,
    /// The database.
    pub database: Root,
    /// Rows that differed.
    pub drift: usize,
}

/// Which database answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DatabaseInfo {
    /// Its name and version.
    pub server: String,
    /// The cluster.
    pub system: String,
    /// Rises with every failover.
    pub timeline: u32,
    /// The database in it.
    pub database: String,
    /// Another one after every TRUNCATE.
    pub epoch: String,
    /// `supervised` where triggers notice rows edited by hand at once, else `unsupervised`: then deep audits do.
    pub foreign_writes: &'static str,
    /// Its clock less ours, in milliseconds.
    pub clock_skew_ms: i64,
}

/// What a mirror does and has done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MirrorStatus {
    /// Where it stands.
    pub state: MirrorState,
    /// Since when.
    pub since_unix_ms: u64,
    /// The last fault, or what must be decided.
    pub reason: Option<String>,
    /// Rows that wait to be sent. This store has their only copy.
    pub dirty_rows: usize,
    /// Deletions that wait to be sent.
    pub dirty_deletes: usize,
    /// Age of the oldest of both, in milliseconds: what is at risk if this disk dies.
    pub oldest_dirty_ms: Option<u64>,
    /// Everything up to this commit is in the database.
    pub acked_seq: Seq,
    /// Milliseconds since all changes in the database were here; nothing before the first time.
    pub feed_lag_ms: Option<u64>,
    /// Versions written here that lost to newer ones.
    pub conflicts: u64,
    /// Rows that the database refuses.
    pub dead_letters_out: usize,
    /// Rows of the database that cannot be stored here.
    pub dead_letters_in: usize,
    /// Versions sent.
    pub pushed: u64,
    /// Versions taken over.
    pub pulled: u64,
    /// Damaged rows that were fetched again.
    pub refetched: u64,
    /// Rows found to differ by comparisons.
    pub drift_found: u64,
    /// Those of them that were put right.
    pub drift_fixed: u64,
    /// The last comparison of each collection.
    pub audits: BTreeMap<String, LastAudit>,
    /// How far filling has come, while it is under way.
    pub rebuild: Option<RebuildProgress>,
    /// How far a deep audit has come, while it is under way.
    pub audit: Option<AuditProgress>,
    /// Collections that lack rows of the database: their searches are answered as the option `fallback` says.
    pub filling: Vec<String>,
    /// What became of such searches, where the database answers them.
    pub fallback: Option<FallbackStatus>,
    /// Whether the database is tried.
    pub breaker: Option<Breaker>,
    /// Which database answered last.
    pub database: Option<DatabaseInfo>,
    /// Collections that are left alone, and why.
    pub ignored: BTreeMap<String, String>,
    /// What holds nothing up and somebody should know of: an index that the database could not make.
    pub notes: Vec<String>,
}

/// What the state follows from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    pub(super) blocked: Option<&'static str>,
    pub(super) fault: Option<FaultClass>,
    pub(super) is_connected: bool,
    pub(super) is_mismatch: bool,
    pub(super) is_unverified: bool,
    pub(super) is_caught_up: bool,
    pub(super) oldest_dirty_ms: u64,
}

pub(super) fn state_of(facts: &Facts) -> MirrorState {
    let Facts { blocked, fault, is_connected, is_mismatch, is_unverified, is_caught_up, oldest_dirty_ms } =
        *facts;
    match (blocked, fault) {
        (Some(reason), _) => MirrorState::Blocked(reason),
        (_, Some(FaultClass::Schema)) => MirrorState::SchemaMismatch,
        (_, Some(FaultClass::Resource)) => MirrorState::DbResource,
        _ if !is_connected => MirrorState::Connecting,
        _ if is_mismatch => MirrorState::SchemaMismatch,
        _ if is_unverified => MirrorState::Verifying,
        _ if !is_caught_up => MirrorState::CatchingUp,
        _ if oldest_dirty_ms > LAG_MS => MirrorState::Lagging,
        _ => MirrorState::InSync,
    }
}

/// Where the last status hangs, for whoever asks.
#[derive(Default)]
pub(super) struct Board {
    status: Mutex<MirrorStatus>,
}

impl Board {
    pub(super) fn read(&self) -> MirrorStatus {
        self.status.lock().clone()
    }

    /// Hangs up a newer one; tells of it if the state is another, or filling has gone on.
    pub(super) fn post(&self, mut status: MirrorStatus, now_ms: u64, options: &MirrorOptions) {
        let mut last = self.status.lock();
        let progress = progress(last.rebuild.as_ref(), status.rebuild.as_ref());
        let was = last.state;
        status.since_unix_ms = if was == status.state { last.since_unix_ms } else { now_ms };
        let line = (was != status.state).then(|| match &status.reason {
            Some(reason) => format!("mirror: {was} -> {}: {reason}", status.state),
            None => format!("mirror: {was} -> {}", status.state),
        });
        *last = status;
        drop(last);
        if let (Some(line), Some(OnChange(told))) = (line, &options.on_change) {
            told(&line);
        }
        if let (Some(progress), Some(OnRebuild(told))) = (progress, &options.on_rebuild) {
            told(&progress);
        }
    }
}

/// What is to be told of filling: that it went on, or that it is done.
fn progress(was: Option<&RebuildProgress>, is: Option<&RebuildProgress>) -> Option<RebuildProgress> {
    match (was, is) {
        (Some(was), None) => Some(RebuildProgress { left_ms: Some(0), ..was.clone() }),
        (Some(was), Some(is)) if (&was.collection, was.rows) == (&is.collection, is.rows) => None,
        (_, is) => is.cloned(),
    }
}

impl<R: Remote> Sides<R> {
    pub(super) fn status(&self) -> crate::error::Result<MirrorStatus> {
        let now = self.now_ms();
        let here = |there: &String| self.tap.name_here(there);
        let mut status = MirrorStatus { acked_seq: self.tap.clean_seq(), ..MirrorStatus::default() };
        let (mut oldest, mut waiting): (Option<u64>, Option<u64>) = (None, None);
        for collection in self.tap.collections()? {
            let dirty = collection.dirty();
            let of_those = match self.letters.len() {
                (0, _) => dirty.oldest_unix_ms,
                // What the database refuses is not late.
                _ => self.oldest_waiting(&collection, false),
            };
            waiting = waiting.into_iter().chain(of_those).min();
            status.dirty_rows += dirty.rows;
            status.dirty_deletes += dirty.graves;
            oldest = oldest.into_iter().chain(dirty.oldest_unix_ms).min();
        }
        status.oldest_dirty_ms = oldest.map(|at| now.saturating_sub(at));
        let ignored = |known: &super::memory::Known| match known.ignored.as_ref()? {
            super::memory::Ignored::Mismatch(why) => Some(why.clone()),
            super::memory::Ignored::Dropped => Some("it was dropped here".to_owned()),
        };
        let all = &self.memory.collections;
        status.ignored = all.iter().filter_map(|(name, known)| Some((here(name), ignored(known)?))).collect();
        let is_mismatch = |known: &super::memory::Known| {
            known.ignored.as_ref().is_some_and(|ignored| *ignored != super::memory::Ignored::Dropped)
        };
        status.state = state_of(&Facts {
            blocked: self.blocked.as_ref().map(super::guards::Block::reason),
            fault: self.backoff.class(),
            is_connected: self.database.is_some(),
            is_mismatch: all.values().any(is_mismatch),
            is_unverified: self.memory.unverified().is_some(),
            is_caught_up: self.caught_up_ms.is_some(),
            oldest_dirty_ms: waiting.map_or(0, |at| now.saturating_sub(at)),
        });
        status.reason = match (&self.blocked, self.backoff.class()) {
            (Some(block), _) => Some(block.to_string()),
            (None, Some(_)) => self.last_fault.clone(),
            (None, None) => status
                .ignored
                .values()
                .next()
                .filter(|_| status.state == MirrorState::SchemaMismatch)
                .cloned(),
        };
        status.feed_lag_ms = self.caught_up_ms.map(|at| now.saturating_sub(at));
        (status.dead_letters_out, status.dead_letters_in) = self.letters.len();
        let counts = self.counts;
        (status.conflicts, status.pushed, status.pulled) = (counts.conflicts, counts.pushed, counts.pulled);
        (status.drift_found, status.drift_fixed) = (counts.drift_found, counts.drift_fixed);
        status.refetched = counts.refetched;
        status.audits =
            self.audits.iter().map(|(name, report)| (here(name), LastAudit::of(report))).collect();
        status.rebuild = self.progress();
        status.audit = self.auditing.clone();
        status.filling = self.filling()?;
        status.rebuild.iter_mut().for_each(|fill| fill.collection = here(&fill.collection));
        status.audit.iter_mut().for_each(|audit| audit.collection = here(&audit.collection));
        status.filling.iter_mut().for_each(|name| *name = here(name));
        status.fallback = self.fallback.as_ref().map(|(_, gate)| gate.status());
        status.breaker = Some(self.backoff.breaker(now));
        status.database = self.database.as_ref().map(|database| DatabaseInfo {
            server: database.server.clone(),
            system: database.identity.system.clone(),
            timeline: database.identity.timeline,
            database: database.identity.database.clone(),
            epoch: database.identity.epoch.clone(),
            foreign_writes: if database.is_supervised { "supervised" } else { "unsupervised" },
            clock_skew_ms: database.unix_ms - self.looked_ms as i64,
        });
        Ok(status)
    }
}

impl LastAudit {
    fn of(report: &super::report::AuditReport) -> Self {
        let drift = report.drift();
        Self { unix_ms: report.unix_ms, local: report.local, database: report.database, drift }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_state_follows_from_the_facts() {
        let good = Facts { is_connected: true, is_caught_up: true, ..Facts::default() };
        let table = [
            (good, "in_sync"),
            (Facts::default(), "connecting"),
            (Facts { oldest_dirty_ms: LAG_MS + 1, ..good }, "lagging"),
            (Facts { is_caught_up: false, ..good }, "catching_up"),
            (Facts { is_unverified: true, is_caught_up: false, ..good }, "verifying"),
            (Facts { is_mismatch: true, is_unverified: true, ..good }, "schema_mismatch"),
            (Facts { fault: Some(FaultClass::Transient), is_connected: false, ..good }, "connecting"),
            (Facts { fault: Some(FaultClass::Permission), is_connected: false, ..good }, "connecting"),
            (Facts { fault: Some(FaultClass::Schema), is_connected: false, ..good }, "schema_mismatch"),
            (Facts { fault: Some(FaultClass::Resource), is_connected: false, ..good }, "db_resource"),
            (Facts { blocked: Some("mass_delete"), is_connected: false, ..good }, "blocked:mass_delete"),
        ];
        for (facts, state) in table {
            assert_eq!(state_of(&facts).to_string(), state, "{facts:?}");
        }
    }

    #[test]
    fn a_change_of_state_is_told_once() {
        let (board, lines) = (Board::default(), Arc::new(Mutex::new(Vec::new())));
        let options = MirrorOptions::default().on_change({
            let lines = lines.clone();
            move |line: &str| lines.lock().push(line.to_owned())
        });
        let status = |state, reason: Option<&str>| MirrorStatus {
            state,
            reason: reason.map(str::to_owned),
            ..MirrorStatus::default()
        };
        board.post(status(MirrorState::Connecting, None), 1, &options);
        board.post(status(MirrorState::Connecting, Some("refused")), 2, &options);
        board.post(status(MirrorState::Blocked("mass_delete"), Some("9 of 9")), 3, &options);
        let expected =
            ["mirror: disabled -> connecting", "mirror: connecting -> blocked:mass_delete: 9 of 9"];
        assert_eq!(*lines.lock(), expected);
        assert_eq!(board.read().since_unix_ms, 3);
        assert_eq!(serde_json::to_value(board.read()).unwrap()["state"], "blocked:mass_delete");
    }

    #[test]
    fn filling_is_told_as_it_goes_on_and_when_it_is_done() {
        let (board, told) = (Board::default(), Arc::new(Mutex::new(Vec::new())));
        let options = MirrorOptions::default().on_rebuild({
            let told = told.clone();
            move |at: &RebuildProgress| told.lock().push((at.rows, at.left_ms))
        });
        for rows in [None, Some(0), Some(5), Some(5), Some(9), None, None] {
            let rebuild = rows.map(|rows| RebuildProgress { rows, left_ms: Some(70), ..Default::default() });
            board.post(MirrorStatus { rebuild, ..MirrorStatus::default() }, 1, &options);
        }
        assert_eq!(*told.lock(), [(0, Some(70)), (5, Some(70)), (9, Some(70)), (9, Some(0))]);
    }
}
