//! Collections that name who embeds their texts. Goal: a write never waits for a provider, every row gets its vector once, and whatever a
//! provider does (silence, refusals, other widths) is told and holds nothing else up. Method: a server, and a service over a real socket
//! that answers as it is told to.

use super::{Bed, assert_problem};
use crate::support::embeddings::{Fake, Reply, good, texts};
use crate::support::wait::until;
use nearfield::server::Options;
use nearfield::{ProviderOptions, Providers, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

const DIM: usize = 3;

fn near(fake: &Fake, change: impl Fn(&mut ProviderOptions)) -> Options {
    let mut options = ProviderOptions { timeout_ms: 5_000, ..ProviderOptions::new(fake.url()) };
    change(&mut options);
    let embedding = Providers::new([("near".to_owned(), options)]).unwrap();
    Options { embedding, ..Options::default() }
}

fn new(name: &str) -> Value {
    let profile = json!({"provider": "near", "model": "m"});
    json!({"name": name, "dim": DIM, "metric": "l2", "embedding": profile})
}

fn text(n: usize) -> String {
    format!("{} things of number {n}", "very ".repeat(n % 7))
}

fn rows(range: std::ops::Range<usize>) -> Value {
    let chunk = |n: usize| json!({"id": n.to_string(), "text": text(n)});
    json!({"chunks": range.map(chunk).collect::<Vec<_>>()})
}

impl Bed {
    fn collection(&self, name: &str) -> Value {
        self.get(&format!("/v1/collections/{name}")).1
    }

    fn until_idle(&self, name: &str, pending: usize) {
        let is_so =
            |told: &Value| told["counts"]["pending"] == pending && told["embedding"]["state"] == "idle";
        until(&format!("{pending} rows of {name} wait"), || is_so(&self.collection(name)));
    }

    fn search(&self, body: Value) -> (u16, Value) {
        self.post("/v1/collections/docs/search", body)
    }

    fn why(&self) -> String {
        self.get("/v1/admin/status").1["collections"][0]["embedding"]["why"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// How often each text was answered for; `lost` are requests that were not.
fn times(fake: &Fake, lost: &[usize]) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    let asked = fake.asked.lock().unwrap();
    for (_, body) in asked.iter().enumerate().filter(|(n, _)| !lost.contains(n)) {
        texts(body).into_iter().for_each(|text| *times.entry(text).or_default() += 1);
    }
    times
}

fn open(folder: &Path) -> Store {
    Store::open(folder, nearfield::Options::default()).unwrap()
}

#[test]
fn a_profile_is_taken_refused_or_told_to_differ() {
    let fake = Fake::new(|_, body| good(body, DIM));
    let bed = Bed::with(near(&fake, |options| options.dimensions = DIM));
    let with = |provider: &str, model: &str, dim: usize| {
        bed.post("/v1/collections", json!({"name": "docs", "dim": dim, "metric": "l2", "embedding": {"provider": provider, "model": model}}))
    };
    assert_problem(with("nobody", "m", DIM), 400, "invalid", "known are: hashed, near");
    assert_problem(with("near", "", DIM), 400, "invalid", "1 to 512");
    assert_problem(
        with("near", "m", 4),
        400,
        "dimension_mismatch",
        "vectors of 3 numbers, the collection has 4",
    );
    assert_problem(
        with("hashed", "nearfield-hashed-512", 64),
        400,
        "dimension_mismatch",
        "of 512 numbers, the collection has 64",
    );
    assert_problem(with("hashed", "m", 64), 400, "invalid", "nearfield-hashed-64");
    let (status, body) = with("near", "m", DIM);
    assert_eq!(
        (status, &body["embedding"]["provider"], &body["embedding"]["model"]),
        (201, &json!("near"), &json!("m"))
    );
    assert_eq!(with("near", "m", DIM).0, 200);
    assert_problem(with("near", "other", DIM), 409, "conflict", "embedding m of near");
    assert_eq!(fake.requests(), 0, "nobody is asked for that");
}

#[test]
fn rows_of_the_built_in_provider_are_found_by_their_texts_at_once() {
    let bed = Bed::new();
    let profile = json!({"provider": "hashed", "model": "nearfield-hashed-64"});
    assert_eq!(
        bed.post(
            "/v1/collections",
            json!({"name": "docs", "dim": 64, "metric": "cosine", "embedding": profile})
        )
        .0,
        201
    );
    let chunks = json!({"chunks": [{"id": "fox", "text": "a fox in the snow"}, {"id": "dog", "text": "dogs asleep"}, {"id": "none", "text": "!!!"}]});
    assert_eq!(bed.post("/v1/collections/docs/chunks", chunks).1["upserted"], 3);
    assert_eq!(bed.collection("docs")["counts"]["pending"], 1, "no letter, no vector");
    let (status, found) = bed.search(json!({"text": "foxes and snow", "mode": "vector", "k": 1}));
    assert_eq!((status, &found["hits"][0]["id"]), (200, &json!("fox")));
    let lines = "{\"id\": \"cat\", \"text\": \"cats climb trees\"}\n";
    bed.client().send(
        "POST",
        "/v1/collections/docs/chunks",
        &[("content-type", "application/x-ndjson")],
        lines.as_bytes(),
    );
    bed.post("/vectors/sync", json!([{"document_id": "d", "chunk_index": 0, "text": "horses run"}]));
    let searches = json!({"searches": [{"text": "climbing cat", "mode": "vector", "k": 1}, {"text": "horse", "mode": "hybrid", "k": 1}, {"text": "dogs"}]});
    let (_, found) = bed.post("/v1/collections/docs/search/batch", searches);
    let ids: Vec<&Value> = (0..3).map(|n| &found["results"][n]["hits"][0]["id"]).collect();
    assert_eq!(ids, ["cat", "d:0", "dog"]);
    assert!(found["results"][1].get("degraded_legs").is_none(), "{found}");
    assert_eq!(bed.get("/v1/collections/docs/chunks/cat").1["embedding_model"], "nearfield-hashed-64");
    // The one that cannot have a vector is told, and nothing else waits.
    until("the row is put aside", || bed.collection("docs")["embedding"]["parked"] == 1);
    let (_, told) = bed.get("/v1/admin/embedding");
    assert_eq!(told["collections"][0]["parked"][0]["id"], "none", "{told}");
    assert_problem(bed.search(json!({"text": "?!", "mode": "vector"})), 400, "invalid", "letter or digit");
    assert_problem(bed.search(json!({"text": " ", "mode": "vector"})), 400, "invalid", "empty");
    bed.post("/v1/collections", json!({"name": "plain", "dim": 2, "metric": "l2"}));
    let plain = bed.post("/v1/collections/plain/search", json!({"text": "a", "mode": "vector"}));
    assert_problem(plain, 400, "invalid", "send the vector");
    assert_problem(bed.get("/v1/admin/embedding?collection=plain"), 409, "conflict", "no profile");
}

#[test]
fn rows_are_acknowledged_first_embedded_once_and_not_again_after_a_restart() {
    let fake = Fake::new(|_, body| good(body, DIM));
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::of(open(folder.path()), near(&fake, |options| options.batch = 7));
    assert_eq!(bed.post("/v1/collections", new("docs")).0, 201);
    assert_eq!(bed.post("/v1/collections/docs/chunks", rows(0..100)).1["upserted"], 100);
    bed.until_idle("docs", 0);
    let (status, found) =
        bed.search(json!({"text": text(61), "mode": "vector", "exact": true, "k": 1, "include": ["text"]}));
    assert_eq!((status, &found["hits"][0]["text"]), (200, &json!(text(61))), "{found}");
    assert!(times(&fake, &[]).values().all(|n| *n == 1), "the question's vector is remembered, too");
    let page = bed.client().get("/metrics").text();
    for line in [
        "nearfield_embedding_coverage_ratio{collection=\"docs\"} 1\n",
        "nearfield_embedding_embedded_total{collection=\"docs\"} 100\n",
        "nearfield_embedding_state{collection=\"docs\",state=\"idle\"} 1\n",
        "nearfield_embedding_queries_total{result=\"ok\"} 1\n",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    let Bed { store, server } = bed;
    server.stop().unwrap();
    drop(store);
    // What another made with the same profile is served, and what is known is not asked for.
    let bed = Bed::of(open(folder.path()), near(&fake, |_| ()));
    bed.post(
        "/v1/collections/docs/chunks/delete",
        json!({"ids": (0..50).map(|n| n.to_string()).collect::<Vec<_>>()}),
    );
    let asked = fake.requests();
    assert_eq!(bed.post("/v1/collections/docs/chunks", rows(0..50)).1["upserted"], 50);
    bed.until_idle("docs", 0);
    assert_eq!((fake.requests(), &bed.collection("docs")["counts"]["rows"]), (asked, &json!(100)));
}

#[test]
fn a_silent_provider_holds_up_no_write_and_searches_say_what_they_lack() {
    let is_silent = Arc::new(AtomicBool::new(true));
    let silent = is_silent.clone();
    let fake = Fake::new(
        move |_, body| if silent.load(Ordering::SeqCst) { Reply::Silence } else { good(body, DIM) },
    );
    let bed = Bed::with(near(&fake, |options| options.timeout_ms = 100));
    bed.post("/v1/collections", new("docs"));
    assert_eq!(bed.post("/v1/collections/docs/chunks", rows(0..10)).1["upserted"], 10);
    until("it is found out", || {
        bed.collection("docs")["embedding"]["state"] == "waiting" && !bed.why().is_empty()
    });
    assert!(bed.why().contains("try again later"), "{}", bed.why());
    assert!(bed.collection("docs")["embedding"].get("why").is_none(), "that is for admins");
    if cfg!(feature = "text") {
        let (status, found) = bed.search(json!({"text": "number 4", "mode": "hybrid", "k": 1}));
        assert_eq!(
            (status, &found["hits"][0]["id"], &found["degraded_legs"]),
            (200, &json!("4"), &json!(["vector"]))
        );
    }
    assert_problem(
        bed.search(json!({"text": "number 4", "mode": "vector"})),
        503,
        "unavailable",
        "provider near",
    );
    let hurried = bed.search(json!({"text": "number 4", "mode": "vector", "timeout_ms": 20}));
    assert_problem(hurried, 503, "unavailable", "provider near");
    let page = bed.client().get("/metrics").text();
    assert!(page.contains("nearfield_embedding_pending_rows{collection=\"docs\"} 10\n"), "{page}");
    is_silent.store(false, Ordering::SeqCst);
    assert_eq!(bed.post("/v1/admin/embedding", json!({"collection": "docs", "retry": true})).0, 200);
    bed.until_idle("docs", 0);
    assert_eq!(
        bed.search(json!({"text": text(4), "mode": "vector", "exact": true, "k": 1})).1["hits"][0]["id"],
        "4"
    );
}

#[test]
fn a_provider_that_asks_for_a_pause_gets_it_and_every_row_its_vector() {
    let fake = Fake::new(|n, body| match n % 3 {
        0 => Reply::Say(429, "retry-after: 0\r\n", String::new()),
        _ => good(body, DIM),
    });
    let bed = Bed::with(near(&fake, |options| (options.batch, options.concurrency) = (5, 1)));
    bed.post("/v1/collections", new("docs"));
    bed.post("/v1/collections/docs/chunks", rows(0..40));
    bed.until_idle("docs", 0);
    let refused: Vec<usize> = (0..fake.requests()).filter(|n| n % 3 == 0).collect();
    let times = times(&fake, &refused);
    assert!(times.len() == 40 && times.values().all(|n| *n == 1), "{times:?}");
}

#[test]
fn vectors_of_another_width_are_told_and_never_stored() {
    let is_right = Arc::new(AtomicBool::new(false));
    let right = is_right.clone();
    let fake = Fake::new(move |_, body| good(body, if right.load(Ordering::SeqCst) { DIM } else { 5 }));
    let bed = Bed::with(near(&fake, |_| ()));
    bed.post("/v1/collections", new("docs"));
    bed.post("/v1/collections/docs/chunks", rows(0..3));
    until("it stops", || bed.collection("docs")["embedding"]["state"] == "stopped");
    assert!(bed.why().contains("vectors of 5 numbers, 3 were expected"), "{}", bed.why());
    assert_eq!(bed.collection("docs")["counts"]["pending"], 3);
    let refused = bed.search(json!({"text": "a", "mode": "vector"}));
    assert_problem(refused, 503, "unavailable", "/v1/admin/status");
    is_right.store(true, Ordering::SeqCst);
    bed.post("/v1/admin/embedding", json!({"retry": true}));
    bed.until_idle("docs", 0);
}

#[test]
fn a_collection_that_is_dropped_while_it_is_embedded_is_gone_and_its_name_is_free() {
    let (go, gate) = channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let fake = Fake::new(move |n, body| {
        if n == 0 {
            gate.lock().unwrap().recv().unwrap();
        }
        good(body, DIM)
    });
    let bed = Bed::with(near(&fake, |options| options.timeout_ms = 60_000));
    bed.post("/v1/collections", new("docs"));
    bed.post("/v1/collections/docs/chunks", rows(0..10));
    until("the provider is asked", || fake.requests() == 1);
    assert_eq!(bed.delete("/v1/collections/docs").0, 204);
    assert_eq!(bed.get("/v1/collections/docs").0, 404);
    assert_eq!(bed.post("/v1/collections", new("docs")).0, 201);
    bed.post("/v1/collections/docs/chunks", rows(0..3));
    go.send(()).unwrap();
    bed.until_idle("docs", 0);
    assert_eq!(bed.collection("docs")["counts"]["rows"], 3);
}

#[test]
fn the_end_does_not_wait_for_a_provider_that_hangs_and_leaves_the_folder_free() {
    let fake = Fake::new(|_, _| Reply::Silence);
    let folder = tempfile::tempdir().unwrap();
    let options = near(&fake, |options| options.timeout_ms = 600_000);
    let bed = Bed::of(open(folder.path()), Options { shutdown_ms: 200, ..options.clone() });
    bed.post("/v1/collections", new("docs"));
    bed.post("/v1/collections/docs/chunks", rows(0..10));
    until("the provider is asked", || fake.requests() == 1);
    let Bed { store, server } = bed;
    let start = std::time::Instant::now();
    server.stop().unwrap();
    assert!(start.elapsed().as_secs() < 60, "it waited for the provider");
    drop(store);
    // The thread that hangs keeps nothing open, and nothing is lost.
    until("the folder is free", || Store::open(folder.path(), nearfield::Options::default()).is_ok());
    let store = open(folder.path());
    assert_eq!(store.open_collection("docs").unwrap().stats().pending, 10);
}

#[test]
fn collections_of_one_provider_take_turns() {
    let (go, gate) = channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let fake = Fake::new(move |n, body| {
        if n == 0 {
            gate.lock().unwrap().recv().unwrap();
        }
        good(body, DIM)
    });
    let bed = Bed::with(near(&fake, |options| (options.batch, options.concurrency) = (3, 1)));
    for name in ["docs", "others"] {
        bed.post("/v1/collections", new(name));
    }
    bed.post("/v1/collections/docs/chunks", rows(0..60));
    until("the provider is asked", || fake.requests() == 1);
    bed.post("/v1/collections/others/chunks", rows(60..120));
    // While the one waits for its answer, the other has begun, and waits for its turn.
    until("the other begins", || bed.collection("others")["embedding"]["state"] == "working");
    (0..20).for_each(|_| drop(bed.collection("others")));
    go.send(()).unwrap();
    bed.until_idle("docs", 0);
    bed.until_idle("others", 0);
    assert_eq!(fake.most.load(Ordering::SeqCst), 1, "no more requests at a time than the settings say");
    let times = times(&fake, &[]);
    assert!(times.len() == 120 && times.values().all(|n| *n == 1), "{times:?}");
}

#[test]
fn a_row_that_is_refused_is_remembered_over_a_restart_and_tried_again_on_demand() {
    let is_strict = Arc::new(AtomicBool::new(true));
    let strict = is_strict.clone();
    let fake = Fake::new(move |_, body| {
        let is_bad = texts(body).iter().any(|text| text.contains("BAD"));
        match is_bad && strict.load(Ordering::SeqCst) {
            true => Reply::Say(400, "", "{\"error\": {\"message\": \"too rude\"}}".to_owned()),
            false => good(body, DIM),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let bed = Bed::of(open(folder.path()), near(&fake, |_| ()));
    bed.post("/v1/collections", new("docs"));
    bed.post("/v1/collections/docs/chunks", rows(0..20));
    bed.post("/v1/collections/docs/chunks", json!({"chunks": [{"id": "rude", "text": "BAD words"}]}));
    bed.until_idle("docs", 1);
    let Bed { store, server } = bed;
    server.stop().unwrap();
    drop(store);
    let asked = fake.requests();
    let bed = Bed::of(open(folder.path()), near(&fake, |_| ()));
    bed.until_idle("docs", 1);
    let (_, told) = bed.get("/v1/admin/embedding?collection=docs");
    let parked = &told["collections"][0]["parked"];
    assert_eq!((parked[0]["id"].as_str(), parked.as_array().unwrap().len()), (Some("rude"), 1), "{told}");
    assert!(parked[0]["why"].as_str().unwrap().contains("too rude"), "{told}");
    assert_eq!(fake.requests(), asked, "it is not asked for again");
    assert_problem(bed.post("/v1/admin/embedding", json!({"retry": false})), 400, "invalid", "must be true");
    is_strict.store(false, Ordering::SeqCst);
    let (_, told) = bed.post("/v1/admin/embedding", json!({"retry": true}));
    assert_eq!(told, json!({"collections": [{"collection": "docs", "retried": 1}]}));
    bed.until_idle("docs", 0);
}

#[cfg(unix)]
#[test]
fn killed_in_between_nothing_is_lost_and_nothing_is_embedded_twice() {
    use super::client::Client;
    use super::command::{command, serve};
    let hangs = Arc::new(AtomicBool::new(true));
    let is_hanging = hangs.clone();
    let fake = Fake::new(move |n, body| match n >= 4 && is_hanging.load(Ordering::SeqCst) {
        true => Reply::Silence,
        false => good(body, DIM),
    });
    let folder = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = command(folder.path(), &[]);
        command.env("NEARFIELD_EMBEDDING_NEAR_URL", fake.url());
        command.env("NEARFIELD_EMBEDDING_NEAR_BATCH", "5").env("NEARFIELD_EMBEDDING_NEAR_CONCURRENCY", "1");
        serve(command)
    };
    let process = start();
    let mut client = Client::connect(process.addr);
    assert_eq!(client.post("/v1/collections", &new("docs")).status, 201);
    assert_eq!(client.post("/v1/collections/docs/chunks", &rows(0..60)).json().1["upserted"], 60);
    until("the fifth request hangs", || fake.requests() == 5);
    process.kill();
    hangs.store(false, Ordering::SeqCst);
    let process = start();
    let mut client = Client::connect(process.addr);
    until("all rows have their vectors", || {
        let (_, told) = client.get("/v1/collections/docs").json();
        told["counts"]["rows"] == 60 && told["counts"]["pending"] == 0
    });
    let times = times(&fake, &[4]);
    assert!(times.len() == 60 && times.values().all(|n| *n == 1), "{times:?}");
    let found = client.post(
        "/v1/collections/docs/search",
        &json!({"text": text(33), "mode": "vector", "exact": true, "k": 1}),
    );
    assert_eq!(found.json().1["hits"][0]["id"], "33");
}
