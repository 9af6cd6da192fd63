//! What each kind of job does.
//!
//! Invariant: a job looks whether it is to go on between any two of its steps; a call of the mirror is one step.

use super::{Crew, Lane, Progress, migrate};
use crate::server::problem::Problem;
use crate::server::request_id::random;
use crate::server::side::Counts;
use crate::server::time::unix_ms;
use crate::server::wire::{JobKind, MigrateBody, Trust};
use serde_json::{Value, json};
use std::time::Duration;

/// Between two looks at how far the mirror is.
const LOOK: Duration = Duration::from_millis(50);

/// A job's order. A collection of none means all.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Push,
    Pull,
    Audit { collection: Option<String>, deep: bool },
    Repair { collection: Option<String>, trust: Trust, deep: bool, dry_run: bool },
    Rebuild { collection: Option<String> },
    Checkpoint,
    Reclaim,
    Verify { deep: bool },
    Snapshot,
    Migrate(Box<MigrateBody>),
}

/// The result; nothing if it was cancelled.
pub(super) type Done = Result<Option<Value>, Problem>;

impl Task {
    pub(crate) fn kind(&self) -> JobKind {
        match self {
            Self::Push => JobKind::Push,
            Self::Pull => JobKind::Pull,
            Self::Audit { .. } => JobKind::Audit,
            Self::Repair { .. } => JobKind::Repair,
            Self::Rebuild { .. } => JobKind::Rebuild,
            Self::Checkpoint => JobKind::Checkpoint,
            Self::Reclaim => JobKind::Reclaim,
            Self::Verify { .. } => JobKind::Verify,
            Self::Snapshot => JobKind::Snapshot,
            Self::Migrate(_) => JobKind::Migrate,
        }
    }

    pub(super) fn lane(&self) -> Lane {
        match self {
            Self::Migrate(order) if order.embeds() => Lane::Embedding,
            _ => Lane::Usual,
        }
    }

    pub(super) fn run(&self, crew: &Crew, progress: &Progress) -> Done {
        match self {
            Self::Push => push(crew, progress),
            Self::Pull => pull(crew, progress),
            Self::Audit { collection, deep } => {
                each(crew, progress, collection, |name| crew.side.audit(name, *deep))
            }
            Self::Repair { collection, trust, deep, dry_run } => {
                each(crew, progress, collection, |name| crew.side.repair(name, *trust, *deep, *dry_run))
            }
            Self::Rebuild { collection } => rebuild(crew, progress, collection.as_deref()),
            Self::Checkpoint => {
                progress.at(0, 1);
                crew.store.checkpoint()?;
                progress.at(1, 1);
                Ok(Some(json!({"token": crew.store.token().to_string()})))
            }
            Self::Reclaim => reclaim(crew, progress),
            Self::Verify { deep } => verify(crew, progress, *deep),
            Self::Snapshot => snapshot(crew, progress),
            Self::Migrate(order) => migrate::run(crew, progress, order),
        }
    }
}

/// Makes one call of the mirror, and looks meanwhile how far it is.
fn watched<T: Send>(
    crew: &Crew,
    look: impl Fn(Counts),
    call: impl FnOnce() -> Result<T, Problem> + Send,
) -> Result<T, Problem> {
    std::thread::scope(|scope| {
        let watcher = std::thread::current();
        let caller = scope.spawn(move || {
            let done = call();
            watcher.unpark();
            done
        });
        while !caller.is_finished() {
            look(crew.side.counts());
            std::thread::park_timeout(LOOK);
        }
        caller.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn push(crew: &Crew, progress: &Progress) -> Done {
    let before = crew.side.counts();
    let look = |now: Counts| {
        let done = now.pushed - before.pushed;
        progress.at(done, done + now.waiting);
    };
    let synced = watched(crew, look, || crew.side.push())?;
    let now = crew.side.counts();
    progress.at(synced as u64, synced as u64);
    Ok(Some(json!({"synced": synced, "pending": now.waiting, "failed": now.refused})))
}

fn pull(crew: &Crew, progress: &Progress) -> Done {
    let before = crew.side.counts().pulled;
    let look = |now: Counts| {
        let done = now.pulled - before;
        let (filled, of) = now.filled.unwrap_or((done, done));
        progress.at(filled, of);
    };
    watched(crew, look, || crew.side.pull())?;
    let pulled = crew.side.counts().pulled - before;
    progress.at(pulled, pulled);
    Ok(Some(json!({"pulled": pulled})))
}

/// The collections that are meant, once it is known which there are.
fn names(crew: &Crew, collection: Option<&str>) -> Result<Vec<String>, Problem> {
    if let Some(name) = collection {
        return Ok(vec![name.to_owned()]);
    }
    crew.side.connect()?;
    let all = crew.store.collections().into_iter().map(|collection| collection.name().to_owned());
    Ok(all.filter(|name| !crew.side.ignores(name)).collect())
}

/// One named collection has a result of its own, all have them in a list.
fn each(
    crew: &Crew,
    progress: &Progress,
    collection: &Option<String>,
    call: impl Fn(&str) -> Result<Value, Problem>,
) -> Done {
    let names = names(crew, collection.as_deref())?;
    let mut results = Vec::new();
    for (n, name) in names.iter().enumerate() {
        progress.at(n as u64, names.len() as u64);
        if !progress.goes_on() {
            return Ok(None);
        }
        results.push(call(name)?);
    }
    progress.at(names.len() as u64, names.len() as u64);
    if collection.is_some() {
        return Ok(results.pop());
    }
    let equal = results.iter().all(|result| result["equal"] == true);
    Ok(Some(json!({"equal": equal, "collections": results})))
}

fn rebuild(crew: &Crew, progress: &Progress, collection: Option<&str>) -> Done {
    let names = names(crew, collection)?;
    let before = crew.side.counts().pulled;
    for name in &names {
        if !progress.goes_on() {
            return Ok(None);
        }
        let look = |now: Counts| {
            if let Some((rows, of)) = now.filled {
                progress.at(rows, of);
            }
        };
        watched(crew, look, || crew.side.rebuild(name))?;
    }
    let pulled = crew.side.counts().pulled - before;
    progress.at(pulled, pulled);
    Ok(Some(json!({"collections": names, "pulled": pulled})))
}

fn reclaim(crew: &Crew, progress: &Progress) -> Done {
    let collections = crew.store.collections();
    let bytes = || collections.iter().map(|collection| collection.stats().bytes.total()).sum::<usize>();
    let before = bytes();
    for (n, collection) in collections.iter().enumerate() {
        progress.at(n as u64, collections.len() as u64 + 1);
        collection.reclaim(&|| progress.goes_on())?;
        if !progress.goes_on() {
            return Ok(None);
        }
    }
    // The files of what is gone go with the state that named them.
    crew.store.checkpoint()?;
    progress.at(1, 1);
    Ok(Some(json!({"bytes_before": before, "bytes_after": bytes()})))
}

fn verify(crew: &Crew, progress: &Progress, deep: bool) -> Done {
    progress.at(0, 1);
    let mut diagnosis = crew.store.verify(deep)?;
    progress.at(1, 1);
    // The folder is nobody's business.
    diagnosis.place.clear();
    Ok(Some(serde_json::to_value(diagnosis).unwrap_or_default()))
}

/// Into a folder of its own whose name is made here: nobody says where to write.
fn snapshot(crew: &Crew, progress: &Progress) -> Done {
    let Some(root) = &crew.snapshots else { return Err(no_snapshots()) };
    progress.at(0, 1);
    let name = format!("snapshot-{:013}-{:08x}", unix_ms(), random() as u32);
    let report = crew.store.snapshot(root.join(&name))?;
    progress.at(1, 1);
    let mut told = serde_json::to_value(report).unwrap_or_default();
    told["token"] = report.token.to_string().into();
    told["name"] = name.into();
    Ok(Some(told))
}

pub(crate) fn no_snapshots() -> Problem {
    use crate::server::problem::Code;
    let detail = "no folder for snapshots is configured: start the server with one";
    Problem::new(Code::Unavailable, detail)
}
