//! How `bench mirror` is told.

use super::super::pauses::Summary;
use super::super::report::{Machine, grouped};
use super::states::{Ratios, State};
use serde::Serialize;
use std::io::{self, Write};

/// A run. Units are the last word of a name.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) machine: Machine,
    pub(super) source: String,
    pub(super) rows: usize,
    pub(super) dim: usize,
    pub(super) metric: String,
    pub(super) pushed: Pushed,
    pub(super) rebuilt: Rebuilt,
    pub(super) audited: Audited,
    pub(super) rounds: usize,
    pub(super) states: Vec<State>,
}

#[derive(Serialize)]
pub(super) struct Pushed {
    pub(super) rows_per_s: f64,
    /// The same rows by COPY FROM STDIN into a table of the same shape.
    pub(super) copy_in_rows_per_s: f64,
    pub(super) per_copy_in: f64,
    pub(super) wire_bytes_per_row: f64,
}

#[derive(Serialize)]
pub(super) struct Rebuilt {
    pub(super) rows_per_s: f64,
    /// COPY TO STDOUT alone.
    pub(super) copy_out_rows_per_s: f64,
    /// Writing and linking the same rows alone, without a database.
    pub(super) build_rows_per_s: f64,
    /// The time that it took to both of these together.
    pub(super) per_both: f64,
}

/// Of equal sides.
#[derive(Serialize)]
pub(super) struct Audited {
    pub(super) seconds: f64,
    pub(super) wire_bytes: u64,
    pub(super) deep_seconds: f64,
}

impl Report {
    pub(super) fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { version, machine, source, dim, metric, .. } = self;
        writeln!(out, "data     {} x {dim}, {metric}; {source}", grouped(self.rows))?;
        writeln!(out, "machine  {machine}, nearfield {version}")?;
        let rate = |rows_per_s: f64| grouped(rows_per_s as usize);
        let Pushed { rows_per_s, copy_in_rows_per_s, per_copy_in, wire_bytes_per_row } = self.pushed;
        let (pushed, floor) = (rate(rows_per_s), rate(copy_in_rows_per_s));
        writeln!(out, "== push     {pushed} rows/s; COPY alone {floor}: {per_copy_in:.2} of it")?;
        writeln!(out, "            {wire_bytes_per_row:.0} bytes a row on the wire")?;
        let Rebuilt { rows_per_s, copy_out_rows_per_s, build_rows_per_s, per_both } = self.rebuilt;
        let (rebuilt, read, built) = (rate(rows_per_s), rate(copy_out_rows_per_s), rate(build_rows_per_s));
        writeln!(out, "== rebuild  {rebuilt} rows/s; COPY alone {read}, building alone {built}")?;
        writeln!(out, "            {per_both:.2} times as long as both one after the other")?;
        let Audited { seconds, wire_bytes, deep_seconds } = self.audited;
        let bytes = grouped(wire_bytes as usize);
        writeln!(out, "== audit    {:.1} ms, {bytes} bytes; deep {deep_seconds:.2} s", seconds * 1e3)?;
        writeln!(out, "   us      {}", Summary::HEAD)?;
        for State { mirror, write, search, .. } in &self.states {
            writeln!(out, "   mirror {mirror}")?;
            writeln!(out, "   write   {write}")?;
            writeln!(out, "   search  {search}")?;
        }
        writeln!(out, "   / off (medians of {} rounds)     write p50   p99  search p50   p99", self.rounds)?;
        for State { mirror, ratios, mirror_ms_per_s, server_ms_per_s, .. } in &self.states {
            let Some(Ratios { write_p50, write_p99, search_p50, search_p99 }) = ratios else { continue };
            write!(out, "   {mirror:<12}                    {write_p50:>9.2} {write_p99:>5.2}")?;
            writeln!(out, "   {search_p50:>9.2} {search_p99:>5.2}")?;
            if let (Some(ours), Some(theirs)) = (mirror_ms_per_s, server_ms_per_s) {
                writeln!(out, "   {:<12} ms of a core a second: mirror {ours:.0}, server {theirs:.0}", "")?;
            }
        }
        Ok(())
    }
}
