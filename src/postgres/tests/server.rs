//! A server for tests, and in it a schema for each.
//!
//! `DATABASE_URL` names one, and `NEARFIELD_TEST_POSTGRES` the major version of it else; the program beside this test runs one that ends with this process, whatever ends it.

use crate::mirror::conformance::Rig;
use crate::postgres::{Postgres, Settings};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The server of this process. Its stdin stays open until the process ends.
pub(super) struct Server {
    pub(super) url: String,
    /// What `nearfield postgres run` says of it.
    pub(super) report: Value,
    _child: Option<Child>,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static SCHEMAS: AtomicU32 = AtomicU32::new(0);

impl Server {
    pub(super) fn url() -> &'static str {
        &SERVER.get_or_init(Self::start).url
    }

    fn start() -> Self {
        match std::env::var("DATABASE_URL") {
            Ok(url) => Self { url, report: Value::Null, _child: None },
            Err(_) => Self::private(),
        }
    }

    /// One that is not shared.
    pub(super) fn private() -> Self {
        let program = program();
        let mut command = Command::new(&program);
        command.args(["postgres", "run", "--json"]);
        command.args(std::env::var("NEARFIELD_TEST_POSTGRES").map(|major| format!("--version={major}")));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| {
            panic!(
                "{} does not run ({e}): `cargo build` makes it, DATABASE_URL replaces it",
                program.display()
            )
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let report: Value =
            serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?} is no report: {e}"));
        Self { url: report["url"].as_str().unwrap().to_owned(), report, _child: Some(child) }
    }
}

/// This program. Cargo puts tests into the folder `deps` beside it.
pub(super) fn program() -> std::path::PathBuf {
    let this = std::env::current_exe().unwrap();
    this.ancestors().nth(2).unwrap().join(format!("nearfield{}", std::env::consts::EXE_SUFFIX))
}

/// A name that no other test has, in this process or another.
pub(super) fn fresh_name() -> String {
    format!("test_{}_{}", std::process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed))
}

pub(super) async fn connect(url: &str) -> PgConnection {
    PgConnection::connect_with(&PgConnectOptions::from_str(url).unwrap()).await.unwrap()
}

pub(super) async fn run(connection: &mut PgConnection, statements: &str) {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))).await.unwrap();
}

/// A schema of its own. Dropping it leaves the schema: the server goes with the process.
pub(super) struct Site {
    pub(super) postgres: Postgres,
    pub(super) schema: String,
}

pub(super) async fn rig() -> Site {
    Site::new(Settings::default())
}

impl Site {
    pub(super) fn new(settings: Settings) -> Self {
        let schema = fresh_name();
        let settings = Settings { url: Server::url().to_owned(), schema: schema.clone(), ..settings };
        Self { postgres: Postgres::new(settings).unwrap(), schema }
    }

    /// A person's connection, in the schema.
    pub(super) async fn person(&self) -> PgConnection {
        let mut person = connect(Server::url()).await;
        run(&mut person, &format!("SET search_path = {}, public", self.schema)).await;
        person
    }

    async fn write(&self, person: &mut PgConnection, collection: &str, id: &str, text: Option<&str>) {
        let update = sqlx::query("UPDATE chunks SET text = $3 WHERE collection = $1 AND id = $2")
            .bind(collection)
            .bind(id);
        let insert = "INSERT INTO chunks (collection, id, text) VALUES ($1, $2, $3)";
        let delete = "DELETE FROM chunks WHERE collection = $1 AND id = $2";
        let Some(text) = text else {
            sqlx::query(delete).bind(collection).bind(id).execute(person).await.unwrap();
            return;
        };
        if update.bind(text).execute(&mut *person).await.unwrap().rows_affected() == 0 {
            sqlx::query(insert).bind(collection).bind(id).bind(text).execute(person).await.unwrap();
        }
    }
}

impl Rig for Site {
    type Remote = Postgres;
    type Open = PgConnection;

    fn remote(&self) -> &Postgres {
        &self.postgres
    }

    async fn edit(&self, collection: &str, id: &str, text: Option<&str>) {
        let mut person = self.person().await;
        self.write(&mut person, collection, id, text).await;
        person.close().await.unwrap();
    }

    async fn open(&self, collection: &str, id: &str, text: Option<&str>) -> PgConnection {
        let mut person = self.person().await;
        run(&mut person, "BEGIN").await;
        self.write(&mut person, collection, id, text).await;
        person
    }

    async fn commit(&self, mut open: PgConnection) {
        run(&mut open, "COMMIT").await;
        open.close().await.unwrap();
    }
}
