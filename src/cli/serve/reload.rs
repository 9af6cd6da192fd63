//! Settings that change while a server runs: their file and the file of tokens are watched.
//!
//! Invariants: what cannot be read, or cannot work, changes nothing and is told; a setting that holds only from the next start is
//! named in a warning, and what holds goes on to hold.

use super::super::settings::{Loaded, Place, Sources, is_live, is_secret};
use super::{Reloaded, server_options};
use crate::server::LiveSettings;
use crate::{Error, ErrorKind, Result};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// An editor writes a file in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// Watches as long as it lives.
pub(super) struct Reloading {
    /// Dropped first: the thread ends when nobody can tell it anything.
    watcher: Option<RecommendedWatcher>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What is changed, and from what.
pub(super) struct Running {
    pub(super) sources: Sources,
    pub(super) token_file: Option<PathBuf>,
    pub(super) loaded: Loaded,
    pub(super) server: LiveSettings,
    pub(super) log: Reloaded,
}

impl Reloading {
    /// Begins to watch; nothing to watch is no fault.
    pub(super) fn start(mut running: Running) -> Result<Self> {
        let files: Vec<PathBuf> = running
            .loaded
            .file
            .iter()
            .chain(&running.token_file)
            .filter_map(|file| std::path::absolute(file).ok())
            .collect();
        if files.is_empty() {
            return Ok(Self { watcher: None, thread: None });
        }
        let cannot = |e: notify::Error| {
            Error::new(ErrorKind::Unavailable, "the settings cannot be watched").with_source(e)
        };
        let (told, heard) = channel();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event, too, and would never end.
            if event.as_ref().is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            // Nobody listens any more when the server ends.
            let _ = told.send(event.map(|event| event.paths).unwrap_or_default());
        })
        .map_err(cannot)?;
        // A file that is replaced is another file: its folder stays.
        let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
        for folder in folders {
            watcher.watch(folder, RecursiveMode::NonRecursive).map_err(cannot)?;
        }
        let body = move || {
            while changed(&heard, &files) {
                running.reload();
            }
        };
        let thread = std::thread::Builder::new().name("nearfield-settings".into()).spawn(body);
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "the settings cannot be watched").with_source(e)
        })?;
        Ok(Self { watcher: Some(watcher), thread: Some(thread) })
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        drop(self.watcher.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been told by then, and ends nothing here.
            let _ = thread.join();
        }
    }
}

/// Waits for a change of one of the files, and for the end of its writing; false when nobody watches any more.
fn changed(heard: &Receiver<Vec<PathBuf>>, files: &[PathBuf]) -> bool {
    loop {
        let Ok(paths) = heard.recv() else { return false };
        if paths.iter().any(|path| files.contains(path)) {
            break;
        }
    }
    loop {
        match heard.recv_timeout(SETTLE) {
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

impl Running {
    fn reload(&mut self) {
        match self.take_over() {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "changed settings are not taken over"),
        }
    }

    fn take_over(&mut self) -> Result<()> {
        let loaded = self.sources.load()?;
        let options = server_options(&loaded.settings, self.token_file.as_deref())?;
        let others =
            loaded.values.iter().filter(|(key, (value, place))| match self.loaded.values.get(*key) {
                Some((was, _)) => was != value,
                // Of what people name, there may be more than there was.
                None => *place != Place::Default,
            });
        let names: Vec<&str> = others.map(|(key, _)| key.as_str()).collect();
        self.server.change(&options)?;
        self.log.set(loaded.settings.log.level);
        for name in &names {
            let told = if is_secret(name) { "***".to_owned() } else { loaded.values[*name].0.to_string() };
            if is_live(name) {
                tracing::info!(setting = name, value = told, "taken over");
            } else {
                tracing::warn!(setting = name, value = told, "holds from the next start");
            }
        }
        tracing::info!("settings and tokens were read again");
        self.keep(loaded);
        Ok(())
    }

    /// What holds now: the new values of what is live, the old ones of everything else.
    fn keep(&mut self, loaded: Loaded) {
        for (key, value) in loaded.values {
            if is_live(&key) {
                self.loaded.values.insert(key, value);
            }
        }
    }
}
