//! How `bench write` is told.

use super::super::pauses::Summary;
use super::super::report::{Machine, grouped, plural};
use crate::{LogStats, Times};
use serde::Serialize;
use std::io::{self, Write};

/// A run. Units are the last word of a name.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) machine: Machine,
    pub(super) data: Data,
    pub(super) cases: Vec<Measured>,
    /// How long background work held what writes wait for, from the first row on.
    pub(super) pauses: Vec<(&'static str, Times)>,
}

/// What was written to.
#[derive(Serialize)]
pub(super) struct Data {
    pub(super) folder: String,
    pub(super) rows: usize,
    pub(super) dim: usize,
    pub(super) metric: String,
    pub(super) durability: String,
    pub(super) k: usize,
    pub(super) seconds: f64,
}

/// One pair of batch and writers.
#[derive(Serialize)]
pub(super) struct Measured {
    pub(super) batch: usize,
    pub(super) writers: usize,
    pub(super) commits_per_s: f64,
    pub(super) rows_per_s: f64,
    /// Commits for each sync that the bare loop did in the same time.
    pub(super) per_floor: f64,
    pub(super) write: Summary,
    pub(super) search_idle: Summary,
    pub(super) search_during: Summary,
    /// The time that the searching thread was on a core: the rest it waited for one.
    pub(super) search_idle_cpu: Summary,
    pub(super) search_during_cpu: Summary,
    /// The 99th percentile during writes over that of idle searches.
    pub(super) search_p99_ratio: f64,
    pub(super) log: Log,
    pub(super) floor: Floor,
}

/// What the log did meanwhile.
#[derive(Serialize)]
pub(super) struct Log {
    pub(super) commits: u64,
    pub(super) groups: u64,
    pub(super) syncs: u64,
    pub(super) restarts: u64,
    pub(super) bytes_per_commit: f64,
}

/// What the disk does without a store.
#[derive(Serialize)]
pub(super) struct Floor {
    pub(super) syncs_per_s: f64,
    pub(super) sync: Summary,
}

impl Log {
    pub(super) fn between(before: LogStats, after: LogStats) -> Self {
        let commits = after.commits - before.commits;
        Self {
            commits,
            groups: after.groups - before.groups,
            syncs: after.syncs - before.syncs,
            restarts: after.restarts - before.restarts,
            bytes_per_commit: (after.bytes_written - before.bytes_written) as f64 / commits.max(1) as f64,
        }
    }
}

impl Report {
    pub(super) fn head(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { version, machine, data: d, .. } = self;
        writeln!(out, "data     {} x {} before, {}; in {}", grouped(d.rows), d.dim, d.metric, d.folder)?;
        writeln!(out, "machine  {machine}, nearfield {version}")?;
        writeln!(out, "writes   {}, {} s each; one searcher, k {}", d.durability, d.seconds, d.k)?;
        writeln!(out, "floor    4 KiB appended and synced by one thread, in the same folder")
    }
}

impl Measured {
    pub(super) fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let (commits, rows) = (grouped(self.commits_per_s as usize), grouped(self.rows_per_s as usize));
        let (batch, writers) = (grouped(self.batch), plural(self.writers, "writer"));
        writeln!(out, "== batch {batch}, {writers}: {commits} commits/s, {rows} rows/s")?;
        let floor = grouped(self.floor.syncs_per_s as usize);
        writeln!(out, "   {:.2} commits for each of the floor's {floor} syncs/s", self.per_floor)?;
        let Log { commits, groups, syncs, bytes_per_commit, .. } = self.log;
        let numbers = [commits, groups, syncs, bytes_per_commit as u64].map(|n| grouped(n as usize));
        let [commits, groups, syncs, bytes] = numbers;
        writeln!(out, "   log: {commits} commits, {groups} groups, {syncs} syncs, {bytes} bytes a commit")?;
        writeln!(out, "   us       {}", Summary::HEAD)?;
        for (name, calls) in [
            ("floor", &self.floor.sync),
            ("write", &self.write),
            ("idle", &self.search_idle),
            ("during", &self.search_during),
            ("idle cpu", &self.search_idle_cpu),
            ("dur. cpu", &self.search_during_cpu),
        ] {
            writeln!(out, "   {name:<9}{calls}")?;
        }
        writeln!(out, "   search p99 during writes is {:.2} times that of idle", self.search_p99_ratio)?;
        for (name, calls) in [("writes", &self.write), ("searches", &self.search_during)] {
            let longest: Vec<String> =
                calls.longest.iter().map(|p| format!("{:.1} ms at {:.2} s", p.ms, p.at_s)).collect();
            writeln!(out, "   longest {name}: {}", longest.join(", "))?;
        }
        Ok(())
    }
}
