//! `nearfield sync`: a store that no process has open, and its database; or a running server and its own.
//!
//! Invariants: nothing happens but what the command says (the mirror is a manual one, but for `resolve`, whose decision must be
//! carried out); the password is never told, because the mirror tells none.

mod args;
mod remote;
mod report;

pub(super) use args::Command;

use super::progress::Progress;
use super::settings::Settings;
use super::{Global, expect_store, output};
use crate::{
    AuditReport, Error, ErrorKind, Mirror, MirrorOptions, MirrorState, MirrorStatus, Result, Store, Trust,
};
use args::{DropArgs, Place};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;
use std::time::{Duration, Instant};

/// Between two looks at how far the mirror's thread is.
const LOOK: Duration = Duration::from_millis(100);
/// How long the end of a run may take, at most.
const CLOSE: Duration = Duration::from_secs(30);
/// How long `resolve` waits for a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs one of them. True if both sides are equal, or that was not the question.
pub(super) fn run(command: &Command, global: &Global, out: &mut dyn Write) -> Result<bool> {
    if global.url.is_some() {
        return remote::run(command, global, out);
    }
    let place = command.place();
    if !matches!(command, Command::Pull(_) | Command::Rebuild(_)) {
        expect_store(global.data())?;
    }
    let Settings { store, mirror, .. } = global.settings()?.settings;
    let options = options(place, mirror)?.manual(!matches!(command, Command::Resolve(_)));
    let store = Store::open(global.data(), store)?;
    let mirror = Mirror::start(&store, options)?;
    let run = Run { store, mirror, progress: Progress::new(global.quiet), is_json: global.json };
    let done = match command {
        Command::Push(_) => run.push(out),
        Command::Pull(_) => run.pull(out),
        Command::Audit(args) => run.audits(place, args.deep, out),
        Command::Repair(args) => run.repairs(args, out),
        Command::Rebuild(_) => run.rebuild(place, out),
        Command::Drop(args) => run.drop_there(args, out),
        Command::Status(_) => run.status(out),
        Command::Resolve(args) => run.resolve(args.trust.into(), out),
        Command::DeadLetters(_) => run.dead_letters(out),
    };
    // A checkpoint remembers what the database has: the next run need not send it again.
    let closed = run.mirror.stop(CLOSE).and_then(|()| run.store.close(CLOSE));
    done.and_then(|is_equal| closed.map(|()| is_equal))
}

/// The mirror's settings, with what the command line says of the database.
fn options(place: &Place, mut options: MirrorOptions) -> Result<MirrorOptions> {
    if let Some(url) = &place.database_url {
        options.database.url.clone_from(url);
    }
    if let Some(schema) = &place.schema {
        options.database.schema.clone_from(schema);
    }
    if !place.collection.is_empty() {
        options.collections.clone_from(&place.collection);
    }
    if options.database.url.is_empty() {
        let none = "no database is named; give --database-url, or set DATABASE_URL";
        return Err(Error::new(ErrorKind::NotFound, none));
    }
    Ok(options)
}

struct Run {
    store: Store,
    mirror: Mirror,
    progress: Progress,
    is_json: bool,
}

#[derive(Serialize)]
struct Moved {
    rows: u64,
    seconds: f64,
    status: MirrorStatus,
}

#[derive(Serialize)]
struct Dropped {
    collection: String,
    rows: u64,
}

#[derive(Serialize)]
struct Compared {
    equal: bool,
    collections: Vec<AuditReport>,
}

impl Run {
    fn push(&self, out: &mut dyn Write) -> Result<bool> {
        let start = Instant::now();
        let rows = self.watch("push", Mirror::push_now)? as u64;
        self.moved("sent", rows, start, out)
    }

    fn pull(&self, out: &mut dyn Write) -> Result<bool> {
        let start = Instant::now();
        self.watch("pull", Mirror::pull_now)?;
        self.moved("taken over", self.mirror.status().pulled, start, out)
    }

    fn rebuild(&self, place: &Place, out: &mut dyn Write) -> Result<bool> {
        let start = Instant::now();
        self.mirror.connect()?;
        for name in self.names(place) {
            self.watch("rebuild", |mirror| mirror.rebuild(&name))?;
        }
        self.moved("taken over", self.mirror.status().pulled, start, out)
    }

    fn drop_there(&self, args: &DropArgs, out: &mut dyn Write) -> Result<bool> {
        let DropArgs { place, dry_run, .. } = args;
        if place.collection.is_empty() {
            let message = "no collection is named; give --collection beside --yes or --dry-run: its rows in the database are deleted";
            return Err(Error::new(ErrorKind::NotFound, message));
        }
        let drop = |name: &String| {
            let rows = self.watch("drop", |mirror| mirror.drop_in_database(name, *dry_run))?;
            Ok(Dropped { collection: name.clone(), rows })
        };
        let dropped: Vec<Dropped> = place.collection.iter().map(drop).collect::<Result<_>>()?;
        self.tell(&dropped, out, |out| {
            let done = if *dry_run { "would be deleted" } else { "deleted" };
            dropped.iter().try_for_each(|Dropped { collection, rows }| {
                writeln!(out, "{collection}: {rows} rows {done} in the database")
            })
        })?;
        Ok(true)
    }

    fn audits(&self, place: &Place, is_deep: bool, out: &mut dyn Write) -> Result<bool> {
        self.mirror.connect()?;
        let audit = |name: String| self.watch("audit", |mirror| mirror.audit(&name, is_deep));
        self.compared(self.names(place).into_iter().map(audit).collect::<Result<_>>()?, out)
    }

    fn repairs(&self, args: &args::RepairArgs, out: &mut dyn Write) -> Result<bool> {
        self.mirror.connect()?;
        let repair = |name: String| {
            self.watch("repair", |mirror| {
                if args.deep {
                    // A repair puts right what the audit before it has found.
                    mirror.audit(&name, true)?;
                }
                mirror.repair(&name, args.trust.into(), args.dry_run || !args.yes)
            })
        };
        self.compared(self.names(&args.place).into_iter().map(repair).collect::<Result<_>>()?, out)
    }

    fn status(&self, out: &mut dyn Write) -> Result<bool> {
        // Why nobody answers stands in the status.
        let _ = self.mirror.connect();
        let status = self.mirror.status();
        let is_well = status.database.is_some();
        self.tell(&status, out, |out| report::status(&json(&status), out))?;
        Ok(is_well)
    }

    fn resolve(&self, trust: Trust, out: &mut dyn Write) -> Result<bool> {
        let start = Instant::now();
        let bar = self.progress.bar("resolve", 0);
        let mut is_told = false;
        loop {
            let status = self.mirror.status();
            bar.rows(&status);
            match status.state {
                MirrorState::Blocked(_) => {
                    self.mirror.resolve(trust)?;
                    is_told = true;
                }
                MirrorState::InSync if status.dirty_rows + status.dirty_deletes == 0 => break,
                MirrorState::SchemaMismatch => return Err(unresolved(&status)),
                _ if status.database.is_none() && start.elapsed() > PATIENCE => {
                    return Err(unresolved(&status));
                }
                _ => std::thread::sleep(LOOK),
            }
        }
        drop(bar);
        let status = self.mirror.status();
        self.tell(&status, out, |out| {
            writeln!(out, "{}", if is_told { "resolved" } else { "there was nothing to decide" })?;
            report::status(&json(&status), out)
        })?;
        Ok(true)
    }

    fn dead_letters(&self, out: &mut dyn Write) -> Result<bool> {
        self.watch("push", Mirror::push_now)?;
        self.watch("pull", Mirror::pull_now)?;
        let letters = self.mirror.dead_letters()?;
        self.tell(&letters, out, |out| report::letters(&json(&letters), out))?;
        Ok(letters.is_empty())
    }

    /// The collections that are meant, once it is known which there are.
    fn names(&self, place: &Place) -> Vec<String> {
        if !place.collection.is_empty() {
            return place.collection.clone();
        }
        let ignored = self.mirror.status().ignored;
        let all = self.store.collections().into_iter().map(|collection| collection.name().to_owned());
        all.filter(|name| !ignored.contains_key(name)).collect()
    }

    /// Does something that takes long, and shows how far it is.
    fn watch<T: Send>(&self, what: &str, work: impl FnOnce(&Mirror) -> Result<T> + Send) -> Result<T> {
        let bar = self.progress.bar(what, 0);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| work(&self.mirror));
            while !worker.is_finished() {
                bar.rows(&self.mirror.status());
                std::thread::park_timeout(if bar.is_shown() { LOOK } else { Duration::from_millis(5) });
            }
            worker.join().map_err(|_| Error::new(ErrorKind::Internal, "the mirror's call panicked"))?
        })
    }

    fn moved(&self, verb: &str, rows: u64, start: Instant, out: &mut dyn Write) -> Result<bool> {
        let status = self.mirror.status();
        let seconds = start.elapsed().as_secs_f64();
        let moved = Moved { rows, seconds, status };
        self.tell(&moved, out, |out| {
            writeln!(out, "{rows} versions {verb} in {seconds:.2} s")?;
            report::troubles(&json(&moved.status), out)
        })?;
        let MirrorStatus { dead_letters_out, dead_letters_in, ignored, .. } = &moved.status;
        Ok(*dead_letters_out + *dead_letters_in + ignored.len() == 0)
    }

    fn compared(&self, collections: Vec<AuditReport>, out: &mut dyn Write) -> Result<bool> {
        let equal = collections.iter().all(AuditReport::is_equal);
        let compared = Compared { equal, collections };
        self.tell(&compared, out, |out| report::audits(&compared.collections, out))?;
        Ok(equal)
    }

    fn tell(
        &self,
        json: &impl Serialize,
        out: &mut dyn Write,
        text: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<()> {
        if !self.is_json {
            return text(out).map_err(output);
        }
        let told = serde_json::to_writer_pretty(&mut *out, json).map_err(std::io::Error::from);
        told.and_then(|()| writeln!(out)).map_err(output)
    }
}

fn json(told: &impl Serialize) -> Value {
    serde_json::to_value(told).unwrap_or_default()
}

fn unresolved(status: &MirrorStatus) -> Error {
    let why = status.reason.as_deref().unwrap_or("the database does not answer");
    Error::new(ErrorKind::Unavailable, format!("{}: {why}", status.state))
}
