//! `nearfield postgres run`: a server that leaves nothing behind, whatever ends those who asked for it.
//!
//! Two processes. The one that was called passes on what comes from stdin; the *guard* owns the server and its folder, in a
//! process group of its own. When stdin ends, or the first process does, even by SIGKILL, the pipe between them closes: the
//! guard stops the server, removes the folder and ends. Should the guard itself be killed, the kernel stops the server (`launch`), and
//! the next run removes the folder: a guard holds its folder's lock for as long as it lives.

use super::cluster::{Cluster, Leash, Server};
use super::files;
use super::find::Programs;
use super::home::{self, Home};
use super::process::Stop;
use super::{Report, RunArgs, at, tell, unavailable};
use crate::cli::progress::Progress;
use crate::cli::{Global, output};
use crate::{Error, Result};
use serde::Serialize;
use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PREFIX: &str = "run-";

/// The answer to an order.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Stopped,
    Error(String),
}

/// The part of the process that was called. True if the guard came to a good end.
pub(super) fn run(args: &RunArgs, global: &Global, out: &mut dyn Write) -> Result<bool> {
    out.flush().map_err(output)?;
    let this = std::env::current_exe().map_err(at("find the program of", Path::new("nearfield")))?;
    let mut command = Command::new(this);
    command.args(["postgres", "guard"]).args(args.arguments());
    command.args(global.json.then_some("--json")).args(global.quiet.then_some("--quiet"));
    // A terminal's Ctrl-C ends this process alone; the guard hears of it by the pipe and cleans up.
    let guard = command.stdin(Stdio::piped()).process_group(0).spawn();
    let mut guard =
        guard.map_err(|e| unavailable("the guard of the server does not start").with_source(e))?;
    if let Some(mut orders) = guard.stdin.take() {
        // The guard may be gone before stdin ends: then its exit code says why.
        let _ = io::copy(&mut io::stdin().lock(), &mut orders);
    }
    let status = guard.wait().map_err(|e| unavailable("the guard of the server is lost").with_source(e))?;
    Ok(status.success())
}

/// The guard's part.
pub(super) fn guard(args: &RunArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let home = Home::open()?;
    let programs = Programs::find(&home, args.major, Progress::new(global.quiet))?;
    let folder = Folder::make(&home)?;
    let cluster = Cluster::open(files::folder(&folder.path)?, programs)?;
    let mut server = Some(cluster.start(args.port, &args.settings, Leash::Parent)?);
    let mut port = None;
    let served = server.iter().try_for_each(|server| {
        port = Some(server.port);
        cluster.report(server, |report| told(report, global, out))
    });
    // Orders come one by one, so a line that cannot be read is the end of them.
    let orders = io::stdin().lock().lines().map_while(Result::ok);
    let served = served.and_then(|()| {
        for order in orders {
            match obey(&order, &cluster, &mut server, port, args) {
                Ok(Some(server)) => cluster.report(server, |report| told(report, global, out))?,
                Ok(None) => answer(&Answer::Stopped, global, out)?,
                Err(error) => answer(&Answer::Error(error.to_string()), global, out)?,
            }
        }
        Ok(())
    });
    if let Some(server) = server {
        server.stop(Stop::Immediate);
    }
    folder.remove().and(served)
}

/// The server that runs when the order is done.
fn obey<'a>(
    order: &str,
    cluster: &Cluster,
    server: &'a mut Option<Server>,
    port: Option<u16>,
    args: &RunArgs,
) -> Result<Option<&'a Server>> {
    let how = match order.split_whitespace().collect::<Vec<_>>()[..] {
        ["stop"] => Stop::Fast,
        ["stop", "immediate"] => Stop::Immediate,
        ["kill"] => Stop::Kill,
        ["start"] => {
            // One that ended by itself is no server any more.
            if server.as_mut().is_none_or(Server::has_ended) {
                *server = Some(cluster.start(port, &args.settings, Leash::Parent)?);
            }
            return Ok(server.as_ref());
        }
        _ => {
            let message = format!("{order:?} is no order: write stop, stop immediate, kill or start");
            return Err(Error::invalid(message));
        }
    };
    if let Some(server) = server.take() {
        server.stop(how);
    }
    Ok(None)
}

fn told(report: &Report<'_>, global: &Global, out: &mut dyn Write) -> Result<()> {
    if global.json {
        return tell(report, out);
    }
    writeln!(out, "{}", report.url).and_then(|()| out.flush()).map_err(output)
}

fn answer(answer: &Answer, global: &Global, out: &mut dyn Write) -> Result<()> {
    match answer {
        _ if global.json => return tell(answer, out),
        Answer::Stopped => writeln!(out, "stopped"),
        Answer::Error(message) => writeln!(out, "error: {message}"),
    }
    .and_then(|()| out.flush())
    .map_err(output)
}

impl RunArgs {
    fn arguments(&self) -> Vec<String> {
        let mut all: Vec<String> = self.settings.iter().map(super::Setting::argument).collect();
        all.extend(self.port.map(|port| format!("--port={port}")));
        all.extend(self.major.map(|major| format!("--version={major}")));
        all
    }
}

/// The folder of one run. Dropping it removes it, too: a start that fails leaves nothing.
struct Folder {
    path: PathBuf,
    /// Held for as long as the guard lives.
    _lock: std::fs::File,
}

impl Folder {
    fn make(home: &Home) -> Result<Self> {
        // Nobody sweeps between the making of a folder and that of its lock.
        let _shared = home.lock()?;
        sweep(home);
        let path = home.join(&format!("{PREFIX}{}", home::secret()?));
        home::make_dir(&path, 0o755)?;
        let lock = home::lock_file(&path.join("lock"))?;
        lock.try_lock().map_err(|e| unavailable("the lock of a new folder is taken").with_source(e))?;
        Ok(Self { path, _lock: lock })
    }

    fn remove(&self) -> Result<()> {
        home::remove(&self.path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}

/// Removes what guards that were killed have left. One that cannot be removed is left for the next.
fn sweep(home: &Home) {
    for path in home.entries(PREFIX) {
        let is_left = home::lock_file(&path.join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_left {
            let _ = home::remove(&path);
        }
    }
}
