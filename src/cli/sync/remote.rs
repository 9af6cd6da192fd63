//! `nearfield sync` of a running server: its own mirror does what is asked, as jobs.

use super::args::{Command, Place, Side};
use super::report;
use crate::cli::Global;
use crate::cli::api::{Way, asked, done, tell};
use crate::cli::progress::{Bar, Progress};
use crate::{AuditReport, Error, ErrorKind, Result, Root};
use serde_json::{Value, json};
use std::io::Write;
use std::time::Instant;

/// Runs one of them. True if both sides are equal, or that was not the question.
pub(super) fn run(command: &Command, global: &Global, out: &mut dyn Write) -> Result<bool> {
    let place = command.place();
    if place.database_url.is_some() || place.schema.is_some() {
        return Err(Error::invalid("a server has its own database; leave --database-url and --schema away"));
    }
    match command {
        Command::Push(_) => moved(global, "push", "synced", "sent", place, out),
        Command::Pull(_) => moved(global, "pull", "pulled", "taken over", place, out),
        Command::Rebuild(_) => moved(global, "rebuild", "pulled", "taken over", place, out),
        Command::Audit(args) => compared(global, &json!({"mode": "audit", "deep": args.deep}), place, out),
        Command::Repair(args) => {
            let (deep, dry_run, trust) = (args.deep, args.dry_run || !args.yes, word(args.trust));
            let body = json!({"mode": "repair", "deep": deep, "dry_run": dry_run, "trust": trust});
            compared(global, &body, place, out)
        }
        Command::Drop(_) => Err(Error::invalid(
            "rows that nobody holds any more are deleted from a store of this machine; leave --url away",
        )),
        Command::Status(_) => {
            let status = asked(global, status)?;
            tell(global, &status, out, report::status)?;
            Ok(!status["database"].is_null())
        }
        Command::Resolve(args) => resolve(global, args.trust, out),
        Command::DeadLetters(_) => {
            let mut told = asked(global, |way| way.get("/v1/admin/dead-letters"))?;
            let letters = told["dead_letters"].take();
            tell(global, &letters, out, report::letters)?;
            Ok(letters.as_array().is_none_or(Vec::is_empty))
        }
    }
}

fn word(side: Side) -> &'static str {
    match side {
        Side::Database => "database",
        Side::Local => "local",
    }
}

fn status(way: &Way) -> Result<Value> {
    Ok(way.get("/v1/admin/status")?["mirror"].take())
}

/// One job for each collection that is named, one for all if none is.
fn jobs(way: &Way, body: &Value, place: &Place, bar: &Bar) -> Result<Vec<Value>> {
    let names = place.collection.iter().map(|name| Some(name.as_str()));
    let names: Vec<Option<&str>> = if names.len() == 0 { vec![None] } else { names.collect() };
    let job = |name: Option<&str>| {
        let mut body = body.clone();
        if let Some(name) = name {
            body["collection"] = name.into();
        }
        done(way, "/v1/admin/sync", &body, bar)
    };
    names.into_iter().map(job).collect()
}

fn moved(
    global: &Global,
    mode: &'static str,
    count: &str,
    verb: &str,
    place: &Place,
    out: &mut dyn Write,
) -> Result<bool> {
    let start = Instant::now();
    let (results, status) = asked(global, |way| {
        let bar = Progress::new(global.quiet).bar(mode, 0);
        // A push sends all there is, whatever is named.
        let all = Place { collection: Vec::new(), ..Place::default() };
        let place = if mode == "rebuild" { place } else { &all };
        Ok((jobs(way, &json!({"mode": mode}), place, &bar)?, status(way)?))
    })?;
    let rows: u64 = results.iter().filter_map(|result| result[count].as_u64()).sum();
    let seconds = start.elapsed().as_secs_f64();
    let told = json!({"rows": rows, "seconds": seconds, "status": status});
    tell(global, &told, out, |told, out| {
        writeln!(out, "{rows} versions {verb} in {seconds:.2} s")?;
        report::troubles(&told["status"], out)
    })?;
    let letters =
        ["dead_letters_out", "dead_letters_in"].map(|name| status[name].as_u64().unwrap_or_default());
    let ignored = status["ignored"].as_object().is_some_and(|ignored| !ignored.is_empty());
    Ok(letters == [0, 0] && !ignored)
}

fn compared(global: &Global, body: &Value, place: &Place, out: &mut dyn Write) -> Result<bool> {
    let results = asked(global, |way| {
        let bar = Progress::new(global.quiet).bar("compare", 0);
        jobs(way, body, place, &bar)
    })?;
    let all = results.iter().flat_map(|result| match result["collections"].as_array() {
        Some(all) => all.as_slice(),
        None => std::slice::from_ref(result),
    });
    let reports: Vec<AuditReport> = all.map(read).collect::<Result<_>>()?;
    let equal = reports.iter().all(AuditReport::is_equal);
    let told = json!({"equal": equal, "collections": serde_json::to_value(&reports).unwrap_or_default()});
    tell(global, &told, out, |_, out| report::audits(&reports, out))?;
    Ok(equal)
}

/// A comparison as the interface tells it. Its lists are cut at some thousand ids.
fn read(told: &Value) -> Result<AuditReport> {
    let odd = || {
        let message =
            "the server compares in a way that this program does not know: take the same version of both";
        Error::new(ErrorKind::Unavailable, message)
    };
    let root = |name: &str, rows: &str| {
        let text = told[name].as_str().filter(|text| text.len() == 32 && text.is_ascii())?;
        let half = |text: &str| u64::from_str_radix(text, 16).ok();
        let (xor, sum) = text.split_at(16);
        Some(Root { rows: told[rows].as_u64()?, xor: half(xor)?, sum: half(sum)? })
    };
    let ids = |name: &str| {
        let ids = told[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        ids.map(crate::ChunkId::from).collect::<Vec<_>>()
    };
    let number = |name: &str| told[name].as_u64().unwrap_or_default() as usize;
    let (local, database) =
        root("local_root", "rows_local").zip(root("database_root", "rows_database")).ok_or_else(odd)?;
    let mut stale = [ids("stale_locally"), ids("stale_remotely")].concat();
    stale.sort();
    let report = AuditReport {
        collection: told["collection"].as_str().ok_or_else(odd)?.to_owned(),
        is_deep: told["deep"] == true,
        local,
        database,
        dirty: number("waiting"),
        missing_locally: ids("missing_locally"),
        missing_remotely: ids("missing_remotely"),
        stale,
        stale_remotely: ids("stale_remotely"),
        hand_edited: ids("hand_edited"),
        decayed: ids("decayed"),
        is_cut: told["truncated"] == true,
        repaired: number("repaired"),
        ..AuditReport::default()
    };
    // What is said must be what was seen.
    if told["equal"].as_bool() == Some(report.is_equal()) { Ok(report) } else { Err(odd()) }
}

fn resolve(global: &Global, trust: Side, out: &mut dyn Write) -> Result<bool> {
    let (is_blocked, status) = asked(global, |way| {
        let before = status(way)?;
        let is_blocked = before["state"].as_str().is_some_and(|state| state.starts_with("blocked"));
        if is_blocked {
            way.post("/v1/admin/resolve", &json!({"trust": word(trust)}))?;
        }
        Ok((is_blocked, status(way)?))
    })?;
    tell(global, &status, out, |status, out| {
        writeln!(out, "{}", if is_blocked { "resolved" } else { "there was nothing to decide" })?;
        report::status(status, out)
    })?;
    Ok(true)
}
