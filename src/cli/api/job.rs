//! A job of a server: begun, looked at until it has ended, its result.

use super::way::{Way, problem_of};
use crate::cli::progress::Bar;
use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(100);

/// Begins a job, and waits for its end: the job as it is then, cancelled and failed ones too.
pub(in crate::cli) fn ended(way: &Way, path: &str, body: &Value, bar: Option<&Bar>) -> Result<Value> {
    let mut job = way.post(path, body)?["job"].take();
    let path = format!("/v1/admin/jobs/{}", job["id"].as_str().unwrap_or_default());
    while matches!(job["state"].as_str(), Some("queued" | "running")) {
        if let Some(bar) = bar {
            let count = |name: &str| job["progress"][name].as_u64().unwrap_or_default();
            bar.at(count("done"), count("total"));
        }
        std::thread::sleep(LOOK);
        job = way.get(&path)?;
    }
    Ok(job)
}

/// The result of a job, which must come to its end.
pub(in crate::cli) fn done(way: &Way, path: &str, body: &Value, bar: &Bar) -> Result<Value> {
    let mut job = ended(way, path, body, Some(bar))?;
    match job["state"].as_str() {
        Some("done") => Ok(job["result"].take()),
        Some("failed") => Err(problem_of(&job["error"])),
        _ => Err(Error::new(ErrorKind::Conflict, "somebody cancelled the job")),
    }
}
