//! Goal: whatever happens to the database, the network or the rows, both sides become equal again, or a state says why not and how to
//! go on; no acknowledged row is lost; writes and searches here go on; the log stays short. Method: a store and its mirror on a real
//! server, one accident in each test, and the same questions after each.

mod drift;
mod fallback;
mod feed;
mod follow;
mod killed;
mod outages;
mod past;
mod refusals;
mod rights;
mod secure;
mod switched;

use crate::support::sql::sql;
use crate::support::wait;
use nearfield::{
    Chunk, Collection, DatabaseOptions, Metric, Mirror, MirrorOptions, MirrorStatus, Schema, Store,
};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);
/// Far more than a write and a search take, far less than any deadline of the mirror's on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Changes of state that one accident may bring.
const LINES_MAX: usize = 40;

/// The rows of a side: id and first number of the vector.
type Rows = BTreeMap<String, f32>;

/// A store with a collection `docs`, its mirror, and what was acknowledged.
struct Bed {
    mirror: Mirror,
    docs: Collection,
    store: Store,
    written: Mutex<Rows>,
    told: Arc<Mutex<Vec<String>>>,
}

/// A mirror that is in a hurry.
fn options(url: &str) -> MirrorOptions {
    within(url, 4_000)
}

/// The same, with so many milliseconds for a connection and for a statement.
fn within(url: &str, ms: u64) -> MirrorOptions {
    let defaults = DatabaseOptions::default();
    let database =
        DatabaseOptions { url: url.to_owned(), connect_ms_max: ms, statement_ms_max: ms, ..defaults };
    MirrorOptions::default().database(database).poll_ms_min(10).poll_ms_max(50).retry_ms_max(200).look_ms(300)
}

fn schema() -> Schema {
    Schema::new(3, Metric::L2)
}

fn chunk(id: &str, x: f32) -> Chunk {
    Chunk::new(id).vector([x, 0.5, -1.0]).text(format!("text of {id}")).meta("x", f64::from(x))
}

fn ids(prefix: &str, numbers: Range<usize>) -> Vec<String> {
    numbers.map(|n| format!("{prefix}{n:04}")).collect()
}

impl Bed {
    fn at(url: &str) -> Self {
        Self::with(Store::memory(), options(url))
    }

    /// A bed with rows that are on both sides.
    fn settled(options: MirrorOptions, rows: usize) -> Self {
        let url = options.database.url.clone();
        let bed = Self::with(Store::memory(), options);
        bed.put(&ids("row-", 0..rows));
        bed.mirror.wait_mirrored(bed.store.token(), LONG).unwrap_or_else(|e| panic!("{url}: {e}"));
        bed.until("in_sync");
        bed
    }

    fn with(store: Store, options: MirrorOptions) -> Self {
        let docs = store.get_or_create("docs", schema()).unwrap();
        let told = Arc::<Mutex<Vec<String>>>::default();
        let hears = told.clone();
        let options = options.on_change(move |line| hears.lock().unwrap().push(line.to_owned()));
        let mirror = Mirror::start(&store, options).unwrap();
        Self { mirror, docs, store, written: Mutex::default(), told }
    }

    /// Writes rows, each with a number that it had never before.
    fn put(&self, ids: &[String]) {
        let mut written = self.written.lock().unwrap();
        let chunks: Vec<Chunk> = ids
            .iter()
            .map(|id| {
                let x = written.get(id).map_or(1.0, |x| x + 1.0);
                written.insert(id.clone(), x);
                chunk(id, x)
            })
            .collect();
        let ack = self.docs.upsert(chunks).unwrap();
        assert_eq!(ack.rejected, 0);
    }

    fn delete(&self, ids: &[String]) {
        let (deleted, _) = self.docs.delete(ids.iter().map(String::as_str)).unwrap();
        assert_eq!(deleted, ids.len());
        ids.iter().for_each(|id| _ = self.written.lock().unwrap().remove(id));
    }

    fn status(&self) -> MirrorStatus {
        self.mirror.status()
    }

    fn until(&self, state: &str) -> MirrorStatus {
        wait::until(&format!("state {state}"), || self.status().state.to_string() == state);
        self.status()
    }

    /// Waits until the mirror is in trouble, and says so; what it says has `word` in it.
    fn until_reason(&self, word: &str) -> MirrorStatus {
        let has = |status: &MirrorStatus| status.reason.as_ref().is_some_and(|reason| reason.contains(word));
        wait::until(&format!("a reason with {word:?}"), || has(&self.status()));
        self.status()
    }

    /// Writes, reads and searches as if there were no database.
    fn works_alone(&self) {
        let start = Instant::now();
        let id = format!("alone-{:04}", self.written.lock().unwrap().len());
        self.put(std::slice::from_ref(&id));
        assert!(self.docs.get(&id).unwrap().is_some());
        let found = self.docs.search(&[1.0, 0.5, -1.0]).k(3).run().unwrap();
        assert!(!found.hits.is_empty() && start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
    }

    fn rows_here(&self) -> Rows {
        let page = self.docs.scroll(None, None, 100_000).unwrap();
        page.chunks.into_iter().map(|chunk| (chunk.id, chunk.vector.map_or(f32::NAN, |v| v[0]))).collect()
    }

    /// Both sides hold what was acknowledged, and prove that they are equal; and not much was said about it.
    fn equals(&self, url: &str) {
        self.follows(url);
        let written = self.written.lock().unwrap().clone();
        assert_eq!(self.rows_here(), written, "here and what was acknowledged");
    }

    /// Both sides are equal, whoever wrote the rows.
    fn follows(&self, url: &str) {
        self.mirror
            .wait_mirrored(self.store.token(), LONG)
            .unwrap_or_else(|e| panic!("{e}: {:?}", self.status()));
        let mut report = None;
        // While the mirror recovers it cannot be asked, and what a decision made dirty is sent first.
        wait::until("a comparison of all rows", || {
            report = self.mirror.audit("docs", true).ok().filter(|report| report.dirty == 0);
            report.is_some()
        });
        let report = report.unwrap();
        assert!(report.is_equal(), "{report:#?}");
        assert_eq!(rows_there(url), self.rows_here(), "there and here");
        let told = self.told.lock().unwrap();
        assert!(told.len() <= LINES_MAX, "{told:#?}");
    }
}

fn rows_there(url: &str) -> Rows {
    let text = "SELECT id, (embedding::real[])[1]::text FROM nearfield.chunks WHERE collection = 'docs'";
    let value = |value: &Option<String>| value.clone().unwrap();
    sql(url, text).iter().map(|row| (value(&row[0]), value(&row[1]).parse().unwrap())).collect()
}

/// Ends the mirrors' connections to a database, as an administrator does.
fn throw_out(server: &str, url: &str) {
    let name = database_name(url);
    let end = format!(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    );
    sql(server, &end);
}

fn database_name(url: &str) -> &str {
    let path = url.split('?').next().unwrap();
    path.rsplit_once('/').unwrap().1
}
