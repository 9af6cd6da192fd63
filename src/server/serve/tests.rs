//! Searches in the place of a socket's thread: which are, and who is held up meanwhile. The end, while somebody still holds the server.

use super::super::gate::SHORT_BYTES_MAX;
use super::super::routes::search::SHORT;
use super::*;
use crate::{Chunk, Metric, ProviderOptions, Providers, Schema};
use serde_json::{Value, json};
use std::io::{Read, Write};

const LONG: Duration = Duration::from_secs(60);

struct Bed {
    store: Store,
    app: App,
    server: Running,
}

impl Bed {
    fn new(request_ms: u64) -> Self {
        let store = Store::memory();
        let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
        docs.upsert((0..10).map(|n| Chunk::new(n.to_string()).vector([n as f32, 0.0]))).unwrap();
        let mut options = Options { search_threads: 1, recall_share: 0.0, ..Options::default() };
        options.limits.request_ms = request_ms;
        Self::of(store, options)
    }

    fn of(store: Store, mut options: Options) -> Self {
        options.bind = ([127, 0, 0, 1], 0).into();
        let server = Server::bind(store.clone(), None, options).unwrap();
        let app = server.app.clone();
        Self { store, app, server: server.start().unwrap() }
    }

    fn search(&self, body: &Value) -> u16 {
        status(self.server.addr(), "POST", "/v1/collections/docs/search", &body.to_string())
    }

    /// Has the one thread for searches wait until it is told to go on.
    fn held_up(&self) -> std::sync::mpsc::Sender<()> {
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = std::sync::mpsc::channel();
        let app = self.app.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let work = move || begun.send(()).is_ok() && gate.recv().is_ok();
            runtime.block_on(app.searches.run(LONG, work)).map(drop)
        });
        begins.recv().unwrap();
        go
    }
}

fn status(addr: SocketAddr, method: &str, path: &str, body: &str) -> u16 {
    let mut socket = std::net::TcpStream::connect(addr).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let length = body.len();
    let head = "host: localhost\r\nconnection: close\r\ncontent-type: application/json";
    write!(socket, "{method} {path} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer[9..12].parse().unwrap()
}

#[test]
fn a_short_search_that_is_alone_needs_no_other_thread_and_any_other_does() {
    let bed = Bed::new(300);
    let go = bed.held_up();
    let short = json!({"vector": [1.0, 0.0], "k": 3});
    assert_eq!(bed.search(&short), 200);
    // These wait for a thread, and hear in time that there is none.
    for more in [
        json!({"exact": true}),
        json!({"filter": {"a": 1}}),
        json!({"tenant": "t"}),
        json!({"group_by": "document_id"}),
        json!({"mmr": {"lambda": 0.5}}),
        json!({"k": SHORT.0 + 1}),
        json!({"ef": SHORT.1 + 1}),
    ] {
        let mut body = short.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(bed.search(&body), 503, "{body}");
    }
    let mut large = short.to_string();
    large.insert_str(1, &" ".repeat(SHORT_BYTES_MAX));
    assert_eq!(status(bed.server.addr(), "POST", "/v1/collections/docs/search", &large), 503);
    let two = json!({"searches": [short.clone(), short.clone()]}).to_string();
    assert_eq!(status(bed.server.addr(), "POST", "/v1/collections/docs/search/batch", &two), 503);
    // One that is not alone.
    let other = bed.app.alone.begin();
    assert_eq!(bed.search(&short), 503);
    drop(other);
    assert_eq!(bed.search(&short), 200);
    go.send(()).unwrap();
}

#[test]
fn a_search_in_the_sockets_place_holds_up_nobody_else() {
    let bed = Bed::new(LONG.as_millis() as u64);
    let addr = bed.server.addr();
    let held = bed.store.alive.shared.collections.write();
    let hung = std::thread::spawn(move || {
        status(addr, "POST", "/v1/collections/docs/search", r#"{"vector": [1.0, 0.0]}"#)
    });
    while bed.app.alone.is_free() {
        std::thread::yield_now();
    }
    assert_eq!(status(addr, "GET", "/livez", ""), 200);
    assert!(!bed.app.alone.is_free(), "it was over before anybody else came");
    drop(held);
    assert_eq!(hung.join().unwrap(), 200);
}

#[test]
fn the_end_leaves_a_job_whose_provider_hangs_though_the_host_keeps_its_handle() {
    let provider = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", provider.local_addr().unwrap());
    let silent = ProviderOptions { timeout_ms: 600_000, ..ProviderOptions::new(url) };
    let embedding = Providers::new([("silent".to_owned(), silent)]).unwrap();
    let store = Store::memory();
    store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    let Bed { app, server, .. } =
        Bed::of(store, Options { embedding, shutdown_ms: 400, ..Options::default() });
    let profile = json!({"provider": "silent", "model": "m"});
    let order = json!({"collection": "docs", "step": "fill", "embedding": profile}).to_string();
    assert_eq!(status(server.addr(), "POST", "/v1/admin/migrate", &order), 202);
    let asked = provider.accept().unwrap();
    assert_eq!(app.jobs.unfinished(), 1);
    server.stop().unwrap();
    assert!(app.jobs.wait_until(Instant::now() + LONG), "it waits for its provider");
    drop(asked);
}
