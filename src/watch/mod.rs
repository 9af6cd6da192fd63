//! A folder and a collection kept equal while files come, change, move and go.
//!
//! Owns the thread and the operating system's news. What the news are is not believed: any of them, and any loss of them, wakes a pass
//! over all names (`ingest/follow.rs`). Invariants: a pass begins when nothing has happened for a moment, or has happened for too
//! long; a pass that fails is tried again; nothing that a file holds ends the watch.

#[cfg(test)]
mod tests;

use crate::embed::Embedder;
use crate::engine::Collection;
use crate::error::{Error, ErrorKind, Result};
use crate::ingest::{Chunking, Documents, FolderOptions, Follow, FollowReport};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Changes are waited out this long after the last of them, and this long in all.
const SETTLE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// After a pass that failed, or saw files that were being written.
const AGAIN: Duration = Duration::from_secs(2);
/// Without any news: on some file systems there are none.
const ANYWAY: Duration = Duration::from_secs(300);

/// What to watch, and how it comes in.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// The folder.
    pub root: PathBuf,
    /// Documents are named by their paths from here.
    pub base: PathBuf,
    /// Which of its files.
    pub files: FolderOptions,
    /// How large chunks are.
    pub chunking: Chunking,
}

/// How far a watch is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WatchStatus {
    /// Passes that came to their end.
    pub passes: u64,
    /// What the last of them did.
    pub last: FollowReport,
    /// Documents that were new or have changed, in all passes.
    pub stored: u64,
    /// Documents that were removed.
    pub removed: u64,
    /// Chunks that were embedded.
    pub embedded: u64,
    /// Why the last pass failed, if it did; another one follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Keeps a collection equal to a folder until it is dropped.
pub struct Watch {
    /// Dropped first: no news after the end.
    watcher: Option<RecommendedWatcher>,
    bell: Sender<News>,
    status: Arc<Mutex<WatchStatus>>,
    thread: Option<JoinHandle<()>>,
}

enum News {
    Something,
    End,
}

impl Watch {
    /// Starts, with a pass over everything. Without an embedder chunks wait for their vectors.
    pub fn start(
        collection: &Collection,
        embedder: Option<Arc<dyn Embedder>>,
        options: WatchOptions,
    ) -> Result<Self> {
        options.chunking.validate()?;
        let cannot = |e: notify::Error| {
            let folder = options.root.display();
            Error::new(ErrorKind::Unavailable, format!("{folder} cannot be watched; does it exist?"))
                .with_source(e)
        };
        let (bell, heard) = channel();
        let ring = bell.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event, too, and would never end. An error may have lost news: it is one.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                let _ = ring.send(News::Something);
            }
        })
        .map_err(cannot)?;
        watcher.watch(&options.root, RecursiveMode::Recursive).map_err(cannot)?;
        let status = Arc::<Mutex<WatchStatus>>::default();
        let (docs, told) = (collection.clone(), status.clone());
        let body = move || follow(&docs, embedder.as_deref(), &options, &heard, &told);
        let thread = std::thread::Builder::new().name("nearfield-watch".into()).spawn(body);
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "no thread can be started for a watch").with_source(e)
        })?;
        Ok(Self { watcher: Some(watcher), bell, status, thread: Some(thread) })
    }

    /// How far it is.
    pub fn status(&self) -> WatchStatus {
        self.status.lock().clone()
    }

    /// Looks at everything now.
    pub fn look(&self) {
        let _ = self.bell.send(News::Something);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.watcher.take());
        let _ = self.bell.send(News::End);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

/// The thread.
fn follow(
    docs: &Collection,
    embedder: Option<&dyn Embedder>,
    options: &WatchOptions,
    heard: &Receiver<News>,
    status: &Mutex<WatchStatus>,
) {
    let mut documents = Documents::of(docs).chunking(options.chunking);
    if let Some(embedder) = embedder {
        documents = documents.embedder(embedder);
    }
    let mut follow = Follow::new(&options.root, &options.base, options.files.clone());
    loop {
        let done = follow.pass(&documents);
        let mut status = status.lock();
        let rest = match done {
            Ok(report) => {
                status.passes += 1;
                status.stored += report.stored as u64;
                status.removed += report.removed as u64;
                status.embedded += report.embedded as u64;
                status.fault = None;
                let rest = if report.again { AGAIN } else { ANYWAY };
                status.last = report;
                rest
            }
            Err(e) => {
                status.fault = Some(e.to_string());
                AGAIN
            }
        };
        drop(status);
        if !next(heard, rest) {
            return;
        }
    }
}

/// Waits for news and for their end, or until `rest` has passed; false at the end.
fn next(heard: &Receiver<News>, rest: Duration) -> bool {
    match heard.recv_timeout(rest) {
        Ok(News::Something) => {}
        Err(RecvTimeoutError::Timeout) => return true,
        Ok(News::End) | Err(RecvTimeoutError::Disconnected) => return false,
    }
    let until = Instant::now() + SETTLE.1;
    while Instant::now() < until {
        match heard.recv_timeout(SETTLE.0) {
            Ok(News::Something) => {}
            Err(RecvTimeoutError::Timeout) => break,
            Ok(News::End) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    true
}
