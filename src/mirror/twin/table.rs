//! The twin's tables: versions with transaction numbers, open transactions, and what others do to them.

use super::PEOPLE;
use super::people::Hand;
use crate::config::Schema;
use crate::ids::{ChunkId, Ver};
use crate::mirror::remote::{Identity, NodeId, NodeMark, Pushed, Snapshot};
use crate::record::{Edition, Head, Row};
use std::collections::{BTreeMap, BTreeSet};

/// A version of a row, committed.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) xid: u64,
    pub(crate) head: Head,
    pub(crate) row: Option<Row>,
}

impl Version {
    pub(crate) fn order(&self) -> (Ver, u64, u64) {
        (self.head.ver, self.head.node, self.head.digest.unwrap_or(0))
    }
}

/// A transaction that was begun, with what it will write.
#[derive(Clone, Debug)]
struct Open {
    xid: u64,
    writes: Vec<((String, String), Version)>,
    mark: Option<NodeMark>,
}

/// What stands in a table: the versions of each row, the last of which counts.
pub(crate) type Rows = BTreeMap<(String, String), Vec<Version>>;

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) identity: Identity,
    pub(crate) seed: u64,
    pub(crate) is_standby: bool,
    pub(crate) now_ms: u64,
    /// Another one after each restart: lines to an older one are dead.
    pub(crate) life: u64,
    /// Another one after each change that readings do not survive.
    pub(crate) readable: u64,
    next_xid: u64,
    pub(crate) rows: Rows,
    open: Vec<Open>,
    pub(crate) marks: BTreeMap<u64, NodeMark>,
    /// Who has looked, and how far each says that it has read.
    nodes: BTreeMap<NodeId, Option<Snapshot>>,
    /// Deletions below it may have been removed.
    pub(crate) floor: i64,
    pub(crate) collections: BTreeMap<String, Schema>,
    /// Rows that are refused as data.
    pub(crate) poison: BTreeSet<(String, String)>,
    /// Somebody holds the whole table, and lets it be read.
    pub(crate) is_table_locked: bool,
    /// Batches that come a second time.
    pub(crate) echoes: Vec<(String, Vec<Edition>)>,
}

impl World {
    pub(crate) fn new(now_ms: u64) -> Self {
        let identity = Identity { system: "s".into(), timeline: 1, database: "d".into(), epoch: "e1".into() };
        Self {
            identity,
            seed: 42,
            is_standby: false,
            now_ms,
            life: 1,
            readable: 1,
            next_xid: 3,
            rows: BTreeMap::new(),
            open: Vec::new(),
            marks: BTreeMap::new(),
            nodes: BTreeMap::new(),
            floor: 0,
            collections: BTreeMap::new(),
            poison: BTreeSet::new(),
            is_table_locked: false,
            echoes: Vec::new(),
        }
    }

    fn xid(&mut self) -> u64 {
        self.next_xid += 1;
        self.next_xid - 1
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut open: Vec<u64> = self.open.iter().map(|open| open.xid).collect();
        open.sort_unstable();
        let xmax = self.next_xid;
        let xmin = open.first().copied().unwrap_or(xmax);
        let list: Vec<String> = open.iter().map(u64::to_string).collect();
        Snapshot(format!("{xmin}:{xmax}:{}", list.join(",")))
    }

    /// The version of a row that a snapshot shows.
    pub(crate) fn seen<'a>(versions: &'a [Version], snapshot: &Snapshot) -> Option<&'a Version> {
        versions.iter().rev().find(|version| is_visible(version.xid, snapshot))
    }

    pub(crate) fn last(&self, collection: &str, id: &str) -> Option<&Version> {
        self.rows.get(&(collection.to_owned(), id.to_owned()))?.last()
    }

    pub(crate) fn is_locked(&self, collection: &str, id: &str) -> bool {
        let is_it = |key: &(String, String)| key.0 == collection && key.1 == id;
        self.open.iter().any(|open| open.writes.iter().any(|(key, _)| is_it(key)))
    }

    pub(crate) fn is_poison(&self, collection: &str, edition: &Edition) -> bool {
        let Some(row) = &edition.row else { return false };
        // No text of a database holds it.
        let text = row.payload.as_ref().and_then(|payload| payload.text.as_deref());
        text.is_some_and(|text| text.contains('\0'))
            || self.poison.contains(&(collection.to_owned(), edition.id.to_string()))
    }

    pub(crate) fn push(
        &mut self,
        collection: &str,
        batch: &[Edition],
        mark: Option<NodeMark>,
    ) -> Vec<Pushed> {
        let xid = self.xid();
        let mut pushed = Vec::new();
        for edition in batch {
            pushed.push(match self.newer(xid, collection, edition) {
                Some((key, version)) => {
                    self.rows.entry(key).or_default().push(version);
                    Pushed::Stored
                }
                None => Pushed::Superseded,
            });
        }
        self.note(mark);
        pushed
    }

    fn newer(&self, xid: u64, collection: &str, edition: &Edition) -> Option<((String, String), Version)> {
        let version = Version { xid, head: edition.head(), row: edition.row.clone() };
        let stands = self.last(collection, &edition.id);
        let is_newer = stands.is_none_or(|stands| stands.order() < version.order());
        is_newer.then(|| ((collection.to_owned(), edition.id.to_string()), version))
    }

    fn note(&mut self, mark: Option<NodeMark>) {
        if let Some(mark) = mark {
            let stands = self.marks.entry(mark.node).or_insert(mark);
            *stands = (*stands).max(mark);
        }
    }

    /// A push whose commit is still to come.
    pub(crate) fn push_late(&mut self, collection: &str, batch: &[Edition], mark: NodeMark) {
        let xid = self.xid();
        let writes = batch.iter().filter_map(|edition| self.newer(xid, collection, edition)).collect();
        self.open.push(Open { xid, writes, mark: Some(mark) });
    }

    /// Begins a transaction of somebody else.
    pub(crate) fn begin(&mut self) -> u64 {
        let xid = self.xid();
        self.open.push(Open { xid, writes: Vec::new(), mark: None });
        xid
    }

    /// Writes by hand, in an open transaction. False if another holds the row.
    pub(crate) fn write_in(&mut self, xid: u64, collection: &str, id: &str, vector: Option<&[f32]>) -> bool {
        self.write_by(xid, collection, id, vector.into())
    }

    pub(super) fn write_by(&mut self, xid: u64, collection: &str, id: &str, hand: Hand<'_>) -> bool {
        let version = self.by_hand(xid, collection, id, hand);
        let is_locked = self.is_locked(collection, id);
        match (version, self.open.iter_mut().find(|open| open.xid == xid)) {
            (Some(version), Some(open)) if !is_locked => {
                open.writes.push(version);
                true
            }
            _ => false,
        }
    }

    /// Writes by hand, and commits.
    pub(crate) fn edit(&mut self, collection: &str, id: &str, vector: Option<&[f32]>) -> bool {
        self.edit_by(collection, id, vector.into())
    }

    pub(super) fn edit_by(&mut self, collection: &str, id: &str, hand: Hand<'_>) -> bool {
        if self.is_locked(collection, id) {
            return false;
        }
        let xid = self.xid();
        let Some((key, version)) = self.by_hand(xid, collection, id, hand) else { return false };
        self.rows.entry(key).or_default().push(version);
        true
    }

    /// What the triggers make of it. A row that is not there cannot be deleted.
    fn by_hand(
        &self,
        xid: u64,
        collection: &str,
        id: &str,
        hand: Hand<'_>,
    ) -> Option<((String, String), Version)> {
        let stands = self.last(collection, id);
        let live = stands.and_then(|stands| stands.row.as_ref());
        if hand == Hand::Delete && live.is_none() {
            return None;
        }
        let row = hand.write(id, live);
        let ver = Ver(stands.map_or(0, |stands| stands.head.ver.0 + 1).max((self.now_ms as i64) << 16));
        let digest = if row.is_some() { None } else { Some(0) };
        let head = Head { id: ChunkId::from(id), ver, node: PEOPLE, digest, is_deleted: row.is_none() };
        Some(((collection.to_owned(), id.to_owned()), Version { xid, head, row }))
    }

    /// Open transactions.
    pub(crate) fn open(&self) -> Vec<u64> {
        self.open.iter().map(|open| open.xid).collect()
    }

    pub(crate) fn commit(&mut self, xid: u64) {
        let Some(at) = self.open.iter().position(|open| open.xid == xid) else { return };
        let open = self.open.remove(at);
        for (key, version) in open.writes {
            self.rows.entry(key).or_default().push(version);
        }
        self.note(open.mark);
    }

    pub(crate) fn roll_back(&mut self, xid: u64) {
        self.open.retain(|open| open.xid != xid);
    }

    /// Batches that came once come again.
    pub(crate) fn deliver_again(&mut self) {
        for (collection, batch) in std::mem::take(&mut self.echoes).into_iter().rev() {
            let free = batch.iter().filter(|edition| !self.is_locked(&collection, &edition.id));
            let free: Vec<Edition> = free.cloned().collect();
            self.push(&collection, &free, None);
        }
    }

    /// What somebody holds is passed over, and answered.
    pub(crate) fn stamp(&mut self, collection: &str, heads: &[Head]) -> Vec<Head> {
        let mut held = Vec::new();
        for head in heads {
            let is_locked = self.is_locked(collection, &head.id);
            let key = (collection.to_owned(), head.id.to_string());
            let Some(last) = self.rows.get_mut(&key).and_then(|versions| versions.last_mut()) else {
                continue;
            };
            match (last.head.ver, last.head.node, last.head.digest) == (head.ver, head.node, None) {
                true if is_locked => held.push(head.clone()),
                true => last.head.digest = head.digest,
                false => {}
            }
        }
        held
    }

    /// A node has looked.
    pub(crate) fn greet(&mut self, node: NodeId) {
        self.nodes.entry(node).or_default();
    }

    pub(crate) fn note_seen(&mut self, node: NodeId, snapshot: &Snapshot) {
        self.nodes.insert(node, Some(snapshot.clone()));
    }

    /// Removes deletions below a version that every node has seen.
    pub(crate) fn collect(&mut self, before: Ver) -> u64 {
        let Self { rows, nodes, floor, .. } = self;
        let is_seen =
            |xid| nodes.values().all(|seen| seen.as_ref().is_some_and(|seen| is_visible(xid, seen)));
        let len = rows.len();
        rows.retain(|_, versions| {
            let Some(last) = versions.last() else { return false };
            let goes = last.head.is_deleted && last.head.ver < before && is_seen(last.xid);
            if goes {
                *floor = (*floor).max(last.head.ver.0.saturating_add(1));
            }
            !goes
        });
        (len - rows.len()) as u64
    }

    /// A copy takes over: what was committed after it is lost, and so is what is under way.
    pub(crate) fn fail_over_to(&mut self, copy: &Self) {
        let timeline = self.identity.timeline + 1;
        let (life, readable, now_ms) = (self.life + 1, self.readable + 1, self.now_ms);
        *self = Self { life, readable, now_ms, open: Vec::new(), echoes: Vec::new(), ..copy.clone() };
        self.identity.timeline = timeline;
    }

    /// Lines break; nothing is lost but what is under way.
    pub(crate) fn restart(&mut self) {
        (self.life, self.readable) = (self.life + 1, self.readable + 1);
        self.open.clear();
    }

    pub(crate) fn truncate(&mut self) {
        self.rows.clear();
        self.open.clear();
        self.readable += 1;
        self.identity.epoch.push('t');
    }

    /// Live rows of a collection, as they stand.
    pub(crate) fn live(&self, collection: &str) -> Vec<Head> {
        let of_it = self.rows.iter().filter(|((name, _), _)| name == collection);
        of_it
            .filter_map(|(_, versions)| versions.last())
            .map(|v| v.head.clone())
            .filter(|h| !h.is_deleted)
            .collect()
    }
}

/// Whether a snapshot sees a transaction.
pub(crate) fn is_visible(xid: u64, snapshot: &Snapshot) -> bool {
    let (_, xmax, open) = parts(snapshot);
    xid < xmax && !open.contains(&xid)
}

/// The lowest transaction that was open, the first that was not begun, and all that were open.
pub(crate) fn parts(snapshot: &Snapshot) -> (u64, u64, Vec<u64>) {
    let mut parts = snapshot.0.split(':');
    let mut number = || parts.next().and_then(|part| part.parse().ok()).expect("a snapshot of ours");
    let (xmin, xmax) = (number(), number());
    let open = parts.next().unwrap_or_default().split(',').filter_map(|part| part.parse().ok()).collect();
    (xmin, xmax, open)
}
