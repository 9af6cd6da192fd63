//! What threads and processes have spent on a core, as Linux tells; nothing elsewhere.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// The system keeps so much of a thread's name.
const NAME_BYTES: usize = 15;

/// Threads of this process of a name.
pub(super) fn of_threads(name: &str) -> Option<Duration> {
    let wanted = &name[..name.len().min(NAME_BYTES)];
    let mut spent = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        // A thread may end between two lines.
        let is_it = fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == wanted);
        if is_it {
            spent += on_core(&task.path().join("schedstat")).unwrap_or_default();
        }
    }
    Some(spent)
}

/// The children of a process, and theirs, those that are left: by number.
pub(super) fn of_children(of: u32) -> Option<HashMap<u32, Duration>> {
    let mut parents = HashMap::new();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // The name before it may hold anything, a bracket too.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parents.extend(parent.map(|parent: u32| (pid, parent)));
    }
    let is_below = |pid: u32| {
        let mut above = std::iter::successors(Some(pid), |pid| parents.get(pid).copied()).skip(1);
        above.any(|above| above == of)
    };
    let below = parents.keys().copied().filter(|pid| is_below(*pid));
    let spent = |pid: u32| Some((pid, on_core(format!("/proc/{pid}/schedstat").as_ref())?));
    Some(below.filter_map(spent).collect())
}

/// Its first number: nanoseconds.
fn on_core(schedstat: &std::path::Path) -> Option<Duration> {
    let text = fs::read_to_string(schedstat).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_that_works_is_seen_working() {
        let work = || {
            let start = of_threads("nearfield-spends-time").unwrap();
            while of_threads("nearfield-spends-time").unwrap() < start + Duration::from_millis(2) {}
        };
        std::thread::Builder::new().name("nearfield-spends-time".into()).spawn(work).unwrap().join().unwrap();
        assert_eq!(of_threads("nearfield-nobody"), Some(Duration::ZERO));
        assert!(of_children(std::process::id()).is_some());
    }
}
