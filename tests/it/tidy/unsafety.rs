//! Where `unsafe` may stand, and that each block argues for itself.

use super::source::{Source, follows, tokens};
use super::{assert_each, assert_none, rust};

/// Files, or folders with a slash at the end, that may contain `unsafe`.
const UNSAFE: &[(&str, &str)] = &[
    ("src/kernels/", "vector instructions have no safe form"),
    ("src/disk/map.rs", "a mapping is memory that others can change; its argument is written once, there"),
];

#[test]
fn unsafe_stands_only_where_it_is_listed() {
    assert!(UNSAFE.iter().all(|(_, reason)| !reason.trim().is_empty()), "every entry has a reason");
    assert_none(rust("").flat_map(|f| misplaced(f, UNSAFE)).collect());
}

#[test]
fn every_unsafe_block_has_its_argument() {
    assert_none(rust("").flat_map(unargued).collect());
}

fn misplaced(file: &Source, listed: &[(&str, &str)]) -> Vec<String> {
    if listed
        .iter()
        .any(|(path, _)| file.path == *path || (path.ends_with('/') && file.path.starts_with(path)))
    {
        return vec![];
    }
    let tokens = tokens(&file.code);
    let found = tokens.iter().filter(|t| t.text == "unsafe");
    found.map(|t| file.violation(t.at, "`unsafe` outside the listed files")).collect()
}

fn unargued(file: &Source) -> Vec<String> {
    let tokens = tokens(&file.code);
    let is_block =
        |i: usize| follows(&tokens, i, &["unsafe", "{"]) || follows(&tokens, i, &["unsafe", "impl"]);
    let found = (0..tokens.len()).filter(|i| is_block(*i) && !has_argument(file, tokens[*i].at));
    found.map(|i| file.violation(tokens[i].at, "`unsafe` without a `// SAFETY:` comment above")).collect()
}

/// Looks up from the line at `offset` through comments, attributes and the start of the same statement.
fn has_argument(file: &Source, offset: usize) -> bool {
    let line = file.line(offset);
    let lines = file.text.lines().zip(file.code.lines()).take(line).collect::<Vec<_>>();
    let column = offset - file.text[..offset].rfind('\n').map_or(0, |at| at + 1);
    for (i, (text, code)) in lines.iter().enumerate().rev() {
        let (text, code) =
            if i + 1 == line { (&text[..column], &code[..column]) } else { (*text, code.trim()) };
        let is_comment = text.trim_start().starts_with("//") || text.contains("/* SAFETY:");
        if is_comment && text.contains("SAFETY:") {
            return true;
        }
        let ends_statement = code.ends_with([';', '{', '}']) || text.trim().is_empty();
        if i + 1 < line && ends_statement {
            return false;
        }
    }
    false
}

#[test]
fn unsafe_elsewhere_fails() {
    let text = "//! unsafe\n#![allow(unsafe_code)]\nunsafe fn f() {}\n";
    assert_each(&misplaced(&Source::new("src/graph/arena.rs", text), UNSAFE), &["src/graph/arena.rs:3"]);
    assert_each(&misplaced(&Source::new("src/disk/map.rs.rs", text), UNSAFE), &["outside"]);
    assert_none(misplaced(&Source::new("src/kernels/avx2.rs", text), UNSAFE));
    assert_none(misplaced(&Source::new("src/disk/map.rs", text), UNSAFE));
}

#[test]
fn an_unsafe_block_without_an_argument_fails() {
    let good = "// SAFETY: a.\nunsafe impl Send for S {}\nfn f() {\n    // SAFETY: b\n    // goes on.\n    #[inline]\n    let x =\n        unsafe { g() };\n}\n";
    assert_none(unargued(&Source::new("src/kernels/a.rs", good)));
    let bad = "unsafe impl Send for S {}\nfn f() {\n    // SAFETY: b.\n    unsafe { g() };\n    unsafe { g() };\n    let s = \"SAFETY:\";\n    unsafe { g() };\n\
               // A comment.\n    unsafe { g() };\n}\n/// # Safety\n/// C.\nunsafe fn g() {}\n";
    assert_each(&unargued(&Source::new("src/kernels/a.rs", bad)), &["a.rs:1", "a.rs:5", "a.rs:7", "a.rs:9"]);
}
