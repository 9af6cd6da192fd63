//! The other side, as the mirror needs it: what a database must be able to do, and how it says that it cannot.
//!
//! Two implementations pass one suite (`conformance.rs`): Postgres, and a twin in memory that the model tests drive.
//!
//! Contract: every call but `index` ends by a deadline of its own; a call that was dropped or timed out leaves no connection behind that
//! anybody uses again; nothing is retried here. Every write is guarded by version, so sending twice is sending once (M5).

use crate::config::Schema;
use crate::engine::tap::Neighbour;
use crate::filter::Needle;
use crate::ids::ChunkId;
use crate::record::{Edition, Head};
use serde::{Deserialize, Serialize};
use std::future::Future;

pub(crate) type Done<T> = Result<T, Fault>;

/// A database that holds a mirror.
pub(crate) trait Remote: Send + Sync + 'static {
    type Reading: Reading;

    /// Connects if need be, brings the schema up to date if that is allowed, and says who answers. `node` is made known there.
    fn look(&self, node: NodeId) -> impl Future<Output = Done<Database>> + Send;

    /// What each collection there is.
    fn collections(&self) -> impl Future<Output = Done<Vec<RemoteCollection>>> + Send;

    /// Makes a collection known, if it is not. A collection of the name and another shape is a [`FaultClass::Schema`].
    fn declare(&self, collection: &RemoteCollection) -> impl Future<Output = Done<()>> + Send;

    /// Makes a collection unknown, if it has no live rows; whether it is unknown now.
    fn undeclare(&self, collection: &str) -> impl Future<Output = Done<bool>> + Send;

    /// Makes the index that the database's settings ask for. It may take long, and holds nobody up; called again it goes on, or
    /// finds that all is done. The one call without a deadline.
    fn index(&self, collection: &RemoteCollection) -> impl Future<Output = Done<()>> + Send {
        let _ = collection;
        async { Ok(()) }
    }

    /// Stores what is newer than what stands there, all or nothing; `batch` has no id twice and is sorted by id. One answer
    /// for each edition. `mark` goes into the node's row in the same transaction.
    fn push(
        &self,
        collection: &str,
        batch: &[Edition],
        mark: NodeMark,
    ) -> impl Future<Output = Done<Vec<Pushed>>> + Send;

    /// Of these ids those whose rows somebody else holds, sorted. A [`FaultClass::Transient`] if he holds the table. Waits for nobody.
    fn held(&self, collection: &str, ids: &[ChunkId]) -> impl Future<Output = Done<Vec<ChunkId>>> + Send;

    /// Begins to read one snapshot. Refused on a standby (M10).
    fn read(&self) -> impl Future<Output = Done<Self::Reading>> + Send;

    /// Writes back digests of rows that were edited by hand and looked at since, where `ver` and `node` are still those of the
    /// head. Rows that somebody else holds are passed over, and answered: it waits for nobody, and nobody in a circle for it.
    fn stamp(&self, collection: &str, heads: &[Head]) -> impl Future<Output = Done<Vec<Head>>> + Send;

    /// Writes down that `node` has read every change that is visible in `snapshot`, for [`collect`](Self::collect).
    fn seen(&self, node: NodeId, snapshot: &Snapshot) -> impl Future<Output = Done<()>> + Send {
        let _ = (node, snapshot);
        async { Ok(()) }
    }

    /// Removes deletions below `before` that every node of the last `node_days` has seen, and raises the floor.
    fn collect(&self, before: crate::ids::Ver) -> impl Future<Output = Done<u64>> + Send;

    /// Closes every connection: the next call makes new ones.
    fn hang_up(&self);
}

/// A transaction that sees one snapshot and changes nothing. Dropping it ends it.
pub(crate) trait Reading: Send {
    /// The snapshot that it sees.
    fn snapshot(&self) -> &Snapshot;

    /// Heads that are visible in `until` and were not in `since`, of all collections, in order of [`ChangeKey`], those after
    /// `after` only, at most `limit`. `until` is this snapshot or an earlier one.
    fn changes(
        &mut self,
        since: &Snapshot,
        until: &Snapshot,
        after: Option<&ChangeKey>,
        limit: usize,
    ) -> impl Future<Output = Done<Vec<Change>>> + Send;

    /// The rows of these ids as they stand in this snapshot, deletions among them; ids that are not there are left out.
    fn rows(&mut self, collection: &str, ids: &[ChunkId]) -> impl Future<Output = Done<Vec<Edition>>> + Send;

    /// One fingerprint for each range of live rows, ids in `without` left out. Ranges are half-open, by the bytes of ids.
    fn fingerprints(
        &mut self,
        collection: &str,
        ranges: &[IdRange],
        without: &[ChunkId],
    ) -> impl Future<Output = Done<Vec<Fingerprint>>> + Send;

    /// The heads of live rows in a range, by id, at most `limit`.
    fn heads(
        &mut self,
        collection: &str,
        range: &IdRange,
        limit: usize,
    ) -> impl Future<Output = Done<Vec<Head>>> + Send;

    /// Splits the live rows into at most `parts` ranges of about as many rows.
    fn split(&mut self, collection: &str, parts: usize) -> impl Future<Output = Done<Vec<IdRange>>> + Send;

    /// Live rows of a range with their contents, by id, in pieces as they arrive, to `each`; whoever is called may end it by
    /// returning false.
    fn scan(
        &mut self,
        collection: &str,
        range: &IdRange,
        each: &mut (dyn FnMut(Vec<Edition>) -> bool + Send),
    ) -> impl Future<Output = Done<()>> + Send;

    /// Heads and distances of the live rows that are nearest to a vector, at most `limit`, by distance and then by id: those that
    /// have a vector of as many dimensions, under the metric of the collection. All are compared: none is missed.
    fn nearest(
        &mut self,
        collection: &str,
        near: &Near<'_>,
        limit: usize,
    ) -> impl Future<Output = Done<Vec<Neighbour>>> + Send;

    /// The rows that [`rows`](Self::rows) and [`scan`](Self::scan) left out since the last call, because they are not fit
    /// to stand here: somebody wrote them by hand.
    fn refused(&mut self) -> Vec<Refused> {
        Vec::new()
    }

    /// Ends the transaction.
    fn finish(self) -> impl Future<Output = Done<()>> + Send;
}

/// A data directory that writes to the database. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct NodeId(pub(crate) u64);

/// What a node writes beside its rows. It only rises: a database in which it went back was restored from a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct NodeMark {
    pub(crate) node: u64,
    pub(crate) incarnation: u64,
    pub(crate) pushes: u64,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Database {
    pub(crate) identity: Identity,
    /// Digests there are made with it.
    pub(crate) digest_seed: u64,
    pub(crate) is_standby: bool,
    pub(crate) is_read_only: bool,
    /// Its clock.
    pub(crate) unix_ms: i64,
    /// Rows edited by hand are noticed at once: the triggers are there.
    pub(crate) is_supervised: bool,
    /// The mark that this node wrote last, as the database has it.
    pub(crate) mark: Option<NodeMark>,
    /// Deletions below this version may have been removed.
    pub(crate) tombstone_floor: i64,
    /// For people: "PostgreSQL 18.0, pgvector 0.8.5".
    pub(crate) server: String,
}

/// What makes a database this one and no copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Of the cluster.
    pub(crate) system: String,
    pub(crate) timeline: u32,
    /// The database in it.
    pub(crate) database: String,
    /// Random; another one after every TRUNCATE.
    pub(crate) epoch: String,
}

/// A collection as the database has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RemoteCollection {
    pub(crate) name: String,
    pub(crate) schema: Schema,
}

/// What became of a pushed edition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Stored,
    /// What stands there is newer, or the same: the feed brings it.
    Superseded,
}

/// A snapshot, as the database writes it. Compared by the database alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot(pub(crate) String);

/// Where a page of changes ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ChangeKey {
    pub(crate) xid: u64,
    pub(crate) collection: String,
    pub(crate) id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: ChangeKey,
    pub(crate) head: Head,
}

/// A row that stands in the database and cannot be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) collection: String,
    pub(crate) head: Head,
    pub(crate) reason: String,
}

/// Ids from `from` on (all if none) up to `until` and not with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdRange {
    pub(crate) from: Option<String>,
    pub(crate) until: Option<String>,
}

/// Whose neighbours are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near<'a> {
    pub(crate) query: &'a [f32],
    /// Rows of this tenant only.
    pub(crate) tenant: Option<&'a str>,
    pub(crate) wants_metadata: bool,
    /// Rows are left out whose metadata hold none of one of these lists, at whatever depth.
    pub(crate) needles: &'a [Vec<Needle>],
    /// The database gives up by itself after so many milliseconds, in this call and in those after it.
    pub(crate) ms_max: u64,
}

/// What two sides compare instead of rows. A row edited by hand counts with digest 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fingerprint {
    pub(crate) rows: u64,
    /// Of `digest ^ ver`.
    pub(crate) xor: u64,
    /// Of digests, modulo 2^64.
    pub(crate) sum: u64,
}

/// Why a call failed, by what to do about it. The message never holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) class: FaultClass,
    /// SQLSTATE.
    pub(crate) code: Option<String>,
    pub(crate) message: String,
    /// The SQL, or the setting, that would help.
    pub(crate) remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FaultClass {
    /// Try again, soon at first: not reachable, a deadline, a deadlock.
    Transient,
    /// It takes no writes, now: close everything, and look again who answers.
    Demoted,
    /// It lacks room or connections: try again, later.
    Resource,
    /// Tables are missing or of another shape.
    Schema,
    /// A right is missing, or the password is wrong.
    Permission,
    /// A row is at fault: find out which.
    Data,
    Unknown,
}
