//! Goal: `nearfield add` and `embed` keep a collection equal to a folder, and pay for what changed alone. Method: the command in this
//! process, real folders, the store opened and searched after.

use crate::support::embeddings::{Fake, Reply, good, texts};
use nearfield::{Embedder, EmbeddingProfile, Hashed, Options, Store};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const FILES: usize = 60;

fn run(home: &Path, args: &[&str]) -> (bool, Value) {
    let at = |name: &str| home.join(name).to_str().unwrap().to_owned();
    let mut line =
        vec!["nearfield".to_owned(), "--data".into(), at("store"), "--quiet".into(), "--json".into()];
    line.extend(args.iter().map(|arg| (*arg).to_owned()));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = nearfield::cli::run(line, &mut out, &mut err);
    let told = serde_json::from_slice(&out)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&err).into_owned()));
    (format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS), told)
}

fn add(home: &Path, more: &[&str]) -> (bool, Value) {
    let (folder, base) = (home.join("folder"), home.to_str().unwrap().to_owned());
    run(home, &[&["add", folder.to_str().unwrap(), "--base", &base], more].concat())
}

fn page(n: usize) -> String {
    format!(
        "# Page {n}\n\nThe fruit number {n} ripens in month {n}.\n\n## Care {n}\n\nWater it {n} times a week, no more.\n"
    )
}

fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    fs::create_dir_all(home.path().join("folder/sub")).unwrap();
    for n in 0..FILES {
        let place = if n % 2 == 0 { "folder" } else { "folder/sub" };
        fs::write(home.path().join(format!("{place}/{n}.md")), page(n)).unwrap();
    }
    home
}

fn numbers(told: &Value, names: &[&str]) -> Vec<u64> {
    names.iter().map(|name| told[name].as_u64().unwrap_or_else(|| panic!("{name} in {told}"))).collect()
}

fn first_hit(home: &Path, question: &str) -> String {
    let store = Store::open(home.join("store"), Options::default()).unwrap();
    let docs = store.open_collection("docs").unwrap();
    let query = Hashed::default().embed(&[question]).unwrap().remove(0);
    let hit = docs.search(&query).k(1).run().unwrap().hits.remove(0);
    docs.get(hit.id.as_str()).unwrap().unwrap().document_id.unwrap()
}

#[test]
fn a_second_run_embeds_what_was_edited_and_nothing_else() {
    let home = home();
    let (good, told) = add(home.path(), &[]);
    assert!(good, "{told}");
    let chunks = told["added"].as_u64().unwrap();
    assert_eq!(
        numbers(&told, &["files", "files_new", "embedded", "pending"]),
        [FILES as u64, FILES as u64, chunks, 0]
    );
    let (_, told) = add(home.path(), &[]);
    assert_eq!(
        numbers(&told, &["files_unchanged", "unchanged", "embedded", "added", "changed"]),
        [FILES as u64, chunks, 0, 0, 0]
    );
    for n in 0..5 {
        let text = page(n * 2).replace("ripens", "was edited: zebra giraffe");
        fs::write(home.path().join(format!("folder/{}.md", n * 2)), text).unwrap();
    }
    fs::write(home.path().join("folder/new.md"), "# Elephants\n\nElephants remember the savannah.\n")
        .unwrap();
    fs::remove_file(home.path().join("folder/sub/7.md")).unwrap();
    let (_, planned) = add(home.path(), &["--prune", "--dry-run"]);
    let (good, told) = add(home.path(), &["--prune"]);
    let of = ["files_new", "files_changed", "files_pruned", "embedded"];
    assert!(good);
    assert_eq!(numbers(&told, &of)[..3], [1, 5, 1]);
    assert!(told["embedded"].as_u64().unwrap() <= 6, "{told}");
    assert_eq!(numbers(&planned, &of), numbers(&told, &of), "a dry run says what will be");
    assert_eq!(first_hit(home.path(), "elephants of the savannah"), "folder/new.md");
    let store = Store::open(home.path().join("store"), Options::default()).unwrap();
    let docs = store.open_collection("docs").unwrap();
    assert!(docs.document("folder/sub/7.md").unwrap().is_empty());
    assert_eq!(docs.documents_len().unwrap(), FILES);
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_in() {
    let home = home();
    fs::write(home.path().join("folder/broken.pdf"), b"%PDF-1.7\nnothing").unwrap();
    fs::write(home.path().join("folder/photo.jpg"), [0xff, 0xd8, 0, 0, 1, 2, 3]).unwrap();
    let (good, told) = add(home.path(), &[]);
    assert!(!good);
    let failed: Vec<&str> =
        told["failed"].as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap()).collect();
    assert_eq!(failed, ["folder/broken.pdf"]);
    assert_eq!(told["left_out"][0]["file"], "folder/photo.jpg");
    assert_eq!(told["files_new"], FILES);
    // A file that fails now is not gone.
    fs::write(home.path().join("folder/0.md"), [0; 100]).unwrap();
    let (good, told) = add(home.path(), &["--prune"]);
    assert!(!good);
    assert_eq!(numbers(&told, &["files_pruned", "files_unchanged"]), [0, FILES as u64 - 1]);
    assert_eq!(first_hit(home.path(), "fruit number 0 ripens in month 0"), "folder/0.md");
}

#[test]
fn chunks_without_vectors_get_them_later() {
    let home = home();
    let (good, told) = add(home.path(), &["--no-vectors"]);
    assert!(!good && told.as_str().is_some_and(|e| e.contains("create it first")), "{told}");
    let store = Store::open(home.path().join("store"), Options::default()).unwrap();
    store.create_collection("docs", nearfield::Schema::new(512, nearfield::Metric::Cosine)).unwrap();
    drop(store);
    let (good, told) = add(home.path(), &["--no-vectors"]);
    assert!(good, "{told}");
    let pending = told["pending"].as_u64().unwrap();
    assert_eq!(numbers(&told, &["embedded", "added"]), [0, pending]);
    let (good, told) = run(home.path(), &["embed", "docs", "--dry-run"]);
    assert!(!good && told["pending"] == pending, "{told}");
    let (good, told) = run(home.path(), &["embed", "docs"]);
    assert!(good, "{told}");
    assert_eq!(numbers(&told, &["embedded", "pending", "parked"]), [pending, 0, 0]);
    assert_eq!(first_hit(home.path(), "fruit number 31 ripens in month 31"), "folder/sub/31.md");
    // What was embedded meanwhile counts for the next run.
    let (_, told) = add(home.path(), &[]);
    assert_eq!(numbers(&told, &["embedded", "files_unchanged"]), [0, FILES as u64]);
}

#[test]
fn a_dry_run_makes_nothing_and_wrong_flags_are_refused() {
    let home = home();
    let (good, told) = add(home.path(), &["--dry-run"]);
    assert!(good && told["embedded"].as_u64().unwrap() > 0, "{told}");
    assert!(!home.path().join("store").exists());
    for wrong in [
        &["--embedder", "http://127.0.0.1:1"][..],
        &["--model", "m"],
        &["--tokens", "3"],
        &["--include", "a{"],
    ] {
        let (good, told) = add(home.path(), wrong);
        assert!(!good && told.is_string(), "{wrong:?}: {told}");
    }
    let (good, told) = add(home.path(), &["--embedder", "no/such/model"]);
    assert!(!good && told.as_str().unwrap().contains("nor a folder that is there"), "{told}");
    // The folder is there and no model: who has no local models says so, who has them misses its files.
    let (good, told) = add(home.path(), &["--embedder", "."]);
    let says = if cfg!(feature = "local-model") { "config.json" } else { "--features local-model" };
    assert!(!good && told.as_str().unwrap().contains(says), "{told}");
}

#[test]
fn a_new_collection_remembers_who_embeds_it_and_later_commands_ask_nobody_else() {
    let home = home();
    let fake = Fake::new(|_, body| good(body, 3));
    let set = format!("embedding.near.url={}", fake.url());
    let with = |args: &[&str]| run(home.path(), &[&["--with", &set], args].concat());
    let (folder, base) = (home.path().join("folder"), home.path().to_str().unwrap().to_owned());
    let add = |more: &[&str]| with(&[&["add", folder.to_str().unwrap(), "--base", &base], more].concat());
    let (good, told) = add(&["--embedder", "far", "--model", "m"]);
    assert!(!good && told.as_str().unwrap().contains("known are: hashed, near"), "{told}");
    let (good, told) = add(&["--embedder", "near", "--model", "m"]);
    assert!(good && told["pending"] == 0, "{told}");
    let store = Store::open(home.path().join("store"), Options::default()).unwrap();
    let schema = store.open_collection("docs").unwrap().schema().clone();
    assert_eq!((schema.dim, schema.embedding), (3, Some(EmbeddingProfile::new("near", "m"))));
    drop(store);
    // The address alone names the same provider.
    let (good, told) =
        add(&["--embedder", &format!("{}/v1", fake.url()), "--model", "m", "--into", "by-url"]);
    assert!(good, "{told}");
    let (good, told) = with(&["stats", "by-url"]);
    assert!(good && told["collections"][0]["embedding"]["provider"] == "near", "{told}");
    fs::write(folder.join("0.md"), page(100)).unwrap();
    let (good, told) = add(&[]);
    assert!(good && told["embedded"].as_u64().unwrap() > 0, "{told}");
    let (good, told) = add(&["--embedder", "hashed"]);
    assert!(!good && told.as_str().unwrap().contains("made by m of near"), "{told}");
    let store = Store::open(home.path().join("store"), Options::default()).unwrap();
    let text =
        store.open_collection("docs").unwrap().document("folder/0.md").unwrap()[0].text.clone().unwrap();
    drop(store);
    let (good, told) = with(&["search", "docs", &text, "-k", "1"]);
    assert!(good && told["hits"][0]["document_id"] == "folder/0.md", "{told}");
    // Without the settings nobody knows who it is.
    let (good, told) = run(home.path(), &["search", "docs", "words"]);
    assert!(!good && told.as_str().unwrap().contains("near"), "{told}");
}

#[test]
fn the_built_in_profile_is_written_and_searched_without_a_flag() {
    let home = home();
    let (good, told) = add(home.path(), &[]);
    assert!(good, "{told}");
    let (good, told) = run(home.path(), &["search", "docs", "fruit number 31 ripens in month 31", "-k", "1"]);
    assert!(good && told["hits"][0]["document_id"] == "folder/sub/31.md", "{told}");
    let (good, told) = add(home.path(), &["--no-vectors", "--dim", "64", "--into", "later"]);
    assert!(good && told["pending"].as_u64().unwrap() > 0, "{told}");
    let (good, told) = run(home.path(), &["embed", "later", "--dim", "64"]);
    assert!(good && told["pending"] == 0, "{told}");
    let (good, _) = add(home.path(), &["--no-vectors", "--embedder", "hashed", "--into", "planned"]);
    assert!(good);
    let (good, told) = run(home.path(), &["embed", "planned"]);
    assert!(good && told["embedded"].as_u64().unwrap() > 0, "{told}");
}

#[test]
fn chunks_that_are_refused_are_listed_left_alone_and_tried_again_when_asked() {
    let home = home();
    let is_strict = Arc::new(AtomicBool::new(true));
    let strict = is_strict.clone();
    let fake = Fake::new(move |_, body| {
        let is_bad = texts(body).iter().any(|text| text.contains("BAD"));
        match is_bad && strict.load(Ordering::SeqCst) {
            true => Reply::Say(422, "", "{\"error\": \"rude\"}".to_owned()),
            false => good(body, 3),
        }
    });
    fs::write(home.path().join("folder/bad.md"), "# Bad\n\nBAD words.\n").unwrap();
    let set = format!("embedding.near.url={}", fake.url());
    let with = |args: &[&str]| run(home.path(), &[&["--with", &set], args].concat());
    let (folder, base) = (home.path().join("folder"), home.path().to_str().unwrap().to_owned());
    let whom = ["--embedder", "near", "--model", "m", "--dim", "3", "--no-vectors"];
    let (good, told) = with(&[&["add", folder.to_str().unwrap(), "--base", &base], &whom[..]].concat());
    assert!(good, "{told}");
    let (good, told) = with(&["embed", "docs"]);
    assert!(!good && told["parked"] == 1 && told["pending"] == 1, "{told}");
    let asked = fake.requests();
    let (good, told) = with(&["embed", "docs"]);
    assert!(!good && told["parked"] == 1 && fake.requests() == asked, "{told}");
    let (good, told) = with(&["embed", "docs", "--list-parked"]);
    assert!(good && told["parked"][0]["why"].as_str().unwrap().contains("rude"), "{told}");
    assert!(told["parked"][0]["id"].as_str().unwrap().starts_with("folder/bad.md"), "{told}");
    let (good, told) = with(&["embed", "docs", "--retry"]);
    assert!(!good && fake.requests() > asked, "{told}");
    is_strict.store(false, Ordering::SeqCst);
    let (good, told) = with(&["embed", "docs", "--retry"]);
    assert!(good && told["embedded"] == 1, "{told}");
    let (good, told) = with(&["embed", "docs", "--list-parked"]);
    assert!(good && told["parked"].as_array().unwrap().is_empty(), "{told}");
}
