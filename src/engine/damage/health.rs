//! What is wrong with a store: bytes that were lost, background work that failed. Kept to be told, never to be guessed at.

use crate::engine::store::Shared;
use crate::error::Result;
use crate::manifest::Hole;

/// Reports kept of one kind.
const REPORTS_MAX: usize = 100;

#[derive(Default)]
pub(crate) struct Health {
    /// Commits that were acknowledged and are gone.
    pub(crate) holes: Vec<Hole>,
    /// Damaged files, each with the reason.
    pub(crate) damage: Vec<String>,
    /// Why nothing is repaired.
    pub(crate) suspicion: Option<String>,
    /// The last failure of each background job.
    pub(crate) failures: Vec<(&'static str, String)>,
}

impl Shared {
    /// Remembers how a background job ended.
    pub(crate) fn note(&self, job: &'static str, done: Result<()>) {
        let mut health = self.health.lock();
        health.failures.retain(|(of, _)| *of != job);
        if let Err(e) = done {
            health.failures.push((job, e.to_string()));
        }
    }

    /// Remembers damage, once.
    pub(crate) fn note_damaged(&self, what: String) {
        let damage = &mut self.health.lock().damage;
        if damage.len() < REPORTS_MAX && !damage.contains(&what) {
            damage.push(what);
        }
    }
}
