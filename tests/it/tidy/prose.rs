//! What may not stand in a source file: non-ASCII, a check whose answer is dropped, unfinished work; and what must: a header.

use super::source::{Source, closing, follows, tokens};
use super::{TREE, assert_each, assert_none, rust};

/// Macros that mark unfinished work.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

#[test]
fn source_is_ascii() {
    assert_none(TREE.iter().filter(|f| !f.path.ends_with(".md")).flat_map(non_ascii).collect());
}

#[test]
fn no_matches_is_a_statement() {
    assert_none(rust("").flat_map(bare_matches).collect());
}

#[test]
fn nothing_is_unfinished() {
    assert_none(rust("").flat_map(unfinished).collect());
}

#[test]
fn every_file_says_what_it_is() {
    assert_none(rust("").flat_map(no_header).collect());
}

fn non_ascii(file: &Source) -> Vec<String> {
    let found = file.text.char_indices().filter(|(_, c)| !c.is_ascii());
    found.map(|(at, c)| file.violation(at, &format!("U+{:04X} is not ASCII", u32::from(c)))).collect()
}

/// `matches!(..);` says nothing: an `assert!` around it was forgotten.
fn bare_matches(file: &Source) -> Vec<String> {
    let tokens = tokens(&file.code);
    let is_bare = |i: usize| {
        let starts = i == 0 || [";", "{", "}", "]"].contains(&tokens[i - 1].text);
        starts
            && follows(&tokens, i, &["matches", "!"])
            && follows(&tokens, closing(&tokens, i + 2) + 1, &[";"])
    };
    let found = (0..tokens.len()).filter(|i| is_bare(*i));
    found.map(|i| file.violation(tokens[i].at, "the answer of `matches!` is dropped: assert it")).collect()
}

fn unfinished(file: &Source) -> Vec<String> {
    let tokens = tokens(&file.code);
    let found = (0..tokens.len())
        .filter(|i| UNFINISHED.contains(&tokens[*i].text) && follows(&tokens, i + 1, &["!"]));
    let found = found.filter(|i| !follows(&tokens, i + 2, &["="]));
    found
        .map(|i| file.violation(tokens[i].at, &format!("`{}!` is unfinished work", tokens[i].text)))
        .collect()
}

fn no_header(file: &Source) -> Vec<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").is_some_and(|rest| !rest.trim().is_empty());
    if says {
        vec![]
    } else {
        vec![file.violation(0, "the first line is no `//!` header: say what the file owns")]
    }
}

#[test]
fn a_non_ascii_letter_fails() {
    assert_each(&non_ascii(&Source::new("src/a.rs", "// a\n// caf\u{e9}\n")), &["src/a.rs:2: U+00E9"]);
}

#[test]
fn a_bare_matches_fails() {
    let file = Source::new(
        "src/a.rs",
        "fn f(x: u8) -> bool {\n    matches!(x, 1);\n    let a = matches!(x, 2);\n    matches!(x, 3)\n}\n",
    );
    assert_each(&bare_matches(&file), &["src/a.rs:2: the answer"]);
    assert_each(&bare_matches(&Source::new("src/a.rs", "fn f() { g(); matches!{x, 1}; }")), &["dropped"]);
}

#[test]
fn unfinished_work_fails() {
    let file = Source::new(
        "src/a.rs",
        "fn f() { todo!() }\nfn g() { std::unimplemented!(); }\n// todo!\nfn h() { dbg! (1); }\n",
    );
    assert_each(&unfinished(&file), &["a.rs:1: `todo!`", "a.rs:2: `unimplemented!`", "a.rs:4: `dbg!`"]);
}

#[test]
fn a_file_without_a_header_fails() {
    for text in ["", "use a::b;\n", "// A comment.\n", "//!\n", "\n//! Late.\n"] {
        assert_each(&no_header(&Source::new("src/a.rs", text)), &["no `//!` header"]);
    }
    assert_none(no_header(&Source::new("src/a.rs", "//! Owns a.\n")));
}
