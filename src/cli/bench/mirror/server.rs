//! Which database: one that is given, or a server that ends with this process.

use super::Relay;
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

pub(super) struct Server {
    url: String,
    /// It ends when its stdin does.
    child: Option<Child>,
}

impl Server {
    pub(super) fn of(url: Option<&str>) -> Result<Self> {
        match url {
            Some(url) => Ok(Self { url: url.to_owned(), child: None }),
            None => Self::start(),
        }
    }

    /// The process that keeps it, if it is this program's own.
    pub(super) fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    fn start() -> Result<Self> {
        let failed =
            |e| Error::new(ErrorKind::Unavailable, "cannot start a server of its own").with_source(e);
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["postgres", "run", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let mut line = String::new();
        if let Some(said) = child.stdout.take() {
            BufReader::new(said).read_line(&mut line).map_err(failed)?;
        }
        let url =
            serde_json::from_str::<Value>(&line).ok().and_then(|said| Some(said["url"].as_str()?.to_owned()));
        let none = || {
            Error::new(
                ErrorKind::Unavailable,
                "there is no server to measure with; name one with --database-url",
            )
        };
        Ok(Self { url: url.ok_or_else(none)?, child: Some(child) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            // It cleans up behind itself.
            let _ = child.wait();
        }
    }
}

/// A relay before the server of a URL, and the URL by way of it.
pub(super) fn relayed(url: &str) -> Result<(Relay, String)> {
    let unreadable = || {
        Error::invalid(
            "the database URL names no host and port; write postgres://user:password@host:port/database",
        )
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(unreadable)?;
    let authority = rest.split(['/', '?']).next().ok_or_else(unreadable)?;
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let address = if host.rsplit_once(':').is_some() { host.to_owned() } else { format!("{host}:5432") };
    let relay = Relay::to(&address)
        .map_err(|e| Error::new(ErrorKind::Unavailable, format!("no relay to {address}")).with_source(e))?;
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    let url = format!("{scheme}://{user}{}{}", relay.address, &rest[authority.len()..]);
    Ok((relay, url))
}
