//! The line of commits: orders are taken in turn, grouped, made durable, applied, acknowledged.
//!
//! Invariants:
//! - orders take effect in one order, that of their seqs; a group's rows become visible together, after the group is durable
//!   (L4: nobody reads a row that a crash can take back, unless it was written as `Buffered`);
//! - an order that failed has changed nothing, and a delete does not fail because what stood in its group found no room; one
//!   that was acknowledged will be there after a crash (L1);
//! - the committer is a role, not a thread: whoever waits first takes it for one group, while others' orders queue up. A
//!   lone writer pays for no switch of threads, and many writers share one sync.

use super::apply::apply;
use super::draft::{Clock, Drafts, Order, Staged};
use super::log::Log;
use super::upsert::{Done, Token};
use crate::config::Durability;
use crate::disk::{Bug, planted};
use crate::engine::tap::Tie;
use crate::engine::upkeep::pauses::{Job, Pauses};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Seq, Ver};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of rows that are committed together, at most; a larger order is a group of its own.
const GROUP_BYTES_MAX: usize = 8 << 20;

pub(crate) struct Line {
    /// Which opening of the data directory; 0 for a store in memory.
    incarnation: u64,
    durability: Durability,
    /// The last commit that searches see.
    seq: AtomicU64,
    queue: Mutex<Queue>,
    lead: Mutex<Lead>,
    /// What binds the store to its mirror.
    tie: Tie,
    /// How long background work held up this line, or what its orders need.
    pub(crate) pauses: Pauses,
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
    /// Its group found no room on the disk: it goes again, without those that add something.
    goes_again: AtomicBool,
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
pub(crate) struct Mark {
    pub(crate) seq: Seq,
    pub(crate) ver: Ver,
}

impl Line {
    /// A line without a log.
    pub(crate) fn memory(tie: Tie) -> Self {
        Self::new(0, Durability::Durable, Mark::default(), None, tie)
    }

    pub(crate) fn new(
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
            pauses: Pauses::default(),
        }
    }

    pub(crate) fn tie(&self) -> &Tie {
        &self.tie
    }

    /// A version was seen elsewhere.
    pub(crate) fn observe(&self, ver: Ver) {
        self.lead.lock().clock.observe(ver);
    }

    /// The last commit.
    pub(crate) fn token(&self) -> Token {
        self.token_of(Seq(self.seq.load(Ordering::Acquire)))
    }

    pub(crate) fn token_of(&self, seq: Seq) -> Token {
        Token { incarnation: self.incarnation, seq }
    }

    /// Between two commits: what `look` sees belongs to one seq.
    pub(crate) fn between<T>(&self, look: impl FnOnce(Mark) -> T) -> T {
        let lead = self.lead.lock();
        let _pause = self.pauses.begin(Job::Checkpoint);
        look(Mark { seq: Seq(lead.seq), ver: lead.clock.last() })
    }

    /// Calls on the log between two commits. `None` for a store in memory.
    pub(crate) fn with_log<T>(&self, call: impl FnOnce(&mut Log) -> T) -> Option<T> {
        self.lead.lock().log.as_mut().map(call)
    }

    /// The same for `job`, which keeps commits waiting.
    pub(crate) fn with_log_for<T>(&self, job: Job, call: impl FnOnce(&mut Log) -> T) -> Option<T> {
        self.with_log(|log| {
            let _pause = self.pauses.begin(job);
            call(log)
        })
    }

    /// Refuses what an order that adds something would be refused for.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.lead.lock().check_writable()
    }

    /// Takes no more orders. What was acknowledged is durable when this returns `Ok`.
    pub(crate) fn close(&self) -> Result<()> {
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
    pub(crate) fn commit(&self, order: Order) -> Result<Done> {
        let ticket = Arc::new(Ticket {
            bytes: order.bytes(),
            looks_around: order.looks_around(),
            goes_again: AtomicBool::new(false),
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
        // Orders on their way, and those of them that go again should there be no room.
        let mut tickets: Vec<(&Arc<Ticket>, Option<Order>)> = Vec::new();
        let mut commits: Vec<Staged> = Vec::new();
        for ticket in group {
            let Some(order) = ticket.order.lock().take() else { continue };
            let seq = Seq(lead.seq + 1 + commits.len() as u64);
            let again = if group.len() > 1 { order.again() } else { None };
            match lead.check(&order).and_then(|()| drafts.stage(order, seq, &mut lead.clock)) {
                Ok(commit) if commit.is_empty() => ticket.finish(Ok(commit.done(self.token()))),
                Ok(commit) => {
                    tickets.push((ticket, again));
                    commits.push(commit);
                }
                Err(refused) => ticket.finish(Err(refused)),
            }
        }
        let Some(last) = commits.last().map(|c| c.seq) else { return false };
        let adds = commits.iter().any(Staged::adds);
        match drafts.make_room().and_then(|()| self.carry_out(&mut lead, &mut commits)) {
            Ok(()) => {
                lead.seq = last.0;
                self.seq.store(last.0, Ordering::Release);
                for ((ticket, _), commit) in tickets.into_iter().zip(commits) {
                    let token = self.token_of(commit.seq);
                    ticket.finish(Ok(commit.done(token)));
                }
                true
            }
            Err(e) => {
                // The first of them is to be the first again.
                for (ticket, again) in tickets.into_iter().rev() {
                    match again.filter(|_| adds && e.kind() == ErrorKind::Full) {
                        Some(order) => self.put_back(ticket, order),
                        None => ticket.finish(Err(e.again())),
                    }
                }
                false
            }
        }
    }

    fn put_back(&self, ticket: &Arc<Ticket>, order: Order) {
        *ticket.order.lock() = Some(order);
        ticket.goes_again.store(true, Ordering::Relaxed);
        self.queue.lock().waiting.push_front(ticket.clone());
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
        if order.needs_space() {
            return self.check_writable();
        }
        self.check_open()?;
        self.log.as_ref().map_or(Ok(()), Log::check_poison)
    }

    fn check_writable(&mut self) -> Result<()> {
        self.check_open()?;
        match &mut self.log {
            Some(log) => log.check_poison().and_then(|()| log.check_space()),
            None => Ok(()),
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.is_closed {
            return Err(Error::new(ErrorKind::Closed, "the store was closed; open it again"));
        }
        Ok(())
    }
}

impl Queue {
    /// The orders that are committed next, in order: at least one, if one waits.
    fn next_group(&mut self) -> Vec<Arc<Ticket>> {
        let mut bytes = 0;
        let goes_again = |ticket: &Ticket| ticket.goes_again.load(Ordering::Relaxed);
        let again = self.waiting.front().is_some_and(|first| goes_again(first));
        let fits = |(at, ticket): &(usize, &Arc<Ticket>)| {
            bytes += ticket.bytes;
            *at == 0
                || !ticket.looks_around && bytes <= GROUP_BYTES_MAX && goes_again(ticket.as_ref()) == again
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

#[cfg(test)]
mod tests {
    use crate::disk::Disk;
    use crate::disk::sim::SimDisk;
    use crate::{Chunk, Error, ErrorKind, Metric, Options, Schema, Store};
    use std::sync::Arc;
    use std::thread::{scope, yield_now};

    /// A delete is in one group with upserts that find no room.
    #[test]
    fn l16_a_delete_does_not_share_the_fate_of_an_upsert_without_room() {
        let disk = SimDisk::new();
        let options = Options::default().disk_reserve_bytes(0);
        let store = Store::open_still(Arc::new(disk.clone()), options).unwrap();
        let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
        let large = |n: usize| [Chunk::new(format!("n{n}")).vector([1.0, 2.0]).text("x".repeat(300 << 10))];
        docs.upsert((0..4).map(|n| Chunk::new(n.to_string()).vector([n as f32, 1.0]))).unwrap();
        disk.capacity(disk.files().values().sum());
        assert_eq!(disk.space().unwrap().free, 0);
        let line = &docs.inner().line;
        let waiting = || line.queue.lock().waiting.len();
        scope(|scope| {
            let (upserts, deletes) = line.between(|_| {
                // Leads a group of one, which waits for us; the others stand behind it in the line.
                let first = scope.spawn(|| docs.upsert(large(0)).map(drop));
                while !line.queue.lock().led {
                    yield_now();
                }
                let mut upserts = vec![first];
                let mut deletes = Vec::new();
                for n in 1..4 {
                    let docs = &docs;
                    let before = waiting();
                    upserts.push(scope.spawn(move || docs.upsert(large(n)).map(drop)));
                    while waiting() == before {
                        yield_now();
                    }
                    deletes.push(scope.spawn(move || docs.delete([n.to_string().as_str()])));
                    while waiting() < before + 2 {
                        yield_now();
                    }
                }
                (upserts, deletes)
            });
            for upsert in upserts {
                let refused = upsert.join().unwrap().map_err(|e: Error| e.kind());
                assert_eq!(refused, Err(ErrorKind::Full));
            }
            for delete in deletes {
                delete.join().unwrap().unwrap();
            }
        });
        assert_eq!(docs.count(None).unwrap(), 1);
        assert!(store.stats().log.groups < 6, "they were grouped: {:?}", store.stats().log);
    }
}
