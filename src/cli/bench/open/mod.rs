//! `bench open`: how soon a store answers, after a clean close and after a kill, whether it answers right, and what it takes on the
//! disk.

mod args;
mod child;
mod report;
mod round;
mod subject;

pub(super) use args::MadeArgs;
pub(in crate::cli) use args::{ChildArgs, OpenArgs};
pub(super) use child::child;

use super::report::{Machine, json};
use super::scratch::Scratch;
use super::usage;
use crate::cli::progress::Progress;
use crate::cli::{Global, output};
use crate::{Options, Result};
use report::{Data, Disk, Report, Times};
use std::io::Write;
pub(super) use subject::Subject;

/// Runs it, and tells the result to `out`.
pub(super) fn run(args: &OpenArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let progress = Progress::new(global.quiet);
    let given = global.data.as_deref().filter(|data| data.join("IDENT").is_file());
    // A store that is given may be on another disk than this folder, but not in it: it is left as it is.
    let parent = given.and_then(|data| data.parent()).unwrap_or(global.data());
    let parent = if parent.as_os_str().is_empty() { std::path::Path::new(".") } else { parent };
    let scratch = Scratch::inside(parent)?;
    let at = scratch.join("store");
    let options = Options::default().build_threads(args.made.build_threads);
    let subject = match given {
        Some(data) => Subject::taken(data, &at, &options, progress)?,
        None => Subject::made(&args.made, &at, &options, progress)?,
    };
    let mut disk = usage::of(&at)?;
    disk.per(subject.rows);
    let bar = progress.bar("open", 2 * args.rounds);
    let mut clean = Vec::new();
    for _ in 0..args.rounds {
        clean.push(subject.open(&at, &options, args.k, subject.rows)?);
        bar.add(1);
    }
    let mut killed = Vec::new();
    for _ in 0..args.rounds {
        let acknowledged = child::kill(&at, &subject.name, args)?;
        killed.push(subject.open(&at, &options, args.k, subject.rows + acknowledged)?);
        bar.add(1);
    }
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        machine: Machine::here(),
        data: Data {
            source: subject.source.clone(),
            rows: subject.rows,
            dim: subject.dim,
            metric: subject.metric.to_string(),
            tail: args.tail,
            k: args.k,
            rounds: args.rounds,
        },
        clean: Times::of(clean),
        killed: Times::of(killed),
        disk: Disk { ratio: disk.bytes_per_row / subject.ideal.total(), ideal: subject.ideal, usage: disk },
    };
    if global.json { json(&report, out) } else { report.text(out) }.map_err(output)
}
