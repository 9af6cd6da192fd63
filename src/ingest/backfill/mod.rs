//! Vectors for rows that wait for them, made in the background.
//!
//! Owns the pace, what is remembered of rows that are refused, and the one thread that a [`Backfill`] is. Invariants: a vector goes to the
//! version of the row that its text was read from, or nowhere; a row that the embedder refuses is put aside with the reason and
//! does not hold up others; an embedder that is away is waited for. Nothing is remembered on a disk: what has a vector has it, what is
//! put aside is tried once more by the next process.

pub(super) mod pace;
#[cfg(test)]
mod tests;

use crate::config::within;
use crate::embed::{Embedder, estimate_tokens};
use crate::engine::{Collection, Pending};
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::ids::Ver;
use crate::record::Chunk;
use pace::Pace;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Rows that are put aside and told by name; more are only counted.
const PARKED_TOLD: usize = 1_000;
/// While the embedder is away: the first wait and the longest.
const AWAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How fast, and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackfillOptions {
    /// Rows that are embedded and stored together: 1 to 2,048. Default: 256.
    pub batch: usize,
    /// Tokens a second at most, by estimate. Default: no limit.
    pub tokens_per_s: Option<u64>,
    /// Tokens in all; then it ends. Default: no limit.
    pub tokens_max: Option<u64>,
    /// How often it looks for rows that wait, when there are none. Default: 1 s.
    pub poll: Duration,
}

impl Default for BackfillOptions {
    fn default() -> Self {
        Self { batch: 256, tokens_per_s: None, tokens_max: None, poll: Duration::from_secs(1) }
    }
}

/// What a backfill does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillState {
    /// It embeds.
    #[default]
    Working,
    /// No row waits but those that were put aside.
    Idle,
    /// The embedder, or the store, is away: it tries again.
    Waiting,
    /// It has used all its tokens.
    Spent,
    /// It was stopped, or cannot go on.
    Stopped,
}

/// How far a backfill is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BackfillStatus {
    /// What it does now.
    pub state: BackfillState,
    /// Why it waits or has stopped, if something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Rows of the collection.
    pub rows: usize,
    /// Those of them without a vector.
    pub pending: usize,
    /// The share of rows that have one; 1 for none.
    pub coverage: f64,
    /// How long the oldest row without one has waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_pending_ms: Option<u64>,
    /// Rows that got one from this backfill.
    pub embedded: u64,
    /// Tokens of what was given to the embedder, by estimate.
    pub tokens: u64,
    /// Rows that were changed while their text was embedded: they wait again, or need nothing.
    pub overtaken: u64,
    /// Rows that were put aside.
    pub parked: usize,
    /// The first thousand of them.
    pub parked_rows: Vec<ParkedRow>,
}

/// A row that the embedder, or the collection, refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParkedRow {
    /// Its chunk's id.
    pub id: String,
    /// Why.
    pub why: String,
}

/// Gives rows of a collection that wait the vectors of their texts, on a thread of its own, until it is stopped or dropped.
pub struct Backfill {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    collection: Collection,
    embedder: Arc<dyn Embedder>,
    options: BackfillOptions,
    now: Mutex<Now>,
    /// Something changed that the thread waits for.
    called: Condvar,
}

#[derive(Default)]
struct Now {
    status: BackfillStatus,
    /// Versions that were refused; a newer one is tried.
    parked: BTreeMap<String, (Ver, String)>,
    stops: bool,
}

/// What came of looking through all rows that wait.
enum Pass {
    /// How many rows got a vector.
    Filled(usize),
    Spent,
    Stopped,
}

impl Backfill {
    /// Starts. An error if the embedder's vectors do not fit the collection.
    pub fn start(
        collection: &Collection,
        embedder: Arc<dyn Embedder>,
        options: BackfillOptions,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::new(collection, embedder, options)?);
        let there = shared.clone();
        let thread = std::thread::Builder::new().name("backfill".into()).spawn(move || there.run());
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "no thread can be started for a backfill").with_source(e)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Embeds what waits and ends, on this thread; `tell` is called after every batch and says whether to go on. An embedder that is
    /// away is an error: what was embedded before is stored.
    pub fn run(
        collection: &Collection,
        embedder: Arc<dyn Embedder>,
        options: BackfillOptions,
        tell: &mut dyn FnMut(&BackfillStatus) -> bool,
    ) -> Result<BackfillStatus> {
        let shared = Shared::new(collection, embedder, options)?;
        let mut pace = Pace::new(options.tokens_per_s, Instant::now());
        loop {
            let end = match shared.pass(&mut pace, &mut |shared| tell(&shared.status()))? {
                // Rows may have come meanwhile.
                Pass::Filled(1..) => continue,
                Pass::Filled(0) => BackfillState::Idle,
                Pass::Spent => BackfillState::Spent,
                Pass::Stopped => BackfillState::Stopped,
            };
            shared.now.lock().status.state = end;
            return Ok(shared.status());
        }
    }

    /// How far it is.
    pub fn status(&self) -> BackfillStatus {
        self.shared.status()
    }

    /// Tries rows that were put aside again.
    pub fn retry_parked(&self) {
        self.shared.now.lock().parked.clear();
        self.shared.called.notify_all();
    }

    /// Ends it, after the batch under way.
    pub fn stop(mut self) -> BackfillStatus {
        self.end();
        self.shared.status()
    }

    fn end(&mut self) {
        self.shared.now.lock().stops = true;
        self.shared.called.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

impl Drop for Backfill {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn new(collection: &Collection, embedder: Arc<dyn Embedder>, options: BackfillOptions) -> Result<Self> {
        within("batch", options.batch, 1, 2_048, "256 is the default")?;
        let dim = collection.schema().dim;
        if embedder.dim() != dim {
            let message = format!(
                "model {} makes vectors of {} numbers, collection {:?} has {dim}; use the collection's model",
                excerpt(embedder.model()),
                embedder.dim(),
                collection.name()
            );
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let (now, called) = (Mutex::default(), Condvar::new());
        Ok(Self { collection: collection.clone(), embedder, options, now, called })
    }

    fn status(&self) -> BackfillStatus {
        let now = self.now.lock();
        // After the counters: what they count is stored, and so is not among what waits.
        let Pending { rows, waiting, oldest_unix_ms } = self.collection.pending();
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let row = |(id, (_, why)): (&String, &(Ver, String))| ParkedRow { id: id.clone(), why: why.clone() };
        BackfillStatus {
            rows,
            pending: waiting,
            coverage: if rows == 0 { 1.0 } else { (rows - waiting) as f64 / rows as f64 },
            oldest_pending_ms: oldest_unix_ms.map(|then| unix_ms.saturating_sub(then)),
            parked: now.parked.len(),
            parked_rows: now.parked.iter().take(PARKED_TOLD).map(row).collect(),
            ..now.status.clone()
        }
    }

    /// The thread.
    fn run(&self) {
        let mut pace = Pace::new(self.options.tokens_per_s, Instant::now());
        let mut away = AWAY.0;
        loop {
            let rest = match self.pass(&mut pace, &mut |_| true) {
                Ok(Pass::Stopped) => return self.becomes(BackfillState::Stopped, None),
                Ok(Pass::Spent) => return self.becomes(BackfillState::Spent, None),
                Ok(Pass::Filled(1..)) => {
                    away = AWAY.0;
                    continue;
                }
                Ok(Pass::Filled(0)) => {
                    self.becomes(BackfillState::Idle, None);
                    self.options.poll
                }
                Err(e) if [ErrorKind::Unavailable, ErrorKind::Full].contains(&e.kind()) => {
                    self.becomes(BackfillState::Waiting, Some(e.to_string()));
                    away = (away * 2).min(AWAY.1);
                    away
                }
                Err(e) => return self.becomes(BackfillState::Stopped, Some(e.to_string())),
            };
            if !self.waits(rest) {
                return self.becomes(BackfillState::Stopped, None);
            }
        }
    }

    fn becomes(&self, state: BackfillState, why: Option<String>) {
        let mut now = self.now.lock();
        (now.status.state, now.status.why) = (state, why);
    }

    /// Waits, unless it is stopped or called: whether it goes on.
    fn waits(&self, rest: Duration) -> bool {
        let mut now = self.now.lock();
        if !now.stops && !rest.is_zero() {
            self.called.wait_for(&mut now, rest);
        }
        !now.stops
    }

    /// All rows that wait, once.
    fn pass(&self, pace: &mut Pace, goes_on: &mut dyn FnMut(&Self) -> bool) -> Result<Pass> {
        let (mut from, mut filled) = (Some(0), 0);
        while let Some(at) = from {
            let (seen, next) = self.collection.pending_seen(at, self.options.batch)?;
            from = next;
            let rows: Vec<(Chunk, Ver)> =
                seen.into_iter().filter(|(chunk, ver)| self.is_wanted(chunk, *ver)).collect();
            if rows.is_empty() {
                continue;
            }
            let tokens: u64 = rows.iter().map(|(chunk, _)| tokens(chunk)).sum();
            let spent = self.now.lock().status.tokens;
            if self.options.tokens_max.is_some_and(|max| spent + tokens > max) {
                return Ok(Pass::Spent);
            }
            let until = pace.takes(tokens, Instant::now());
            loop {
                if self.now.lock().stops {
                    return Ok(Pass::Stopped);
                }
                let rest = until.saturating_duration_since(Instant::now());
                if rest.is_zero() {
                    break;
                }
                self.waits(rest);
            }
            self.becomes(BackfillState::Working, None);
            filled += self.fill(rows, tokens)?;
            if !goes_on(self) {
                return Ok(Pass::Stopped);
            }
        }
        Ok(Pass::Filled(filled))
    }

    fn is_wanted(&self, chunk: &Chunk, ver: Ver) -> bool {
        let now = self.now.lock();
        chunk.text.is_some() && now.parked.get(&chunk.id).is_none_or(|(refused, _)| *refused != ver)
    }

    /// Embeds rows and stores their vectors; how many got one.
    fn fill(&self, rows: Vec<(Chunk, Ver)>, tokens: u64) -> Result<usize> {
        let texts: Vec<&str> =
            rows.iter().map(|(chunk, _)| chunk.text.as_deref().unwrap_or_default()).collect();
        let each = self.embedder.embed_each(&texts);
        self.now.lock().status.tokens += tokens;
        let (mut made, mut away) = (Vec::new(), None);
        for ((chunk, ver), vector) in rows.into_iter().zip(each) {
            match vector {
                Ok(vector) => made.push((chunk.vector(vector).embedding_model(self.embedder.model()), ver)),
                Err(e) if e.kind() == ErrorKind::Invalid => self.park(chunk.id, ver, e.to_string()),
                Err(e) => away = Some(e),
            }
        }
        let vers: Vec<Ver> = made.iter().map(|(_, ver)| *ver).collect();
        let ack = if made.is_empty() { None } else { Some(self.collection.fill(made)?) };
        let mut embedded = 0;
        for (result, ver) in ack.into_iter().flat_map(|ack| ack.results).zip(vers) {
            match result.rejected {
                None => embedded += 1,
                Some(why) if why == crate::engine::CHANGED => self.now.lock().status.overtaken += 1,
                Some(why) => self.park(result.id.as_str().to_owned(), ver, why),
            }
        }
        self.now.lock().status.embedded += embedded as u64;
        away.map_or(Ok(embedded), Err)
    }

    fn park(&self, id: String, ver: Ver, why: String) {
        self.now.lock().parked.insert(id, (ver, why));
    }
}

fn tokens(chunk: &Chunk) -> u64 {
    chunk.text.as_deref().map_or(0, estimate_tokens) as u64
}
