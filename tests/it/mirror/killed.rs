//! Goal: a host that is killed at any instant while its store is mirrored finds every acknowledged row again, and both sides become
//! equal, with each refused row told of once (M2, M9, M12); and a filling that is killed goes on where it was (M20). Method: a child
//! process writes and says what was acknowledged, while somebody writes SQL; it is killed with SIGKILL at random; the folder is
//! opened here. `NEARFIELD_SEED` repeats a run as far as the scheduler allows; `NEARFIELD_MIRROR_KILLS` sets the rounds.

use super::*;
use crate::kill::{Model, Operation, open, operations};
use crate::support::environment;
use crate::support::postgres::Cluster;
use crate::support::proxy::Proxy;
use crate::support::random::Random;
use crate::support::sql::{Session, one};
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const ROUNDS: u64 = 20;
const FOLDER: &str = "NEARFIELD_MIRROR_KILL_FOLDER";
const URL: &str = "NEARFIELD_MIRROR_KILL_URL";
/// Rows that the database refuses.
const POISON: [&str; 3] = ["poison-0", "poison-1", "poison-2"];
/// Rows to fill a store with, and how many of them come with one step: two ranges of sixteen.
const FILL_ROWS: usize = 8_000;
const FILL_STEP: usize = 2 * FILL_ROWS / 16;
const FILL_BYTES_PER_SECOND: u64 = 1_500_000;

/// A process that is going to be killed, and what it says.
struct Victim {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<String>,
}

impl Victim {
    fn spawn(test: &str, folder: &Path, url: &str, seed: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([&format!("mirror::killed::{test}"), "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .env(URL, url)
            .env("NEARFIELD_SEED", seed.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, said: Vec::new() }
    }

    /// The number of its next line of a kind; nothing when it has ended.
    fn next(&mut self, kind: &str) -> Option<u64> {
        loop {
            let line = self.lines.next()?.ok()?;
            let found = number(&line, kind);
            self.said.push(line);
            if found.is_some() {
                return found;
            }
        }
    }

    /// All that it has said by then. A line that was cut short was not said.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.said.extend(self.lines.by_ref().map_while(Result::ok));
        self.child.wait().unwrap();
        self.said
    }
}

fn number(line: &str, kind: &str) -> Option<u64> {
    line.strip_prefix(kind)?.strip_prefix(' ')?.strip_suffix('.')?.parse().ok()
}

fn numbers(lines: &[String], kind: &str) -> impl Iterator<Item = u64> {
    lines.iter().filter_map(move |line| number(line, kind))
}

fn say(kind: &str, number: u64) {
    let mut out = std::io::stdout();
    writeln!(out, "\n{kind} {number}.").unwrap();
    out.flush().unwrap();
}

fn given(name: &str) -> String {
    std::env::var(name).unwrap()
}

#[test]
#[ignore = "the process that the other test kills while it writes"]
fn the_writer() {
    let (store, docs) = open(Path::new(&given(FOLDER)));
    let _mirror = Mirror::start(&store, options(&given(URL))).unwrap();
    let seed = environment("NEARFIELD_SEED", 1);
    for n in operations(&docs).. {
        Operation::of(seed, n).run(&store, &docs);
        say("ack", n);
    }
}

#[test]
#[ignore = "the process that the other test kills while it fills its store"]
fn the_filler() {
    let (store, docs) = open(Path::new(&given(FOLDER)));
    let mirror = Mirror::start(&store, options(&given(URL))).unwrap();
    let mut own = all(&docs).keys().filter(|id| id.starts_with("own-")).count();
    wait::until("a kill", || {
        let status = mirror.status();
        // A store with rows is not filled: what is written comes when it is known that it will be.
        if let Some(progress) = status.rebuild {
            say("filled", progress.rows);
            docs.upsert([Chunk::new(format!("own-{own}")).text("written meanwhile")]).unwrap();
            say("ack", own as u64);
            own += 1;
        }
        status.state.to_string() == "in_sync"
    });
}

/// What the test knows of the database's rows that SQL wrote.
struct Person {
    session: Session,
    written: Rows,
}

impl Person {
    /// A few rows at once, some of them of before.
    fn writes(&mut self, dice: &mut Random) {
        let (first, x) = (dice.below(150), dice.below(1_000) as f32);
        let rows = 1 + dice.below(40);
        let write = format!(
            "INSERT INTO nearfield.chunks (collection, id, text, embedding) \
             SELECT 'docs', 'sql-' || n, 'by hand', '[{x},0,0,0,0,0,0,0]' FROM generate_series({first}, {}) n",
            first + rows - 1
        );
        self.session.run(&write).unwrap();
        self.written.extend((first..first + rows).map(|n| (format!("sql-{n}"), x)));
    }
}

/// A scene of the first kind: a folder, a database, and what each is to hold.
struct Scene {
    url: String,
    seed: u64,
    model: Model,
    done: u64,
    person: Person,
}

impl Scene {
    /// A killed process has left the folder: what was acknowledged is in it.
    fn opens(&mut self, folder: &Path, told: &str) -> (Store, Collection) {
        let (store, docs) = open(folder);
        let there = operations(&docs);
        assert!(
            there == self.done || there == self.done + 1,
            "{told}: {there} operations, {} acknowledged",
            self.done
        );
        let mut models = vec![self.model.clone()];
        if there > self.done {
            Operation::of(self.seed, self.done).apply(&mut models[0]);
            self.done = there;
        } else {
            // Of the operation under way the deletes may be done: they are a commit of their own.
            let mut deleted = self.model.clone();
            Operation::of(self.seed, self.done).delete_from(&mut deleted);
            models.push(deleted);
        }
        let here: Model = all(&docs).into_iter().filter(|(id, _)| !id.starts_with("sql-")).collect();
        assert!(models.contains(&here), "{told}: what was acknowledged is not what is here");
        self.model = here;
        (store, docs)
    }

    /// The mirror of a new process brings both sides together.
    fn mends(&self, store: &Store, docs: &Collection, told: &str) {
        let mirror = Mirror::start(store, options(&self.url)).unwrap();
        let mut status = mirror.status();
        wait::until(&format!("{told}: all is sent but poison"), || {
            status = mirror.status();
            let left = (status.dirty_rows, status.dirty_deletes, status.dead_letters_out);
            // Refused rows wait for ever.
            let is_well = ["in_sync", "lagging"].contains(&&*status.state.to_string());
            left == (POISON.len(), 0, POISON.len()) && is_well
        });
        let report = mirror.audit("docs", true).unwrap();
        assert!(report.is_equal() && report.dirty == POISON.len(), "{told}: {report:#?}");
        let letters = mirror.dead_letters().unwrap();
        let letters: Vec<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
        assert_eq!(letters, POISON, "{told}");
        let here = all(docs);
        let by_hand = here.iter().filter(|(id, _)| id.starts_with("sql-"));
        let by_hand: Rows = by_hand.map(|(id, c)| (id.clone(), c.vector.as_ref().unwrap()[0])).collect();
        assert_eq!(by_hand, self.person.written, "{told}");
        assert_eq!(here.len(), self.model.len() + by_hand.len(), "{told}");
        let sent: std::collections::BTreeSet<String> =
            here.into_keys().filter(|id| !id.starts_with("poison")).collect();
        let there = sql(&self.url, "SELECT id FROM nearfield.chunks ORDER BY id COLLATE \"C\"");
        assert!(there.into_iter().map(|row| row[0].clone().unwrap()).eq(sent), "{told}: there and here");
        mirror.stop(LONG).unwrap();
    }
}

fn all(docs: &Collection) -> Model {
    let page = docs.scroll(None, None, usize::MAX).unwrap();
    page.chunks.into_iter().map(|chunk| (chunk.id.clone(), chunk)).collect()
}

#[test]
fn m2_a_killed_process_loses_nothing_and_both_sides_end_equal() {
    let (seed, rounds) = (environment("NEARFIELD_SEED", 1), environment("NEARFIELD_MIRROR_KILLS", ROUNDS));
    let (folder, database) = (tempfile::TempDir::new().unwrap(), Cluster::shared().database());
    let url = database.url.clone();
    let mut dice = Random::new(seed);
    {
        let (store, docs) = open(folder.path());
        let mirror = Mirror::start(&store, options(&url)).unwrap();
        wait::until("the tables", || mirror.status().state.to_string() == "in_sync");
        sql(&url, "ALTER TABLE nearfield.chunk ADD CONSTRAINT polite CHECK (text NOT LIKE '%poison%')");
        docs.upsert(POISON.map(|id| Chunk::new(id).text("poison"))).unwrap();
    }
    let model: Model = {
        let (_store, docs) = open(folder.path());
        all(&docs)
    };
    let person = Person { session: Session::open(&url).unwrap(), written: Rows::new() };
    let mut scene = Scene { url, seed, model, done: 0, person };
    for round in 0..rounds {
        let told = format!("seed {seed}, round {round}");
        let mut victim = Victim::spawn("the_writer", folder.path(), &scene.url, seed);
        for _ in 0..dice.below(60) {
            _ = victim.next("ack");
            if dice.below(4) == 0 {
                scene.person.writes(&mut dice);
            }
        }
        std::thread::sleep(Duration::from_micros(dice.below(60_000) as u64));
        for n in numbers(&victim.kill(), "ack") {
            assert_eq!(n, scene.done, "{told}: the child goes on where the store stands");
            Operation::of(seed, n).apply(&mut scene.model);
            scene.done = n + 1;
        }
        let (store, docs) = scene.opens(folder.path(), &told);
        // Otherwise the next process finds what this one left.
        if dice.below(3) == 0 || round + 1 == rounds {
            scene.mends(&store, &docs, &told);
        }
    }
    println!(
        "{rounds} kills, {} operations, {} rows by hand, seed {seed}",
        scene.done,
        scene.person.written.len()
    );
}

#[test]
fn m20_a_filling_that_is_killed_goes_on_where_it_was() {
    let seed = environment("NEARFIELD_SEED", 1);
    let kills = environment("NEARFIELD_MIRROR_KILLS", ROUNDS) / 3;
    let database = Cluster::shared().database();
    let url = &database.url;
    let proxy = Proxy::before(url);
    let mut dice = Random::new(seed);
    let full = {
        let (store, _docs) = open(tempfile::TempDir::new().unwrap().path());
        let mirror = Mirror::start(&store, options(url)).unwrap();
        wait::until("the tables", || mirror.status().state.to_string() == "in_sync");
        sql(
            url,
            &format!(
                "INSERT INTO nearfield.chunks (collection, id, text, embedding) \
                 SELECT 'docs', 'row-' || n, repeat('x', 300), array[n, 0, 0, 0, 0, 0, 0, 0]::vector FROM generate_series(1, {FILL_ROWS}) n"
            ),
        );
        mirror.pull_now().unwrap();
        mirror.stop(LONG).unwrap();
        // What one filling costs without a kill.
        let (again, _docs) = open(tempfile::TempDir::new().unwrap().path());
        let before = proxy.counts().to_client;
        let mirror = Mirror::start(&again, options(&proxy.url(url))).unwrap();
        wait::until("a whole filling", || mirror.status().state.to_string() == "in_sync");
        proxy.counts().to_client - before
    };
    assert_eq!(one(url, "SELECT count(*)::text FROM nearfield.chunk WHERE digest IS NULL"), "0");
    let folder = tempfile::TempDir::new().unwrap();
    let before = proxy.counts().to_client;
    proxy.throttle(Some(FILL_BYTES_PER_SECOND));
    let (mut reached, mut own, mut cut) = (0, 0, 0);
    for round in 0..kills {
        let mut victim = Victim::spawn("the_filler", folder.path(), &proxy.url(url), seed);
        // Some had come to the end before.
        let Some(first) = victim.next("filled") else { break };
        assert!(first >= reached, "round {round}: {first} rows, and {reached} had come before the kill");
        // Every other one comes a step further.
        while round % 2 > 0 && victim.next("filled").is_some_and(|rows| rows == first) {}
        std::thread::sleep(Duration::from_micros(dice.below(300_000) as u64));
        let lines = victim.kill();
        reached = numbers(&lines, "filled").fold(first, u64::max);
        own = numbers(&lines, "ack").map(|n| n + 1).fold(own, u64::max);
        cut += 1;
    }
    assert!(cut > kills / 3, "{cut} of {kills} came before the end");
    proxy.throttle(None);
    let (store, docs) = open(folder.path());
    let mirror = Mirror::start(&store, options(&proxy.url(url))).unwrap();
    wait::until("the rest", || mirror.status().state.to_string() == "in_sync");
    mirror.wait_mirrored(store.token(), LONG).unwrap();
    let bytes = proxy.counts().to_client - before;
    let here = all(&docs);
    assert!((0..own).all(|n| here.contains_key(&format!("own-{n}"))), "{own} rows were acknowledged");
    assert!(here.keys().filter(|id| id.starts_with("row-")).count() == FILL_ROWS);
    let report = mirror.audit("docs", true).unwrap();
    assert!(report.is_equal() && report.dirty == 0, "{report:#?}");
    println!(
        "{cut} kills of a filling, the last at {reached} rows: {bytes} bytes, {full} without kills, seed {seed}"
    );
    let again = cut * full * FILL_STEP as u64 / FILL_ROWS as u64;
    assert!(bytes <= full + again + cut * 60_000, "{bytes} bytes with {cut} kills, {full} without");
}
