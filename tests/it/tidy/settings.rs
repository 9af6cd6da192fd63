//! What a reader of Cargo.toml and of the settings must be told: why each dependency is there, what each feature is for,
//! and the default of every setting.

use super::source::Source;
use super::{TREE, assert_each, assert_none, rust};

#[test]
fn every_dependency_and_feature_has_a_comment() {
    assert_none(TREE.iter().filter(|f| f.path.ends_with("Cargo.toml")).flat_map(uncommented).collect());
}

#[test]
fn every_setting_names_its_default() {
    let files = rust("src/").filter(|f| f.path == "src/config.rs" || f.path.starts_with("src/config/"));
    assert_none(files.filter(|f| !f.is_test()).flat_map(without_default).collect());
}

/// Entries of the dependency and feature tables without a comment beside them or on the line above.
fn uncommented(file: &Source) -> Vec<String> {
    let (mut violations, mut is_listed, mut depth) = (Vec::new(), false, 0);
    let (mut is_told, mut offset) = (false, 0);
    for line in file.text.lines() {
        let (code, comment) = split_comment(line);
        let code = code.trim();
        if let Some(table) = code.strip_prefix('[').filter(|_| depth == 0) {
            let table = table.trim_matches(['[', ']']);
            let last = table.rsplit('.').next().unwrap_or_default();
            is_listed = last == "features" || last.ends_with("dependencies");
            // `[dependencies.name]` is an entry by itself.
            let is_entry = table.contains("dependencies.") && !is_listed;
            if is_entry && !is_told && comment.is_none() {
                violations.push(
                    file.violation(offset, &format!("[{table}] has no comment that says why it is there")),
                );
            }
        } else if is_listed && depth == 0 && !code.is_empty() && !is_told && comment.is_none() {
            let key = code.split(['=', '.']).next().unwrap_or(code).trim();
            violations
                .push(file.violation(offset, &format!("`{key}` has no comment that says why it is there")));
        }
        depth += code.matches(['[', '{']).count() as i32 - code.matches([']', '}']).count() as i32;
        is_told = code.is_empty() && comment.is_some_and(|c| !c.trim().is_empty());
        offset += line.len() + 1;
    }
    violations
}

/// Cuts a line of TOML at the first `#` outside quotes.
fn split_comment(line: &str) -> (&str, Option<&str>) {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return (&line[..at], Some(&line[at + 1..])),
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if c == q => quote = None,
            _ => {}
        }
    }
    (line, None)
}

/// Public fields whose doc comment does not name the default.
fn without_default(file: &Source) -> Vec<String> {
    let live = file.live();
    let (mut violations, mut doc, mut offset) = (Vec::new(), String::new(), 0);
    for (code, line) in live.lines().zip(file.text.lines()) {
        let (code, text) = (code.trim(), line.trim());
        let field = code
            .strip_prefix("pub ")
            .and_then(|rest| rest.split_once(':'))
            .filter(|(_, t)| !t.starts_with(':'));
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if let Some(part) = text.strip_prefix("///") {
            doc.push_str(part);
        } else if let Some((name, _)) = field.filter(|(name, _)| is_name(name)) {
            if doc.split_once("Default:").is_none_or(|(_, value)| value.trim().is_empty()) {
                violations.push(
                    file.violation(
                        offset,
                        &format!("setting `{name}` has no `Default: ..` in its doc comment"),
                    ),
                );
            }
            doc.clear();
        } else if !code.starts_with('#') {
            doc.clear();
        }
        offset += line.len() + 1;
    }
    violations
}

#[test]
fn a_dependency_or_feature_without_a_comment_fails() {
    let text = "[package]\nname = \"a\"\n[features]\n# Why.\ndefault = [\n    \"b\",\n]\nb = []\n\n[dependencies]\nc = \"1\" # why\nd = { version = \"1\" }\n\
                # Why.\ne = \"1\"\nf.version = \"1#\"\n#\ng = \"1\"\n[target.'cfg(unix)'.dev-dependencies]\nh = \"1\"\n[dependencies.i]\nversion = \"1\"\n";
    let expected = ["Cargo.toml:8: `b`", "12: `d`", "15: `f`", "17: `g`", "19: `h`", "20: [dependencies.i]"];
    assert_each(&uncommented(&Source::new("Cargo.toml", text)), &expected);
}

#[test]
fn a_setting_without_a_default_fails() {
    let text = "//! S.\n/// A. Default: none.\npub struct S {\n    /// Bytes. Default: 1 MiB.\n    #[serde(default)]\n    pub a: u64,\n    /// Bytes.\n    \
                pub b: u64,\n    pub c: u64,\n    /// Default:\n    pub d: u64,\n    e: u64,\n}\nimpl S { pub fn f(x: u8) {} }\npub use a::b;\n";
    let expected = ["config.rs:8: setting `b`", "9: setting `c`", "11: setting `d`"];
    assert_each(&without_default(&Source::new("src/config.rs", text)), &expected);
}
