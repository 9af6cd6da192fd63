//! SQL for tests, blocking, one connection each. It runs on a thread and a runtime of its own, so any test may call it.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row, ValueRef};

/// Rows of values as Postgres writes them; none is NULL.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// Runs statements, separated by semicolons, and returns the rows of all.
pub(crate) fn try_sql(url: &str, text: &str) -> Result<Rows, sqlx::Error> {
    block_on(async {
        let mut connection = PgConnection::connect(url).await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut connection).await?;
        // One that cannot be closed has been: what was asked for is there.
        let _ = connection.close().await;
        Ok(rows.iter().map(values).collect())
    })
}

/// The same, where it cannot fail.
pub(crate) fn sql(url: &str, text: &str) -> Rows {
    try_sql(url, text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The one value of a query.
pub(crate) fn one(url: &str, text: &str) -> String {
    match &sql(url, text)[..] {
        [row] if row.len() == 1 => row[0].clone().unwrap_or_else(|| panic!("{text}: NULL")),
        rows => panic!("{text}: wanted one value, got {rows:?}"),
    }
}

/// Runs a future to its end on a thread of its own.
pub(crate) fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(future)
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

fn values(row: &PgRow) -> Vec<Option<String>> {
    let text = |i: usize| {
        let value = row.try_get_raw(i).unwrap();
        (!value.is_null()).then(|| value.as_str().unwrap().to_owned())
    };
    (0..row.len()).map(text).collect()
}

/// A connection that stays: for locks, open transactions, and a server that is to be full.
pub(crate) struct Session {
    connection: PgConnection,
    runtime: tokio::runtime::Runtime,
}

impl Session {
    pub(crate) fn open(url: &str) -> Result<Self, sqlx::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(PgConnection::connect(url))?;
        Ok(Self { connection, runtime })
    }

    pub(crate) fn run(&mut self, text: &str) -> Result<Rows, sqlx::Error> {
        let statements = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut self.connection);
        Ok(self.runtime.block_on(statements)?.iter().map(values).collect())
    }
}
