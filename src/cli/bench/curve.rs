//! Recall against queries per second, and what the curve says at a recall that no measured width hits.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Recalls that systems are compared at.
pub(super) const TARGETS: [f64; 4] = [0.95, 0.98, 0.99, 0.995];

/// What was measured at one width of the beam. Work counters are means over the queries.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Point {
    pub(super) ef: usize,
    pub(super) recall: f64,
    pub(super) qps: f64,
    pub(super) p50_us: f64,
    pub(super) p95_us: f64,
    pub(super) p99_us: f64,
    pub(super) visited: f64,
    pub(super) distances: f64,
    /// Queries that returned fewer hits than exist.
    pub(super) short: usize,
    /// Queries by the plan that served them.
    pub(super) plans: BTreeMap<String, usize>,
}

/// Queries per second at one recall.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Mark {
    pub(super) recall: f64,
    /// Absent unless the curve passes through this recall.
    pub(super) qps: Option<f64>,
    pub(super) reached: Reached,
}

/// Where a recall lies on the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reached {
    /// Between two measured widths.
    Within,
    /// Below what the smallest width gives already.
    Above,
    /// Beyond what the widest beam gives.
    Never,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "qps@{}=", self.recall)?;
        match (self.qps, self.reached) {
            (Some(qps), _) => write!(f, "{qps:.0}"),
            (None, Reached::Above) => f.write_str("above"),
            (None, _) => f.write_str("never"),
        }
    }
}

/// The marks of a curve given as (recall, queries per second) by rising width. Between two points the logarithm of the
/// speed is taken as linear in the recall: on that scale measured curves are nearly straight.
pub(super) fn marks(curve: &[(f64, f64)]) -> Vec<Mark> {
    TARGETS.iter().map(|&target| mark(curve, target)).collect()
}

fn mark(curve: &[(f64, f64)], recall: f64) -> Mark {
    for pair in curve.windows(2) {
        let ((r0, q0), (r1, q1)) = (pair[0], pair[1]);
        if r0 < recall && recall <= r1 {
            let along = (recall - r0) / (r1 - r0);
            let qps = (q0.ln() * (1.0 - along) + q1.ln() * along).exp();
            return Mark { recall, qps: Some(qps), reached: Reached::Within };
        }
    }
    let above = curve.first().is_some_and(|&(first, _)| first >= recall);
    Mark { recall, qps: None, reached: if above { Reached::Above } else { Reached::Never } }
}

#[cfg(test)]
mod tests;
