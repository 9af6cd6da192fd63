//! Goal: a host that is killed at any instruction finds every acknowledged row again (L1-L5, L12). Method: a child process writes
//! and tells of each acknowledgement through a pipe; it is killed with SIGKILL at random; the folder is opened here and
//! compared with a model of exactly the commits that were acknowledged, and perhaps the one that was under way. The store
//! lives through all rounds. `NEARFIELD_SEED` repeats a run as far as the scheduler allows; `NEARFIELD_KILLS` sets the rounds.

use super::support::environment;
use super::support::random::Random;
use nearfield::{Chunk, Collection, Metric, Options, Schema, Store, Token};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const ROUNDS: u64 = 200;
const DIM: usize = 8;
const IDS: usize = 300;
const FOLDER: &str = "NEARFIELD_KILL_FOLDER";
/// Tells how many operations the store has seen; written with each.
const MARK: &str = "mark";

fn vector(dice: &mut Random) -> Vec<f32> {
    (0..DIM).map(|_| dice.below(2_001) as f32 / 1_000.0 - 1.0).collect()
}

/// What operation `n` does.
pub(crate) struct Operation {
    upserts: Vec<Chunk>,
    deletes: Vec<String>,
    checkpoint: bool,
}

impl Operation {
    pub(crate) fn of(seed: u64, n: u64) -> Self {
        let mut dice = Random::new(seed ^ n.wrapping_mul(0x1_0000_01b3));
        let rows = if dice.below(8) == 0 { 100 } else { dice.below(12) };
        let mut upserts: Vec<Chunk> = (0..rows)
            .map(|_| {
                let id = format!("id-{}", dice.below(IDS));
                let chunk =
                    Chunk::new(id).text(format!("written by {n}")).document("d", dice.below(9) as u32);
                if dice.below(10) == 0 { chunk } else { chunk.vector(vector(&mut dice)) }
            })
            .collect();
        upserts.push(Chunk::new(MARK).text("operations").meta("n", n));
        let deletes = (0..dice.below(4)).map(|_| format!("id-{}", dice.below(IDS))).collect();
        Self { upserts, deletes, checkpoint: dice.below(12) == 0 }
    }

    /// Deletes first, so that the mark, which comes last, says that all of it is done.
    pub(crate) fn run(&self, store: &Store, docs: &Collection) -> Token {
        docs.delete(self.deletes.iter().map(String::as_str)).unwrap();
        let token = docs.upsert(self.upserts.clone()).unwrap().token;
        if self.checkpoint {
            store.checkpoint().unwrap();
        }
        token
    }

    pub(crate) fn delete_from(&self, model: &mut Model) {
        for id in &self.deletes {
            model.remove(id);
        }
    }

    pub(crate) fn apply(&self, model: &mut Model) {
        self.delete_from(model);
        model.extend(self.upserts.iter().map(|c| (c.id.clone(), c.clone())));
    }
}

pub(crate) type Model = BTreeMap<String, Chunk>;

pub(crate) fn open(folder: &Path) -> (Store, Collection) {
    let options = Options::default().checkpoint_rows(500).disk_reserve_bytes(0);
    let store = Store::open(folder, options).unwrap();
    let docs = store.get_or_create("docs", Schema::new(DIM, Metric::L2)).unwrap();
    (store, docs)
}

pub(crate) fn operations(docs: &Collection) -> u64 {
    docs.get(MARK).unwrap().map_or(0, |mark| mark.metadata["n"].as_u64().unwrap() + 1)
}

#[test]
#[ignore = "the process that the other test kills"]
fn the_victim() {
    let folder = std::env::var(FOLDER).unwrap();
    let seed = environment("NEARFIELD_SEED", 1);
    let (store, docs) = open(Path::new(&folder));
    let mut out = std::io::stdout();
    for n in operations(&docs).. {
        let token = Operation::of(seed, n).run(&store, &docs);
        writeln!(out, "\nack {n} {} {}", token.incarnation, token.seq).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn l1_a_killed_process_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::TempDir::new().unwrap();
    let (seed, rounds) = (environment("NEARFIELD_SEED", 1), environment("NEARFIELD_KILLS", ROUNDS));
    let mut dice = Random::new(seed);
    let (mut model, mut done) = (Model::new(), 0);
    let mut last: Option<(u64, u64)> = None;
    let (mut found, mut asked) = (0, 0);
    for round in 0..rounds {
        let told = format!("seed {seed}, round {round}");
        for (n, token) in victim(folder.path(), seed, &mut dice) {
            assert_eq!(n, done, "{told}: the child goes on where the store stands");
            assert!(Some(token) > last, "l12, {told}: token {token:?} after {last:?}");
            Operation::of(seed, n).apply(&mut model);
            (done, last) = (n + 1, Some(token));
        }
        let (store, docs) = open(folder.path());
        let there = operations(&docs);
        assert!(
            there == done || there == done + 1,
            "{told}: {there} operations are there, {done} acknowledged"
        );
        if there > done {
            Operation::of(seed, done).apply(&mut model);
            done = there;
        } else {
            // Of the operation under way the deletes may be done: they are a commit of their own.
            let mut deleted = model.clone();
            Operation::of(seed, done).delete_from(&mut deleted);
            if docs.count(None).unwrap() == deleted.len() {
                model = deleted;
            }
        }
        let walks = assert_equal(&docs, &model, &told);
        (found, asked) = (found + walks.0, asked + walks.1);
        drop((store, docs));
    }
    // A walk may miss a row that was linked a moment ago, until mending has looked.
    assert!(
        found * 100 >= asked * 98,
        "l18, seed {seed}: walks found {found} of {asked} rows by their own vector"
    );
    println!("{rounds} kills, {done} operations, seed {seed}");
}

/// Runs a child until it is killed; what it acknowledged.
fn victim(folder: &Path, seed: u64, dice: &mut Random) -> Vec<(u64, (u64, u64))> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["kill::the_victim", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env("NEARFIELD_SEED", seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acks = Vec::new();
    let mut read = |line: String| {
        let mut words = line.split(' ');
        if words.next() == Some("ack") {
            let numbers: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
            acks.push((numbers[0], (numbers[1], numbers[2])));
        }
    };
    // Some die while they open, some after a while.
    if dice.below(5) > 0 {
        for _ in 0..2 * dice.below(12) + 5 {
            read(lines.next().unwrap().unwrap());
        }
    }
    std::thread::sleep(Duration::from_micros(dice.below(8_000) as u64));
    child.kill().unwrap();
    // What was in the pipe was acknowledged. A line that was cut short was not.
    lines.map_while(Result::ok).for_each(&mut read);
    child.wait().unwrap();
    acks
}

/// Of the rows that were searched for by their own vector, how many a walk found, and how many there were.
fn assert_equal(docs: &Collection, model: &Model, told: &str) -> (usize, usize) {
    let (mut found, mut asked) = (0, 0);
    assert_eq!(docs.count(None).unwrap(), model.len(), "l19, {told}");
    let page = docs.scroll(None, None, usize::MAX).unwrap();
    assert_eq!(page.chunks.len(), model.len(), "l19, {told}");
    for chunk in &page.chunks {
        assert_eq!(model.get(&chunk.id), Some(chunk), "{told}");
    }
    let got = docs.get_many(model.keys().map(String::as_str)).unwrap();
    assert!(got.iter().zip(model.values()).all(|(got, wanted)| got.as_ref() == Some(wanted)), "{told}");
    for (id, vector) in model.iter().filter_map(|(id, c)| Some((id, c.vector.as_ref()?))).step_by(40) {
        let exact = docs.search(vector).k(1).exact(true).run().unwrap();
        assert!(!exact.degraded, "{told}");
        assert_eq!(exact.hits[0].distance, 0.0, "{told}: {id}");
        asked += 1;
        found += usize::from(docs.search(vector).k(1).run().unwrap().hits[0].distance == 0.0);
    }
    (found, asked)
}
