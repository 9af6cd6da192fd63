//! What the commands say to people, on 80 columns.

use crate::cli::wrap::wrapped;
use crate::{AuditReport, ChunkId, Root};
use serde_json::Value;
use std::io::{self, Write};

/// Ids shown of one kind; the rest are in the JSON.
const IDS_SHOWN: usize = 20;

pub(super) fn audits(all: &[AuditReport], out: &mut dyn Write) -> io::Result<()> {
    if all.is_empty() {
        return writeln!(out, "there is no collection to compare, neither here nor in the database");
    }
    all.iter().try_for_each(|one| audit(one, out))
}

fn audit(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
    let verdict = match (report.is_equal(), report.drift()) {
        (true, _) => "equal".to_owned(),
        (false, drift) if report.is_cut => format!("{drift} rows differ, and others that are not named"),
        (false, drift) => format!("{drift} rows differ"),
    };
    let depth = if report.is_deep { ", byte for byte" } else { "" };
    writeln!(out, "{}: {verdict}{depth}", report.collection)?;
    root("here", report.local, out)?;
    root("database", report.database, out)?;
    for (what, ids) in [
        ("only in the database", &report.missing_locally),
        ("only here", &report.missing_remotely),
        ("of different versions", &report.stale),
        ("edited by hand", &report.hand_edited),
        ("damaged here", &report.decayed),
    ] {
        named(what, ids, out)?;
    }
    if report.dirty > 0 {
        writeln!(out, "  {} rows wait to be sent and were left out", report.dirty)?;
    }
    if report.repaired > 0 {
        writeln!(out, "  {} rows were put right", report.repaired)?;
    }
    Ok(())
}

fn root(side: &str, root: Root, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "  {side:<8} {:>10} rows  {:016x} {:016x}", root.rows, root.xor, root.sum)
}

fn named(what: &str, ids: &[ChunkId], out: &mut dyn Write) -> io::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = ids.iter().take(IDS_SHOWN).map(ChunkId::as_str).collect();
    let more = if ids.len() > shown.len() { ", ..." } else { "" };
    wrapped("  ", &format!("{} {what}: {}{more}", ids.len(), shown.join(", ")), out)
}

/// A mirror's status, as JSON tells it.
pub(super) fn status(status: &Value, out: &mut dyn Write) -> io::Result<()> {
    let number = |name: &str| status[name].as_u64().unwrap_or_default();
    if let Some(database) = status["database"].as_object() {
        let word = |name: &str| database.get(name).and_then(Value::as_str).unwrap_or_default();
        wrapped("database ", &format!("{} of {}", word("database"), word("server")), out)?;
        let skew = database.get("clock_skew_ms").and_then(Value::as_i64).unwrap_or_default();
        let edits = word("foreign_writes");
        writeln!(out, "         edits by hand are {edits}; its clock less ours: {skew} ms")?;
    } else {
        writeln!(out, "database does not answer")?;
    }
    writeln!(out, "waiting  {} rows, {} deletions", number("dirty_rows"), number("dirty_deletes"))?;
    if let Some(ms) = status["oldest_dirty_ms"].as_u64() {
        writeln!(out, "         the oldest for {:.1} s; this store has their only copy", ms as f64 / 1e3)?;
    }
    troubles(status, out)
}

/// What somebody should look at.
pub(super) fn troubles(status: &Value, out: &mut dyn Write) -> io::Result<()> {
    let number = |name: &str| status[name].as_u64().unwrap_or_default();
    if let Some(reason) = status["reason"].as_str() {
        let state = status["state"].as_str().unwrap_or_default();
        wrapped("trouble  ", &format!("{state}: {reason}"), out)?;
    }
    for (name, why) in status["ignored"].as_object().into_iter().flatten() {
        wrapped("ignored  ", &format!("{name}: {}", why.as_str().unwrap_or_default()), out)?;
    }
    let letters = number("dead_letters_out") + number("dead_letters_in");
    if letters > 0 {
        writeln!(out, "refused  {letters} rows; `nearfield sync dead-letters` names them")?;
    }
    Ok(())
}

/// Dead letters, as JSON tells them.
pub(super) fn letters(letters: &Value, out: &mut dyn Write) -> io::Result<()> {
    let mut is_none = true;
    for letter in letters.as_array().into_iter().flatten() {
        let word = |name: &str| letter[name].as_str().unwrap_or_default();
        let side = if letter["is_outgoing"] == true { "refused by the database" } else { "refused here" };
        let line = format!("{}/{}: {side}: {}", word("collection"), word("id"), word("reason"));
        wrapped("", &line, out)?;
        is_none = false;
    }
    if is_none { writeln!(out, "no row is refused by either side") } else { Ok(()) }
}
