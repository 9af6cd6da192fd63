//! The house rules, as tests. Goal: what style.md asks for cannot rot. Method: read the source tree as text, apply pure
//! functions over `(path, text)`, fail with every violation at once.
//!
//! One file per subject; each rule has a test on the tree and a test on a small bad example, which proves that it can fail.
//! The lists of exceptions stand first in the file of their rule, each entry with its reason.

mod floors;
mod format;
mod prose;
mod settings;
mod size;
mod source;
mod tests_only;
mod top_level;
mod unsafety;

use source::Source;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Folders whose text is held to the rules.
const FOLDERS: [&str; 4] = ["src", "tests", "benches", "migrations"];
const EXTENSIONS: [&str; 5] = ["rs", "toml", "sql", "py", "md"];
/// Folders that tools fill: build products, plots, Python environments.
const FOREIGN: [&str; 4] = ["target", "out", "venv", "__pycache__"];

/// Every file that the rules look at, sorted by path.
static TREE: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tree = vec![read(root, &root.join("Cargo.toml"))];
    for folder in FOLDERS {
        walk(root, &root.join(folder), &mut tree);
    }
    tree.sort_by(|a, b| a.path.cmp(&b.path));
    tree
});

fn walk(root: &Path, folder: &Path, tree: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.expect("a directory entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || FOREIGN.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, tree);
        } else if path.extension().is_some_and(|e| EXTENSIONS.iter().any(|x| e == *x)) {
            tree.push(read(root, &path));
        }
    }
}

fn read(root: &Path, path: &Path) -> Source {
    let text =
        fs::read_to_string(path).unwrap_or_else(|e| panic!("{} is not readable text: {e}", path.display()));
    let relative = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
    Source::new(&relative, &text.replace("\r\n", "\n"))
}

/// The Rust files below `folder`.
fn rust(folder: &'static str) -> impl Iterator<Item = &'static Source> {
    TREE.iter().filter(move |f| f.path.ends_with(".rs") && f.path.starts_with(folder))
}

/// Fails with all violations, one per line.
fn assert_none(violations: Vec<String>) {
    assert!(violations.is_empty(), "{} violation(s):\n{}", violations.len(), violations.join("\n"));
}

/// Asserts that `violations` are as many as `expected`, each containing its fragment.
fn assert_each(violations: &[String], expected: &[&str]) {
    let same =
        violations.len() == expected.len() && violations.iter().zip(expected).all(|(v, e)| v.contains(e));
    assert!(same, "expected {expected:#?}, got {violations:#?}");
}

#[test]
fn the_rules_see_the_whole_tree() {
    for path in ["Cargo.toml", "src/lib.rs", "src/ids.rs", "tests/it/tidy.rs", "tests/it/tidy/floors.rs"] {
        assert!(TREE.iter().any(|f| f.path == path), "{path} was not read");
    }
}
