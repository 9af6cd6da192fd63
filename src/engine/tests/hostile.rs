//! L7, L8: whatever the bytes of whatever file, a store opens right, opens degraded and right in what it answers, or says why not.
//!
//! Method: one small store; in each case one file is cut, changed in one bit, filled with garbage or replaced; then it is opened,
//! searched, read and closed, all on a simulated disk. `NEARFIELD_HOSTILE=all` tries every bit and every length.
//! Memory is bounded by construction: what is read is a file's own bytes (its length is asked first), and every count that an
//! allocation is made for was compared with the bytes that are there (`disk/sections.rs`, `disk/envelope.rs`, `block/mod.rs`).

use super::bed::{Bed, DIM, Model, open};
use crate::ErrorKind;
use crate::disk::Disk;
use crate::disk::sim::{Random, SimDisk};
use crate::engine::Store;
use crate::record::Chunk;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CASES: usize = 13_000;
/// One case in so many is repaired and opened again.
const AGAIN: usize = 8;
const CASE_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Right,
    Degraded,
    Refused,
}

/// What may be answered after a file was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// The last state, less what is missing.
    Last,
    /// An earlier state, or rows of any with `degraded`: the log has no copy, and a manifest leaves the one before.
    Earlier,
}

fn allowed(path: &str) -> Allowed {
    if path.starts_with("wal/") || path.starts_with("manifest-") { Allowed::Earlier } else { Allowed::Last }
}

fn sampled() -> bool {
    std::env::var("NEARFIELD_HOSTILE").as_deref() != Ok("all")
}

/// Opens and uses the store; panics where it lies.
fn examine(bed: &Bed, disk: &SimDisk, may: Allowed, again: bool) -> Outcome {
    let store = match open(disk) {
        Ok(store) => store,
        Err(e) => {
            assert_ne!(e.kind(), ErrorKind::Internal, "{e}");
            return Outcome::Refused;
        }
    };
    let first = ask(bed, &store, may);
    if !again {
        return first;
    }
    // What was found is the same after it was repaired, and after the next opening.
    match store.checkpoint() {
        Ok(()) => assert_eq!(ask(bed, &store, may), first, "after a checkpoint"),
        Err(e) => assert_ne!(e.kind(), ErrorKind::Internal, "{e}"),
    }
    drop(store);
    let again = open(disk).unwrap_or_else(|e| panic!("it opened once: {e}"));
    assert_eq!(ask(bed, &again, may), first, "after the next opening");
    first
}

fn ask(bed: &Bed, store: &Store, may: Allowed) -> Outcome {
    let Ok(docs) = store.open_collection("docs") else {
        assert!(may == Allowed::Earlier, "the collection is gone");
        return Outcome::Degraded;
    };
    let page = docs.scroll(None, None, usize::MAX).unwrap();
    let near = docs.search(&[0.5; DIM]).k(5).include(crate::Include::ALL).run().unwrap();
    let exact = docs.search(&[0.5; DIM]).k(1_000).exact(true).include(crate::Include::ALL).run().unwrap();
    let degraded = docs.search(&[0.5; DIM]).k(1).run().unwrap().degraded;
    let found: Model = page.chunks.iter().map(|c| (c.id.clone(), c.clone())).collect();
    assert_eq!(found.len(), page.chunks.len(), "an id twice");
    let model = bed.model();
    let is_right = |c: &Chunk| match may {
        Allowed::Last => model.get(&c.id) == Some(c),
        Allowed::Earlier => bed.ever.get(&Bed::key(c)) == Some(c),
    };
    for chunk in found.values() {
        assert!(is_right(chunk), "{} is not as it was written", chunk.id);
    }
    for hit in near.hits.iter().chain(&exact.hits) {
        let chunk = found.get(hit.id.as_str()).unwrap_or_else(|| panic!("{} is no row", hit.id));
        assert_eq!((hit.vector.as_ref(), hit.text.as_ref()), (chunk.vector.as_ref(), chunk.text.as_ref()));
    }
    for id in model.keys().step_by(17).map(String::as_str).chain(["no-such-id", "id-3"]) {
        match docs.get(id) {
            Ok(Some(chunk)) => assert_eq!(Some(&chunk), found.get(id)),
            Ok(None) => assert!(may == Allowed::Earlier || !model.contains_key(id), "{id} is not there"),
            Err(e) => assert!(e.kind() == ErrorKind::Corrupt && degraded, "{e}"),
        }
    }
    if degraded {
        if may == Allowed::Last {
            assert_eq!(docs.stats().missing, model.len() - found.len());
        }
        return Outcome::Degraded;
    }
    assert_eq!(exact.hits.len(), found.values().filter(|c| c.vector.is_some()).count());
    match may {
        Allowed::Last => assert!(found == *model, "rows are gone and nobody says so"),
        Allowed::Earlier => assert!(bed.states.contains(&found), "the rows are of no state there ever was"),
    }
    Outcome::Right
}

/// Runs one case; what went wrong, if anything did.
fn run(bed: &Bed, what: &str, path: &str, change: impl FnOnce(&SimDisk)) -> Result<Outcome, String> {
    static CASE: AtomicUsize = AtomicUsize::new(0);
    let again = CASE.fetch_add(1, Ordering::Relaxed).is_multiple_of(AGAIN);
    let disk = bed.disk.snapshot();
    change(&disk);
    let started = Instant::now();
    let done = catch_unwind(AssertUnwindSafe(|| examine(bed, &disk, allowed(path), again)));
    let took = started.elapsed();
    match done {
        Ok(outcome) if took < CASE_MAX => Ok(outcome),
        Ok(_) => Err(format!("{what} of {path}: took {took:?}")),
        Err(cause) => {
            let cause = cause
                .downcast_ref::<String>()
                .cloned()
                .or(cause.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Err(format!("{what} of {path}: {}", cause.unwrap_or_default()))
        }
    }
}

#[derive(Default)]
struct Tally {
    counts: [usize; 3],
    failed: Vec<String>,
}

impl Tally {
    fn add(&mut self, done: Result<Outcome, String>) {
        match done {
            Ok(outcome) => self.counts[outcome as usize] += 1,
            Err(why) => self.failed.push(why),
        }
    }

    fn finish(self, name: &str) {
        let [right, degraded, refused] = self.counts;
        println!(
            "{name}: {right} right, {degraded} degraded, {refused} refused, {} failed",
            self.failed.len()
        );
        assert!(
            self.failed.is_empty(),
            "{} cases:\n{}",
            self.failed.len(),
            self.failed[..self.failed.len().min(20)].join("\n")
        );
    }
}

/// Numbers below `n`: all, or `count` of them, most near the ends, where structure stands.
fn sample(n: u64, count: usize, random: &mut Random) -> Vec<u64> {
    if !sampled() {
        return (0..n).collect();
    }
    let near = 4_096.min(n as usize);
    let pick = |random: &mut Random| match random.below(3) {
        0 => random.below(near) as u64,
        1 => n - 1 - random.below(near) as u64,
        _ => random.below(n as usize) as u64,
    };
    (0..count).map(|_| pick(random)).collect()
}

#[test]
fn l8_every_flipped_bit_is_found_or_harmless() {
    let bed = Bed::attached();
    let (mut tally, mut random) = (Tally::default(), Random::new(8));
    let files = bed.disk.files();
    for (path, len) in files.iter().filter(|(_, len)| **len > 0) {
        for bit in sample(len * 8, CASES / files.len(), &mut random) {
            tally.add(run(&bed, &format!("bit {bit}"), path, |disk| disk.flip(path, bit).unwrap()));
        }
    }
    tally.finish("flips");
}

#[test]
fn l7_every_length_of_every_file() {
    let bed = Bed::new();
    let (mut tally, mut random) = (Tally::default(), Random::new(7));
    let files = bed.disk.files();
    for (path, len) in files.iter().filter(|(_, len)| **len > 0) {
        for len in sample(*len, CASES / 2 / files.len(), &mut random) {
            tally.add(run(&bed, &format!("cut to {len}"), path, |disk| disk.truncate(path, len).unwrap()));
        }
    }
    tally.finish("lengths");
}

#[test]
fn l7_garbage_huge_lengths_and_files_of_another_store() {
    let (bed, other) = (Bed::attached(), Bed::new());
    let (mut tally, mut random) = (Tally::default(), Random::new(9));
    let files = bed.disk.files();
    let strangers = other.disk.contents();
    for (path, &len) in &files {
        for size in [0, 1, 7, 63, 64, 4096, len as usize, len as usize + 70_000] {
            let bytes: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
            tally.add(run(&bed, &format!("{size} random bytes"), path, |disk| replace(disk, path, &bytes)));
            tally.add(run(&bed, &format!("{size} zeros"), path, |disk| replace(disk, path, &vec![0; size])));
        }
        // Counts, offsets and lengths that no file can keep.
        for at in (0..len.min(128))
            .step_by(4)
            .chain((0..len.min(64)).step_by(8).map(|back| len - back - 8.min(len - back)))
        {
            tally.add(run(&bed, &format!("ff at {at}"), path, |disk| {
                disk.overwrite(path, at, &[0xff; 8]).unwrap()
            }));
        }
        for (name, bytes) in &strangers {
            // Its own name says nothing of whose it is.
            let is_kin = name.rsplit('.').next() == path.rsplit('.').next();
            if name == path || is_kin && random.below(4) == 0 {
                tally.add(run(&bed, &format!("{name} of another store"), path, |disk| {
                    replace(disk, path, bytes)
                }));
            }
        }
    }
    tally.finish("garbage");
}

fn replace(disk: &SimDisk, path: &str, bytes: &[u8]) {
    disk.truncate(path, 0).unwrap();
    disk.overwrite(path, 0, bytes).unwrap();
}

#[test]
fn unknown_files_with_known_looks_are_left_alone() {
    let bed = Bed::new();
    for path in [
        "manifest-ffffffffffffffff",
        "manifest-1",
        "c00000001/block-0009.rows",
        "c00000001/links-0000000000000001",
        "c00000001/sets-00000000000000ff",
        "c0000000f/block-0000.rows",
        "wal/ffffffffffffffff-ffffffff.wal",
        "wal/0000000000000001-00000000.wal",
        "tmp/0-x",
        "quarantine/x",
        "lost_rows.jsonl",
        "LOCK.old",
        "c00000001/x",
    ] {
        let done = run(&bed, "garbage", path, |disk| {
            if let Some((folder, _)) = path.rsplit_once('/') {
                disk.make_dir(folder).unwrap();
            }
            disk.overwrite(path, 0, &[0xa5; 300]).unwrap();
        });
        assert_eq!(done, Ok(Outcome::Right), "{path}");
    }
}
