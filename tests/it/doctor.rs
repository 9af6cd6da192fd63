//! Goal: `nearfield doctor` and `nearfield verify` tell a sound store from a damaged one, name the file and what is lost, and
//! change nothing. Method: a real folder, one file damaged at a time, the commands run in-process.

use nearfield::{Chunk, Metric, Options, Schema, Store, cli};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tempfile::TempDir;

const ROWS: usize = 400;
const DIM: usize = 96;

fn vector(id: usize) -> Vec<f32> {
    (0..DIM).map(|i| ((id * 31 + i * 17 + id * i) % 97) as f32 / 97.0 - 0.5).collect()
}

/// A store that was closed in good order.
fn store() -> TempDir {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path(), Options::default().disk_reserve_bytes(0)).unwrap();
    let docs = store.create_collection("docs", Schema::new(DIM, Metric::L2)).unwrap();
    docs.upsert((0..ROWS).map(|id| {
        Chunk::new(format!("id-{id}")).vector(vector(id)).text("some text that takes room ".repeat(10))
    }))
    .unwrap();
    docs.delete(["id-7"]).unwrap();
    store.close(Duration::from_secs(60)).unwrap();
    folder
}

fn call(folder: &Path, args: &[&str]) -> (ExitCode, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let data = folder.display().to_string();
    let args = ["nearfield"].iter().chain(args).copied().chain(["--data", &data]);
    let code = cli::run(args, &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn report(folder: &Path, args: &[&str]) -> (ExitCode, Value) {
    let (code, out, err) = call(folder, &[args, &["--json"]].concat());
    assert_eq!(err, "");
    (code, serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}")))
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(contents(&entry.path())),
            false => drop(all.insert(entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    all
}

/// The one file whose name has both parts.
fn find(folder: &Path, start: &str, end: &str) -> PathBuf {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    contents(folder)
        .into_keys()
        .find(|path| name(path).starts_with(start) && name(path).ends_with(end))
        .unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_sound_store_is_healthy_and_left_as_it_is() {
    let folder = store();
    let before = contents(folder.path());
    let (code, out, err) = call(folder.path(), &["doctor"]);
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{out}");
    assert!(out.contains(": healthy") && out.contains("399 rows"), "{out}");
    let (code, json) = report(folder.path(), &["doctor"]);
    assert_eq!((code, &json["healthy"], &json["rows"]), (ExitCode::SUCCESS, &true.into(), &399.into()));
    assert_eq!(contents(folder.path()), before, "the doctor writes nothing");
    for args in [&["verify"][..], &["verify", "--deep"]] {
        let (code, json) = report(folder.path(), args);
        assert_eq!(
            (code, &json["healthy"], &json["rows"]),
            (ExitCode::SUCCESS, &true.into(), &399.into()),
            "{json}"
        );
    }
}

#[test]
fn the_doctor_works_beside_an_open_store_and_says_so() {
    let folder = store();
    let _open = Store::open(folder.path(), Options::default()).unwrap();
    let (code, out, _) = call(folder.path(), &["doctor"]);
    assert_eq!(code, ExitCode::SUCCESS, "{out}");
    assert!(out.contains(&format!("process {}", std::process::id())), "{out}");
}

#[test]
fn damaged_rows_are_named_with_their_ids() {
    let folder = store();
    flip(&find(folder.path(), "head-", ".rows"), 100_000);
    let (code, json) = report(folder.path(), &["doctor"]);
    assert_eq!(code, ExitCode::from(1));
    let finding = &json["findings"][0];
    assert!(finding["file"].as_str().unwrap().ends_with(".rows"));
    assert_eq!(finding["offset"], 65_536);
    let lost = finding["lost_rows"].as_u64().unwrap();
    assert!(lost > 100 && lost < 300, "{lost}");
    assert_eq!(finding["lost_ids"].as_array().unwrap().len() as u64, lost);
    let (_, out, _) = call(folder.path(), &["doctor"]);
    assert!(out.contains(": damaged") && out.contains("at byte 65536") && out.contains("id-"), "{out}");
    assert!(out.lines().skip(1).all(|line| line.chars().count() <= 80), "{out}");
    let (code, json) = report(folder.path(), &["verify"]);
    assert_eq!(code, ExitCode::from(1));
    assert_eq!(json["rows"].as_u64().unwrap() + lost, 399);
    // Known damage is told until it is made good.
    assert_eq!(report(folder.path(), &["doctor"]).0, ExitCode::from(1));
    assert_eq!(report(folder.path(), &["verify", "--deep"]).0, ExitCode::from(1));
    let lines = fs::read_to_string(folder.path().join("lost_rows.jsonl")).unwrap();
    assert_eq!(lines.lines().count() as u64, lost);
}

#[test]
fn what_cannot_be_opened_can_be_looked_at() {
    for (start, end, at) in [("sets-", "", 40), ("IDENT", "", 30)] {
        let folder = store();
        let path = find(folder.path(), start, end);
        flip(&path, at);
        assert!(Store::open(folder.path(), Options::default()).is_err());
        let (code, json) = report(folder.path(), &["doctor"]);
        assert_eq!(code, ExitCode::from(1));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let findings = json["findings"].as_array().unwrap();
        assert!(findings.iter().any(|f| f["file"].as_str().unwrap().ends_with(&name)), "{json}");
        let (code, _, err) = call(folder.path(), &["verify"]);
        assert_eq!(code, ExitCode::from(1));
        assert!(err.contains("nearfield doctor") || err.contains("damaged"), "{err}");
    }
    let folder = store();
    for (path, _) in contents(folder.path()) {
        if path.file_name().unwrap().to_string_lossy().starts_with("manifest-") {
            fs::write(path, b"gone").unwrap();
        }
    }
    let (code, json) = report(folder.path(), &["doctor"]);
    assert_eq!(code, ExitCode::from(1));
    assert!(json["findings"].as_array().unwrap().iter().any(|f| f["file"] == "manifest-*"), "{json}");
}

#[test]
fn codes_are_no_loss() {
    let folder = store();
    flip(&find(folder.path(), "head-", ".codes"), 8_000);
    let (code, json) = report(folder.path(), &["doctor"]);
    assert_eq!(code, ExitCode::from(1));
    assert_eq!(json["findings"][0]["lost_rows"], 0);
    assert!(json["findings"][0]["remedy"].as_str().unwrap().contains("made again"));
    // Opening makes them again, and closing writes them.
    let store = Store::open(folder.path(), Options::default()).unwrap();
    store.close(Duration::from_secs(60)).unwrap();
    assert_eq!(report(folder.path(), &["doctor"]).0, ExitCode::SUCCESS);
    assert_eq!(report(folder.path(), &["verify", "--deep"]).0, ExitCode::SUCCESS);
}

#[test]
fn no_store_and_a_wrong_flag_are_code_2() {
    let folder = TempDir::new().unwrap();
    for command in ["doctor", "verify"] {
        let (code, _, err) = call(folder.path(), &[command]);
        assert_eq!(code, ExitCode::from(2), "1 says that a store is damaged");
        assert!(err.contains("there is no store in"), "{err}");
        assert_eq!(call(folder.path(), &[command, "--shallow"]).0, ExitCode::from(2));
    }
    assert!(contents(folder.path()).is_empty(), "nothing was made");
}
