//! Settings that change while the program serves. Goal: tokens, limits and the level of the log change without a restart; what
//! cannot, or is wrong, is told and changes nothing. Method: the program itself, its files rewritten.

use super::client::Client;
use crate::support::wait::until;
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const OLD: &str = "0123456789abcdef0123456789abcdef";
const NEW: &str = "fedcba9876543210fedcba9876543210";

struct Program {
    child: Child,
    addr: std::net::SocketAddr,
    log: Arc<Mutex<String>>,
    home: TempDir,
}

impl Program {
    fn start() -> Self {
        let home = TempDir::new().unwrap();
        let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("n.toml"), "[server]\nbind = \"127.0.0.1:0\"\n[server.limits]\nk_max = 5\n").unwrap();
        fs::write(at("tokens"), format!("admin {OLD}\n")).unwrap();
        let args =
            ["--data", &at("store"), "--config", &at("n.toml"), "--token-file", &at("tokens"), "serve"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
        command.args(args).env_remove("DATABASE_URL").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}"));
        let (addr, log) = (addr.parse().unwrap(), Arc::new(Mutex::new(String::new())));
        let (heard, mut said) = (log.clone(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            let mut piece = [0; 4_096];
            while let Ok(n @ 1..) = said.read(&mut piece) {
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
        Self { child, addr, log, home }
    }

    /// As an editor does it: a new file in the place of the old one.
    fn put(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    fn status(&self, token: &str) -> u16 {
        Client::connect(self.addr).with_token(token).get("/v1/collections").status
    }

    fn logged(&self, words: &str) -> bool {
        self.log.lock().unwrap().contains(words)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn tokens_and_limits_change_and_everything_else_is_named() {
    let program = Program::start();
    assert_eq!((program.status(OLD), program.status(NEW)), (200, 401));
    program.put("tokens", &format!("admin {OLD}\nadmin {NEW}\n"));
    until("both tokens hold", || program.status(NEW) == 200);
    assert_eq!(program.status(OLD), 200);
    program.put("tokens", &format!("admin {NEW}\n"));
    until("the old token is gone", || program.status(OLD) == 401);

    let mut client = Client::connect(program.addr).with_token(NEW);
    client.post("/v1/collections", &json!({"name": "docs", "dim": 2, "metric": "l2"}));
    let search = |client: &mut Client| {
        client.post("/v1/collections/docs/search", &json!({"vector": [0, 1], "k": 6})).status
    };
    assert_eq!(search(&mut client), 400);
    program.put(
        "n.toml",
        "[server]\nbind = \"127.0.0.1:1\"\n[server.limits]\nk_max = 6\n[store]\nflush_ms = 7\n",
    );
    until("the limit is another", || search(&mut client) == 200);
    until("what waits for a start is named", || {
        program.logged("store.flush_ms") && program.logged("server.bind")
    });
    assert!(program.logged("holds from the next start"));
}

#[test]
fn what_is_wrong_changes_nothing_and_is_told() {
    let program = Program::start();
    for (file, text, told) in [
        ("n.toml", "[server.limits]\nk_max = 0\n", "k_max is 0"),
        ("n.toml", "[server.limits]\nk_mox = 9\n", "server.limits.k_mox is no setting"),
        ("n.toml", "[server\n", "line 1"),
        ("tokens", "admin short\n", "a token for admin has 5 bytes"),
        ("tokens", "", "holds no token"),
    ] {
        program.put(file, text);
        until(told, || program.logged(told));
        assert_eq!((program.status(OLD), program.status(NEW)), (200, 401), "{text}");
        let good = if file == "tokens" {
            format!("admin {OLD}\n")
        } else {
            "[server.limits]\nk_max = 5\n".to_owned()
        };
        program.put(file, &good);
    }
    assert!(!program.logged(OLD), "no token is told");
}
