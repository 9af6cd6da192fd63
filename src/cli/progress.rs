//! A bar on stderr while something takes long, and nothing at all when stderr is not a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};

const STYLE: &str = "{msg:>12} {bar:40} {human_pos}/{human_len} {elapsed_precise} (eta {eta})";

/// Makes the bars of one run.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Progress {
    shown: bool,
}

impl Progress {
    pub(in crate::cli) fn new(quiet: bool) -> Self {
        Self { shown: !quiet && io::stderr().is_terminal() }
    }

    /// A bar of `len` steps. It is moved by whoever works, never by a thread of its own that would take time from them.
    pub(in crate::cli) fn bar(self, what: &str, len: usize) -> Bar {
        let target = if self.shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(len as u64), target).with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        Bar(bar)
    }
}

/// A bar that leaves the terminal as it found it.
pub(in crate::cli) struct Bar(ProgressBar);

impl Bar {
    pub(in crate::cli) fn add(&self, steps: usize) {
        self.0.inc(steps as u64);
    }

    #[cfg(feature = "mirror")]
    pub(in crate::cli) fn is_shown(&self) -> bool {
        !self.0.is_hidden()
    }

    /// How far a mirror is: what it fills, or what is left to send.
    #[cfg(feature = "mirror")]
    pub(in crate::cli) fn rows(&self, status: &crate::MirrorStatus) {
        if let Some(fill) = &status.rebuild {
            self.0.set_message(format!("{} MiB", fill.bytes >> 20));
            self.at(fill.rows, fill.of_rows.max(fill.rows));
        } else if let Some(audit) = &status.audit {
            self.at(audit.rows, audit.of_rows);
        } else {
            let left = (status.dirty_rows + status.dirty_deletes) as u64;
            self.at(status.pushed, status.pushed + left);
        }
    }

    /// What it is at.
    pub(in crate::cli) fn says(&self, what: &'static str) {
        self.0.set_message(what);
    }

    /// `done` of `all` steps.
    pub(in crate::cli) fn at(&self, done: u64, all: u64) {
        self.0.set_length(all);
        self.0.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
