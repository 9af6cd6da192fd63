//! The mirror, if the server has one: what routes ask of it, in plain values.
//!
//! A build without the feature `mirror` has `absent.rs` in this place.

pub use crate::Mirror;

use super::metrics::text::Text;
use super::problem::{Code, Problem};
use crate::{AuditReport, Breaker, ChunkId, MirrorState, MirrorStatus, Result, Token, Trust};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Ids that one list of an answer names, at most.
const IDS_MAX: usize = 10_000;

pub(crate) struct Side {
    mirror: Option<Mirror>,
}

/// How far something is that takes long.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) waiting: u64,
    pub(crate) pushed: u64,
    pub(crate) pulled: u64,
    pub(crate) refused: u64,
    /// Rows of what is being filled.
    pub(crate) filled: Option<(u64, u64)>,
}

impl Side {
    pub(crate) fn new(mirror: Option<Mirror>) -> Self {
        Self { mirror }
    }

    /// The mirror, or why nothing can be done with it.
    fn mirror(&self) -> Result<&Mirror, Problem> {
        self.mirror.as_ref().ok_or_else(absent)
    }

    pub(crate) fn check(&self) -> Result<(), Problem> {
        self.mirror().map(drop)
    }

    pub(crate) fn state(&self) -> String {
        self.mirror.as_ref().map(Mirror::status).unwrap_or_default().state.to_string()
    }

    pub(crate) fn status(&self) -> Value {
        let status = self.mirror.as_ref().map(Mirror::status).unwrap_or_default();
        serde_json::to_value(status).unwrap_or_default()
    }

    /// Collections that lack rows of the database.
    pub(crate) fn filling(&self) -> Vec<String> {
        self.mirror.as_ref().map(|mirror| mirror.status().filling).unwrap_or_default()
    }

    /// Whether the mirror leaves a collection alone.
    pub(crate) fn ignores(&self, collection: &str) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| mirror.status().ignored.contains_key(collection))
    }

    pub(crate) fn counts(&self) -> Counts {
        let Some(mirror) = &self.mirror else { return Counts::default() };
        let status = mirror.status();
        Counts {
            waiting: (status.dirty_rows + status.dirty_deletes) as u64,
            pushed: status.pushed,
            pulled: status.pulled,
            refused: status.dead_letters_out as u64,
            filled: status.rebuild.map(|fill| (fill.rows, fill.of_rows.max(fill.rows))),
        }
    }

    pub(crate) fn connect(&self) -> Result<(), Problem> {
        self.ask(Mirror::connect)
    }

    pub(crate) fn push(&self) -> Result<usize, Problem> {
        self.ask(Mirror::push_now)
    }

    pub(crate) fn pull(&self) -> Result<(), Problem> {
        self.ask(Mirror::pull_now)
    }

    pub(crate) fn rebuild(&self, collection: &str) -> Result<(), Problem> {
        self.ask(|mirror| mirror.rebuild(collection))
    }

    pub(crate) fn audit(&self, collection: &str, deep: bool) -> Result<Value, Problem> {
        let start = Instant::now();
        let report = self.ask(|mirror| mirror.audit(collection, deep))?;
        Ok(told(&report, start.elapsed()))
    }

    /// Puts right what an audit finds; a deep one first, if that is wanted.
    pub(crate) fn repair(
        &self,
        collection: &str,
        trust: super::wire::Trust,
        deep: bool,
        dry_run: bool,
    ) -> Result<Value, Problem> {
        let start = Instant::now();
        let report = self.ask(|mirror| {
            if deep {
                mirror.audit(collection, true)?;
            }
            mirror.repair(collection, trust_of(trust), dry_run)
        })?;
        Ok(told(&report, start.elapsed()))
    }

    /// Decides; says what state that has led to.
    pub(crate) fn resolve(&self, trust: super::wire::Trust) -> Result<String, Problem> {
        self.ask(|mirror| mirror.resolve(trust_of(trust)))?;
        Ok(self.state())
    }

    /// Rows that one side refuses.
    pub(crate) fn dead_letters(&self) -> Result<Vec<Value>, Problem> {
        let letters = self.ask(Mirror::dead_letters)?;
        Ok(letters.iter().filter_map(|letter| serde_json::to_value(letter).ok()).collect())
    }

    /// Waits until a write is in the database.
    pub(crate) fn wait(&self, token: Token, patience: Duration) -> Result<(), Problem> {
        self.ask(|mirror| mirror.wait_mirrored(token, patience))
    }

    fn ask<T>(&self, call: impl FnOnce(&Mirror) -> Result<T>) -> Result<T, Problem> {
        let mirror = self.mirror()?;
        call(mirror).map_err(|error| match mirror.status().state {
            MirrorState::Blocked(_) => {
                let state = mirror.status().state;
                let detail = format!("the mirror is {state}; decide whom to trust: POST /v1/admin/resolve");
                Problem::new(Code::Blocked, detail).caused_by(error.to_string())
            }
            _ => error.into(),
        })
    }

    /// Everything that is known of it, as metrics.
    pub(crate) fn metrics(&self, out: &mut Text) {
        out.gauge(
            "nearfield_mirror_configured",
            "1 if the server has a mirror",
            u8::from(self.mirror.is_some()),
        );
        let Some(mirror) = &self.mirror else { return };
        let status = mirror.status();
        out.family("nearfield_mirror_state", "gauge", "1 for the state that the mirror is in");
        let state = status.state.to_string();
        out.sample("nearfield_mirror_state", &[("state", &state)], 1);
        rows(&status, out);
        database(&status, out);
    }
}

fn rows(status: &MirrorStatus, out: &mut Text) {
    let gauge = |out: &mut Text, name: &str, help: &str, value: f64| out.gauge(name, help, value);
    gauge(out, "nearfield_mirror_dirty_rows", "Rows that wait to be sent", status.dirty_rows as f64);
    gauge(
        out,
        "nearfield_mirror_dirty_deletes",
        "Deletions that wait to be sent",
        status.dirty_deletes as f64,
    );
    let oldest = status.oldest_dirty_ms.unwrap_or(0) as f64 / 1e3;
    gauge(out, "nearfield_mirror_oldest_dirty_seconds", "Age of the oldest that waits", oldest);
    gauge(
        out,
        "nearfield_mirror_acked_seq",
        "Everything up to it is in the database",
        status.acked_seq.0 as f64,
    );
    if let Some(lag) = status.feed_lag_ms {
        gauge(out, "nearfield_mirror_feed_lag_seconds", "Since all changes were here", lag as f64 / 1e3);
    }
    for (name, help, count) in [
        ("nearfield_mirror_conflicts_total", "Versions written here that lost", status.conflicts),
        ("nearfield_mirror_pushed_total", "Versions sent", status.pushed),
        ("nearfield_mirror_pulled_total", "Versions taken over", status.pulled),
        ("nearfield_mirror_refetched_total", "Damaged rows fetched again", status.refetched),
        ("nearfield_mirror_drift_found_total", "Rows found to differ", status.drift_found),
        ("nearfield_mirror_drift_fixed_total", "Rows that were put right", status.drift_fixed),
    ] {
        out.counter(name, help, count);
    }
    out.family("nearfield_mirror_dead_letters", "gauge", "Rows that one side refuses");
    out.sample("nearfield_mirror_dead_letters", &[("way", "out")], status.dead_letters_out as f64);
    out.sample("nearfield_mirror_dead_letters", &[("way", "in")], status.dead_letters_in as f64);
    let names = |n: usize| n as f64;
    gauge(
        out,
        "nearfield_mirror_filling",
        "Collections that lack rows of the database",
        names(status.filling.len()),
    );
    gauge(out, "nearfield_mirror_ignored", "Collections that are left alone", names(status.ignored.len()));
}

fn database(status: &MirrorStatus, out: &mut Text) {
    if let Some(fill) = &status.rebuild {
        out.gauge("nearfield_mirror_rebuild_rows", "Rows that came", fill.rows as f64);
        out.gauge("nearfield_mirror_rebuild_of_rows", "Rows that there were", fill.of_rows as f64);
    }
    if !status.audits.is_empty() {
        out.family(
            "nearfield_mirror_audit_timestamp_seconds",
            "gauge",
            "When a collection was compared last",
        );
        for (name, audit) in &status.audits {
            let labels = [("collection", name.as_str())];
            out.sample("nearfield_mirror_audit_timestamp_seconds", &labels, audit.unix_ms as f64 / 1e3);
        }
        out.family("nearfield_mirror_audit_equal", "gauge", "1 if both roots were equal then");
        for (name, audit) in &status.audits {
            let is_equal = audit.local == audit.database && audit.drift == 0;
            out.sample("nearfield_mirror_audit_equal", &[("collection", name.as_str())], u8::from(is_equal));
        }
    }
    if let Some(database) = &status.database {
        let skew = database.clock_skew_ms as f64 / 1e3;
        out.gauge("nearfield_mirror_clock_skew_seconds", "The database's clock less ours", skew);
    }
    let is_open = status.breaker == Some(Breaker::Open);
    out.gauge(
        "nearfield_mirror_breaker_open",
        "1 while the database is left alone after faults",
        u8::from(is_open),
    );
    if let Some(fallback) = &status.fallback {
        let name = "nearfield_mirror_fallback_searches_total";
        out.family(name, "counter", "Searches of what is being filled that were to ask the database");
        for (result, count) in [
            ("answered", fallback.answered),
            ("failed", fallback.failed),
            ("crowded_out", fallback.crowded_out),
        ] {
            out.sample(name, &[("result", result)], count as f64);
        }
    }
}

fn absent() -> Problem {
    Problem::new(Code::Unavailable, "no mirror is configured: start the server with a database")
}

fn trust_of(trust: super::wire::Trust) -> Trust {
    match trust {
        super::wire::Trust::Database => Trust::Database,
        super::wire::Trust::Local => Trust::Local,
    }
}

/// A comparison, as the interface tells it: lists are cut, counts are not.
fn told(report: &AuditReport, took: Duration) -> Value {
    // Both lists are sorted.
    let is_newer_here = |id: &&ChunkId| report.stale_remotely.binary_search(id).is_ok();
    let stale_locally: Vec<ChunkId> = report.stale.iter().filter(|id| !is_newer_here(id)).cloned().collect();
    let lists = [
        ("missing_locally", &report.missing_locally),
        ("missing_remotely", &report.missing_remotely),
        ("stale_locally", &stale_locally),
        ("stale_remotely", &report.stale_remotely),
        ("hand_edited", &report.hand_edited),
        ("decayed", &report.decayed),
    ];
    let mut told = json!({
        "collection": report.collection,
        "equal": report.is_equal(),
        "deep": report.is_deep,
        "local_root": format!("{:016x}{:016x}", report.local.xor, report.local.sum),
        "database_root": format!("{:016x}{:016x}", report.database.xor, report.database.sum),
        "rows_local": report.local.rows,
        "rows_database": report.database.rows,
        "waiting": report.dirty,
        "repaired": report.repaired,
        "truncated": report.is_cut || lists.iter().any(|(_, ids)| ids.len() > IDS_MAX),
        "took_ms": took.as_millis() as u64,
    });
    for (name, ids) in lists {
        told["counts"][name] = ids.len().into();
        told[name] = ids.iter().take(IDS_MAX).map(|id| Value::from(id.as_str())).collect();
    }
    told
}
