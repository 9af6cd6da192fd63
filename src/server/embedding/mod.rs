//! Vectors for texts, by the profiles of collections: of chunks that came without one, in the background, and of what is searched for.
//!
//! Owns one backfill for each collection with a profile, whoever made the collection: a thread of its own compares what there is with what
//! is served, when it is told to and from time to time. Invariants: nothing here runs where sockets are served; a provider that hangs
//! holds up no write, no other provider and no end beyond its deadline; a collection that is dropped, or is called something else
//! now, is left alone; one that cannot be served is tried again.

mod ask;
mod left;
mod providers;
mod rest;

pub(crate) use ask::{Made, Unable};
pub(crate) use providers::Makers;

use super::metrics::histogram::Histogram;
use super::metrics::text::Text;
use super::wire::{EmbeddingBody, EmbeddingState};
use crate::{
    Backfill, BackfillOptions, BackfillState, BackfillStatus, Collection, EmbeddingProfile, Error, ErrorKind,
    ProviderOptions, Providers, Result, Store,
};
use parking_lot::{Condvar, Mutex};
use providers::Bench;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often what there is is compared with what is served, if nobody asks for it.
const LOOK: Duration = Duration::from_secs(1);
/// When what has stopped is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// A handle. Its threads end when it goes.
pub(crate) struct Desk {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    store: Store,
    bench: Arc<Bench>,
    /// Chunks that wait are embedded here, and by nobody else.
    fills: bool,
    served: Mutex<Vec<Served>>,
    orders: Mutex<Orders>,
    called: Condvar,
    counts: Counts,
}

/// A collection and its backfill, or why there is none.
struct Served {
    collection: Collection,
    backfill: Result<Backfill>,
    begun: Instant,
    /// Somebody asked to have it tried again.
    is_wanted: bool,
}

#[derive(Default)]
struct Orders {
    stops: bool,
    look: bool,
    is_over: bool,
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
    away: AtomicU64,
    took: Histogram,
}

impl Desk {
    /// Begins; `fills` says whether chunks that wait are embedded in the background.
    pub(crate) fn start(store: &Store, providers: Providers, fills: bool) -> Result<Self> {
        let shared = Arc::new(Shared {
            store: store.clone(),
            bench: Arc::new(Bench::new(store, providers)),
            fills,
            served: Mutex::default(),
            orders: Mutex::default(),
            called: Condvar::new(),
            counts: Counts::default(),
        });
        if !fills {
            return Ok(Self { shared, thread: None });
        }
        let theirs = shared.clone();
        let thread = std::thread::Builder::new().name("nearfield-embed".into()).spawn(move || theirs.run());
        let thread = thread.map_err(|e| {
            Error::new(ErrorKind::Unavailable, "a thread of the server cannot be started").with_source(e)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// For those who embed on their own.
    pub(crate) fn makers(&self) -> Makers {
        Makers::new(self.shared.bench.clone())
    }

    /// Refuses a profile that nobody here serves, or that does not fit.
    pub(crate) fn check(&self, profile: &EmbeddingProfile, dim: usize) -> Result<()> {
        self.shared.bench.providers.check(profile, dim)
    }

    /// The same where nobody says yet how wide its vectors are.
    pub(crate) fn check_any_width(&self, profile: &EmbeddingProfile, dim: Option<usize>) -> Result<()> {
        self.shared.bench.providers.check_any_width(profile, dim)
    }

    /// Collections came or went.
    pub(crate) fn look(&self) {
        self.shared.orders.lock().look = true;
        self.shared.called.notify_all();
    }

    /// Tries rows again that were put aside, and collections that could not be served: how many rows.
    pub(crate) fn retry(&self, collection: &Collection) -> usize {
        let mut tried = 0;
        let mut served = self.shared.served.lock();
        for one in served.iter_mut().filter(|one| one.collection.is(collection)) {
            if let Ok(backfill) = &one.backfill {
                tried += backfill.retry_parked();
            }
            one.is_wanted = true;
        }
        drop(served);
        if let Some(profile) = &collection.schema().embedding {
            self.shared.bench.line(&profile.provider).rest.lock().succeeded();
        }
        self.look();
        tried
    }

    /// How the embedding of a collection goes; nothing without a profile.
    pub(crate) fn status(&self, collection: &Collection) -> Option<EmbeddingBody> {
        Some(self.told(collection)?.0)
    }

    /// The same, and the rows that were put aside, as far as they are told.
    pub(crate) fn told(&self, collection: &Collection) -> Option<(EmbeddingBody, Vec<crate::ParkedRow>)> {
        let profile = collection.schema().embedding.as_ref()?;
        let served = self.shared.served.lock();
        let found = served.iter().find(|one| one.collection.is(collection)).map(|one| &one.backfill);
        let (state, status) = match found {
            Some(Ok(backfill)) => {
                let status = backfill.status();
                (state_of(status.state), status)
            }
            Some(Err(error)) => (EmbeddingState::Stopped, waiting(collection, Some(error.to_string()))),
            None if self.shared.fills => (EmbeddingState::Waiting, waiting(collection, None)),
            None => (EmbeddingState::Off, waiting(collection, None)),
        };
        drop(served);
        let BackfillStatus { why, pending, coverage, oldest_pending_ms, embedded, tokens, .. } = status;
        let body = EmbeddingBody {
            provider: profile.provider.clone(),
            model: profile.model.clone(),
            state,
            why,
            coverage,
            pending,
            oldest_pending_ms,
            parked: status.parked,
            embedded,
            tokens,
            overtaken: status.overtaken,
        };
        Some((body, status.parked_rows))
    }

    /// Begins to end; nothing is waited for.
    pub(crate) fn tell_to_end(&self) {
        self.shared.orders.lock().stops = true;
        self.shared.called.notify_all();
        for one in &*self.shared.served.lock() {
            if let Ok(backfill) = &one.backfill {
                backfill.tell_to_end();
            }
        }
    }

    /// Waits for it to end, and from `until` on for nobody any more: what still hangs writes nothing, and keeps no store open.
    pub(crate) fn leave_at(&self, until: Instant) {
        let mut orders = self.shared.orders.lock();
        while self.thread.is_some() && !orders.is_over {
            if self.shared.called.wait_until(&mut orders, until).timed_out() {
                break;
            }
        }
        drop(orders);
        let served = std::mem::take(&mut *self.shared.served.lock());
        for backfill in served.into_iter().filter_map(|one| one.backfill.ok()) {
            backfill.stop_within(until.saturating_duration_since(Instant::now()));
        }
    }

    /// The same for jobs that wait for vectors: now.
    pub(crate) fn leave_jobs(&self) {
        self.shared.bench.patience.end();
    }

    pub(crate) fn metrics(&self, told: &[(String, EmbeddingBody)], out: &mut Text) {
        let counts = &self.shared.counts;
        let name = "nearfield_embedding_queries_total";
        out.family(name, "counter", "Texts of searches that were to be embedded, by result");
        for (result, count) in
            [("ok", &counts.answered), ("refused", &counts.refused), ("away", &counts.away)]
        {
            out.sample(name, &[("result", result)], count.load(Ordering::Relaxed));
        }
        let name = "nearfield_embedding_query_seconds";
        out.family(name, "histogram", "Time that searches waited for the vectors of their texts");
        if !counts.took.is_empty() {
            counts.took.tell(name, ("what", "query"), out);
        }
        if let Some(cache) = self.shared.bench.cache_stats() {
            out.gauge("nearfield_embedding_cache_bytes", "Bytes of vectors by their texts", cache.bytes);
            out.counter("nearfield_embedding_cache_found_total", "Texts whose vector was there", cache.found);
            out.counter("nearfield_embedding_cache_missed_total", "Texts that were embedded", cache.embedded);
        }
        type Value = fn(&EmbeddingBody) -> f64;
        let families: [(&str, &str, &str, Value); 6] = [
            ("nearfield_embedding_coverage_ratio", "gauge", "Share of rows with a vector", |b| b.coverage),
            ("nearfield_embedding_pending_rows", "gauge", "Rows that wait for their vector", |b| {
                b.pending as f64
            }),
            ("nearfield_embedding_parked_rows", "gauge", "Rows that the embedder refuses", |b| {
                b.parked as f64
            }),
            (
                "nearfield_embedding_oldest_pending_seconds",
                "gauge",
                "How long the oldest of them has waited",
                |b| b.oldest_pending_ms.unwrap_or(0) as f64 / 1e3,
            ),
            (
                "nearfield_embedding_embedded_total",
                "counter",
                "Rows that got their vector in the background",
                |b| b.embedded as f64,
            ),
            (
                "nearfield_embedding_tokens_total",
                "counter",
                "Tokens embedded in the background, by estimate",
                |b| b.tokens as f64,
            ),
        ];
        for (name, kind, help, value) in families {
            out.family(name, kind, help);
            told.iter()
                .for_each(|(collection, body)| out.sample(name, &[("collection", collection)], value(body)));
        }
        let name = "nearfield_embedding_state";
        out.family(name, "gauge", "1 for what the background does");
        for (collection, body) in told {
            out.sample(name, &[("collection", collection), ("state", body.state.word())], 1);
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.tell_to_end();
        if let Some(thread) = self.thread.take() {
            // It waits for nobody outside; a panic there has been told by then.
            let _ = thread.join();
        }
        self.leave_at(Instant::now());
        self.leave_jobs();
    }
}

impl Shared {
    fn run(&self) {
        loop {
            self.compare();
            let mut orders = self.orders.lock();
            if !orders.stops && !orders.look {
                self.called.wait_for(&mut orders, LOOK);
            }
            orders.look = false;
            if orders.stops {
                orders.is_over = true;
                drop(orders);
                self.called.notify_all();
                return;
            }
        }
    }

    /// Begins what is not served, and leaves what is not there any more.
    fn compare(&self) {
        let mut wanted: Vec<Collection> = self.store.collections();
        wanted.retain(|collection| collection.schema().embedding.is_some());
        // By another name it is another handle: the one that is held is refused writes.
        let is_same = |one: &Served, collection: &Collection| {
            collection.is(&one.collection) && collection.name() == one.collection.name()
        };
        let is_there = |one: &Served| wanted.iter().any(|collection| is_same(one, collection));
        let mut gone = Vec::new();
        {
            let mut served = self.served.lock();
            while let Some(at) = served.iter().position(|one| !is_there(one) || one.is_due()) {
                gone.push(served.swap_remove(at));
            }
            wanted.retain(|collection| !served.iter().any(|one| is_same(one, collection)));
        }
        for one in gone {
            if let Some(profile) = &one.collection.schema().embedding {
                self.bench.forget(profile);
            }
            if let Ok(backfill) = one.backfill {
                backfill.stop_within(Duration::ZERO);
            }
        }
        for collection in wanted {
            if self.orders.lock().stops {
                return;
            }
            let backfill = self.begin(&collection);
            if let Err(error) = &backfill {
                tracing::warn!(collection = collection.name(), %error, "chunks wait for vectors that nobody makes");
            }
            let mut served = self.served.lock();
            // Told to end meanwhile, it would not be heard of by those who begin later.
            if let (Ok(backfill), true) = (&backfill, self.orders.lock().stops) {
                backfill.tell_to_end();
            }
            served.push(Served { collection, backfill, begun: Instant::now(), is_wanted: false });
        }
    }

    fn begin(&self, collection: &Collection) -> Result<Backfill> {
        let Some(profile) = &collection.schema().embedding else {
            return Err(Error::new(ErrorKind::Internal, "a collection without a profile is none of ours"));
        };
        let embedder = self.bench.in_turn(profile, collection.schema().dim)?;
        let settings = self.bench.providers.get(&profile.provider);
        let tokens_max = settings.map(|settings| settings.tokens_max);
        let options = BackfillOptions {
            tokens_max: tokens_max.filter(|max| *max > 0),
            batch: settings.map_or(BackfillOptions::default().batch, ProviderOptions::rows),
            ..BackfillOptions::default()
        };
        Backfill::start_at(collection, embedder, options, &self.bench.line(&profile.provider).rate)
    }
}

impl Served {
    /// Whether it has stopped, and is to be tried again.
    fn is_due(&self) -> bool {
        let has_stopped = match &self.backfill {
            Ok(backfill) => backfill.is_over() && backfill.status().state == BackfillState::Stopped,
            Err(_) => true,
        };
        has_stopped && (self.is_wanted || self.begun.elapsed() >= AGAIN)
    }
}

/// What is known of a collection that nobody serves.
fn waiting(collection: &Collection, why: Option<String>) -> BackfillStatus {
    let stats = collection.stats();
    let (rows, pending) = (stats.rows, stats.pending);
    let coverage = if rows == 0 { 1.0 } else { (rows - pending) as f64 / rows as f64 };
    BackfillStatus { rows, pending, coverage, why, ..BackfillStatus::default() }
}

fn state_of(state: BackfillState) -> EmbeddingState {
    match state {
        BackfillState::Working => EmbeddingState::Working,
        BackfillState::Idle => EmbeddingState::Idle,
        BackfillState::Waiting => EmbeddingState::Waiting,
        BackfillState::Spent => EmbeddingState::Spent,
        BackfillState::Stopped => EmbeddingState::Stopped,
    }
}
