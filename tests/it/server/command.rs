//! `nearfield serve` as a process: what it prints, how a signal ends it, and what its log never tells.

use super::client::Client;
use super::near;
use nearfield::{Options, Store};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const TOKEN: &str = "0123456789abcdef-the-secret-token-0123456789";

pub(super) struct Process {
    child: Child,
    pub(super) addr: SocketAddr,
}

pub(super) fn command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
    command.args(["serve", "--json", "--data"]).arg(data).args(arguments);
    command.env_remove("DATABASE_URL").env_remove("NEARFIELD_TOKENS");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(super) fn serve(mut command: Command) -> Process {
    let mut child = command.args(["--bind", "127.0.0.1:0"]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let told: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"));
    let url = told["url"].as_str().unwrap();
    Process { addr: url.strip_prefix("http://").unwrap().parse().unwrap(), child }
}

impl Process {
    /// Ends it as nobody can prevent.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as a service manager does; its log.
    fn end(mut self, signal: Signal) -> String {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // If a test failed in between.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_signal_ends_it_and_what_was_acknowledged_is_there() {
    let folder = tempfile::tempdir().unwrap();
    for (n, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let process = serve(command(folder.path(), &[]));
        let mut client = Client::connect(process.addr);
        let new = json!({"name": "docs", "dim": 2, "metric": "l2"});
        assert!([200, 201].contains(&client.post("/v1/collections", &new).status));
        let chunks = json!({"chunks": [{"id": n.to_string(), "vector": [n, 1]}]});
        assert_eq!(client.post("/v1/collections/docs/chunks", &chunks).status, 200);
        process.end(signal);
        let store = Store::open(folder.path(), Options::default()).unwrap();
        assert_eq!(store.open_collection("docs").unwrap().count(None).unwrap(), n + 1);
    }
}

/// A search in the place of a socket's thread has another one stand in for it, and who comes next may find that one busy.
#[cfg(target_os = "linux")]
#[test]
fn threads_that_serve_sockets_are_as_many_as_are_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let process = serve(command(folder.path(), &[]));
    let mut client = Client::connect(process.addr);
    let new = json!({"name": "docs", "dim": 2, "metric": "l2"});
    assert_eq!(client.post("/v1/collections", &new).status, 201);
    let search = |client: &mut Client| client.post("/v1/collections/docs/search", &json!({"vector": [0, 1]}));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::connect(process.addr);
                (0..300).for_each(|_| assert_eq!(search(&mut client).status, 200));
            });
        }
    });
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.child.id())).unwrap();
    let names =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default());
    let serving = names.filter(|name| name.starts_with("nearfield-io")).count();
    assert!((1..=3).contains(&serving), "{serving}: one that serves, one that stands in, one for the end");
}

/// S4, S5.
#[test]
fn s5_the_log_tells_no_secret_and_nothing_of_what_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let mut quiet = command(folder.path(), &["--log-format", "json", "--log-level", "trace"]);
    quiet.env("NEARFIELD_TOKENS", format!("admin {TOKEN}"));
    let secret = "postgres://me:s3cret-word@127.0.0.1:9/nowhere";
    if cfg!(feature = "mirror") {
        quiet.args(["--database-url", secret]);
    }
    let process = serve(quiet);
    let mut client = Client::connect(process.addr).with_token(TOKEN);
    client.post("/v1/collections", &json!({"name": "docs", "dim": 2, "metric": "l2"}));
    let chunk = json!({"id": "private-id", "vector": [0.123456, 1], "text": "private text", "metadata": {"k": "private value"}});
    assert_eq!(client.post("/v1/collections/docs/chunks", &json!({"chunks": [chunk]})).status, 200);
    let mut body = near(0.123456);
    body["filter"] = json!({"k": "private value"});
    assert_eq!(client.post("/v1/collections/docs/search", &body).status, 200);
    body["surprise"] = json!("private text");
    assert_eq!(client.post("/v1/collections/docs/search", &body).status, 400);
    let mut stranger = Client::connect(process.addr).with_token("wrong-token-but-secret-all-the-same");
    assert_eq!(stranger.get("/v1/collections").status, 401);
    let log = process.end(Signal::TERM);
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["fields"]["message"] == "answered"), "{log}");
    for secret in [TOKEN, "wrong-token", "s3cret-word", "private text", "private value", "0.123456"] {
        assert!(!log.contains(secret), "the log tells {secret:?}");
    }
}

/// S1, S3.
#[test]
fn what_would_be_open_to_everybody_is_not_started() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let tokens = folder.path().join("tokens");
    let run = |arguments: &[&str]| {
        let done = command(&data, arguments).output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let (code, told) = run(&["--bind", "0.0.0.0:0"]);
    assert_eq!(code, Some(1));
    assert!(told.contains("token file") && !data.exists(), "{told}");
    for (text, words) in [("", "holds no token"), ("admin short-secret\n", "line 1")] {
        std::fs::write(&tokens, text).unwrap();
        let (code, told) = run(&["--bind", "127.0.0.1:0", "--token-file", tokens.to_str().unwrap()]);
        assert_eq!(code, Some(1));
        assert!(told.contains(words) && !told.contains("short-secret"), "{told}");
    }
    let (code, told) = run(&["--token", TOKEN]);
    assert_eq!(code, Some(2), "a token on the command line: {told}");
}
