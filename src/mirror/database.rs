//! Where the database is and what may be done there, as plain data.
//!
//! Invariant: the URL, which holds a password, is neither printed nor written.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The database of a mirror.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseOptions {
    /// `postgres://user:password@host:port/database?sslmode=..`. Default: none, it must be given. It is not written out again.
    #[serde(skip_serializing)]
    pub url: String,
    /// The Postgres schema of the mirror's tables. Default: `nearfield`. Another one lets two mirrors share a database.
    pub schema: String,
    /// Whether the tables may be made and changed. Default: `auto`.
    pub migrate: Migrate,
    /// Days after which a node that is silent no longer keeps deletions. Default: 30.
    pub node_days: u16,
    /// Connections that write, at least 1. Default: 2. Leave it alone.
    pub writers_max: usize,
    /// Connections that read, at least 1. Default: 4. Leave it alone.
    pub readers_max: usize,
    /// pgvector's own index on each collection. Default: `none`. It is for those who search in SQL.
    pub database_index: DatabaseIndex,
    /// How long making a connection may take, in milliseconds. Default: 10,000. Leave it alone.
    pub connect_ms_max: u64,
    /// How long a statement may take, in milliseconds. Default: 30,000. Batches shrink by themselves; leave it alone.
    pub statement_ms_max: u64,
}

/// Who makes the mirror's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Migrate {
    /// The mirror, where they are missing.
    Auto,
    /// Somebody else: the mirror only looks whether they fit.
    Check,
}

/// An index that pgvector searches, for those who search in SQL. It slows every write down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DatabaseIndex {
    /// No index.
    None,
    /// A graph.
    Hnsw {
        /// Links of a node.
        m: u16,
        /// Beam width of an insert.
        ef_construction: u16,
    },
    /// Lists around centres.
    Ivfflat {
        /// How many.
        lists: u16,
    },
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            url: String::new(),
            schema: "nearfield".to_owned(),
            migrate: Migrate::Auto,
            node_days: 30,
            writers_max: 2,
            readers_max: 4,
            database_index: DatabaseIndex::None,
            connect_ms_max: 10_000,
            statement_ms_max: 30_000,
        }
    }
}

/// Without the URL.
impl fmt::Debug for DatabaseOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            url: _,
            schema,
            migrate,
            node_days,
            writers_max,
            readers_max,
            database_index,
            connect_ms_max,
            statement_ms_max,
        } = self;
        f.debug_struct("DatabaseOptions")
            .field("schema", schema)
            .field("migrate", migrate)
            .field("node_days", node_days)
            .field("writers_max", writers_max)
            .field("readers_max", readers_max)
            .field("database_index", database_index)
            .field("connect_ms_max", connect_ms_max)
            .field("statement_ms_max", statement_ms_max)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_read_and_never_told() {
        let options: DatabaseOptions = serde_json::from_str(r#"{"url": "postgres://u:secret@h/d"}"#).unwrap();
        assert_eq!(options.url, "postgres://u:secret@h/d");
        let told = format!("{options:?}{}", serde_json::to_string(&options).unwrap());
        assert!(!told.contains("secret") && told.contains("nearfield"), "{told}");
    }
}
