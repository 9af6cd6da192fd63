//! `bench serve`: what HTTP costs beside the library's own call, in one process and by turns.
//!
//! The client runs on the same cores as the server: what it takes is part of what is told, so the figures are upper limits of the
//! server's own cost. That of the server alone, from a request's head to its answer, is told beside them, from its own counters.

mod peer;

use super::args::from_1_to;
use super::data::Matrix;
use super::generate::{Mixture, Recipe};
use super::report::{Machine, grouped, json};
use super::scratch::Scratch;
use super::tally::percentile;
use crate::cli::progress::Progress;
use crate::cli::{Global, output};
use crate::limits::DIM_MAX;
use crate::server::{self, Running, Server};
use crate::{Chunk, Collection, Error, ErrorKind, Metric, Options, Result, Schema, Store};
use clap::Args;
use peer::Peer;
use serde::Serialize;
use std::io::{self, Write};
use std::time::{Duration, Instant};

const CLUSTERS: usize = 200;
const QUERIES: usize = 1_000;
const FILL_BATCH: usize = 4_096;
const THREADS: usize = 2;

/// What to serve, and how much.
#[derive(Args)]
pub(in crate::cli) struct ServeArgs {
    /// Generated vectors
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = from_1_to(u32::MAX as usize))]
    rows: usize,
    /// Their dimensions
    #[arg(long, value_name = "N", default_value_t = 384, value_parser = from_1_to(DIM_MAX))]
    dim: usize,
    /// Seed of the generated vectors
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Hits of a search
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = from_1_to(1_000))]
    k: usize,
    /// Width of the beam
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = from_1_to(4_096))]
    ef: usize,
    /// Peers that search at once, for the throughput
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = from_1_to(256))]
    connections: usize,
    /// Threads that serve sockets
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = from_1_to(256))]
    io_threads: usize,
    /// Seconds of each measurement, of which there are two rounds
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = from_1_to(600))]
    seconds: usize,
    /// Rows of the import; 0 for none
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    import: usize,
}

#[derive(Serialize)]
struct Report {
    version: &'static str,
    machine: Machine,
    rows: usize,
    dim: usize,
    k: usize,
    ef: usize,
    library: Timed,
    http: Timed,
    /// The same with vectors as base64.
    http_base64: Timed,
    /// Of the server's own counters: from a request's head to its answer, less the time in the engine.
    server_overhead_us: f64,
    connections: usize,
    library_qps: f64,
    http_qps: f64,
    library_per_http: f64,
    import: Option<Import>,
}

/// One caller.
#[derive(Clone, Copy, Serialize)]
struct Timed {
    p50_us: f64,
    p99_us: f64,
    qps: f64,
}

#[derive(Clone, Copy, Serialize)]
struct Import {
    rows: usize,
    rows_per_s: f64,
    /// The same rows by the library, in batches of as many.
    library_rows_per_s: f64,
    bytes: usize,
    /// Most memory of the process beyond what it had before.
    peak_bytes: u64,
    /// Memory of the store's own, of what came.
    store_bytes: u64,
}

/// Runs it, and tells the result to `out`.
pub(super) fn run(args: &ServeArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let progress = Progress::new(global.quiet);
    let mixture = Mixture::new(Recipe { seed: args.seed, dim: args.dim, clusters: CLUSTERS });
    let (base, queries) = (mixture.base(args.rows, THREADS), mixture.queries(QUERIES, THREADS));
    let store = Store::memory_with(Options::default().build_threads(THREADS))?;
    let docs = store.create_collection("bench", Schema::new(args.dim, Metric::Cosine))?;
    let bar = progress.bar("fill", args.rows);
    fill(&docs, &base, |rows| bar.add(rows))?;
    drop(bar);
    let server = start(&store, args.io_threads)?;
    let bed = Bed { args, docs: &docs, queries: &queries, server: &server };
    let (mut library, mut http, mut http_base64) = (Vec::new(), Vec::new(), Vec::new());
    let mut server_overhead_us = 0.0;
    let bar = progress.bar("measure", 2);
    for _ in 0..2 {
        library.extend(bed.library(1)?);
        let before = bed.counters()?;
        http.extend(bed.http(1, false)?);
        server_overhead_us = bed.counters()?.overhead_us(&before);
        http_base64.extend(bed.http(1, true)?);
        bar.add(1);
    }
    drop(bar);
    let seconds = args.seconds as f64;
    let library_qps = bed.library(args.connections)?.len() as f64 / seconds;
    let http_qps = bed.http(args.connections, false)?.len() as f64 / seconds;
    drop(server);
    let import = if args.import == 0 { None } else { Some(import(args, &base, global)?) };
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::here(),
        rows: args.rows,
        dim: args.dim,
        k: args.k,
        ef: args.ef,
        library: timed(library, seconds),
        http: timed(http, seconds),
        http_base64: timed(http_base64, seconds),
        server_overhead_us,
        connections: args.connections,
        library_qps,
        http_qps,
        library_per_http: library_qps / http_qps.max(f64::MIN_POSITIVE),
        import,
    };
    if global.json { json(&report, out) } else { report.text(out) }.map_err(output)
}

fn fill(docs: &Collection, base: &Matrix, told: impl Fn(usize)) -> Result<()> {
    for first in (0..base.rows()).step_by(FILL_BATCH) {
        let batch = first..(first + FILL_BATCH).min(base.rows());
        told(batch.len());
        docs.upsert(batch.map(|row| Chunk::new(row.to_string()).vector(base.row(row).to_vec())))?;
    }
    Ok(())
}

fn start(store: &Store, io_threads: usize) -> Result<Running> {
    let options = server::Options { io_threads, recall_share: 0.0, ..server::Options::default() };
    let options = server::Options { bind: ([127, 0, 0, 1], 0).into(), ..options };
    Server::bind(store.clone(), None, options)?.start()
}

/// Of two rounds.
fn timed(mut ns: Vec<u64>, seconds: f64) -> Timed {
    ns.sort_unstable();
    let us = |share| percentile(&ns, share) as f64 / 1e3;
    Timed { p50_us: us(0.5), p99_us: us(0.99), qps: ns.len() as f64 / (2.0 * seconds) }
}

struct Bed<'a> {
    args: &'a ServeArgs,
    docs: &'a Collection,
    queries: &'a Matrix,
    server: &'a Running,
}

/// Of the server: calls, and seconds in calls and in the engine.
struct Counters {
    calls: f64,
    seconds: f64,
    engine_seconds: f64,
}

impl Counters {
    fn overhead_us(&self, before: &Self) -> f64 {
        let in_calls = self.seconds - before.seconds - (self.engine_seconds - before.engine_seconds);
        in_calls / (self.calls - before.calls).max(1.0) * 1e6
    }
}

impl Bed<'_> {
    /// Nanoseconds of each search by `threads` callers at once.
    fn library(&self, threads: usize) -> Result<Vec<u64>> {
        self.callers(threads, || {
            let (queries, mut at) = (self.queries, 0);
            Ok(move || {
                let query = queries.row(at % queries.rows());
                at += 1;
                self.docs.search(query).k(self.args.k).ef(self.args.ef).run().map(drop)
            })
        })
    }

    fn http(&self, connections: usize, base64: bool) -> Result<Vec<u64>> {
        self.callers(connections, || {
            let queries = self.queries;
            let mut peer = Peer::connect(self.server.addr())?;
            let request = |row| peer::search("bench", queries.row(row), self.args.k, self.args.ef, base64);
            let requests: Vec<Vec<u8>> = (0..queries.rows()).map(request).collect();
            let mut at = 0;
            Ok(move || {
                peer.call(&requests[at % requests.len()])?;
                at += 1;
                Ok(())
            })
        })
    }

    fn callers<C: FnMut() -> Result<()>>(
        &self,
        callers: usize,
        make: impl Fn() -> Result<C> + Sync,
    ) -> Result<Vec<u64>> {
        let time = Duration::from_secs(self.args.seconds as u64);
        let caller = || {
            let mut call = make()?;
            (0..QUERIES / 10).try_for_each(|_| call())?;
            let mut taken = Vec::new();
            let until = Instant::now() + time;
            let mut start = Instant::now();
            while start < until {
                call()?;
                let end = Instant::now();
                taken.push(end.duration_since(start).as_nanos() as u64);
                start = end;
            }
            Ok(taken)
        };
        let all: Vec<Result<Vec<u64>>> = std::thread::scope(|scope| {
            let spawned: Vec<_> = (0..callers).map(|_| scope.spawn(caller)).collect();
            let lost = |_| Err(Error::new(ErrorKind::Internal, "a caller panicked"));
            spawned.into_iter().map(|caller| caller.join().unwrap_or_else(lost)).collect()
        });
        Ok(all.into_iter().collect::<Result<Vec<_>>>()?.concat())
    }

    fn counters(&self) -> Result<Counters> {
        let mut peer = Peer::connect(self.server.addr())?;
        let page = peer.call(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let page = String::from_utf8_lossy(&page);
        let sum = |start: &str| -> f64 {
            let values = page.lines().filter(|line| line.starts_with(start));
            values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
        };
        Ok(Counters {
            calls: sum("nearfield_operation_seconds_count{kind=\"search\""),
            seconds: sum("nearfield_operation_seconds_sum{kind=\"search\""),
            engine_seconds: sum("nearfield_search_seconds_sum"),
        })
    }
}

/// Rows by the stream into a store on the disk, and the same by the library.
fn import(args: &ServeArgs, base: &Matrix, global: &Global) -> Result<Import> {
    let scratch = Scratch::inside(global.data())?;
    let rows = args.import;
    let open = |name: &str| -> Result<(Store, Collection)> {
        let store = Store::open(scratch.join(name), Options::default())?;
        let docs = store.create_collection("bench", Schema::new(args.dim, Metric::Cosine))?;
        Ok((store, docs))
    };
    let (store, docs) = open("library")?;
    let start = Instant::now();
    for first in (0..rows).step_by(1_000) {
        let batch = first..(first + 1_000).min(rows);
        docs.upsert(
            batch.map(|row| Chunk::new(row.to_string()).vector(base.row(row % base.rows()).to_vec())),
        )?;
    }
    let library_rows_per_s = rows as f64 / start.elapsed().as_secs_f64();
    drop((store, docs));
    let (store, docs) = open("http")?;
    let server = start_of(&store, args)?;
    let before = memory(true);
    let start = Instant::now();
    let bytes = Peer::connect(server.addr())?.import("bench", rows, base)?;
    let rows_per_s = rows as f64 / start.elapsed().as_secs_f64();
    let peak_bytes = memory(false).saturating_sub(before);
    let found = docs.count(None)?;
    if found != rows {
        return Err(Error::new(ErrorKind::Internal, format!("{found} of {rows} rows came")));
    }
    let store_bytes = docs.stats().bytes.total() as u64;
    Ok(Import { rows, rows_per_s, library_rows_per_s, bytes, peak_bytes, store_bytes })
}

fn start_of(store: &Store, args: &ServeArgs) -> Result<Running> {
    start(store, args.io_threads)
}

/// Memory of the process now, from where on the most is counted; or the most since then. 0 where nobody says.
fn memory(begins: bool) -> u64 {
    if begins {
        // Where it is not allowed, the most of all times is told.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let key = if begins { "VmRSS:" } else { "VmHWM:" };
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) << 10
}

impl Report {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { version, machine, rows, dim, k, ef, .. } = self;
        writeln!(out, "data     {} x {dim}, k {k}, ef {ef}", grouped(*rows))?;
        writeln!(out, "machine  {machine}, nearfield {version}")?;
        for (name, t) in [("library", self.library), ("http", self.http), ("base64", self.http_base64)] {
            let qps = grouped(t.qps as usize);
            writeln!(out, "{name:8} p50 {:.0} us, p99 {:.0} us, {qps}/s by one caller", t.p50_us, t.p99_us)?;
        }
        let beyond = self.http.p50_us - self.library.p50_us;
        writeln!(
            out,
            "overhead {beyond:.0} us with the client, {:.0} us in the server",
            self.server_overhead_us
        )?;
        let (library, http) = (grouped(self.library_qps as usize), grouped(self.http_qps as usize));
        let (n, ratio) = (self.connections, self.library_per_http);
        writeln!(out, "{n} at once: library {library}/s, http {http}/s: {ratio:.2} times")?;
        let Some(import) = &self.import else { return Ok(()) };
        let (rate, own) = (grouped(import.rows_per_s as usize), grouped(import.library_rows_per_s as usize));
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        writeln!(
            out,
            "import   {} rows, {:.0} MiB of lines: {rate} rows/s; library {own}",
            grouped(import.rows),
            mib(import.bytes as u64)
        )?;
        writeln!(
            out,
            "memory   {:.0} MiB more at most, {:.0} MiB of it the store's",
            mib(import.peak_bytes),
            mib(import.store_bytes)
        )
    }
}
