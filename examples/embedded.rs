#![allow(clippy::print_stdout, reason = "a program tells what it did")]

//! A service that searches while it writes: a thread stores what comes in, others answer, and nobody waits for anybody.
//!
//! ```sh
//! cargo run --release --example embedded
//! ```

use nearfield::{Chunk, Embedder, Filter, Hashed, Metric, Options, Schema, Store};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TOPICS: [&str; 4] = ["shipping", "invoices", "passwords", "returns"];
const TICKETS: usize = 2_000;

fn main() -> nearfield::Result<()> {
    let folder = std::env::temp_dir().join(format!("nearfield-embedded-{}", std::process::id()));
    let told = run(&folder, TICKETS);
    let _ = std::fs::remove_dir_all(&folder);
    println!("{}", told?);
    Ok(())
}

/// Stores tickets in a folder while searching them; says what happened.
pub fn run(folder: &Path, tickets: usize) -> nearfield::Result<String> {
    let embedder = Hashed::default();
    let store = Store::open(folder, Options::default())?;
    let docs = store.get_or_create("tickets", Schema::new(embedder.dim(), Metric::Cosine))?;
    let (is_over, searches, slowest_us) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let questions = embedder.embed(&["when does my parcel arrive?", "I forgot my password"])?;

    let wrote = thread::scope(|scope| -> nearfield::Result<Duration> {
        // Handles are shared freely: a search sees one state of the collection, whatever is written meanwhile.
        let searcher = scope.spawn(|| -> nearfield::Result<()> {
            while !is_over.load(Ordering::Relaxed) {
                for question in &questions {
                    let from = Instant::now();
                    docs.search(question).k(5).filter(Filter::eq("open", true)).run()?;
                    slowest_us.fetch_max(from.elapsed().as_micros() as u64, Ordering::Relaxed);
                    searches.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        });
        let from = Instant::now();
        let written = (0..tickets).step_by(20).try_for_each(|first| {
            let texts: Vec<String> = (first..(first + 20).min(tickets)).map(ticket).collect();
            let vectors = embedder.embed(&texts.iter().map(String::as_str).collect::<Vec<_>>())?;
            let chunks = texts.into_iter().zip(vectors).zip(first..).map(|((text, vector), n)| {
                Chunk::new(format!("ticket-{n}"))
                    .vector(vector)
                    .text(text)
                    .meta("open", n % 3 != 0)
                    .document(format!("customer-{}", n % 50), n as u32)
            });
            // When this returns, the disk has them and every search finds them.
            docs.upsert(chunks).map(drop)
        });
        let wrote = from.elapsed();
        is_over.store(true, Ordering::Relaxed);
        searcher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        written.map(|()| wrote)
    })?;

    let found = docs.search(&embedder.embed(&["ticket 7 about returns"])?[0]).k(1).run()?;
    let best = found.hits.first().map_or("nothing", |hit| hit.id.as_str());
    store.close(Duration::from_secs(5))?;
    Ok(format!(
        "{} rows written in {:.2} s beside {} searches, the slowest of {} us; best for the last question: {best}",
        docs.count(None)?,
        wrote.as_secs_f64(),
        searches.load(Ordering::Relaxed),
        slowest_us.load(Ordering::Relaxed),
    ))
}

fn ticket(n: usize) -> String {
    format!(
        "ticket {n} about {}: the customer of case {} asks for help",
        TOPICS[n % TOPICS.len()],
        n / TOPICS.len()
    )
}
