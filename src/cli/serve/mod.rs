//! `nearfield serve`: a store over HTTP, in the foreground, until a signal.
//!
//! Owns the mapping from flags and environment to settings, who listens to events, and the order in which everything ends: first
//! callers, then the mirror, then the store. Tokens never stand on the command line, where every user of the machine reads them.

mod reload;

use super::settings::{Log, LogFormat, LogLevel, Settings};
use super::{Global, output};
use crate::server::{Server, Tokens};
use crate::{Error, ErrorKind, Result, Store, server};
use clap::Args as Flags;
use reload::{Reloading, Running};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload as reloading;

/// Where tokens may stand, one a line or separated by commas.
const TOKENS: &str = "NEARFIELD_TOKENS";
/// How long the mirror may send what waits, and the store link what waits, each.
const CLOSE: Duration = Duration::from_secs(10);

/// What to serve, and to whom. What is not given here is as the settings have it.
#[derive(Flags)]
pub(super) struct Args {
    /// Address and port [default: 127.0.0.1:6327]; one that others can reach needs tokens
    #[arg(long, value_name = "ADDRESS")]
    bind: Option<SocketAddr>,
    /// postgres://user:password@host:port/database [default: DATABASE_URL of the environment; none: no mirror]
    #[cfg(feature = "mirror")]
    #[arg(long, value_name = "URL", help_heading = "Database")]
    database_url: Option<String>,
    /// Postgres schema of the mirror's tables [default: nearfield]
    #[cfg(feature = "mirror")]
    #[arg(long, value_name = "NAME", help_heading = "Database")]
    schema: Option<String>,
    /// Let the database answer searches of what is being filled
    #[cfg(feature = "mirror")]
    #[arg(long, help_heading = "Database")]
    fallback: bool,
    /// Folder that snapshots are made in, each in one of its own [default: none can be made]
    #[arg(long, value_name = "DIR")]
    snapshots: Option<PathBuf>,
    /// How events are written to stderr [default: human]
    #[arg(long, value_name = "FORMAT", help_heading = "Log", value_parser = ["human", "json"])]
    log_format: Option<String>,
    /// Which events are written [default: info]
    #[arg(long, value_name = "LEVEL", help_heading = "Log", value_parser = ["error", "warn", "info", "debug", "trace"])]
    log_level: Option<String>,
}

impl Args {
    /// What the flags say, as settings.
    fn flags(&self) -> Vec<(String, String, String)> {
        let path = |path: &PathBuf| path.display().to_string();
        let mut said = vec![
            ("server.bind", "--bind", self.bind.map(|bind| bind.to_string())),
            ("server.snapshots", "--snapshots", self.snapshots.as_ref().map(path)),
            ("log.format", "--log-format", self.log_format.clone()),
            ("log.level", "--log-level", self.log_level.clone()),
        ];
        #[cfg(feature = "mirror")]
        said.extend([
            ("mirror.database.url", "--database-url", self.database_url.clone()),
            ("mirror.database.schema", "--schema", self.schema.clone()),
            ("mirror.fallback", "--fallback", self.fallback.then(|| "database".to_owned())),
        ]);
        let said =
            said.into_iter().filter_map(|(key, flag, value)| Some((key.to_owned(), value?, flag.to_owned())));
        said.collect()
    }
}

/// Serves until a signal.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<()> {
    let mut sources = global.sources();
    sources.flags.extend(args.flags());
    let loaded = sources.load()?;
    let log = listen(&loaded.settings.log);
    let options = server_options(&loaded.settings, global.token_file.as_deref())?;
    // Before anything is opened.
    options.check_bind()?;
    let store = Store::open(global.data(), loaded.settings.store.clone())?;
    let mirror = mirror(&loaded.settings, &store)?;
    let server = Server::bind(store.clone(), mirror.clone(), options)?;
    let token_file = global.token_file.clone();
    let watching = Reloading::start(Running { sources, token_file, loaded, server: server.settings(), log })?;
    let url = format!("http://{}", server.addr());
    if global.json {
        writeln!(out, "{}", json!({"url": url, "pid": std::process::id()})).map_err(output)?;
    } else {
        writeln!(out, "listening on {url}").map_err(output)?;
    }
    out.flush().map_err(output)?;
    let runtime = server.runtime()?;
    let served = runtime.block_on(async { server.run(signal()?).await });
    // Whatever hangs there ends with the process.
    runtime.shutdown_background();
    drop(watching);
    let mirrored = end(mirror);
    let closed = store.close(CLOSE);
    served.and(mirrored).and(closed)
}

/// The server's settings, and the tokens of a file or of the environment.
fn server_options(settings: &Settings, token_file: Option<&Path>) -> Result<server::Options> {
    let tokens = match (token_file, std::env::var(TOKENS)) {
        (Some(file), _) => Tokens::read(file)?,
        (None, Ok(text)) => Tokens::parse(&text.replace(',', "\n"))?,
        (None, Err(_)) => Tokens::default(),
    };
    Ok(server::Options { tokens, embedding: settings.providers()?, ..settings.server.clone() })
}

/// A filter of events that can be changed.
struct Reloaded(reloading::Handle<LevelFilter, Registry>);

impl Reloaded {
    fn set(&self, level: LogLevel) {
        // Where somebody else listens there is nothing to change.
        let _ = self.0.modify(|filter| *filter = filter_of(level));
    }
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Sends events to stderr, unless somebody in this process listens already.
fn listen(log: &Log) -> Reloaded {
    let (filter, handle) = reloading::Layer::new(filter_of(log.level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let subscriber: Box<dyn tracing::Subscriber + Send + Sync> = match log.format {
        LogFormat::Human => Box::new(registry.with(lines.with_ansi(is_terminal))),
        LogFormat::Json => Box::new(registry.with(lines.json())),
    };
    let _ = tracing::subscriber::set_global_default(subscriber);
    Reloaded(handle)
}

#[cfg(feature = "mirror")]
fn mirror(settings: &Settings, store: &Store) -> Result<Option<server::Mirror>> {
    if settings.mirror.database.url.is_empty() {
        return Ok(None);
    }
    let options =
        settings.mirror.clone().on_change(|line| tracing::info!(target: "nearfield::mirror", "{line}"));
    crate::Mirror::start(store, options).map(Some)
}

#[cfg(not(feature = "mirror"))]
fn mirror(_settings: &Settings, _store: &Store) -> Result<Option<server::Mirror>> {
    Ok(None)
}

fn end(mirror: Option<server::Mirror>) -> Result<()> {
    #[cfg(feature = "mirror")]
    if let Some(mirror) = mirror {
        return mirror.stop(CLOSE);
    }
    #[cfg(not(feature = "mirror"))]
    drop(mirror);
    Ok(())
}

/// Comes when the process is asked to end.
pub(super) fn signal() -> Result<impl Future<Output = ()>> {
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
