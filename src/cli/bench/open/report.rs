//! How `bench open` is told.

use super::super::report::{Machine, grouped};
use super::super::tally::median;
use super::super::usage::Usage;
use super::round::Round;
use serde::Serialize;
use std::io::{self, Write};

/// A run. Units are the last word of a name.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) machine: Machine,
    pub(super) data: Data,
    pub(super) clean: Times,
    pub(super) killed: Times,
    pub(super) disk: Disk,
}

/// What was opened.
#[derive(Serialize)]
pub(super) struct Data {
    pub(super) source: String,
    pub(super) rows: usize,
    pub(super) dim: usize,
    pub(super) metric: String,
    /// Rows that the child wrote before it was killed.
    pub(super) tail: usize,
    pub(super) k: usize,
    pub(super) rounds: usize,
}

/// Openings of one kind: medians, and the longest. All times count from the start of the opening.
#[derive(Serialize)]
pub(super) struct Times {
    pub(super) open_ms: f64,
    pub(super) open_max_ms: f64,
    pub(super) first_answer_ms: f64,
    /// How long a second opener waited to be refused: the longest.
    pub(super) refused_max_ms: f64,
    pub(super) linked_ms: f64,
    /// Rows that the first search compared one by one.
    pub(super) tail: f64,
    /// Share of the true neighbours in the first answers; the worst round.
    pub(super) recall_min: f64,
}

/// What the closed store takes.
#[derive(Serialize)]
pub(super) struct Disk {
    #[serde(flatten)]
    pub(super) usage: Usage,
    pub(super) ideal: Ideal,
    /// Bytes of a row on the disk over those it cannot do without.
    pub(super) ratio: f64,
}

/// Bytes of a row, without any frame.
#[derive(Clone, Copy, Serialize)]
pub(in crate::cli::bench) struct Ideal {
    pub(super) vector: f64,
    pub(super) code: f64,
    pub(super) links: f64,
    pub(super) payload: f64,
}

impl Ideal {
    pub(in crate::cli::bench) fn total(&self) -> f64 {
        let Self { vector, code, links, payload } = self;
        vector + code + links + payload
    }
}

impl Times {
    pub(super) fn of(rounds: Vec<Round>) -> Self {
        let of = |pick: fn(&Round) -> f64| rounds.iter().map(pick).collect::<Vec<f64>>();
        Self {
            open_ms: median(of(|r| r.open_ms)),
            open_max_ms: of(|r| r.open_ms).into_iter().fold(0.0, f64::max),
            refused_max_ms: of(|r| r.refused_ms).into_iter().fold(0.0, f64::max),
            first_answer_ms: median(of(|r| r.first_answer_ms)),
            linked_ms: median(of(|r| r.linked_ms)),
            tail: median(of(|r| r.tail as f64)),
            recall_min: of(|r| r.recall).into_iter().fold(1.0, f64::min),
        }
    }

    fn text(&self, name: &str, out: &mut dyn Write) -> io::Result<()> {
        let Self { open_ms, open_max_ms, first_answer_ms, refused_max_ms, linked_ms, tail, recall_min } =
            self;
        write!(
            out,
            "   {name:<8}{open_ms:>9.2}{open_max_ms:>9.2}{first_answer_ms:>14.2}{refused_max_ms:>9.2}"
        )?;
        writeln!(out, "{linked_ms:>11.1}{:>10}{recall_min:>9.4}", grouped(*tail as usize))
    }
}

impl Report {
    pub(super) fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { version, machine, data: d, disk, .. } = self;
        writeln!(out, "data     {} x {}, {}; {}", grouped(d.rows), d.dim, d.metric, d.source)?;
        writeln!(out, "machine  {machine}, nearfield {version}")?;
        let tail = grouped(d.tail);
        writeln!(
            out,
            "rounds   {} of each; {tail} rows written before each kill; page cache warm",
            d.rounds
        )?;
        writeln!(out, "== opening, in ms from its start (medians; recall@{}: the worst)", d.k)?;
        writeln!(out, "   after        open      max  first answer  refused     linked      tail   recall")?;
        self.clean.text("a close", out)?;
        self.killed.text("a kill", out)?;
        writeln!(out, "== disk after a close: {:.2} times what the rows cannot do without", disk.ratio)?;
        writeln!(out, "   {}", disk.usage)?;
        let Ideal { vector, code, links, payload } = disk.ideal;
        let total = disk.ideal.total();
        writeln!(
            out,
            "   needed {total:.1} (vector {vector:.0}, code {code:.0}, links {links:.1}, payload {payload:.1})"
        )
    }
}
