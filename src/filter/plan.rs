//! Which way to answer a filtered search: a pure function of counts and costs.
//!
//! Costs are those of one core at 384 dimensions, in nanoseconds; only their ratios matter. Scanning and walking are near what
//! `deb384` showed (8 to 11, and 25 to 35); looking without comparing is an estimate.

use serde::Serialize;
use std::fmt;

/// How a search went about its filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Plan {
    /// Compared the query with every candidate.
    Exact,
    /// Walked the graph over candidates alone, reaching through others.
    FilterFirst,
    /// Walked the whole graph and collected candidates.
    InGraph,
    /// Walked the whole graph with a wider beam and dropped what is no candidate.
    PostFilter,
    /// Everything is a candidate.
    Unfiltered,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exact => "exact",
            Self::FilterFirst => "filter_first",
            Self::InGraph => "in_graph",
            Self::PostFilter => "post_filter",
            Self::Unfiltered => "unfiltered",
        })
    }
}

/// Comparing one candidate's code while scanning slots in order.
const SCAN_NS: f64 = 8.0;
/// Comparing one slot during a walk, all included.
const WALK_NS: f64 = 28.0;
/// Looking at one neighbour's neighbour without comparing it.
const PEEK_NS: f64 = 1.5;
/// Slots compared for each one the beam keeps, and before the beam starts. Grows with the logarithm of the collection.
const COMPARED_PER_EF: f64 = 14.0;
const COMPARED_FIRST: f64 = 180.0;
/// Below this share of candidates a walk over candidates alone falls apart: hardly one of a node's neighbours' neighbours
/// is one. Measured on 20,000 rows at ef 64: recall .99 at a share of .2, .98 at .05, .64 at .01.
const FILTER_FIRST_SHARE_MIN: f64 = 0.04;
/// Above this share of candidates dropping the others afterwards costs less than checking each on the way.
const POST_FILTER_SHARE_MIN: f64 = 0.7;
/// Candidates that are always scanned.
const SCAN_ALWAYS: usize = 1_000;

pub(crate) struct Question {
    /// Slots that may be answers.
    pub(crate) candidates: usize,
    /// Slots that the graph holds, dead ones among them.
    pub(crate) linked: usize,
    pub(crate) ef: usize,
    /// Links of a slot on level 0.
    pub(crate) m0: usize,
    /// Whether anything but dead slots is left out.
    pub(crate) filtered: bool,
}

pub(crate) fn choose(q: &Question) -> Plan {
    let share = q.candidates as f64 / q.linked.max(1) as f64;
    if q.candidates <= SCAN_ALWAYS.min(q.ef * 4) {
        return Plan::Exact;
    }
    if share >= POST_FILTER_SHARE_MIN {
        return if q.filtered { Plan::PostFilter } else { Plan::Unfiltered };
    }
    let ef = q.ef as f64;
    let scale = (q.linked as f64).ln() / 11.0;
    let exact = q.candidates as f64 * SCAN_NS;
    let in_graph = (COMPARED_FIRST + COMPARED_PER_EF * ef / share) * scale * WALK_NS;
    // Each of the beam's slots looks at its neighbours and theirs, and compares the candidates among them.
    let m0 = q.m0 as f64;
    let behind = m0 * m0 * (1.0 - share);
    let compared = (m0 * share + behind * share).min(m0);
    let filter_first = if share < FILTER_FIRST_SHARE_MIN {
        f64::INFINITY
    } else {
        ef * (behind * PEEK_NS + compared * WALK_NS) * scale
    };
    let cheapest = exact.min(in_graph).min(filter_first);
    if cheapest == exact {
        Plan::Exact
    } else if cheapest == in_graph {
        Plan::InGraph
    } else {
        Plan::FilterFirst
    }
}

/// What to try when a plan came up short of `k` candidates that exist. The last one is always right.
pub(crate) fn after(short: Plan) -> Plan {
    match short {
        Plan::Unfiltered | Plan::PostFilter => Plan::InGraph,
        Plan::InGraph | Plan::FilterFirst | Plan::Exact => Plan::Exact,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_regime_has_its_range() {
        let of =
            |candidates, linked| choose(&Question { candidates, linked, ef: 64, m0: 32, filtered: true });
        for (candidates, linked, plan) in [
            (0, 59_116, Plan::Exact),
            (30, 59_116, Plan::Exact),
            (1_064, 59_116, Plan::Exact),
            (4_361, 59_116, Plan::Exact),
            (28_000, 59_116, Plan::InGraph),
            (50_000, 59_116, Plan::PostFilter),
            (1_000, 1_000_000, Plan::Exact),
            (75_000, 1_000_000, Plan::FilterFirst),
            (500_000, 1_000_000, Plan::InGraph),
            (990_000, 1_000_000, Plan::PostFilter),
        ] {
            assert_eq!(of(candidates, linked), plan, "{candidates} of {linked}");
        }
        let all = Question { candidates: 59_000, linked: 59_116, ef: 64, m0: 32, filtered: false };
        assert_eq!(choose(&all), Plan::Unfiltered);
    }

    #[test]
    fn every_plan_ends_in_the_one_that_is_always_right() {
        for plan in [Plan::Unfiltered, Plan::PostFilter, Plan::InGraph, Plan::FilterFirst] {
            assert_eq!(after(after(plan)), Plan::Exact);
        }
    }
}
