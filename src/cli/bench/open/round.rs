//! One opening: until the store is there, until it has answered, until everything is linked; then, whether the answers were right.

use super::subject::Subject;
use crate::{Collection, Error, ErrorKind, Options, Response, Result, Store};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Closing makes the next round start from the same state.
const CLOSE: Duration = Duration::from_secs(3_600);

/// What one opening took, in milliseconds from its start.
#[derive(Clone, Copy)]
pub(super) struct Round {
    pub(super) open_ms: f64,
    pub(super) first_answer_ms: f64,
    /// How long a second opener waited to be refused.
    pub(super) refused_ms: f64,
    pub(super) linked_ms: f64,
    /// Rows that the first search compared one by one, because they were not linked yet.
    pub(super) tail: usize,
    /// Share of the true neighbours in the first answers.
    pub(super) recall: f64,
}

impl Subject {
    /// Opens the store, which must have `rows` rows, and closes it again.
    pub(super) fn open(&self, at: &Path, options: &Options, k: usize, rows: usize) -> Result<Round> {
        let start = Instant::now();
        let ms = || start.elapsed().as_secs_f64() * 1e3;
        let store = Store::open(at, options.clone())?;
        let docs = store.open_collection(&self.name)?;
        let open_ms = ms();
        let ask = |query: &Vec<f32>, exact| docs.search(query).k(k).exact(exact).run();
        let first = self.queries.first().map(|query| ask(query, false)).transpose()?;
        let first_answer_ms = ms();
        let refused_ms = refused(at, options)?;
        let mut answers: Vec<Response> = first.into_iter().collect();
        for query in self.queries.iter().skip(1) {
            answers.push(ask(query, false)?);
        }
        self.wait_for_links(&docs, k)?;
        let linked_ms = ms();
        let (mut hit, mut exist) = (0, 0);
        for (query, answer) in self.queries.iter().zip(&answers) {
            let truth = ask(query, true)?;
            exist += truth.hits.len();
            hit += truth.hits.iter().filter(|t| answer.hits.iter().any(|h| h.id == t.id)).count();
        }
        let found = docs.count(None)?;
        if found != rows {
            let message = format!(
                "the store has {found} rows after it was opened, and {rows} were acknowledged; please report this"
            );
            return Err(Error::new(ErrorKind::Internal, message));
        }
        store.close(CLOSE)?;
        let tail = answers.first().map_or(0, |answer| answer.explain.tail);
        let recall = if exist == 0 { 1.0 } else { hit as f64 / exist as f64 };
        Ok(Round { open_ms, first_answer_ms, refused_ms, linked_ms, tail, recall })
    }

    /// Asks until a search has no tail to compare: cheaper than counting.
    fn wait_for_links(&self, docs: &Collection, k: usize) -> Result<()> {
        let Some(query) = self.queries.first() else { return Ok(()) };
        // A search that compares every row anyway does not say what is linked.
        let is_linked = || -> Result<bool> {
            let answer = docs.search(query).k(k).run()?;
            Ok(if answer.exact { docs.stats().tail == 0 } else { answer.explain.tail == 0 })
        };
        while !is_linked()? {
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

/// Opens a store that is open, which must be refused; how long that took, in milliseconds.
fn refused(at: &Path, options: &Options) -> Result<f64> {
    let start = Instant::now();
    match Store::open(at, options.clone()) {
        Err(e) if e.kind() == ErrorKind::AlreadyOpen => Ok(start.elapsed().as_secs_f64() * 1e3),
        Err(e) => Err(e),
        Ok(_) => Err(Error::new(ErrorKind::Internal, "the store was opened twice; please report this")),
    }
}
