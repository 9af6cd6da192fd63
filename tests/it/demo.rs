//! Goal: `nearfield demo` does what its lines claim, on any folder of text, and touches nothing else. Method: the program itself, on
//! a small folder, its report read as JSON.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn demo(home: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
    command.args(["--data", home.join("data").to_str().unwrap(), "demo"]).args(args).current_dir(home);
    command.output().unwrap()
}

fn home() -> TempDir {
    let home = TempDir::new().unwrap();
    fs::create_dir(home.path().join("texts")).unwrap();
    for n in 0..12 {
        let text =
            format!("# Chapter {n}\n\nA page about the fruit number {n}, which ripens in month {n}.\n");
        fs::write(home.path().join(format!("texts/page-{n:02}.md")), text).unwrap();
    }
    fs::write(home.path().join("texts/code.rs"), "fn ripen(fruit: Fruit) -> Month { fruit.month() }\n")
        .unwrap();
    home
}

fn steps(output: &Output) -> Vec<(String, String)> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let line = |step: &Value| {
        let lines = step["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
        assert!(step["took_ms"].as_f64().unwrap() > 0.0);
        (step["name"].as_str().unwrap().to_owned(), lines.collect::<Vec<_>>().join("\n"))
    };
    told.as_array().unwrap().iter().map(line).collect()
}

const MINE: [&str; 6] = ["--dir", "texts", "--ask", "which fruit ripens in month 7?", "--quiet", "--json"];

#[test]
fn every_step_comes_true() {
    let home = home();
    let steps = steps(&demo(home.path(), &MINE));
    let of = |begins: &str| {
        &steps
            .iter()
            .find(|(name, _)| name.starts_with(begins))
            .unwrap_or_else(|| panic!("{begins}: {steps:#?}"))
            .1
    };
    assert!(of("index").contains("13 rows"), "{steps:#?}");
    assert!(of("search").lines().nth(1).unwrap().contains("page-07.md"), "{steps:#?}");
    assert!(
        of("the same question").contains("code.rs") && !of("the same question").contains(".md:"),
        "{steps:#?}"
    );
    assert!(of("close").contains("13 rows"), "{steps:#?}");
    assert!(of("mirror").contains("audit: equal; here 13 rows"), "{steps:#?}");
    assert!(
        of("kill -9").contains("100 durable writes") && of("kill -9").contains("searches find them"),
        "{steps:#?}"
    );
    let drift = of("edit rows");
    assert!(drift.contains("5 rows differ"), "{drift}");
    assert!(drift.contains("only here: code.rs:1") || drift.contains("only here: page-"), "{drift}");
    assert!(drift.contains("edited by hand: ") && drift.contains("by-hand"), "{drift}");
    assert!(
        of("repair").contains("5 rows were put right") && of("repair").contains("equal; here 112 rows"),
        "{steps:#?}"
    );
    assert!(of("delete the store").contains("equal; here 112 rows"), "{steps:#?}");
    assert!(of("delete the store").contains("the same answer"), "{steps:#?}");
}

#[test]
fn without_a_database_the_rest_is_shown_and_said_so() {
    let home = home();
    let output = demo(home.path(), &["--dir", "texts", "--no-postgres", "--quiet"]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(told.contains("The steps with a database were left out") && told.contains("Next:"), "{told}");
    assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
}

#[test]
fn it_removes_its_own_folder_and_no_other() {
    let home = home();
    let args = [&MINE[..], &["--no-postgres"]].concat();
    for _ in 0..2 {
        assert_eq!(steps(&demo(home.path(), &args)).len(), 4);
    }
    let folder = home.path().join("data/demo");
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("precious"), "mine").unwrap();
    let output = demo(home.path(), &args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("no demonstration's"), "{said}");
    assert_eq!(fs::read_to_string(folder.join("precious")).unwrap(), "mine");
}

#[test]
fn a_folder_without_text_is_told_by_name() {
    let home = home();
    fs::create_dir(home.path().join("nothing")).unwrap();
    let output = demo(home.path(), &["--dir", "nothing", "--no-postgres"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("nothing holds no text; name another folder with --dir")
    );
    assert!(!home.path().join("data").exists(), "nothing is made for nothing");
}
