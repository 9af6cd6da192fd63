//! A row's way out: batches of dirty versions, each acknowledged by what it was and not by its id. [`flight`](super::flight) sends them,
//! two at a time; what follows from the answers stands here.
//!
//! Invariants:
//! - a version is clean only after the database answered for it, and only if it is still the one here (M2);
//! - sending twice is sending once (M5): an answer that was lost changes nothing;
//! - a row that spoils its batch delays the others by at most `log2 n + 1` statements (M13); the database names those that are locked,
//!   and a table that is locked is no row's fault.

use super::backoff::UNKNOWN_MAX;
use super::batch::Bisect;
use super::compare::after;
use super::remote::{Done, Fault, FaultClass, Fingerprint, IdRange, NodeMark, Pushed, Reading, Remote};
use super::sides::Sides;
use super::trouble::{Step, Trouble};
use crate::engine::tap::{Outgoing, TapCollection, Ticket};
use crate::ids::ChunkId;
use crate::record::{Edition, Head, Stamp};
use std::ops::Range;

/// Another transaction holds a row's lock, or the table's.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Most locks are those of another mirror, and short.
const DEFER_MS: u64 = 2_000;

/// Versions of one collection that go with one statement, sorted by id.
pub(super) struct Batch {
    pub(super) collection: TapCollection,
    pub(super) tickets: Vec<Ticket>,
    pub(super) editions: Vec<Edition>,
    pub(super) mark: NodeMark,
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
    pub(super) fn has_outgoing(&mut self) -> Step<bool> {
        self.letters.expire(self.now_ms());
        let waits = |collection: &TapCollection| {
            let (dirty, held_max) = (collection.dirty(), self.letters.held_max(collection.name()));
            dirty.rows + dirty.graves > held_max
                || held_max > 0 && self.oldest_waiting(collection, true).is_some()
        };
        Ok(self.collections()?.iter().any(waits))
    }

    /// When the oldest dirty version was written that the database does not refuse, about; with `now`, of those that could be sent now.
    pub(super) fn oldest_waiting(&self, collection: &TapCollection, now: bool) -> Option<u64> {
        let (name, letters) = (collection.name(), &self.letters);
        let skip =
            |ticket: &Ticket| if now { letters.holds(name, ticket) } else { letters.is_parked(name, ticket) };
        collection.oldest(letters.held_max(name), &skip)
    }

    pub(super) fn next_mark(&mut self) -> NodeMark {
        self.memory.sent.pushes += 1;
        self.memory.sent
    }

    /// All of a batch was stored. Says how many rows the database has now.
    pub(super) fn arrived(&mut self, batch: &Batch) -> usize {
        self.counts.statements += 1;
        self.batch_rows.grow();
        self.acknowledge(batch, 0..batch.tickets.len(), batch.mark)
    }

    /// What follows from an answer. Says how many rows the database has now.
    pub(super) async fn conclude(&mut self, batch: &Batch, answer: Done<Vec<Pushed>>) -> Step<usize> {
        let fault = match answer {
            Ok(pushed) => {
                self.hear_winners(batch, &pushed, 0).await?;
                return Ok(self.arrived(batch));
            }
            Err(fault) => fault,
        };
        self.counts.statements += 1;
        if is_locked(&fault) && self.pass_over(batch, 0..batch.tickets.len()).await? {
            return Ok(0);
        }
        if self.blames_a_row(&fault) {
            return self.bisect(batch).await;
        }
        if fault.class == FaultClass::Transient {
            self.batch_rows.shrink();
        }
        Err(fault.into())
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
    fn acknowledge(&mut self, batch: &Batch, which: Range<usize>, mark: NodeMark) -> usize {
        let tickets = &batch.tickets[which.clone()];
        batch.collection.acknowledge(tickets);
        self.memory.acked = self.memory.acked.max(Some(mark));
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
            FaultClass::Unknown => self.unknowns >= UNKNOWN_MAX,
            _ => is_locked(fault),
        }
    }

    /// Rows that somebody else holds go later; whether there are any. A fault, if the whole table is held: then no row is at fault,
    /// and all wait.
    async fn pass_over(&mut self, batch: &Batch, which: Range<usize>) -> Step<bool> {
        let (name, start) = (batch.collection.name(), which.start);
        let ids: Vec<ChunkId> = batch.editions[which].iter().map(|edition| edition.id.clone()).collect();
        self.counts.statements += 1;
        let held = self.remote.held(name, &ids).await?;
        let until = self.now_ms() + DEFER_MS;
        for id in &held {
            if let Ok(at) = ids.binary_search(id) {
                self.letters.defer(name, batch.tickets[start + at].clone(), until);
            }
        }
        Ok(!held.is_empty())
    }

    async fn bisect(&mut self, batch: &Batch) -> Step<usize> {
        let (mut bisect, mut rows) = (Bisect::new(batch.tickets.len()), 0);
        while let Some(probe) = bisect.probe() {
            let mark = self.next_mark();
            let editions = &batch.editions[probe.clone()];
            let answer = self.remote.push(batch.collection.name(), editions, mark).await;
            self.counts.statements += 1;
            match answer {
                Ok(pushed) => {
                    self.hear_winners(batch, &pushed, probe.start).await?;
                    rows += self.acknowledge(batch, probe, mark);
                    bisect.answer(true);
                }
                Err(fault) if is_locked(&fault) && self.pass_over(batch, probe.clone()).await? => break,
                Err(fault) if self.blames_a_row(&fault) => {
                    if let Some(at) = bisect.answer(false) {
                        self.set_aside(batch, at, &fault)?;
                        self.persist()?;
                        break;
                    }
                }
                Err(other) => return Err(other.into()),
            }
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

/// Another transaction holds what the push needs.
fn is_locked(fault: &Fault) -> bool {
    fault.class == FaultClass::Transient && fault.code.as_deref() == Some(LOCK_NOT_AVAILABLE)
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

impl Batch {
    pub(super) fn new(collection: TapCollection, outgoing: Vec<Outgoing>, mark: NodeMark) -> Self {
        let (tickets, editions) = outgoing.into_iter().map(|out| (out.ticket, out.edition)).unzip();
        Self { collection, tickets, editions, mark }
    }
}
