//! `nearfield verify`: opens a store and checks every byte; `--deep` asks every row for itself.

use super::Global;
use super::api::{asked, done};
use super::doctor::tell;
use super::progress::Progress;
use crate::{Diagnosis, Error, ErrorKind, Result, Store};
use serde_json::json;
use std::io::Write;
use std::time::Duration;

/// How long closing may link rows that wait.
const CLOSE: Duration = Duration::from_secs(60);

/// What to check.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Search every stored vector for itself, look every id up, check the graph
    #[arg(long)]
    deep: bool,
    /// Give up damaged rows and lost commits: answers are not degraded any more. lost_rows.jsonl keeps a line for each row
    #[arg(long, requires = "yes")]
    accept_loss: bool,
    /// With --accept-loss: it is meant
    #[arg(long, requires = "accept_loss")]
    yes: bool,
}

/// True if the store is healthy.
pub(super) fn run(args: &Args, global: &Global, out: &mut dyn Write) -> Result<bool> {
    if global.url.is_some() {
        return ask(args, global, out);
    }
    let data = global.data();
    // Opening would make a store where there is none.
    if !data.join("IDENT").exists() {
        let message = format!("there is no store in {}; name its folder with --data", data.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let store = Store::open(data, global.settings()?.settings.store)?;
    let mut diagnosis = store.verify(args.deep)?;
    if args.accept_loss {
        let rows = store.accept_loss()?;
        diagnosis = store.verify(args.deep)?;
        diagnosis.notes.push(format!("{rows} damaged rows were given up; lost_rows.jsonl lists them"));
    }
    tell(&diagnosis, global.json, out)?;
    // A store that is suspected takes no checkpoint: that is in the report already.
    let closed = store.close(CLOSE);
    if diagnosis.healthy { closed.map(|()| true) } else { Ok(false) }
}

/// A running server looks at its own store.
fn ask(args: &Args, global: &Global, out: &mut dyn Write) -> Result<bool> {
    if args.accept_loss {
        return Err(Error::invalid(
            "rows are given up in a store of this machine, with its server stopped; leave --url away",
        ));
    }
    let mut told = asked(global, |way| {
        let bar = Progress::new(global.quiet).bar("verify", 1);
        done(way, "/v1/admin/verify", &json!({"deep": args.deep}), &bar)
    })?;
    // Where it lies is nobody's business but the server's.
    told["place"] = global.url.as_deref().unwrap_or_default().into();
    let diagnosis: Diagnosis = serde_json::from_value(told).map_err(|e| {
        let message = "the server's diagnosis cannot be read: take the same version of both";
        Error::new(ErrorKind::Unavailable, message).with_source(e)
    })?;
    tell(&diagnosis, global.json, out)?;
    Ok(diagnosis.healthy)
}
