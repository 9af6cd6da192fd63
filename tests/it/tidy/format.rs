//! FORMAT.md is in step with every `format.rs`: it stores the hash of each, so that no byte on disk changes unnoticed.
//!
//! A stored hash is a line of FORMAT.md with the path and 16 hexadecimal digits, XXH3-64 of the file:
//! `src/wal/format.rs 0123456789abcdef`.

use super::source::Source;
use super::{TREE, assert_each, assert_none};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

const PAGE: &str = "src/FORMAT.md";

#[test]
fn format_md_holds_the_hash_of_every_format_rs() {
    let page = TREE.iter().find(|f| f.path == PAGE).map_or("", |f| f.text.as_str());
    let formats: Vec<&Source> = TREE.iter().filter(|f| is_format(&f.path)).collect();
    assert_none(check(page, &formats));
}

fn is_format(path: &str) -> bool {
    path.starts_with("src/") && (path.ends_with("/format.rs"))
}

/// With no `format.rs` at all, what is left is that the page claims none.
fn check(page: &str, formats: &[&Source]) -> Vec<String> {
    let mut claims = claims(page);
    let mut violations = Vec::new();
    for file in formats {
        let hash = format!("{:016x}", xxh3_64(file.text.as_bytes()));
        let fault = match claims.remove(&file.path) {
            Some(stored) if stored == [hash.as_str()] => continue,
            Some(stored) => {
                format!("changed: describe it in {PAGE} and replace {} by {hash}", stored.join(", "))
            }
            None => format!("not in {PAGE}: describe it there and store `{} {hash}`", file.path),
        };
        violations.push(file.violation(0, &fault));
    }
    violations.extend(claims.keys().map(|path| format!("{PAGE} claims {path}, which does not exist")));
    violations
}

/// The hashes that the page stores, by path.
fn claims(page: &str) -> BTreeMap<String, Vec<&str>> {
    let mut claims: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for line in page.lines() {
        let words = || line.split(|c: char| c.is_whitespace() || "`|,;()[]".contains(c));
        let Some(path) = words().find(|w| is_format(w)) else { continue };
        let is_hash = |w: &&str| w.len() == 16 && w.bytes().all(|b| b.is_ascii_hexdigit());
        claims.entry(path.to_owned()).or_default().extend(words().filter(is_hash));
    }
    claims.retain(|_, hashes| !hashes.is_empty());
    claims
}

#[test]
fn a_missing_wrong_or_stale_hash_fails() {
    let file = Source::new("src/wal/format.rs", "//! Bytes.\n");
    let hash = format!("{:016x}", xxh3_64(b"//! Bytes.\n"));
    let right = format!("Prose about `src/wal/format.rs`.\n\n| `src/wal/format.rs` | `{hash}` |\n");
    assert_none(check(&right, &[&file]));
    assert_each(&check("Prose about `src/wal/format.rs`.", &[&file]), &["store `src/wal/format.rs "]);
    assert_each(
        &check(&right.replace(&hash, "0123456789abcdef"), &[&file]),
        &["replace 0123456789abcdef by"],
    );
    assert_each(&check(&right, &[]), &["claims src/wal/format.rs, which does not exist"]);
    assert_none(check("", &[]));
}
