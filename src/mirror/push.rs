//! A row's way out: batches of dirty versions, two at a time, each acknowledged by what it was and not by its id.
//!
//! Invariants:
//! - a version is clean only after the database answered for it, and only if it is still the one here (M2);
//! - sending twice is sending once (M5): an answer that was lost changes nothing;
//! - a row that spoils its batch delays the others by at most `log2 n + 1` statements (M13), and so does one that is locked.

use super::backoff::UNKNOWN_MAX;
use super::batch::Bisect;
use super::compare::after;
use super::join::join;
use super::remote::{Done, Fault, FaultClass, Fingerprint, IdRange, NodeMark, Pushed, Reading, Remote};
use super::sides::Sides;
use super::trouble::{Step, Trouble};
use crate::engine::tap::{Outgoing, TapCollection, Ticket};
use crate::record::{Edition, Head, Stamp};

/// Another transaction holds the row's lock.
const LOCK_NOT_AVAILABLE: &str = "55P03";
const DEFER_MS: u64 = 10_000;

/// Versions of one collection that go with one statement, sorted by id.
struct Batch {
    collection: TapCollection,
    tickets: Vec<Ticket>,
    editions: Vec<Edition>,
    mark: NodeMark,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Round {
    /// Versions that the database has now.
    pub(super) rows: usize,
    /// There was nothing to send.
    pub(super) is_idle: bool,
}

impl<R: Remote> Sides<R> {
    /// Sends at most two batches.
    pub(super) async fn push(&mut self) -> Step<Round> {
        self.letters.expire(self.now_ms());
        let mut batches = self.batches()?.into_iter();
        let Some(first) = batches.next() else { return Ok(Round { rows: 0, is_idle: true }) };
        let remote = self.remote.clone();
        let send = |batch: &Batch| {
            let (remote, mark) = (remote.clone(), batch.mark);
            let (name, editions) = (batch.collection.name().to_owned(), batch.editions.clone());
            async move { remote.push(&name, &editions, mark).await }
        };
        let mut rows = 0;
        match batches.next() {
            None => {
                let answer = send(&first).await;
                rows += self.conclude(first, answer).await?;
            }
            Some(second) => {
                let (a, b) = join(send(&first), send(&second)).await;
                // Both have happened: the fault of one does not undo the other.
                let done = [self.conclude(first, a).await, self.conclude(second, b).await];
                for done in done {
                    rows += done?;
                }
            }
        }
        Ok(Round { rows, is_idle: false })
    }

    /// Sends until nothing waits.
    pub(super) async fn push_all(&mut self) -> Step<usize> {
        let mut rows = 0;
        loop {
            let round = self.push().await?;
            rows += round.rows;
            if round.is_idle {
                return Ok(rows);
            }
            self.stepped();
        }
    }

    /// Whether a row waits that is not parked.
    pub(super) fn has_outgoing(&self) -> Step<bool> {
        let now = self.now_ms();
        Ok(self.collections()?.iter().any(|collection| {
            let dirty = collection.dirty();
            dirty.rows + dirty.graves > self.letters.held(collection.name(), now)
        }))
    }

    fn batches(&mut self) -> Step<Vec<Batch>> {
        let (rows_max, bytes_max) = (self.batch_rows.get(), self.options.batch_bytes_max);
        let mut batches: Vec<Batch> = Vec::new();
        for collection in self.collections()? {
            while batches.len() < 2 {
                let name = collection.name().to_owned();
                let letters = &self.letters;
                let on_their_way = batches.iter().filter(|b| b.collection.name() == name);
                let on_their_way: Vec<&Ticket> = on_their_way.flat_map(|b| &b.tickets).collect();
                let skip = |ticket: &Ticket| letters.holds(&name, ticket) || on_their_way.contains(&ticket);
                let outgoing = collection.outgoing(rows_max, bytes_max, &skip)?;
                if outgoing.is_empty() {
                    break;
                }
                let mark = self.next_mark();
                batches.push(Batch::new(collection.clone(), outgoing, mark));
            }
        }
        Ok(batches)
    }

    fn next_mark(&mut self) -> NodeMark {
        self.memory.sent.pushes += 1;
        self.memory.sent
    }

    /// What follows from an answer. Says how many rows the database has now.
    async fn conclude(&mut self, batch: Batch, answer: Done<Vec<Pushed>>) -> Step<usize> {
        self.counts.statements += 1;
        match answer {
            Ok(pushed) => {
                self.batch_rows.grow();
                self.hear_winners(&batch, &pushed, 0).await?;
                Ok(self.acknowledge(&batch, 0..batch.tickets.len()))
            }
            Err(fault) if self.blames_a_row(&fault) => self.bisect(batch, fault).await,
            Err(fault) => {
                if fault.class == FaultClass::Transient {
                    self.batch_rows.shrink();
                }
                Err(fault.into())
            }
        }
    }

    /// What a superseded version lost to is fetched, unless it is itself. The feed brings winners that come after its cursor; it
    /// does not know of those that were there before, and a comparison leaves dirty ids out.
    async fn hear_winners(&mut self, batch: &Batch, pushed: &[Pushed], start: usize) -> Step<()> {
        let lost =
            pushed.iter().zip(&batch.editions[start..]).filter(|(pushed, _)| **pushed == Pushed::Superseded);
        let lost: Vec<&Edition> = lost.map(|(_, edition)| edition).collect();
        if lost.is_empty() {
            return Ok(());
        }
        let mut reading = self.remote.read().await?;
        // The index alone tells which are the very versions that were sent before.
        let ranges: Vec<IdRange> = lost.iter().map(|edition| only(&edition.id)).collect();
        let prints = reading.fingerprints(batch.collection.name(), &ranges, &[]).await?;
        let other = lost.iter().zip(prints).filter(|(edition, print)| *print != fingerprint(edition));
        // No digest counts as 0: then nobody has looked at the row yet.
        let head = |(edition, print): (&&Edition, Fingerprint)| Head {
            digest: (print.sum != 0).then_some(print.sum),
            ..edition.head()
        };
        let other: Vec<Head> = other.map(head).collect();
        self.take(&mut reading, &batch.collection, &other, false).await?;
        reading.finish().await?;
        Ok(())
    }

    /// Stored or superseded is the same by now: the database has it, or something newer that is here too.
    fn acknowledge(&mut self, batch: &Batch, which: std::ops::Range<usize>) -> usize {
        let tickets = &batch.tickets[which.clone()];
        batch.collection.acknowledge(tickets);
        self.memory.acked = self.memory.acked.max(Some(batch.mark));
        self.unknowns = 0;
        let rows = batch.editions[which].iter().filter(|edition| edition.row.is_some());
        let now = self.now_ms();
        self.retention.add(now, batch.collection.name(), rows.map(|edition| edition.id.clone()));
        self.counts.pushed += tickets.len() as u64;
        tickets.len()
    }

    fn blames_a_row(&self, fault: &Fault) -> bool {
        match fault.class {
            FaultClass::Data => true,
            FaultClass::Transient => fault.code.as_deref() == Some(LOCK_NOT_AVAILABLE),
            FaultClass::Unknown => self.unknowns >= UNKNOWN_MAX,
            _ => false,
        }
    }

    async fn bisect(&mut self, batch: Batch, mut fault: Fault) -> Step<usize> {
        let (mut bisect, mut rows) = (Bisect::new(batch.tickets.len()), 0);
        while let Some(probe) = bisect.probe() {
            let mark = self.next_mark();
            let editions = &batch.editions[probe.clone()];
            let answer = self.remote.push(batch.collection.name(), editions, mark).await;
            self.counts.statements += 1;
            let is_stored = match answer {
                Ok(pushed) => {
                    self.hear_winners(&batch, &pushed, probe.start).await?;
                    true
                }
                Err(next) if self.blames_a_row(&next) => {
                    fault = next;
                    false
                }
                Err(other) => return Err(other.into()),
            };
            if is_stored {
                rows += self.acknowledge(&Batch { mark, ..batch.clone() }, probe);
            } else if let Some(at) = bisect.answer(false) {
                self.set_aside(&batch, at, &fault)?;
                break;
            } else {
                continue;
            }
            bisect.answer(true);
        }
        Ok(rows)
    }

    fn set_aside(&mut self, batch: &Batch, at: usize, fault: &Fault) -> Step<()> {
        let (name, ticket) = (batch.collection.name(), batch.tickets[at].clone());
        if fault.class == FaultClass::Transient {
            let until = self.now_ms() + DEFER_MS;
            self.letters.defer(name, ticket, until);
            return Ok(());
        }
        let id = batch.editions[at].id.clone();
        if self.letters.park(name, ticket, id, fault.to_string()) {
            return Ok(());
        }
        // So many bad rows are no bad rows: the tables are of another shape.
        Err(Trouble::Remote(Fault { class: FaultClass::Schema, ..fault.clone() }))
    }
}

fn only(id: &str) -> IdRange {
    IdRange { from: Some(id.to_owned()), until: Some(after(id)) }
}

/// What the database says of one live row.
fn fingerprint(edition: &Edition) -> Fingerprint {
    let Stamp { ver, digest, .. } = edition.stamp;
    let rows = u64::from(edition.row.is_some());
    Fingerprint { rows, xor: digest ^ ver.0.cast_unsigned(), sum: digest }
}

impl Clone for Batch {
    fn clone(&self) -> Self {
        let Self { collection, tickets, editions, mark } = self;
        Self {
            collection: collection.clone(),
            tickets: tickets.clone(),
            editions: editions.clone(),
            mark: *mark,
        }
    }
}

impl Batch {
    fn new(collection: TapCollection, mut outgoing: Vec<Outgoing>, mark: NodeMark) -> Self {
        outgoing.sort_unstable_by(|a, b| a.edition.id.cmp(&b.edition.id));
        let (tickets, editions) = outgoing.into_iter().map(|out| (out.ticket, out.edition)).unzip();
        Self { collection, tickets, editions, mark }
    }
}
