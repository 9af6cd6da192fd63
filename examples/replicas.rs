#![allow(clippy::print_stdout, reason = "a program tells what it did")]

//! Two processes, each with a store of its own, and one Postgres between them: what one writes, the other finds.
//!
//! ```sh
//! nearfield postgres start
//! DATABASE_URL="$(nearfield postgres url)" cargo run --release --example replicas
//! ```

use nearfield::{Chunk, Metric, Mirror, MirrorOptions, Options, Result, Schema, Store};
use std::process::Command;
use std::time::{Duration, Instant};

const ROWS: usize = 100;
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = std::env::var("DATABASE_URL")
        .map_err(|_| "set DATABASE_URL: nearfield postgres start, then nearfield postgres url")?;
    if let (Some(own), Some(other)) = (args.next(), args.next()) {
        println!("{}", replica(&own, &other, &url)?);
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let start = |own: &str, other: &str| Command::new(&program).args([own, other]).spawn();
    let mut both = [start("left", "right")?, start("right", "left")?];
    for child in &mut both {
        if !child.wait()?.success() {
            return Err("a replica failed, and said above why".into());
        }
    }
    Ok(())
}

/// One process: writes rows of its own, waits for the other's, proves that all of them are what the database has.
fn replica(own: &str, other: &str, url: &str) -> Result<String> {
    let folder = std::env::temp_dir().join(format!("nearfield-replica-{own}-{}", std::process::id()));
    let done = follow(own, other, url, &folder);
    let _ = std::fs::remove_dir_all(&folder);
    done
}

fn follow(own: &str, other: &str, url: &str, folder: &std::path::Path) -> Result<String> {
    let store = Store::open(folder, Options::default())?;
    let pages = store.get_or_create("replicas_pages", Schema::new(2, Metric::L2))?;
    let mirror = Mirror::start(&store, MirrorOptions::from_url(url).poll_ms_max(200))?;
    let row = |n: usize| {
        Chunk::new(format!("{own}-{n}")).vector([n as f32, 1.0]).text(format!("page {n} of {own}"))
    };
    let ack = pages.upsert((0..ROWS).map(row))?;
    mirror.wait_mirrored(ack.token, LIMIT)?;
    let from = Instant::now();
    let last = format!("{other}-{}", ROWS - 1);
    while pages.get(&last)?.is_none() && from.elapsed() < LIMIT {
        // What the other has pushed comes in with the next look at the database.
        mirror.pull_now()?;
    }
    let waited = from.elapsed();
    let report = mirror.audit("replicas_pages", false)?;
    let verdict = if report.is_equal() { "equal" } else { "not equal" };
    let told = format!(
        "{own}: {} rows, {:.2} s after its own were sent; audit: {verdict}",
        pages.count(None)?,
        waited.as_secs_f64()
    );
    mirror.stop(LIMIT)?;
    store.close(LIMIT)?;
    Ok(told)
}
