//! The database's own index on each collection, if the settings ask for one: a task beside the mirror's steps, so that whatever time
//! it takes delays neither push nor feed.
//!
//! Invariant: what fails here is a note in the status and nothing else.

use super::remote::{Remote, RemoteCollection};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// What is known of each collection's index.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Done,
    /// Why it is not there; it is tried again at the next look.
    Failed(String),
}

#[derive(Default)]
pub(super) struct Indexer {
    known: Arc<Mutex<BTreeMap<String, Known>>>,
    task: Option<JoinHandle<()>>,
}

impl Indexer {
    /// Begins with what is not done yet. On the mirror's thread, and returns at once.
    pub(super) fn start<R: Remote>(&mut self, remote: &Arc<R>, mut collections: Vec<RemoteCollection>) {
        if self.task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        collections.retain(|collection| self.known.lock().get(&collection.name) != Some(&Known::Done));
        if collections.is_empty() {
            return;
        }
        let (remote, known) = (remote.clone(), self.known.clone());
        self.task = Some(tokio::spawn(async move {
            for collection in collections {
                let found = match remote.index(&collection).await {
                    Ok(()) => Known::Done,
                    Err(fault) => Known::Failed(fault.to_string()),
                };
                known.lock().insert(collection.name, found);
            }
        }));
    }

    /// For the status: what failed.
    pub(super) fn notes(&self) -> Vec<String> {
        let note = |(name, known): (&String, &Known)| match known {
            Known::Done => None,
            Known::Failed(why) => Some(format!("no index on {name:?} in the database: {why}")),
        };
        self.known.lock().iter().filter_map(note).collect()
    }
}

/// Whoever runs the mirror ends with it; the database may go on by itself.
impl Drop for Indexer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
