//! Goal: `nearfield config` tells the settings that hold, where they came from and what they are for, and no secret; other
//! commands go by them. Method: in-process, with files of their own.

use nearfield::cli;
use serde_json::Value;
use std::process::ExitCode;

fn called(args: &[&str]) -> (ExitCode, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = cli::run(["nearfield"].iter().chain(args), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn done(args: &[&str]) -> String {
    let (code, out, err) = called(args);
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{args:?}");
    out
}

fn setting(told: &Value, name: &str) -> Value {
    let all = told.as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} in {told:#}")).clone()
}

#[test]
fn every_setting_is_told_with_its_place() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("my.toml");
    std::fs::write(&file, "[store]\nflush_ms = \"2s\"\n").unwrap();
    let file = file.to_str().unwrap();
    let args = ["--config", file, "--with", "store.build_threads=2", "config"];
    let told: Value = serde_json::from_str(&done(&[&args[..], &["--json"]].concat())).unwrap();
    let flush = setting(&told, "store.flush_ms");
    assert_eq!(
        (&flush["value"], &flush["place"], &flush["unit"]),
        (&2_000.into(), &file.into(), &"milliseconds".into())
    );
    assert_eq!(flush["default"], "100");
    assert_eq!(setting(&told, "store.build_threads")["place"], "--with");
    assert_eq!(setting(&told, "store.tail_rows_max")["place"], "default");

    let text = done(&args);
    assert!(text.contains(&format!("flush_ms = 2000 (2 s)  <- {file}\n")), "{text}");
    assert!(
        text.contains("build_threads = 2  <- --with\n") && text.contains("tail_rows_max = 1024\n"),
        "{text}"
    );
}

#[test]
fn explain_says_what_for_unit_default_and_when_it_holds() {
    let all = done(&["config", "--explain"]);
    let one = done(&["config", "--explain", "store.flush_ms"]);
    assert!(one.contains("# How long a `buffered` write may wait for the disk"), "{one}");
    assert!(one.contains("# unit: milliseconds; default: 100; holds from the next start"), "{one}");
    assert!(one.lines().count() < 10 && all.contains("[mirror.database]"), "{one}");
    assert!(all.lines().all(|line| line.chars().count() <= 120), "{all}");
    let (code, _, err) = called(&["config", "--explain", "shop"]);
    assert_eq!(code, ExitCode::from(1));
    assert!(err.contains("\"shop\""), "{err}");
}

#[test]
fn the_template_is_a_file_that_can_be_used() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("n.toml");
    std::fs::write(&file, done(&["config", "--template"])).unwrap();
    let told = done(&["--config", file.to_str().unwrap(), "config"]);
    assert!(told.starts_with(&format!("# settings of {}", file.display())), "{told}");
}

#[test]
fn a_password_is_not_told() {
    let secret = ["--with", "mirror.database.url=postgres://u:hush@h/d"];
    for more in [&["config"][..], &["config", "--json"], &["config", "--explain"]] {
        let told = done(&[&secret[..], more].concat());
        assert!(!told.contains("hush") && told.contains("***"), "{told}");
    }
}

#[test]
fn a_wrong_setting_stops_every_command_that_opens_a_store() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("store");
    drop(nearfield::Store::open(&data, nearfield::Options::default()).unwrap());
    let data = data.to_str().unwrap();
    for args in
        [&["config"][..], &["--data", data, "verify"], &["--data", data, "snapshot", "create", "/nowhere/x"]]
    {
        let (code, out, err) = called(&[&["--with", "store.flash_ms=1"], args].concat());
        assert_eq!((code, out.as_str()), (ExitCode::from(1), ""), "{args:?}");
        assert!(err.contains("store.flash_ms is no setting (--with); did you mean store.flush_ms?"), "{err}");
    }
    let (code, _, err) = called(&["config", "--with", "store.flush_ms"]);
    assert_eq!(code, ExitCode::from(2), "{err}");
}
