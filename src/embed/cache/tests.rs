//! The cache over a disk that loses power, fails and rots: right vectors, none made twice without need.

use super::segments::FOLDER;
use super::*;
use crate::disk::sim::{Loss, SimDisk};
use crate::embed::Hashed;
use std::sync::atomic::AtomicUsize;

/// Counts what it is asked for.
struct Counting {
    model: Hashed,
    name: String,
    asked: AtomicUsize,
}

impl Counting {
    fn new(name: &str) -> Arc<Self> {
        Arc::new(Self { model: Hashed::new(64).unwrap(), name: name.to_owned(), asked: AtomicUsize::new(0) })
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

impl Embedder for Counting {
    fn model(&self) -> &str {
        &self.name
    }

    fn dim(&self) -> usize {
        64
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.asked.fetch_add(texts.len(), Ordering::Relaxed);
        self.model.embed(texts)
    }
}

fn texts(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|at| format!("text number {at} of many")).collect()
}

fn embed(cache: &VectorCache, by: &Arc<Counting>, texts: &[String]) {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let found = cache.before(by.clone()).embed(&texts).unwrap();
    assert_eq!(found, by.model.embed(&texts).unwrap());
}

fn open(disk: &SimDisk) -> VectorCache {
    VectorCache::on(Arc::new(disk.clone()), BYTES_MIN).unwrap()
}

#[test]
fn nothing_is_embedded_twice_within_a_call_across_calls_and_across_openings() {
    let (disk, by) = (SimDisk::new(), Counting::new("a"));
    let cache = open(&disk);
    let mut twice = texts(0..100);
    twice.extend(texts(0..100));
    embed(&cache, &by, &twice);
    assert_eq!(by.asked(), 100);
    embed(&cache, &by, &texts(50..120));
    assert_eq!(by.asked(), 20);
    drop(cache);
    let cache = open(&disk);
    embed(&cache, &by, &texts(0..121));
    assert_eq!(by.asked(), 1);
    assert_eq!(cache.stats(), CacheStats { vectors: 121, found: 120, embedded: 1, ..cache.stats() });
    // Another model's vectors are others.
    let other = Counting::new("b");
    embed(&cache, &other, &texts(0..10));
    assert_eq!(other.asked(), 10);
}

#[test]
fn what_was_handed_out_survives_any_loss_of_power() {
    let (disk, by) = (SimDisk::new(), Counting::new("a"));
    let cache = open(&disk);
    embed(&cache, &by, &texts(0..30));
    let (handed, all) = (disk.operations(), texts(0..60));
    embed(&cache, &by, &texts(30..60));
    for at in handed..=disk.operations() {
        for (seed, loss) in Loss::ALL.into_iter().enumerate() {
            let image = disk.image_at(at, loss, at * 3 + seed as u64);
            by.asked();
            embed(&open(&image), &by, &all);
            assert!(by.asked() <= 30, "{loss:?} at {at}: what was handed out before was made again");
        }
    }
    by.asked();
    embed(&open(&disk.image(Loss::Nothing, 1)), &by, &all);
    assert_eq!(by.asked(), 0);
}

#[test]
fn a_damaged_vector_is_made_again_and_never_handed_out() {
    let (disk, by) = (SimDisk::new(), Counting::new("a"));
    embed(&open(&disk), &by, &texts(0..20));
    let (name, len) = disk.files().into_iter().find(|(name, _)| name.ends_with(".vec")).unwrap();
    for bit in (0..len * 8).step_by(1_009) {
        let rotten = disk.snapshot();
        rotten.flip(&name, bit).unwrap();
        by.asked();
        embed(&open(&rotten), &by, &texts(0..20));
        let head = bit < 24 * 8;
        assert!(by.asked() <= if head { 20 } else { 1 }, "bit {bit} cost more than its record");
    }
    for cut in (0..len).step_by(97) {
        let torn = disk.snapshot();
        torn.truncate(&name, cut).unwrap();
        embed(&open(&torn), &by, &texts(0..20));
    }
}

#[test]
fn room_is_bounded_and_the_oldest_go_first() {
    let (disk, by) = (SimDisk::new(), Counting::new("a"));
    let cache = open(&disk);
    for from in (0..6_000).step_by(500) {
        embed(&cache, &by, &texts(from..from + 500));
        let bytes: u64 =
            disk.files().iter().filter(|(name, _)| name.ends_with(".vec")).map(|(_, len)| len).sum();
        assert!(bytes <= BYTES_MIN as u64 && bytes == cache.stats().bytes, "{bytes}");
    }
    by.asked();
    embed(&cache, &by, &texts(4_000..6_000));
    assert_eq!(by.asked(), 0, "the newest are there");
    embed(&cache, &by, &texts(0..10));
    assert_eq!(by.asked(), 10, "the oldest are not");
    let CacheStats { vectors, damaged, .. } = cache.stats();
    assert!(vectors * 304 <= BYTES_MIN && damaged == 0, "what is gone is not counted: {vectors} {damaged}");
}

#[test]
fn many_small_files_become_few_and_keep_every_vector() {
    let (disk, by) = (SimDisk::new(), Counting::new("a"));
    for at in 0..40 {
        embed(&open(&disk), &by, &texts(at * 5..at * 5 + 5));
    }
    by.asked();
    embed(&open(&disk), &by, &texts(0..200));
    assert_eq!(by.asked(), 0);
    let files = disk.files().keys().filter(|name| name.ends_with(".vec")).count();
    assert!(files <= 17, "{files}");
}

#[test]
fn a_full_disk_costs_no_vector_and_one_of_a_store_is_enough() {
    let (disk, by) = (SimDisk::new(), Counting::new("a"));
    let cache = open(&disk);
    let second = VectorCache::on(Arc::new(disk.clone()), BYTES_MIN).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::AlreadyOpen);
    disk.capacity(disk.files().values().sum::<u64>() + 10_000);
    embed(&cache, &by, &texts(0..200));
    assert!(cache.stats().faults > 0);
    disk.capacity(u64::MAX);
    embed(&cache, &by, &texts(0..200));
    by.asked();
    embed(&cache, &by, &texts(0..200));
    assert_eq!(by.asked(), 0, "it recovers by itself");
    let error = VectorCache::open(&Store::memory(), VectorCache::BYTES).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(disk.files().keys().all(|name| name.starts_with(FOLDER)));
}

/// An embedder whose first call holds on, and then does what it is told to.
struct Held {
    by: Counting,
    first: Mutex<Option<(std::sync::mpsc::Sender<()>, std::sync::mpsc::Receiver<bool>)>>,
}

impl Embedder for Held {
    fn model(&self) -> &str {
        self.by.model()
    }

    fn dim(&self) -> usize {
        self.by.dim()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let first = self.first.lock().take();
        if let Some((begun, go)) = first {
            begun.send(()).unwrap();
            if !go.recv().unwrap() {
                return Err(Error::new(ErrorKind::Unavailable, "away for now"));
            }
        }
        self.by.embed(texts)
    }
}

/// What two calls ask for, the second begun while the first is held and before it ends as `well` says: texts that were embedded, and how
/// both ended.
fn at_once(well: bool) -> (usize, [bool; 2]) {
    let (disk, by) = (SimDisk::new(), Hashed::new(64).unwrap());
    let cache = open(&disk);
    let ((begun, has_begun), (go, gate)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let counting = Counting { model: by.clone(), name: "a".into(), asked: AtomicUsize::new(0) };
    let held = Arc::new(Held { by: counting, first: Mutex::new(Some((begun, gate))) });
    let call = |range| {
        let (cached, texts) = (cache.before(held.clone()), texts(range));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found = cached.embed(&texts);
        assert!(found.as_ref().map_or(true, |found| *found == by.embed(&texts).unwrap()));
        found.is_ok()
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| call(0..10));
        has_begun.recv().unwrap();
        let second = scope.spawn(|| call(5..15));
        while cache.inner.under_way.waiting() == 0 && !second.is_finished() {
            std::thread::yield_now();
        }
        let own = held.by.asked.load(Ordering::Relaxed);
        go.send(well).unwrap();
        let both = [first.join().unwrap(), second.join().unwrap()];
        assert_eq!(own, 5, "its own while it waits");
        (held.by.asked(), both)
    })
}

#[test]
fn what_two_need_at_once_is_embedded_once() {
    assert_eq!(at_once(true), (15, [true, true]));
}

#[test]
fn whoever_waited_for_one_that_failed_asks_by_itself() {
    assert_eq!(at_once(false), (10, [false, true]));
}

#[test]
fn a_search_does_not_wait_for_anothers_call() {
    let (disk, by) = (SimDisk::new(), Counting::new("a"));
    let cache = open(&disk);
    let claimed = key("a", 64, "text");
    assert!(cache.inner.under_way.claim(&claimed));
    let cached = cache.before(by.clone());
    assert_eq!(
        cached.embed_within(&["text"], Duration::from_secs(1)).unwrap(),
        by.model.embed(&["text"]).unwrap()
    );
    assert_eq!(by.asked(), 1);
    assert!(!cache.inner.under_way.claim(&claimed), "the claim is whose it was");
}
