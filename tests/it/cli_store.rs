//! Goal: the commands that touch a store on a disk can be believed by a script: `snapshot`, `bench write|open|reclaim`. Method: small
//! runs in-process, in folders of their own; `bench open` runs the program, which runs and kills itself.

use nearfield::{Chunk, Metric, Options, Schema, Store, cli};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, ExitCode};
use tempfile::TempDir;

fn called(args: &[&str]) -> (ExitCode, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run(["nearfield", "--quiet"].iter().chain(args), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn done(args: &[&str]) -> String {
    let (code, out, err) = called(args);
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{args:?}");
    out
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&done(&[args, &["--json"]].concat())).unwrap()
}

/// Paths below a folder of the test's own.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn store(&self, name: &str, rows: usize) -> Store {
        let store = Store::open(self.at(name), Options::default()).unwrap();
        let docs = store.create_collection("docs", Schema::new(4, Metric::L2)).unwrap();
        docs.upsert((0..rows).map(|i| Chunk::new(format!("{i}")).vector([i as f32, 1.0, 0.0, 0.5]))).unwrap();
        store
    }
}

fn numbers(report: &Value, pointers: &[&str]) {
    for pointer in pointers {
        let number = report.pointer(pointer).and_then(Value::as_f64);
        assert!(number.is_some_and(|n| n > 0.0), "{pointer}: {number:?} in {report:#}");
    }
}

#[test]
fn a_snapshot_is_made_and_restored() {
    let home = Home::new();
    let token = {
        let store = home.store("store", 30);
        let token = store.token();
        let (code, _, err) = called(&["snapshot", "create", "--data", &home.at("store"), &home.at("a")]);
        assert_eq!(code, ExitCode::from(1));
        assert!(err.contains("is open already, by process"), "{err}");
        token
    };
    let report = json(&["snapshot", "create", "--data", &home.at("store"), &home.at("a")]);
    assert_eq!(report["snapshot"], home.at("a").as_str());
    assert_eq!((&report["token"]["seq"], &report["collections"]), (&token.seq.0.into(), &1.into()));
    numbers(&report, &["/files", "/bytes", "/seconds"]);

    let text = done(&["snapshot", "restore", &home.at("a"), "--data", &home.at("copy")]);
    assert!(
        text.starts_with(&format!("restored {} at ", home.at("a"))) && text.contains("1 collections"),
        "{text}"
    );
    let copy = Store::open(home.at("copy"), Options::default()).unwrap();
    assert_eq!(copy.open_collection("docs").unwrap().count(None).unwrap(), 30);

    for (args, said) in [
        (["snapshot", "restore", &home.at("a"), "--data", &home.at("copy")], "is not empty"),
        (["snapshot", "restore", &home.at("no"), "--data", &home.at("b")], "holds no snapshot"),
        (["snapshot", "create", &home.at("b"), "--data", &home.at("no")], "holds no store"),
    ] {
        let (code, out, err) = called(&args);
        assert_eq!((code, out.as_str()), (ExitCode::from(1), ""), "{args:?}");
        assert!(err.contains(said), "{err}");
        assert!(!Path::new(&home.at("b")).exists() && !Path::new(&home.at("no")).exists());
    }
}

#[test]
fn a_killed_snapshot_is_never_taken_for_a_whole_one() {
    let home = Home::new();
    drop(home.store("store", 2_000));
    let (data, mut cut) = (home.at("store"), 0);
    for round in 0..6 {
        let to = home.at(&format!("to-{round}"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_nearfield"))
            .args(["snapshot", "create", "--data", &data, &to])
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // From the first file on there is something to be taken for a snapshot.
        while !Path::new(&to).join("PARTIAL").exists() && child.try_wait().unwrap().is_none() {}
        for _ in 0..round * 2_000 {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        match Store::restore(&to, home.at(&format!("copy-{round}"))) {
            Ok(report) => assert!(report.files > 0),
            Err(error) => {
                cut += 1;
                let refused = Store::open(&to, Options::default()).err().unwrap();
                for error in [error, refused] {
                    assert!(error.to_string().contains("cut short"), "{error}");
                }
            }
        }
        let store = Store::open(&data, Options::default()).unwrap();
        assert_eq!(store.open_collection("docs").unwrap().count(None).unwrap(), 2_000);
    }
    println!("{cut} of 6 snapshots were cut short");
}

#[test]
fn a_wrong_command_line_is_code_2() {
    for args in [
        &["snapshot"][..],
        &["snapshot", "create"],
        &["snapshot", "restore", "a", "b"],
        &["bench", "write", "--batch", "0"],
        &["bench", "write", "--writers", "1,x"],
        &["bench", "write", "--seconds", "0"],
        &["bench", "write", "--durability", "eternal"],
        &["bench", "write", "--docs", "d.jsonl"],
        &["bench", "write", "--data-set", "x", "--rows", "5"],
        &["bench", "open", "--rounds", "0"],
        &["bench", "open", "--dim", "many"],
    ] {
        let (code, out, err) = called(args);
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""), "{args:?}");
        assert!(err.contains("Usage:") || err.starts_with("error: "), "{args:?}: {err}");
    }
}

const WRITE: [&str; 13] = [
    "bench",
    "write",
    "--rows",
    "300",
    "--dim",
    "16",
    "--seconds",
    "0.05",
    "--batch",
    "1,20",
    "--writers",
    "1,2",
    "--data",
];

#[test]
fn bench_write_tells_every_case() {
    let home = Home::new();
    let report = json(&[&WRITE[..], &[&home.at("data")]].concat());
    assert!(!Path::new(&home.at("data")).exists(), "nothing is left behind");
    assert_eq!(report["data"]["durability"], "durable");
    let cases = report["cases"].as_array().unwrap();
    let named: Vec<_> = cases.iter().map(|c| (c["batch"].as_u64(), c["writers"].as_u64())).collect();
    let pair = |b, w| (Some(b), Some(w));
    assert_eq!(named, [pair(1, 1), pair(1, 2), pair(20, 1), pair(20, 2)]);
    for case in cases {
        numbers(
            case,
            &["/commits_per_s", "/rows_per_s", "/per_floor", "/search_p99_ratio", "/floor/syncs_per_s"],
        );
        numbers(case, &["/log/commits", "/log/groups", "/log/syncs", "/log/bytes_per_commit"]);
        assert_eq!(case["log"]["commits"], case["write"]["count"], "every write is a commit");
        for calls in ["/write", "/search_idle", "/search_during", "/floor/sync"] {
            let calls = case.pointer(calls).unwrap();
            let rising =
                ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"].map(|p| calls[p].as_f64().unwrap());
            assert!(rising[0] > 0.0 && rising.is_sorted(), "{calls}");
            let longest = calls["longest"].as_array().unwrap();
            assert!((longest[0]["ms"].as_f64().unwrap() * 1e3 - rising[4]).abs() < 1e-6, "{calls}");
            assert!(calls["over_10_ms"].as_u64().unwrap() <= calls["count"].as_u64().unwrap());
        }
    }
    let text = done(&[&WRITE[..], &[&home.at("data"), "--durability", "buffered"]].concat());
    assert_eq!(text.lines().filter(|line| line.starts_with("== batch ")).count(), 4, "{text}");
    assert!(text.lines().all(|line| line.len() <= 120), "{text}");
}

#[test]
fn bench_write_imports_vectors_with_what_belongs_to_them() {
    let home = Home::new();
    let rows = 200;
    std::fs::create_dir(home.at("set")).unwrap();
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 2), }}\n");
    let values = (0..rows).flat_map(|i| [1.0f32, i as f32].map(f32::to_le_bytes)).flatten();
    let npy = b"\x93NUMPY\x01\x00".iter().copied().chain((header.len() as u16).to_le_bytes());
    let npy: Vec<u8> = npy.chain(header.into_bytes()).chain(values).collect();
    std::fs::write(home.at("set/base.f32.npy"), npy).unwrap();
    let import = ["bench", "write", "--rounds", "2", "--import-batch", "64", "--data"];
    let (data, set, docs) = (home.at("data"), home.at("set"), home.at("docs.jsonl"));
    let import = [&import[..], &[&data, "--data-set", &set]].concat();
    assert_eq!(json(&import)["with_docs"], false);

    std::fs::write(home.at("set/docs.jsonl.zst"), "packed").unwrap();
    let (code, _, err) = called(&import);
    assert!(code == ExitCode::from(1) && err.contains("docs.jsonl.zst"), "{err}");
    let line = |i| {
        format!(
            "{{\"id\": \"r{i}\", \"document_id\": \"d\", \"text\": \"t\", \"metadata\": {{\"n\": {i}}}}}\n"
        )
    };
    std::fs::write(&docs, (0..rows).map(line).collect::<String>()).unwrap();
    let with_docs = [&import[..], &["--docs", &docs]].concat();
    let report = json(&with_docs);
    assert_eq!((&report["with_docs"], &report["rows"]), (&true.into(), &rows.into()));
    numbers(
        &report,
        &["/durable_seconds", "/memory_seconds", "/ratio", "/close_seconds", "/disk/bytes_per_row"],
    );
    assert_eq!(report["rounds"].as_array().unwrap().len(), 2);
    assert!(done(&with_docs).contains("times the build in memory"));
    assert!(!Path::new(&home.at("data")).exists());
}

/// The program itself: it runs itself as the child that it kills.
fn bench_open(args: &[&str]) -> String {
    let common = ["bench", "open", "--quiet", "--rounds", "2", "--tail", "70", "--k", "5"];
    let out = Command::new(env!("CARGO_BIN_EXE_nearfield")).args(common).args(args).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn bench_open_kills_and_finds_everything_again() {
    let home = Home::new();
    let small = ["--rows", "500", "--dim", "12", "--data", &home.at("data")];
    let report: Value = serde_json::from_str(&bench_open(&[&small[..], &["--json"]].concat())).unwrap();
    assert_eq!((&report["data"]["rows"], &report["data"]["tail"]), (&500.into(), &70.into()));
    for times in ["clean", "killed"] {
        let of = |name: &str| report[times][name].as_f64().unwrap();
        assert!(of("open_ms") > 0.0 && of("open_max_ms") >= of("open_ms"), "{report:#}");
        assert!(
            of("first_answer_ms") > of("open_ms") && of("linked_ms") >= of("first_answer_ms"),
            "{report:#}"
        );
        assert!(of("recall_min") > 0.9, "{report:#}");
    }
    numbers(&report, &["/disk/bytes_per_row", "/disk/ratio", "/disk/ideal/payload", "/disk/ideal/links"]);
    numbers(&report["disk"]["bytes_per_row_by_kind"], &["/rows", "/codes", "/sets", "/manifests"]);
    assert!(!Path::new(&home.at("data")).exists());
}

#[test]
fn bench_open_leaves_a_given_store_as_it_is() {
    let home = Home::new();
    drop(home.store("store", 100));
    let text = bench_open(&["--data", &home.at("store")]);
    assert!(text.starts_with("data     100 x 4, l2; "), "{text}");
    assert!(text.contains("   a close ") && text.contains("   a kill "), "{text}");
    let store = Store::open(home.at("store"), Options::default()).unwrap();
    assert_eq!(store.open_collection("docs").unwrap().count(None).unwrap(), 100);
    assert_eq!(std::fs::read_dir(home.0.path()).unwrap().count(), 1, "the copy is gone");
}

#[test]
fn bench_reclaim_tells_what_is_left() {
    let home = Home::new();
    let args = ["bench", "reclaim", "--quiet", "--json", "--rows", "2000", "--dim", "12", "--percent", "70"];
    let report: Value =
        serde_json::from_str(&done(&[&args[..], &["--data", &home.at("data")]].concat())).unwrap();
    assert_eq!(
        (&report["before"]["rows"], &report["after"]["rows"]),
        (&2_000.into(), &600.into()),
        "{report:#}"
    );
    numbers(
        &report,
        &["/disk_ratio", "/before/disk/bytes_per_row", "/after/counted_bytes", "/after/resident_bytes"],
    );
    assert!(report["recall"].as_f64().unwrap() > 0.9, "{report:#}");
    assert!(!Path::new(&home.at("data")).exists());
}
