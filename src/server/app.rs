//! What all requests of a server share.

use super::auth::{Throttle, Tokens};
use super::body::Budget;
use super::embedding::Desk;
use super::jobs::{Crew, Jobs};
use super::metrics::Metrics;
use super::metrics::recall::Recall;
use super::options::{Limits, Options};
use super::pool::{Alone, Lane};
use super::problem::{Code, Problem};
use super::side::{Mirror, Side};
use crate::{Collection, Error, Result, Store, Token};
use arc_swap::ArcSwap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use tokio::sync::Semaphore;

/// Texts of searches that are embedded at a time.
const QUESTION_THREADS: usize = 8;

/// A handle.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(super) store: Store,
    pub(super) side: Arc<Side>,
    /// As it was started. What can change since stands beside it.
    pub(super) options: Options,
    pub(super) tokens: ArcSwap<Tokens>,
    limits: ArcSwap<Limits>,
    pub(super) searches: Lane,
    /// Searches that are under way.
    pub(super) alone: Alone,
    pub(super) writes: Lane,
    /// Texts of searches that are embedded elsewhere: they wait on threads of their own.
    pub(super) questions: Lane,
    pub(super) embedding: Desk,
    pub(super) budget: Arc<Budget>,
    pub(super) streams: Arc<Semaphore>,
    pub(super) throttle: Throttle,
    pub(super) jobs: Jobs,
    pub(super) metrics: Metrics,
    pub(super) recall: Recall,
    /// Pages in browsers are kept out: nobody needs a token, and this is the server's own port.
    pub(super) is_guarded: bool,
    /// It ends: not ready for new callers.
    pub(super) is_ending: AtomicBool,
}

impl Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    pub(crate) fn new(
        store: Store,
        mirror: Option<Mirror>,
        options: Options,
        is_own_port: bool,
    ) -> Result<Self> {
        options.validate()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if options.search_threads == 0 { cores } else { options.search_threads };
        let side = Arc::new(Side::new(mirror));
        let embedding = Desk::start(&store, options.embedding.clone(), options.backfill)?;
        let crew = Crew {
            store: store.clone(),
            side: side.clone(),
            makers: embedding.makers(),
            snapshots: options.snapshots.clone(),
        };
        let shared = Shared {
            searches: Lane::start("nearfield-search", threads, options.queue)?,
            alone: Alone::default(),
            writes: Lane::start("nearfield-write", options.write_threads, options.queue)?,
            questions: Lane::start("nearfield-question", QUESTION_THREADS, options.queue)?,
            embedding,
            budget: Budget::new(options.limits.bodies_bytes_max),
            streams: Arc::new(Semaphore::new(options.limits.streams_max)),
            throttle: Throttle::new(),
            jobs: Jobs::start(&crew)?,
            metrics: Metrics::new(),
            recall: Recall::start(options.recall_share)?,
            is_guarded: is_own_port && options.tokens.is_empty(),
            is_ending: AtomicBool::new(false),
            tokens: ArcSwap::from_pointee(options.tokens.clone()),
            limits: ArcSwap::from_pointee(options.limits.clone()),
            store,
            side,
            options,
        };
        Ok(Self(Arc::new(shared)))
    }
}

impl Shared {
    /// What one request may ask for, now.
    pub(super) fn limits(&self) -> Arc<Limits> {
        self.limits.load_full()
    }

    /// Takes over what can change while the server runs: tokens and limits of requests. All of it, or nothing.
    pub(super) fn change(&self, options: &Options) -> Result<()> {
        options.validate()?;
        if options.tokens.is_empty() != self.tokens.load().is_empty() {
            return Err(Error::invalid("whether there are tokens at all is decided when the server starts"));
        }
        self.tokens.store(Arc::new(options.tokens.clone()));
        self.limits.store(Arc::new(options.limits.clone()));
        Ok(())
    }

    pub(super) fn collection(&self, name: &str, tenant: Option<&str>) -> Result<Collection, Problem> {
        let collection = self.store.open_collection(name)?;
        Ok(match tenant {
            Some(tenant) => collection.tenant(tenant),
            None => collection,
        })
    }

    /// The collection that a call means which names none: the only one, or the one named `default`.
    pub(super) fn meant(&self, name: Option<&str>) -> Result<Collection, Problem> {
        if let Some(name) = name {
            return self.collection(name, None);
        }
        let mut all = self.store.collections();
        if let Some(default) = all.iter().find(|collection| collection.name() == "default") {
            return Ok(default.clone());
        }
        match (all.pop(), all.len()) {
            (Some(only), 0) => Ok(only),
            (None, _) => Err(Problem::new(
                Code::NotFound,
                "there is no collection yet; make one: POST /v1/collections",
            )),
            _ => {
                let detail = "there is more than one collection; name one: ?collection=";
                Err(Problem::new(Code::Conflict, detail))
            }
        }
    }

    /// Waits for what runs in the background, and was told to end. After `patience` nobody is waited for who waits himself for somebody
    /// outside; what works goes on until `deadline` at most, or ends later, by itself.
    pub(super) fn end(&self, patience: Instant, deadline: Instant) {
        self.embedding.leave_at(patience);
        if !self.jobs.wait_until(patience) {
            self.embedding.leave_jobs();
            if !self.jobs.wait_until(deadline) {
                tracing::warn!("a job has not ended: it keeps the store open until its next step");
            }
        }
    }

    /// How a state is told.
    pub(super) fn token(&self, token: Token) -> String {
        // Answers of searches do not know which opening they are of.
        let incarnation = self.store.token().incarnation;
        Token { incarnation, ..token }.to_string()
    }

    /// Refuses to answer from before a write that the caller knows of.
    pub(super) fn check_at_least(&self, text: Option<&str>) -> Result<(), Problem> {
        let Some(text) = text else { return Ok(()) };
        let parts =
            text.split_once('-').and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)));
        let Some((incarnation, seq)) = parts else {
            return Err(Problem::invalid("at_least is no token; send one that an answer had"));
        };
        let now = self.store.token();
        // A seq never comes twice, whatever happened in between.
        if seq <= now.seq.0 && incarnation <= now.incarnation {
            return Ok(());
        }
        let detail =
            format!("the store is at {now}, before {text}: the token is of another store, or was lost");
        Err(Problem::new(Code::Conflict, detail))
    }
}
