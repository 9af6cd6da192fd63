//! Running one search on one view: candidates, plan, walk or scan, tail, rerank.

use super::answer::Explain;
use crate::codes::{BATCH, Exact};
use crate::config::GraphKind;
use crate::engine::inner::Inner;
use crate::engine::view::View;
use crate::filter::{Plan, Question, after, choose};
use crate::graph::{Ask, Near, Scratch, Walk};
use crate::ids::Slot;
use crate::kernels::prefetch_f32;
use crate::metrics::Work;
use crate::sets::SlotBits;

/// Candidates rescored with full-precision vectors, for each hit asked for, and at least so many in all.
const RERANK_PER_HIT: usize = 4;
const RERANK_MIN: usize = 20;
/// Candidate sets that are compared at full precision right away: reading them costs less than choosing.
const FULL_SCAN_MAX: usize = 64;

/// What is searched for, checked.
pub(crate) struct Job<'a> {
    pub(crate) view: &'a View,
    pub(crate) query: &'a [f32],
    pub(crate) k: usize,
    pub(crate) ef: usize,
    /// The slots that may be answers.
    pub(crate) accepted: &'a SlotBits,
    /// Whether a filter or a tenant left something out.
    pub(crate) filtered: bool,
    /// Compare every candidate at full precision.
    pub(crate) exact: bool,
}

/// Slots with their exact distances: nearest first, at equal distance by id.
pub(crate) struct Ranking {
    pub(crate) hits: Vec<(f32, Slot)>,
    pub(crate) exact: bool,
    pub(crate) explain: Explain,
}

impl Inner {
    pub(crate) fn run(&self, job: &Job<'_>) -> Ranking {
        let candidates = job.accepted.len();
        let mut explain = Explain {
            plan: Plan::Exact,
            candidates,
            tail: 0,
            ef: job.ef,
            work: Work::default(),
            retries: 0,
            text: None,
        };
        let wanted = job.k.min(candidates);
        if job.exact || candidates <= FULL_SCAN_MAX {
            let mut hits = self.scan_full(job, &mut explain.work);
            hits.truncate(wanted);
            return Ranking { hits, exact: true, explain };
        }
        let question = Question {
            candidates,
            linked: job.view.linked.len(),
            ef: job.ef,
            m0: 2 * self.schema.m,
            filtered: job.filtered,
        };
        explain.plan = choose(&question);
        self.with_scratch(|scratch| {
            loop {
                self.find(job, &mut explain, scratch);
                let mut hits = self.rerank(job, scratch, &mut explain.work);
                if hits.len() >= wanted {
                    hits.truncate(wanted);
                    return Ranking { hits, exact: false, explain };
                }
                if explain.plan == Plan::Exact {
                    // Fewer codes than candidates cannot be; the full scan needs no codes.
                    let mut hits = self.scan_full(job, &mut explain.work);
                    hits.truncate(wanted);
                    return Ranking { hits, exact: true, explain };
                }
                explain.plan = after(explain.plan);
                explain.retries += 1;
            }
        })
    }

    /// Leaves accepted candidates in `scratch.near`, nearest first.
    fn find(&self, job: &Job<'_>, explain: &mut Explain, scratch: &mut Scratch) {
        let space = job.view.space();
        let mut ask = Ask { query: job.query, k: job.k, ef: job.ef, walk: Walk::All };
        match explain.plan {
            Plan::Exact => {
                self.scan(job, job.accepted.iter(), scratch, &mut explain.work);
                sort_near(&mut scratch.near);
                return;
            }
            Plan::InGraph | Plan::FilterFirst => {
                ask.ef = job.ef.max(job.k);
                ask.walk = match explain.plan {
                    Plan::InGraph => Walk::InGraph(job.accepted),
                    _ => Walk::FilterFirst(job.accepted),
                };
            }
            Plan::PostFilter | Plan::Unfiltered => {
                // As many more as will be dropped.
                let accepted = job.accepted.len().max(1);
                let widened = |n: usize| (n * job.view.linked.len()).div_ceil(accepted).clamp(n, n * 4);
                (ask.k, ask.ef) = (widened(job.k), widened(job.ef));
            }
        }
        explain.ef = ask.ef;
        explain.work += self.graph.search(space, &ask, scratch);
        scratch.near.retain(|n| job.accepted.contains(n.slot));
        if !job.view.tail.is_empty() {
            self.add_tail(job, explain, scratch);
        }
    }

    /// Compares the tail and merges it in.
    fn add_tail(&self, job: &Job<'_>, explain: &mut Explain, scratch: &mut Scratch) {
        let walked = std::mem::take(&mut scratch.near);
        let tail = job.view.tail.iter().copied().filter(|s| job.accepted.contains(*s));
        explain.tail += self.scan(job, tail, scratch, &mut explain.work);
        scratch.near.extend(walked);
        sort_near(&mut scratch.near);
        // A row may have been linked, and found, since the view was made.
        scratch.near.dedup_by_key(|n| n.slot);
    }

    /// Leaves the nearest of `slots` in `scratch.near`, in the distances that the graph leaves there: those of codes, or
    /// exact ones where it walks over rows. Says how many were compared.
    fn scan(
        &self,
        job: &Job<'_>,
        slots: impl Iterator<Item = Slot>,
        scratch: &mut Scratch,
        work: &mut Work,
    ) -> usize {
        if self.walks_codes() {
            return self.scan_codes(job, slots, scratch, work);
        }
        let exact = Exact::new(self.schema.metric, job.query);
        let vectors = &job.view.tables.vectors;
        scratch.near.clear();
        scratch.near.extend(
            slots.filter_map(|slot| Some(Near { distance: exact.distance(vectors.get(slot)?), slot })),
        );
        work.reranked += scratch.near.len() as u64;
        scratch.near.len()
    }

    /// Leaves the nearest of `slots` by code in `scratch.near`; says how many were compared.
    fn scan_codes(
        &self,
        job: &Job<'_>,
        slots: impl Iterator<Item = Slot>,
        scratch: &mut Scratch,
        work: &mut Work,
    ) -> usize {
        let codes = &job.view.tables.codes;
        codes.codec().query(job.query, &mut scratch.query);
        scratch.found.reset(rerank_rows(job.k));
        let mut slots = slots.map(|s| s.0);
        let mut part = [0u32; BATCH];
        let mut out = [0.0; BATCH];
        let mut compared = 0;
        loop {
            let mut n = 0;
            for (place, slot) in part.iter_mut().zip(&mut slots) {
                *place = slot;
                n += 1;
            }
            codes.distances(&scratch.query, &part[..n], &mut out);
            scratch.found.offer(&part[..n], &out);
            compared += n;
            if n < BATCH {
                break;
            }
        }
        work.distances += compared as u64;
        scratch.near.clear();
        scratch.near.extend(scratch.found.iter());
        compared
    }

    /// The exact distances of the best candidates: of all whose codes leave open whether they are among the first `k`.
    /// All rows are on their way from memory before the first is used: that is a third of the searches per second.
    fn rerank(&self, job: &Job<'_>, scratch: &Scratch, work: &mut Work) -> Vec<(f32, Slot)> {
        let vectors = &job.view.tables.vectors;
        let mut best = &scratch.near[..scratch.near.len().min(rerank_rows(job.k))];
        if self.walks_codes()
            && let Some(kth) = best.get(job.k.saturating_sub(1))
            && let Some(margin) = job.view.tables.codes.codec().margin(&scratch.query, kth.distance)
        {
            let reach = kth.distance + margin;
            best = &best[..best.partition_point(|n| n.distance <= reach)];
        }
        for row in best.iter().filter_map(|n| vectors.get(n.slot)) {
            prefetch_f32(row);
        }
        let exact = Exact::new(self.schema.metric, job.query);
        let rescored = best.iter().filter_map(|n| Some((exact.distance(vectors.get(n.slot)?), n.slot)));
        let mut hits: Vec<(f32, Slot)> = rescored.collect();
        work.reranked += hits.len() as u64;
        self.sort(job.view, &mut hits);
        hits
    }

    /// Every candidate at full precision.
    fn scan_full(&self, job: &Job<'_>, work: &mut Work) -> Vec<(f32, Slot)> {
        let exact = Exact::new(self.schema.metric, job.query);
        let vectors = &job.view.tables.vectors;
        let mut hits: Vec<(f32, Slot)> =
            job.accepted.iter().filter_map(|s| Some((exact.distance(vectors.get(s)?), s))).collect();
        work.reranked += hits.len() as u64;
        if hits.len() > job.k && job.k > 0 {
            // Ties at the edge are settled by id, so keep all that tie.
            let (_, edge, _) = hits.select_nth_unstable_by(job.k - 1, |a, b| a.0.total_cmp(&b.0));
            let edge = edge.0;
            hits.retain(|h| h.0 <= edge);
        }
        self.sort(job.view, &mut hits);
        hits
    }

    /// Whether distances on the way are estimates from codes.
    fn walks_codes(&self) -> bool {
        self.schema.graph == GraphKind::Flat
    }

    fn sort(&self, view: &View, hits: &mut [(f32, Slot)]) {
        let id = |slot| view.tables.rows.id(slot);
        hits.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| id(a.1).cmp(id(b.1))));
    }
}

fn sort_near(near: &mut [Near]) {
    near.sort_unstable_by(|a, b| a.distance.total_cmp(&b.distance).then(a.slot.cmp(&b.slot)));
}

fn rerank_rows(k: usize) -> usize {
    (k * RERANK_PER_HIT).max(RERANK_MIN)
}
