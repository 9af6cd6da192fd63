//! Goal: `import`, `export`, `verify`, `snapshot` and `sync` do with a running server (`--url`) what they do with a store of this machine.
//! Method: both, in-process, on the same files; the mirror against a real Postgres.

use crate::server::Bed;
use crate::server::mirrored::{Mirrored, mirrored};
use crate::support::sql::sql;
use nearfield::server::{Limits, Options as ServerOptions};
use nearfield::{Chunk, Filter, Metric, Options, Schema, Store, cli};
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use tempfile::TempDir;

const ROWS: usize = 2_300;

fn called(args: &[&str]) -> (ExitCode, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run(["nearfield"].iter().chain(args), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// A command that must succeed, and its JSON.
fn told(way: &[&str], args: &[&str]) -> Value {
    let (code, out, err) = called(&[way, &["--json"], args].concat());
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{args:?}: {out}");
    serde_json::from_str(&out).unwrap()
}

/// A command that must fail, and what it says.
fn refused(way: &[&str], args: &[&str]) -> String {
    let (code, out, err) = called(&[way, args].concat());
    assert_eq!((code, out.as_str()), (ExitCode::from(1), ""), "{args:?}: {err}");
    err
}

fn url(bed: &Bed) -> String {
    format!("http://{}", bed.server.addr())
}

/// Rows with everything that a row can have, in lines.
fn lines(rows: usize) -> String {
    let line = |n: usize| {
        let vector = [(n as f32 * 0.37).sin(), n as f32 / 3.0, 1e-7 * n as f32 + 0.1];
        let mut line = json!({
            "id": format!("row \"{n}\" \u{fc}/?&"), "vector": vector, "text": format!("text {n}\n\u{1f600}"),
            "document_id": format!("doc {}", n / 7), "chunk_index": n % 7, "metadata": {"n": n, "deep": {"x": [1.5, null]}},
            "embedding_model": "m-1",
        });
        match n % 50 {
            // It waits for a vector.
            7 => drop(line.as_object_mut().unwrap().remove("vector")),
            9 => drop(line.as_object_mut().unwrap().remove("text")),
            _ => {}
        }
        line.to_string() + "\n"
    };
    (0..rows).map(line).collect()
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn rows_go_into_a_server_and_come_back_bit_for_bit() {
    let (home, bed) = (TempDir::new().unwrap(), Bed::new());
    let (url, data) = (url(&bed), home.path().join("store"));
    let (there, here) = (["--url", &url], ["--data", data.to_str().unwrap()]);
    let file = written(home.path(), "rows.jsonl", &lines(ROWS));
    let import = ["import", &file, "--into", "docs", "--metric", "l2"];
    let (sent, stored) = (told(&there, &import), told(&here, &import));
    assert_eq!((&sent["rows"], &sent["rows_after"]), (&ROWS.into(), &ROWS.into()));
    assert_eq!(sent["digest"], stored["digest"]);
    let exported = |way: &[&str], name: &str, more: &[&str]| {
        let to = home.path().join(name);
        let report = told(way, &[&["export", "docs", to.to_str().unwrap()], more].concat());
        assert_eq!(report["rows"], if more.is_empty() { ROWS } else { 10 });
        (report["digest"].clone(), std::fs::read_to_string(to).unwrap())
    };
    let (digest, text) = exported(&there, "there.jsonl", &[]);
    assert_eq!(digest, stored["digest"]);
    assert_eq!((digest, text), exported(&here, "here.jsonl", &[]));
    let few = ["--filter", "{\"n\": {\"$lt\": 10}}", "--vectors", "json"];
    assert_eq!(exported(&there, "few there.jsonl", &few), exported(&here, "few here.jsonl", &few));
}

#[test]
fn what_is_appended_replaces_rows_of_the_same_ids() {
    let (home, bed) = (TempDir::new().unwrap(), Bed::new());
    let (url, file) = (url(&bed), written(home.path(), "rows.jsonl", &lines(20)));
    let there = ["--url", url.as_str()];
    told(&there, &["import", &file, "--into", "docs", "--metric", "l2"]);
    let more = written(home.path(), "more.jsonl", &lines(30));
    let error = refused(&there, &["import", &more, "--into", "docs", "--metric", "l2"]);
    assert!(error.contains("--mode append"), "{error}");
    let report = told(&there, &["import", &more, "--into", "docs", "--mode", "append"]);
    assert_eq!((&report["rows"], &report["rows_after"]), (&30.into(), &30.into()));
    let error = refused(&there, &["import", &more, "--into", "docs", "--mode", "replace", "--yes"]);
    assert!(error.contains("cannot be replaced"), "{error}");
    assert_eq!(bed.store.open_collection("docs").unwrap().count(None).unwrap(), 30);
}

#[test]
fn an_import_that_is_refused_leaves_nothing_on_the_server() {
    let (home, bed) = (TempDir::new().unwrap(), Bed::new());
    let url = url(&bed);
    let there = ["--url", url.as_str()];
    let torn = written(home.path(), "torn.jsonl", &(lines(1_500) + "{\"id\": \"x\", \"vector\": [1]}\n"));
    let error = refused(&there, &["import", &torn, "--into", "docs", "--metric", "l2"]);
    assert!(error.contains("line 1501"), "{error}");
    assert_eq!(bed.get("/v1/collections").1["collections"], json!([]));
    let left = told(
        &there,
        &["import", &torn, "--into", "docs", "--metric", "l2", "--max-rejects", "1", "--dry-run"],
    );
    assert_eq!((&left["rows"], &left["rejected"]), (&1_500.into(), &1.into()));
    assert_eq!(bed.get("/v1/collections").1["collections"], json!([]));
    let left = told(&there, &["import", &torn, "--into", "docs", "--metric", "l2", "--max-rejects", "1"]);
    assert_eq!((&left["rows_after"], &left["rejected"]), (&1_500.into(), &1.into()));
    let error = refused(&there, &["import", "--rollback"]);
    assert!(error.contains("not undone"), "{error}");
}

#[test]
fn a_server_that_refuses_a_row_half_way_keeps_no_new_collection() {
    let limits = Limits { batch_max: 10, ..Limits::default() };
    let (home, bed) = (TempDir::new().unwrap(), Bed::with(ServerOptions { limits, ..Default::default() }));
    let (url, file) = (url(&bed), written(home.path(), "rows.jsonl", &lines(25)));
    let there = ["--url", url.as_str()];
    let error = refused(&there, &["import", &file, "--into", "docs", "--metric", "l2"]);
    assert!(error.contains("10"), "{error}");
    assert_eq!(bed.get("/v1/collections").1["collections"], json!([]));
    told(&there, &["import", &file, "--into", "docs", "--metric", "l2", "--batch", "10"]);
    assert_eq!(bed.store.open_collection("docs").unwrap().count(None).unwrap(), 25);
}

#[test]
fn a_server_is_verified_and_copied() {
    let home = TempDir::new().unwrap();
    let (data, copies) = (home.path().join("store"), home.path().join("copies"));
    std::fs::create_dir(&copies).unwrap();
    let store = Store::open(&data, Options::default()).unwrap();
    store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    store.open_collection("docs").unwrap().upsert([Chunk::new("a").vector([1.0, 2.0])]).unwrap();
    let bed = Bed::of(store, ServerOptions { snapshots: Some(copies.clone()), ..Default::default() });
    let url = url(&bed);
    let there = ["--url", url.as_str()];
    let diagnosis = told(&there, &["verify", "--deep"]);
    assert_eq!((&diagnosis["healthy"], &diagnosis["rows"]), (&true.into(), &1.into()));
    let (code, out, _) = called(&[&there[..], &["verify"]].concat());
    assert!(code == ExitCode::SUCCESS && out.starts_with(&format!("{url}: healthy")), "{out}");
    assert!(refused(&there, &["verify", "--accept-loss", "--yes"]).contains("leave --url away"));
    let copy = told(&there, &["snapshot", "create"]);
    let copy = copies.join(copy["name"].as_str().unwrap());
    let restored = home.path().join("restored");
    told(&["--data", restored.to_str().unwrap()], &["snapshot", "restore", copy.to_str().unwrap()]);
    let restored = Store::open(&restored, Options::default()).unwrap();
    assert_eq!(restored.open_collection("docs").unwrap().count(None::<&Filter>).unwrap(), 1);
    for args in [&["snapshot", "create", "x"][..], &["snapshot", "restore", "x"]] {
        assert!(refused(&there, args).contains("under a name that it tells"), "{args:?}");
    }
}

#[test]
fn a_server_and_its_database_are_compared_and_made_equal() {
    let Mirrored { bed, database, .. } = mirrored();
    let url = url(&bed);
    let there = ["--quiet", "--url", url.as_str()];
    let row = |n: usize| Chunk::new(format!("row-{n}")).vector([n as f32, 1.0]);
    bed.store.open_collection("docs").unwrap().upsert((0..30).map(row)).unwrap();
    let done = |args: &[&str]| {
        let (code, out, err) = called(&[&there[..], &["sync"], args].concat());
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{args:?}: {out}");
        assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
        out
    };
    assert!(done(&["push"]).contains("versions sent in"));
    assert!(done(&["audit", "--deep"]).starts_with("docs: equal, byte for byte"));
    let status = done(&["status"]);
    assert!(status.contains("PostgreSQL") && status.contains("waiting  0 rows"), "{status}");
    assert_eq!(done(&["dead-letters"]), "no row is refused by either side\n");
    assert!(done(&["resolve", "--trust", "local"]).starts_with("there was nothing to decide"));
    // With the triggers away nobody notices but an audit.
    sql(
        &database.url,
        "ALTER TABLE nearfield.chunk DISABLE TRIGGER USER; DELETE FROM nearfield.chunk WHERE id = 'row-7'",
    );
    let (code, out, _) = called(&[&there[..], &["--json", "sync", "audit"]].concat());
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["equal"]), (ExitCode::from(1), &false.into()));
    assert_eq!(report["collections"][0]["missing_remotely"], json!(["row-7"]));
    let dry = called(&[&there[..], &["sync", "repair", "--trust", "local", "--dry-run"]].concat());
    assert!(dry.0 == ExitCode::from(1) && dry.1.contains("row-7"), "{dry:?}");
    assert!(done(&["repair", "--trust", "local", "--yes", "--collection", "docs"]).contains("docs: "));
    assert!(done(&["audit", "--collection", "docs"]).starts_with("docs: equal"));
    assert!(done(&["rebuild", "--collection", "docs"]).contains("taken over"));
    let place = called(&[&there[..], &["sync", "push", "--database-url", "postgres://x"]].concat());
    assert!(place.2.contains("its own database"), "{place:?}");
    let drop = called(&[&there[..], &["sync", "drop", "--collection", "docs", "--yes"]].concat());
    assert!(drop.2.contains("leave --url away"), "{drop:?}");
}
