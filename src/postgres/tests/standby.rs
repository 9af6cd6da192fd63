//! A standby and its promotion: two servers, the second a copy of the first that follows it.

use super::server::{Server, Site, connect, program, run};
use crate::config::{Metric, Schema as Shape};
use crate::mirror::conformance::{DOCS, block_on};
use crate::mirror::remote::*;
use crate::postgres::{Migrate, Postgres, Settings};
use crate::record::{Chunk, Edition, Stamp, admit};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NODE: NodeId = NodeId(5);
const LONG: Duration = Duration::from_secs(60);

/// A server that follows another. Its folder goes with the other's.
struct Standby {
    child: Child,
    url: String,
}

impl Drop for Standby {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Standby {
    fn of(primary: &Server) -> Self {
        let path = |field: &str| PathBuf::from(primary.report[field].as_str().unwrap());
        let (programs, data) = (path("programs"), path("data"));
        let owner = data.metadata().unwrap();
        let copy = data.with_file_name("standby");
        // The server refuses a folder that others can look into.
        std::fs::DirBuilder::new().mode(0o700).create(&copy).unwrap();
        chown(&copy, Some(owner.uid()), Some(owner.gid())).unwrap();
        back_up(&programs, &primary.url, &copy, (owner.uid(), owner.gid()));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program());
        command.args(["postgres", "launch", "--parent", &std::process::id().to_string()]);
        if owner.uid() != std::fs::metadata("/proc/self").unwrap().uid() {
            command.args(["--account", &owner.uid().to_string(), &owner.gid().to_string()]);
        }
        command.arg("--").arg(programs.join("postgres")).args(["-p", &port.to_string(), "-D"]).arg(&copy);
        let child = command.current_dir(&copy).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let there = primary.report["port"].as_u64().unwrap();
        let url = primary.url.replace(&format!(":{there}/"), &format!(":{port}/"));
        Self { child, url }
    }
}

fn back_up(programs: &Path, url: &str, copy: &Path, (uid, gid): (u32, u32)) {
    let mut command = Command::new(programs.join("pg_basebackup"));
    command.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--pgdata"]).arg(copy);
    command.args(["--dbname", url]).current_dir(copy).stdin(Stdio::null());
    let output = command.uid(uid).gid(gid).output().unwrap();
    assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
}

/// Asks until the answer is what is waited for.
async fn until(postgres: &Postgres, mut is_it: impl FnMut(&Database) -> bool) -> Database {
    let start = Instant::now();
    loop {
        match postgres.look(NODE).await {
            Ok(database) if is_it(&database) => return database,
            answer => assert!(start.elapsed() < LONG, "{answer:?}"),
        }
    }
}

async fn push(postgres: &Postgres, id: &str) -> Done<Vec<Pushed>> {
    let row = admit(Chunk::new(id).text("x"), 2, false).unwrap();
    let stamp = Stamp { ver: crate::ids::Ver(1), node: NODE.0, digest: 1 };
    let edition = Edition { id: id.into(), stamp, row: Some(row) };
    postgres.push(DOCS, &[edition], NodeMark { node: NODE.0, incarnation: 1, pushes: 1 }).await
}

#[test]
fn m10_a_standby_is_not_read_and_a_promoted_one_is_another_timeline() {
    let primary = Server::private();
    let settings = |url: &str| Settings { url: url.to_owned(), ..Settings::default() };
    block_on(async {
        let site = Site { postgres: Postgres::new(settings(&primary.url)).unwrap(), schema: String::new() };
        let was = site.postgres.look(NODE).await.unwrap();
        let shape = RemoteCollection { name: DOCS.into(), schema: Shape::new(2, Metric::L2) };
        site.postgres.declare(&shape).await.unwrap();
        push(&site.postgres, "a").await.unwrap();
        let standby = Standby::of(&primary);
        let check = Settings { migrate: Migrate::Check, ..settings(&standby.url) };
        let postgres = Postgres::new(check).unwrap();
        let follows = until(&postgres, |_| true).await;
        assert!(follows.is_standby && follows.is_read_only, "{follows:?}");
        assert_eq!(follows.identity, was.identity);
        for fault in [postgres.read().await.err(), push(&postgres, "b").await.err()] {
            assert_eq!(fault.as_ref().map(|fault| fault.class), Some(FaultClass::Demoted), "{fault:?}");
        }
        postgres.read().await.unwrap_err();
        run(&mut connect(&standby.url).await, "SELECT pg_promote(true, 60)").await;
        let leads = until(&postgres, |database| !database.is_standby).await;
        assert!(!leads.is_read_only && leads.identity.timeline > was.identity.timeline, "{leads:?}");
        assert_eq!(Identity { timeline: was.identity.timeline, ..leads.identity }, was.identity);
        assert_eq!(push(&postgres, "b").await.unwrap(), [Pushed::Stored]);
        let mut reading = postgres.read().await.unwrap();
        let rows = reading.rows(DOCS, &["a".into(), "b".into()]).await.unwrap();
        assert_eq!(rows.len(), 2, "what was acknowledged before is there");
        reading.finish().await.unwrap();
    });
}
