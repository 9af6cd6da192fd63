//! Commands that ask a store: a running server's over HTTP (`--url`), or one of this machine through the same routes without a
//! socket.
//!
//! Owns the two ways and nothing of what is asked: both give the same answers and the same errors, because both are the API.

mod ask;
mod elsewhere;
mod job;
mod way;

pub(super) use ask::{GetArgs, ReclaimArgs, SearchArgs, StatsArgs, get, reclaim, search, stats, tell};
pub(super) use job::done;
pub(super) use way::Way;

use super::{Global, expect_store};
use crate::{Error, ErrorKind, Result, Store, server};

/// Where the token of a server is, unless a file is named.
const TOKEN: &str = "NEARFIELD_TOKEN";

/// Opens the way that the command line names.
fn way(global: &Global) -> Result<Way> {
    match &global.url {
        Some(url) => Way::to(url, token(global)?),
        None => {
            expect_store(global.data())?;
            let settings = global.settings()?.settings;
            let embedding = settings.providers()?;
            let store = Store::open(global.data(), settings.store)?;
            // Who asks one question does not want to pay for what waits.
            let options = server::Options { embedding, backfill: false, ..server::Options::default() };
            let router = server::router(store.clone(), None, options)?;
            Way::inside(router, store)
        }
    }
}

/// Asks, and ends the way whatever came of it: a store that is left open would be in the way of the next command.
pub(super) fn asked<T>(global: &Global, work: impl FnOnce(&Way) -> Result<T>) -> Result<T> {
    let way = way(global)?;
    let done = work(&way);
    let ended = way.end();
    done.and_then(|done| ended.map(|()| done))
}

fn token(global: &Global) -> Result<Option<String>> {
    let Some(file) = &global.token_file else { return Ok(std::env::var(TOKEN).ok()) };
    let text = std::fs::read_to_string(file).map_err(|e| {
        Error::new(ErrorKind::NotFound, format!("the token file {} cannot be read", file.display()))
            .with_source(e)
    })?;
    // The file that a server reads has a role before each token: the strongest can do all that is asked here.
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let strength = |line: &&str| ["read", "write", "admin"].iter().position(|role| line.starts_with(role));
    // Of several that are as strong the first.
    let strongest = lines.rev().max_by_key(strength);
    let token = strongest.and_then(|line| line.split_whitespace().last());
    token
        .map(|token| Some(token.to_owned()))
        .ok_or_else(|| Error::invalid(format!("the token file {} has no token", file.display())))
}
