//! Goal: an import changes exactly what its mode says, once it is verified, and `--rollback` brings back what was there.

use super::{DIM, Home, ROWS, expected, made};
use nearfield::{Chunk, Metric};
use std::fs;

/// The rows of the file that the imports here read, in the way that a collection shows them.
fn of_the_file() -> Vec<Chunk> {
    let home = Home::new();
    home.done(&["import", &made("chunks.jsonl"), "--into", "docs", "--metric", "l2"]);
    home.rows("docs").unwrap()
}

fn merged(old: &[Chunk], new: &[Chunk]) -> Vec<Chunk> {
    let mut all: Vec<Chunk> = old.iter().filter(|o| !new.iter().any(|n| n.id == o.id)).cloned().collect();
    all.extend_from_slice(new);
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

#[test]
fn each_mode_changes_what_it_says_and_can_be_undone() {
    let new = of_the_file();
    for mirrored in [false, true] {
        let home = Home::new();
        home.fill("other", Metric::Cosine);
        let old = home.fill("docs", Metric::L2);
        if mirrored {
            mirror(&home);
        }
        let file = made("chunks.jsonl");
        let import =
            |more: &[&'static str]| [&["import", file.as_str(), "--into", "docs"][..], more].concat();

        let said = home.refused(&import(&[]));
        assert!(said.contains("exists, with 15 rows") && said.contains("--mode append or replace"), "{said}");
        let said = home.refused(&import(&["--mode", "replace"]));
        assert!(said.contains("--yes"), "{said}");
        assert_eq!(home.rows("docs").unwrap(), old);

        let report = home.done(&import(&["--mode", "append"]));
        assert_eq!(report["rows_after"], merged(&old, &new).len());
        assert_eq!(home.rows("docs").unwrap(), merged(&old, &new), "mirrored: {mirrored}");
        let report = home.done(&["import", "--rollback"]);
        assert_eq!(report["rows_after"], old.len());
        assert_eq!(home.rows("docs").unwrap(), old);

        home.done(&import(&["--mode", "replace", "--yes"]));
        assert_eq!(home.rows("docs").unwrap(), new, "mirrored: {mirrored}");
        home.done(&["import", "--rollback"]);
        assert_eq!(home.rows("docs").unwrap(), old);
        let said = home.refused(&["import", "--rollback"]);
        assert!(said.contains("no import to undo"), "{said}");
        assert_eq!(home.names(), ["docs", "other"]);
        assert_eq!(home.rows("other").unwrap().len(), 15);
    }
}

#[cfg(feature = "mirror")]
fn mirror(home: &Home) {
    // What a store keeps from its first mirror on; a database is not needed for it.
    let store = home.store();
    let options = nearfield::MirrorOptions::from_url("postgres://nobody@127.0.0.1:1/none");
    let mirror = nearfield::Mirror::start(&store, options).unwrap();
    drop(mirror);
    drop(store);
    assert!(home.data().join("MIRROR").exists(), "the store is attached");
}

#[cfg(not(feature = "mirror"))]
fn mirror(_: &Home) {}

#[test]
fn a_new_collection_goes_when_its_import_is_undone() {
    let home = Home::new();
    home.done(&["import", &made("chunks.jsonl"), "--into", "docs", "--metric", "l2"]);
    assert_eq!(home.rows("docs").unwrap().len(), ROWS);
    home.done(&["import", "--rollback"]);
    assert_eq!(home.rows("docs"), None);
    home.done(&["import", &made("chunks.jsonl"), "--into", "docs", "--metric", "cosine"]);
    assert_eq!(home.rows("docs").unwrap().len(), ROWS);
}

#[test]
fn what_was_written_since_is_not_undone_without_a_word() {
    let home = Home::new();
    home.done(&["import", &made("chunks.jsonl"), "--into", "docs", "--metric", "l2"]);
    home.store().open_collection("docs").unwrap().upsert([Chunk::new("mine").vector([1.0; DIM])]).unwrap();
    let said = home.refused(&["import", "--rollback"]);
    assert!(said.contains("it has 21 rows and had 20") && said.contains("--yes"), "{said}");
    assert_eq!(home.rows("docs").unwrap().len(), ROWS + 1);
    home.done(&["import", "--rollback", "--yes"]);
    assert_eq!(home.rows("docs"), None);
}

#[test]
fn a_failed_import_leaves_the_last_one_to_be_undone() {
    let home = Home::new();
    let old = home.fill("docs", Metric::L2);
    home.done(&["import", &made("chunks.jsonl"), "--into", "docs", "--mode", "append"]);
    let bad = home.at("bad.jsonl");
    fs::write(&bad, "{\"id\":\"a\",\"vector\":[1,2,3,4,5,6]}\n{\"id\":\"b\",\"vector\":[1]}\n").unwrap();
    home.refused(&["import", &bad, "--into", "docs", "--mode", "append"]);
    home.done(&["import", "--rollback"]);
    assert_eq!(home.rows("docs").unwrap(), old);
}

#[test]
fn rejects_are_counted_listed_and_limited() {
    let home = Home::new();
    let line = |id: &str, vector: &str| format!("{{\"id\":\"{id}\",\"vector\":{vector}}}\n");
    let good = |id: &str| line(id, "[1,2]");
    let file = home.at("mixed.jsonl");
    let text =
        [good("a"), line("b", "[1,2,3]"), line("c", "[1e39,2]"), good("a"), "{\"id\"\n".into(), good("d")]
            .concat();
    fs::write(&file, text + "\n{\"id\":\"e\",\"vector\":[1,2],\"colour\":1}\n{\"vector\":[1,2]}\n").unwrap();
    let import = ["import", &file, "--into", "docs", "--metric", "l2"];
    let said = home.refused(&[&import[..], &["--max-rejects", "5"]].concat());
    assert!(
        said.contains("6 rows cannot be stored, and --max-rejects allows 5; nothing was changed"),
        "{said}"
    );
    for why in [
        "line 2, id \"b\"",
        "3 dimensions",
        "line 3",
        "line 4, id \"a\": its id came before",
        "line 5",
        "\"colour\"",
        "it has no id",
    ] {
        assert!(said.contains(why), "{why}: {said}");
    }
    assert_eq!(home.rows("docs"), None);
    let rejects = home.at("rejects");
    let report = home.done(&[&import[..], &["--max-rejects", "6", "--rejects", &rejects]].concat());
    assert_eq!((&report["rows"], &report["rejected"]), (&2.into(), &6.into()));
    assert_eq!(fs::read_to_string(&rejects).unwrap().lines().count(), 6);
    assert_eq!(home.rows("docs").unwrap().len(), 2);
}

#[test]
fn files_that_do_not_belong_together_are_refused_by_name() {
    let home = Home::new();
    let (f4, short) = (made("vectors.f4.npy"), home.at("short"));
    fs::write(&short, "a\nb\n").unwrap();
    let said = home.refused(&["import", &f4, "--metric", "l2", "--into", "a", "--ids", &short]);
    assert!(said.contains("short: ends before the vectors do, at their row 2"), "{said}");
    let long = home.at("long");
    fs::write(&long, "x\n".repeat(ROWS + 1)).unwrap();
    let said = home.refused(&[
        "import",
        &f4,
        "--metric",
        "l2",
        "--into",
        "a",
        "--ids",
        &long,
        "--max-rejects",
        "99",
    ]);
    assert!(said.contains("more ids than there are vectors"), "{said}");
    let docs = home.at("docs.jsonl");
    fs::write(&docs, "{}\n".repeat(ROWS + 1)).unwrap();
    let said = home.refused(&["import", &f4, "--metric", "l2", "--into", "a", "--docs", &docs]);
    assert!(said.contains("line 21 belongs to no vector"), "{said}");
    for (args, why) in
        [(&["--ids", "x"][..], "leave --ids and --docs away"), (&["--columns", "id=x"], "has no columns")]
    {
        let said = home.refused(
            &[&["import", &made("ip.hnswlib"), "--into", "a", "--metric", "dot"][..], args].concat(),
        );
        assert!(said.contains(why), "{said}");
    }
    let other = home.at("unknown.bin");
    fs::write(&other, b"hello").unwrap();
    let said = home.refused(&["import", &other, "--into", "a"]);
    assert!(said.contains("--format"), "{said}");
    let said = home.refused(&["import", &home.at("nowhere.npy"), "--into", "a"]);
    assert!(said.contains("nowhere.npy cannot be read"), "{said}");
    assert_eq!(home.names(), Vec::<String>::new());
}

#[test]
fn what_does_not_fit_a_collection_is_refused_before_anything_is_read() {
    let home = Home::new();
    let old = home.fill("docs", Metric::Cosine);
    let l2 = ["import", &made("flat-l2.faiss"), "--into", "docs", "--mode", "append"];
    let said = home.refused(&l2);
    assert!(said.contains("the metric cosine") && said.contains("6 and l2"), "{said}");
    // The user's word counts more than the file's.
    home.done(&[&l2[..], &["--metric", "cosine"]].concat());
    assert_eq!(home.rows("docs").unwrap().len(), old.len() + ROWS);
    let said = home.refused(&["import", &made("flat-l2.faiss"), "--into", "none", "--mode", "append"]);
    assert!(said.contains("no collection \"none\""), "{said}");
    let said = home.refused(&["import", &made("flat-l2.faiss"), "--into", ".import-staged"]);
    assert!(said.contains("the first not a dot"), "{said}");
    assert_eq!(expected().vectors.len(), ROWS);
}
