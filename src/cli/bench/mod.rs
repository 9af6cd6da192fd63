//! `nearfield bench`: how anyone checks our claims.
//!
//! Owns the measurement: what is timed, what is counted, and how it is told. It reaches the engine only through the
//! public API, as a host does, and its oracle (`truth`) shares no code with it.

mod args;
mod curve;
mod data;
mod generate;
mod jobs;
mod measure;
#[cfg(feature = "mirror")]
mod mirror;
mod open;
mod pauses;
mod reclaim;
mod report;
mod run;
mod scratch;
mod searches;
mod serve;
mod tally;
#[cfg(feature = "text")]
mod text;
mod truth;
mod usage;
mod write;

use super::Global;
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
    /// Measure durable writes, searches beside them, and the bare disk under them
    ///
    /// It works in a folder of its own inside of --data, on the disk that is to be measured, and removes it. Before each
    /// pair of --batch and --writers the same folder takes 4 KiB appended and synced in a bare loop: compare a figure
    /// with that loop, not with another machine. With --data-set it imports a folder of vectors, texts and metadata
    /// instead, and builds the same index in memory by turns.
    Write(Box<write::WriteArgs>),
    /// Measure how long a store takes to open, after a clean close and after a kill
    ///
    /// It generates a store inside of --data and removes it; or, if --data is a store, works on a snapshot of it and
    /// leaves it as it is. The kill is real: this program runs itself as a child that writes, and kills it with SIGKILL.
    /// The files are in the page cache.
    Open(Box<open::OpenArgs>),
    /// Measure what a mirror costs, beside what its database does by itself
    ///
    /// Rows pushed beside the same rows by COPY into the same table, rows rebuilt beside COPY out and beside building the
    /// graph alone, an audit of equal sides, and writes and searches while the mirror is off, healthy, hung, refused and
    /// catching up. The database should be an empty one; without --database-url a throw-away server is started, which
    /// does not wait for its disk.
    #[cfg(feature = "mirror")]
    Mirror(Box<mirror::MirrorArgs>),
    /// Make every background job happen beside a thread that searches, and measure what both hold up
    ///
    /// Of the searches: how long they took while each job was the one that went on. Of the jobs: how long each held what writes
    /// wait for. The store is made inside of --data and removed.
    Pauses(Box<jobs::PausesArgs>),
    /// Delete most rows of a store, and measure what comes back in memory and on the disk
    ///
    /// The store is made inside of --data and removed. Deleted rows are spread evenly, so that no block is empty by itself.
    Reclaim(Box<reclaim::ReclaimArgs>),
    /// Measure what HTTP costs beside the library's own call
    ///
    /// One kept-alive connection, many at once, and an import by the stream, each beside the same calls of the library in this
    /// process. The client is here, too: it takes its part of the cores.
    Serve(Box<serve::ServeArgs>),
    /// Measure searches by words, by vectors and by both, over documents with titles
    ///
    /// The queries are titles with their vectors. Told are the time of a search, how many of the nearest rows it found, and how many
    /// of the documents that bear the query's title.
    #[cfg(feature = "text")]
    Text(Box<text::TextArgs>),
    /// Writes rows and waits to be killed
    #[command(hide = true)]
    OpenChild(open::ChildArgs),
}

/// Runs one measurement.
pub(super) fn run(command: Command, global: &Global, out: &mut dyn Write) -> Result<()> {
    match command {
        Command::Search(args) => run::search(&args, global, out),
        Command::Write(args) => write::run(&args, global, out),
        Command::Open(args) => open::run(&args, global, out),
        #[cfg(feature = "mirror")]
        Command::Mirror(args) => mirror::run(&args, global, out),
        Command::Pauses(args) => jobs::run(&args, global, out),
        Command::Reclaim(args) => reclaim::run(&args, global, out),
        Command::Serve(args) => serve::run(&args, global, out),
        #[cfg(feature = "text")]
        Command::Text(args) => text::run(&args, global, out),
        Command::OpenChild(args) => open::child(&args, global, out),
    }
}
