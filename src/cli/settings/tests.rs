//! Settings: layers, names, units, and a template that is in step with the declarations.

use super::*;
use crate::ErrorKind;
use crate::cli::wrap::lines;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The structs whose fields are settings, by section.
const DECLARED: [(&str, &str, &str); 7] = [
    ("store", "src/config.rs", "Options"),
    ("mirror", "src/mirror/options.rs", "MirrorOptions"),
    ("mirror.database", "src/mirror/database.rs", "DatabaseOptions"),
    ("server", "src/server/options.rs", "Options"),
    ("server.limits", "src/server/options.rs", "Limits"),
    ("log", "src/cli/settings/log.rs", "Log"),
    ("embedding.openai", "src/embed/providers/options.rs", "ProviderOptions"),
];
const TEMPLATE_PATH: &str = "src/cli/settings/nearfield.toml";

fn with(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str, &str)]) -> crate::Result<Loaded> {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("n.toml");
    fs::write(&file, text).unwrap();
    let owned = |s: &str| s.to_owned();
    Sources {
        file: Some(file),
        variables: variables.iter().map(|(n, v)| (owned(n), owned(v))).collect(),
        flags: flags.iter().map(|(k, v, f)| (owned(k), owned(v), owned(f))).collect(),
    }
    .load()
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let file = "[store]\nflush_ms = 1\ntail_rows_max = 2\nbuild_threads = 2\n";
    let variables =
        [("NEARFIELD_STORE_FLUSH_MS", "3"), ("NEARFIELD_STORE_TAIL_ROWS_MAX", "4"), ("PATH", "/bin")];
    let loaded = with(file, &variables, &[("store.flush_ms", "5", "--with")]).unwrap();
    let store = &loaded.settings.store;
    assert_eq!((store.flush_ms, store.tail_rows_max, store.build_threads), (5, 4, 2));
    assert_eq!(store.checkpoint_rows, Options::default().checkpoint_rows);
    let place = |key: &str| loaded.values[key].1.to_string();
    assert_eq!(place("store.flush_ms"), "--with");
    assert_eq!(place("store.tail_rows_max"), "NEARFIELD_STORE_TAIL_ROWS_MAX of the environment");
    assert!(place("store.build_threads").ends_with("n.toml"));
    assert_eq!(place("store.checkpoint_rows"), "default");
}

#[test]
fn quantities_lists_and_choices_are_read_as_people_write_them() {
    let file = "[store]\nflush_ms = \"2s\"\ndisk_reserve_bytes = \"1GiB\"\ndurability = \"buffered\"\nio = \"heap\"\n\
                [mirror]\ncollections = [\"a\", \"b\"]\n[mirror.database]\ndatabase_index = { hnsw = { m = 8, ef_construction = 40 } }\n";
    let variables = [("NEARFIELD_MIRROR_MANUAL", "yes"), ("NEARFIELD_STORE_BACKGROUND_CPU", "0.25")];
    let settings =
        with(file, &variables, &[("mirror.collections", "c, d", "--collection")]).unwrap().settings;
    assert_eq!((settings.store.flush_ms, settings.store.disk_reserve_bytes), (2_000, 1 << 30));
    assert_eq!(
        (settings.store.durability, settings.store.io),
        (crate::Durability::Buffered, crate::Io::Heap)
    );
    assert_eq!(settings.store.background_cpu, 0.25);
    assert!(settings.mirror.manual);
    assert_eq!(settings.mirror.collections, ["c", "d"]);
    assert_eq!(
        settings.mirror.database.database_index,
        crate::DatabaseIndex::Hnsw { m: 8, ef_construction: 40 }
    );
}

#[test]
fn what_is_wrong_is_told_with_setting_value_and_place() {
    for (file, variable, told) in [
        ("[store]\nflash_ms = 1\n", None, "store.flash_ms is no setting"),
        ("[store]\nflash_ms = 1\n", None, "did you mean store.flush_ms?"),
        ("[stor]\nx = 1\n", None, "n.toml"),
        ("[store]\nflush_ms = \"soon\"\n", None, "store.flush_ms: \"soon\" is no number of milliseconds"),
        ("[store]\nflush_ms = -1\n", None, "store.flush_ms: "),
        ("[store]\nio = \"disk\"\n", None, "unknown variant `disk`"),
        ("[store\n", None, "line 1"),
        ("[store]\nflush_ms = 1\nflush_ms = 2\n", None, "line 3"),
        ("", Some(("NEARFIELD_STORE_FLUSH", "1")), "did you mean NEARFIELD_STORE_FLUSH_MS?"),
        (
            "",
            Some(("NEARFIELD_MIRROR_MANUAL", "maybe")),
            "neither true nor false (NEARFIELD_MIRROR_MANUAL of the environment)",
        ),
    ] {
        let error = with(file, variable.as_slice(), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(told), "{error}");
    }
    // Not ours, and not like ours.
    with("", &[("NEARFIELD_PG_CONFIG", "/x"), ("NEARFIELD_OTHER", "1")], &[]).unwrap();
}

#[test]
fn the_database_may_be_named_everywhere_and_a_password_is_never_told() {
    let url = "postgres://u:hush@h/d";
    for (file, variables) in [
        (format!("[mirror.database]\nurl = \"{url}\"\n"), vec![]),
        (String::new(), vec![("DATABASE_URL", url)]),
        (String::new(), vec![("NEARFIELD_MIRROR_DATABASE_URL", url)]),
    ] {
        let loaded = with(&file, &variables, &[]).unwrap();
        assert_eq!(loaded.settings.mirror.database.url, url);
        assert!(!format!("{loaded:?}").contains("hush"));
    }
    for broken in
        ["[mirror.database]\nurl = \"postgres://u:hush@h/d\n", "[mirror.database]\nurl = [\"hush\"]\n"]
    {
        let error = with(broken, &[], &[]).unwrap_err();
        assert!(!format!("{error:?}{error}").contains("hush"), "{error:?}");
    }
}

#[test]
fn providers_of_embeddings_come_into_being_with_their_first_setting() {
    let file = "[embedding.near]\nurl = \"http://127.0.0.1:1\"\ntimeout_ms = \"2s\"\n[embedding.far-off]\nkey_env = \"KEY\"\n";
    let variables = [
        ("NEARFIELD_EMBEDDING_NEAR_BATCH", "7"),
        ("NEARFIELD_EMBEDDING_FAR_OFF_URL", "https://h"),
        ("NEARFIELD_EMBEDDING_THIRD_ONE_TOKENS_PER_S", "9"),
    ];
    let loaded = with(file, &variables, &[("embedding.near.concurrency", "2", "--with")]).unwrap();
    let near = &loaded.settings.embedding["near"];
    assert_eq!((near.timeout_ms, near.batch, near.concurrency), (2_000, 7, 2));
    let far = &loaded.settings.embedding["far-off"];
    assert_eq!((far.url.as_str(), far.key_env.as_deref(), far.batch), ("https://h", Some("KEY"), 256));
    assert_eq!(loaded.settings.embedding["third_one"].tokens_per_s, 9);
    assert_eq!(loaded.values["embedding.near.key_file"], (Value::Null, Place::Default));
    let error = loaded.settings.providers().unwrap_err().to_string();
    assert!(error.contains("third_one"), "it has no address: {error}");
    for (file, variable, told) in [
        ("[embedding.Near]\nurl = \"http://h\"\n", None, "embedding.Near.url: "),
        ("[embedding.hashed]\nurl = \"http://h\"\n", None, "built in"),
        ("[embedding.near]\nulr = \"http://h\"\n", None, "did you mean embedding.near.url?"),
        ("[embedding.near]\nkey = \"hush\"\n", None, "embedding.near.key is no setting"),
        ("[embedding.near]\nurl = \"http://me:hush@h\"\n", None, "key_file or key_env"),
        ("[embedding]\nnear = \"hush\"\n", None, "embedding.near is no setting"),
        ("", Some(("NEARFIELD_EMBEDDING_KEY", "hush")), "NEARFIELD_EMBEDDING_KEY is no variable"),
        ("", Some(("NEARFIELD_EMBEDDING_NEAR_URL", "http://h/?k=hush")), "key_file or key_env"),
    ] {
        let error = with(file, variable.as_slice(), &[]).unwrap_err().to_string();
        assert!(error.contains(told) && !error.contains("hush"), "{error}");
    }
}

#[test]
fn a_missing_or_huge_file_is_told_by_name() {
    let error = Sources { file: Some("/nowhere/n.toml".into()), ..Sources::default() }.load().unwrap_err();
    assert!(error.to_string().contains("/nowhere/n.toml"), "{error}");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("huge");
    fs::File::create(&file).unwrap().set_len(2 << 20).unwrap();
    let error = Sources { file: Some(file), ..Sources::default() }.load().unwrap_err();
    assert!(error.to_string().contains("2097152 bytes"), "{error}");
}

#[test]
fn the_template_changes_nothing_and_has_every_setting() {
    let loaded = with(TEMPLATE, &[], &[]).unwrap();
    assert_eq!(loaded.settings, Settings::default());
    let uncommented: String = TEMPLATE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') && !rest.is_empty() => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let all = with(&uncommented, &[], &[]).unwrap();
    let mut expected = Settings::default();
    expected.embedding.insert(EXAMPLE.to_owned(), crate::ProviderOptions::default());
    assert_eq!(all.settings, expected);
    let from_file = all.values.values().filter(|(_, place)| matches!(place, Place::File(_))).count();
    assert_eq!((from_file, entries().len()), (all.values.len(), all.values.len()));
    assert!(entries().iter().all(|entry| !entry.text.is_empty() && !entry.default.is_empty()));
}

/// Run it with `NEARFIELD_BASELINE=overwrite` to write the template anew.
#[test]
fn the_template_says_what_the_declarations_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut defaults = BTreeMap::new();
    flat(&serde_json::to_value(Settings::default()).unwrap(), "", &mut defaults);
    defaults.insert(SECRET.to_owned(), Value::String(String::new()));
    let of_example = named::defaults_of(&format!("{EMBEDDING}.{EXAMPLE}.")).unwrap();
    defaults.extend(of_example);
    let mut told = "# Settings of nearfield. Every line that is commented out is a default: there is no need to set it.\n\
                    # Times and sizes may have a unit: \"30s\", \"512MiB\". A variable of the environment beats this file, and a\n\
                    # flag beats both: NEARFIELD_STORE_FLUSH_MS=50, --with store.flush_ms=50.\n"
        .to_owned();
    for (section, path, name) in DECLARED {
        let source = fs::read_to_string(root.join(path)).unwrap();
        let (off, what) = match section.strip_prefix(EMBEDDING) {
            Some(_) => (
                "#",
                "# A provider of embeddings; instead of openai any name, which collections are made with. There may be several.\n",
            ),
            None => ("", ""),
        };
        told += &format!("\n{what}{off}[{section}]\n");
        for (field, text) in fields(&source, name) {
            let Some(default) = defaults.get(&format!("{section}.{field}")) else { continue };
            for line in lines(&text, 110) {
                told += &format!("# {line}\n");
            }
            // Nothing is written as an empty text.
            let default = if default.is_null() { Value::String(String::new()) } else { default.clone() };
            told += &format!("#{field} = {default}\n\n");
        }
        told.truncate(told.trim_end().len());
        told.push('\n');
    }
    let path: PathBuf = root.join(TEMPLATE_PATH);
    if std::env::var("NEARFIELD_BASELINE").is_ok_and(|v| v == "overwrite") {
        fs::write(&path, &told).unwrap();
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        told,
        "run this test with NEARFIELD_BASELINE=overwrite and look at the difference"
    );
}

/// The public fields of a struct, each with its comment.
fn fields(source: &str, name: &str) -> Vec<(String, String)> {
    let body = source.split_once(&format!(" struct {name} {{")).unwrap().1;
    let (mut text, mut fields) = (String::new(), Vec::new());
    for line in body.lines().map(str::trim).take_while(|line| *line != "}") {
        if let Some(part) = line.strip_prefix("///") {
            text.push_str(part);
        } else if let Some((field, _)) = public(line).and_then(|rest| rest.split_once(':')) {
            fields.push((field.to_owned(), plain(&text)));
            text.clear();
        } else if !line.starts_with('#') {
            text.clear();
        }
    }
    assert!(!fields.is_empty(), "{name} has no fields");
    fields
}

/// What follows `pub`, whoever may see it.
fn public(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub")?;
    let rest = rest.strip_prefix('(').map_or(rest, |inside| inside.split_once(')').unwrap().1);
    rest.strip_prefix(' ')
}

/// A comment without its links: `[text](target)` and `[text]` are text.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let (link, after) = after.split_once(']').unwrap();
        plain += before;
        plain += link;
        rest = match after.strip_prefix('(') {
            Some(target) => target.split_once(')').unwrap().1,
            None => after,
        };
    }
    let plain = plain + rest;
    ["Options::", "MirrorOptions::", "DatabaseOptions::", "Limits::"]
        .iter()
        .fold(plain, |text, path| text.replace(path, ""))
        .trim()
        .to_owned()
}
