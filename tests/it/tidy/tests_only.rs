//! What tests may not do: wait for time to pass, or be switched off without saying why.

use super::source::{Source, closing, follows, tokens};
use super::{assert_each, assert_none, rust};

/// Test files that may sleep, with the reason.
const SLEEPERS: &[(&str, &str)] = &[
    (
        "tests/it/import/killed.rs",
        "a process dies at a random instant: nothing is waited for, any delay is right",
    ),
    ("tests/it/kill.rs", "a process dies at a random instant: nothing is waited for, any delay is right"),
    (
        "tests/it/mirror/killed.rs",
        "a process dies at a random instant: nothing is waited for, any delay is right",
    ),
    (
        "tests/it/support/wait.rs",
        "a process that is no child tells nobody of its end: it is looked for, with a deadline",
    ),
];

#[test]
fn tests_do_not_sleep() {
    assert_none(sleeps(&rust("").collect::<Vec<_>>(), SLEEPERS));
}

#[test]
fn an_ignored_test_says_why() {
    assert_none(rust("").flat_map(ignored).collect());
}

fn sleeps(files: &[&Source], sleepers: &[(&str, &str)]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut stale: Vec<_> = sleepers.iter().collect();
    for file in files {
        let code = file.tests();
        let tokens = tokens(&code);
        let is_sleep = |i: usize| {
            let in_group = || tokens[i + 2..closing(&tokens, i + 2)].iter().any(|t| t.text == "sleep");
            follows(&tokens, i, &["thread", "::", "sleep"])
                || (follows(&tokens, i, &["thread", "::", "{"]) && in_group())
        };
        let found: Vec<usize> = (0..tokens.len()).filter(|i| is_sleep(*i)).collect();
        if sleepers.iter().any(|(path, _)| *path == file.path) {
            stale.retain(|(path, reason)| *path != file.path || found.is_empty() || reason.trim().is_empty());
            continue;
        }
        let message = "a test that sleeps is slow or flaky: wait for the event";
        violations.extend(found.into_iter().map(|i| file.violation(tokens[i].at, message)));
    }
    violations
        .extend(stale.iter().map(|(path, _)| format!("the exception for {path} is stale or has no reason")));
    violations
}

/// `#[ignore]` without a text, also as `cfg_attr(.., ignore)`.
fn ignored(file: &Source) -> Vec<String> {
    let tokens = tokens(&file.code);
    let mut violations = Vec::new();
    for i in 0..tokens.len() {
        let is_plain = follows(&tokens, i, &["#", "[", "ignore"]);
        if !is_plain && !follows(&tokens, i, &["#", "[", "cfg_attr"]) {
            continue;
        }
        let end = closing(&tokens, i + 1);
        for at in (i..end).filter(|at| tokens[*at].text == "ignore") {
            // The literal is blanked in the code, so the reason is read from the text between its quotes.
            let rest = &file.text[tokens[at].at..tokens[end].at];
            let reason = rest.split('"').nth(1).unwrap_or_default();
            if !follows(&tokens, at + 1, &["="]) || reason.trim().is_empty() {
                violations.push(
                    file.violation(tokens[at].at, "an ignored test needs a reason: `#[ignore = \"..\"]`"),
                );
            }
        }
    }
    violations
}

#[test]
fn a_sleeping_test_fails_unless_it_is_listed() {
    let it = Source::new("tests/it/a.rs", "fn f() {\n    std::thread::sleep(D);\n}\n");
    let group = Source::new("src/a/tests.rs", "use std::thread::{self, sleep};\n");
    let inline = Source::new(
        "src/a.rs",
        "fn f() { thread::sleep(D) }\n#[cfg(test)]\nmod tests {\n    fn g() { thread::sleep(D) }\n}\n",
    );
    assert_each(
        &sleeps(&[&it, &group, &inline], &[]),
        &["tests/it/a.rs:2", "src/a/tests.rs:1", "src/a.rs:4"],
    );
    assert_none(sleeps(&[&it], &[("tests/it/a.rs", "it measures time")]));
    assert_each(&sleeps(&[&it], &[("tests/it/a.rs", "")]), &["no reason"]);
    assert_each(&sleeps(&[], &[("tests/it/a.rs", "it measures time")]), &["stale"]);
}

#[test]
fn an_ignore_without_a_reason_fails() {
    let text = "#[test]\n#[ignore]\nfn a() {}\n#[ignore = \"needs an hour\"]\nfn b() {}\n#[ignore = \" \"]\nfn c() {}\n\
                #[cfg_attr(miri, ignore)]\nfn d() {}\n#[cfg_attr(miri, ignore = \"too slow\")]\nfn e() {}\n// #[ignore]\n";
    assert_each(&ignored(&Source::new("tests/it/a.rs", text)), &["a.rs:2", "a.rs:6", "a.rs:8"]);
}
