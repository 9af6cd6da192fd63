//! Our tables: made if that is allowed, and looked at before anything is asked of them.
//!
//! Invariants: two nodes do not migrate at the same time; a migration is one transaction; nothing is changed where
//! `migrate` is `check`, nor on a server that takes no writes. Tables that somebody else made are as good as ours, if they have
//! the columns that statements name.

use super::fault::{EXTENSION_REMEDY, GRANT_REMEDY, fault, on, with_remedy};
use super::line::{Lines, Purpose};
use super::sql;
use super::{Migrate, Settings};
use crate::mirror::remote::{Done, Fault, FaultClass};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row, SqlSafeStr};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Version, name and text of each file of `migrations/`.
pub(super) const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "mirror", include_str!("../../migrations/0001_mirror.sql"))];

/// What this program is, to tables that ask for a newer one.
const CLIENT: i32 = 1;

/// Columns that statements name, with their types.
const COLUMNS: &[(&str, &[(&str, &str)])] = &[
    (
        "chunk",
        &[
            ("collection", "text"),
            ("id", "text"),
            ("ver", "bigint"),
            ("node", "bigint"),
            ("deleted", "boolean"),
            ("digest", "bigint"),
            ("document_id", "text"),
            ("chunk_index", "integer"),
            ("tenant", "text"),
            ("text", "text"),
            ("metadata", "jsonb"),
            ("embedding_model", "text"),
            ("embedding", "vector"),
            ("content_ref", "text"),
            ("created_at", "timestamp with time zone"),
            ("updated_at", "timestamp with time zone"),
            ("change_xid", "xid8"),
        ],
    ),
    ("collection", &[("name", "text"), ("dim", "integer"), ("metric", "text"), ("schema", "json")]),
    (
        "meta",
        &[
            ("schema_version", "integer"),
            ("client_min", "integer"),
            ("epoch", "uuid"),
            ("tombstone_floor", "bigint"),
            ("digest_seed", "bigint"),
        ],
    ),
    (
        "node",
        &[
            ("node", "bigint"),
            ("incarnation", "bigint"),
            ("pushes", "bigint"),
            ("seen", "pg_snapshot"),
            ("last_seen", "timestamp with time zone"),
        ],
    ),
];

/// Columns that are compared by bytes, and the collations that do.
const BYTEWISE: [(&str, &str); 3] = [("chunk", "collection"), ("chunk", "id"), ("collection", "name")];
const COLLATIONS: [&str; 4] = ["C", "POSIX", "ucs_basic", "pg_c_utf8"];

/// What stands there: table and column to type and collation.
type Found = BTreeMap<(String, String), (String, String)>;

/// The tables are there when this returns, and as they should be.
pub(super) async fn ensure(lines: &Arc<Lines>, settings: &Settings, may_write: bool) -> Done<()> {
    let may_change = may_write && settings.migrate == Migrate::Auto;
    let (found, version) = inspect(lines).await?;
    let is_current = version == Some(latest());
    if is_current || (!may_change && version.is_some()) {
        return check(&found, lines.schema());
    }
    if !may_change {
        let message = format!("there are no tables of ours in the schema {}", lines.schema());
        return Err(with_remedy(fault(FaultClass::Schema, message), MIGRATE_REMEDY));
    }
    migrate(lines).await?;
    let (found, _) = inspect(lines).await?;
    check(&found, lines.schema())
}

const MIGRATE_REMEDY: &str = "let the mirror make them (migrate = auto, a user with CREATE on the database), or run \
                              migrations/*.sql as the owner";

fn latest() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, ..)| *version)
}

/// The columns that are there, and the version of the tables if they are.
async fn inspect(lines: &Arc<Lines>) -> Done<(Found, Option<i64>)> {
    let failed = on("looking at the tables");
    let mut transaction = lines.begin(Purpose::Write).await?;
    let names: Vec<&str> = COLUMNS.iter().map(|(table, _)| *table).collect();
    let query = sqlx::query_as(sql::COLUMNS).bind(lines.schema()).bind(names);
    let rows: Vec<(String, String, String, String)> =
        query.fetch_all(transaction.connection()).await.map_err(&failed)?;
    let found: Found = rows.into_iter().map(|(t, c, kind, collation)| ((t, c), (kind, collation))).collect();
    let has = |table: &str| found.keys().any(|(t, _)| t == table);
    let mut version = None;
    if COLUMNS.iter().all(|(table, _)| has(table)) {
        // Without the right to look into it, a schema is passed over as if it were not there.
        let may_use = sqlx::query_scalar(sql::MAY_USE).bind(lines.schema());
        if !may_use.fetch_one(transaction.connection()).await.map_err(&failed)? {
            return Err(no_usage(lines.schema()));
        }
        let meta = sqlx::query(sql::META).fetch_optional(transaction.connection()).await.map_err(&failed)?;
        if let Some(row) = meta {
            version = Some(i64::from(row.try_get::<i32, _>(0).map_err(&failed)?));
            check_client(row.try_get(1).map_err(&failed)?)?;
        }
    }
    transaction.commit().await?;
    Ok((found, version))
}

fn no_usage(schema: &str) -> Fault {
    let message = format!("looking at the tables: permission denied for schema {schema}");
    let fault = Fault { code: Some("42501".to_owned()), ..fault(FaultClass::Permission, message) };
    with_remedy(fault, GRANT_REMEDY)
}

fn check_client(client_min: i32) -> Done<()> {
    if client_min > CLIENT {
        let message = format!("the tables need a program of version {client_min}; this one is {CLIENT}");
        return Err(with_remedy(fault(FaultClass::Schema, message), "bring this program up to date"));
    }
    Ok(())
}

/// Names the first column that is missing or of another type.
fn check(found: &Found, schema: &str) -> Done<()> {
    for (table, columns) in COLUMNS {
        for (column, wanted) in *columns {
            let key = ((*table).to_owned(), (*column).to_owned());
            let Some((kind, collation)) = found.get(&key) else {
                return Err(shape(format!("the table {schema}.{table} has no column {column} ({wanted})")));
            };
            // A vector of a fixed width holds our vectors too, if it is the right one.
            let fits = kind == wanted || (*wanted == "vector" && kind.starts_with("vector("));
            if !fits {
                return Err(shape(format!(
                    "the column {schema}.{table}.{column} is {kind}; it must be {wanted}"
                )));
            }
            if BYTEWISE.contains(&(table, column)) && !COLLATIONS.contains(&collation.as_str()) {
                return Err(shape(format!(
                    "the column {schema}.{table}.{column} is ordered by the collation {collation}; it must be COLLATE \"C\", \
                     because ranges are compared by bytes"
                )));
            }
        }
    }
    Ok(())
}

fn shape(message: String) -> Fault {
    let remedy = "migrations/0001_mirror.sql says what the tables look like; another schema (a setting) avoids a clash of names";
    with_remedy(fault(FaultClass::Schema, message), remedy)
}

async fn migrate(lines: &Arc<Lines>) -> Done<()> {
    let failed = on("migrating");
    let mut line = lines.alone().await?;
    // Begun through sqlx, because its migrator puts a savepoint into a transaction that it knows of.
    let mut transaction = line.connection.begin().await.map_err(&failed)?;
    let setup = sqlx::raw_sql(AssertSqlSafe(line.setup.to_string()));
    setup.execute(&mut *transaction).await.map_err(&failed)?;
    // Another node that migrates is waited for.
    sqlx::raw_sql(sql::MIGRATION_PATIENCE).execute(&mut *transaction).await.map_err(&failed)?;
    let lock = sqlx::query(sql::MIGRATION_LOCK).bind(lines.schema()).execute(&mut *transaction).await;
    lock.map_err(&failed)?;
    make_schema(&mut transaction, lines.schema()).await?;
    let migrations = MIGRATIONS.iter().map(|&(version, name, text)| {
        Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    // Its own lock belongs to a session, which a pooler in between does not have.
    migrator.set_locking(false);
    // A newer program may have migrated further.
    migrator.set_ignore_missing(true);
    migrator.run_direct(None, &mut *transaction, false).await.map_err(migration_fault)?;
    transaction.commit().await.map_err(&failed)
}

async fn make_schema(connection: &mut PgConnection, schema: &str) -> Done<()> {
    let failed = on("making the schema");
    let query = sqlx::query_scalar(sql::SCHEMA_IS_THERE).bind(schema);
    if query.fetch_one(&mut *connection).await.map_err(&failed)? {
        return Ok(());
    }
    let query = sqlx::query_scalar(sql::SCHEMA_MAKE).bind(schema);
    let statement: String = query.fetch_one(&mut *connection).await.map_err(&failed)?;
    let made = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await;
    made.map_err(|error| {
        let fault = failed(error);
        let remedy = format!("as the owner of the database: CREATE SCHEMA {schema} AUTHORIZATION <user>");
        if fault.class == FaultClass::Permission { with_remedy(fault, remedy) } else { fault }
    })?;
    Ok(())
}

fn migration_fault(error: MigrateError) -> Fault {
    match error {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => on("migrating")(e),
        other => fault(FaultClass::Schema, format!("migrating: {other}")),
    }
}

/// pgvector is there when this returns true; false if lines must be made anew to see it.
pub(super) async fn ensure_extension(
    lines: &Arc<Lines>,
    settings: &Settings,
    installed: Option<&str>,
    available: Option<&str>,
    may_write: bool,
) -> Done<bool> {
    if installed.is_some() {
        return Ok(true);
    }
    let missing = || fault(FaultClass::Schema, "the database has no extension vector");
    if available.is_none() {
        let remedy = "install pgvector on the server (the package is called postgresql-<version>-pgvector), then, as a \
                      superuser: CREATE EXTENSION vector";
        return Err(with_remedy(fault(FaultClass::Schema, "the server has no pgvector"), remedy));
    }
    if !may_write || settings.migrate == Migrate::Check {
        return Err(with_remedy(missing(), EXTENSION_REMEDY));
    }
    match make_extension(lines).await {
        Ok(()) => Ok(false),
        Err(fault) if fault.class == FaultClass::Permission => Err(with_remedy(missing(), EXTENSION_REMEDY)),
        Err(fault) => Err(fault),
    }
}

/// Outside of our schema, so that it survives it.
async fn make_extension(lines: &Lines) -> Done<()> {
    let failed = on("making the extension");
    let mut line = lines.alone().await?;
    let mut transaction = line.connection.begin().await.map_err(&failed)?;
    let lock = sqlx::query(sql::MIGRATION_LOCK).bind("extension").execute(&mut *transaction).await;
    lock.map_err(&failed)?;
    sqlx::raw_sql(sql::EXTENSION).execute(&mut *transaction).await.map_err(&failed)?;
    transaction.commit().await.map_err(&failed)
}
