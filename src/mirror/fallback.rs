//! Searches that the database answers while a collection is being filled (`fallback = "database"`).
//!
//! A collection is *filling* from when both sides first meet, or from when filling begins in one that has no row of the database's or
//! rows damaged beyond a name, until the comparison that follows. A rebuild of a collection that has its rows is none: they
//! are all there meanwhile, and searches go on at their speed (M21). `memory.rs` remembers it, [`Sides::tell_filling`] tells
//! the engine.
//!
//! Every search of such a collection is asked of the database: with filter, tenant, limit of distance, variety, one hit a document, or a
//! range. The database compares all rows by itself, exactly, and takes no index: an approximate one would come short under
//! filters. What matches is decided here, with the filter's own meaning, over as many rows as it takes, [`ROWS_MAX`] at most.
//! Counts, look-ups and lists are answered here.
//!
//! Invariants: a search waits no longer than `fallback_ms` (M1), in a thread of its own, and is then answered with what is here,
//! marked as partial; the database itself gives up at the same time; whoever asks holds no lock; what fails here changes nothing
//! in how the mirror goes on.

use super::gate::Gate;
use super::remote::{Done, Fault, FaultClass, Near, Reading, Remote};
use super::sides::Sides;
use crate::engine::tap::{Answer, Elsewhere, Question, TapCollection};
use crate::error::Result;
use crate::ids::ChunkId;
use crate::record::Edition;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Rows that are looked at for one question. More than the most that can be wanted.
const ROWS_MAX: usize = 20_000;
/// Rows that are looked at first where not all count.
const FILTERED_ROWS_MIN: usize = 256;
/// How much more is looked at when that was not enough.
const MORE: usize = 8;

const _: () = assert!(ROWS_MAX > crate::limits::K_MAX + 1_000);

/// The database, as searches see it.
pub(super) struct Door<R: Remote> {
    pub(super) remote: Arc<R>,
    /// Of the mirror. Its second thread is there for this: the first one is busy with filling.
    pub(super) runtime: Handle,
    pub(super) gate: Arc<Gate>,
    pub(super) patience: Duration,
}

impl<R: Remote> Elsewhere for Door<R> {
    fn patience(&self) -> Option<Duration> {
        self.gate.is_open().then_some(self.patience)
    }

    fn nearest(&self, collection: &str, question: Question, until: Instant) -> Option<Answer> {
        let pass = self.gate.enter(until)?;
        let (reply, answer) = sync_channel(1);
        let (remote, collection) = (self.remote.clone(), collection.to_owned());
        self.runtime.spawn(async move {
            let asked = ask(&*remote, &collection, &question, until);
            let asked = tokio::time::timeout_at(until.into(), asked).await;
            // Whoever asked may have gone: then nobody hears it.
            let _ = reply.try_send(asked.unwrap_or_else(|_| Err(late())));
        });
        let left = until.saturating_duration_since(Instant::now());
        pass.done(match answer.recv_timeout(left) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => Err(late()),
            Err(RecvTimeoutError::Disconnected) => {
                Err(fault(FaultClass::Transient, "the mirror was stopped"))
            }
        })
    }
}

fn fault(class: FaultClass, message: &str) -> Fault {
    Fault { class, code: None, message: message.to_owned(), remedy: None }
}

fn late() -> Fault {
    let remedy = Some("raise fallback_ms, or wait until all rows are here".to_owned());
    Fault { remedy, ..fault(FaultClass::Transient, "the database did not answer a search in time") }
}

/// All at one snapshot.
async fn ask<R: Remote>(remote: &R, collection: &str, question: &Question, until: Instant) -> Done<Answer> {
    let mut reading = remote.read().await?;
    let picked = pick(&mut reading, collection, question, until).await?;
    let mut ids = picked.clone();
    ids.extend(question.also.iter().cloned());
    ids.sort_unstable();
    ids.dedup();
    let rows = if ids.is_empty() { vec![] } else { reading.rows(collection, &ids).await? };
    reading.finish().await?;
    let rows: HashMap<ChunkId, Edition> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    let of = |ids: &[ChunkId]| ids.iter().filter_map(|id| rows.get(id).cloned()).collect();
    Ok(Answer { nearest: of(&picked), also: of(&question.also) })
}

/// The nearest rows that count, in more and more rows.
async fn pick<G: Reading>(
    reading: &mut G,
    collection: &str,
    question: &Question,
    until: Instant,
) -> Done<Vec<ChunkId>> {
    let mut limit = question.wanted;
    if question.wants_metadata {
        limit = limit.saturating_mul(4).max(FILTERED_ROWS_MIN);
    }
    loop {
        limit = limit.min(ROWS_MAX);
        let left = until.saturating_duration_since(Instant::now());
        let near = Near {
            query: &question.query,
            tenant: question.tenant.as_deref(),
            wants_metadata: question.wants_metadata,
            needles: &question.needles,
            // Nothing would mean no limit at all.
            ms_max: left.as_millis().max(1) as u64,
        };
        let page = reading.nearest(collection, &near, limit).await?;
        let mut picked: Vec<ChunkId> = (question.pick)(&page)
            .into_iter()
            .filter_map(|at| page.get(at).map(|one| one.head.id.clone()))
            .collect();
        let reach = page.last().map_or(f64::NEG_INFINITY, |last| last.distance);
        if picked.len() >= question.wanted || page.len() < limit || is_beyond(reach, question.distance_max) {
            picked.truncate(question.wanted);
            return Ok(picked);
        }
        if limit == ROWS_MAX {
            let message = format!("fewer than {} of the {ROWS_MAX} nearest rows match", question.wanted);
            return Err(fault(FaultClass::Data, &message));
        }
        limit = limit.saturating_mul(MORE);
    }
}

/// Whether a distance lies beyond another for sure: both sides round in their own ways.
fn is_beyond(distance: f64, max: f32) -> bool {
    let max = f64::from(max);
    distance > max + 1e-3 * (1.0 + max.abs())
}

impl<R: Remote> Sides<R> {
    /// Tells each collection whether rows of the database are missing in it, and searches whether it can be asked.
    pub(super) fn tell_filling(&self) -> Result<()> {
        if let Some((_, gate)) = &self.fallback {
            gate.open(self.database.is_some() && self.blocked.is_none());
        }
        for collection in self.tap.collections()? {
            // The database must know it before anybody asks.
            let door = self.fallback.as_ref().filter(|_| self.memory.takes_part(collection.name()));
            collection.set_filling(self.lacks(&collection), door.map(|(door, _)| door));
        }
        Ok(())
    }

    /// Whether rows of the database may be missing in a collection.
    fn lacks(&self, collection: &TapCollection) -> bool {
        let name = collection.name();
        let lacks = match self.memory.collections.get(name) {
            Some(known) => known.lacks && known.ignored.is_none(),
            None => self.may_lack(collection.rows()),
        };
        lacks && self.covers(name)
    }

    /// Whether a collection of so many rows gets those that the database has, once both meet.
    pub(super) fn may_lack(&self, rows: usize) -> bool {
        rows > 0 || self.options.rebuild != super::options::RebuildPolicy::Never
    }

    /// Names of the collections that are being filled.
    pub(super) fn filling(&self) -> Result<Vec<String>> {
        let filling = self.tap.collections()?.into_iter().filter(TapCollection::is_filling);
        Ok(filling.map(|collection| collection.name().to_owned()).collect())
    }
}
