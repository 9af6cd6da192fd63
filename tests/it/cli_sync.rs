//! Goal: `nearfield sync` and `bench mirror` can be believed by a script and read by a person. Method: in-process, on a real server,
//! against stores in folders of their own.

use crate::support::postgres::{Cluster, Database};
use crate::support::sql::{one, sql};
use nearfield::{Chunk, Metric, Options, Schema, Store, cli};
use serde_json::Value;
use std::process::{Command, ExitCode};
use tempfile::TempDir;

/// A database, and a folder with a store of thirty rows.
struct Home {
    folder: TempDir,
    database: Database,
}

impl Home {
    fn new() -> Self {
        let home = Self { folder: TempDir::new().unwrap(), database: Cluster::shared().database() };
        let store = Store::open(home.at("a"), Options::default()).unwrap();
        let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
        let row =
            |i: usize| Chunk::new(format!("row-{i:02}")).vector([i as f32, 1.0]).text(format!("text {i}"));
        docs.upsert((0..30).map(row)).unwrap();
        home
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs a command on one of the stores: its code, and all that it said.
    fn sync(&self, store: &str, args: &[&str]) -> (ExitCode, String) {
        let (data, url) = (self.at(store), self.database.url.as_str());
        let front = ["nearfield", "--quiet", "--data", &data, "sync"];
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let back = ["--database-url", url];
        let code = cli::run(front.iter().chain(args).chain(&back), &mut out, &mut err);
        let said = String::from_utf8([out, err].concat()).unwrap();
        let password = url.split_once("://").unwrap().1.split_once('@').unwrap().0.split_once(':').unwrap().1;
        assert!(!said.contains(password), "{args:?}: {said}");
        (code, said)
    }

    fn done(&self, store: &str, args: &[&str]) -> String {
        let (code, said) = self.sync(store, args);
        assert_eq!(code, ExitCode::SUCCESS, "{args:?}: {said}");
        assert!(args.contains(&"--json") || said.lines().all(|line| line.chars().count() <= 80), "{said}");
        said
    }

    fn fails(&self, store: &str, args: &[&str]) -> String {
        let (code, said) = self.sync(store, args);
        assert_eq!(code, ExitCode::from(1), "{args:?}: {said}");
        said
    }

    fn rows(&self, store: &str) -> usize {
        let store = Store::open(self.at(store), Options::default()).unwrap();
        store.open_collection("docs").unwrap().count(None).unwrap()
    }
}

#[test]
fn a_store_is_pushed_pulled_and_compared() {
    let home = Home::new();
    assert!(home.done("a", &["push"]).starts_with("30 versions sent"));
    assert_eq!(one(&home.database.url, "SELECT count(*)::text FROM nearfield.chunks"), "30");
    assert!(home.done("a", &["audit", "--deep"]).starts_with("docs: equal, byte for byte"));
    assert!(home.done("b", &["pull"]).starts_with("30 versions taken over"));
    assert_eq!(home.rows("b"), 30);
    let report: Value = serde_json::from_str(&home.done("b", &["audit", "--json"])).unwrap();
    assert_eq!((&report["equal"], &report["collections"][0]["local"]["rows"]), (&true.into(), &30.into()));
    sql(&home.database.url, "DELETE FROM nearfield.chunks WHERE id = 'row-07'");
    home.done("b", &["pull"]);
    assert_eq!(home.rows("b"), 29);
    home.done("a", &["rebuild", "--collection", "docs"]);
    assert_eq!(home.rows("a"), 29);
    let status = home.done("a", &["status"]);
    assert!(status.contains("PostgreSQL") && status.contains("waiting  0 rows, 0 deletions"), "{status}");
    let status: Value = serde_json::from_str(&home.done("a", &["status", "--json"])).unwrap();
    assert_eq!(
        (&status["dirty_rows"], &status["database"]["foreign_writes"]),
        (&0.into(), &"supervised".into())
    );
    assert_eq!(home.done("a", &["dead-letters"]), "no row is refused by either side\n");
}

#[test]
fn a_dropped_collection_stays_in_the_database_until_it_is_dropped_there() {
    let home = Home::new();
    home.done("a", &["push"]);
    let drop_it = ["drop", "--collection", "docs", "--yes"];
    assert!(home.sync("a", &drop_it).1.contains("is here; drop it in this store first"));
    Store::open(home.at("a"), Options::default()).unwrap().drop_collection("docs").unwrap();
    let count = || one(&home.database.url, "SELECT count(*)::text FROM nearfield.chunks");
    for unsaid in [&["drop"][..], &["drop", "--yes"], &["drop", "--collection", "docs"]] {
        let (code, said) = home.sync("a", unsaid);
        assert!(code == ExitCode::from(2) && said.contains("--yes"), "{said}");
    }
    assert!(home.fails("a", &["push"]).contains("it was dropped here"));
    assert_eq!(count(), "30");
    let look = ["drop", "--collection", "docs", "--dry-run"];
    assert_eq!(home.done("a", &look), "docs: 30 rows would be deleted in the database\n");
    assert_eq!(count(), "30");
    assert_eq!(home.done("a", &drop_it), "docs: 30 rows deleted in the database\n");
    assert_eq!(
        (count(), one(&home.database.url, "SELECT count(*)::text FROM nearfield.collection")),
        ("0".into(), "0".into())
    );
    assert!(home.sync("a", &drop_it).1.contains("the database has no collection"));
}

#[test]
fn a_comparison_of_nothing_says_so() {
    let home = Home::new();
    drop(Store::open(home.at("empty"), Options::default()).unwrap());
    let said = home.done("empty", &["audit"]);
    assert!(said.contains("there is no collection to compare"), "{said}");
    let said: Value = serde_json::from_str(&home.done("empty", &["audit", "--json"])).unwrap();
    assert_eq!(said["collections"].as_array().unwrap().len(), 0);
}

#[test]
fn drift_is_code_1_and_repaired_by_the_word_of_one_side() {
    let home = Home::new();
    home.done("a", &["push"]);
    let behind = "ALTER TABLE nearfield.chunk DISABLE TRIGGER USER; \
                  DELETE FROM nearfield.chunk WHERE id < 'row-03'; \
                  UPDATE nearfield.chunk SET text = 'x' WHERE id = 'row-09'; \
                  ALTER TABLE nearfield.chunk ENABLE TRIGGER USER";
    sql(&home.database.url, behind);
    let said = home.fails("a", &["audit", "--deep"]);
    assert!(said.starts_with("docs: 4 rows differ"), "{said}");
    assert!(
        said.contains("3 only here: row-00, row-01, row-02") && said.contains("1 edited by hand: row-09"),
        "{said}"
    );
    let said = home.fails("a", &["repair", "--deep", "--trust", "local", "--dry-run"]);
    assert!(said.contains("4 rows differ"), "{said}");
    assert_eq!(one(&home.database.url, "SELECT count(*)::text FROM nearfield.chunks"), "27");
    let said = home.done("a", &["repair", "--deep", "--trust", "local", "--yes"]);
    assert!(said.contains("4 rows were put right"), "{said}");
    home.done("a", &["audit", "--deep"]);
    assert_eq!(
        one(&home.database.url, "SELECT count(*)::text FROM nearfield.chunks WHERE text <> 'x'"),
        "30"
    );
}

#[test]
fn what_is_blocked_is_resolved() {
    let home = Home::new();
    home.done("a", &["push"]);
    assert!(home.done("a", &["resolve", "--trust", "database"]).contains("nothing to decide"));
    sql(&home.database.url, "TRUNCATE nearfield.chunk");
    let said = home.fails("a", &["audit"]);
    assert!(said.contains("the mirror is blocked") && said.contains("resolve"), "{said}");
    assert!(home.fails("a", &["status"]).contains("blocked:database_replaced"));
    assert!(home.done("a", &["resolve", "--trust", "local"]).starts_with("resolved"));
    assert_eq!(one(&home.database.url, "SELECT count(*)::text FROM nearfield.chunks"), "30");
    home.done("a", &["audit", "--deep"]);
}

#[test]
fn a_wrong_command_line_is_code_2_and_no_database_code_1() {
    let home = Home::new();
    for args in [&["repair"][..], &["repair", "--trust", "both"], &["audit", "--collection", "nothing"]] {
        let (code, said) = home.sync("a", args);
        assert_eq!(code, ExitCode::from(2), "{args:?}: {said}");
    }
    let (code, said) = home.sync("nowhere", &["audit"]);
    assert!(code == ExitCode::from(2) && said.contains("holds no store"), "{said}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
    let unnamed =
        command.env_remove("DATABASE_URL").args(["--data", &home.at("a"), "sync", "audit"]).output().unwrap();
    let said = String::from_utf8_lossy(&unnamed.stderr).into_owned();
    assert!(unnamed.status.code() == Some(2) && said.contains("--database-url"), "{said}");
    for (url, part) in
        [("postgres://u:secret@127.0.0.1:1/d", "127.0.0.1:1"), ("postgres://u:sec@secret@h/d", "@")]
    {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let data = home.at("a");
        let code = cli::run(
            ["nearfield", "--data", &data, "sync", "push", "--database-url", url],
            &mut out,
            &mut err,
        );
        let said = String::from_utf8(err).unwrap();
        assert!(code == ExitCode::from(1) && said.contains(part) && !said.contains("secret"), "{said}");
    }
}

#[test]
fn bench_mirror_reports_what_it_measured() {
    let database = Cluster::shared().database();
    let folder = TempDir::new().unwrap();
    let data = folder.path().to_str().unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let small =
        ["--rows", "600", "--dim", "8", "--seconds", "1", "--rounds", "1", "--database-url", &database.url];
    let front = ["nearfield", "--quiet", "--json", "--data", data, "bench", "mirror"];
    let code = cli::run(front.iter().chain(&small), &mut out, &mut err);
    assert_eq!(code, ExitCode::SUCCESS, "{}", String::from_utf8_lossy(&err));
    let report: Value = serde_json::from_slice(&out).unwrap();
    for pointer in [
        "/pushed/rows_per_s",
        "/pushed/copy_in_rows_per_s",
        "/pushed/wire_bytes_per_row",
        "/rebuilt/rows_per_s",
        "/rebuilt/copy_out_rows_per_s",
        "/audited/seconds",
        "/audited/wire_bytes",
        "/rebuilt/per_both",
        "/states/5/write/p99_us",
        "/states/5/search/p99_us",
        "/states/5/ratios/write_p99",
    ] {
        assert!(
            report.pointer(pointer).and_then(Value::as_f64).is_some_and(|n| n > 0.0),
            "{pointer}: {report:#}"
        );
    }
    let states: Vec<&str> =
        report["states"].as_array().unwrap().iter().map(|s| s["mirror"].as_str().unwrap()).collect();
    assert_eq!(states, ["off", "healthy", "hung", "refused", "black-holed", "catching up"]);
}
