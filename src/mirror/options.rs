//! Settings of a mirror as plain data.

use super::database::DatabaseOptions;
use super::rebuild::RebuildProgress;
use crate::config::within;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Which side is right where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The database.
    Database,
    /// This store.
    Local,
}

/// When a collection is filled from the database as a whole, without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebuildPolicy {
    /// When it has no rows here.
    IfEmpty,
    /// When it has none, or rows are damaged that cannot be named.
    IfCorrupt,
    /// At every start.
    Always,
    /// Never: an empty collection stays empty but for what changes from now on.
    Never,
}

/// Who answers searches of a collection that is still being filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// This store, with the rows that are here.
    None,
    /// The database, and this store for what was written here lately. If it does not answer in time, this store.
    Database,
}

/// How a mirror goes about its work. The defaults are right unless a setting's text says when they are not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MirrorOptions {
    /// Where the database is. Default: nowhere; [`from_url`](Self::from_url) says it.
    pub database: DatabaseOptions,
    /// Which collections are mirrored. Default: none named, which means all, those of the database included. Leave it so unless
    /// a node is to hold a part only.
    pub collections: Vec<String>,
    /// Rows in one statement, 1 to 10,000. Default: 1,000. It falls by itself when statements time out; lower it for very
    /// wide rows only.
    pub batch_rows_max: usize,
    /// Bytes in one statement. Default: 4 MiB. Two are on their way at once; leave it alone unless memory is scarce.
    pub batch_bytes_max: usize,
    /// Changes read in one go, 1 to 50,000. Default: 5,000. Leave it alone.
    pub feed_page_rows: usize,
    /// Shortest time between two looks at what others changed, in milliseconds. Default: 100. Raise it if a database charges
    /// for statements.
    pub poll_ms_min: u64,
    /// Longest such time, which an idle database is polled at, in milliseconds. Default: 5,000. Lower it to see others'
    /// changes sooner after silence.
    pub poll_ms_max: u64,
    /// Longest time before a database that fails is tried again, in milliseconds. Default: 300,000. Waits grow from 100 with each
    /// failure, and begin at 30,000 for what a person must put right; lower it where an outage must be over sooner.
    pub retry_ms_max: u64,
    /// Time between two looks at which database answers, in milliseconds. Default: 30,000. Leave it alone.
    pub look_ms: u64,
    /// Deletions of one collection that one step may carry out here without asking, if they are also no more than
    /// [`delete_guard_share`](Self::delete_guard_share). Default: 500 rows. Raise it where jobs delete in bulk.
    pub delete_guard_rows: usize,
    /// The same as a share of the rows, 0 to 1; the greater of both holds. Default: 0.05.
    pub delete_guard_share: f64,
    /// Share of damaged rows, 0 to 1, beyond which they are not fetched again without asking: the disk is suspected. Default: 0.2.
    pub damage_guard_share: f64,
    /// How long acknowledged rows are remembered, to be sent again to a database that lost its last commits, in seconds.
    /// Default: 900. It must be longer than a standby can lag.
    pub ack_retention_seconds: u64,
    /// Time between two full comparisons of each collection, in seconds; 0 for none. Default: 3,600. One costs the database
    /// about a second for ten million rows.
    pub audit_seconds: u64,
    /// Age at which deletions that everybody has seen are removed from the database, in days; 0 for never. Default: 30.
    pub tombstone_days: u32,
    /// When a collection is filled as a whole. Default: `if-empty`.
    pub rebuild: RebuildPolicy,
    /// Disjoint ranges that a collection is filled by, 1 to 256; two are read at once. Default: 16. Leave it alone.
    pub rebuild_ranges: usize,
    /// Who answers searches while a collection is being filled for the first time; see [`Source`](crate::Source). Default: `none`.
    /// `database` makes such searches exact and complete, and as slow as the database: it compares all rows of the
    /// collection. Each call holds its thread up, an async one too, for at most [`fallback_ms`](Self::fallback_ms).
    pub fallback: Fallback,
    /// How long such a search, or batch of searches, waits for the database, in milliseconds, 1 to 60,000. Default: 250. Raise it for
    /// more than some 50,000 rows.
    pub fallback_ms: u64,
    /// Do nothing but what is asked for. Default: false. For tools that look before anything changes.
    pub manual: bool,
    /// Who is told, in one line, when the state changes. Default: nobody. It is called from the mirror's thread and must not wait.
    #[serde(skip)]
    pub on_change: Option<OnChange>,
    /// Who is told how far filling a collection has come: after every step, and once when it is done. Default: nobody. It is called
    /// from the mirror's thread and must not wait.
    #[serde(skip)]
    pub on_rebuild: Option<OnRebuild>,
}

/// Somebody who is told of changes of state.
#[derive(Clone)]
pub struct OnChange(pub(super) Arc<dyn Fn(&str) + Send + Sync>);

impl fmt::Debug for OnChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnChange(..)")
    }
}

impl PartialEq for OnChange {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Somebody who is told how far filling has come.
#[derive(Clone)]
pub struct OnRebuild(pub(super) Arc<dyn Fn(&RebuildProgress) + Send + Sync>);

impl fmt::Debug for OnRebuild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRebuild(..)")
    }
}

impl PartialEq for OnRebuild {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Default for MirrorOptions {
    fn default() -> Self {
        Self {
            database: DatabaseOptions::default(),
            collections: Vec::new(),
            batch_rows_max: 1_000,
            batch_bytes_max: 4 << 20,
            feed_page_rows: 5_000,
            poll_ms_min: 100,
            poll_ms_max: 5_000,
            retry_ms_max: 300_000,
            look_ms: 30_000,
            delete_guard_rows: 500,
            delete_guard_share: 0.05,
            damage_guard_share: 0.2,
            ack_retention_seconds: 900,
            audit_seconds: 3_600,
            tombstone_days: 30,
            rebuild: RebuildPolicy::IfEmpty,
            rebuild_ranges: 16,
            fallback: Fallback::None,
            fallback_ms: 250,
            manual: false,
            on_change: None,
            on_rebuild: None,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),*) => {$(
        #[doc = concat!("Sets [`MirrorOptions::", stringify!($name), "`].")]
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        }
    )*};
}

impl MirrorOptions {
    /// The defaults, and the database of a URL: `postgres://user:password@host:port/database?sslmode=..`.
    pub fn from_url(url: impl Into<String>) -> Self {
        let database = DatabaseOptions { url: url.into(), ..DatabaseOptions::default() };
        Self { database, ..Self::default() }
    }

    setters! {
        database: DatabaseOptions,
        collections: Vec<String>,
        batch_rows_max: usize,
        batch_bytes_max: usize,
        feed_page_rows: usize,
        poll_ms_min: u64,
        poll_ms_max: u64,
        retry_ms_max: u64,
        look_ms: u64,
        delete_guard_rows: usize,
        delete_guard_share: f64,
        damage_guard_share: f64,
        ack_retention_seconds: u64,
        audit_seconds: u64,
        tombstone_days: u32,
        rebuild: RebuildPolicy,
        rebuild_ranges: usize,
        fallback: Fallback,
        fallback_ms: u64,
        manual: bool
    }

    /// Sets [`MirrorOptions::on_change`].
    #[must_use]
    pub fn on_change(mut self, told: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_change = Some(OnChange(Arc::new(told)));
        self
    }

    /// Sets [`MirrorOptions::on_rebuild`].
    #[must_use]
    pub fn on_rebuild(mut self, told: impl Fn(&RebuildProgress) + Send + Sync + 'static) -> Self {
        self.on_rebuild = Some(OnRebuild(Arc::new(told)));
        self
    }

    /// Whether a collection is mirrored.
    pub(super) fn covers(&self, collection: &str) -> bool {
        self.collections.is_empty() || self.collections.iter().any(|name| name == collection)
    }

    /// Refuses what cannot work, with the reason.
    pub(crate) fn validate(&self) -> Result<()> {
        within("batch_rows_max", self.batch_rows_max as u64, 1, 10_000, "1,000 is the default")?;
        within("batch_bytes_max", self.batch_bytes_max as u64, 1 << 10, 64 << 20, "4 MiB is the default")?;
        within("feed_page_rows", self.feed_page_rows as u64, 1, 50_000, "5,000 is the default")?;
        within("poll_ms_min", self.poll_ms_min, 1, 60_000, "100 is the default")?;
        within("poll_ms_max", self.poll_ms_max, self.poll_ms_min, 600_000, "it is at least poll_ms_min")?;
        within("retry_ms_max", self.retry_ms_max, 100, 3_600_000, "300,000 is the default")?;
        within("look_ms", self.look_ms, 100, 600_000, "30,000 is the default")?;
        within("ack_retention_seconds", self.ack_retention_seconds, 0, 86_400, "900 is the default")?;
        within("rebuild_ranges", self.rebuild_ranges as u64, 1, 256, "16 is the default")?;
        within("fallback_ms", self.fallback_ms, 1, 60_000, "250 is the default")?;
        for (name, share) in
            [("delete_guard_share", self.delete_guard_share), ("damage_guard_share", self.damage_guard_share)]
        {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::invalid(format!(
                    "{name} is {share}; it must be 0 to 1: it is a share of all rows"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_impossible_settings_name_value_and_limit() {
        MirrorOptions::default().validate().unwrap();
        let o = MirrorOptions::default;
        for (options, value, limit) in [
            (o().batch_rows_max(0), "batch_rows_max is 0", "1 to 10000"),
            (o().batch_bytes_max(0), "batch_bytes_max is 0", "1024 to"),
            (o().feed_page_rows(0), "feed_page_rows is 0", "1 to 50000"),
            (o().poll_ms_min(0), "poll_ms_min is 0", "1 to 60000"),
            (o().poll_ms_max(10), "poll_ms_max is 10", "100 to"),
            (o().ack_retention_seconds(100_000), "ack_retention_seconds is 100000", "0 to 86400"),
            (o().rebuild_ranges(0), "rebuild_ranges is 0", "1 to 256"),
            (o().fallback_ms(0), "fallback_ms is 0", "1 to 60000"),
            (o().delete_guard_share(1.5), "delete_guard_share is 1.5", "0 to 1"),
            (o().damage_guard_share(f64::NAN), "damage_guard_share is NaN", "0 to 1"),
        ] {
            let error = options.validate().unwrap_err().to_string();
            assert!(error.contains(value) && error.contains(limit), "{error}");
        }
    }

    #[test]
    fn a_named_list_covers_what_it_names() {
        assert!(MirrorOptions::default().covers("a"));
        let one = MirrorOptions::default().collections(vec!["a".into()]);
        assert_eq!([one.covers("a"), one.covers("b")], [true, false]);
    }

    #[test]
    fn options_are_json_with_defaults() {
        assert_eq!(MirrorOptions::default().fallback, Fallback::None);
        let asks: MirrorOptions = serde_json::from_str(r#"{"fallback": "database"}"#).unwrap();
        assert_eq!(asks, MirrorOptions::default().fallback(Fallback::Database));
        let options: MirrorOptions =
            serde_json::from_str(r#"{"rebuild": "if-corrupt", "poll_ms_max": 900}"#).unwrap();
        assert_eq!(options, MirrorOptions::default().rebuild(RebuildPolicy::IfCorrupt).poll_ms_max(900));
    }
}
