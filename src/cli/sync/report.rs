//! What the commands say to people, on 80 columns.

use crate::cli::doctor::wrapped;
use crate::{AuditReport, ChunkId, DeadLetter, MirrorStatus, Root};
use std::io::{self, Write};

/// Ids shown of one kind; the rest are in the JSON.
const IDS_SHOWN: usize = 20;

pub(super) fn audit(report: &AuditReport, out: &mut dyn Write) -> io::Result<()> {
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

pub(super) fn status(status: &MirrorStatus, out: &mut dyn Write) -> io::Result<()> {
    if let Some(database) = &status.database {
        wrapped("database ", &format!("{} of {}", database.database, database.server), out)?;
        let skew = database.clock_skew_ms;
        let edits = database.foreign_writes;
        writeln!(out, "         edits by hand are {edits}; its clock less ours: {skew} ms")?;
    } else {
        writeln!(out, "database does not answer")?;
    }
    writeln!(out, "waiting  {} rows, {} deletions", status.dirty_rows, status.dirty_deletes)?;
    if let Some(ms) = status.oldest_dirty_ms {
        writeln!(out, "         the oldest for {:.1} s; this store has their only copy", ms as f64 / 1e3)?;
    }
    troubles(status, out)
}

/// What somebody should look at.
pub(super) fn troubles(status: &MirrorStatus, out: &mut dyn Write) -> io::Result<()> {
    if let Some(reason) = &status.reason {
        wrapped("trouble  ", &format!("{}: {reason}", status.state), out)?;
    }
    for (name, why) in &status.ignored {
        wrapped("ignored  ", &format!("{name}: {why}"), out)?;
    }
    let letters = status.dead_letters_out + status.dead_letters_in;
    if letters > 0 {
        writeln!(out, "refused  {letters} rows; `nearfield sync dead-letters` names them")?;
    }
    Ok(())
}

pub(super) fn letters(letters: &[DeadLetter], out: &mut dyn Write) -> io::Result<()> {
    if letters.is_empty() {
        return writeln!(out, "no row is refused by either side");
    }
    letters.iter().try_for_each(|letter| {
        let side = if letter.is_outgoing { "refused by the database" } else { "refused here" };
        wrapped("", &format!("{}/{}: {side}: {}", letter.collection, letter.id, letter.reason), out)
    })
}
