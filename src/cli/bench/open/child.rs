//! The process that writes and is killed.

use super::args::{ChildArgs, OpenArgs};
use crate::cli::{Global, output};
use crate::{Chunk, Error, ErrorKind, Options, Result, Store};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Rows of one upsert.
const BATCH: usize = 32;
/// How the ids of its rows begin: no host's do.
const PREFIX: &str = "nearfield-bench-open-";

/// The child's part: writes durably, says how many rows were acknowledged, and waits to be killed. It ends by itself when its
/// parent is gone.
pub(in super::super) fn child(args: &ChildArgs, global: &Global, out: &mut dyn Write) -> Result<()> {
    let store = Store::open(global.data(), Options::default())?;
    let docs = store.open_collection(&args.collection)?;
    let like = docs.scroll(None, None, BATCH)?.chunks;
    let model = |n: usize| like.get(n % like.len().max(1)).cloned().unwrap_or_else(|| Chunk::new(""));
    let mut acknowledged = 0;
    for first in (0..args.tail).step_by(BATCH) {
        let rows = first..(first + BATCH).min(args.tail);
        let chunks = rows.map(|n| {
            let mut chunk = Chunk { id: format!("{PREFIX}{n}"), ..model(n) };
            // Near one that is there, and not the same.
            if let Some(value) = chunk.vector.as_mut().and_then(|v| v.first_mut()) {
                *value += 0.01 * (n + 1) as f32;
            }
            chunk
        });
        acknowledged += docs.upsert(chunks)?.upserted;
    }
    writeln!(out, "{acknowledged}").and_then(|()| out.flush()).map_err(output)?;
    let _ = io::stdin().read(&mut [0]);
    Ok(())
}

/// The parent's part: runs the child until it has written, kills it, and says how many rows it was acknowledged.
pub(super) fn kill(data: &Path, collection: &str, args: &OpenArgs) -> Result<usize> {
    let failed = |what: &str, e: io::Error| {
        Error::new(ErrorKind::Unavailable, format!("the child that is to be killed {what}")).with_source(e)
    };
    let program = std::env::current_exe().map_err(|e| failed("has no program to run", e))?;
    let child = Command::new(program)
        .args(["bench", "open-child", "--collection", collection, "--tail", &args.tail.to_string(), "--data"])
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| failed("did not start", e))?;
    let mut child = Killed(child);
    let mut line = String::new();
    if let Some(out) = child.0.stdout.take() {
        BufReader::new(out).read_line(&mut line).map_err(|e| failed("cannot be heard", e))?;
    }
    drop(child);
    line.trim().parse().map_err(|_| {
        Error::new(
            ErrorKind::Internal,
            format!("the child that is to be killed said {line:?}, no count of rows"),
        )
    })
}

/// Ends with this, whatever happens.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // One that is gone already is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
