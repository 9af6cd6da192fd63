//! `nearfield doctor`: what is wrong with a store, for people and for scripts. The report's words are the library's.

use super::wrap::wrapped;
use super::{Global, output};
use crate::{Diagnosis, Error, ErrorKind, Finding, Result};
use std::io::{self, Write};

/// Ids shown of one finding; the rest are in the JSON.
const IDS_SHOWN: usize = 8;

/// True if the store is healthy.
pub(super) fn run(global: &Global, out: &mut dyn Write) -> Result<bool> {
    let diagnosis = crate::doctor(global.data())?;
    tell(&diagnosis, global.json, out)?;
    Ok(diagnosis.healthy)
}

pub(super) fn tell(diagnosis: &Diagnosis, json: bool, out: &mut dyn Write) -> Result<()> {
    if json {
        let text = serde_json::to_string_pretty(diagnosis)
            .map_err(|e| Error::new(ErrorKind::Internal, "the report is no JSON").with_source(e))?;
        return writeln!(out, "{text}").map_err(output);
    }
    print(diagnosis, out).map_err(output)
}

fn print(d: &Diagnosis, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}: {}", d.place, if d.healthy { "healthy" } else { "damaged" })?;
    let number = |n: Option<u64>| n.map_or("none".to_owned(), |n| n.to_string());
    writeln!(
        out,
        "  manifest {}, commit {}, {} rows; {} files, {} bytes read",
        number(d.manifest),
        number(d.seq),
        d.rows,
        d.files,
        d.bytes
    )?;
    d.findings.iter().try_for_each(|finding| print_finding(finding, out))?;
    d.notes.iter().try_for_each(|note| wrapped("note: ", note, out))
}

fn print_finding(f: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let at = f.offset.map_or(String::new(), |at| format!(" at byte {at}"));
    writeln!(out, "\n{}{at}", if f.file.is_empty() { "store" } else { &f.file })?;
    wrapped("  what: ", &f.what, out)?;
    if f.lost_rows > 0 {
        let mut lost = format!("{} rows", f.lost_rows);
        if !f.lost_ids.is_empty() {
            let shown: Vec<&str> = f.lost_ids.iter().take(IDS_SHOWN).map(String::as_str).collect();
            let more = if f.lost_rows > shown.len() { ", ..." } else { "" };
            lost = format!("{lost}: {}{more}", shown.join(", "));
        }
        wrapped("  lost: ", &lost, out)?;
    }
    wrapped("  do:   ", &f.remedy, out)
}
