//! Processes by their number: how one ends, and whether it is still there.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::time::{Duration, Instant};

/// How often is looked whether something has happened.
const POLL: Duration = Duration::from_millis(5);
/// How long a server may take to end before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Clients are thrown out, and the state is written.
    Fast,
    /// At once: the next start recovers from the log.
    Immediate,
    /// As `kill -9` does it.
    Kill,
}

/// Stops a server and waits until it has ended. One that was paused goes on, to end; one that does not end in time is killed.
pub(super) fn stop(pid: u32, how: Stop) {
    let first = match how {
        Stop::Fast => Signal::INT,
        Stop::Immediate => Signal::QUIT,
        Stop::Kill => Signal::KILL,
    };
    signal(pid, first);
    signal(pid, Signal::CONT);
    if !wait_for(STOP_LIMIT, || !is_alive(pid)) {
        signal(pid, Signal::KILL);
        wait_for(STOP_LIMIT, || !is_alive(pid));
    }
}

/// One that is gone gets no signal, and that is no failure.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = known(pid) {
        let _ = kill_process(pid, signal);
    }
}

fn known(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// Whether the process runs. A zombie does not: in a container nobody may ever collect it.
pub(super) fn is_alive(pid: u32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The state follows the name, which stands in parentheses and may contain some.
        Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])),
        Err(_) if fs::exists("/proc/self/stat").unwrap_or(false) => false,
        Err(_) => known(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok()),
    }
}

/// Looks until `is_done` or until `limit` has passed; whether it was done.
pub(super) fn wait_for(limit: Duration, mut is_done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if is_done() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn an_ended_process_that_nobody_has_collected_is_not_alive() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(is_alive(child.id()) && is_alive(std::process::id()));
        stop(child.id(), Stop::Kill);
        assert!(!is_alive(child.id()));
        child.wait().unwrap();
        assert!(!is_alive(child.id()) && !is_alive(0) && !is_alive(u32::MAX));
    }

    #[test]
    fn waiting_ends() {
        let mut calls = 0;
        assert!(!wait_for(Duration::ZERO, || false));
        assert!(wait_for(Duration::from_secs(60), || {
            calls += 1;
            calls == 3
        }));
    }
}
