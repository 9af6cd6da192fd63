//! A server that ends with its parent. The kernel sends the signal, so nothing needs to be left alive to send it.
//!
//! A process asks for that signal itself, before it becomes the server; and the request is forgotten when a process changes
//! its user. So this program is started in between: it takes the server's user, asks, and becomes the server.

use super::account::{self, Account};
use super::{at, unavailable};
use crate::{Error, Result};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to become.
#[derive(clap::Args)]
pub(in crate::cli) struct LaunchArgs {
    /// Whose end is waited for
    #[arg(long)]
    parent: u32,
    /// User and group to run as
    #[arg(long, num_args = 2)]
    account: Option<Vec<u32>>,
    /// The program
    program: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// `program`, run as `account`; it ends with the thread that spawns it.
pub(super) fn command(program: &Path, account: Option<&Account>) -> Result<Command> {
    let this = std::env::current_exe().map_err(at("find the program of", Path::new("nearfield")))?;
    let mut command = Command::new(this);
    account::clean(&mut command);
    command.args(["postgres", "launch", "--parent", &std::process::id().to_string()]);
    if let Some(Account { uid, gid, .. }) = account {
        command.args(["--account", &uid.to_string(), &gid.to_string()]);
    }
    command.arg("--").arg(program);
    Ok(command)
}

/// Becomes the server.
pub(super) fn launch(args: &LaunchArgs) -> Result<()> {
    if let Some([uid, gid]) = args.account.as_deref() {
        let (uid, gid) = (rustix::process::Uid::from_raw(*uid), rustix::process::Gid::from_raw(*gid));
        become_user(uid, gid).map_err(|e| unavailable("the server's user cannot be taken").with_source(e))?;
    }
    end_with(args.parent)?;
    let failure = Command::new(&args.program).args(&args.arguments).exec();
    Err(at("run", &args.program)(failure))
}

#[cfg(target_os = "linux")]
fn become_user(uid: rustix::process::Uid, gid: rustix::process::Gid) -> std::io::Result<()> {
    use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
    // This process has one thread, so what holds for the thread holds for what it becomes.
    set_thread_groups(&[])?;
    set_thread_gid(gid)?;
    Ok(set_thread_uid(uid)?)
}

#[cfg(target_os = "linux")]
fn end_with(parent: u32) -> Result<(), Error> {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    let asked = set_parent_process_death_signal(Some(Signal::QUIT));
    asked.map_err(|e| unavailable("the kernel does not tell of a parent's end").with_source(e))?;
    // It may have ended before it was asked for.
    let is_there = getppid().is_some_and(|pid| u32::try_from(pid.as_raw_nonzero().get()) == Ok(parent));
    if is_there {
        Ok(())
    } else {
        Err(unavailable(format!("process {parent}, which wanted a server, has ended")))
    }
}

/// Elsewhere no kernel sends such a signal, and root is who runs a server of its own.
#[cfg(not(target_os = "linux"))]
fn become_user(_: rustix::process::Uid, _: rustix::process::Gid) -> std::io::Result<()> {
    Err(std::io::Error::other("that takes Linux: call this as an ordinary user"))
}

#[cfg(not(target_os = "linux"))]
fn end_with(_: u32) -> Result<(), Error> {
    Ok(())
}
