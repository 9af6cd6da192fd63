//! Goal: every program of `examples/` does what it says. Method: what can be called is called; two processes are two processes, on a
//! real server.

use crate::support::postgres::Cluster;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "../../examples/embedded.rs"]
#[allow(dead_code, unreachable_pub, reason = "an example has a main of its own")]
mod embedded;

#[test]
fn embedded_searches_while_it_writes() {
    let home = tempfile::tempdir().unwrap();
    let told = embedded::run(&home.path().join("store"), 200).unwrap();
    assert!(told.starts_with("200 rows written") && told.ends_with("ticket-7"), "{told}");
    assert!(!told.contains("beside 0 searches"), "{told}");
}

#[test]
fn replicas_find_what_the_other_wrote() {
    // A transaction that any test holds open, in whichever database of a server, holds up what is new in all: the server is ours.
    let server = Cluster::private();
    let database = server.database();
    let output = Command::new(example("replicas")).env("DATABASE_URL", &database.url).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    for side in ["left: 200 rows", "right: 200 rows"] {
        assert!(told.contains(side), "{told}");
    }
    assert_eq!(told.matches("audit: equal").count(), 2, "{told}");
}

/// An example's program; made now, if only some tests were asked for.
fn example(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_nearfield")).parent().unwrap().join("examples");
    let program = folder.join(name);
    if !program.is_file() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", name])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success(), "{name} cannot be built");
    }
    program
}
