//! A real Postgres for tests: one server for the whole run, a database for each test, servers of their own for tests that
//! stop and kill them.
//!
//! Servers come from `nearfield postgres run` and end with this process, however it ends: their stdin is held here. With
//! `DATABASE_URL` the shared server is that one. A test that cannot get a server fails and says what helps.

use super::sql::{one, sql, try_sql};
use super::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A server.
pub(crate) struct Cluster {
    /// Of its database `postgres`, as its superuser.
    url: String,
    /// None if it is somebody else's.
    runner: Option<Runner>,
}

/// How [`Cluster::stop`] ends a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// Clients are thrown out, and the state is written.
    Fast,
    /// At once: the next start recovers.
    Immediate,
}

/// A database of one test. It is dropped with this.
pub(crate) struct Database {
    pub(crate) url: String,
    name: String,
    server: String,
}

impl Cluster {
    /// The server of the whole run. It is not to be stopped.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var("DATABASE_URL") {
            Ok(url) => Self::foreign(url),
            Err(_) => Self::private(),
        })
    }

    /// A server of the test's own.
    pub(crate) fn private() -> Self {
        Self::private_with(&[])
    }

    /// The same with arguments for `nearfield postgres run`, such as `--set=max_connections=5`.
    pub(crate) fn private_with(arguments: &[&str]) -> Self {
        Self::of(Runner::spawn(arguments))
    }

    fn of(mut runner: Runner) -> Self {
        let report = runner.answer();
        runner.ran(&report);
        Self { url: report["url"].as_str().unwrap().to_owned(), runner: Some(runner) }
    }

    /// The same with a library that is loaded into all its programs.
    pub(crate) fn preloaded(library: &std::path::Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
        command.args(["postgres", "run", "--json", "--quiet"]).env("LD_PRELOAD", library);
        Self::of(Runner::of(&mut command))
    }

    fn foreign(url: String) -> Self {
        let offered = "SELECT count(*)::text FROM pg_available_extensions WHERE name = 'vector'";
        let rows = try_sql(&url, offered).unwrap_or_else(|e| {
            panic!("DATABASE_URL cannot be used: {e}. Fix it, or unset it and the tests start a server themselves")
        });
        assert_eq!(
            rows[0][0].as_deref(),
            Some("1"),
            "the server of DATABASE_URL does not offer the extension `vector`: install pgvector there, name another \
             server, or unset it and the tests start one themselves"
        );
        Self { url, runner: None }
    }

    /// Of the server's database `postgres`: for what concerns the whole server.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A new, empty database with the extension `vector` to be created.
    pub(crate) fn database(&self) -> Database {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        sql(&self.url, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        let (front, query) =
            self.url.split_once('?').map_or((self.url.as_str(), None), |(f, q)| (f, Some(q)));
        let (server, _) = front.rsplit_once('/').expect("a URL names a database");
        let url = format!("{server}/{name}{}", query.map_or(String::new(), |q| format!("?{q}")));
        Database { url, name, server: self.url.clone() }
    }

    /// The process that all others of the server are children of.
    pub(crate) fn pid(&self) -> u32 {
        self.runner.as_ref().expect("a server of our own").pid
    }

    /// The server's data folder. Root, or whom the server runs as, can look into it.
    pub(crate) fn data(&self) -> &str {
        &self.runner.as_ref().expect("a server of our own").data
    }

    /// Processes of the server: the postmaster and its children.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let parent = self.pid().to_string();
        let all = fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_child = |pid: &u32| status(*pid, "PPid").is_some_and(|ppid| ppid == parent);
        std::iter::once(self.pid()).chain(pids.filter(is_child)).collect()
    }

    /// Kills the postmaster with SIGKILL. Its children end by themselves.
    pub(crate) fn kill9(&mut self) {
        self.order("kill");
    }

    pub(crate) fn stop(&mut self, how: Stop) {
        self.order(match how {
            Stop::Fast => "stop",
            Stop::Immediate => "stop immediate",
        });
    }

    /// Starts the server again, on its old port.
    pub(crate) fn start(&mut self) {
        let report = self.order("start");
        let runner = self.runner.as_mut().expect("a server of our own");
        runner.ran(&report);
        assert_eq!(report["url"], self.url.as_str(), "the port changed");
    }

    pub(crate) fn restart(&mut self, how: Stop) {
        self.stop(how);
        self.start();
    }

    /// Stops the clock of all processes of the server: connections stay, and nobody answers.
    pub(crate) fn pause(&self) {
        // The postmaster first: it starts no others then.
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Changes a setting that takes no restart, for connections that are made later.
    pub(crate) fn set(&self, name: &str, value: &str) {
        sql(&self.url, &format!("ALTER SYSTEM SET {name} = '{value}'"));
        sql(&self.url, "SELECT pg_reload_conf()");
        let shown = |url: &str| one(url, &format!("SELECT setting FROM pg_settings WHERE name = '{name}'"));
        wait::until(&format!("{name} = {value}"), || shown(&self.url) == value);
    }

    fn signal(&self, signal: Signal) {
        for pid in self.processes() {
            // A child that has just ended needs none.
            let _ = kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal);
        }
    }

    fn order(&mut self, order: &str) -> Value {
        let runner = self.runner.as_mut().expect("this server is shared: stop one of your own");
        writeln!(runner.orders.as_mut().unwrap(), "{order}").expect("the server's guard is there");
        let answer = runner.answer();
        assert!(answer.get("error").is_none(), "{order}: {answer}");
        answer
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.runner.is_some() && !std::thread::panicking() {
            // What is paused cannot end at once.
            self.resume();
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A test that failed may have stopped the server; and the server ends with the run.
        let dropped = try_sql(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        assert!(dropped.is_ok() || std::thread::panicking(), "{} stays: {dropped:?}", self.name);
    }
}

/// `nearfield postgres run`, and the guard that it starts.
pub(crate) struct Runner {
    pub(crate) child: Child,
    /// Whose end is the server's end.
    pub(crate) orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    pid: u32,
    data: String,
}

impl Runner {
    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
        Self::of(command.args(["postgres", "run", "--json", "--quiet"]).args(arguments))
    }

    /// Of a command that runs it in another way.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { orders: child.stdin.take(), child, answers, pid: 0, data: String::new() }
    }

    /// The next line that the guard says.
    pub(crate) fn answer(&mut self) -> Value {
        match self.answers.next() {
            Some(line) => serde_json::from_str(&line.unwrap()).unwrap(),
            None => panic!(
                "there is no Postgres to test with: `nearfield postgres run` ended with {}, and said above why and what \
                 helps; a server that runs already is taken from DATABASE_URL",
                self.child.wait().unwrap()
            ),
        }
    }

    fn ran(&mut self, report: &Value) {
        self.pid = report["pid"].as_u64().unwrap().try_into().unwrap();
        report["data"].as_str().unwrap().clone_into(&mut self.data);
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        drop(self.orders.take());
        // A server that does not end is the business of the guard's own tests.
        let _ = self.child.wait();
    }
}

/// A field of `/proc/PID/status`, its first word; none when the process is gone.
pub(crate) fn status(pid: u32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next().map(str::to_owned)
}

/// Whether a process runs; one that nobody has collected yet does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    status(pid, "State").is_some_and(|state| !["Z", "X"].contains(&state.as_str()))
}
