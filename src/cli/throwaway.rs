//! A throw-away server of this process's own: `nearfield postgres run`, spoken to over its stdin.

use crate::{Error, ErrorKind, Result};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A server that ends with this process, whatever ends it.
pub(in crate::cli) struct Server {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Option<BufReader<ChildStdout>>,
    report: Value,
}

impl Server {
    /// Starts one. Why it does not start stands on stderr by then.
    pub(in crate::cli) fn start() -> Result<Self> {
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["postgres", "run", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        let mut server = Self { child, orders, answers, report: Value::Null };
        server.report = server.answer()?;
        if server.report["url"].is_string() { Ok(server) } else { Err(none()) }
    }

    pub(in crate::cli) fn url(&self) -> &str {
        self.text("url")
    }

    /// The process that keeps it.
    pub(in crate::cli) fn process(&self) -> u32 {
        self.child.id()
    }

    /// PostgreSQL's version.
    pub(in crate::cli) fn version(&self) -> &str {
        self.text("version")
    }

    /// A program beside the server's, if it is installed.
    pub(in crate::cli) fn program(&self, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from(self.text("programs")).join(name)).filter(|path| path.is_file())
    }

    fn text(&self, name: &str) -> &str {
        self.report[name].as_str().unwrap_or_default()
    }

    /// Has the server stopped, killed or started: `stop`, `stop immediate`, `kill`, `start`.
    pub(in crate::cli) fn order(&mut self, order: &str) -> Result<()> {
        let orders = self.orders.as_mut().ok_or_else(none)?;
        writeln!(orders, "{order}").and_then(|()| orders.flush()).map_err(failed)?;
        let answer = self.answer()?;
        match answer["error"].as_str() {
            Some(why) => {
                Err(Error::new(ErrorKind::Unavailable, format!("the server does not {order}: {why}")))
            }
            None => Ok(()),
        }
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.as_mut().ok_or_else(none)?.read_line(&mut line).map_err(failed)?;
        serde_json::from_str(&line).map_err(|_| none())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It cleans up behind itself when nobody gives it orders any more.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

fn failed(cause: io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "a throw-away server cannot be started").with_source(cause)
}

fn none() -> Error {
    let message = "there is no throw-away server; the reason stands above; one that runs already is named with --database-url";
    Error::new(ErrorKind::Unavailable, message)
}
