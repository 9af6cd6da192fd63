//! The bare disk: 4 KiB appended and synced, over and over: what the simplest log would do. Each append makes the file longer, which the
//! file system must note too; a log that writes into room it has made before can be faster.

use super::super::pauses::Pauses;
use crate::{Error, ErrorKind, Result};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

const BYTES: usize = 4_096;

/// Appends and syncs for so long; the file is gone afterwards.
pub(super) fn measure(folder: &Path, lasting: Duration) -> Result<(Pauses, Duration)> {
    let path = folder.join("floor");
    let done = looped(&path, lasting);
    let removed = fs::remove_file(&path);
    done.and_then(|measured| removed.map(|()| measured)).map_err(|e| {
        let message = format!("the bare loop on {} failed", path.display());
        Error::new(ErrorKind::Unavailable, message).with_source(e)
    })
}

fn looped(path: &Path, lasting: Duration) -> io::Result<(Pauses, Duration)> {
    let mut file = fs::OpenOptions::new().append(true).create_new(true).open(path)?;
    let mut pauses = Pauses::default();
    let start = Instant::now();
    loop {
        let from = Instant::now();
        file.write_all(&[0x5a; BYTES])?;
        file.sync_data()?;
        pauses.record(start, from);
        if start.elapsed() >= lasting {
            return Ok((pauses, start.elapsed()));
        }
    }
}
