//! Vectors for rows that wait for them, made in the background.
//!
//! Owns the pace, what is remembered of rows that are refused, and the one thread that a [`Backfill`] is. Invariants: a vector goes to the
//! version of the row that its text was read from, or nowhere; a row that the embedder refuses is put aside with the reason and
//! does not hold up others; an embedder that is away is waited for. What has a vector has it; what is put aside is remembered in a file
//! that may be lost (`parked.rs`); nothing else is kept on a disk.

mod format;
pub(super) mod pace;
mod parked;
#[cfg(test)]
mod tests;

use crate::config::within;
use crate::embed::{Embedder, estimate_tokens};
use crate::engine::{Collection, Pending};
use crate::error::{Error, ErrorKind, Result, excerpt};
use crate::ids::Ver;
use crate::record::Chunk;
use pace::Pace;
use parked::{Parked, Shelf};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Rows that are put aside and told by name; more are only counted.
const PARKED_TOLD: usize = 1_000;
/// While the embedder is away: the first wait and the longest.
const AWAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often the file of what is put aside is written while rows are looked through.
const SAVE: Duration = Duration::from_secs(5);

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
    /// Rows that were put aside, by this backfill or an earlier one.
    pub parked: usize,
    /// The first thousand of them.
    pub parked_rows: Vec<ParkedRow>,
}

/// A row that the embedder, or the collection, refuses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Tokens a second that several backfills and migrations keep to together. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct TokenRate(Arc<Mutex<Pace>>);

impl TokenRate {
    /// At most `per_s` tokens a second, by estimate; no limit if there is none.
    pub fn new(per_s: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(Pace::new(per_s, Instant::now()))))
    }

    /// Takes `tokens`: when they may be used.
    pub(in crate::ingest) fn takes(&self, tokens: u64, now: Instant) -> Instant {
        self.0.lock().takes(tokens, now)
    }
}

struct Shared {
    /// Nothing when nobody waits for it any more: then it must not keep the store open.
    collection: Mutex<Option<Collection>>,
    rate: TokenRate,
    shelf: Shelf,
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
    parked: Parked,
    saved: Option<Instant>,
    stops: bool,
    /// Somebody wants all rows that wait to be looked through again.
    is_called: bool,
    /// The thread has ended.
    is_over: bool,
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
        Self::start_at(collection, embedder, options, &TokenRate::new(options.tokens_per_s))
    }

    /// The same at a rate that others keep to as well; [`BackfillOptions::tokens_per_s`] is not looked at.
    pub fn start_at(
        collection: &Collection,
        embedder: Arc<dyn Embedder>,
        options: BackfillOptions,
        rate: &TokenRate,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::new(collection, embedder, options, rate)?);
        let there = shared.clone();
        let body = move || {
            let ending = Ending(&there);
            there.run();
            drop(ending);
        };
        let thread = std::thread::Builder::new().name("backfill".into()).spawn(body);
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
        let shared = Shared::new(collection, embedder, options, &TokenRate::new(options.tokens_per_s))?;
        loop {
            let end = match shared.pass(&mut |shared| tell(&shared.status()))? {
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

    /// Tries rows that were put aside again; says how many they are. An embedder that is away is tried again, too.
    pub fn retry_parked(&self) -> usize {
        let mut now = self.shared.now.lock();
        now.is_called = true;
        let tried = now.parked.clear();
        drop(now);
        self.shared.called.notify_all();
        tried
    }

    /// The rows of a collection that were put aside because `model` refused them, as far as that is remembered and still true. None may
    /// be embedded meanwhile.
    pub fn parked(collection: &Collection, model: &str) -> Result<Vec<ParkedRow>> {
        let mut parked = Shelf::of(collection, model).load();
        parked.begin();
        let mut from = Some(0);
        while let Some(at) = from {
            let (seen, next) = collection.pending_seen(at, BackfillOptions::default().batch)?;
            from = next;
            seen.iter().for_each(|(chunk, ver)| _ = parked.holds(&chunk.id, *ver));
        }
        parked.end();
        Ok(parked.iter().map(ParkedRow::of).collect())
    }

    /// Forgets which rows of a collection `model` refused, so that the next backfill tries them again.
    pub fn forget_parked(collection: &Collection, model: &str) {
        Shelf::of(collection, model).save(&Parked::default());
    }

    /// Whether it has ended, of itself or because it was told to.
    pub fn is_over(&self) -> bool {
        self.shared.now.lock().is_over
    }

    /// Ends it, after the batch under way.
    pub fn stop(mut self) -> BackfillStatus {
        self.end();
        self.shared.status()
    }

    /// Tells it to end, and waits for that, but no longer than `patience`: whether it has ended. If not, it ends by itself when its embedder
    /// answers; it writes nothing any more, and keeps no store open.
    pub fn stop_within(mut self, patience: Duration) -> bool {
        self.tell_to_end();
        let until = Instant::now() + patience;
        let mut now = self.shared.now.lock();
        while !now.is_over {
            if self.shared.called.wait_until(&mut now, until).timed_out() {
                break;
            }
        }
        let is_over = now.is_over;
        drop(now);
        if !is_over {
            self.shared.collection.lock().take();
            drop(self.thread.take());
        }
        is_over
    }

    /// Tells it to end, and waits for nothing.
    pub fn tell_to_end(&self) {
        self.shared.now.lock().stops = true;
        self.shared.called.notify_all();
    }

    fn end(&mut self) {
        self.tell_to_end();
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

/// Says that the thread has ended, also if it panicked.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.save();
        let mut now = self.0.now.lock();
        if std::thread::panicking() {
            now.status.state = BackfillState::Stopped;
            now.status.why = Some("it panicked; please report this".to_owned());
        }
        now.is_over = true;
        drop(now);
        self.0.called.notify_all();
    }
}

impl ParkedRow {
    fn of((id, why): (&str, &str)) -> Self {
        Self { id: id.to_owned(), why: why.to_owned() }
    }
}

impl Shared {
    fn new(
        collection: &Collection,
        embedder: Arc<dyn Embedder>,
        options: BackfillOptions,
        rate: &TokenRate,
    ) -> Result<Self> {
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
        let shelf = Shelf::of(collection, embedder.model());
        let now = Mutex::new(Now { parked: shelf.load(), ..Now::default() });
        let collection = Mutex::new(Some(collection.clone()));
        Ok(Self { collection, rate: rate.clone(), shelf, embedder, options, now, called: Condvar::new() })
    }

    /// The collection, as long as somebody waits for this.
    fn collection(&self) -> Option<Collection> {
        self.collection.lock().clone()
    }

    /// Writes down what is put aside, if that has changed.
    fn save(&self) {
        let Some(collection) = self.collection() else { return };
        if collection.is_dropped() {
            return self.shelf.remove();
        }
        let mut now = self.now.lock();
        if now.parked.has_changed {
            self.shelf.save(&now.parked);
            now.parked.has_changed = false;
        }
        now.saved = Some(Instant::now());
    }

    fn status(&self) -> BackfillStatus {
        let now = self.now.lock();
        // After the counters: what they count is stored, and so is not among what waits.
        let pending = self.collection().map(|collection| collection.pending());
        let Pending { rows, waiting, oldest_unix_ms } = pending.unwrap_or_default();
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        BackfillStatus {
            rows,
            pending: waiting,
            coverage: if rows == 0 { 1.0 } else { (rows - waiting) as f64 / rows as f64 },
            oldest_pending_ms: oldest_unix_ms.map(|then| unix_ms.saturating_sub(then)),
            parked: now.parked.len(),
            parked_rows: now.parked.iter().take(PARKED_TOLD).map(ParkedRow::of).collect(),
            ..now.status.clone()
        }
    }

    /// The thread.
    fn run(&self) {
        let mut away = AWAY.0;
        loop {
            let seen = self.collection().map(|collection| collection.seq());
            let rest = match self.pass(&mut |_| true) {
                Ok(Pass::Stopped) => return self.becomes(BackfillState::Stopped, None),
                Ok(Pass::Spent) => return self.becomes(BackfillState::Spent, None),
                Ok(Pass::Filled(1..)) => {
                    away = AWAY.0;
                    continue;
                }
                Ok(Pass::Filled(0)) => {
                    self.becomes(BackfillState::Idle, None);
                    // What was looked through and is as it was is not looked through again.
                    loop {
                        if !self.waits(self.options.poll) {
                            return self.becomes(BackfillState::Stopped, None);
                        }
                        let is_called = std::mem::take(&mut self.now.lock().is_called);
                        if is_called || self.collection().map(|collection| collection.seq()) != seen {
                            break;
                        }
                    }
                    continue;
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
    fn pass(&self, goes_on: &mut dyn FnMut(&Self) -> bool) -> Result<Pass> {
        self.now.lock().parked.begin();
        let done = self.look_through(goes_on);
        if matches!(done, Ok(Pass::Filled(_))) {
            self.now.lock().parked.end();
        }
        self.save();
        done
    }

    fn look_through(&self, goes_on: &mut dyn FnMut(&Self) -> bool) -> Result<Pass> {
        let (mut from, mut filled) = (Some(0), 0);
        while let Some(at) = from {
            // Nobody's store is kept open while the embedder is asked.
            let Some(collection) = self.collection() else { return Ok(Pass::Stopped) };
            let (seen, next) = collection.pending_seen(at, self.options.batch)?;
            drop(collection);
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
            let until = self.rate.takes(tokens, Instant::now());
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
            let done = self.fill(rows, tokens);
            if self.now.lock().saved.is_none_or(|then| then.elapsed() > SAVE) {
                self.save();
            }
            filled += done?;
            if !goes_on(self) {
                return Ok(Pass::Stopped);
            }
        }
        Ok(Pass::Filled(filled))
    }

    fn is_wanted(&self, chunk: &Chunk, ver: Ver) -> bool {
        chunk.text.is_some() && !self.now.lock().parked.holds(&chunk.id, ver)
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
        let collection = self.collection().filter(|_| !made.is_empty());
        let ack = collection.map(|collection| collection.fill(made)).transpose()?;
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
        self.now.lock().parked.put(id, ver, &why);
    }
}

fn tokens(chunk: &Chunk) -> u64 {
    chunk.text.as_deref().map_or(0, estimate_tokens) as u64
}
