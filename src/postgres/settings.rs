//! What can be set about the database, as plain data.

use crate::mirror::remote::{Fault, FaultClass};
use crate::postgres::fault::{fault, with_remedy};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where the database is, and what may be done there.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// `postgres://user:password@host:port/database?sslmode=..`. Default: none, it must be given.
    pub(crate) url: String,
    /// The Postgres schema of our tables. Default: `nearfield`.
    pub(crate) schema: String,
    /// Whether our tables may be made and changed. Default: `auto`.
    pub(crate) migrate: Migrate,
    /// Days after which a node that is silent no longer keeps deletions. Default: 30.
    pub(crate) node_days: u16,
    /// Connections that write. Default: 2.
    pub(crate) writers_max: usize,
    /// Connections that read. Default: 4.
    pub(crate) readers_max: usize,
    /// pgvector's own index on each collection. Default: none.
    pub(crate) database_index: DatabaseIndex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Migrate {
    /// Missing tables are made.
    Auto,
    /// They must be there.
    Check,
}

/// An index that pgvector searches, for those who search in SQL. It slows every write down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DatabaseIndex {
    None,
    Hnsw { m: u16, ef_construction: u16 },
    Ivfflat { lists: u16 },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            schema: "nearfield".to_owned(),
            migrate: Migrate::Auto,
            node_days: 30,
            writers_max: 2,
            readers_max: 4,
            database_index: DatabaseIndex::None,
        }
    }
}

impl Settings {
    /// Refuses what cannot work.
    pub(super) fn validate(&self) -> Result<(), Fault> {
        let name = &self.schema;
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        // It stands in statements that take no parameters, so nothing that needs quoting is let in.
        if !starts || name.len() > 63 || name.starts_with("pg_") || !name.bytes().all(is_plain) {
            return Err(with_remedy(
                fault(
                    FaultClass::Schema,
                    format!("schema {name:?} is no name for a Postgres schema of ours"),
                ),
                "use 1 to 63 letters a-z, digits and underscores, not starting with a digit or pg_",
            ));
        }
        if self.writers_max == 0 || self.readers_max == 0 {
            return Err(fault(FaultClass::Schema, "writers_max and readers_max must be at least 1"));
        }
        Ok(())
    }
}

/// Without the URL, which holds a password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url: _, schema, migrate, node_days, writers_max, readers_max, database_index } = self;
        f.debug_struct("Settings")
            .field("schema", schema)
            .field("migrate", migrate)
            .field("node_days", node_days)
            .field("writers_max", writers_max)
            .field("readers_max", readers_max)
            .field("database_index", database_index)
            .finish_non_exhaustive()
    }
}
