//! Rooms are small: files, the median file, functions.

use super::source::{Source, closing, follows, tokens};
use super::{assert_each, assert_none, rust};

const FILE_LINES_MAX: usize = 600;
const FILE_LINES_MEDIAN_MAX: usize = 200;
const FUNCTION_LINES_MAX: usize = 100;

/// Functions that may be longer.
const LONG_FUNCTIONS: &[LongFunction] = &[];

struct LongFunction {
    path: &'static str,
    name: &'static str,
    reason: &'static str,
}

#[test]
fn files_are_short() {
    assert_none(rust("").flat_map(long_file).collect());
}

#[test]
fn the_median_file_is_short() {
    assert_none(long_median(&rust("src/").collect::<Vec<_>>()));
}

#[test]
fn functions_are_short() {
    assert_none(long_functions(&rust("").collect::<Vec<_>>(), LONG_FUNCTIONS));
}

fn long_file(file: &Source) -> Vec<String> {
    let lines = file.text.lines().count();
    let message = format!("{lines} lines; a file has at most {FILE_LINES_MAX}");
    if lines > FILE_LINES_MAX { vec![file.violation(0, &message)] } else { vec![] }
}

/// Over the files that ship: tests in a file of their own do not count.
fn long_median(files: &[&Source]) -> Vec<String> {
    let mut lines: Vec<usize> =
        files.iter().filter(|f| !f.is_test()).map(|f| f.text.lines().count()).collect();
    lines.sort_unstable();
    let median = lines.get(lines.len() / 2).copied().unwrap_or_default();
    let message = format!(
        "the median of {} files is {median} lines; it stays below {FILE_LINES_MEDIAN_MAX}",
        lines.len()
    );
    if median >= FILE_LINES_MEDIAN_MAX { vec![message] } else { vec![] }
}

fn long_functions(files: &[&Source], exceptions: &[LongFunction]) -> Vec<String> {
    let (mut violations, mut needed) = (Vec::new(), vec![false; exceptions.len()]);
    for file in files {
        for (name, at, lines) in functions(file) {
            match exceptions.iter().position(|e| e.path == file.path && e.name == name) {
                _ if lines <= FUNCTION_LINES_MAX => {}
                Some(exception) => needed[exception] = true,
                None => {
                    let message =
                        format!("fn {name} has {lines} lines; a function has at most {FUNCTION_LINES_MAX}");
                    violations.push(file.violation(at, &message));
                }
            }
        }
    }
    for (e, is_needed) in exceptions.iter().zip(needed) {
        if !is_needed || e.reason.trim().is_empty() {
            violations
                .push(format!("the exception for fn {} in {} is stale or has no reason", e.name, e.path));
        }
    }
    violations
}

/// Name, offset and lines of each function with a body, from `fn` to its closing brace.
fn functions(file: &Source) -> Vec<(&str, usize, usize)> {
    let tokens = tokens(&file.code);
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let is_pointer = follows(&tokens, i + 1, &["("]);
        if token.text != "fn" || is_pointer || i + 1 >= tokens.len() {
            continue;
        }
        let mut open = i;
        while open < tokens.len() && !["{", ";"].contains(&tokens[open].text) {
            open = if ["(", "["].contains(&tokens[open].text) { closing(&tokens, open) } else { open } + 1;
        }
        if follows(&tokens, open, &["{"]) {
            let end = tokens[closing(&tokens, open)].at;
            found.push((tokens[i + 1].text, token.at, file.line(end) - file.line(token.at) + 1));
        }
    }
    found
}

#[test]
fn a_long_file_fails() {
    let text = |lines: usize| "//\n".repeat(lines);
    assert_none(long_file(&Source::new("src/a.rs", &text(FILE_LINES_MAX))));
    assert_each(&long_file(&Source::new("src/a.rs", &text(FILE_LINES_MAX + 1))), &["601 lines"]);
}

#[test]
fn a_long_median_fails() {
    let files = [10, 250, 300].map(|lines| Source::new("src/a.rs", &"//\n".repeat(lines)));
    assert_each(&long_median(&files.iter().collect::<Vec<_>>()), &["the median of 3 files is 250 lines"]);
    let tests = Source::new("src/a/tests.rs", &"//\n".repeat(300));
    assert_none(long_median(&[&files[0], &tests, &tests]));
}

#[test]
fn a_long_function_fails_unless_it_is_listed() {
    let body = |lines: usize| {
        format!(
            "type F = fn(u8);\ntrait T {{ fn t(&self) -> [u8; 4]; }}\nfn f() -> [u8; 4] {{\n{}}}\n",
            "    g();\n".repeat(lines - 2)
        )
    };
    let (short, long) = (Source::new("src/a.rs", &body(100)), Source::new("src/a.rs", &body(101)));
    let listed = |name, reason| [LongFunction { path: "src/a.rs", name, reason }];
    assert_none(long_functions(&[&short], &[]));
    assert_each(&long_functions(&[&long], &[]), &["src/a.rs:3: fn f has 101 lines"]);
    assert_none(long_functions(&[&long], &listed("f", "one table")));
    assert_each(&long_functions(&[&long], &listed("f", "")), &["stale or has no reason"]);
    assert_each(&long_functions(&[&short], &listed("f", "one table")), &["stale"]);
}
