//! The one background thread of a store on a disk: a closed list of jobs, one step at a time, the most urgent first.
//!
//! Invariants: nothing else starts a thread of its own accord; linking new rows goes at full speed, because writes wait for it;
//! all other work sleeps for as long as its share of a core demands; a job that failed is told in the statistics and tried
//! again later.

use super::pauses::Job;
use crate::config::Durability;
use crate::engine::damage::scrub::Scrub;
use crate::engine::files::checkpoint::Scope;
use crate::engine::store::Shared;
use crate::error::{Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lists healed in one step.
const CARE_LISTS: usize = 8;
/// Rows whose words are looked up in one step, and how many may wait for that while rows wait for links.
const WORDS_ROWS: usize = 512;
const WORDS_BEHIND: usize = 1_024;
/// How long the thread sleeps when there is nothing to do and nobody wakes it.
const IDLE: Duration = Duration::from_millis(50);
/// Work that is not worth a rest, and the longest rest.
const WORK_MIN: Duration = Duration::from_micros(500);
const REST_MAX: Duration = Duration::from_millis(100);
/// How long a job that failed waits.
const RETRY: Duration = Duration::from_secs(5);

pub(crate) struct Keeper {
    bell: Arc<Bell>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Wakes the thread, or ends it.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    ended: AtomicBool,
}

impl Bell {
    pub(crate) fn ring(&self) {
        let mut rung = self.rung.lock();
        if !*rung {
            *rung = true;
            self.changed.notify_one();
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn wait(&self, at_most: Duration) {
        let mut rung = self.rung.lock();
        if !*rung && !self.is_ended() {
            self.changed.wait_for(&mut rung, at_most);
        }
        *rung = false;
    }
}

impl Keeper {
    pub(crate) fn start(shared: &Arc<Shared>, bell: Arc<Bell>) -> Result<Self> {
        let (of_thread, rings) = (shared.clone(), bell.clone());
        let thread = std::thread::Builder::new()
            .name("nearfield-keeper".into())
            .spawn(move || Work::new(of_thread, rings).run())
            .map_err(|e| {
                let message = "the system gave no thread for background work; raise its limit on threads";
                Error::new(ErrorKind::Full, message).with_source(e)
            })?;
        Ok(Self { bell, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread after the step it is in.
    pub(crate) fn stop(&self) {
        self.bell.ended.store(true, Ordering::Release);
        self.bell.ring();
        if let Some(thread) = self.thread.lock().take() {
            // A panic there was a bug; the store is as good as after a kill.
            let _ = thread.join();
        }
    }
}

struct Work {
    shared: Arc<Shared>,
    bell: Arc<Bell>,
    flushed: Instant,
    checkpointed: Instant,
    /// What was linked when links were last saved.
    saved_rows: usize,
    not_before: Instant,
    no_words_before: Instant,
    /// What is left to be read once.
    scrub: Option<Scrub>,
}

impl Work {
    fn new(shared: Arc<Shared>, bell: Arc<Bell>) -> Self {
        let now = Instant::now();
        let saved_rows = shared.linked_rows();
        let scrub = Some(shared.begin_scrub());
        Self {
            shared,
            bell,
            flushed: now,
            checkpointed: now,
            saved_rows,
            not_before: now,
            no_words_before: now,
            scrub,
        }
    }

    fn run(mut self) {
        let collections = self.shared.open_collections();
        // Opening did not wait for this; the first write or look-up by id would.
        collections.iter().for_each(|inner| inner.make_names());
        drop(collections);
        let tidied = self.shared.tidy();
        self.shared.note("tidy", tidied);
        while !self.bell.is_ended() {
            let is_busy = self.step();
            if !is_busy {
                self.bell.wait(IDLE);
            }
        }
    }

    /// One step of the most urgent job; false if there is none.
    fn step(&mut self) -> bool {
        self.flush();
        if self.link() {
            self.words(WORDS_BEHIND);
            return true;
        }
        if Instant::now() < self.not_before {
            return false;
        }
        if self.shared.needs_repair() {
            let done = self.shared.repair();
            if done.is_err() {
                self.not_before = Instant::now() + RETRY;
            }
            self.shared.note("repair", done);
            return true;
        }
        let job = self.next_checkpoint();
        if let Some(scope) = job {
            let pacer = Pacer::new(self);
            let done = self.shared.checkpoint(scope, &|_| pacer.rest());
            self.after_checkpoint(scope, done);
            return true;
        }
        self.words(0) || self.settle_words() || self.care() || self.scrub()
    }

    /// Looks up the words of some rows in a collection that is more than `behind` rows late.
    fn words(&self, behind: usize) -> bool {
        let pacer = Pacer::new(self);
        let collections = self.shared.open_collections();
        let late = collections.iter().find_map(|inner| {
            let view = inner.view.load_full();
            (inner.words.lag(&view, behind + 1) > behind).then_some((inner, view))
        });
        let Some((inner, view)) = late else { return false };
        inner.words.catch_up(&view, WORDS_ROWS);
        if behind == 0 {
            pacer.rest();
        }
        true
    }

    /// Makes a segment of words, or fewer of them.
    fn settle_words(&mut self) -> bool {
        if Instant::now() < self.no_words_before {
            return false;
        }
        let pacer = Pacer::new(self);
        let collections = self.shared.open_collections();
        let steps = collections.iter().map(|inner| inner.words.step(&inner.view.load_full()));
        let done = steps.into_iter().find(|done| !matches!(done, Ok(false)));
        let Some(done) = done else { return false };
        pacer.rest();
        let is_done = done.is_ok();
        if !is_done {
            // The rows are found in the tail meanwhile, and all other work goes on.
            self.no_words_before = Instant::now() + RETRY;
        }
        self.shared.note("text", done.map(drop));
        is_done
    }

    /// One file that was not read since the store was opened.
    fn scrub(&mut self) -> bool {
        let Some(mut scrub) = self.scrub.take() else { return false };
        let pacer = Pacer::new(self);
        let done = self.shared.scrub_step(&mut scrub, &|_| pacer.rest());
        let is_left = *done.as_ref().unwrap_or(&false);
        self.shared.note("scrub", done.map(drop));
        self.scrub = is_left.then_some(scrub);
        is_left
    }

    /// Buffered commits to the disk, when they are old enough.
    fn flush(&mut self) {
        let options = &self.shared.options;
        if options.durability == Durability::Buffered
            && self.flushed.elapsed() >= Duration::from_millis(options.flush_ms)
        {
            let done = self.shared.line.with_log_for(Job::Flush, |log| log.flush());
            self.flushed = Instant::now();
            self.shared.note("flush", done.unwrap_or(Ok(())));
        }
    }

    /// Links what waits in one collection.
    fn link(&self) -> bool {
        let collections = self.shared.open_collections();
        let waits = collections.iter().find(|inner| inner.unlinked.is_waiting());
        waits.is_some_and(|inner| inner.link_turn())
    }

    /// The chores of every collection, a step each.
    fn care(&self) -> bool {
        let pacer = Pacer::new(self);
        let mut is_busy = false;
        for inner in self.shared.open_collections() {
            is_busy |= inner.warm_step() || inner.care(CARE_LISTS);
        }
        if is_busy {
            pacer.rest();
        }
        is_busy
    }

    fn next_checkpoint(&self) -> Option<Scope> {
        let options = &self.shared.options;
        let linked = self.shared.linked_rows();
        let is_due = self.checkpointed.elapsed() >= Duration::from_secs(options.checkpoint_seconds);
        if linked >= self.saved_rows.saturating_add(options.checkpoint_rows)
            || is_due && linked != self.saved_rows
        {
            return Some(Scope::Links);
        }
        self.shared.has_blocks_to_settle().then_some(Scope::Seal)
    }

    fn after_checkpoint(&mut self, scope: Scope, done: Result<()>) {
        if done.is_err() {
            self.not_before = Instant::now() + RETRY;
        } else if scope == Scope::Links {
            self.saved_rows = self.shared.linked_rows();
            self.checkpointed = Instant::now();
        }
        self.shared.note("checkpoint", done);
    }
}

/// Sleeps off what was worked, so that the work takes its share of a core and no more.
struct Pacer<'a> {
    share: f64,
    bell: &'a Bell,
    /// When the last rest was over.
    since: Cell<Instant>,
}

impl<'a> Pacer<'a> {
    fn new(work: &'a Work) -> Self {
        Self { share: work.shared.options.background_cpu, bell: &work.bell, since: Cell::new(Instant::now()) }
    }

    fn rest(&self) {
        let worked = self.since.get().elapsed();
        // Nobody waits longer for a store to close.
        if worked < WORK_MIN || self.bell.is_ended() {
            return;
        }
        std::thread::sleep(worked.mul_f64((1.0 - self.share) / self.share).min(REST_MAX));
        self.since.set(Instant::now());
    }
}
