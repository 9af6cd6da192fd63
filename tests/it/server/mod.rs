//! The HTTP server, over real sockets. Goal: every route, every limit, every way to misuse it. Method: a listener on a free port of
//! 127.0.0.1 and a client that writes the bytes itself, so that it can also write wrong ones.

mod abuse;
mod client;
mod collections;
#[cfg(unix)]
mod command;
mod embedding;
mod jobs;
mod lines;
mod migrate;
#[cfg(feature = "mirror")]
pub(crate) mod mirrored;
mod mounted;
mod pages;
mod reload;
mod searches;
mod shutdown;
mod trust;
mod vectors;
mod walk;

use client::Client;
use nearfield::server::{Options, Running, Server};
use nearfield::{Chunk, Metric, Schema, Store};
use serde_json::{Value, json};

/// A server with a store of its own.
pub(crate) struct Bed {
    pub(crate) store: Store,
    pub(crate) server: Running,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::of(Store::memory(), options)
    }

    pub(crate) fn of(store: Store, options: Options) -> Self {
        let options = Options { bind: "127.0.0.1:0".parse().unwrap(), ..options };
        let server = Server::bind(store.clone(), None, options).unwrap().start().unwrap();
        Self { store, server }
    }

    /// With a collection `docs` of `rows` rows in two dimensions: `n` at `[n, 1]`, ten to a document.
    pub(crate) fn filled(rows: usize) -> Self {
        let bed = Self::new();
        bed.fill(rows);
        bed
    }

    pub(crate) fn fill(&self, rows: usize) {
        let docs = self.store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
        let chunk = |n: usize| {
            Chunk::new(n.to_string())
                .vector([n as f32, 1.0])
                .text(format!("text {n}"))
                .document(format!("d{:03}", n / 10), (n % 10) as u32)
                .meta("n", n)
                .meta("even", n.is_multiple_of(2))
        };
        docs.upsert((0..rows).map(chunk)).unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.server.addr())
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        self.client().get(path).json()
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.client().post(path, &body).json()
    }

    pub(crate) fn delete(&self, path: &str) -> (u16, Value) {
        self.client().send("DELETE", path, &[], b"").json()
    }
}

/// Asserts that an answer is a problem with this code, and that its detail has these words.
#[track_caller]
pub(crate) fn assert_problem(answer: (u16, Value), status: u16, code: &str, words: &str) {
    let (got, body) = answer;
    assert_eq!((got, body["code"].as_str()), (status, Some(code)), "{body}");
    assert_eq!(body["status"], status, "{body}");
    assert!(body["detail"].as_str().unwrap().contains(words), "{words:?} is not in {body}");
    assert!(body["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{body}");
    assert_eq!(body["type"], format!("urn:nearfield:problem:{code}"));
}

/// A search for what is near `[x, 1]`.
pub(crate) fn near(x: f32) -> Value {
    json!({"vector": [x, 1.0], "k": 3})
}
