//! Lines to the database: connections of our own, few, each used by one transaction at a time.
//!
//! Invariants:
//! - A line comes back only from a transaction that ended as it should. Everything else, a fault, a deadline, a dropped
//!   future, closes it, and the server rolls back.
//! - All that a session must know is said at the beginning of each transaction, so a pooler in session mode may stand in between.
//!   One in transaction mode may not: statements are prepared by name, and the fault says so.
//! - No transaction outlives `TRANSACTION_MAX` (M24): a newer server ends it, and here nothing more is said on it.
//! - After hanging up nothing more is said on any line of before.
//! - Whoever reads cannot take the lines of those who write.
//!
//! Does not know what is said on a line.

use super::fault::{fault, on, with_remedy};
use super::{Settings, connect, settings, sql};
use crate::mirror::remote::{Done, Fault, FaultClass};
use parking_lot::Mutex;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest that a statement waits for a row that somebody else holds. Well below the server's `deadlock_timeout`, a second where
/// nobody has changed it: whoever waits for us in a circle finds, most times, that we have let go, and is not thrown out himself.
const LOCK_MS_MAX: u64 = 500;
/// The longest that a transaction lasts, unless a single statement may last longer.
const TRANSACTION_MAX: Duration = Duration::from_secs(30);
/// From this version on the server itself ends what lasts too long.
const LIMITS_TRANSACTIONS: i32 = 170_000;

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Write,
    /// One snapshot, no writing.
    Read,
}

#[derive(Debug)]
pub(super) struct Lines {
    options: PgConnectOptions,
    place: String,
    schema: String,
    connect_max: Duration,
    statement_ms_max: u64,
    writers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    /// Lines outside of transactions.
    loners: Arc<Semaphore>,
    idle_max: usize,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// Lines of an earlier generation are not taken back.
    generation: u64,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    connection: PgConnection,
    generation: u64,
    /// The statements after BEGIN.
    setup: Arc<str>,
}

impl Lines {
    pub(super) fn new(settings: &Settings) -> Done<Arc<Self>> {
        settings::validate(settings)?;
        let options = connect::options(&settings.url)?;
        Ok(Arc::new(Self {
            place: connect::place(&options),
            options,
            schema: settings.schema.clone(),
            connect_max: Duration::from_millis(settings.connect_ms_max),
            statement_ms_max: settings.statement_ms_max,
            writers: Arc::new(Semaphore::new(settings.writers_max)),
            readers: Arc::new(Semaphore::new(settings.readers_max)),
            loners: Arc::new(Semaphore::new(1)),
            idle_max: settings.writers_max + settings.readers_max,
            idle: Mutex::default(),
        }))
    }

    pub(super) fn schema(&self) -> &str {
        &self.schema
    }

    /// The longest that a call takes: a new line, and a statement that the server stops by itself.
    pub(super) fn call_max(&self) -> Duration {
        self.connect_max + Duration::from_millis(self.statement_ms_max)
    }

    fn transaction_max(&self) -> Duration {
        TRANSACTION_MAX.max(Duration::from_millis(self.statement_ms_max))
    }

    /// Said at the beginning of each transaction.
    fn limits(&self, version: i32) -> String {
        let statement = self.statement_ms_max;
        // First the lock, so that it is told what was waited for.
        let lock = LOCK_MS_MAX.min(statement / 2);
        let transaction = match version {
            LIMITS_TRANSACTIONS.. => {
                format!("SET LOCAL transaction_timeout = {}; ", self.transaction_max().as_millis())
            }
            _ => String::new(),
        };
        format!(
            "{transaction}SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock}; \
             SET LOCAL idle_in_transaction_session_timeout = '30s'; \
             SET LOCAL client_min_messages = 'warning'; SET LOCAL nearfield.mirror = 'on'"
        )
    }

    /// A transaction that has begun.
    pub(super) async fn begin(self: &Arc<Self>, purpose: Purpose) -> Done<Transaction> {
        let gate = if purpose == Purpose::Write { &self.writers } else { &self.readers };
        let permit = permit(gate).await?;
        loop {
            let (mut line, is_new) = match self.take_idle() {
                Some(line) => (line, false),
                None => (self.connect().await?, true),
            };
            match line.begin(purpose).await {
                Ok(()) => {
                    let (lines, began) = (Arc::clone(self), Instant::now());
                    return Ok(Transaction { line, lines, began, _permit: permit });
                }
                // It was closed while it lay idle; nothing was asked of it yet.
                Err(_) if !is_new => {}
                Err(fault) => return Err(fault),
            }
        }
    }

    /// A connection outside of any transaction, not kept: for what cannot stand in one of ours.
    pub(super) async fn alone(&self) -> Done<Alone> {
        let permit = permit(&self.loners).await?;
        let Line { connection, setup, .. } = self.connect().await?;
        Ok(Alone { connection, setup, _permit: permit })
    }

    /// Lines in use are closed with the call that is under way, or at the next.
    pub(super) fn hang_up(&self) {
        let mut idle = self.idle.lock();
        idle.generation += 1;
        idle.lines.clear();
    }

    fn take_idle(&self) -> Option<Line> {
        self.idle.lock().lines.pop()
    }

    fn take_back(&self, line: Line) {
        let mut idle = self.idle.lock();
        if line.generation == idle.generation && idle.lines.len() < self.idle_max {
            idle.lines.push(line);
        }
    }

    async fn connect(&self) -> Done<Line> {
        let generation = self.idle.lock().generation;
        within(self.connect_max, "connecting", async {
            let connection = self.options.connect().await.map_err(on("connecting"))?;
            self.greet(connection, generation).await
        })
        .await
        .map_err(|fault| Fault { message: format!("{} ({})", fault.message, self.place), ..fault })
    }

    async fn greet(&self, mut connection: PgConnection, generation: u64) -> Done<Line> {
        let row = sqlx::query(sql::GREET).persistent(false).fetch_one(&mut connection).await;
        let row = row.map_err(on("greeting"))?;
        let vector: Option<String> = row.try_get(0).map_err(on("greeting"))?;
        let encoding: String = row.try_get(1).map_err(on("greeting"))?;
        let version: i32 = row.try_get(2).map_err(on("greeting"))?;
        if encoding != "UTF8" {
            let message = format!("the database's encoding is {encoding}; ids and texts are UTF-8");
            let remedy = "CREATE DATABASE <name> ENCODING 'UTF8' TEMPLATE template0";
            return Err(with_remedy(fault(FaultClass::Schema, message), remedy));
        }
        if version < 140_000 {
            let message =
                format!("the server is PostgreSQL {}; the mirror needs 14 or later", version / 10_000);
            return Err(fault(FaultClass::Schema, message));
        }
        // The temporary schema comes last, or a table there could stand in front of ours. Both names are safe: settings admit
        // plain ones only, and the server quoted the other.
        let vector = vector.map_or_else(String::new, |name| format!(", {name}"));
        let setup =
            format!("{}; SET LOCAL search_path = {}{vector}, pg_temp", self.limits(version), self.schema)
                .into();
        Ok(Line { connection, generation, setup })
    }
}

async fn permit(gate: &Arc<Semaphore>) -> Done<OwnedSemaphorePermit> {
    let permit = Arc::clone(gate).acquire_owned().await;
    permit.map_err(|_| fault(FaultClass::Unknown, "the mirror is closed"))
}

impl Line {
    async fn begin(&mut self, purpose: Purpose) -> Done<()> {
        let mode = match purpose {
            Purpose::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Purpose::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        let begin = sqlx::raw_sql(AssertSqlSafe(format!("{mode}; {}", self.setup)));
        begin.execute(&mut self.connection).await.map_err(on("beginning"))?;
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Alone {
    pub(super) connection: PgConnection,
    /// What a transaction begins with.
    pub(super) setup: Arc<str>,
    _permit: OwnedSemaphorePermit,
}

/// A transaction under way. Dropping it closes its line.
#[derive(Debug)]
pub(super) struct Transaction {
    line: Line,
    lines: Arc<Lines>,
    began: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Transaction {
    /// The longest that its next call may take.
    pub(super) fn call_max(&self) -> Duration {
        self.lines.call_max().min(self.left())
    }

    /// What is left of the time that it may last.
    fn left(&self) -> Duration {
        self.lines.transaction_max().saturating_sub(self.began.elapsed())
    }

    /// Why nothing more may be said on it.
    pub(super) fn is_over(&self) -> Option<&'static str> {
        if self.line.generation != self.lines.idle.lock().generation {
            return Some("the mirror has hung up");
        }
        self.left().is_zero().then_some("it has lasted as long as a transaction may")
    }

    /// As if it had begun earlier.
    #[cfg(test)]
    pub(super) fn age(&mut self, by: Duration) {
        self.began = self.began.checked_sub(by).unwrap();
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.line.connection
    }

    pub(super) async fn commit(mut self) -> Done<()> {
        let commit = sqlx::raw_sql("COMMIT").execute(&mut self.line.connection).await;
        commit.map_err(on("committing"))?;
        self.lines.take_back(self.line);
        Ok(())
    }
}

/// `call`, or a fault when it takes longer than `max`. What it held is dropped with it.
pub(super) async fn within<T>(
    max: Duration,
    what: &'static str,
    call: impl Future<Output = Done<T>>,
) -> Done<T> {
    match tokio::time::timeout(max, call).await {
        Ok(done) => done,
        Err(_) => Err(fault(FaultClass::Transient, format!("{what}: no answer within {max:?}"))),
    }
}
