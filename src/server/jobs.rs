//! What takes long: a table of jobs, and the threads that do them in turn.
//!
//! Jobs that wait for somebody who makes vectors may take hours, and have a lane and a thread of their own: nobody waits for those with an audit.
//!
//! Invariants: the table is bounded, both what waits and what is remembered; a job ends in one state and stays in it; a job that
//! was cancelled while it waited is never begun, one that runs ends at its next step; of each lane one job runs at a time.

mod migrate;
mod work;

use super::embedding::Makers;
use super::problem::{Code, Problem};
use super::request_id::uuid_v7;
use super::side::Side;
use super::time::{rfc3339, unix_ms};
use super::wire::{JobBody, JobError, JobKind, JobProgress, JobState};
use crate::{Error, ErrorKind, Result, Store};
use parking_lot::{Condvar, Mutex};
use serde_json::Value;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
pub(crate) use work::{Task, no_snapshots};

const QUEUED_MAX: usize = 64;
const KEPT_MAX: usize = 256;

/// Who waits for whom.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    Usual,
    /// What waits for embeddings.
    Embedding,
}

/// A handle of the table. The threads end when it goes, after the jobs that run.
pub(crate) struct Jobs {
    table: Arc<Table>,
}

#[derive(Default)]
struct Table {
    state: Mutex<State>,
    changed: Condvar,
    is_over: AtomicBool,
}

#[derive(Default)]
struct State {
    /// What waits, by its lane.
    queues: [VecDeque<(Arc<Job>, Task)>; 2],
    /// Oldest first.
    all: VecDeque<Arc<Job>>,
    /// That have not ended, and so keep the store open.
    threads: usize,
}

/// A job, while it waits, runs, and after.
pub(crate) struct Job {
    id: String,
    kind: JobKind,
    pub(super) progress: Progress,
    state: Mutex<Life>,
    /// True when it is over.
    over: watch::Sender<bool>,
}

struct Life {
    state: JobState,
    started_ms: Option<u64>,
    finished_ms: Option<u64>,
    result: Option<Value>,
    error: Option<JobError>,
}

/// How far a job is, and whether it is to go on.
#[derive(Default)]
pub(crate) struct Progress {
    pub(super) done: AtomicU64,
    pub(super) total: AtomicU64,
    is_cancelled: AtomicBool,
}

impl Progress {
    pub(super) fn at(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done.min(total), Ordering::Relaxed);
    }

    pub(super) fn goes_on(&self) -> bool {
        !self.is_cancelled.load(Ordering::Relaxed)
    }
}

/// What jobs work on.
#[derive(Clone)]
pub(super) struct Crew {
    pub(super) store: Store,
    pub(super) side: Arc<Side>,
    pub(super) makers: Makers,
    pub(super) snapshots: Option<PathBuf>,
}

impl Jobs {
    pub(super) fn start(crew: &Crew) -> Result<Self> {
        let jobs = Self { table: Arc::default() };
        for (name, lane) in [("nearfield-jobs", Lane::Usual), ("nearfield-models", Lane::Embedding)] {
            let (table, crew) = (jobs.table.clone(), crew.clone());
            let body = move || {
                run(&table, &crew, lane);
                drop(crew);
                table.state.lock().threads -= 1;
                table.changed.notify_all();
            };
            jobs.table.state.lock().threads += 1;
            let spawned = std::thread::Builder::new().name(name.into()).spawn(body);
            spawned.map_err(|e| {
                Error::new(ErrorKind::Unavailable, "a thread of the server cannot be started").with_source(e)
            })?;
        }
        Ok(jobs)
    }

    pub(crate) fn add(&self, task: Task) -> Result<Arc<Job>, Problem> {
        let life =
            Life { state: JobState::Queued, started_ms: None, finished_ms: None, result: None, error: None };
        let job = Arc::new(Job {
            id: uuid_v7(),
            kind: task.kind(),
            progress: Progress::default(),
            state: Mutex::new(life),
            over: watch::Sender::new(false),
        });
        let mut state = self.table.state.lock();
        if state.queues.iter().map(VecDeque::len).sum::<usize>() >= QUEUED_MAX {
            return Err(Problem::later(
                format!("{QUEUED_MAX} jobs wait already; try again when some are done"),
                10,
            ));
        }
        if state.all.len() >= KEPT_MAX
            && let Some(oldest) = state.all.iter().position(|job| job.is_over())
        {
            state.all.remove(oldest);
        }
        state.all.push_back(job.clone());
        state.queues[task.lane() as usize].push_back((job.clone(), task));
        self.table.changed.notify_all();
        Ok(job)
    }

    /// All that are remembered, the newest first.
    pub(crate) fn list(&self) -> Vec<Arc<Job>> {
        self.table.state.lock().all.iter().rev().cloned().collect()
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<Job>, Problem> {
        let found = self.table.state.lock().all.iter().find(|job| job.id == id).cloned();
        found.ok_or_else(|| Problem::new(Code::NotFound, "there is no such job, or it is forgotten"))
    }

    /// Ends a job: at once if it waits, at its next step if it runs.
    pub(crate) fn cancel(&self, id: &str) -> Result<Arc<Job>, Problem> {
        let job = self.find(id)?;
        job.progress.is_cancelled.store(true, Ordering::Relaxed);
        let mut state = self.table.state.lock();
        let mut waited = false;
        for queue in &mut state.queues {
            let before = queue.len();
            queue.retain(|(queued, _)| !Arc::ptr_eq(queued, &job));
            waited |= queue.len() < before;
        }
        drop(state);
        if waited {
            job.end(JobState::Cancelled, None, None);
        }
        Ok(job)
    }

    /// Jobs that wait or run.
    pub(crate) fn unfinished(&self) -> usize {
        self.table.state.lock().all.iter().filter(|job| !job.is_over()).count()
    }

    /// Begins no more, and cancels those that run.
    pub(crate) fn stop(&self) {
        self.table.is_over.store(true, Ordering::Relaxed);
        let mut state = self.table.state.lock();
        let waiting: Vec<_> = state.queues.iter_mut().flat_map(|queue| queue.drain(..)).collect();
        let all: Vec<_> = state.all.iter().cloned().collect();
        drop(state);
        waiting.iter().for_each(|(job, _)| job.end(JobState::Cancelled, None, None));
        all.iter().for_each(|job| job.progress.is_cancelled.store(true, Ordering::Relaxed));
        self.table.changed.notify_all();
    }

    /// After [`Self::stop`], waits for those that run, but not beyond `until`: whether all have ended, and keep nothing open.
    pub(crate) fn wait_until(&self, until: Instant) -> bool {
        let mut state = self.table.state.lock();
        while state.threads > 0 {
            if self.table.changed.wait_until(&mut state, until).timed_out() {
                return state.threads == 0;
            }
        }
        true
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Job {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Waits for its end; false if it takes longer.
    pub(crate) async fn wait(&self, patience: Duration) -> bool {
        let mut over = self.over.subscribe();
        tokio::time::timeout(patience, over.wait_for(|over| *over)).await.is_ok()
    }

    pub(crate) fn body(&self) -> JobBody {
        let life = self.state.lock();
        let done = self.progress.done.load(Ordering::Relaxed);
        JobBody {
            id: self.id.clone(),
            kind: self.kind,
            state: life.state,
            progress: JobProgress { done, total: self.progress.total.load(Ordering::Relaxed).max(done) },
            started_at: life.started_ms.map(rfc3339),
            finished_at: life.finished_ms.map(rfc3339),
            result: life.result.clone(),
            error: life.error.clone(),
        }
    }

    fn begin(&self) {
        let mut life = self.state.lock();
        (life.state, life.started_ms) = (JobState::Running, Some(unix_ms()));
    }

    fn end(&self, state: JobState, result: Option<Value>, error: Option<JobError>) {
        let mut life = self.state.lock();
        *life = Life { state, finished_ms: Some(unix_ms()), result, error, started_ms: life.started_ms };
        drop(life);
        self.over.send_replace(true);
        tracing::info!(job = %self.id, kind = ?self.kind, state = ?state, "job ended");
    }
}

/// One job of a lane after the other, until the table goes.
fn run(table: &Table, crew: &Crew, lane: Lane) {
    loop {
        let mut state = table.state.lock();
        let (job, task) = loop {
            if table.is_over.load(Ordering::Relaxed) {
                return;
            }
            match state.queues[lane as usize].pop_front() {
                Some(next) => break next,
                None => table.changed.wait(&mut state),
            }
        };
        drop(state);
        job.begin();
        tracing::info!(job = %job.id, kind = ?job.kind, "job began");
        // What it worked on is shared memory of the engine, whose locks survive a panic.
        let done = catch_unwind(AssertUnwindSafe(|| task.run(crew, &job.progress)));
        let done = done
            .unwrap_or_else(|_| Err(Problem::new(Code::Internal, "the job panicked; please report this")));
        match done {
            Ok(Some(result)) => job.end(JobState::Done, Some(result), None),
            Ok(None) => job.end(JobState::Cancelled, None, None),
            Err(problem) => {
                let cause = problem.cause.as_deref().unwrap_or_default();
                tracing::warn!(job = %job.id, detail = %problem.detail, cause, "job failed");
                let error = JobError { code: problem.code, detail: problem.detail.into_owned() };
                job.end(JobState::Failed, None, Some(error));
            }
        }
    }
}

#[cfg(test)]
mod tests;
