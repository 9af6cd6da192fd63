//! Goal: `search`, `get`, `stats` and `reclaim` say the same of a store of this machine and of a server that has it. Method: both ways
//! on the same rows, in-process, compared.

use crate::server::Bed;
use nearfield::{Chunk, Embedder, Hashed, Metric, Options, Schema, Store, cli};
use serde_json::Value;
use std::process::ExitCode;
use tempfile::TempDir;

fn called(args: &[&str]) -> (ExitCode, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run(["nearfield"].iter().chain(args), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn fill(store: &Store) {
    let embedder = Hashed::default();
    let docs = store.create_collection("docs", Schema::new(embedder.dim(), Metric::Cosine)).unwrap();
    let texts = ["apples and pears", "ships on the sea", "a pear tree", "the harbour of ships"];
    let rows = texts.iter().zip(embedder.embed(&texts).unwrap()).enumerate();
    let chunk = |(n, (text, vector)): (usize, (&&str, Vec<f32>))| {
        Chunk::new(format!("row {n}"))
            .vector(vector)
            .text(*text)
            .meta("n", n)
            .embedding_model(embedder.model())
    };
    docs.upsert(rows.map(chunk)).unwrap();
}

/// A store in a folder, and a server with the same rows.
fn both() -> (TempDir, Bed) {
    let (home, bed) = (TempDir::new().unwrap(), Bed::new());
    let store = Store::open(home.path(), Options::default()).unwrap();
    fill(&store);
    fill(&bed.store);
    (home, bed)
}

/// The answer of both ways, which must be the same but for times and states.
fn same(home: &TempDir, bed: &Bed, args: &[&str]) -> (ExitCode, Value) {
    let (data, url) = (home.path().to_str().unwrap(), format!("http://{}", bed.server.addr()));
    let ask = |way: [&str; 2]| {
        let (code, out, err) = called(&[&way[..], &["--json"], args].concat());
        let mut told: Value = serde_json::from_str(&out).unwrap_or_else(|_| Value::String(err.clone()));
        for changing in ["took_us", "as_of", "id", "started_at", "finished_at", "result"] {
            if let Some(told) = told.as_object_mut() {
                told.remove(changing);
            }
        }
        for collection in told.get_mut("collections").and_then(Value::as_array_mut).into_iter().flatten() {
            collection.as_object_mut().unwrap().remove("bytes");
        }
        (code, told)
    };
    let (local, remote) = (ask(["--data", data]), ask(["--url", &url]));
    assert_eq!(local, remote, "{args:?}");
    local
}

#[test]
#[cfg(feature = "text")]
fn words_are_found_both_ways() {
    let (home, bed) = both();
    let (_, told) = same(&home, &bed, &["search", "docs", "--text", "ship"]);
    let ids: Vec<&str> =
        told["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["row 1", "row 3"], "{told}");
    let args = [
        "search",
        "docs",
        "ships on the sea",
        "--text",
        "pear",
        "--vector-weight",
        "0",
        "--fusion",
        "weighted",
        "--k",
        "1",
    ];
    let (_, told) = same(&home, &bed, &args);
    assert_eq!(told["hits"][0]["id"], "row 0", "of equals the first id: {told}");
    let (_, told) = same(&home, &bed, &["search", "docs", "--text", "pear", "--mode", "vector"]);
    assert!(told.to_string().contains("send the vector"), "{told}");
    let (_, out, _) =
        called(&["--data", home.path().to_str().unwrap(), "search", "docs", "--text", "harbour"]);
    assert!(out.contains("row 3") && out.contains("the harbour of ships"), "{out}");
}

#[test]
fn both_ways_give_the_same_answers() {
    let (home, bed) = both();
    let (code, found) = same(&home, &bed, &["search", "docs", "ships", "-k", "2", "--explain"]);
    assert_eq!(code, ExitCode::SUCCESS);
    let ids: Vec<&str> =
        found["hits"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"row 1") && ids.contains(&"row 3"), "{found:#}");
    let (_, found) = same(
        &home,
        &bed,
        &["search", "docs", "--near", "row 0", "--filter", "{\"n\": {\"$gt\": 0}}", "--exact"],
    );
    assert_eq!((found["hits"][0]["id"].as_str(), &found["exact"]), (Some("row 2"), &true.into()));
    let (code, found) = same(&home, &bed, &["get", "docs", "row 1", "none"]);
    assert_eq!((code, &found["missing"][0]), (ExitCode::from(1), &"none".into()));
    let (_, told) = same(&home, &bed, &["stats"]);
    assert_eq!(told["collections"][0]["counts"]["rows"], 4);
    let (code, job) = same(&home, &bed, &["reclaim"]);
    assert_eq!((code, &job["state"]), (ExitCode::SUCCESS, &"done".into()), "{job:#}");
}

#[test]
fn both_ways_refuse_with_the_same_words() {
    let (home, bed) = both();
    for (args, told) in [
        (&["search", "none", "x"][..], "none"),
        (&["search", "docs", "--near", "nobody"], "nobody"),
        (&["search", "docs", "x", "-k", "0"], "k is 0"),
        (&["search", "docs", "--vector", "[1, 2]"], "512"),
        (&["search", "docs", "x", "--filter", "{\"n\": {\"$near\": 1}}"], "$near"),
        (&["stats", "none"], "none"),
    ] {
        let (code, error) = same(&home, &bed, args);
        assert_eq!(code, ExitCode::from(1));
        assert!(error.as_str().unwrap().contains(told), "{args:?}: {error}");
    }
}

#[test]
fn people_read_it_on_80_columns() {
    let (home, _bed) = both();
    let data = ["--data", home.path().to_str().unwrap()];
    for (args, told) in [
        (&["search", "docs", "a pear", "--explain"][..], "hits in "),
        (&["get", "docs", "row 2", "--vector"], "a pear tree"),
        (&["stats"], "docs"),
        (&["reclaim"], "reclaim done"),
    ] {
        let (code, out, err) = called(&[&data[..], args].concat());
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{args:?}");
        assert!(out.contains(told) && out.lines().all(|line| line.chars().count() <= 80), "{out}");
    }
}

#[test]
fn what_cannot_ask_a_server_says_so_and_touches_nothing() {
    let home = TempDir::new().unwrap();
    let data = home.path().join("store");
    let given = ["--url", "http://127.0.0.1:1", "--data", data.to_str().unwrap()];
    for command in [&["demo"][..], &["serve"], &["doctor"], &["config"], &["postgres", "start"]] {
        let (code, out, err) = called(&[&given[..], command].concat());
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""), "{command:?}: {err}");
        assert!(err.contains("leave --url away"), "{err}");
    }
    assert!(!data.exists());
}

#[test]
fn an_address_or_a_token_that_does_not_do_is_told() {
    let (code, _, err) = called(&["--url", "localhost", "stats"]);
    assert!(code == ExitCode::from(1) && err.contains("http://127.0.0.1:6327"), "{err}");
    let (code, _, err) = called(&["--url", "http://127.0.0.1:1", "stats"]);
    assert!(code == ExitCode::from(1) && err.contains("no answer from http://127.0.0.1:1"), "{err}");
    let tokens = nearfield::server::Tokens::parse("read 0123456789abcdef0123456789abcdef").unwrap();
    let bed = Bed::with(nearfield::server::Options { tokens, ..Default::default() });
    let (home, url) = (TempDir::new().unwrap(), format!("http://{}", bed.server.addr()));
    let file = home.path().join("tokens");
    std::fs::write(&file, "# mine\nread 0123456789abcdef0123456789abcdef\n").unwrap();
    let given = ["--url", &url, "--token-file", file.to_str().unwrap()];
    assert_eq!(called(&[&given[..], &["stats"]].concat()).0, ExitCode::SUCCESS);
    let (_, _, err) = called(&[&given[..], &["reclaim"]].concat());
    assert!(err.contains("another token is needed"), "{err}");
    let (_, _, err) = called(&["--url", &url, "stats"]);
    assert!(err.contains("--token-file"), "{err}");
}
