//! The public handle: calls become requests to the mirror's thread.

use super::fallback::Door;
use super::gate::Gate;
use super::letters::DeadLetter;
use super::options::{Fallback, MirrorOptions, Trust};
use super::remote::Remote;
use super::report::AuditReport;
use super::sides::Sides;
use super::stand_back::stand_back;
use super::status::MirrorStatus;
use super::worker::{Request, Shared, Worker};
use crate::engine::tap::Tap;
use crate::engine::{Store, Token};
use crate::error::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::{Builder, Handle, Runtime};

/// A host that is built without optimisation keeps whole futures on the stack: with the usual 2 MiB it overflows. What is not used is
/// not taken.
const STACK_BYTES: usize = 16 << 20;

/// A store's mirror in a Postgres database. Cloning gives another handle to the same mirror; when the last one goes, it stops.
///
/// Writes and searches of the store never wait for it, unless they are told to:
/// [`Durability::Mirrored`](crate::Durability::Mirrored), [`Fallback::Database`](crate::Fallback::Database).
#[derive(Clone)]
pub struct Mirror {
    held: Arc<Held>,
}

struct Held {
    shared: Arc<Shared>,
    tap: Tap,
    gate: Option<Arc<Gate>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.stop(0);
    }
}

impl Shared {
    fn stop(&self, deadline_ms: u64) {
        self.deadline_ms.store(deadline_ms, Ordering::Release);
        self.is_stopping.store(true, Ordering::Release);
        // Kept for whoever waits next, if nobody does.
        self.cut.notify_one();
        self.wake.notify_one();
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// One thread, and another for searches where they may ask the database: what filling does between two awaits takes longer than
/// they can wait.
fn runtime(fallback: Fallback) -> std::io::Result<Runtime> {
    match fallback {
        Fallback::None => Builder::new_current_thread().enable_all().build(),
        Fallback::Database => Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("nearfield-fallback")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build(),
    }
}

/// Opens the way of searches to the database, if the options want one.
fn doorway<R: Remote>(sides: &mut Sides<R>, runtime: &Handle) -> Option<Arc<Gate>> {
    let MirrorOptions { fallback, fallback_ms, retry_ms_max, .. } = sides.options;
    if fallback == Fallback::None {
        return None;
    }
    let gate = Arc::new(Gate::new(retry_ms_max, sides.clock.clone(), sides.random.next()));
    let (remote, runtime) = (sides.remote.clone(), runtime.clone());
    let patience = Duration::from_millis(fallback_ms);
    let door = Door { remote, runtime, gate: gate.clone(), patience };
    sides.fallback = Some((Arc::new(door), gate.clone()));
    Some(gate)
}

impl Mirror {
    /// Mirrors `store` in whatever `remote` is.
    pub(crate) fn start_on<R: Remote>(store: &Store, remote: R, options: MirrorOptions) -> Result<Self> {
        options.validate()?;
        let tap = store.tap();
        let shared = Arc::new(Shared::default());
        let seed = tap.node() ^ unix_ms();
        let runtime = runtime(options.fallback).map_err(|e| failed("make a runtime for the mirror", e))?;
        let mut sides = Sides::new(tap.clone(), Arc::new(remote), options, Arc::new(unix_ms), seed)?;
        let gate = doorway(&mut sides, runtime.handle());
        sides.tell_filling()?;
        let wake: Arc<dyn Fn() + Send + Sync> = Arc::new({
            let shared = Arc::downgrade(&shared);
            move || {
                if let Some(shared) = shared.upgrade() {
                    shared.wake.notify_one();
                }
            }
        });
        tap.on_commit(wake.clone());
        tap.on_lost(wake);
        let mut worker = Worker::new(sides, shared.clone());
        let body = move || {
            // Whatever happens in there, whoever waits for the end is told.
            let _told = Told(worker.shared.clone());
            stand_back();
            runtime.block_on(worker.run());
            worker.farewell();
        };
        let thread =
            std::thread::Builder::new().name("nearfield-mirror".into()).stack_size(STACK_BYTES).spawn(body);
        thread.map_err(|e| failed("start the mirror's thread", e))?;
        Ok(Self { held: Arc::new(Held { shared, tap, gate }) })
    }

    /// What it does and has done. Does not wait for the database.
    pub fn status(&self) -> MirrorStatus {
        let mut status = self.held.shared.board.read();
        // Searches do not wait for the thread to look up.
        status.fallback = self.held.gate.as_ref().map(|gate| gate.status());
        status
    }

    /// Looks who answers, now. The error says why nobody does, or what must be decided first.
    pub fn connect(&self) -> Result<()> {
        self.ask(|reply| Request::Connect { reply })
    }

    /// Compares a collection with the database at one instant. `deep` makes digests anew from the bytes of both sides, which reads
    /// everything.
    pub fn audit(&self, collection: &str, deep: bool) -> Result<AuditReport> {
        let collection = collection.to_owned();
        self.ask(|reply| Request::Audit { collection, is_deep: deep, reply })
    }

    /// Makes both sides of a collection equal by the word of one. Deletes what the trusted side does not have. With `dry_run` it
    /// only says what it would do.
    pub fn repair(&self, collection: &str, trust: Trust, dry_run: bool) -> Result<AuditReport> {
        let collection = collection.to_owned();
        self.ask(|reply| Request::Repair { collection, trust, dry_run, reply })
    }

    /// Fills a collection from the database, and compares it then. Searches and writes go on; `status` says how far it is.
    pub fn rebuild(&self, collection: &str) -> Result<()> {
        let collection = collection.to_owned();
        self.ask(|reply| Request::Rebuild { collection, reply })
    }

    /// Deletes a collection in the database that was dropped here: dropping it here leaves it there, for others may hold it. Says how
    /// many rows there were. Other nodes that hold it take over the deletions, or stop and ask if they are too many. With `dry_run` it
    /// only counts them.
    pub fn drop_in_database(&self, collection: &str, dry_run: bool) -> Result<u64> {
        let collection = collection.to_owned();
        self.ask(|reply| Request::Drop { collection, dry_run, reply })
    }

    /// Sends everything that waits. Says how many versions.
    pub fn push_now(&self) -> Result<usize> {
        self.ask(|reply| Request::Push { reply })
    }

    /// Takes over everything that the database has by now.
    pub fn pull_now(&self) -> Result<()> {
        self.ask(|reply| Request::Pull { reply })
    }

    /// Decides what the mirror is blocked about: whom to trust. Does nothing if it is not blocked.
    pub fn resolve(&self, trust: Trust) -> Result<()> {
        self.ask(|reply| Request::Resolve { trust, reply })
    }

    /// Rows that one side refuses, with reasons.
    pub fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        self.ask(|reply| Request::Letters { reply })
    }

    /// Tries them all again. Says how many there were.
    pub fn retry_dead_letters(&self) -> Result<usize> {
        self.ask(|reply| Request::Retry { reply })
    }

    /// Waits until everything up to `token` is in the database. An error when `timeout` passes before; the write is durable here
    /// in any case, and is sent later.
    pub fn wait_mirrored(&self, token: Token, timeout: Duration) -> Result<()> {
        if self.held.tap.wait_clean(token, timeout)? {
            return Ok(());
        }
        let message = format!(
            "commit {token} was not mirrored within {} ms; it is durable here and will be sent",
            timeout.as_millis()
        );
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    /// Sends what it can until `deadline` has passed, and ends. Nothing is lost: what was not sent is sent after the next start.
    pub fn stop(&self, deadline: Duration) -> Result<()> {
        let shared = &self.held.shared;
        shared.stop(unix_ms() + deadline.as_millis() as u64);
        let mut ended = shared.ended.lock();
        if !*ended {
            shared.has_ended.wait_for(&mut ended, deadline);
        }
        if *ended {
            return Ok(());
        }
        let message = "the mirror's thread is still at it; it ends when its step does";
        Err(Error::new(ErrorKind::Unavailable, message))
    }

    fn ask<T>(&self, request: impl FnOnce(SyncSender<Result<T>>) -> Request) -> Result<T> {
        let shared = &self.held.shared;
        let stopped = || Error::new(ErrorKind::Closed, "the mirror was stopped; start another");
        let (reply, answer) = sync_channel(1);
        {
            let ended = shared.ended.lock();
            if *ended || shared.is_stopping.load(Ordering::Acquire) {
                return Err(stopped());
            }
            shared.requests.lock().push_back(request(reply));
        }
        shared.wake.notify_one();
        answer.recv().map_err(|_| stopped())?
    }
}

struct Told(Arc<Shared>);

impl Drop for Told {
    fn drop(&mut self) {
        *self.0.ended.lock() = true;
        // Whoever still asks hears that it is over.
        self.0.requests.lock().clear();
        self.0.has_ended.notify_all();
    }
}

fn failed(what: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot {what}")).with_source(error)
}
