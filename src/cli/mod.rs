//! The command line: parse, call, render.
//!
//! Owns the words of the `nearfield` command, the exit codes, and how an error looks on a terminal. It holds no logic of
//! the engine, and it writes only to the two writers it is handed, so that a test runs it in-process.

mod add;
mod api;
mod bench;
mod config;
mod demo;
mod doctor;
mod embed;
mod embedder;
mod export;
mod import;
mod migrate;
mod postgres;
mod progress;
mod serve;
mod settings;
mod snapshot;
#[cfg(feature = "mirror")]
mod sync;
#[cfg(feature = "mirror")]
mod throwaway;
mod verify;
#[cfg(feature = "watch")]
mod watch;
mod wrap;

use crate::{Error, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};
use settings::{Loaded, Sources};
use std::{
    error::Error as _,
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

const FAILURE: u8 = 1;
const USAGE: u8 = 2;

#[derive(Parser)]
#[command(name = "nearfield", version, about, max_term_width = 80)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 the command line is wrong.")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args)]
struct Global {
    /// Folder of the store [default: index_data]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Everywhere")]
    data: Option<PathBuf>,
    /// Ask a running server instead of a store of this machine: search, get, stats, import, export, sync, verify, snapshot
    /// create, reclaim, migrate
    #[arg(long, value_name = "URL", global = true, help_heading = "Everywhere")]
    url: Option<String>,
    /// File of tokens: `serve` accepts them, all others send the strongest [default: NEARFIELD_TOKENS, NEARFIELD_TOKEN of the
    /// environment]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Everywhere")]
    token_file: Option<PathBuf>,
    /// File of settings [default: nearfield.toml of this folder, if there is one]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Everywhere")]
    config: Option<PathBuf>,
    /// Set one setting, above the file and the environment; may be given several times
    #[arg(long, value_name = "NAME=VALUE", global = true, help_heading = "Everywhere", value_parser = setting)]
    with: Vec<(String, String)>,
    /// Print one JSON document instead of text
    #[arg(long, global = true, help_heading = "Everywhere")]
    json: bool,
    /// Draw no progress bar; there is none either when stderr is not a terminal
    #[arg(long, global = true, help_heading = "Everywhere")]
    quiet: bool,
}

impl Global {
    fn data(&self) -> &Path {
        self.data.as_deref().unwrap_or(Path::new("index_data"))
    }

    /// The settings that hold for this command.
    fn settings(&self) -> Result<Loaded, Error> {
        self.sources().load()
    }

    fn sources(&self) -> Sources {
        let mut sources = Sources::of_process(self.config.clone());
        let flags = self.with.iter().map(|(key, value)| (key.clone(), value.clone(), "--with".to_owned()));
        sources.flags.extend(flags);
        sources
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    parts.ok_or_else(|| "write it like store.flush_ms=50".to_owned())
}

#[derive(Subcommand)]
enum Command {
    /// Show what it does, on a folder of text, in a minute
    ///
    /// Indexes, searches, filters; with a throw-away database it mirrors, kills the database while writing, edits rows by hand,
    /// audits, repairs, and rebuilds the store from nothing. Everything stays in the folder demo inside of --data.
    Demo(demo::Args),
    /// Add files and folders to a collection, and again when they have changed
    ///
    /// Text, Markdown, HTML, source code, PDF. A file is a document; it is cut into chunks, and each gets a vector. A second run
    /// embeds what is new, and nothing else. Nobody else may have the store open.
    #[command(after_help = add::EXIT_CODES)]
    Add(Box<add::Args>),
    /// Search a collection
    Search(Box<api::SearchArgs>),
    /// Look rows up by their ids; ends with 1 if one is missing
    Get(api::GetArgs),
    /// Count rows and bytes
    Stats(api::StatsArgs),
    /// Give the space of deleted rows back now, and wait for it
    Reclaim(api::ReclaimArgs),
    /// Measure the engine on this machine
    #[command(subcommand)]
    Bench(bench::Command),
    /// Serve a store over HTTP, and mirror it to a database
    ///
    /// It ends on SIGTERM and SIGINT: requests that are under way finish first, the store is closed. Tokens are read from
    /// --token-file or from NEARFIELD_TOKENS, lines of a role (read, write, admin) and a token.
    Serve(serve::Args),
    /// Copy a store while it is whole, and make stores from copies
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    /// Take over a file of another store, wholly or not at all
    ///
    /// The file is read row by row into a collection that nobody sees, compared with what was stored, and only then gets the
    /// name, in one commit. Killed anywhere, it has changed nothing, and the same command goes on from where it was. Nobody
    /// else may have the store open.
    ///
    /// With --url the file is read and judged here, and then sent to a server, batch by batch: a new collection goes again if that
    /// fails, one that is appended to keeps what had come; the same command brings the rest.
    ///
    /// Formats: jsonl (also .zst), npy, vecs (.fvecs, .bvecs), csv, hnsw-rs (a dump's two files), faiss (Flat, IDMap,
    /// HNSW,Flat), hnswlib, pickle (vectors.pkl with metadata.json; never run, only read).
    #[command(after_help = import::EXIT_CODES)]
    Import(Box<import::Args>),
    /// Make vectors for chunks that were stored without
    ///
    /// Nobody else may have the store open.
    #[command(after_help = embed::EXIT_CODES)]
    Embed(Box<embed::Args>),
    /// Take a collection to another embedding model, while what is there goes on serving
    ///
    /// estimate says what it costs. fill makes a second collection beside the first, of the same rows and the new model's vectors; killed,
    /// it goes on from where it was. compare asks both the same. switch gives the name to the second in one commit and keeps the first
    /// as NAME.old; undo gives it back; drop ends it. Nobody else may have the store open.
    #[command(after_help = migrate::EXIT_CODES)]
    Migrate(Box<migrate::Args>),
    /// Write a collection into a file that import reads back, bit for bit
    #[command(after_help = export::EXIT_CODES)]
    Export(Box<export::Args>),
    /// Look at a store's files without opening it, and say what is wrong
    Doctor,
    /// Open a store and check every byte of it
    Verify(verify::Args),
    /// Keep a collection equal to a folder, until a signal
    ///
    /// Files that come, change, move and go do the same in the collection; what did not change is not embedded again, not after a
    /// new start either. Nobody else may have the store open.
    #[cfg(feature = "watch")]
    Watch(Box<watch::Args>),
    /// Bring a store and its Postgres database together, and prove it
    ///
    /// Nobody else may have the store open: a host that has it runs the mirror itself, and a server is asked with --url.
    #[cfg(feature = "mirror")]
    #[command(subcommand)]
    Sync(sync::Command),
    /// Tell the settings that hold, where each came from, and what each is for
    Config(config::Args),
    /// Print a script that completes commands and flags in a shell
    ///
    /// For bash: nearfield completions bash > ~/.local/share/bash-completion/completions/nearfield
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Start a throw-away PostgreSQL with pgvector, for development and tests
    #[command(subcommand)]
    Postgres(postgres::Command),
}

impl Command {
    /// Whether it speaks the API, and so to a server as well.
    fn can_ask(&self) -> bool {
        let asks = matches!(self, Self::Search(_) | Self::Get(_) | Self::Stats(_) | Self::Reclaim(_));
        let moves = matches!(
            self,
            Self::Import(_) | Self::Export(_) | Self::Verify(_) | Self::Snapshot(_) | Self::Migrate(_)
        );
        #[cfg(feature = "mirror")]
        let moves = moves || matches!(self, Self::Sync(_));
        asks || moves
    }
}

/// Runs the command line `args`, the program's name first. Results go to `out`, messages to `err`; a progress bar is
/// drawn when the process's stderr is a terminal. The code is 0 for done, 1 for failed, 2 for a wrong command line.
pub fn run<I, T>(args: I, out: &mut dyn Write, err: &mut dyn Write) -> ExitCode
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        // Help and version come this way too, for stdout.
        // Where they cannot be written nobody is left to tell.
        Err(told) if !told.use_stderr() => {
            let _ = write!(out, "{}", told.render());
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            let _ = write!(err, "{}", wrong.render());
            return ExitCode::from(USAGE);
        }
    };
    if cli.global.url.is_some() && !cli.command.can_ask() {
        // Quietly taking the store of this machine would be the worst answer.
        let _ = writeln!(
            err,
            "error: this works on a store of this machine alone, or starts something there: leave --url away"
        );
        return ExitCode::from(USAGE);
    }
    if let (None, Command::Snapshot(command)) = (&cli.global.url, &cli.command)
        && command.lacks_folder()
    {
        let _ = writeln!(err, "error: name a folder for the snapshot: nearfield snapshot create FOLDER");
        return ExitCode::from(USAGE);
    }
    // Where 1 says "damaged", a folder without a store is a wrong command line.
    #[cfg(feature = "mirror")]
    let judges = matches!(cli.command, Command::Doctor | Command::Verify(_) | Command::Sync(_));
    #[cfg(not(feature = "mirror"))]
    let judges = matches!(cli.command, Command::Doctor | Command::Verify(_));
    let done = match cli.command {
        Command::Demo(args) => demo::run(&args, &cli.global, out).map(|()| true),
        Command::Add(args) => add::run(&args, &cli.global, out),
        Command::Search(args) => api::search(&args, &cli.global, out).map(|()| true),
        Command::Get(args) => api::get(&args, &cli.global, out),
        Command::Stats(args) => api::stats(&args, &cli.global, out).map(|()| true),
        Command::Reclaim(args) => api::reclaim(&args, &cli.global, out),
        Command::Bench(command) => bench::run(command, &cli.global, out).map(|()| true),
        Command::Serve(args) => serve::run(&args, &cli.global, out).map(|()| true),
        Command::Snapshot(command) => snapshot::run(command, &cli.global, out).map(|()| true),
        Command::Import(args) => import::run(&args, &cli.global, out).map(|()| true),
        Command::Embed(args) => embed::run(&args, &cli.global, out),
        Command::Migrate(args) => migrate::run(&args, &cli.global, out),
        Command::Export(args) => export::run(&args, &cli.global, out).map(|()| true),
        Command::Doctor => doctor::run(&cli.global, out),
        Command::Verify(args) => verify::run(&args, &cli.global, out),
        #[cfg(feature = "watch")]
        Command::Watch(args) => watch::run(&args, &cli.global, out).map(|()| true),
        #[cfg(feature = "mirror")]
        Command::Sync(command) => sync::run(&command, &cli.global, out),
        Command::Config(args) => config::run(&args, &cli.global, out).map(|()| true),
        Command::Completions { shell } => completions(shell, out).map(|()| true),
        Command::Postgres(command) => postgres::run(command, &cli.global, out),
    };
    match done.and_then(|good| out.flush().map(|()| good).map_err(output)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILURE),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(err, "error: {error}");
            if let Some(remedy) = remedy(error.kind()) {
                let _ = writeln!(err, "  {remedy}");
            }
            ExitCode::from(if judges && error.kind() == ErrorKind::NotFound { USAGE } else { FAILURE })
        }
    }
}

fn completions(shell: clap_complete::Shell, out: &mut dyn Write) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "nearfield", &mut script);
    out.write_all(&script).map_err(output)
}

/// What to do when the message cannot know it.
fn remedy(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Internal => {
            Some("This is a bug in nearfield: please report it with the command that shows it.")
        }
        _ => None,
    }
}

/// Refuses a folder without a store, where opening would make one.
fn expect_store(folder: &Path) -> Result<(), Error> {
    if folder.join("IDENT").is_file() || folder.join("wal").is_dir() {
        return Ok(());
    }
    let message = format!("{} holds no store; name its folder with --data", folder.display());
    Err(Error::new(ErrorKind::NotFound, message))
}

/// A failure to write the result.
fn output(cause: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the output cannot be written").with_source(cause)
}

/// `nearfield ... | head` has all it wants; that is no failure.
fn is_closed_pipe(error: &Error) -> bool {
    let cause = error.source().and_then(|s| s.downcast_ref::<io::Error>());
    cause.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
