//! Somebody stands between the mirror and the server: a door that speaks nothing but TLS, or PgBouncer.

use super::*;
use crate::support::postgres::Cluster;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What a mirror does in its life.
fn lives(url: &str, direct: &str) {
    let bed = Bed::at(url);
    bed.put(&ids("row-", 0..1_500));
    bed.delete(&ids("row-", 3..10));
    bed.equals(direct);
    sql(direct, "UPDATE nearfield.chunks SET embedding = '[7,0,0]' WHERE id = 'row-0001'");
    wait::until("it is here", || bed.rows_here().get("row-0001") == Some(&7.0));
    bed.follows(direct);
    bed.mirror.rebuild("docs").unwrap();
    let other = Bed::at(url);
    other.until("in_sync");
    other.follows(direct);
    assert_eq!(other.rows_here().len(), 1_493);
}

/// Host and port of a URL replaced, and its parameters.
fn at(url: &str, host: &str, port: u16, parameters: &str) -> String {
    let (user, rest) = url.split_once('@').unwrap();
    let database = database_name(rest);
    format!("{user}@{host}:{port}/{database}?{parameters}")
}

fn port_of(url: &str) -> u16 {
    let (_, rest) = url.split_once('@').unwrap();
    rest.split('/').next().unwrap().rsplit_once(':').unwrap().1.parse().unwrap()
}

/// A program that ends with this.
struct Program {
    child: Child,
    port: u16,
    folder: TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tls_before(url: &str) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let make = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext \
                subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE";
    let mut openssl = Command::new("openssl");
    openssl
        .args(make.split(' ').filter(|word| !word.is_empty()))
        .current_dir(folder.path())
        .stderr(Stdio::null());
    assert!(openssl.status().unwrap().success(), "openssl makes no certificate");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/door.py");
    let mut child = Command::new("python3")
        .args([script, "cert.pem", "key.pem", &port_of(url).to_string()])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Program { child, port: line.trim().parse().unwrap(), folder }
}

#[test]
fn all_of_it_goes_through_tls() {
    for (mode, host) in [("require", "127.0.0.1"), ("verify-full", "localhost")] {
        let database = Cluster::shared().database();
        let door = tls_before(&database.url);
        let root = door.folder.path().join("cert.pem");
        let through = |mode: &str, host: &str| {
            at(&database.url, host, door.port, &format!("sslmode={mode}&sslrootcert={}", root.display()))
        };
        lives(&through(mode, host), &database.url);
        // The door lets nothing else in.
        let plain = Bed::with(Store::memory(), within(&through("disable", host), 700));
        plain.works_alone();
        plain.until_reason("connecting");
        let stranger = Bed::with(Store::memory(), within(&through("verify-full", "127.0.0.1"), 4_000));
        assert!(stranger.until_reason("certificate is not trusted").reason.unwrap().contains("sslrootcert="));
    }
}

/// PgBouncer in a mode. It refuses to run as root.
fn pooler(url: &str, mode: &str) -> Program {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (user, password) =
        url.split_once("://").unwrap().1.split_once('@').unwrap().0.split_once(':').unwrap();
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={} user={user} password={password}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n",
        port_of(url)
    );
    let file: PathBuf = folder.path().join("pgbouncer.ini");
    fs::write(&file, settings).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let nobody = ["--reuid", "nobody", "--clear-groups", "--pdeathsig", "KILL", "pgbouncer"];
    let child =
        Command::new("setpriv").args(nobody).arg(&file).stdin(Stdio::null()).stderr(Stdio::null()).spawn();
    let pooler = Program { child: child.expect("setpriv is there"), port, folder };
    wait::until("PgBouncer listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    pooler
}

#[test]
#[ignore = "needs PgBouncer: tests/pooler runs it"]
fn a_pooler_in_session_mode_changes_nothing() {
    let database = Cluster::shared().database();
    let pooler = pooler(&database.url, "session");
    lives(&at(&database.url, "127.0.0.1", pooler.port, "sslmode=disable"), &database.url);
}

#[test]
#[ignore = "needs PgBouncer: tests/pooler runs it"]
fn a_pooler_in_transaction_mode_is_named_and_nothing_is_lost() {
    let database = Cluster::shared().database();
    let pooler = pooler(&database.url, "transaction");
    let bed = Bed::at(&at(&database.url, "127.0.0.1", pooler.port, "sslmode=disable"));
    let status = bed.until_reason("session mode");
    assert_eq!(status.state.to_string(), "connecting");
    bed.works_alone();
    bed.mirror.stop(LONG).unwrap();
    let again = Bed::with(bed.store.clone(), options(&database.url));
    again.written.lock().unwrap().clone_from(&bed.written.lock().unwrap());
    again.equals(&database.url);
}
