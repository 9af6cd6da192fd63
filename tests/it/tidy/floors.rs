//! The floors of the house: a module uses only modules of lower floors, and itself.
//!
//! What counts as a use: `crate::x` anywhere in shipped code, groups, and `super` chains that reach the root. A name that
//! `lib.rs` re-exports counts as its module. Tests may look anywhere.

use super::source::{Source, Token, closing, follows, tokens};
use super::{assert_each, assert_none, rust};
use std::collections::{BTreeMap, BTreeSet};

/// Every top-level module of `src/`, from the ground up.
const FLOORS: &[&[&str]] = &[
    &["error", "config", "ids", "limits", "metrics"],
    &["kernels", "disk"],
    &["record", "codes", "sets"],
    &["wal", "block", "manifest", "blobs"],
    &["graph", "text", "filter"],
    &["engine"],
    &["mirror", "ingest", "embed"],
    &["postgres", "import", "watch"],
    &["server", "cli"],
];

/// Above every floor: they may use all, none may use them. `bench_support` is a hidden door for the benches.
const ROOF: [&str; 3] = ["lib", "main", "bench_support"];

/// Siblings that may see each other, in one direction.
const EXCEPTIONS: &[Exception] = &[
    Exception { user: "config", used: "error", reason: "settings are validated where they are declared" },
    Exception { user: "config", used: "limits", reason: "settings are validated where they are declared" },
    Exception { user: "ingest", used: "embed", reason: "what is new of a document gets its vector" },
    Exception { user: "cli", used: "server", reason: "`nearfield serve` is the server with flags" },
];

struct Exception {
    user: &'static str,
    used: &'static str,
    reason: &'static str,
}

#[test]
fn modules_use_only_lower_floors() {
    let files: Vec<&Source> = rust("src/").collect();
    assert_none(check(&files, FLOORS, EXCEPTIONS));
}

fn check(files: &[&Source], floors: &[&[&str]], exceptions: &[Exception]) -> Vec<String> {
    let floor = |module: &str| floors.iter().position(|f| f.contains(&module));
    let exported = files.iter().find(|f| f.path == "src/lib.rs").map(|f| exports(f)).unwrap_or_default();
    let (mut violations, mut needed) = (Vec::new(), BTreeSet::new());
    for file in files {
        let user = top_module(&file.path);
        if ROOF.contains(&user) {
            continue;
        }
        let Some(user_floor) = floor(user) else {
            violations.push(file.violation(
                0,
                &format!("module `{user}` has no floor: add it to FLOORS in tests/it/tidy/floors.rs"),
            ));
            continue;
        };
        for (name, at) in uses(file) {
            let used = exported.get(&name).unwrap_or(&name);
            let fault = match floor(used) {
                _ if used == user => continue,
                _ if exceptions.iter().any(|e| e.user == user && e.used == used) => {
                    needed.insert((user.to_owned(), used.clone()));
                    continue;
                }
                Some(used_floor) if used_floor < user_floor => continue,
                Some(used_floor) => {
                    format!("`{user}` (floor {user_floor}) uses `{used}` (floor {used_floor})")
                }
                None if ROOF.contains(&used.as_str()) => {
                    format!("`{user}` uses `{used}`, which is above every floor")
                }
                None if used == "*" => "a glob of the crate's root hides what is used: name it".to_owned(),
                None => format!(
                    "`crate::{used}` is no module of FLOORS: add it there, or name the module that owns it"
                ),
            };
            violations.push(file.violation(at, &fault));
        }
    }
    let faults = exceptions.iter().filter_map(|e| fault(e, exceptions, &floor, &needed));
    violations.extend(faults);
    violations
}

/// What is wrong with an exception itself.
fn fault(
    e: &Exception,
    all: &[Exception],
    floor: &impl Fn(&str) -> Option<usize>,
    needed: &BTreeSet<(String, String)>,
) -> Option<String> {
    let what = if e.reason.trim().is_empty() {
        "has no reason"
    } else if floor(e.user).is_none() || floor(e.user) != floor(e.used) {
        "does not join two modules of one floor"
    } else if all.iter().any(|o| o.user == e.used && o.used == e.user) {
        "goes both ways: two siblings cannot need each other"
    } else if !needed.contains(&(e.user.to_owned(), e.used.to_owned())) {
        "is stale: nothing uses it"
    } else {
        return None;
    };
    Some(format!("the exception {} -> {} {what}", e.user, e.used))
}

fn top_module(path: &str) -> &str {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').next().unwrap_or(inside)
}

/// How many names lead from the root to the module of a file: 0 for `lib.rs`, 2 for `graph/search.rs`.
fn depth(path: &str) -> usize {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').filter(|part| !["lib", "main", "mod"].contains(part)).count()
}

/// The names that shipped code takes from the root of the crate, with the offset of each; `*` for a glob.
fn uses(file: &Source) -> Vec<(String, usize)> {
    let live = file.live();
    let tokens = tokens(&live);
    let mut found = Vec::new();
    let mut inline_ends = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        inline_ends.retain(|end| *end > i);
        if token.text == "mod" && follows(&tokens, i + 2, &["{"]) {
            inline_ends.push(closing(&tokens, i + 2));
        }
        let starts_path = i == 0 || tokens[i - 1].text != "::";
        if starts_path && ["crate", "super", "self"].contains(&token.text) && follows(&tokens, i + 1, &["::"])
        {
            path(&tokens, i, depth(&file.path) + inline_ends.len(), &mut found);
        }
    }
    found
}

/// Reads the path or group element at `i`, whose first name is looked up `level` names below the root.
fn path(tokens: &[Token<'_>], mut i: usize, mut level: usize, found: &mut Vec<(String, usize)>) {
    loop {
        let Some(token) = tokens.get(i) else { return };
        match token.text {
            "crate" => level = 0,
            "super" => level = level.saturating_sub(1),
            "self" => {}
            "{" => {
                let end = closing(tokens, i);
                return elements(tokens, i + 1, end)
                    .into_iter()
                    .for_each(|at| path(tokens, at, level, found));
            }
            name if level == 0 => return found.push((name.to_owned(), token.at)),
            _ => return,
        }
        if !follows(tokens, i + 1, &["::"]) {
            return;
        }
        i += 2;
    }
}

/// Where each element of a group starts.
fn elements(tokens: &[Token<'_>], start: usize, end: usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut i = start;
    while i < end {
        starts.push(i);
        while i < end && tokens[i].text != "," {
            i = if tokens[i].text == "{" { closing(tokens, i) } else { i } + 1;
        }
        i += 1;
    }
    starts
}

/// The names that `lib.rs` re-exports, each with the top-level module it comes from.
fn exports(lib: &Source) -> BTreeMap<String, String> {
    let live = lib.live();
    let tokens = tokens(&live);
    let mut exported = BTreeMap::new();
    for (i, token) in tokens.iter().enumerate() {
        if token.text != "use" {
            continue;
        }
        let skip = if follows(&tokens, i + 1, &["crate", "::"]) || follows(&tokens, i + 1, &["self", "::"]) {
            3
        } else {
            1
        };
        let end = (i..tokens.len()).find(|at| tokens[*at].text == ";").unwrap_or(tokens.len());
        for at in i + skip..end {
            let ends_name = [",", "}", ";"].iter().any(|stop| follows(&tokens, at + 1, &[stop]));
            if ends_name && !["}", ","].contains(&tokens[at].text) {
                exported.insert(tokens[at].text.to_owned(), tokens[i + skip].text.to_owned());
            }
        }
    }
    exported
}

mod examples {
    use super::*;

    const TABLE: &[&[&str]] = &[&["error", "ids"], &["graph", "filter"], &["engine"]];

    fn run(files: &[(&str, &str)], exceptions: &[Exception]) -> Vec<String> {
        let files: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        check(&files.iter().collect::<Vec<_>>(), TABLE, exceptions)
    }

    #[test]
    fn lower_floors_and_the_own_module_are_free() {
        let text = "use crate::{error::Error, graph::search, ids::{self, Slot}};\nuse super::super::ids as i;\nuse super::links::x;\n\
                    // crate::engine\nconst S: &str = \"crate::engine\";\npub(crate) fn f() -> crate::ids::Slot {}\n\
                    #[cfg(test)]\nmod tests { use crate::engine::Store; }\n";
        assert_none(run(
            &[("src/graph/search.rs", text), ("src/graph/tests.rs", "use crate::engine::Store;")],
            &[],
        ));
        assert_none(run(
            &[("src/main.rs", "use crate::engine::x;"), ("src/bench_support.rs", "pub use crate::graph::x;")],
            &[],
        ));
    }

    #[test]
    fn upward_and_sideways_uses_are_seen_in_every_form() {
        let forms = [
            ("use crate::engine::Store;", "`graph` (floor 1) uses `engine` (floor 2)"),
            ("use crate::{ids::Slot, engine};", "uses `engine`"),
            ("use crate::{ids::{self, Slot}, filter::{a, b}};", "`graph` (floor 1) uses `filter` (floor 1)"),
            ("fn f(x: Vec<crate::engine::Store>) {}", "uses `engine`"),
            ("use super::super::engine::Store;", "uses `engine`"),
            ("use super::{super::engine, links};", "uses `engine`"),
            ("mod inner { use super::super::super::engine::Store; }", "uses `engine`"),
            ("macro_rules! m { () => { $crate::engine::f() } }", "uses `engine`"),
            ("pub use self::super::super::engine as e;", "uses `engine`"),
            ("pub(in crate::engine) fn f() {}", "uses `engine`"),
            ("use crate::*;", "a glob"),
            ("use crate::lib::x;", "above every floor"),
            ("use crate::bench_support::x;", "above every floor"),
            ("use crate::Nowhere;", "no module of FLOORS"),
        ];
        for (text, message) in forms {
            assert_each(&run(&[("src/graph/search.rs", text)], &[]), &[message]);
        }
        assert_each(
            &run(&[("src/graph.rs", "use super::engine;")], &[]),
            &["src/graph.rs:1: `graph` (floor 1)"],
        );
        assert_each(
            &run(&[("src/graph/mod.rs", "\nuse super::engine;")], &[]),
            &["src/graph/mod.rs:2: `graph` (floor 1)"],
        );
    }

    #[test]
    fn a_reexported_name_counts_as_its_module() {
        let lib = (
            "src/lib.rs",
            "mod error; mod engine;\npub use error::{Error, Kind as K};\npub use crate::engine::Store;",
        );
        assert_none(run(&[lib, ("src/graph.rs", "use crate::{Error, K};")], &[]));
        assert_each(&run(&[lib, ("src/graph.rs", "use crate::{Error, Store};")], &[]), &["uses `engine`"]);
    }

    #[test]
    fn an_unknown_module_asks_for_its_floor() {
        assert_each(
            &run(&[("src/attic/mod.rs", "")], &[]),
            &["module `attic` has no floor: add it to FLOORS"],
        );
    }

    #[test]
    fn exceptions_join_siblings_and_must_be_needed() {
        let e = |user, used, reason| Exception { user, used, reason };
        let files = [("src/filter.rs", "use crate::graph::walk;")];
        assert_none(run(&files, &[e("filter", "graph", "the planner walks")]));
        assert_each(&run(&files, &[e("filter", "graph", " ")]), &["has no reason"]);
        assert_each(
            &run(&files, &[e("filter", "graph", "a"), e("graph", "filter", "b")]),
            &["both ways", "both ways"],
        );
        assert_each(&run(&[("src/filter.rs", "")], &[e("filter", "graph", "a")]), &["is stale"]);
        let up = [("src/graph.rs", "use crate::engine::x;")];
        assert_each(&run(&up, &[e("graph", "engine", "a")]), &["does not join two modules of one floor"]);
    }
}
