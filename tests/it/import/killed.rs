//! Goal: an import that is killed at any instant has changed nothing or all, and the same command goes on; one that meets a full disk
//! changes nothing. Method: the program itself, killed with SIGKILL at random; the store is opened after each and compared.

use super::{Home, made};
use crate::support::environment;
use crate::support::random::Random;
use nearfield::{Chunk, Metric, Schema};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

const ROUNDS: u64 = 15;
const FILE_ROWS: usize = 6_000;
const DIM: usize = 16;

fn file(home: &Home) -> (String, Vec<Chunk>) {
    let mut dice = Random::new(11);
    let mut text = String::new();
    let mut rows = Vec::new();
    for n in 0..FILE_ROWS {
        let vector: Vec<f32> = (0..DIM).map(|_| dice.below(2_001) as f32 / 1_000.0 - 1.0).collect();
        text += &format!("{{\"id\":\"new-{n}\",\"vector\":{vector:?},\"text\":\"text {n}\"}}\n");
        rows.push(Chunk::new(format!("new-{n}")).vector(vector).text(format!("text {n}")));
    }
    let path = home.at("rows.jsonl");
    fs::write(&path, text).unwrap();
    rows.sort_by(|a, b| a.id.cmp(&b.id));
    (path, rows)
}

fn seed(home: &Home) -> Vec<Chunk> {
    let docs = home.store().create_collection("docs", Schema::new(DIM, Metric::L2)).unwrap();
    docs.upsert((0..50).map(|n| Chunk::new(format!("old-{n}")).vector([n as f32; DIM]))).unwrap();
    drop(docs);
    home.rows("docs").unwrap()
}

#[test]
fn a_killed_import_has_changed_nothing_or_all_and_goes_on() {
    let (seed_number, rounds) = (environment("NEARFIELD_SEED", 1), environment("NEARFIELD_KILLS", ROUNDS));
    let mut dice = Random::new(seed_number);
    let (mut resumed, mut killed) = (0, 0);
    for mode in ["append", "replace"] {
        let home = Home::new();
        let (path, new) = file(&home);
        let old = seed(&home);
        let mut both = [old.clone(), new.clone()].concat();
        both.sort_by(|a, b| a.id.cmp(&b.id));
        let after = if mode == "append" { &both } else { &new };
        let data = home.at("data");
        let mut span_us = 400_000;
        for round in 0..rounds {
            let told = format!("seed {seed_number}, {mode}, round {round}");
            let args = ["--quiet", "--json", "import", &path, "--into", "docs", "--data", &data, "--yes"];
            let mut child = Command::new(env!("CARGO_BIN_EXE_nearfield"))
                .args(args)
                .args(["--mode", mode, "--batch", "100", "--threads", "1"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // Now and then one is left to end, which shows that what earlier ones staged is used.
            if round % 5 != 4 {
                std::thread::sleep(Duration::from_micros(dice.below(span_us) as u64));
                child.kill().unwrap();
            }
            let done = child.wait_with_output().unwrap();
            let rows = home.rows("docs").unwrap();
            assert!(rows == old || rows == *after, "{told}: {} rows are there", rows.len());
            assert_eq!(home.names(), ["docs"], "{told}");
            if done.status.success() {
                let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
                let has_resumed = report["resumed"].as_u64().unwrap() > 0;
                resumed += usize::from(has_resumed);
                // On a machine that is busy they all died before they had staged a batch.
                span_us = if has_resumed { span_us } else { 2 * span_us };
                assert_eq!(rows, *after, "{told}: it said that it was done");
            } else {
                killed += 1;
                assert!(done.status.code().is_none(), "{told}: {}", String::from_utf8_lossy(&done.stderr));
            }
            if rows == *after {
                home.done(&["import", "--rollback", "--yes"]);
                assert_eq!(home.rows("docs").unwrap(), old, "{told}: undone");
            }
        }
        home.done(&["import", &path, "--into", "docs", "--mode", mode, "--yes"]);
        assert_eq!(home.rows("docs").unwrap(), *after);
    }
    println!("{killed} kills, {resumed} resumed, seed {seed_number}");
    assert!(killed > 0 && resumed > 0, "{killed} killed, {resumed} resumed");
}

#[test]
fn an_import_that_was_cut_short_goes_on_and_a_changed_file_begins_anew() {
    let home = Home::new();
    let (path, new) = file(&home);
    // Killed when some rows are staged, and not all.
    let cut = || {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nearfield"))
            .args([
                "--quiet",
                "import",
                &path,
                "--into",
                "docs",
                "--metric",
                "l2",
                "--data",
                &home.at("data"),
            ])
            .args(["--batch", "50", "--threads", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let log = || {
            let files = fs::read_dir(home.data().join("wal")).into_iter().flatten().flatten();
            files.map(|file| log_bytes(&file.path())).sum::<usize>()
        };
        while log() < 100_000 && child.try_wait().unwrap().is_none() {}
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(home.rows("docs"), None, "nobody sees half of it");
    };
    cut();
    let report = home.done(&["import", &path, "--into", "docs", "--metric", "l2"]);
    let resumed = report["resumed"].as_u64().unwrap();
    assert!((1..FILE_ROWS as u64).contains(&resumed), "{resumed} rows were there already");
    assert_eq!(home.rows("docs").unwrap(), new);
    home.done(&["import", "--rollback"]);

    cut();
    let mut text = fs::read_to_string(&path).unwrap();
    text += &format!("{{\"id\":\"one-more\",\"vector\":{:?}}}\n", [0.5; DIM]);
    fs::write(&path, text).unwrap();
    let report = home.done(&["import", &path, "--into", "docs", "--metric", "l2"]);
    assert_eq!((&report["resumed"], &report["rows"]), (&0.into(), &(FILE_ROWS + 1).into()));

    // What another import left is removed by the next.
    home.done(&["import", "--rollback"]);
    cut();
    home.done(&["import", &made("flat-l2.faiss"), "--into", "other"]);
    assert_eq!(home.names(), ["other"]);
}

/// Bytes of a log that were written: it is made longer than that ahead.
fn log_bytes(path: &std::path::Path) -> usize {
    let bytes = fs::read(path).unwrap_or_default();
    bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)
}
