//! The line of commits: orders are taken in turn, grouped, made durable, applied, acknowledged.
//!
//! Invariants:
//! - orders take effect in one order, that of their seqs; a group's rows become visible together, after the group is durable
//!   (L4: nobody reads a row that a crash can take back, unless it was written as `Buffered`);
//! - an order that failed has changed nothing; one that was acknowledged will be there after a crash (L1);
//! - the committer is a role, not a thread: whoever waits first takes it for one group, while others' orders queue up. A
//!   lone writer pays for no switch of threads, and many writers share one sync.

use super::apply::apply;
use super::draft::{Clock, Drafts, Order, Staged};
use super::log::{Counters, Log};
use super::tap::Tie;
use super::write::{Done, Token};
use crate::config::Durability;
use crate::disk::{Bug, planted};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Seq, Ver};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of rows that are committed together, at most; a larger order is a group of its own.
const GROUP_BYTES_MAX: usize = 8 << 20;

pub(super) struct Line {
    /// Which opening of the data directory; 0 for a store in memory.
    incarnation: u64,
    durability: Durability,
    /// The last commit that searches see.
    seq: AtomicU64,
    queue: Mutex<Queue>,
    lead: Mutex<Lead>,
    /// What binds the store to its mirror.
    tie: Tie,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Ticket>>,
    led: bool,
}

struct Ticket {
    bytes: usize,
    /// Nothing may stand before it in its group.
    looks_around: bool,
    order: Mutex<Option<Order>>,
    done: Mutex<Option<Result<Done>>>,
    /// The order is done, or the committer's place is free and it is this ticket's turn. Each has its own: waking all for one
    /// that goes on costs every other a switch of threads.
    called: Condvar,
}

/// What only the committer needs.
#[derive(Default)]
struct Lead {
    seq: u64,
    clock: Clock,
    log: Option<Log>,
    is_closed: bool,
}

/// Where a line goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) seq: Seq,
    pub(super) ver: Ver,
}

impl Line {
    /// A line without a log.
    pub(super) fn memory(tie: Tie) -> Self {
        Self::new(0, Durability::Durable, Mark::default(), None, tie)
    }

    pub(super) fn new(
        incarnation: u64,
        durability: Durability,
        from: Mark,
        log: Option<Log>,
        tie: Tie,
    ) -> Self {
        let lead = Lead { seq: from.seq.0, clock: Clock::after(from.ver), log, is_closed: false };
        Self {
            incarnation,
            durability,
            seq: AtomicU64::new(from.seq.0),
            queue: Mutex::default(),
            lead: Mutex::new(lead),
            tie,
        }
    }

    pub(super) fn tie(&self) -> &Tie {
        &self.tie
    }

    /// A version was seen elsewhere.
    pub(super) fn observe(&self, ver: Ver) {
        self.lead.lock().clock.observe(ver);
    }

    /// The last commit.
    pub(super) fn token(&self) -> Token {
        self.token_of(Seq(self.seq.load(Ordering::Acquire)))
    }

    pub(super) fn token_of(&self, seq: Seq) -> Token {
        Token { incarnation: self.incarnation, seq }
    }

    /// Between two commits: what `look` sees belongs to one seq.
    pub(super) fn between<T>(&self, look: impl FnOnce(Mark) -> T) -> T {
        let lead = self.lead.lock();
        look(Mark { seq: Seq(lead.seq), ver: lead.clock.last() })
    }

    /// Calls on the log between two commits. `None` for a store in memory.
    pub(super) fn with_log<T>(&self, call: impl FnOnce(&mut Log) -> T) -> Option<T> {
        self.lead.lock().log.as_mut().map(call)
    }

    pub(super) fn counters(&self) -> Counters {
        self.with_log(|log| log.counters()).unwrap_or_default()
    }

    /// Takes no more orders. What was acknowledged is durable when this returns `Ok`.
    pub(super) fn close(&self) -> Result<()> {
        let mut lead = self.lead.lock();
        if std::mem::replace(&mut lead.is_closed, true) {
            return Ok(());
        }
        let closed = lead.log.as_mut().map_or(Ok(()), Log::close);
        drop(lead);
        self.tie.close();
        closed
    }

    /// Carries out `order` after those that came before it.
    pub(super) fn commit(&self, order: Order) -> Result<Done> {
        let ticket = Arc::new(Ticket {
            bytes: order.bytes(),
            looks_around: order.looks_around(),
            order: Mutex::new(Some(order)),
            done: Mutex::default(),
            called: Condvar::new(),
        });
        let mut queue = self.queue.lock();
        queue.waiting.push_back(ticket.clone());
        loop {
            if let Some(done) = ticket.done.lock().take() {
                return done;
            }
            if queue.led {
                ticket.called.wait(&mut queue);
                continue;
            }
            queue.led = true;
            let group = queue.next_group();
            drop(queue);
            let place = Place { line: self, group: &group };
            let is_new = self.lead(&group);
            drop(place);
            if is_new {
                self.tie.committed();
            }
            queue = self.queue.lock();
        }
    }

    /// Commits a group; whether there is anything new to see.
    fn lead(&self, group: &[Arc<Ticket>]) -> bool {
        let mut lead = self.lead.lock();
        let mut drafts = Drafts::default();
        let (mut tickets, mut commits): (Vec<&Ticket>, Vec<Staged>) = Default::default();
        for ticket in group {
            let Some(order) = ticket.order.lock().take() else { continue };
            let seq = Seq(lead.seq + 1 + commits.len() as u64);
            match lead.check(&order).and_then(|()| drafts.stage(order, seq, &mut lead.clock)) {
                Ok(commit) if commit.is_empty() => ticket.finish(Ok(commit.done(self.token()))),
                Ok(commit) => {
                    tickets.push(ticket);
                    commits.push(commit);
                }
                Err(refused) => ticket.finish(Err(refused)),
            }
        }
        let Some(last) = commits.last().map(|c| c.seq) else { return false };
        match drafts.make_room().and_then(|()| self.carry_out(&mut lead, &mut commits)) {
            Ok(()) => {
                lead.seq = last.0;
                self.seq.store(last.0, Ordering::Release);
                for (ticket, commit) in tickets.into_iter().zip(commits) {
                    let token = self.token_of(commit.seq);
                    ticket.finish(Ok(commit.done(token)));
                }
                true
            }
            Err(e) => {
                for ticket in tickets {
                    ticket.finish(Err(e.again()));
                }
                false
            }
        }
    }

    /// The log first, then what searches see.
    fn carry_out(&self, lead: &mut Lead, commits: &mut [Staged]) -> Result<()> {
        let durable = self.durability != Durability::Buffered;
        if let Some(log) = lead.log.as_mut().filter(|_| durable && planted(Bug::PublishBeforeSync)) {
            log.write(commits, false)?;
            apply(commits)?;
            return log.flush();
        }
        if let Some(log) = &mut lead.log {
            log.write(commits, durable && !planted(Bug::AckBeforeSync))?;
        }
        let applied = apply(commits);
        if let (Err(e), Some(log)) = (&applied, &mut lead.log) {
            // The log has what nobody sees.
            log.poison(e);
        }
        applied
    }
}

impl Lead {
    /// Refuses what must not even be written to the log.
    fn check(&mut self, order: &Order) -> Result<()> {
        if self.is_closed {
            return Err(Error::new(ErrorKind::Closed, "the store was closed; open it again"));
        }
        match &mut self.log {
            Some(log) if order.needs_space() => log.check_poison().and_then(|()| log.check_space()),
            Some(log) => log.check_poison(),
            None => Ok(()),
        }
    }
}

impl Queue {
    /// The orders that are committed next, in order: at least one, if one waits.
    fn next_group(&mut self) -> Vec<Arc<Ticket>> {
        let mut bytes = 0;
        let fits = |(at, ticket): &(usize, &Arc<Ticket>)| {
            bytes += ticket.bytes;
            *at == 0 || !ticket.looks_around && bytes <= GROUP_BYTES_MAX
        };
        let n = self.waiting.iter().enumerate().take_while(fits).count();
        self.waiting.drain(..n).collect()
    }
}

impl Ticket {
    fn finish(&self, done: Result<Done>) {
        *self.done.lock() = Some(done);
    }
}

/// The committer's place. Left in any way, even by a panic, it is free, and every order of the group has an answer.
struct Place<'a> {
    line: &'a Line,
    group: &'a [Arc<Ticket>],
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for ticket in self.group {
                let lost = || Error::new(ErrorKind::Internal, "the commit panicked; please report this");
                ticket.done.lock().get_or_insert_with(|| Err(lost()));
            }
        }
        let mut queue = self.line.queue.lock();
        queue.led = false;
        let next = queue.waiting.front().cloned();
        drop(queue);
        for ticket in self.group.iter().chain(&next) {
            ticket.called.notify_one();
        }
    }
}
