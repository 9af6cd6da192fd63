//! Threads for calls of the engine, which compute or wait for a disk: neither may happen where sockets are served. And the one
//! exception that is none: a short call that is alone has its thread for itself, and another one serves the sockets.
//!
//! Invariants: a lane takes `threads + queue` calls at a time and refuses any more at once; a call that nobody waits for any
//! more is not begun; a call that panics is an answer, and its thread goes on.
//!
//! Not tokio's `spawn_blocking`: its line has no end, and what searches and what waits for a disk would stand in the same one.

use super::problem::{Code, Problem};
use crate::{Error, ErrorKind, Result};
use crossbeam::channel::{Receiver, Sender, bounded};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

type Task = Box<dyn FnOnce() + Send>;

/// Threads of one kind of calls. They end when it goes.
pub(crate) struct Lane {
    tasks: Sender<Task>,
}

impl Lane {
    pub(crate) fn start(name: &str, threads: usize, queue: usize) -> Result<Self> {
        let (tasks, waiting) = bounded::<Task>(queue.max(1));
        for _ in 0..threads.max(1) {
            let waiting = waiting.clone();
            let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&waiting));
            spawned.map_err(|e| {
                Error::new(ErrorKind::Unavailable, "a thread of the server cannot be started").with_source(e)
            })?;
        }
        Ok(Self { tasks })
    }

    /// Calls `work` on a thread of the lane, and waits for its answer, but no longer than `patience`.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        patience: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let task = Box::new(move || {
            if reply.is_closed() {
                return;
            }
            // What the call worked on is shared memory of the engine, whose locks survive a panic.
            if let Ok(done) = catch_unwind(AssertUnwindSafe(work)) {
                // Whoever asked may have gone.
                let _ = reply.send(done);
            }
        });
        if self.tasks.try_send(task).is_err() {
            return Err(Problem::later("as many calls are under way as the server takes; try again", 1));
        }
        match tokio::time::timeout(patience, answer).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(panicked()),
            Err(_) => {
                let limit = patience.as_millis();
                let detail = format!(
                    "no answer within {limit} ms; ask for less at a time. What was to be written may be written"
                );
                Err(Problem::later(detail, 1))
            }
        }
    }

    /// Whether one more call would be refused.
    pub(crate) fn is_full(&self) -> bool {
        self.tasks.is_full()
    }

    /// Calls that wait for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.tasks.len()
    }
}

/// Calls `work` on this thread, and has another one serve its sockets meanwhile. Only on a runtime of several threads.
pub(crate) fn in_place<T>(work: impl FnOnce() -> T) -> Result<T, Problem> {
    tokio::task::block_in_place(|| catch_unwind(AssertUnwindSafe(work))).map_err(|_| panicked())
}

/// Whether a call is the only one, where that is of use.
#[derive(Default)]
pub(crate) struct Alone {
    calls: AtomicUsize,
    /// The runtime is our own, and its threads may be used.
    is_wanted: AtomicBool,
}

/// A call that is under way.
pub(crate) struct Begun<'a> {
    alone: &'a Alone,
    is_alone: bool,
}

impl Alone {
    pub(crate) fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self) -> Begun<'_> {
        let is_first = self.calls.fetch_add(1, Ordering::Relaxed) == 0;
        Begun { alone: self, is_alone: is_first && self.is_wanted.load(Ordering::Relaxed) }
    }

    #[cfg(test)]
    pub(crate) fn is_free(&self) -> bool {
        self.calls.load(Ordering::Relaxed) == 0
    }
}

impl Begun<'_> {
    /// No other was under way when it began.
    pub(crate) fn is_alone(&self) -> bool {
        self.is_alone
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.alone.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

fn panicked() -> Problem {
    Problem::new(Code::Internal, "the call panicked; please report this")
}

fn work(waiting: &Receiver<Task>) {
    while let Ok(task) = waiting.recv() {
        task();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const LONG: Duration = Duration::from_secs(60);

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_full_lane_refuses_at_once_and_a_panic_is_an_answer() {
        let lane = Lane::start("test", 1, 1).unwrap();
        let (go, gate) = channel::<()>();
        block_on(async {
            let boom = lane.run(LONG, || panic!("on purpose")).await.map(drop).unwrap_err();
            assert_eq!(boom.code, Code::Internal);
            let mut held = Box::pin(lane.run(LONG, move || gate.recv().is_ok()));
            let mut queued = Box::pin(lane.run(LONG, || 2));
            // The first is on the thread when the queue has room again.
            poll(&mut held).await;
            while lane.waiting() > 0 {
                tokio::task::yield_now().await;
            }
            poll(&mut queued).await;
            let refused = lane.run(LONG, || 3).await.unwrap_err();
            assert_eq!((refused.code, refused.status.as_u16()), (Code::Unavailable, 503));
            go.send(()).unwrap();
            assert!(held.await.unwrap());
            assert_eq!(queued.await.unwrap(), 2);
        });
    }

    #[test]
    fn nobody_waits_longer_than_he_said() {
        let lane = Lane::start("test", 1, 2).unwrap();
        let (go, gate) = channel::<()>();
        let (first, busy) = channel();
        let (told, begun) = channel();
        let also_told = told.clone();
        block_on(async {
            let held = poll_once(lane.run(LONG, move || first.send(()).is_ok() && gate.recv().is_ok())).await;
            busy.recv().unwrap();
            let late = lane.run(Duration::from_millis(1), move || told.send(()).is_ok()).await.unwrap_err();
            assert_eq!(late.code, Code::Unavailable);
            assert!(late.detail.contains("within 1 ms"), "{}", late.detail);
            // Nobody waits for this one either when its turn comes.
            drop(poll_once(lane.run(LONG, move || also_told.send(()).is_ok())).await);
            go.send(()).unwrap();
            assert!(held.await.unwrap());
        });
        drop(lane);
        assert!(begun.recv().is_err(), "it was begun");
    }

    async fn poll<F: Future + Unpin>(future: &mut F) {
        std::future::poll_fn(|cx| {
            assert!(std::pin::Pin::new(&mut *future).poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }

    async fn poll_once<F: Future>(future: F) -> std::pin::Pin<Box<F>> {
        let mut future = Box::pin(future);
        poll(&mut future).await;
        future
    }
}
