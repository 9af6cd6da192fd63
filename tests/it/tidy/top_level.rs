//! What lies at the top of the tree: the few names that its user gave it, and no file that a tool dropped there.

use super::{assert_each, assert_none};
use std::fs;
use std::path::Path;

/// Every name that may stand at the top, beside those that begin with a dot.
const NAMES: [&str; 11] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "benches",
    "examples",
    "index_data",
    "migrations",
    "src",
    "tests",
];
/// What a build and a user's own run leave there, which no commit holds.
const LEFT_BY_RUNS: [&str; 3] = ["nearfield.toml", "proptest-regressions", "target"];

#[test]
fn nothing_strange_lies_at_the_top() {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the project's folder");
    let names = entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    assert_none(strange(names));
}

fn strange(names: Vec<String>) -> Vec<String> {
    let is_known =
        |name: &str| name.starts_with('.') || NAMES.contains(&name) || LEFT_BY_RUNS.contains(&name);
    let strange = names.into_iter().filter(|name| !is_known(name));
    strange.map(|name| format!("{name}: is not named in tests/it/tidy/top_level.rs")).collect()
}

#[test]
fn a_dropped_file_fails() {
    let names = ["src", ".git", "a-1.0-py3-none-any.whl", "Cargo.toml"].map(String::from);
    assert_each(&strange(names.to_vec()), &["a-1.0-py3-none-any.whl"]);
}
