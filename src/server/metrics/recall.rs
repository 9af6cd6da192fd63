//! An estimate of the recall that callers get: a share of their searches is repeated exactly, in the background.
//!
//! Invariants: it takes at most a hundredth of one core, whatever the share and the size of the collection, because it rests a
//! hundred times as long as it worked; a search never waits for it; a search whose collection has changed meanwhile tells nothing.

use crate::{Collection, Error, ErrorKind, Filter, Response, Result};
use crossbeam::channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Samples that the estimate is of.
const WINDOW: usize = 1_000;
/// One part of work to so many of rest.
const REST: u32 = 100;

/// A search that was answered, and what it answered.
pub(crate) struct Sample {
    pub(crate) collection: Collection,
    pub(crate) query: Vec<f32>,
    pub(crate) filter: Option<Filter>,
    pub(crate) k: usize,
    pub(crate) found: Response,
}

pub(crate) struct Recall {
    /// One in so many; nothing if it is off.
    every: Option<u64>,
    seen: AtomicU64,
    samples: Sender<Sample>,
    estimate: Arc<Estimate>,
}

#[derive(Default)]
struct Estimate {
    window: Mutex<VecDeque<f64>>,
    count: AtomicU64,
}

impl Recall {
    pub(crate) fn start(share: f64) -> Result<Self> {
        let (samples, waiting) = bounded(1);
        let estimate = Arc::<Estimate>::default();
        let every = (share > 0.0).then(|| (1.0 / share).round().max(1.0) as u64);
        if every.is_some() {
            let theirs = estimate.clone();
            let body = move || work(&waiting, &theirs);
            let spawned = std::thread::Builder::new().name("nearfield-recall".into()).spawn(body);
            spawned.map_err(|e| {
                Error::new(ErrorKind::Unavailable, "a thread of the server cannot be started").with_source(e)
            })?;
        }
        Ok(Self { every, seen: AtomicU64::new(0), samples, estimate })
    }

    /// Whether this search is one to repeat.
    pub(crate) fn wants(&self) -> bool {
        let Some(every) = self.every else { return false };
        self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(every) && self.samples.is_empty()
    }

    pub(crate) fn offer(&self, sample: Sample) {
        // One that comes while another waits is let go.
        let _ = self.samples.try_send(sample);
    }

    /// Mean share of the true neighbours, and of how many searches ever.
    pub(crate) fn estimate(&self) -> (Option<f64>, u64) {
        let window = self.estimate.window.lock();
        let mean = (!window.is_empty()).then(|| window.iter().sum::<f64>() / window.len() as f64);
        (mean, self.estimate.count.load(Ordering::Relaxed))
    }
}

fn work(waiting: &Receiver<Sample>, estimate: &Estimate) {
    while let Ok(sample) = waiting.recv() {
        let start = Instant::now();
        if let Some(recall) = measure(&sample) {
            let mut window = estimate.window.lock();
            window.push_back(recall);
            if window.len() > WINDOW {
                window.pop_front();
            }
            estimate.count.fetch_add(1, Ordering::Relaxed);
        }
        drop(sample);
        rest(waiting, start.elapsed().saturating_mul(REST));
    }
}

/// Takes nothing for a while, unless the server goes.
fn rest(waiting: &Receiver<Sample>, time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if let Err(crossbeam::channel::RecvTimeoutError::Disconnected) = waiting.recv_deadline(until) {
            return;
        }
    }
}

/// The share of the true neighbours that were found.
fn measure(sample: &Sample) -> Option<f64> {
    let search =
        sample.collection.search(&sample.query).k(sample.k).filter(sample.filter.clone()).exact(true);
    let truth = search.run().ok()?;
    if truth.as_of.seq != sample.found.as_of.seq || truth.hits.is_empty() || truth.degraded {
        return None;
    }
    // Rows at the distance of the last are as good as the last.
    let edge = truth.hits.last()?.distance;
    let hits = sample.found.hits.iter().filter(|hit| hit.distance <= edge).count();
    Some(hits.min(truth.hits.len()) as f64 / truth.hits.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chunk, Metric, Schema, Store};

    #[test]
    fn the_share_of_true_neighbours_is_measured_and_a_changed_collection_tells_nothing() {
        let store = Store::memory();
        let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
        docs.upsert((0..100).map(|n| Chunk::new(n.to_string()).vector([n as f32, 0.0]))).unwrap();
        let mut sample = Sample {
            collection: docs.clone(),
            query: vec![0.0, 0.0],
            filter: None,
            k: 10,
            found: docs.search(&[0.0, 0.0]).k(10).run().unwrap(),
        };
        assert_eq!(measure(&sample), Some(1.0));
        sample.found.hits.truncate(4);
        assert_eq!(measure(&sample), Some(0.4));
        docs.delete(["50"]).unwrap();
        assert_eq!(measure(&sample), None);
    }

    #[test]
    fn it_can_be_switched_off() {
        assert!(!Recall::start(0.0).unwrap().wants());
        let all = Recall::start(1.0).unwrap();
        assert!(all.wants() && all.estimate() == (None, 0));
    }
}
