//! `nearfield snapshot`: copies of a store, and stores from copies.

use super::api::{asked, done};
use super::progress::Progress;
use super::{Global, expect_store, output};
use crate::{Error, Result, SnapshotReport, Store};
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What can be done with snapshots.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Copy the store of --data into a new folder
    ///
    /// Nobody else may have the store open: a host that has it calls Store::snapshot, and a server is asked with --url,
    /// which lets writes and searches go on. Files are shared by hard links where both folders are on one disk, so that the snapshot takes next to no
    /// room; no store ever changes a file that is shared.
    Create {
        /// Folder of the snapshot; it must be empty or not there. A server (--url) chooses its name
        to: Option<PathBuf>,
    },
    /// Make the store of --data from a snapshot
    ///
    /// Every byte of the snapshot is verified first, and one that is damaged is refused. The folder of --data must be
    /// empty or not there. The new store has an identity of its own and may live beside the original.
    Restore {
        /// Folder of the snapshot
        from: PathBuf,
    },
}

impl Command {
    /// A server has a folder of its own, a store of this machine needs one.
    pub(super) fn lacks_folder(&self) -> bool {
        matches!(self, Self::Create { to: None })
    }
}

#[derive(Serialize)]
struct Report<'a> {
    snapshot: &'a Path,
    data: &'a Path,
    #[serde(flatten)]
    report: SnapshotReport,
    seconds: f64,
}

/// Runs one of them.
pub(super) fn run(command: Command, global: &Global, out: &mut dyn Write) -> Result<()> {
    if global.url.is_some() {
        return ask(&command, global, out);
    }
    let (progress, data) = (Progress::new(global.quiet), global.data());
    let start = Instant::now();
    let (verb, from, to, report) = match &command {
        Command::Create { to } => {
            let to = to.as_deref().ok_or_else(|| Error::invalid("name a folder for the snapshot"))?;
            expect_store(data)?;
            let bar = progress.bar("snapshot", 2);
            let store = Store::open(data, global.settings()?.settings.store)?;
            bar.add(1);
            ("snapshot of", data, to, store.snapshot(to)?)
        }
        Command::Restore { from } => {
            let bar = progress.bar("verify", 1);
            let report = Store::restore_with(from, data, &|done, all| bar.at(done, all))?;
            ("restored", from.as_path(), data, report)
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    let snapshot = if matches!(command, Command::Create { .. }) { to } else { from };
    if global.json {
        let told = serde_json::to_writer_pretty(&mut *out, &Report { snapshot, data, report, seconds });
        return told.map_err(Into::into).and_then(|()| writeln!(out)).map_err(output);
    }
    let SnapshotReport { token, collections, files, bytes } = report;
    let mib = bytes as f64 / f64::from(1 << 20);
    writeln!(
        out,
        "{verb} {} at {token} in {}: {collections} collections, {files} files, {mib:.1} MiB, {seconds:.2} s",
        from.display(),
        to.display()
    )
    .map_err(output)
}

/// A running server copies its own store, into the folder that it was started with.
fn ask(command: &Command, global: &Global, out: &mut dyn Write) -> Result<()> {
    if !matches!(command, Command::Create { to: None }) {
        return Err(Error::invalid(
            "a server copies its store into a folder of its own, under a name that it tells: snapshot create, and no folder; \
             a store is restored on its own machine",
        ));
    }
    let start = Instant::now();
    let told = asked(global, |way| {
        let bar = Progress::new(global.quiet).bar("snapshot", 1);
        done(way, "/v1/admin/snapshot", &json!({}), &bar)
    })?;
    super::api::tell(global, &told, out, |told, out| {
        let number = |name: &str| told[name].as_u64().unwrap_or_default();
        let mib = number("bytes") as f64 / f64::from(1 << 20);
        let (name, token) = (&told["name"], &told["token"]);
        let [name, token] = [name, token].map(|word| word.as_str().unwrap_or_default());
        let (collections, files) = (number("collections"), number("files"));
        let seconds = start.elapsed().as_secs_f64();
        writeln!(
            out,
            "{name} at {token}: {collections} collections, {files} files, {mib:.1} MiB, {seconds:.2} s"
        )
    })
}
