//! `nearfield serve`: a store over HTTP, in the foreground, until a signal.
//!
//! Owns the mapping from flags and environment to settings, who listens to events, and the order in which everything ends: first
//! callers, then the mirror, then the store. Tokens never stand on the command line, where every user of the machine reads them.

use super::{Global, output};
use crate::server::{Server, Tokens, runtime};
use crate::{Error, ErrorKind, Options, Result, Store, server};
use clap::{Args as Flags, ValueEnum};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;

/// Where tokens may stand, one a line or separated by commas.
const TOKENS: &str = "NEARFIELD_TOKENS";
/// How long the mirror may send what waits, and the store link what waits, each.
const CLOSE: Duration = Duration::from_secs(10);

/// What to serve, and to whom.
#[derive(Flags)]
pub(super) struct Args {
    /// Address and port; one that others can reach needs tokens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6327")]
    bind: SocketAddr,
    /// File with lines of a role and a token [default: NEARFIELD_TOKENS of the environment]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// postgres://user:password@host:port/database [default: DATABASE_URL of the environment; none: no mirror]
    #[cfg(feature = "mirror")]
    #[arg(long, value_name = "URL", help_heading = "Database")]
    database_url: Option<String>,
    /// Postgres schema of the mirror's tables
    #[cfg(feature = "mirror")]
    #[arg(long, value_name = "NAME", help_heading = "Database", default_value = "nearfield")]
    schema: String,
    /// Let the database answer searches of what is being filled
    #[cfg(feature = "mirror")]
    #[arg(long, help_heading = "Database")]
    fallback: bool,
    /// Folder that snapshots are made in, each in one of its own [default: none can be made]
    #[arg(long, value_name = "DIR")]
    snapshots: Option<PathBuf>,
    /// How events are written to stderr
    #[arg(long, value_name = "FORMAT", default_value = "human", help_heading = "Log")]
    log_format: Format,
    /// Which events are written: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = "Log")]
    log_level: LevelFilter,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// One JSON document a line
    Json,
}

/// Serves until a signal.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<()> {
    listen(args);
    let options = options(args)?;
    // Before anything is opened.
    options.check_bind()?;
    let io_threads = options.io_threads;
    let store = Store::open(global.data(), Options::default())?;
    let mirror = mirror(args, &store)?;
    let server = Server::bind(store.clone(), mirror.clone(), options)?;
    let url = format!("http://{}", server.addr());
    if global.json {
        writeln!(out, "{}", json!({"url": url, "pid": std::process::id()})).map_err(output)?;
    } else {
        writeln!(out, "listening on {url}").map_err(output)?;
    }
    out.flush().map_err(output)?;
    let runtime = runtime(io_threads)?;
    let served = runtime.block_on(async { server.run(signal()?).await });
    // Whatever hangs there ends with the process.
    runtime.shutdown_background();
    let mirrored = end(mirror);
    let closed = store.close(CLOSE);
    served.and(mirrored).and(closed)
}

fn options(args: &Args) -> Result<server::Options> {
    let tokens = match (&args.token_file, std::env::var(TOKENS)) {
        (Some(file), _) => Tokens::read(file)?,
        (None, Ok(text)) => Tokens::parse(&text.replace(',', "\n"))?,
        (None, Err(_)) => Tokens::default(),
    };
    let (bind, snapshots) = (args.bind, args.snapshots.clone());
    Ok(server::Options { bind, tokens, snapshots, ..server::Options::default() })
}

/// Sends events to stderr, unless somebody in this process listens already.
fn listen(args: &Args) {
    let lines = tracing_subscriber::fmt().with_max_level(args.log_level).with_writer(std::io::stderr);
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let subscriber: Box<dyn tracing::Subscriber + Send + Sync> = match args.log_format {
        Format::Human => Box::new(lines.with_ansi(is_terminal).finish()),
        Format::Json => Box::new(lines.json().finish()),
    };
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[cfg(feature = "mirror")]
fn mirror(args: &Args, store: &Store) -> Result<Option<server::Mirror>> {
    use crate::{DatabaseOptions, Fallback, Mirror, MirrorOptions};
    let url = args.database_url.clone().or_else(|| std::env::var("DATABASE_URL").ok());
    let Some(url) = url else { return Ok(None) };
    let database = DatabaseOptions { url, schema: args.schema.clone(), ..DatabaseOptions::default() };
    let fallback = if args.fallback { Fallback::Database } else { Fallback::None };
    let options = MirrorOptions::default().database(database).fallback(fallback);
    let options = options.on_change(|line| tracing::info!(target: "nearfield::mirror", "{line}"));
    Mirror::start(store, options).map(Some)
}

#[cfg(not(feature = "mirror"))]
fn mirror(_args: &Args, _store: &Store) -> Result<Option<server::Mirror>> {
    Ok(None)
}

fn end(mirror: Option<server::Mirror>) -> Result<()> {
    #[cfg(feature = "mirror")]
    if let Some(mirror) = mirror {
        return mirror.stop(CLOSE);
    }
    #[cfg(not(feature = "mirror"))]
    let _ = mirror;
    Ok(())
}

/// Comes when the process is asked to end.
fn signal() -> Result<impl Future<Output = ()>> {
    let cannot = |e| Error::new(ErrorKind::Unavailable, "signals cannot be waited for").with_source(e);
    #[cfg(unix)]
    {
        use std::task::Poll;
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut int = signal(SignalKind::interrupt()).map_err(cannot)?;
        Ok(async move {
            std::future::poll_fn(|cx| match (term.poll_recv(cx), int.poll_recv(cx)) {
                (Poll::Pending, Poll::Pending) => Poll::Pending,
                _ => Poll::Ready(()),
            })
            .await;
        })
    }
    #[cfg(not(unix))]
    {
        let waited = tokio::signal::ctrl_c();
        Ok(async move {
            let _ = waited.await.map_err(cannot);
        })
    }
}
