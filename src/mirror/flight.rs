//! Batches on their way, two at a time, and the next one, which is read while the database is at work on those.
//!
//! Invariants: what is on its way is not sent a second time beside it; batches in memory are three at most (M16). After an answer that is
//! not plain success nothing more leaves before all that is on its way has landed: what follows from such an answer asks for
//! locks that another batch may hold.
//!
//! Does not know what follows from an answer: [`push`](super::push) does.

use super::push::{Batch, Round};
use super::remote::{Done, Pushed, Remote};
use super::sides::Sides;
use super::trouble::Step;
use crate::engine::tap::{Outgoing, Sheaf, TapCollection, Ticket};
use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// Batches on their way at once.
const FLIGHTS_MAX: usize = 2;
/// Versions that are read between two looks at the lines.
const READ_ROWS: usize = 64;
/// What would leave later is of another round: others want their turn.
const ROUND_MS: u64 = 500;
const ROUND_BATCHES: usize = 64;

type Answer = Done<Vec<Pushed>>;

struct Flight {
    batch: Arc<Batch>,
    call: Pin<Box<dyn Future<Output = Answer>>>,
}

/// The batch that leaves next.
#[derive(Default)]
enum Next {
    #[default]
    None,
    Reading(Sheaf),
    Ready(TapCollection, Vec<Outgoing>),
    /// Nothing waits, or this round is over.
    Over,
}

/// One round of sending.
struct Departures {
    flights: Vec<Flight>,
    next: Next,
    /// Collections of which nothing more could be read.
    barren: Vec<String>,
    left: usize,
    until_ms: u64,
    trouble: Step<()>,
}

/// What a wait ends with.
#[derive(Debug, PartialEq, Eq)]
enum Event<T> {
    Landed(usize, T),
    Ready,
}

/// What was done between two looks at the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// There is more to do.
    Some,
    /// Something can leave.
    Ready,
    Nothing,
}

impl<R: Remote> Sides<R> {
    /// Sends what waits, for a while: a round.
    pub(super) async fn push(&mut self) -> Step<Round> {
        self.letters.expire(self.now_ms());
        let mut departures = Departures {
            flights: Vec::new(),
            next: Next::None,
            barren: Vec::new(),
            left: ROUND_BATCHES,
            until_ms: self.now_ms() + ROUND_MS,
            trouble: Ok(()),
        };
        let (mut rows, mut landed) = (0, Vec::new());
        loop {
            if departures.flights.is_empty() {
                while departures.prepare(self, usize::MAX) == Work::Some {}
            }
            departures.launch(self);
            if departures.flights.is_empty() {
                break;
            }
            let mut calls = std::mem::take(&mut departures.flights);
            let event = {
                let (sides, departures) = (&*self, &mut departures);
                let away: Vec<Arc<Batch>> = calls.iter().map(|flight| flight.batch.clone()).collect();
                let polls = calls.iter_mut().map(|flight| flight.call.as_mut()).collect();
                first(polls, move || departures.prepare_beside(sides, &away)).await
            };
            departures.flights = calls;
            let Event::Landed(at, answer) = event else { continue };
            let batch = departures.flights.remove(at).batch;
            if landed.is_empty() && is_plain(&answer) {
                rows += self.arrived(&batch);
            } else {
                departures.next = Next::Over;
                landed.push((batch, answer));
            }
        }
        let is_idle = rows == 0 && landed.is_empty() && departures.trouble.is_ok();
        // All have happened: the fault of one does not undo the others.
        landed.sort_by_key(|(batch, _)| batch.mark.pushes);
        let mut trouble = departures.trouble;
        for (batch, answer) in landed {
            match self.conclude(&batch, answer).await {
                Ok(stored) => rows += stored,
                Err(other) => trouble = trouble.and(Err(other)),
            }
        }
        trouble.map(|()| Round { rows, is_idle })
    }
}

/// Everything was stored.
fn is_plain(answer: &Answer) -> bool {
    answer.as_ref().is_ok_and(|pushed| pushed.iter().all(|pushed| *pushed == Pushed::Stored))
}

impl Departures {
    /// Reads on in the batch that leaves next.
    fn prepare<R: Remote>(&mut self, sides: &Sides<R>, rows: usize) -> Work {
        self.prepare_next(sides, rows, &[])
    }

    fn prepare_beside<R: Remote>(&mut self, sides: &Sides<R>, away: &[Arc<Batch>]) -> Work {
        match self.prepare_next(sides, READ_ROWS, away) {
            // Its turn comes when another has landed.
            Work::Ready if away.len() >= FLIGHTS_MAX => Work::Nothing,
            work => work,
        }
    }

    fn prepare_next<R: Remote>(&mut self, sides: &Sides<R>, rows: usize, away: &[Arc<Batch>]) -> Work {
        self.next = match std::mem::take(&mut self.next) {
            Next::None if self.left == 0 || sides.now_ms() > self.until_ms => Next::Over,
            Next::None => match self.begin(sides, away) {
                Ok(Some(sheaf)) => Next::Reading(sheaf),
                Ok(None) => Next::Over,
                Err(trouble) => {
                    self.trouble = Err(trouble);
                    Next::Over
                }
            },
            Next::Reading(mut sheaf) => match sheaf.read(rows) {
                Ok(true) => Next::Reading(sheaf),
                Ok(false) => self.end(sheaf),
                Err(error) => {
                    self.trouble = Err(error.into());
                    Next::Over
                }
            },
            next => next,
        };
        match &self.next {
            Next::None | Next::Reading(_) => Work::Some,
            Next::Ready(..) => Work::Ready,
            Next::Over => Work::Nothing,
        }
    }

    /// The oldest versions of the first collection of which any waits.
    fn begin<R: Remote>(&self, sides: &Sides<R>, away: &[Arc<Batch>]) -> Step<Option<Sheaf>> {
        let (rows_max, bytes_max) = (sides.batch_rows.get(), sides.options.batch_bytes_max);
        for collection in sides.collections()? {
            let name = collection.name();
            if self.barren.iter().any(|barren| barren == name) {
                continue;
            }
            let away = away.iter().filter(|batch| batch.collection.name() == name);
            let away: HashSet<&Ticket> = away.flat_map(|batch| &batch.tickets).collect();
            let skip = |ticket: &Ticket| away.contains(ticket) || sides.letters.holds(name, ticket);
            let skipped_max = away.len() + sides.letters.held_max(name);
            let sheaf = collection.sheaf(rows_max, bytes_max, skipped_max, &skip)?;
            if !sheaf.is_empty() {
                return Ok(Some(sheaf));
            }
        }
        Ok(None)
    }

    fn end(&mut self, sheaf: Sheaf) -> Next {
        let collection = sheaf.collection().clone();
        let outgoing = sheaf.into_outgoing();
        if outgoing.is_empty() {
            // What waits there is damaged.
            self.barren.push(collection.name().to_owned());
            return Next::None;
        }
        Next::Ready(collection, outgoing)
    }

    /// Sends what is ready, if a line is free.
    fn launch<R: Remote>(&mut self, sides: &mut Sides<R>) {
        if self.flights.len() >= FLIGHTS_MAX {
            return;
        }
        self.next = match std::mem::take(&mut self.next) {
            Next::Ready(collection, outgoing) => {
                let batch = Arc::new(Batch::new(collection, outgoing, sides.next_mark()));
                let (remote, away) = (sides.remote.clone(), batch.clone());
                let call =
                    Box::pin(
                        async move { remote.push(away.collection.name(), &away.editions, away.mark).await },
                    );
                self.flights.push(Flight { batch, call });
                self.left -= 1;
                Next::None
            }
            next => next,
        };
    }
}

/// Waits for the first call that ends, and works meanwhile, bit by bit, so that no line waits long for what it is to send.
async fn first<F: Future + ?Sized>(
    mut calls: Vec<Pin<&mut F>>,
    mut work: impl FnMut() -> Work,
) -> Event<F::Output> {
    poll_fn(move |context| {
        for (at, call) in calls.iter_mut().enumerate() {
            if let Poll::Ready(answer) = call.as_mut().poll(context) {
                return Poll::Ready(Event::Landed(at, answer));
            }
        }
        match work() {
            Work::Ready => return Poll::Ready(Event::Ready),
            // By way of the runtime, which looks at the lines.
            Work::Some => context.waker().wake_by_ref(),
            Work::Nothing => {}
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::super::twin::drive;
    use super::*;
    use std::cell::Cell;

    #[test]
    fn the_next_batch_is_read_while_a_statement_is_under_way() {
        let read = Cell::new(0);
        // The database answers when three parts were read, and not before.
        let mut call =
            std::pin::pin!(poll_fn(|_| if read.get() == 3 { Poll::Ready(7) } else { Poll::Pending }));
        let work = || {
            read.set(read.get() + 1);
            Work::Some
        };
        assert_eq!(drive(first(vec![call.as_mut()], work)), Some(Event::Landed(0, 7)));
        let mut never = std::pin::pin!(std::future::pending::<()>());
        assert_eq!(drive(first(vec![never.as_mut()], || Work::Ready)), Some(Event::Ready));
        assert_eq!(drive(first(vec![never.as_mut()], || Work::Nothing)), None);
    }
}
