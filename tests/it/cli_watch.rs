//! Goal: `nearfield watch` keeps a collection equal to a folder until a signal ends it, and what it has seen it does not embed again after a
//! restart. Method: the program as a process, whose lines are read; the store is looked at when it has ended.

use nearfield::{Options, Store};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// The program, while it watches.
struct Watching {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watching {
    fn start(home: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
        command.arg("--data").arg(home.join("store")).arg("watch").arg(home.join("files"));
        command
            .args(["--into", "docs", "--base"])
            .arg(home.join("files"))
            .args(more)
            .env_remove("DATABASE_URL");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line that it says.
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended");
        line
    }

    /// Lines until files are stored and removed so often in all: how many chunks were embedded.
    fn until(&mut self, stored: u64, removed: u64) -> u64 {
        let (mut so_far, mut embedded) = ((0, 0), 0);
        while so_far.0 < stored || so_far.1 < removed {
            let line = self.line();
            let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [_, now_stored, now_removed, now_embedded] = numbers[..] else { panic!("{line:?}") };
            so_far = (so_far.0 + now_stored, so_far.1 + now_removed);
            embedded += now_embedded;
        }
        assert_eq!(so_far, (stored, removed));
        embedded
    }

    fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // If a test failed in between.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file is there at once, whole.
fn put(home: &Path, name: &str, text: &str) {
    std::fs::write(home.join("new"), text).unwrap();
    std::fs::rename(home.join("new"), home.join("files").join(name)).unwrap();
}

/// Texts by document.
fn documents(home: &Path) -> BTreeMap<String, String> {
    let store = Store::open(home.join("store"), Options::default()).unwrap();
    let rows = store.open_collection("docs").unwrap().scroll(None, None, 100).unwrap().chunks;
    assert!(rows.iter().all(|row| row.vector.is_some()), "all are embedded");
    rows.into_iter().map(|row| (row.document_id.unwrap(), row.text.unwrap())).collect()
}

#[test]
fn a_folder_and_a_collection_are_kept_equal_until_a_signal() {
    let home = tempfile::tempdir().unwrap();
    let files = home.path().join("files");
    std::fs::create_dir(&files).unwrap();
    for name in ["a.md", "b.md", "c.md"] {
        put(home.path(), name, &format!("The text of {name}."));
    }
    let mut watching = Watching::start(home.path(), &[]);
    assert_eq!(watching.until(3, 0), 3);
    put(home.path(), "b.md", "Another text.");
    assert_eq!(watching.until(1, 0), 1);
    std::fs::remove_file(files.join("c.md")).unwrap();
    assert_eq!(watching.until(0, 1), 0);
    watching.end();
    let expected = [("a.md", "The text of a.md."), ("b.md", "Another text.")];
    let expected: BTreeMap<String, String> = expected.map(|(id, text)| (id.into(), text.into())).into();
    assert_eq!(documents(home.path()), expected);

    // While nobody watches, one comes and one goes.
    put(home.path(), "d.md", "Written in between.");
    std::fs::remove_file(files.join("a.md")).unwrap();
    let mut watching = Watching::start(home.path(), &[]);
    assert_eq!(watching.until(1, 1), 1, "the others are known");
    watching.end();
    assert_eq!(documents(home.path()).into_keys().collect::<Vec<_>>(), ["b.md", "d.md"]);
}

#[test]
fn with_json_every_line_of_it_is_json() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("files")).unwrap();
    put(home.path(), "a.md", "One text.");
    let mut watching = Watching::start(home.path(), &["--json"]);
    let mut told = String::new();
    let status = loop {
        told += &watching.line();
        if let Ok(status) = serde_json::from_str::<serde_json::Value>(&told) {
            break status;
        }
    };
    assert_eq!((&status["stored"], &status["last"]["files"]), (&1.into(), &1.into()), "{status}");
    watching.end();
}
