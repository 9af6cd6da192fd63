//! `nearfield bench`: how anyone checks our claims.
//!
//! Owns the measurement: what is timed, what is counted, and how it is told. It reaches the engine only through the
//! public API, as a host does, and its oracle (`truth`) shares no code with it.

mod args;
mod curve;
mod data;
mod generate;
mod measure;
mod progress;
mod report;
mod run;
mod tally;
mod truth;

use crate::Result;
use clap::Subcommand;
use std::io::Write;

/// What can be measured.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Build an index over vectors and measure recall against queries per second
    ///
    /// Without --base or --data-dir the vectors are generated from --seed. One line is printed for each --ef; the last
    /// line interpolates the queries per second at recall 0.95, 0.98, 0.99 and 0.995. Compare only figures of one
    /// machine and one hour.
    Search(Box<args::SearchArgs>),
}

/// Runs one measurement.
pub(super) fn run(command: Command, out: &mut dyn Write) -> Result<()> {
    match command {
        Command::Search(args) => run::search(&args, out),
    }
}
