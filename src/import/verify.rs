//! That what is staged is what the file says: every row by its digest, and the neighbours of some of them by the file's own vectors.
//!
//! The file is read once more, and nothing of the first reading is believed: the truth of a search is computed here in double
//! precision over the rows as they stand in the file, and shares no code with the index.

use super::digest::Digest;
use super::source::Rows;
use super::stage::{Ids, Stage, Taken};
use crate::config::Metric;
use crate::engine::Collection;
use crate::error::{Error, ErrorKind, Result};
use serde::Serialize;

/// Neighbours of each sample.
const K: usize = 10;
/// What single precision may lose, as a share of what is summed up.
const TOLERANCE: f64 = 1e-4;
/// A graph that finds less than half of what is there is broken; what is right for the data is not judged here.
const RECALL_MIN: f64 = 0.5;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Verified {
    /// Rows whose neighbours were looked up.
    pub(crate) searches: usize,
    /// Share of the true neighbours that a search with default settings found.
    pub(crate) recall: Option<f64>,
}

/// A row of the file, what it is compared with, and the distances of the nearest so far.
struct Sample {
    vector: Vec<f32>,
    nearest: Vec<f64>,
}

/// Reads the file again and compares.
pub(super) fn verify(
    staged: &Collection,
    stage: &Stage<'_>,
    taken: &Taken,
    rows: &mut dyn Rows,
    tell: &mut dyn FnMut(u64),
) -> Result<Verified> {
    let metric = stage.schema.metric;
    let sample = |vector: &Vec<f32>| Sample { vector: vector.clone(), nearest: Vec::new() };
    let mut samples: Vec<Sample> = taken.samples.iter().map(sample).collect();
    let (mut again, mut ids, mut read, mut longest) = (Digest::default(), Ids::default(), 0, 0.0f64);
    while let Some(entry) = rows.next()? {
        read += 1;
        if read % 1_024 == 0 {
            tell(read);
        }
        let Ok(row) = entry.chunk.and_then(|chunk| stage.admit(chunk, &mut ids)) else { continue };
        again.add(&row);
        let Some(vector) = &row.vector else { continue };
        longest = longest.max(length(vector));
        for sample in &mut samples {
            let to = distance(metric, &sample.vector, vector);
            sample.take(to);
        }
    }
    tell(read);
    if again != taken.digest {
        return Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "the file changed while it was read: {} first, {again} then; nothing was changed",
                taken.digest
            ),
        ));
    }
    let found = Digest::of(staged)?;
    if found != again {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("what was stored is {found}, and the file is {again}; nothing was changed"),
        ));
    }
    // Whose chunks they are, a search there has to say.
    if stage.schema.tenant_required || samples.is_empty() {
        return Ok(Verified::default());
    }
    search(staged, metric, &samples, longest)
}

fn search(staged: &Collection, metric: Metric, samples: &[Sample], longest: f64) -> Result<Verified> {
    let (mut found, mut wanted) = (0, 0);
    for sample in samples {
        let slack = TOLERANCE * scale(metric, length(&sample.vector), longest, sample.vector.len());
        let exact = staged.search(&sample.vector).k(K).exact(true).run()?;
        let agree = exact.hits.len() == sample.nearest.len()
            && exact
                .hits
                .iter()
                .zip(&sample.nearest)
                .all(|(hit, truth)| (f64::from(hit.distance) - truth).abs() <= slack);
        if !agree {
            let hits: Vec<f32> = exact.hits.iter().map(|hit| hit.distance).collect();
            return Err(Error::new(
                ErrorKind::Internal,
                format!(
                    "an exact search of what was stored finds distances {hits:?}, the file has {:?}; nothing was changed",
                    sample.nearest
                ),
            ));
        }
        let edge = sample.nearest.last().copied().unwrap_or_default() + slack;
        let walk = staged.search(&sample.vector).k(K).run()?;
        found += walk.hits.iter().filter(|hit| f64::from(hit.distance) <= edge).count();
        wanted += sample.nearest.len();
    }
    let recall = found as f64 / wanted.max(1) as f64;
    if recall < RECALL_MIN {
        return Err(Error::new(
            ErrorKind::Internal,
            format!(
                "searches of what was stored find {found} of {wanted} true neighbours; nothing was changed"
            ),
        ));
    }
    Ok(Verified { searches: samples.len(), recall: Some(recall) })
}

impl Sample {
    /// Keeps the least, in order.
    fn take(&mut self, distance: f64) {
        let at = self.nearest.partition_point(|d| *d <= distance);
        if at < K {
            self.nearest.insert(at, distance);
            self.nearest.truncate(K);
        }
    }
}

fn length(a: &[f32]) -> f64 {
    a.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt()
}

/// As large as the sum that a distance comes from.
fn scale(metric: Metric, query: f64, longest: f64, dim: usize) -> f64 {
    match metric {
        Metric::Cosine => 1.0,
        Metric::L2 => query + longest,
        Metric::Dot => query * longest,
        Metric::L1 => (query + longest) * (dim as f64).sqrt(),
    }
}

fn distance(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let (mut sum, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (f64::from(*x), f64::from(*y));
        match metric {
            Metric::Cosine => {
                sum += x * y;
                aa += x * x;
                bb += y * y;
            }
            Metric::L2 => sum += (x - y) * (x - y),
            Metric::Dot => sum -= x * y,
            Metric::L1 => sum += (x - y).abs(),
        }
    }
    match metric {
        Metric::Cosine => 1.0 - sum / (aa.sqrt() * bb.sqrt()),
        Metric::L2 => sum.sqrt(),
        Metric::Dot | Metric::L1 => sum,
    }
}
