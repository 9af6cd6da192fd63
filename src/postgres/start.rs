//! A mirror on Postgres: what the settings say becomes lines, and the mirror starts on them.

use super::Postgres;
use crate::engine::Store;
use crate::error::{Error, Result};
use crate::mirror::{Mirror, MirrorOptions};

impl Mirror {
    /// Mirrors `store` in the Postgres database of `options`, from a thread of its own. Settings and a URL that cannot work are
    /// refused at once, with the part that is wrong. A database that does not answer is no error: the store serves without it,
    /// [`status`](Self::status) says so, and what is written meanwhile is sent when it comes.
    ///
    /// ```no_run
    /// use nearfield::{Chunk, Metric, Mirror, MirrorOptions, Options, Schema, Store};
    /// use std::time::Duration;
    ///
    /// let store = Store::open("index_data", Options::default())?;
    /// let docs = store.get_or_create("docs", Schema::new(3, Metric::Cosine))?;
    /// let mirror = Mirror::start(&store, MirrorOptions::from_url("postgres://me:secret@localhost/app"))?;
    /// let ack = docs.upsert([Chunk::new("a").vector([0.9, 0.1, 0.0]).text("about a")])?;
    /// mirror.wait_mirrored(ack.token, Duration::from_secs(5))?;
    /// assert!(mirror.audit("docs", false)?.is_equal());
    /// # Ok::<(), nearfield::Error>(())
    /// ```
    pub fn start(store: &Store, options: MirrorOptions) -> Result<Self> {
        let postgres =
            Postgres::new(options.database.clone()).map_err(|fault| Error::invalid(fault.to_string()))?;
        Self::start_on(store, postgres, options)
    }
}
