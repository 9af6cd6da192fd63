//! How the demonstration is told: each step as it is done, on 80 columns, or all of them as JSON at the end.

use super::super::wrap::wrapped;
use crate::cli::output;
use crate::{Response, Result};
use serde::Serialize;
use std::io::Write;
use std::time::Instant;

/// Letters of a line of a hit: it is cut, not wrapped.
const SHOWN: usize = 72;

/// A step that was done.
#[derive(Serialize)]
struct Step {
    name: &'static str,
    took_ms: f64,
    lines: Vec<String>,
}

/// Tells steps to whoever listens.
pub(super) struct Teller<'a> {
    out: &'a mut dyn Write,
    is_json: bool,
    steps: Vec<Step>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(out: &'a mut dyn Write, is_json: bool) -> Self {
        Self { out, is_json, steps: Vec::new() }
    }

    /// A line between steps, for people alone.
    pub(super) fn remark(&mut self, text: &str) -> Result<()> {
        if self.is_json {
            return Ok(());
        }
        let gap = if text.starts_with('\n') { "\n" } else { "" };
        let told = write!(self.out, "{gap}").and_then(|()| wrapped("", text, self.out));
        told.and_then(|()| self.out.flush()).map_err(output)
    }

    /// What a step has done since `from`: the first line says it, the others show it.
    pub(super) fn step(&mut self, name: &'static str, from: Instant, lines: Vec<String>) -> Result<()> {
        let took_ms = from.elapsed().as_secs_f64() * 1e3;
        if !self.is_json {
            let number = self.steps.len() + 1;
            let took =
                if took_ms < 10.0 { format!("{took_ms:.2} ms") } else { format!("{:.2} s", took_ms / 1e3) };
            writeln!(self.out, "\n{number:>2}  {name:<60} {took:>12}").map_err(output)?;
            for line in &lines {
                wrapped("    ", line, self.out).map_err(output)?;
            }
            self.out.flush().map_err(output)?;
        }
        self.steps.push(Step { name, took_ms, lines });
        Ok(())
    }

    pub(super) fn end(self) -> Result<()> {
        if !self.is_json {
            return Ok(());
        }
        let told = serde_json::to_writer_pretty(&mut *self.out, &self.steps).map_err(std::io::Error::from);
        told.and_then(|()| writeln!(self.out)).map_err(output)
    }
}

/// One line for each hit.
pub(super) fn hits(found: &Response) -> Vec<String> {
    let line = |hit: &crate::Hit| {
        let text = hit.text.as_deref().unwrap_or_default();
        let text: String =
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        format!("{:.2}  {}  {text}", hit.score, hit.id)
    };
    found.hits.iter().map(line).collect()
}
