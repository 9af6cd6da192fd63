//! What the steps of a migration say, as text and as JSON.

use crate::cli::import::json;
use crate::cli::output;
use crate::server::{Estimated, MigrateResult, WouldDrop};
use crate::{
    Comparison, Differences, Dropped, MigrationEstimate, MigrationState, MigrationStatus, ParkedRow, Result,
    SideComparison, Switched, Undone,
};
use std::io::{self, Write};

/// Rows that are told one by one on a terminal.
const TOLD: usize = 20;

pub(super) fn tell(result: &MigrateResult, is_json: bool, out: &mut dyn Write) -> Result<()> {
    if is_json {
        return json(result, out);
    }
    text(result, out).map_err(output)
}

fn text(result: &MigrateResult, out: &mut dyn Write) -> io::Result<()> {
    match result {
        MigrateResult::Estimate(Estimated { model, dim, estimate }) => estimated(model, *dim, estimate, out),
        MigrateResult::Filled(status) => filled(status, out),
        MigrateResult::Compared(comparison) => compared(comparison, out),
        MigrateResult::Switched(switched) => self::switched(switched, out),
        MigrateResult::Differences(differences) => differ(differences, out),
        MigrateResult::Undone(Undone { name, next, lacks }) => {
            writeln!(out, "{name} is what it was before the switch; the other one is {next}")?;
            differ(lacks, out)
        }
        MigrateResult::WouldDrop(WouldDrop { name, differences: None }) => writeln!(out, "{name} would go"),
        MigrateResult::WouldDrop(WouldDrop { name, differences: Some(lacks) }) => {
            writeln!(out, "{name} would go, and with it {} rows without a text", lacks.without_text)?;
            differ(lacks, out)
        }
        MigrateResult::Dropped(Dropped { name, rows, in_database }) => {
            writeln!(out, "{name} is dropped, {rows} rows")?;
            let Some(there) = in_database else { return Ok(()) };
            writeln!(
                out,
                "  the database keeps it as {there}: nearfield sync drop --collection {there} --yes"
            )
        }
    }
}

fn estimated(model: &str, dim: usize, estimate: &MigrationEstimate, out: &mut dyn Write) -> io::Result<()> {
    let MigrationEstimate { rows, texts, filled, tokens, without_text, .. } = estimate;
    writeln!(out, "{model}, {dim} numbers: {texts} texts of {rows} rows to embed, about {tokens} tokens")?;
    if *filled > 0 {
        writeln!(out, "  {filled} rows have their vector already")?;
    }
    if let Some(price) = estimate.price {
        writeln!(out, "  price {price:.2}")?;
    }
    if let Some(seconds) = estimate.seconds {
        writeln!(out, "  {seconds:.0} s at that rate")?;
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (disk, memory) = (mib(estimate.disk_bytes), mib(estimate.memory_bytes));
    writeln!(
        out,
        "  {disk:.1} MiB on the disk, as much again in the log on the way; {memory:.1} MiB of memory"
    )?;
    ids(*without_text, "have no text and get no vector", &estimate.without_text_ids, out)
}

fn filled(status: &MigrationStatus, out: &mut dyn Write) -> io::Result<()> {
    let MigrationStatus { next, rows, filled, coverage, embedded, tokens, renewed, removed, .. } = status;
    writeln!(out, "{next}: {filled} of {rows} rows have their vector, {:.1} %", coverage * 100.0)?;
    writeln!(out, "  {embedded} embedded, about {tokens} tokens; {renewed} renewed, {removed} removed")?;
    match status.state {
        MigrationState::Spent => writeln!(out, "  --tokens-max is used up")?,
        MigrationState::Behind => {
            writeln!(
                out,
                "  rows come as fast as they are embedded: the same again goes on, while less is written"
            )?;
        }
        MigrationState::Stopped => writeln!(out, "  it was stopped")?,
        MigrationState::Working | MigrationState::Done => {}
    }
    gaps(status, out)
}

fn gaps(status: &MigrationStatus, out: &mut dyn Write) -> io::Result<()> {
    ids(status.without_text, "have no text and get no vector", &status.without_text_ids, out)?;
    for ParkedRow { id, why } in status.refused_rows.iter().take(TOLD) {
        writeln!(out, "  {id} was refused: {why}")?;
    }
    let rest = status.refused.saturating_sub(TOLD.min(status.refused_rows.len()));
    if rest > 0 { writeln!(out, "  {rest} more were refused") } else { Ok(()) }
}

fn ids(rows: usize, what: &str, ids: &[String], out: &mut dyn Write) -> io::Result<()> {
    if rows == 0 {
        return Ok(());
    }
    let named: Vec<&str> = ids.iter().take(TOLD).map(String::as_str).collect();
    let more = if rows > named.len() { ", .." } else { "" };
    writeln!(out, "  {rows} rows {what}: {}{more}", named.join(", "))
}

fn compared(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let Comparison { queries, k, overlap, before, after } = comparison;
    writeln!(out, "{queries} queries, {k} neighbours each: {:.1} % are the same", overlap * 100.0)?;
    for side in [before, after] {
        let SideComparison { collection, found, found_first, search_p50_us } = side;
        write!(out, "  {collection}: search p50 {search_p50_us:.0} us")?;
        if let (Some(found), Some(first)) = (found, found_first) {
            let (found, first) = (found * 100.0, first * 100.0);
            write!(out, ", {found:.1} % find the row that they are of, {first:.1} % first")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn switched(switched: &Switched, out: &mut dyn Write) -> io::Result<()> {
    let Switched { name, next, old, in_database, status, held_us } = switched;
    writeln!(out, "{name} is what {next} was, {} rows with a vector; what it was is {old}", status.filled)?;
    writeln!(out, "  writes waited {:.1} ms", *held_us as f64 / 1e3)?;
    if let Some(there) = in_database {
        writeln!(out, "  the mirror's database goes on calling it {there}")?;
    }
    gaps(status, out)
}

fn differ(lacks: &Differences, out: &mut dyn Write) -> io::Result<()> {
    let Differences { changed, changed_ids, deleted, deleted_ids, .. } = lacks;
    ids(*changed, "came or changed since the switch", changed_ids, out)?;
    ids(*deleted, "went since the switch", deleted_ids, out)
}
