//! What the server counts, and the page that tells it.
//!
//! Invariants: counting takes no lock and allocates nothing; names of collections are labels for the first
//! hundred of them only, ids and tenants never are; a page costs what `stats` of those collections costs.

pub(crate) mod histogram;
pub(crate) mod recall;
pub(crate) mod text;

use super::app::App;
use super::router::ROUTES;
use crate::{Plan, Response, Source, StoreStats};
use histogram::Histogram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use text::Text;

const COLLECTIONS_MAX: usize = 100;
const PLANS: [Plan; 5] = [Plan::Exact, Plan::FilterFirst, Plan::InGraph, Plan::PostFilter, Plan::Unfiltered];
const SOURCES: [(Source, &str); 3] =
    [(Source::Local, "local"), (Source::Partial, "partial"), (Source::Database, "database")];
/// What a search compares.
const MODES: [&str; 3] = ["vector", "text", "hybrid"];
/// What became of an operation.
const RESULTS: [&str; 3] = ["ok", "refused", "failed"];

pub(crate) struct Metrics {
    /// By route; the last are paths and methods that there are not.
    requests: Vec<Requests>,
    plans: [OfPlan; PLANS.len()],
    sources: [AtomicU64; SOURCES.len()],
    modes: [Histogram; MODES.len()],
    degraded: AtomicU64,
    upserted: AtomicU64,
    rejected: AtomicU64,
    deleted: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) connections_refused: AtomicU64,
}

#[derive(Default)]
struct Requests {
    results: [AtomicU64; RESULTS.len()],
    took: Histogram,
}

#[derive(Default)]
struct OfPlan {
    took: Histogram,
    visited: AtomicU64,
    distances: AtomicU64,
    reranked: AtomicU64,
}

/// One of a plan's counts.
type Count = fn(&OfPlan) -> &AtomicU64;

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            requests: (0..=ROUTES.len()).map(|_| Requests::default()).collect(),
            plans: Default::default(),
            sources: Default::default(),
            modes: Default::default(),
            degraded: AtomicU64::new(0),
            upserted: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
        }
    }

    pub(crate) fn answered(&self, route: Option<usize>, status: u16, took: Duration) {
        let Some(requests) = self.requests.get(route.unwrap_or(ROUTES.len())) else { return };
        let result = match status {
            ..400 => 0,
            400..500 => 1,
            _ => 2,
        };
        requests.results[result].fetch_add(1, Ordering::Relaxed);
        requests.took.record(took);
    }

    pub(crate) fn searched(&self, response: &Response, took: Duration) {
        let explain = &response.explain;
        if let Some(of) = PLANS.iter().position(|plan| *plan == explain.plan).map(|at| &self.plans[at]) {
            of.took.record(took);
            of.visited.fetch_add(explain.work.visited, Ordering::Relaxed);
            of.distances.fetch_add(explain.work.distances, Ordering::Relaxed);
            of.reranked.fetch_add(explain.work.reranked, Ordering::Relaxed);
        }
        if let Some(at) = SOURCES.iter().position(|(source, _)| *source == response.source) {
            self.sources[at].fetch_add(1, Ordering::Relaxed);
        }
        self.degraded.fetch_add(u64::from(response.degraded), Ordering::Relaxed);
    }

    /// A search of this mode: a word of [`MODES`].
    pub(crate) fn asked(&self, mode: &str, took: Duration) {
        if let Some(at) = MODES.iter().position(|known| *known == mode) {
            self.modes[at].record(took);
        }
    }

    pub(crate) fn wrote(&self, upserted: usize, rejected: usize) {
        self.upserted.fetch_add(upserted as u64, Ordering::Relaxed);
        self.rejected.fetch_add(rejected as u64, Ordering::Relaxed);
    }

    pub(crate) fn deleted(&self, chunks: usize) {
        self.deleted.fetch_add(chunks as u64, Ordering::Relaxed);
    }

    fn tell(&self, out: &mut Text) {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let named = || {
            let names = ROUTES.iter().map(|route| route.name).chain(["none"]);
            names.zip(&self.requests).filter(|(_, requests)| !requests.took.is_empty())
        };
        let name = "nearfield_operations_total";
        out.family(name, "counter", "Requests by operation and result");
        for (kind, requests) in named() {
            for (result, count) in RESULTS.iter().zip(&requests.results) {
                out.sample(name, &[("kind", kind), ("result", result)], get(count));
            }
        }
        let name = "nearfield_operation_seconds";
        out.family(name, "histogram", "Time of requests, from their head to their answer's");
        named().for_each(|(kind, requests)| requests.took.tell(name, ("kind", kind), out));
        let name = "nearfield_search_seconds";
        out.family(name, "histogram", "Time of searches in the engine, by plan");
        let plans = || PLANS.iter().zip(&self.plans).filter(|(_, of)| !of.took.is_empty());
        plans().for_each(|(plan, of)| of.took.tell(name, ("plan", &plan.to_string()), out));
        let name = "nearfield_search_mode_seconds";
        out.family(name, "histogram", "Time of searches in the engine, by what is compared");
        let modes = MODES.iter().zip(&self.modes).filter(|(_, took)| !took.is_empty());
        modes.for_each(|(mode, took)| took.tell(name, ("mode", mode), out));
        let works: [(&str, &str, Count); 3] = [
            ("nearfield_search_visited_total", "Nodes whose lists were read", |of| &of.visited),
            ("nearfield_search_distances_total", "Distances computed over codes", |of| &of.distances),
            ("nearfield_search_reranked_total", "Distances computed over full rows", |of| &of.reranked),
        ];
        for (name, help, work) in works {
            out.family(name, "counter", help);
            plans().for_each(|(plan, of)| out.sample(name, &[("plan", &plan.to_string())], get(work(of))));
        }
        let name = "nearfield_searches_total";
        out.family(name, "counter", "Searches, by where their rows came from");
        for ((_, source), count) in SOURCES.iter().zip(&self.sources) {
            out.sample(name, &[("source", source)], get(count));
        }
        for (name, help, count) in [
            ("nearfield_searches_degraded_total", "Answers that may lack damaged rows", &self.degraded),
            ("nearfield_chunks_upserted_total", "Chunks stored", &self.upserted),
            ("nearfield_chunks_rejected_total", "Chunks refused", &self.rejected),
            ("nearfield_chunks_deleted_total", "Chunks deleted", &self.deleted),
            (
                "nearfield_connections_refused_total",
                "Connections beyond the limit",
                &self.connections_refused,
            ),
        ] {
            out.counter(name, help, get(count));
        }
        out.gauge("nearfield_connections", "Connections that are open", get(&self.connections));
    }
}

/// The whole page.
pub(crate) fn page(app: &App) -> String {
    let mut out = Text::default();
    out.family("nearfield_build_info", "gauge", "1");
    out.sample("nearfield_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    app.metrics.tell(&mut out);
    let (recall, samples) = app.recall.estimate();
    if let Some(recall) = recall {
        out.gauge(
            "nearfield_recall_estimate_ratio",
            "Recall of live searches, the last 1,000 that were sampled",
            recall,
        );
    }
    out.counter("nearfield_recall_samples_total", "Searches that were repeated exactly", samples);
    out.gauge("nearfield_queue_searches", "Searches that wait for a thread", app.searches.waiting());
    out.gauge("nearfield_queue_writes", "Writes that wait for a thread", app.writes.waiting());
    out.gauge("nearfield_jobs_unfinished", "Jobs that wait or run", app.jobs.unfinished());
    collections(app, &mut out);
    store(&app.store.stats(), &mut out);
    process(&mut out);
    app.side.metrics(&mut out);
    out.into_string()
}

fn collections(app: &App, out: &mut Text) {
    let collections = app.store.collections();
    out.gauge("nearfield_collections", "Collections", collections.len());
    let told: Vec<_> =
        collections.iter().take(COLLECTIONS_MAX).map(|c| (c.name().to_owned(), c.stats())).collect();
    out.family("nearfield_rows", "gauge", "Rows by state");
    for (name, stats) in &told {
        for (state, rows) in [
            ("live", stats.rows),
            ("dead", stats.dead),
            ("dirty", stats.dirty),
            ("pending", stats.pending),
            ("missing", stats.missing),
            ("tail", stats.tail),
            ("graves", stats.graves),
        ] {
            out.sample("nearfield_rows", &[("collection", name), ("state", state)], rows);
        }
    }
    let embedding: Vec<_> = collections
        .iter()
        .take(COLLECTIONS_MAX)
        .filter_map(|c| Some((c.name().to_owned(), app.embedding.status(c)?)))
        .collect();
    app.embedding.metrics(&embedding, out);
    out.family("nearfield_memory_bytes", "gauge", "Memory by component");
    for (name, stats) in &told {
        for (component, bytes) in stats.bytes.components() {
            out.sample("nearfield_memory_bytes", &[("collection", name), ("component", component)], bytes);
        }
    }
}

fn store(stats: &StoreStats, out: &mut Text) {
    out.gauge("nearfield_seq", "The last commit", stats.token.seq.0);
    for (name, help, count) in [
        ("nearfield_log_commits_total", "Commits written to the log", stats.log.commits),
        ("nearfield_log_groups_total", "Writes to the log", stats.log.groups),
        ("nearfield_log_syncs_total", "Syncs of the log", stats.log.syncs),
        ("nearfield_log_restarts_total", "New files after a failed sync", stats.log.restarts),
        ("nearfield_log_written_bytes_total", "Bytes written to the log", stats.log.bytes_written),
    ] {
        out.counter(name, help, count);
    }
    out.gauge("nearfield_log_bytes", "Bytes of the log's files", stats.log.bytes);
    out.gauge("nearfield_damaged_files", "Files that were found damaged", stats.damage.len());
    out.gauge("nearfield_lost_commits", "Ranges of commits that are gone", stats.holes.len());
    let name = "nearfield_background_failing";
    out.family(name, "gauge", "1 for background work that failed the last time it was tried");
    for failure in &stats.failures {
        let job = failure.split(':').next().unwrap_or_default();
        out.sample(name, &[("job", job)], 1);
    }
    let name = "nearfield_background_pauses_total";
    out.family(name, "counter", "How often background work held up what writes wait for");
    for (job, times) in &stats.pauses {
        out.sample(name, &[("job", job)], times.count);
    }
    let name = "nearfield_background_pause_seconds";
    out.family(name, "gauge", "How long it did, at most, and in all but one of a hundred cases");
    for (job, times) in &stats.pauses {
        out.sample(name, &[("job", job), ("quantile", "0.99")], times.p99_us as f64 / 1e6);
        out.sample(name, &[("job", job), ("quantile", "1")], times.max_us as f64 / 1e6);
    }
}

/// What the system says of this process; nothing where it does not.
fn process(out: &mut Text) {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // The name, which comes second and in parentheses, may hold spaces.
    let Some((_, rest)) = stat.rsplit_once(')') else { return };
    let fields: Vec<u64> = rest.split_whitespace().skip(1).map(|n| n.parse().unwrap_or(0)).collect();
    let field = |number: usize| fields.get(number - 4).copied().unwrap_or(0);
    let name = "nearfield_page_faults_total";
    out.family(name, "counter", "Page faults of the process; major ones waited for a disk");
    out.sample(name, &[("kind", "minor")], field(10));
    out.sample(name, &[("kind", "major")], field(12));
    out.gauge("nearfield_threads", "Threads of the process", field(20));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    if let Some(kib) = resident.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<u64>().ok())
    {
        out.gauge("nearfield_resident_bytes", "Memory of the process", kib << 10);
    }
}
