//! Waiting for what another process does, where nothing can be blocked on: looked for again and again, with a deadline.

use std::time::{Duration, Instant};

/// Far beyond what anything here takes on a busy machine: reaching it is a failure.
const LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(5);

/// Waits until `is_true`; fails when it is not for too long, saying `what` was waited for.
pub(crate) fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < LIMIT, "{what}: not after {} s", LIMIT.as_secs());
        std::thread::sleep(POLL);
    }
}
