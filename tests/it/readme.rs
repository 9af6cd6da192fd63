//! Goal: every command of the README works as it is printed. Method: its shell blocks are read, and each line is run by a shell, in
//! their order, in a folder that has the files which they name. What is put in the place of what a line says, and which lines are not run,
//! stands in two tables, with reasons; a line that is in neither runs as it is.

use crate::support::postgres::{Cluster, Database};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Beginnings of lines that are not run, and who runs them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("cargo test", "this is it"),
    (".ci/run", "this runs in it"),
    ("tests/schemathesis", "it takes minutes and a package of its own"),
    ("nearfield postgres start", "a server that outlives its command; tests/it/postgres.rs starts some"),
    ("nearfield postgres stop", "the same"),
    ("nearfield postgres run", "the same"),
    ("nearfield watch", "it ends with a signal; src/watch/tests.rs watches folders"),
];

/// What is put in the place of words: data that are small, and places that are ours.
const INSTEAD: &[(&str, &str)] = &[
    ("cargo run --release -- ", "nearfield "),
    ("--embedder http://127.0.0.1:11434 --model all-minilm", "--embedder hashed"),
    ("--embedder http://127.0.0.1:11434 --model bge-m3", "--embedder hashed --dim 256"),
    ("--embedder models/all-MiniLM-L6-v2", "--embedder hashed"),
    ("bench text --data-dir FOLDER --docs FILE", "bench text --data-dir files --docs files/docs.jsonl"),
    ("nearfield demo", "nearfield demo --dir texts"),
    ("bench search$", "bench search --rounds 1 --rows 300 --dim 16 --query-rows 10"),
    ("bench search --data-dir FOLDER", "bench search --rounds 1 --data-dir files"),
    ("--data FOLDER", "--data bench"),
    ("bench write", "bench write --rows 300 --dim 16 --seconds 1 --writers 1 --batch 1"),
    ("bench open", "bench open --rows 300 --dim 16 --tail 50 --rounds 1"),
    ("bench reclaim", "bench reclaim --rows 500 --dim 8 --patience 1"),
    ("bench serve", "bench serve --rows 300 --dim 16 --seconds 1 --import 100"),
    ("bench mirror", "bench mirror --rows 300 --dim 16 --seconds 1 --rounds 1"),
    ("0.0.0.0:", "127.0.0.1:"),
    ("localhost:", "127.0.0.1:"),
    ("/backup", "there"),
    ("> nearfield.toml", "> other.toml"),
];

/// A page with a line. Where its parts begin is found by whoever reads it.
const PDF: &str = "%PDF-1.4
1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj
2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj
3 0 obj << /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> /MediaBox [0 0 595 842] >> endobj
4 0 obj << /Length 44 >> stream
BT /F1 12 Tf 40 800 Td (A page of notes) Tj ET
endstream endobj
5 0 obj << /Type /Font /Subtype /Type1 /BaseFont /Courier >> endobj
trailer << /Root 1 0 R >>
%%EOF
";

struct Home {
    folder: TempDir,
    database: Database,
    port: u16,
    /// Lines that hold for all after them.
    exports: String,
    server: Option<Server>,
}

/// A server that a line has started. The next one of its block finds it; the block's end ends it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}

#[test]
fn every_command_of_the_readme_runs() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let mut home = Home::new();
    let (mut ran, mut unused) = (0, ELSEWHERE.to_vec());
    for block in blocks(&readme) {
        for (number, line) in block {
            if let Some((start, _)) = ELSEWHERE.iter().find(|(start, _)| line.starts_with(start)) {
                unused.retain(|(other, _)| other != start);
                continue;
            }
            home.run(number, &line);
            ran += 1;
        }
        home.server = None;
    }
    assert!(unused.is_empty(), "lines that the README does not have: {unused:?}");
    assert!(ran > 30, "{ran} commands: were the blocks found?");
}

#[test]
fn lines_and_their_blocks_are_found() {
    let text = "a\n```sh\none   # why\n\ntwo '#' x\n```\n```rust\nno\n```\n```sh\nthree\n```\n";
    let found: Vec<Vec<(usize, String)>> = blocks(text).collect();
    let line = |n: usize, text: &str| (n, text.to_owned());
    assert_eq!(found, [vec![line(3, "one"), line(5, "two '#' x")], vec![line(11, "three")]]);
}

/// The lines of each shell block that are commands, numbered as in the file.
fn blocks(text: &str) -> impl Iterator<Item = Vec<(usize, String)>> {
    let (mut blocks, mut block) = (Vec::new(), None::<Vec<(usize, String)>>);
    for (number, line) in (1..).zip(text.lines()) {
        match (&mut block, line.trim_end()) {
            (None, "```sh") => block = Some(Vec::new()),
            (Some(_), "```") => blocks.extend(block.take()),
            (Some(lines), line) if !line.is_empty() => {
                let command = line.split_once("  # ").map_or(line, |(command, _)| command);
                lines.push((number, command.trim_end().to_owned()));
            }
            _ => {}
        }
    }
    blocks.into_iter()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Home {
    fn new() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let (folder, database) = (TempDir::new().unwrap(), Cluster::shared().database());
        let home = Self { folder, database, port, exports: String::new(), server: None };
        home.programs();
        home.files();
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `nearfield` is the one under test, the database is the test's; `psql` and `curl` are brought where they are missing.
    fn programs(&self) {
        fs::create_dir(self.at("bin")).unwrap();
        let nearfield = env!("CARGO_BIN_EXE_nearfield");
        let url = &self.database.url;
        let program = format!(
            "#!/bin/sh\n[ \"$1 $2\" = \"postgres url\" ] && {{ echo '{url}'; exit; }}\nexec {nearfield} \"$@\"\n"
        );
        self.program("nearfield", &program);
        if !is_there("psql") {
            let found = Command::new("find")
                .arg(std::env::temp_dir())
                .args(["-path", "*/bin/psql"])
                .output()
                .unwrap();
            let found = String::from_utf8(found.stdout).unwrap();
            let psql = found.lines().next().expect("a server was unpacked, and psql with it");
            symlink(psql, self.at("bin/psql")).unwrap();
        }
        if !is_there("curl") {
            self.program("curl", include_str!("support/curl.py"));
        }
        if !is_there("openssl") {
            self.program("openssl", "#!/usr/bin/env python3\nimport secrets\nprint(secrets.token_hex(32))\n");
        }
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.at("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Everything that lines name.
    fn files(&self) {
        let made = |name: &str| repository().join("tests/it/import/files").join(name);
        for (to, from) in [
            ("base.f16.npy", "vectors.f2.npy"),
            ("docs.jsonl.zst", "docs.jsonl.zst"),
            ("index.faiss", "flat-l2.faiss"),
            ("index.hnswlib", "l2.hnswlib"),
            ("more.jsonl", "chunks.jsonl"),
            ("rows.parquet", "fixed.parquet"),
        ] {
            fs::copy(made(from), self.at(to)).unwrap();
        }
        let csv = fs::read_to_string(made("array.csv")).unwrap();
        let csv = csv.replacen("key,embedding,lang", "key,vector,body", 1);
        fs::write(self.at("rows.csv"), csv).unwrap();
        fs::create_dir_all(self.at("user_data/me/vector_store")).unwrap();
        for name in ["vectors.pkl", "metadata.json"] {
            fs::copy(made("store-lists").join(name), self.at("user_data/me/vector_store").join(name))
                .unwrap();
        }
        for folder in ["texts", "docs", "there", "files"] {
            fs::create_dir(self.at(folder)).unwrap();
        }
        for name in ["README.md", "src/FORMAT.md", "src/ARCHITECTURE.md"] {
            let text = self.at("texts").join(Path::new(name).file_name().unwrap());
            fs::copy(repository().join(name), text).unwrap();
        }
        fs::write(self.at("docs/page.md"), "# A page\n\nIt says something.\n").unwrap();
        fs::write(self.at("notes.pdf"), PDF).unwrap();
        let lines = (0..3).fold(String::new(), |mut lines, n| {
            let _ = writeln!(lines, "{{\"id\": \"line {n}\", \"vector\": [{n}, 1, 0]}}");
            lines
        });
        fs::write(self.at("chunks.ndjson"), lines).unwrap();
        self.data_set();
        #[cfg(feature = "hnsw-rs")]
        self.dump();
        // A store, and its rows as packed lines.
        self.shell(0, "nearfield import more.jsonl --into others --metric cosine");
        self.shell(0, "nearfield export others chunks.jsonl.zst");
    }

    /// What `bench search` takes from a folder: rows on a line, each its own nearest.
    fn data_set(&self) {
        let array = |name: &str, kind: &str, shape: &str, bytes: Vec<u8>| {
            let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
            text.push_str(&" ".repeat(117 - text.len()));
            let head = [&b"\x93NUMPY\x01\x00\x76\x00"[..], text.as_bytes(), b"\n"].concat();
            fs::write(self.at("files").join(name), [head, bytes].concat()).unwrap();
        };
        let rows = |n: i32| (0..n).flat_map(|row| [row as f32, 1.0].map(f32::to_le_bytes).concat()).collect();
        array("base.f32.npy", "<f4", "40, 2", rows(40));
        array("queries.f32.npy", "<f4", "5, 2", rows(5));
        let titles =
            |n: i32| (0..n).map(|row| format!("{{\"title\": \"title {row}\"}}\n")).collect::<String>();
        fs::write(self.at("files/queries.jsonl"), titles(5)).unwrap();
        let docs = (0..40).map(|row| format!("{{\"id\": \"{row}\", \"title\": \"title {row}\", \"text\": \"text {row}\", \"metadata\": {{}}}}\n"));
        fs::write(self.at("files/docs.jsonl"), docs.collect::<String>()).unwrap();
        let truth = (0..5i32).flat_map(|row| (0..10).flat_map(move |n| (row + n).to_le_bytes()));
        array("truth.i32.npy", "<i4", "5, 10", truth.collect());
    }

    #[cfg(feature = "hnsw-rs")]
    fn dump(&self) {
        use hnsw_rs::prelude::*;
        let graph = Hnsw::<f32, DistL2>::new(8, 20, 16, 50, DistL2 {});
        for n in 0..20 {
            graph.insert((&[n as f32, 1.0], n));
        }
        assert_eq!(graph.file_dump(self.folder.path(), "dump").unwrap(), "dump");
    }

    fn run(&mut self, number: usize, line: &str) {
        // Where a line ends may matter.
        let mut command = format!("{line}$");
        for (said, ours) in INSTEAD {
            command = command.replace(said, ours);
        }
        let mut command = command.replace("6327", &self.port.to_string());
        if command.ends_with('$') {
            command.pop();
        }
        if command.starts_with("export ") {
            self.exports += &format!("{command}\n");
        } else if command.starts_with("nearfield serve") {
            self.serve(number, &command);
        } else {
            // Each of them is another way to make the same collection.
            if command.starts_with("nearfield import")
                && command.contains("--into")
                && !command.contains("--mode")
            {
                let _ = fs::remove_dir_all(self.at("index_data"));
            }
            self.shell(number, &command);
        }
    }

    fn command(&self, line: &str) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &format!("{}{line}", self.exports)]);
        command.current_dir(self.folder.path()).env("HOME", self.folder.path());
        command.env("PATH", format!("{}:{path}", self.at("bin").display()));
        command.env_remove("DATABASE_URL").env_remove("NEARFIELD_TOKENS").stdin(Stdio::null());
        command
    }

    fn shell(&self, number: usize, line: &str) {
        let done = self.command(line).output().unwrap();
        let [out, err] = [&done.stdout, &done.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
        // A problem of the server is an answer, too, for curl.
        assert!(
            done.status.success() && !out.contains("\"request_id\""),
            "README.md:{number}: {line}\n{out}{err}"
        );
    }

    /// Starts it, and goes on when it says where it listens.
    fn serve(&mut self, number: usize, line: &str) {
        let bind =
            if line.contains("--bind") { String::new() } else { format!(" --bind 127.0.0.1:{}", self.port) };
        let child = self.command(&format!("exec {line}{bind}")).stdout(Stdio::piped()).spawn().unwrap();
        let mut server = Server(child);
        let told = BufReader::new(server.0.stdout.as_mut().unwrap()).lines().map_while(Result::ok);
        let mut heard = Vec::new();
        let listens = told.inspect(|line| heard.push(line.clone())).any(|line| line.contains("http://"));
        assert!(listens, "README.md:{number}: {line}: {heard:?}");
        self.server = Some(server);
    }
}

fn is_there(program: &str) -> bool {
    let looked = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    looked.is_ok_and(|done| done.status.success())
}
