//! The `nearfield` command.

use std::{io, process::ExitCode};

fn main() -> ExitCode {
    // Stderr stays unlocked: the threads of a benchmark draw their progress on it.
    nearfield::cli::run(std::env::args_os(), &mut io::stdout().lock(), &mut io::stderr())
}
