//! Rows that wait get the vectors of their own texts, whatever happens meanwhile.

use super::*;
use crate::disk::sim::SimDisk;
use crate::{Chunk, Hashed, Metric, Options, Schema, Store};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

type Meanwhile = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Service {
    away: AtomicBool,
    lenient: AtomicBool,
    asked: AtomicUsize,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl Embedder for Service {
    fn model(&self) -> &str {
        "service"
    }

    fn dim(&self) -> usize {
        64
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        if let Some(meanwhile) = self.meanwhile.lock().take() {
            meanwhile();
        }
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "away for now"));
        }
        if !self.lenient.load(Ordering::Relaxed) && texts.iter().any(|text| text.contains("BAD")) {
            return Err(Error::invalid("not this text"));
        }
        self.asked.fetch_add(texts.len(), Ordering::Relaxed);
        Hashed::new(64)?.embed(texts)
    }
}

fn waiting(id: usize) -> Chunk {
    Chunk::new(id.to_string()).text(format!("the text of row {id}"))
}

fn docs(rows: usize) -> Collection {
    let docs = Store::memory().create_collection("docs", Schema::new(64, Metric::Cosine)).unwrap();
    docs.upsert((0..rows).map(waiting)).unwrap();
    docs
}

fn options(batch: usize) -> BackfillOptions {
    BackfillOptions { batch, poll: Duration::from_millis(2), ..BackfillOptions::default() }
}

fn until(backfill: &Backfill, is_so: impl Fn(&BackfillStatus) -> bool) -> BackfillStatus {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = backfill.status();
        if is_so(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not come: {status:?}");
        std::thread::yield_now();
    }
}

fn check(docs: &Collection) {
    for chunk in docs.scroll(None, None, 10_000).unwrap().chunks {
        let Some(vector) = chunk.vector else { continue };
        let own = Hashed::new(64).unwrap().embed(&[chunk.text.as_deref().unwrap()]).unwrap().remove(0);
        assert_eq!((vector, chunk.embedding_model.as_deref()), (own, Some("service")), "row {}", chunk.id);
    }
}

#[test]
fn all_that_waits_and_all_that_comes_gets_its_vector() {
    let (docs, service) = (docs(100), Arc::<Service>::default());
    let backfill = Backfill::start(&docs, service.clone(), options(7)).unwrap();
    until(&backfill, |status| status.pending == 0 && status.state == BackfillState::Idle);
    docs.upsert((100..150).map(waiting)).unwrap();
    let status = until(&backfill, |status| status.embedded == 150);
    assert_eq!((status.coverage, status.oldest_pending_ms, status.overtaken), (1.0, None, 0));
    check(&docs);
    assert_eq!(backfill.stop().state, BackfillState::Stopped);
    assert_eq!(service.asked.load(Ordering::Relaxed), 150, "nothing is embedded twice");
}

#[test]
fn a_row_that_is_refused_is_put_aside_and_tried_on_demand_or_when_it_changes() {
    let (docs, service) = (docs(20), Arc::<Service>::default());
    docs.upsert([Chunk::new("5").text("BAD five"), Chunk::new("6").text("BAD six")]).unwrap();
    let backfill = Backfill::start(&docs, service.clone(), options(8)).unwrap();
    let status = until(&backfill, |status| status.embedded == 18 && status.parked == 2);
    let told: Vec<_> = status.parked_rows.iter().map(|row| (row.id.as_str(), row.why.as_str())).collect();
    assert_eq!(told, [("5", "not this text"), ("6", "not this text")]);
    assert_eq!((status.pending, status.coverage), (2, 0.9));
    assert!(status.oldest_pending_ms.is_some());
    docs.upsert([waiting(5)]).unwrap();
    until(&backfill, |status| status.pending == 1);
    service.lenient.store(true, Ordering::Relaxed);
    backfill.retry_parked();
    until(&backfill, |status| status.pending == 0 && status.parked == 0);
    check(&docs);
}

#[test]
fn a_newer_version_of_a_row_is_never_overwritten() {
    let (docs, service) = (docs(4), Arc::<Service>::default());
    let other = docs.clone();
    *service.meanwhile.lock() = Some(Box::new(move || {
        other.upsert([Chunk::new("0").text("another text by now")]).unwrap();
        other.delete(["1"]).unwrap();
        other.upsert([waiting(2).vector(vec![1.0; 64]).embedding_model("by hand")]).unwrap();
    }));
    let status = Backfill::run(&docs, service, options(4), &mut |_| true).unwrap();
    assert_eq!((status.embedded, status.overtaken, status.pending), (2, 3, 0));
    assert_eq!(docs.get("1").unwrap(), None);
    assert_eq!(docs.get("2").unwrap().unwrap().embedding_model.as_deref(), Some("by hand"));
    docs.delete(["2"]).unwrap();
    check(&docs);
}

#[test]
fn a_service_that_is_away_is_waited_for_in_the_background_and_an_error_in_front() {
    let (docs, service) = (docs(10), Arc::<Service>::default());
    service.away.store(true, Ordering::Relaxed);
    let error = Backfill::run(&docs, service.clone(), options(4), &mut |_| true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let backfill = Backfill::start(&docs, service.clone(), options(4)).unwrap();
    let status = until(&backfill, |status| status.state == BackfillState::Waiting);
    assert_eq!((status.why.as_deref(), status.pending), (Some("away for now"), 10));
    service.away.store(false, Ordering::Relaxed);
    backfill.retry_parked();
    until(&backfill, |status| status.pending == 0);
}

#[test]
fn budgets_hold() {
    let (docs, service) = (docs(100), Arc::<Service>::default());
    let all: u64 = (0..100).map(|id| tokens(&waiting(id))).sum();
    let half = BackfillOptions { tokens_max: Some(all / 2), ..options(5) };
    let status = Backfill::run(&docs, service.clone(), half, &mut |_| true).unwrap();
    assert!(
        status.state == BackfillState::Spent && status.tokens <= all / 2 && status.embedded >= 40,
        "{status:?}"
    );
    let status = Backfill::run(&docs, service, options(5), &mut |status| status.embedded < 10).unwrap();
    assert_eq!((status.state, status.embedded), (BackfillState::Stopped, 10));
    let now = Instant::now();
    let at = |pace: &mut Pace, tokens, s| pace.takes(tokens, now + Duration::from_secs(s)) - now;
    let mut pace = Pace::new(Some(100), now);
    let s = Duration::from_secs;
    assert_eq!([at(&mut pace, 300, 0), at(&mut pace, 100, 0), at(&mut pace, 100, 10)], [s(0), s(3), s(10)]);
    assert_eq!(at(&mut pace, 1, 10), s(11), "a pause saves nothing up");
    assert_eq!(at(&mut Pace::new(None, now), u64::MAX, 1), s(1));
}

#[test]
fn what_does_not_fit_is_refused_and_a_store_that_closes_ends_it() {
    let docs = docs(3);
    let wide: Arc<dyn Embedder> = Arc::new(Hashed::default());
    assert_eq!(Backfill::start(&docs, wide, options(1)).err().unwrap().kind(), ErrorKind::Conflict);
    let service = Arc::<Service>::default();
    assert_eq!(Backfill::start(&docs, service.clone(), options(0)).err().unwrap().kind(), ErrorKind::Invalid);
    let store = Store::memory();
    let docs = store.create_collection("docs", Schema::new(64, Metric::Cosine)).unwrap();
    docs.upsert([waiting(1)]).unwrap();
    store.close(Duration::ZERO).unwrap();
    let backfill = Backfill::start(&docs, service, options(1)).unwrap();
    let status = until(&backfill, |status| status.state == BackfillState::Stopped);
    assert!(status.why.is_some_and(|why| why.contains("closed")));
}

/// A store on `disk` with a collection that it had or has now.
fn on(disk: &SimDisk) -> (Store, Collection) {
    let store = Store::open_on(Arc::new(disk.clone()), Options::default()).unwrap();
    let docs = store.get_or_create("docs", Schema::new(64, Metric::Cosine)).unwrap();
    (store, docs)
}

#[test]
fn what_was_put_aside_is_remembered_by_the_next_process_unless_its_file_is_damaged() {
    let (disk, service) = (SimDisk::new(), Arc::<Service>::default());
    let refused = |service: &Arc<Service>, disk: &SimDisk| {
        let (store, docs) = on(disk);
        let status = Backfill::run(&docs, service.clone(), options(4), &mut |_| true).unwrap();
        let listed = Backfill::parked(&docs, "service").unwrap().len();
        store.close(Duration::ZERO).unwrap();
        assert_eq!((status.parked, status.pending, listed), (3, 3, 3), "{status:?}");
        status.tokens
    };
    let (store, docs) = on(&disk);
    let bad = |id: usize| Chunk::new(id.to_string()).text(format!("BAD {id}"));
    docs.upsert((0..10).map(waiting).chain((10..13).map(bad))).unwrap();
    store.close(Duration::ZERO).unwrap();
    drop((store, docs));
    assert!(refused(&service, &disk) > 0);
    assert_eq!(refused(&service, &disk), 0, "nobody is asked again");
    let (name, len) = disk.files().into_iter().find(|(name, _)| name.contains("/parked-")).unwrap();
    for bit in (0..len * 8).step_by(61) {
        let rotten = disk.snapshot();
        rotten.flip(&name, bit).unwrap();
        assert!(refused(&service, &rotten) > 0, "bit {bit}: a file that does not check is as good as none");
    }
    for cut in (0..len).step_by(17) {
        let torn = disk.snapshot();
        torn.truncate(&name, cut).unwrap();
        refused(&service, &torn);
    }
    // Of another model it says nothing, and what has changed or is gone is dropped.
    let (store, docs) = on(&disk);
    assert_eq!(Backfill::parked(&docs, "another").unwrap(), []);
    docs.delete(["10"]).unwrap();
    docs.upsert([waiting(11)]).unwrap();
    let left = Backfill::parked(&docs, "service").unwrap();
    assert_eq!(left.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["12"]);
    let status = Backfill::run(&docs, service.clone(), options(4), &mut |_| true).unwrap();
    assert_eq!((status.embedded, status.parked), (1, 1));
    Backfill::forget_parked(&docs, "service");
    service.lenient.store(true, Ordering::Relaxed);
    let status = Backfill::run(&docs, service, options(4), &mut |_| true).unwrap();
    assert_eq!((status.embedded, status.parked, status.pending), (1, 0, 0));
    assert!(disk.files().keys().all(|name| !name.contains("/parked-")), "no file without a row");
    drop((store, docs));
}

#[test]
fn what_hangs_is_left_keeps_no_store_open_and_writes_nothing() {
    let (disk, service) = (SimDisk::new(), Arc::<Service>::default());
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let (told, asked) = std::sync::mpsc::channel::<()>();
    *service.meanwhile.lock() = Some(Box::new(move || {
        told.send(()).unwrap();
        gate.recv().unwrap();
    }));
    let (store, docs) = on(&disk);
    docs.upsert((0..5).map(waiting)).unwrap();
    let backfill = Backfill::start(&docs, service.clone(), options(8)).unwrap();
    asked.recv().unwrap();
    assert!(!backfill.is_over());
    assert!(!backfill.stop_within(Duration::from_millis(1)), "it hangs");
    drop((store, docs));
    let (store, docs) = on(&disk);
    go.send(()).unwrap();
    // It has ended when nobody else holds the embedder.
    while Arc::strong_count(&service) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(docs.stats().pending, 5);
    let backfill = Backfill::start(&docs, service, options(8)).unwrap();
    until(&backfill, |status| status.pending == 0);
    assert!(backfill.stop_within(Duration::from_secs(60)));
    drop(store);
}

#[test]
fn a_rate_is_kept_by_all_that_share_it() {
    let rate = TokenRate::new(Some(10));
    let now = Instant::now();
    let mut pace = rate.0.lock();
    assert!(pace.takes(20, now) <= now);
    drop(pace);
    assert!(rate.clone().0.lock().takes(1, now) >= now + Duration::from_secs(1), "another's tokens count");
}
