//! Goal: `nearfield migrate` takes a collection from one model to another, says what it does and ends with the code that scripts ask
//! for. Method: the command in this process, with the built-in embedder of two widths as the two models.

use nearfield::{Chunk, Embedder, Hashed, Metric, Options, Schema, Store};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const ROWS: usize = 30;
const NEW: [&str; 4] = ["--embedder", "hashed", "--dim", "96"];

fn called(home: &Path, json: bool, args: &[&str]) -> (String, String, String) {
    let store = home.join("store");
    let mut line = vec!["nearfield", "--data", store.to_str().unwrap()];
    if json {
        line.push("--json");
    }
    line.extend(["migrate", "docs"].iter().chain(args));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = nearfield::cli::run(line, &mut out, &mut err);
    (format!("{code:?}"), String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn code(n: u8) -> String {
    format!("{:?}", std::process::ExitCode::from(n))
}

fn done(home: &Path, args: &[&str]) -> Value {
    let (code, out, err) = called(home, true, args);
    assert_eq!((code, err.as_str()), (self::code(0), ""), "{args:?}");
    serde_json::from_str(&out).unwrap()
}

fn refused(home: &Path, args: &[&str]) -> String {
    let (code, _, err) = called(home, false, args);
    assert_eq!(code, self::code(1), "{args:?}: {err}");
    err
}

fn open(home: &Path) -> Store {
    Store::open(home.join("store"), Options::default()).unwrap()
}

fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    let store = open(home.path());
    let docs = store.create_collection("docs", Schema::new(64, Metric::Cosine)).unwrap();
    let old = Hashed::new(64).unwrap();
    docs.upsert((0..ROWS).map(|id| {
        let text = format!("row {id} speaks of subject {}", id * 7 % 11);
        let vector = old.embed(&[&text]).unwrap().remove(0);
        Chunk::new(id.to_string()).text(text).vector(vector).embedding_model(old.model())
    }))
    .unwrap();
    drop(docs);
    store.close(Duration::from_secs(60)).unwrap();
    home
}

fn with(verb: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    [&[verb][..], &NEW, more].concat()
}

#[test]
fn a_collection_goes_over_and_back_and_its_past_is_dropped() {
    let home = home();
    let home = home.path();
    let estimate = done(home, &with("estimate", &["--price", "0.5", "--tokens-per-s", "1000"]));
    assert_eq!((&estimate["texts"], &estimate["model"]), (&ROWS.into(), &"nearfield-hashed-96".into()));
    assert!(
        estimate["price"].as_f64().unwrap() > 0.0 && estimate["seconds"].as_f64().unwrap() > 0.0,
        "{estimate}"
    );
    assert_eq!(done(home, &with("fill", &["--dry-run"]))["texts"], ROWS);
    assert_eq!(open(home).collections().len(), 1, "nothing has changed");
    let spent = called(home, true, &with("fill", &["--tokens-max", "1"]));
    assert_eq!(spent.0, code(1), "{spent:?}");
    assert_eq!(done(home, &with("fill", &[]))["filled"], ROWS);
    let compared = done(home, &with("compare", &["--old-embedder", "hashed"]));
    assert!(
        compared["queries"].as_u64().unwrap() > 20 && compared["after"]["found"].as_f64().unwrap() > 0.5,
        "{compared}"
    );
    std::fs::write(home.join("questions"), "subject 3\n\nrow 7 speaks\n").unwrap();
    let questions = home.join("questions");
    let file =
        [NEW.as_slice(), &["--old-embedder", "hashed", "--queries", questions.to_str().unwrap()]].concat();
    assert_eq!(done(home, &[&["compare"][..], &file].concat())["queries"], 2);
    assert_eq!(done(home, &with("switch", &["--dry-run"]))["texts"], 0);
    let switched = done(home, &with("switch", &[]));
    assert_eq!((&switched["name"], &switched["old"]), (&"docs".into(), &"docs.old".into()));
    assert_eq!(open(home).open_collection("docs").unwrap().schema().dim, 96);
    open(home).open_collection("docs").unwrap().delete(["3"]).unwrap();
    assert_eq!(done(home, &["undo", "--dry-run"])["deleted_ids"], serde_json::json!(["3"]));
    assert!(refused(home, &["undo"]).contains("1 went"));
    done(home, &["undo", "--yes"]);
    assert_eq!(open(home).open_collection("docs").unwrap().count(None).unwrap(), ROWS);
    done(home, &with("switch", &[]));
    assert_eq!(called(home, false, &["drop"]).0, code(2), "it is meant by --yes");
    assert_eq!(done(home, &["drop", "--dry-run"])["name"], "docs.old");
    assert_eq!(done(home, &["drop", "--yes"])["rows"], ROWS);
    assert_eq!(open(home).collections().len(), 1);
}

#[test]
fn errors_name_what_to_do() {
    let home = home();
    let home = home.path();
    assert!(refused(home, &with("switch", &[])).contains("fill it first"));
    assert!(refused(home, &["undo"]).contains("nothing was switched"));
    assert!(refused(home, &["fill", "--embedder", "hashed", "--dim", "64"]).contains("already"));
    assert!(refused(home, &["drop", "--filled", "--yes"]).contains("fill it first"));
    done(home, &with("fill", &["--next", "docs.wide"]));
    assert!(
        refused(home, &["fill", "--next", "docs.wide", "--embedder", "hashed", "--dim", "128"])
            .contains("drop it")
    );
    let text = called(home, false, &with("switch", &["--next", "docs.wide", "--old", "docs.narrow"])).1;
    assert!(
        text.contains("docs is what docs.wide was, 30 rows with a vector; what it was is docs.narrow"),
        "{text}"
    );
    let (code, _, err) = called(home, false, &["turn"]);
    assert_eq!(code, self::code(2), "{err}");
    let (code, _, err) = called(&home.join("nowhere"), false, &["undo"]);
    assert!(code == self::code(1) && err.contains("holds no store"), "{err}");
}
