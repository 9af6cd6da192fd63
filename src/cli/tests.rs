//! The command line as a whole: parsing, exit codes, streams.

use super::*;

/// A writer whose reader went away.
struct Gone(io::ErrorKind);

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn called(args: &[&str]) -> (ExitCode, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(["nearfield"].iter().chain(args), &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn help_goes_to_stdout_and_is_no_failure() {
    let (code, out, err) = called(&["bench", "search", "--help"]);
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
    for flag in ["--base", "--data-dir", "--ef-construction", "--rounds", "[default: 42]"] {
        assert!(out.contains(flag), "help lacks {flag}:\n{out}");
    }
}

#[test]
fn every_flag_has_a_sentence() {
    Cli::command().debug_assert();
    let mut cli = Cli::command();
    cli.build();
    let mut commands = vec![&cli];
    while let Some(command) = commands.pop() {
        for arg in command.get_arguments() {
            assert!(arg.get_help().is_some(), "{}: {} says nothing", command.get_name(), arg.get_id());
        }
        commands.extend(command.get_subcommands().filter(|c| c.get_name() != "help"));
    }
}

#[test]
fn completions_name_commands_and_hide_what_is_hidden() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = called(&["completions", shell]);
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(out.contains("snapshot") && out.contains("ef-construction") && out.len() > 1_000, "{shell}");
    }
    assert_eq!(called(&["completions", "cmd.exe"]).0, ExitCode::from(2));
}

#[test]
fn help_fits_on_80_columns() {
    for args in [
        &["--help"][..],
        &["bench", "search", "--help"],
        &["bench", "write", "--help"],
        &["bench", "open", "-h"],
        &["import", "--help"],
        &["export", "--help"],
        &["postgres", "--help"],
        &["postgres", "run", "--help"],
        &["snapshot", "create", "--help"],
        #[cfg(feature = "mirror")]
        &["sync", "repair", "--help"],
        #[cfg(feature = "mirror")]
        &["bench", "mirror", "--help"],
    ] {
        let (_, out, _) = called(args);
        let wide: Vec<&str> = out.lines().filter(|line| line.len() > 80).collect();
        assert!(wide.is_empty() && !out.contains("open-child"), "{args:?}: {wide:#?}");
    }
}

#[test]
fn a_wrong_command_line_is_code_2() {
    for args in [
        &["bench", "search", "--k", "0"][..],
        &["bench", "search", "--ef", "10,x"],
        &["bench", "search", "--ef", "5000"],
        &["bench", "search", "--metric", "taxicab"],
        &["bench", "search", "--base", "b.npy"],
        &["bench", "search", "--truth", "t.npy"],
        &["bench", "search", "--metadata", "m.jsonl"],
        &["bench", "search", "--filter", "{}"],
        &["bench", "search", "--filter", "no json", "--data-dir", "x"],
        &["bench", "search", "--rows", "5", "--data-dir", "x"],
        &["import"],
        &["import", "x.npy"],
        &["import", "x.npy", "--into", "a", "--rollback"],
        &["import", "--rollback", "--dry-run"],
        &["import", "x.npy", "--into", "a", "--mode", "merge"],
        &["import", "x.npy", "--into", "a", "--format", "orc"],
        &["import", "x.csv", "--into", "a", "--columns", "id"],
        &["import", "x.npy", "--into", "a", "--batch", "0"],
        &["export", "docs"],
        &["export", "docs", "x.jsonl", "--filter", "no json"],
        &["export", "docs", "x.jsonl", "--vectors", "hex"],
    ] {
        let (code, out, err) = called(args);
        assert_eq!((code, out.as_str()), (ExitCode::from(USAGE), ""), "{args:?}");
        assert!(err.starts_with("error: "), "{args:?}: {err}");
    }
}

#[test]
fn a_command_that_is_cut_short_gets_help_and_code_2() {
    for args in [&[][..], &["bench"]] {
        let (code, _, err) = called(args);
        assert_eq!(code, ExitCode::from(USAGE));
        assert!(err.contains("Usage: nearfield"), "{err}");
    }
}

#[test]
fn a_failure_is_code_1_and_names_the_file() {
    let (code, _, err) = called(&["bench", "search", "--data-dir", "/no/such/folder"]);
    assert_eq!(code, ExitCode::from(FAILURE));
    assert!(err.contains("/no/such/folder"), "{err}");
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let small =
        ["nearfield", "bench", "search", "--quiet", "--rows", "50", "--dim", "4", "--query-rows", "2"];
    let closed = run(small, &mut Gone(io::ErrorKind::BrokenPipe), &mut Vec::new());
    assert_eq!(closed, ExitCode::SUCCESS);
    let full = run(small, &mut Gone(io::ErrorKind::StorageFull), &mut Vec::new());
    assert_eq!(full, ExitCode::from(FAILURE));
}
