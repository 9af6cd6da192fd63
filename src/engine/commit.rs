//! The line of commits: orders are taken in turn, grouped, made durable, applied, acknowledged.
//!
//! Invariants:
//! - orders take effect in one order, that of their seqs; a group's rows become visible together, after the group is durable;
//! - an order that failed has changed nothing; one that was acknowledged will be there after a crash;
//! - the committer is a role, not a thread: whoever waits first takes it for one group, while others' orders queue up. A
//!   lone writer pays for no switch of threads, and many writers share one sync.

use super::apply::apply;
use super::draft::{Clock, Drafts, Order, Staged};
use super::write::{Done, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Seq;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of rows that are committed together, at most; a larger order is a group of its own.
const GROUP_BYTES_MAX: usize = 8 << 20;

#[derive(Default)]
pub(super) struct Line {
    /// The last commit that searches see.
    seq: AtomicU64,
    queue: Mutex<Queue>,
    /// Orders are done, or the committer's place is free.
    changed: Condvar,
    lead: Mutex<Lead>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<Ticket>>,
    led: bool,
}

struct Ticket {
    bytes: usize,
    /// It looks at more than ids, hence at published rows only: nothing may stand before it in its group.
    looks_around: bool,
    order: Mutex<Option<Order>>,
    done: Mutex<Option<Result<Done>>>,
}

/// What only the committer needs.
#[derive(Default)]
struct Lead {
    seq: u64,
    clock: Clock,
}

impl Line {
    /// The last commit.
    pub(super) fn token(&self) -> Token {
        Token { incarnation: 0, seq: Seq(self.seq.load(Ordering::Acquire)) }
    }

    /// Carries out `order` after those that came before it.
    pub(super) fn commit(&self, order: Order) -> Result<Done> {
        let ticket = Arc::new(Ticket {
            bytes: order.bytes(),
            looks_around: order.looks_around(),
            order: Mutex::new(Some(order)),
            done: Mutex::default(),
        });
        let mut queue = self.queue.lock();
        queue.waiting.push_back(ticket.clone());
        loop {
            if let Some(done) = ticket.done.lock().take() {
                return done;
            }
            if queue.led {
                self.changed.wait(&mut queue);
                continue;
            }
            queue.led = true;
            let group = queue.next_group();
            drop(queue);
            let place = Place { line: self, group: &group };
            self.lead(&group);
            drop(place);
            queue = self.queue.lock();
        }
    }

    fn lead(&self, group: &[Arc<Ticket>]) {
        let mut lead = self.lead.lock();
        let mut drafts = Drafts::default();
        let (mut tickets, mut commits): (Vec<&Ticket>, Vec<Staged>) = Default::default();
        for ticket in group {
            let Some(order) = ticket.order.lock().take() else { continue };
            let seq = Seq(lead.seq + 1 + commits.len() as u64);
            match drafts.stage(order, seq, &mut lead.clock) {
                Ok(commit) if commit.is_empty() => ticket.finish(Ok(commit.done(self.token()))),
                Ok(commit) => {
                    tickets.push(ticket);
                    commits.push(commit);
                }
                Err(refused) => ticket.finish(Err(refused)),
            }
        }
        let Some(last) = commits.last().map(|c| c.seq) else { return };
        match drafts.make_room().and_then(|()| apply(&mut commits)) {
            Ok(()) => {
                lead.seq = last.0;
                self.seq.store(last.0, Ordering::Release);
                for (ticket, commit) in tickets.into_iter().zip(commits) {
                    let token = Token { incarnation: 0, seq: commit.seq };
                    ticket.finish(Ok(commit.done(token)));
                }
            }
            Err(e) => {
                for ticket in tickets {
                    ticket.finish(Err(e.again()));
                }
            }
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
        for ticket in self.group {
            let lost = || Error::new(ErrorKind::Internal, "the commit panicked; please report this");
            if ticket.order.lock().is_some() || std::thread::panicking() {
                ticket.done.lock().get_or_insert_with(|| Err(lost()));
            }
        }
        self.line.queue.lock().led = false;
        self.line.changed.notify_all();
    }
}
