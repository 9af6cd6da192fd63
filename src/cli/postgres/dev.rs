//! `nearfield postgres start`, `stop` and `url`: a server that stays, in a folder that remembers it.

use super::cluster::{Cluster, Leash};
use super::files::{self, Files, Postmaster};
use super::find::{Programs, major};
use super::home::{self, Home};
use super::process::{self, Stop};
use super::{FolderArgs, StartArgs, StopArgs, at, tell};
use crate::cli::progress::Progress;
use crate::cli::{Global, output};
use crate::{Error, ErrorKind, Result};
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;

pub(super) fn start(args: &StartArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let home = Home::open()?;
    let path = args.folder.path(&home);
    let was_there = path.exists();
    let files = files::folder(&path)?;
    files.expect_ours()?;
    let lock = lock(&files)?;
    let started = start_in(&files, args, global, &home, out);
    if started.is_err() && !was_there && files.version().is_none() {
        // A start that failed makes no folder. Why it failed is to be told, not that this fails, too.
        let _ = home::remove(&files.0);
    }
    drop(lock);
    started
}

fn start_in(
    files: &Files,
    args: &StartArgs,
    global: &Global,
    home: &Home,
    out: &mut dyn Write,
) -> Result<()> {
    if let Some(running) = running(files) {
        let message = format!(
            "{} has a server already, process {}: {}; `nearfield postgres stop` ends it",
            files.0.display(),
            running.pid,
            files.url(running.port)?
        );
        return Err(Error::new(ErrorKind::AlreadyOpen, message));
    }
    let wanted = wanted_version(files, args.server.major)?;
    let programs = Programs::find(home, wanted, Progress::new(global.quiet))?;
    let cluster = Cluster::open(files.clone(), programs)?;
    let server = cluster.start(args.server.port, &args.server.settings, Leash::None)?;
    cluster.report(&server, |report| match global.json {
        true => tell(report, out),
        false => writeln!(out, "{}", report.url).map_err(output),
    })
}

pub(super) fn stop(args: &StopArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let files = args.folder.existing()?;
    let lock = lock(&files)?;
    let running = running(&files);
    match &running {
        Some(running) => process::stop(running.pid, Stop::Fast),
        None if args.remove => {}
        None => return Err(nothing_runs(&files)),
    }
    if args.remove {
        home::remove(&files.0)?;
    }
    drop(lock);
    if global.json {
        let done = serde_json::json!({ "stopped": running.map(|r| r.pid), "removed": args.remove });
        return tell(&done, out);
    }
    let done = if args.remove { "removed" } else { "stopped" };
    writeln!(out, "{done} {}", files.0.display()).map_err(output)
}

pub(super) fn url(args: &FolderArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let files = args.existing()?;
    let running = running(&files).ok_or_else(|| nothing_runs(&files))?;
    let url = files.url(running.port)?;
    if global.json {
        return tell(&serde_json::json!({ "url": url, "pid": running.pid, "port": running.port }), out);
    }
    writeln!(out, "{url}").map_err(output)
}

impl FolderArgs {
    fn path(&self, home: &Home) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| home.join("dev"))
    }

    /// The folder of a server, running or not.
    fn existing(&self) -> Result<Files> {
        let path = self.path(&Home::open()?);
        let files = fs::canonicalize(&path).map(Files).map_err(|_| {
            let message = format!("{} is not there: `nearfield postgres start` makes it", path.display());
            Error::new(ErrorKind::NotFound, message)
        })?;
        files.expect_ours()?;
        Ok(files)
    }
}

/// Nobody else starts or stops the server while this is held.
fn lock(files: &Files) -> Result<File> {
    let path = files.0.join("lock");
    let file = home::lock_file(&path)?;
    file.lock().map_err(at("lock", &path))?;
    Ok(file)
}

/// The server of this folder, if one runs. A number that is another process's by now answers on no such port.
fn running(files: &Files) -> Option<Postmaster> {
    let written = files.postmaster()?;
    let answers = || TcpStream::connect((Ipv4Addr::LOCALHOST, written.port)).is_ok();
    (process::is_alive(written.pid) && answers()).then_some(written)
}

/// Data are of one version: another program cannot read them.
fn wanted_version(files: &Files, wanted: Option<u32>) -> Result<Option<u32>> {
    let Some(made) = files.version().map(|version| major(&version)) else { return Ok(wanted) };
    if let Some(other) = wanted.filter(|wanted| *wanted != made) {
        let message = format!(
            "the data in {} are of PostgreSQL {made}, and {other} cannot read them: leave --version away, name \
             another folder with --dir, or remove this one with `nearfield postgres stop --remove`",
            files.0.display()
        );
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    Ok(Some(made))
}

fn nothing_runs(files: &Files) -> Error {
    let message = format!("no server runs in {}; `nearfield postgres start` starts one", files.0.display());
    Error::new(ErrorKind::NotFound, message)
}
