//! The command line of `nearfield postgres`, as far as it needs no server.

use super::super::run;
use std::process::ExitCode;

fn called(args: &[&str]) -> (ExitCode, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(["nearfield", "postgres"].iter().chain(args), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn help_names_every_way_to_a_postgres_and_hides_what_is_not_for_people() {
    let (code, out, _) = called(&["--help"]);
    assert_eq!(code, ExitCode::SUCCESS);
    for word in ["start", "stop", "url", "run", "NEARFIELD_PG_CONFIG", "pip", "fsync is off"] {
        assert!(out.contains(word), "help lacks {word}:\n{out}");
    }
    assert!(!out.contains("guard") && !out.contains("launch"), "{out}");
    for command in ["start", "run"] {
        let (_, out, _) = called(&[command, "--help"]);
        for flag in ["--port", "--version <MAJOR>", "--set <NAME=VALUE>"] {
            assert!(out.contains(flag), "help of {command} lacks {flag}:\n{out}");
        }
    }
}

#[test]
fn a_wrong_command_line_is_code_2() {
    for (args, why) in [
        (&[][..], "Usage"),
        (&["start", "--port", "0"], "0 is not in 1..=65535"),
        (&["start", "--port", "65536"], "65536 is not in 1..=65535"),
        (&["run", "--set", "jit"], "has no `=`"),
        (&["run", "--dir", "x"], "--dir"),
    ] {
        let (code, out, err) = called(args);
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""), "{args:?}");
        assert!(err.contains(why), "{args:?}: {err}");
    }
}
