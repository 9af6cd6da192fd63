//! The mirror's one thread: a runtime of its own, one tick after the other, and the calls of whoever holds a handle. Where searches may
//! ask the database (`fallback.rs`), the runtime has a second one, for their questions.
//!
//! Invariants: the engine never waits for it, and wakes it by a call that does not wait (M1); whatever the database does, it ends by
//! the deadline that it is given (M23): a call on its way is dropped.

use super::index::Indexer;
use super::job::{Job, Plan, Turn, next};
use super::join::unless;
use super::letters::DeadLetter;
use super::options::Trust;
use super::remote::{Remote, RemoteCollection};
use super::repair::not_connected;
use super::report::AuditReport;
use super::sides::Sides;
use super::status::{Board, MirrorState, MirrorStatus};
use super::trouble::{Step, Trouble};
use crate::engine::tap::TapCollection;
use crate::error::{Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::Notify;

const COLLECT_MS: u64 = 3_600_000;
/// An await that takes longer is taken for dead, whatever the database's side promised.
const JOB_MAX: Duration = Duration::from_secs(600);

type Reply<T> = SyncSender<Result<T>>;

/// What somebody wants done.
pub(super) enum Request {
    Connect { reply: Reply<()> },
    Audit { collection: String, is_deep: bool, reply: Reply<AuditReport> },
    Repair { collection: String, trust: Trust, dry_run: bool, reply: Reply<AuditReport> },
    Rebuild { collection: String, reply: Reply<()> },
    Drop { collection: String, dry_run: bool, reply: Reply<u64> },
    Push { reply: Reply<usize> },
    Pull { reply: Reply<()> },
    Resolve { trust: Trust, reply: Reply<()> },
    Letters { reply: Reply<Vec<DeadLetter>> },
    Retry { reply: Reply<usize> },
}

/// What the thread shares with handles.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) board: Board,
    pub(super) requests: parking_lot::Mutex<VecDeque<Request>>,
    pub(super) wake: Notify,
    /// Ends whatever is under way.
    pub(super) cut: Notify,
    pub(super) is_stopping: AtomicBool,
    /// Unix milliseconds by which it must have ended.
    pub(super) deadline_ms: AtomicU64,
    pub(super) ended: parking_lot::Mutex<bool>,
    pub(super) has_ended: parking_lot::Condvar,
}

pub(super) struct Worker<R: Remote> {
    pub(super) sides: Sides<R>,
    pub(super) shared: Arc<Shared>,
    feed_ms: u64,
    audit_ms: u64,
    collect_ms: u64,
    was_push: bool,
    indexer: Indexer,
}

impl<R: Remote> Worker<R> {
    pub(super) fn new(mut sides: Sides<R>, shared: Arc<Shared>) -> Self {
        let (board, options, clock) = (shared.clone(), sides.options.clone(), sides.clock.clone());
        sides.on_step = Some(Box::new(move |status| board.board.post(status, clock(), &options)));
        let now = sides.now_ms();
        let audit_ms = now + sides.options.audit_seconds * 1_000;
        let (collect_ms, indexer) = (now + COLLECT_MS, Indexer::default());
        Self { sides, shared, feed_ms: 0, audit_ms, collect_ms, was_push: false, indexer }
    }

    /// Until it is stopped, or the store is closed.
    pub(super) async fn run(&mut self) {
        while !self.shared.is_stopping.load(Ordering::Acquire) {
            if self.sides.tap.token().is_err() {
                return;
            }
            self.post();
            let request = self.shared.requests.lock().pop_front();
            if let Some(request) = request {
                self.serve(request).await;
                continue;
            }
            if self.sides.options.manual {
                self.shared.wake.notified().await;
                continue;
            }
            match next(&self.plan()) {
                Turn::Do(job) => self.work(job).await,
                Turn::Wait(ms) => {
                    let _ =
                        tokio::time::timeout(Duration::from_millis(ms), self.shared.wake.notified()).await;
                }
                Turn::WaitForWord => self.shared.wake.notified().await,
            }
        }
        self.finish().await;
    }

    /// The last pushes, as far as the deadline allows.
    async fn finish(&mut self) {
        let left_ms = self.shared.deadline_ms.load(Ordering::Acquire).saturating_sub(self.sides.now_ms());
        // A fifth of the time stays for what has to be written down.
        let left = Duration::from_millis(left_ms * 4 / 5);
        let sides = &self.sides;
        if sides.database.is_some() && sides.blocked.is_none() && !sides.options.manual {
            let _ = tokio::time::timeout(left, self.sides.push_all()).await;
        }
        // Without it the next start reads again what is here.
        let _ = self.sides.persist();
        self.sides.remote.hang_up();
    }

    fn plan(&mut self) -> Plan {
        let sides = &mut self.sides;
        // A collection that was made a moment ago need not wait for the next look.
        let look_ms = if sides.has_new_collection().unwrap_or(false) { 0 } else { sides.options.look_ms };
        Plan {
            now_ms: sides.now_ms(),
            is_blocked: sides.blocked.is_some(),
            is_connected: sides.database.is_some(),
            retry_ms: sides.backoff.until_ms(),
            greet_ms: sides.looked_ms + look_ms,
            has_outgoing: sides.has_outgoing().unwrap_or(false),
            was_push: self.was_push,
            feed_ms: self.feed_ms,
            is_unverified: sides.memory.unverified().is_some(),
            has_lost: sides.has_lost().unwrap_or(false),
            audit_ms: (sides.options.audit_seconds > 0).then_some(self.audit_ms),
            collect_ms: self.collect_ms,
        }
    }

    async fn work(&mut self, job: Job) {
        self.was_push = job == Job::Push;
        let shared = self.shared.clone();
        let work = tokio::time::timeout(JOB_MAX, self.job(job));
        match unless(shared.cut.notified(), work).await {
            Some(Ok(Err(trouble))) => self.sides.note(&trouble),
            Some(Err(_)) => self.sides.note(&not_connected(Some("a call did not return"))),
            Some(Ok(Ok(()))) | None => {}
        }
    }

    async fn job(&mut self, job: Job) -> Step<()> {
        let now = self.sides.now_ms();
        match job {
            Job::Greet => {
                self.sides.greet().await?;
                let all = self.sides.collections()?;
                let shape =
                    |c: &TapCollection| RemoteCollection { name: c.name().to_owned(), schema: c.schema() };
                self.indexer.start(&self.sides.remote, all.iter().map(shape).collect());
                Ok(())
            }
            Job::Push => self.sides.push().await.map(drop),
            Job::Feed => {
                let wait_ms = self.sides.feed().await?;
                self.feed_ms = self.sides.now_ms() + wait_ms;
                self.sides.forget_graves()
            }
            Job::Verify => {
                let name = self.sides.memory.unverified().map(str::to_owned);
                let Some(name) = name else { return Ok(()) };
                self.sides.verify(&name).await.map(drop)
            }
            Job::Refetch => self.sides.refetch().await.map(drop),
            Job::Audit => {
                self.audit_ms = now + self.sides.options.audit_seconds * 1_000;
                for known in self.sides.memory.collections.values_mut() {
                    known.is_verified = false;
                }
                Ok(())
            }
            Job::Collect => {
                self.collect_ms = now + COLLECT_MS;
                self.sides.persist()?;
                self.sides.collect().await
            }
        }
    }

    fn post(&self) {
        // A store that was closed is noticed elsewhere.
        let _ = self.sides.tell_filling();
        if let Ok(mut status) = self.sides.status() {
            status.notes = self.indexer.notes();
            self.shared.board.post(status, self.sides.now_ms(), &self.sides.options);
        }
    }

    /// The last word: it is over.
    pub(super) fn farewell(&self) {
        if let Some((_, gate)) = &self.sides.fallback {
            gate.open(false);
        }
        let mut status = self.shared.board.read();
        (status.state, status.reason) = (MirrorState::Disabled, None);
        let status = MirrorStatus { database: None, breaker: None, ..status };
        self.shared.board.post(status, self.sides.now_ms(), &self.sides.options);
    }

    async fn serve(&mut self, request: Request) {
        match request {
            Request::Connect { reply } => self.answer(reply, async |_| Ok(())).await,
            Request::Audit { collection, is_deep, reply } => {
                self.answer(reply, async |sides| {
                    let report = sides.audit(&sides.tap.name_there(&collection), is_deep).await?;
                    Ok(AuditReport { collection, ..report })
                })
                .await
            }
            Request::Repair { collection, trust, dry_run, reply } => {
                self.answer(reply, async |sides| {
                    let report = sides.repair(&sides.tap.name_there(&collection), trust, dry_run).await?;
                    Ok(AuditReport { collection, ..report })
                })
                .await
            }
            Request::Rebuild { collection, reply } => {
                self.answer(reply, async |sides| sides.rebuild(&sides.tap.name_there(&collection)).await)
                    .await
            }
            Request::Drop { collection, dry_run, reply } => {
                self.answer(reply, async |sides| sides.drop_there(&collection, dry_run).await).await
            }
            Request::Push { reply } => self.answer(reply, async |sides| sides.push_all().await).await,
            Request::Pull { reply } => self.answer(reply, async |sides| sides.pull().await).await,
            Request::Retry { reply } => self.answer(reply, async |sides| sides.retry_letters().await).await,
            Request::Resolve { trust, reply } => {
                let done = self.sides.resolve(trust);
                self.tell(reply, Some(done));
            }
            Request::Letters { reply } => {
                let done = self.sides.review_letters().map(|()| {
                    let mut letters = self.sides.letters.list();
                    letters
                        .iter_mut()
                        .for_each(|of| of.collection = self.sides.tap.name_here(&of.collection));
                    letters
                });
                self.tell(reply, Some(done));
            }
        }
    }

    /// Does something that needs the database, and answers.
    async fn answer<T>(&mut self, reply: Reply<T>, work: impl AsyncFnOnce(&mut Sides<R>) -> Step<T>) {
        let shared = self.shared.clone();
        let done = unless(shared.cut.notified(), self.ask(work)).await;
        self.tell(reply, done);
    }

    fn tell<T>(&mut self, reply: Reply<T>, done: Option<Step<T>>) {
        let stopped = || Err(Error::new(ErrorKind::Closed, "the mirror was stopped"));
        // What the caller did wrong is no trouble of the mirror's.
        if let Some(Err(trouble @ (Trouble::Remote(_) | Trouble::Blocked(_)))) = &done {
            self.sides.note(trouble);
        }
        self.post();
        // Whoever asked may have gone: then nobody hears it.
        let _ = reply.send(done.map_or_else(stopped, |done| done.map_err(Into::into)));
    }

    /// Something that needs the database now.
    async fn ask<T>(&mut self, work: impl AsyncFnOnce(&mut Sides<R>) -> Step<T>) -> Step<T> {
        let is_strange = self.sides.database.is_none() || self.sides.has_new_collection()?;
        if is_strange && self.sides.blocked.is_none() {
            self.sides.greet().await?;
        }
        if self.sides.database.is_none() {
            if let Some(block) = &self.sides.blocked {
                return Err(block.clone().into());
            }
            return Err(not_connected(self.sides.last_fault.as_deref()));
        }
        work(&mut self.sides).await
    }
}
