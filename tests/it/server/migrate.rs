//! A running server takes a collection to another embedding model. Goal: searches and writes go on meanwhile, nothing that was acknowledged is
//! lost at the switch, no audit waits for a fill, and orders that make no sense are refused. Method: a server, and a service over a real
//! socket that answers as it is told to.

use super::client::Client;
use super::jobs::finished;
use super::{Bed, assert_problem};
use crate::support::embeddings::{Fake, Reply, good, item, texts, vector};
use crate::support::wait::until;
use nearfield::server::Options;
use nearfield::{ProviderOptions, Providers};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};

const DIM: usize = 3;
const MIGRATE: &str = "/v1/admin/migrate";
const LINES: [(&str, &str); 1] = [("content-type", "application/x-ndjson")];

/// A server with the built-in provider and another one, and `docs`, whose rows were embedded by the first.
fn bed(fake: &Fake, rows: usize) -> Bed {
    filled(Bed::with(near(fake, 5_000)), rows)
}

fn near(fake: &Fake, timeout_ms: u64) -> Options {
    let options =
        ProviderOptions { timeout_ms, batch: 16, concurrency: 1, ..ProviderOptions::new(fake.url()) };
    let embedding = Providers::new([("near".to_owned(), options)]).unwrap();
    Options { embedding, ..Options::default() }
}

fn filled(bed: Bed, rows: usize) -> Bed {
    let profile = json!({"provider": "hashed", "model": "nearfield-hashed-64"});
    let docs = json!({"name": "docs", "dim": 64, "metric": "cosine", "embedding": profile});
    assert_eq!(bed.post("/v1/collections", docs).0, 201);
    let chunk = |n: usize| json!({"id": n.to_string(), "text": text(n)});
    let chunks = json!({"chunks": (0..rows).map(chunk).collect::<Vec<_>>()});
    assert_eq!(bed.post("/v1/collections/docs/chunks", chunks).1["upserted"], rows);
    bed
}

fn text(n: usize) -> String {
    format!("row {n} speaks of subject {}", n * 7 % 11)
}

fn order(step: &str, more: Value) -> Value {
    let mut order = json!({"collection": "docs", "step": step});
    if !["undo", "drop"].contains(&step) {
        order["embedding"] = json!({"provider": "near", "model": "m"});
    }
    order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    order
}

impl Bed {
    fn step(&self, step: &str, more: Value) -> Value {
        let job = finished(self, self.post(MIGRATE, order(step, more)));
        assert_eq!((&job["kind"], &job["state"]), (&json!("migrate"), &json!("done")), "{job}");
        job["result"].clone()
    }

    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        let mut path = "/v1/collections/docs/chunks?limit=1000".to_owned();
        loop {
            let (_, page) = self.get(&path);
            ids.extend(
                page["chunks"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()),
            );
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/v1/collections/docs/chunks?limit=1000&cursor={cursor}");
        }
        ids.sort();
        ids
    }
}

#[test]
fn a_collection_goes_over_and_back_step_by_step() {
    let fake = Fake::new(|_, body| good(body, DIM));
    let bed = bed(&fake, 40);
    let told = bed.step("estimate", json!({"dim": DIM, "price_per_million": 0.5, "tokens_per_s": 1000}));
    assert_eq!((&told["told"], &told["texts"], &told["dim"]), (&json!("estimate"), &json!(40), &json!(DIM)));
    assert!(told["price"].as_f64().unwrap() > 0.0 && told["seconds"].as_f64().unwrap() > 0.0, "{told}");
    assert_eq!(fake.requests(), 0, "a width that is given is not asked for");
    assert_eq!(bed.step("fill", json!({"dry_run": true}))["texts"], 40);
    let asked = fake.requests();
    assert_eq!(asked, 1, "the width is");
    let told = bed.step("fill", json!({"tokens_max": 1}));
    assert_eq!((&told["told"], &told["state"]), (&json!("filled"), &json!("spent")));
    let told = bed.step("fill", json!({}));
    assert_eq!((&told["filled"], &told["state"]), (&json!(40), &json!("done")));
    assert_eq!(bed.get("/v1/collections/docs.next").1["embedding"]["provider"], "near");
    let told = bed.step("compare", json!({"queries": ["subject 3", "row 7"], "k": 5}));
    assert_eq!(
        (&told["queries"], &told["k"], &told["after"]["collection"]),
        (&json!(2), &json!(5), &json!("docs.next"))
    );
    assert!(told["before"]["search_p50_us"].as_f64().unwrap() > 0.0);
    assert_eq!(bed.step("compare", json!({"rows": 10, "seed": 1}))["queries"], 10);
    let told = bed.step("switch", json!({}));
    assert_eq!(
        (&told["told"], &told["name"], &told["old"]),
        (&json!("switched"), &json!("docs"), &json!("docs.old"))
    );
    assert_eq!(bed.get("/v1/collections/docs").1["dim"], DIM);
    let (_, found) =
        bed.post("/v1/collections/docs/search", json!({"text": "subject 3", "mode": "vector", "k": 1}));
    assert_eq!(
        found["hits"].as_array().unwrap().len(),
        1,
        "the new model embeds what is searched for: {found}"
    );
    // What comes now is embedded by the new model.
    bed.post("/v1/collections/docs/chunks", json!({"chunks": [{"id": "new", "text": "since the switch"}]}));
    until("the new row has its vector", || bed.get("/v1/collections/docs").1["counts"]["pending"] == 0);
    assert_eq!(bed.get("/v1/collections/docs/chunks/new").1["embedding_model"], "m");
    assert_eq!(bed.step("undo", json!({"dry_run": true}))["changed_ids"], json!(["new"]));
    let job = finished(&bed, bed.post(MIGRATE, order("undo", json!({}))));
    assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!("conflict")), "{job}");
    assert_eq!(bed.step("undo", json!({"yes": true}))["next"], "docs.next");
    assert_eq!(bed.get("/v1/collections/docs").1["dim"], 64);
    bed.step("switch", json!({}));
    assert_eq!(bed.step("drop", json!({"dry_run": true}))["name"], "docs.old");
    assert_eq!(
        bed.step("drop", json!({"yes": true})),
        json!({"told": "dropped", "name": "docs.old", "rows": 40, "in_database": null})
    );
    assert_eq!(bed.get("/v1/collections").1["collections"].as_array().unwrap().len(), 1);
}

#[test]
fn orders_that_make_no_sense_are_refused_before_they_are_jobs() {
    let fake = Fake::new(|_, body| good(body, DIM));
    let bed = bed(&fake, 1);
    let refused = |order: Value, status: u16, code: &str, words: &str| {
        assert_problem(bed.post(MIGRATE, order), status, code, words);
    };
    refused(json!({"collection": "docs", "step": "fill"}), 400, "invalid", "fill needs the provider");
    refused(json!({"collection": "docs", "step": "leap"}), 400, "invalid", "unknown variant `leap`");
    refused(json!({"step": "undo"}), 400, "invalid", "missing field `collection`");
    refused(json!(["docs", "undo"]), 400, "invalid", "an object");
    refused(json!({"collection": "others", "step": "undo"}), 404, "not_found", "others");
    for (step, field, value) in [
        ("undo", "embedding", json!({"provider": "near", "model": "m"})),
        ("undo", "dim", json!(3)),
        ("compare", "tokens_per_s", json!(3)),
        ("estimate", "tokens_max", json!(3)),
        ("fill", "price_per_million", json!(3)),
        ("fill", "rows", json!(3)),
        ("switch", "seed", json!(3)),
        ("switch", "queries", json!(["a"])),
        ("fill", "k", json!(3)),
        ("undo", "tenant", json!("t")),
        ("fill", "incomplete", json!(true)),
        ("switch", "yes", json!(true)),
        ("undo", "filled", json!(true)),
        ("compare", "dry_run", json!(true)),
    ] {
        refused(
            order(step, json!({field: value})),
            400,
            "invalid",
            &format!("{field} is no matter of the step {step}"),
        );
    }
    refused(
        order("compare", json!({"queries": ["a"], "rows": 3})),
        400,
        "invalid",
        "leave rows and seed out",
    );
    refused(
        order("fill", json!({"embedding": {"provider": "nobody", "model": "m"}})),
        400,
        "invalid",
        "known are: hashed, near",
    );
    let wide = json!({"provider": "hashed", "model": "nearfield-hashed-96"});
    refused(order("fill", json!({"embedding": wide, "dim": 3})), 400, "dimension_mismatch", "of 96 numbers");
    let (_, jobs) = bed.get("/v1/admin/jobs");
    assert_eq!((jobs["jobs"].as_array().unwrap().len(), fake.requests()), (0, 0));
    for (order, code, words) in [
        (order("switch", json!({})), "not_found", "fill it first"),
        (order("drop", json!({"yes": true})), "not_found", "nothing was switched"),
        (order("drop", json!({"filled": true})), "invalid", "say yes"),
    ] {
        let job = finished(&bed, bed.post(MIGRATE, order));
        assert_eq!((&job["state"], &job["error"]["code"]), (&json!("failed"), &json!(code)), "{job}");
        assert!(job["error"]["detail"].as_str().unwrap().contains(words), "{job}");
    }
}

#[test]
fn no_job_waits_for_a_fill_which_is_cancelled_between_two_batches_and_goes_on_where_it_was() {
    let (go, gate) = channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let is_shut = Arc::new(AtomicBool::new(true));
    let shut = is_shut.clone();
    let fake = Fake::new(move |n, body| {
        if n == 1 && shut.load(Ordering::SeqCst) {
            gate.lock().unwrap().recv().unwrap();
        }
        good(body, DIM)
    });
    let bed = bed(&fake, 600);
    let (status, told) = bed.post(MIGRATE, order("fill", json!({"dim": DIM})));
    assert_eq!(status, 202, "{told}");
    let path = format!("/v1/admin/jobs/{}", told["job"]["id"].as_str().unwrap());
    until("the provider hangs", || fake.requests() == 2);
    let (_, other) = bed.post(MIGRATE, order("fill", json!({"dim": DIM})));
    let checkpoint = finished(&bed, bed.post("/v1/admin/checkpoint", json!({})));
    assert_eq!(checkpoint["state"], "done");
    assert_eq!(bed.get(&path).1["state"], "running");
    let waiting = format!("/v1/admin/jobs/{}", other["job"]["id"].as_str().unwrap());
    assert_eq!(bed.get(&waiting).1["state"], "queued", "one at a time");
    assert_eq!(bed.delete(&waiting).1["state"], "cancelled");
    assert_eq!(bed.delete(&path).1["state"], "running");
    is_shut.store(false, Ordering::SeqCst);
    go.send(()).unwrap();
    until("it ends", || bed.get(&path).1["state"] == "cancelled");
    let there = bed.get("/v1/collections/docs.next").1["counts"]["rows"].as_u64().unwrap();
    assert!(there > 0 && there < 600, "{there}");
    assert_eq!(bed.step("fill", json!({"dim": DIM}))["filled"], 600);
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for body in fake.asked.lock().unwrap().iter() {
        texts(body).into_iter().for_each(|text| *times.entry(text).or_default() += 1);
    }
    assert!(times.len() == 600 && times.values().all(|n| *n == 1), "each text once: {}", times.len());
}

#[test]
fn the_end_leaves_a_fill_whose_provider_hangs_and_the_folder_is_free() {
    let is_silent = Arc::new(AtomicBool::new(true));
    let silent = is_silent.clone();
    let fake = Fake::new(move |_, body| match silent.load(Ordering::SeqCst) {
        true => Reply::Silence,
        false => good(body, DIM),
    });
    let folder = tempfile::tempdir().unwrap();
    let open = || nearfield::Store::open(folder.path(), nearfield::Options::default());
    let options = Options { shutdown_ms: 400, ..near(&fake, 600_000) };
    drop(filled(Bed::of(open().unwrap(), options.clone()), 40));
    // The provider is silent about texts, or before that about the width of its vectors.
    for more in [json!({"dim": DIM}), json!({})] {
        let asked = fake.requests();
        let bed = Bed::of(open().unwrap(), options.clone());
        let (status, told) = bed.post(MIGRATE, order("fill", more));
        assert_eq!(status, 202, "{told}");
        until("the provider is asked", || fake.requests() > asked);
        let Bed { store, server } = bed;
        server.stop().unwrap();
        drop(store);
        until("the folder is free", || open().is_ok());
    }
    is_silent.store(false, Ordering::SeqCst);
    let bed = Bed::of(open().unwrap(), options);
    assert_eq!(bed.step("fill", json!({}))["filled"], 40);
}

#[test]
fn writers_do_not_notice_a_switch_and_nothing_acknowledged_is_lost() {
    // So many rows may be written: some more with each request, so that writers are never too fast for the provider.
    let room = Arc::new(AtomicUsize::new(10));
    let more = room.clone();
    let fake = Fake::new(move |_, body| {
        more.fetch_add(4, Ordering::SeqCst);
        good(body, DIM)
    });
    let bed = bed(&fake, 100);
    let to = |model: &str| json!({"embedding": {"provider": "near", "model": model}, "dim": DIM});
    // A stream that is open all the time.
    let mut stream = bed.client();
    stream.head("POST", "/v1/collections/docs/chunks", &LINES, None);
    let mut send = |n: usize| {
        let line = format!("{{\"id\": \"stream{n}\", \"text\": \"streamed {n}\"}}\n");
        assert!(stream.chunk(line.as_bytes()));
        if n == 0 {
            assert_eq!(stream.answer_head().unwrap().0, 200);
        }
        let told: Value = serde_json::from_slice(&stream.piece().unwrap()).unwrap();
        assert_eq!(told["status"], "ok", "{told}");
    };
    send(0);
    let is_over = AtomicBool::new(false);
    let written: Vec<String> = std::thread::scope(|scope| {
        let writer = |name: &'static str| {
            let (bed, room, is_over) = (&bed, &room, &is_over);
            scope.spawn(move || {
                let (mut client, mut written) = (bed.client(), Vec::new());
                while !is_over.load(Ordering::SeqCst) {
                    if room
                        .try_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(1))
                        .is_err()
                    {
                        std::thread::yield_now();
                        continue;
                    }
                    let id = format!("{name}{}", written.len());
                    let chunks = json!({"chunks": [{"id": id, "text": format!("written {id}")}]});
                    let (status, told) = client.post("/v1/collections/docs/chunks", &chunks).json();
                    assert_eq!((status, &told["upserted"]), (200, &json!(1)), "{told}");
                    written.push(id);
                }
                written
            })
        };
        let writers = [writer("a"), writer("b")];
        for n in 1..4 {
            let model = format!("m{n}");
            bed.step("fill", to(&model));
            assert_eq!(bed.step("switch", to(&model))["name"], "docs");
            bed.step("drop", json!({"yes": true}));
            room.fetch_add(10, Ordering::SeqCst);
            send(n);
        }
        is_over.store(true, Ordering::SeqCst);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    stream.last_chunk();
    let last: Value = serde_json::from_slice(&stream.piece().unwrap()).unwrap();
    assert_eq!((&last["upserted"], last.get("error")), (&json!(4), None), "{last}");
    let streamed = (0..4).map(|n| format!("stream{n}"));
    let mut all: Vec<String> = (0..100).map(|n| n.to_string()).chain(written).chain(streamed).collect();
    all.sort();
    assert!(bed.ids() == all, "{} rows for {}", bed.ids().len(), all.len());
    until("all have their vectors", || bed.get("/v1/collections/docs").1["counts"]["pending"] == 0);
}

/// Of two models: the vectors of `m2` are those of `m`, the other way round.
fn of_two(body: &Value) -> Reply {
    let sign = if body["model"] == "m2" { -1.0 } else { 1.0 };
    let vector = |text: &String| vector(text, DIM).into_iter().map(|x| x * sign).collect::<Vec<_>>();
    let plain = body["encoding_format"] != "base64";
    let data =
        texts(body).iter().enumerate().map(|(at, text)| item(at, &vector(text), plain)).collect::<Vec<_>>();
    Reply::Say(200, "", json!({"object": "list", "data": data}).to_string())
}

#[test]
fn a_search_is_answered_by_the_model_that_embedded_its_text_wherever_the_name_goes_meanwhile() {
    // Before the provider answers a question, the name goes back to the other model's collection, whose vectors are as wide.
    let at = Arc::new(OnceLock::<SocketAddr>::new());
    let there = at.clone();
    let fake = Fake::new(move |_, body| {
        if texts(body) == [text(3)] {
            let mut client = Client::connect(*there.get().unwrap());
            let (_, told) = client.post(MIGRATE, &order("undo", json!({"yes": true}))).json();
            let path = format!("/v1/admin/jobs/{}", told["job"]["id"].as_str().unwrap());
            until("it is undone", || client.get(&path).json().1["state"] == "done");
        }
        of_two(body)
    });
    let bed = bed(&fake, 20);
    at.set(bed.server.addr()).unwrap();
    bed.step("fill", json!({"dim": DIM}));
    bed.step("switch", json!({"dim": DIM}));
    bed.step("drop", json!({"yes": true}));
    let other = json!({"embedding": {"provider": "near", "model": "m2"}, "dim": DIM});
    bed.step("fill", other.clone());
    for call in ["search", "search/batch"] {
        bed.step("switch", other.clone());
        let mut body = json!({"text": text(3), "mode": "vector", "k": 1});
        if call == "search/batch" {
            body = json!({"searches": [body]});
        }
        let (status, found) = bed.post(&format!("/v1/collections/docs/{call}"), body);
        assert_eq!(status, 200, "{found}");
        let hit = found.pointer("/hits/0").or(found.pointer("/results/0/hits/0")).unwrap();
        assert!(hit["distance"].as_f64().unwrap() < 1e-3, "{call}: it is this model's: {found}");
        assert_eq!(bed.get("/v1/collections/docs").1["embedding"]["model"], "m");
    }
}

#[test]
fn the_command_line_asks_a_server() {
    let fake = Fake::new(|_, body| good(body, DIM));
    let bed = bed(&fake, 20);
    let url = format!("http://{}", bed.server.addr());
    let called = |args: &[&str]| {
        let mut line = vec!["nearfield", "--quiet", "--url", &url, "migrate", "docs"];
        line.extend(args);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = nearfield::cli::run(line, &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    };
    let near = |verb: &'static str| [verb, "--embedder", "near", "--model", "m"];
    for (args, words) in [
        (near("estimate").to_vec(), "m, 3 numbers: 20 texts of 20 rows"),
        (near("fill").to_vec(), "docs.next: 20 of 20 rows have their vector, 100.0 %"),
        ([&near("compare")[..], &["--rows", "5"]].concat(), "5 queries, 10 neighbours each"),
        (near("switch").to_vec(), "docs is what docs.next was, 20 rows"),
        (vec!["undo", "--dry-run"], ""),
        (vec!["undo"], "docs is what it was before the switch; the other one is docs.next"),
        (vec!["drop", "--filled", "--dry-run"], "docs.next would go"),
        (vec!["drop", "--filled", "--yes"], "docs.next is dropped, 20 rows"),
    ] {
        let (code, out, err) = called(&args);
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{args:?}");
        assert!(out.contains(words), "{args:?}: {out}");
    }
    for (args, words) in [
        (vec!["fill", "--embedder", &url, "--model", "m"], "name a provider of the server's settings"),
        (vec!["fill", "--embedder", "near", "--model", "m", "--key-env", "KEY"], "in its own settings"),
        (vec!["fill", "--embedder", "near"], "name one with --model"),
        ([&near("compare")[..], &["--old-embedder", "hashed"]].concat(), "leave --old-embedder away"),
        (near("switch").to_vec(), "fill it first"),
    ] {
        let (code, _, err) = called(&args);
        assert!(code == ExitCode::from(1) && err.contains(words), "{args:?}: {err}");
    }
}
