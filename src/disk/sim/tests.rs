//! What the simulated disk loses and keeps. The contract that it shares with the real one is tested in
//! `disk/tests/conformance.rs`.

mod faults;
mod losses;
mod replays;

use super::{Random, SimDisk};
use crate::disk::{Disk, File};
use std::io;

/// A new file with synced bytes; its name is not durable yet.
fn put(disk: &SimDisk, path: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = disk.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync().unwrap();
    file
}

/// A file that survives any crash.
fn keep(disk: &SimDisk, path: &str, bytes: &[u8]) -> Box<dyn File> {
    let file = put(disk, path, bytes);
    disk.sync_dir(path.rsplit_once('/').map_or("", |(folder, _)| folder)).unwrap();
    file
}

fn get(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    disk.contents().remove(path)
}

/// A log that is written and synced, and files that are published over each other, in an order that `seed` says. Stops at the
/// first error.
fn workload(disk: &SimDisk, seed: u64, rounds: usize) -> io::Result<()> {
    let mut random = Random::new(seed);
    let _lock = disk.lock("LOCK", "1")?;
    disk.make_dir("tmp")?;
    disk.make_dir("logs/old")?;
    disk.sync_dir("")?;
    let (mut log, mut end) = (disk.create("logs/0")?, 0);
    for round in 0..rounds {
        let bytes = vec![(round % 255) as u8 + 1; 100 + random.below(1500)];
        match random.below(8) {
            0 => publish(disk, &format!("{}", random.below(3)), &bytes)?,
            1 => disk.sync_dir("logs")?,
            2 => {
                end = random.below(4000) as u64;
                log.set_len(end)?;
            }
            3 => {
                let path = format!("logs/{}", round + 1);
                (log, end) = (disk.create(&path)?, 0);
                disk.rename(&path, &format!("logs/old/{}", random.below(2)))?;
            }
            4 => log.sync()?,
            _ => {
                log.write_at(end, &bytes)?;
                end += bytes.len() as u64;
            }
        }
    }
    Ok(())
}

fn publish(disk: &SimDisk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create("tmp/x")?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.rename("tmp/x", name)?;
    disk.sync_dir("tmp")?;
    disk.sync_dir("")
}
