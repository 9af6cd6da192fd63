//! Which database: one that is given, or a server that ends with this process.

use super::Relay;
use crate::cli::throwaway;
use crate::{Error, ErrorKind, Result};

/// The server that is measured.
pub(super) enum Server {
    Given(String),
    Own(throwaway::Server),
}

impl Server {
    pub(super) fn of(url: Option<&str>) -> Result<Self> {
        match url {
            Some(url) => Ok(Self::Given(url.to_owned())),
            None => throwaway::Server::start().map(Self::Own),
        }
    }

    /// The process that keeps it, if it is this program's own.
    pub(super) fn process(&self) -> Option<u32> {
        match self {
            Self::Given(_) => None,
            Self::Own(server) => Some(server.process()),
        }
    }

    pub(super) fn url(&self) -> &str {
        match self {
            Self::Given(url) => url,
            Self::Own(server) => server.url(),
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
