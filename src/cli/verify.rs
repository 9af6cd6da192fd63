//! `nearfield verify`: opens a store and checks every byte; `--deep` asks every row for itself.

use super::doctor::tell;
use crate::{Error, ErrorKind, Options, Result, Store};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// How long closing may link rows that wait.
const CLOSE: Duration = Duration::from_secs(60);

/// What to check.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Folder of the store
    #[arg(long, value_name = "DIR", default_value = "index_data")]
    data: PathBuf,
    /// Search every stored vector for itself, look every id up, check the graph
    #[arg(long)]
    deep: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// True if the store is healthy.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<bool> {
    // Opening would make a store where there is none.
    if !args.data.join("IDENT").exists() {
        let message = format!("there is no store in {}; name its folder with --data", args.data.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let store = Store::open(&args.data, Options::default())?;
    let diagnosis = store.verify(args.deep)?;
    tell(&diagnosis, args.json, out)?;
    // A store that is suspected takes no checkpoint: that is in the report already.
    let closed = store.close(CLOSE);
    if diagnosis.healthy { closed.map(|()| true) } else { Ok(false) }
}
