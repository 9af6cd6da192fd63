//! One import from its request to its report: stage, verify, switch.

use super::digest::Digest;
use super::journal::{Entry, Journal, STAGED, State, Way};
use super::plan::{Plan, There, plan};
use super::rejects::{Reject, Rejects};
use super::source::{self, Rows, Shape, Spec};
use super::stage::{Stage, Taken, Taker};
use super::switch::{finish_begun, give_up, switch};
use super::verify::{Verified, verify};
use crate::config::Metric;
use crate::engine::Store;
use crate::error::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Instant, UNIX_EPOCH};
use xxhash_rust::xxh3::xxh3_128;

/// Bytes of rows that go into a collection that is there: one commit, which is made in memory.
const EXCHANGE_BYTES_MAX: u64 = 1 << 30;

/// What becomes of a collection of the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// There must be none.
    #[default]
    Create,
    /// Rows of the same ids are replaced, all others stay.
    Append,
    /// It holds what the file holds, and nothing else.
    Replace,
}

impl FromStr for Mode {
    type Err = Error;
    fn from_str(s: &str) -> Result<Self> {
        match s {
            "create" => Ok(Self::Create),
            "append" => Ok(Self::Append),
            "replace" => Ok(Self::Replace),
            _ => Err(Error::invalid(format!("mode {s:?} is none of create, append, replace"))),
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) spec: Spec,
    /// Name of the collection.
    pub(crate) into: String,
    pub(crate) mode: Mode,
    pub(crate) metric: Option<Metric>,
    pub(crate) dim: Option<usize>,
    pub(crate) batch_rows: usize,
    pub(crate) rejects_max: u64,
    pub(crate) rejects: Option<PathBuf>,
    /// Everything is read and checked, and nothing written.
    pub(crate) dry_run: bool,
    /// Rows may go.
    pub(crate) yes: bool,
}

/// What an import is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Stage,
    Verify,
    Switch,
}

/// What an import did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) source: PathBuf,
    pub(crate) into: String,
    pub(crate) mode: Mode,
    pub(crate) dry_run: bool,
    pub(crate) dim: usize,
    pub(crate) metric: Metric,
    /// Rows of the file that were stored, or could be.
    pub(crate) rows: u64,
    /// Rows of the file that were staged by an earlier run.
    pub(crate) resumed: u64,
    pub(crate) rejected: u64,
    /// The first of them.
    pub(crate) rejects: Vec<Reject>,
    /// Of all rows: the sum of their digests, which an export says, too.
    pub(crate) digest: String,
    pub(crate) verified: Verified,
    /// Rows of the collection now.
    pub(crate) rows_after: u64,
    pub(crate) stage_seconds: f64,
    pub(crate) verify_seconds: f64,
    pub(crate) switch_seconds: f64,
    pub(crate) notes: Vec<String>,
}

/// Hears how many rows are done, and of how many if that is known.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(Step, u64, Option<u64>);

/// Imports a file. A dry run needs no store: then nothing is there.
pub(crate) fn run(store: Option<&Store>, request: &Request, tell: Tell<'_>) -> Result<Report> {
    let mut rows = source::open(&request.spec)?;
    if request.dry_run {
        let plan = plan(request, rows.shape(), store.and_then(|store| there(store, request)).as_ref())?;
        return Import { request, plan: &plan, tell }.dry(rows.as_mut());
    }
    let store = store.ok_or_else(|| Error::new(ErrorKind::Internal, "an import without a store"))?;
    let journal = Journal::open(store)?;
    let fingerprint = fingerprint(request)?;
    let is_this = |now: &Entry| now.fingerprint == fingerprint;
    // What an earlier run had verified is finished first: it may be what this one was to bring.
    if let Some(done) = finish_begun(store, &journal)?.filter(is_this) {
        return resumed(request, store, &done, rows.shape());
    }
    let plan = plan(request, rows.shape(), there(store, request).as_ref())?;
    let fits = store.hidden(STAGED).is_none_or(|staged| *staged.schema() == plan.schema);
    if !fits || !journal.now()?.as_ref().is_some_and(is_this) {
        give_up(store, &journal)?;
    }
    let entry = Entry {
        state: State::Staging,
        fingerprint,
        source: request.spec.path.display().to_string(),
        into: request.into.clone(),
        mode: request.mode,
        way: plan.way,
        staged: Digest::default(),
        before: None,
        after: None,
    };
    journal.set_now(&entry)?;
    let done = Import { request, plan: &plan, tell }.real(store, &journal, entry, rows.as_mut());
    done.inspect_err(|_| {
        // The first error is the one to tell; what this cannot remove, the next import finds.
        let _ = give_up(store, &journal);
    })
}

/// What stands under the name.
fn there(store: &Store, request: &Request) -> Option<There> {
    let collection = store.open_collection(&request.into).ok()?;
    let (schema, rows) = (collection.schema().clone(), collection.stats().rows);
    Some(There { schema, rows, is_mirrored: collection.is_mirrored() })
}

/// What tells this import from any other: what was asked for, and the files, as far as their heads say.
fn fingerprint(request: &Request) -> Result<String> {
    let Request { spec, into, mode, metric, dim, .. } = request;
    let mut text = format!("{into} {mode:?} {metric:?} {dim:?} {:?} {:?} ", spec.format, spec.extra);
    text += &format!("{:?} {:?} {:?} ", spec.columns, spec.tenant, spec.embedding_model);
    let paths = std::iter::once(&spec.path).chain(&spec.ids).chain(&spec.docs);
    for path in paths {
        text += &mark(path);
    }
    Ok(format!("{:032x}", xxh3_128(text.as_bytes())))
}

/// A file by name, length and time of its last change.
fn mark(path: &Path) -> String {
    let absolute = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let about = std::fs::metadata(path).ok();
    let changed = about.as_ref().and_then(|about| about.modified().ok()?.duration_since(UNIX_EPOCH).ok());
    format!("{absolute:?} {:?} {changed:?} ", about.map(|about| about.len()))
}

pub(super) struct Import<'a, 'b> {
    pub(super) request: &'a Request,
    pub(super) plan: &'a Plan,
    pub(super) tell: &'a mut (dyn FnMut(Step, u64, Option<u64>) + 'b),
}

impl Import<'_, '_> {
    fn real(
        &mut self,
        store: &Store,
        journal: &Journal,
        mut entry: Entry,
        rows: &mut dyn Rows,
    ) -> Result<Report> {
        let staged = store.hidden_or_create(STAGED, self.plan.schema.clone())?;
        let stage = self.stage(Some(&staged));
        let mut rejects = Rejects::new(self.request.rejects_max, self.request.rejects.as_deref())?;
        let of = rows.shape().rows;
        let start = Instant::now();
        let taken = stage.fill(rows, &mut rejects, &mut |done| (self.tell)(Step::Stage, done, of))?;
        let staged_at = Instant::now();
        let mut again = source::open(&self.request.spec)?;
        let verified =
            verify(&staged, &stage, &taken, again.as_mut(), &mut |done| (self.tell)(Step::Verify, done, of))?;
        let verified_at = Instant::now();
        (self.tell)(Step::Switch, 0, Some(1));
        entry.staged = taken.digest;
        let (done, note) = switch(store, journal, entry)?;
        let switched_at = Instant::now();
        let mut report = self.report(&taken, rejects, verified);
        report.rows_after = store.open_collection(&done.into)?.stats().rows as u64;
        report.notes.extend(note);
        report.stage_seconds = (staged_at - start).as_secs_f64();
        report.verify_seconds = (verified_at - staged_at).as_secs_f64();
        report.switch_seconds = (switched_at - verified_at).as_secs_f64();
        Ok(report)
    }

    /// Reads and judges every row, and stores none.
    pub(super) fn dry(&mut self, rows: &mut dyn Rows) -> Result<Report> {
        let stage = self.stage(None);
        let mut rejects = Rejects::new(self.request.rejects_max, self.request.rejects.as_deref())?;
        let of = rows.shape().rows;
        let start = Instant::now();
        let taken = stage.fill(rows, &mut rejects, &mut |done| (self.tell)(Step::Stage, done, of))?;
        let mut report = self.report(&taken, rejects, Verified::default());
        report.stage_seconds = start.elapsed().as_secs_f64();
        Ok(report)
    }

    pub(super) fn stage<'s>(&self, into: Option<&'s dyn Taker>) -> Stage<'s> {
        Stage {
            into,
            schema: self.plan.schema.clone(),
            batch_rows: self.request.batch_rows.max(1),
            bytes_max: if self.plan.way == Way::Exchange { EXCHANGE_BYTES_MAX } else { u64::MAX },
        }
    }

    pub(super) fn report(&self, taken: &Taken, rejects: Rejects, verified: Verified) -> Report {
        Report {
            source: self.request.spec.path.clone(),
            into: self.request.into.clone(),
            mode: self.request.mode,
            dry_run: self.request.dry_run,
            dim: self.plan.schema.dim,
            metric: self.plan.schema.metric,
            rows: taken.digest.rows,
            resumed: taken.resumed,
            rejected: rejects.count,
            rejects: rejects.first,
            digest: format!("{:016x}", taken.digest.sum),
            verified,
            rows_after: 0,
            stage_seconds: 0.0,
            verify_seconds: 0.0,
            switch_seconds: 0.0,
            notes: self.plan.notes.clone(),
        }
    }
}

/// What is said of an import that an earlier run had staged and verified, and this one finished.
fn resumed(request: &Request, store: &Store, done: &Entry, shape: &Shape) -> Result<Report> {
    let schema = store.open_collection(&request.into)?.schema().clone();
    let after = done.after.unwrap_or_default();
    Ok(Report {
        source: request.spec.path.clone(),
        into: request.into.clone(),
        mode: request.mode,
        dry_run: false,
        dim: schema.dim,
        metric: schema.metric,
        rows: done.staged.rows,
        resumed: done.staged.rows,
        rejected: 0,
        rejects: Vec::new(),
        digest: format!("{:016x}", done.staged.sum),
        verified: Verified::default(),
        rows_after: after.rows,
        stage_seconds: 0.0,
        verify_seconds: 0.0,
        switch_seconds: 0.0,
        notes: [&shape.notes[..], &["an earlier run had verified it; this one switched it in".into()]]
            .concat(),
    })
}
