//! Jobs run in turn, end once, are cancelled where they wait, and do not pile up.

use super::*;
use crate::server::embedding::Desk;
use crate::{Chunk, Metric, Options, Schema};

fn bed() -> (Store, Jobs) {
    let store = Store::memory_with(Options::default()).unwrap();
    let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    docs.upsert((0..100).map(|n| Chunk::new(n.to_string()).vector([n as f32, 0.0]))).unwrap();
    let makers = Desk::start(&store, crate::Providers::default(), false).unwrap().makers();
    let side = Arc::new(Side::new(None));
    let jobs = Jobs::start(&Crew { store: store.clone(), side, makers, snapshots: None }).unwrap();
    (store, jobs)
}

fn wait(job: &Job) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert!(runtime.block_on(job.wait(Duration::from_secs(60))));
}

#[test]
fn a_job_runs_ends_and_is_remembered() {
    let (_store, jobs) = bed();
    for task in [Task::Checkpoint, Task::Reclaim, Task::Verify { deep: true }] {
        let job = jobs.add(task).unwrap();
        wait(&job);
        let body = jobs.find(job.id()).unwrap().body();
        assert_eq!(body.state, JobState::Done, "{body:?}");
        assert!(body.result.is_some() && body.error.is_none());
        assert!(body.started_at.is_some() && body.finished_at >= body.started_at);
    }
    assert_eq!(jobs.unfinished(), 0);
    assert_eq!(jobs.find("another").map(drop).unwrap_err().code, Code::NotFound);
}

#[test]
fn a_job_that_cannot_be_done_fails_with_a_code() {
    let (_store, jobs) = bed();
    for task in [Task::Push, Task::Snapshot] {
        let job = jobs.add(task).unwrap();
        wait(&job);
        let body = job.body();
        assert_eq!((body.state, body.error.unwrap().code), (JobState::Failed, Code::Unavailable));
    }
}

#[test]
fn what_waits_is_cancelled_at_once_and_never_begun() {
    let (store, jobs) = bed();
    // Holds the runner up: a checkpoint needs the collections.
    let held = store.alive.shared.collections.write();
    let first = jobs.add(Task::Reclaim).unwrap();
    while first.body().state != JobState::Running {
        std::thread::yield_now();
    }
    let second = jobs.add(Task::Checkpoint).unwrap();
    let cancelled = jobs.cancel(second.id()).unwrap().body();
    assert_eq!((cancelled.state, cancelled.started_at), (JobState::Cancelled, None));
    jobs.cancel(first.id()).unwrap();
    assert_eq!(first.body().state, JobState::Running);
    drop(held);
    wait(&first);
    assert_eq!(first.body().state, JobState::Cancelled);
    wait(&second);
}

#[test]
fn the_end_waits_for_a_job_that_runs_as_long_as_it_may() {
    let (store, jobs) = bed();
    let held = store.alive.shared.collections.write();
    let running = jobs.add(Task::Reclaim).unwrap();
    while running.body().state != JobState::Running {
        std::thread::yield_now();
    }
    let waiting = jobs.add(Task::Checkpoint).unwrap();
    jobs.stop();
    assert_eq!(waiting.body().state, JobState::Cancelled);
    assert!(!jobs.wait_until(Instant::now()), "one runs");
    drop(held);
    assert!(jobs.wait_until(Instant::now() + Duration::from_secs(60)));
    assert_eq!(running.body().state, JobState::Cancelled);
}

#[test]
fn the_table_is_bounded() {
    let (store, jobs) = bed();
    let held = store.alive.shared.collections.write();
    let first = jobs.add(Task::Reclaim).unwrap();
    while first.body().state != JobState::Running {
        std::thread::yield_now();
    }
    for _ in 0..QUEUED_MAX {
        jobs.add(Task::Checkpoint).unwrap();
    }
    assert_eq!(jobs.add(Task::Checkpoint).map(drop).unwrap_err().code, Code::Unavailable);
    drop(held);
    for _ in 0..2 * KEPT_MAX {
        while jobs.add(Task::Push).is_err() {
            std::thread::yield_now();
        }
    }
    assert!(jobs.list().len() <= KEPT_MAX + QUEUED_MAX);
}
