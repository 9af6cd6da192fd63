//! A row's way in: what changed between two snapshots, page by page.
//!
//! Invariants:
//! - the cursor moves over a page when its rows are durable here, and not before (M9);
//! - own echoes cost their heads: only rows that are newer there are fetched;
//! - one window deletes no more than the guard (M17).

use super::guards::{Block, deletes_max};
use super::options::Trust;
use super::remote::{Change, Reading, Remote, Snapshot};
use super::sides::Sides;
use super::trouble::Step;
use crate::engine::tap::{TapCollection, Verdict};
use crate::ids::ChunkId;
use crate::record::Head;
use std::collections::BTreeMap;

/// What a page brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fed {
    pub(super) heads: usize,
    /// The window ended with it.
    pub(super) is_last: bool,
}

impl<R: Remote> Sides<R> {
    /// Reads one page. The next is due after the answer's milliseconds.
    pub(super) async fn feed(&mut self) -> Step<u64> {
        let mut reading = self.remote.read().await?;
        let fed = self.feed_page(&mut reading).await?;
        let snapshot = self.memory.cursor.as_ref().map(|cursor| cursor.since().clone());
        reading.finish().await?;
        self.stamp().await?;
        if let (true, true, Some(snapshot)) = (fed.is_last, fed.heads > 0, snapshot) {
            self.remote.seen(self.node(), &snapshot).await?;
        }
        if fed.heads > 0 {
            // In silence the cursor may stay behind: it only reads the silence again.
            self.persist()?;
        }
        let wait_ms = self.poll.after(fed.heads > 0);
        Ok(if fed.is_last { wait_ms } else { 0 })
    }

    /// Reads pages until all that `reading` sees is here. Says how many digests it has told the database meanwhile.
    pub(super) async fn feed_up_to(&mut self, reading: &mut R::Reading) -> Step<usize> {
        let mut stamped = 0;
        let is_behind = |sides: &Self, reading: &R::Reading| {
            let cursor = sides.memory.cursor.as_ref();
            cursor.is_some_and(|cursor| cursor.since() != reading.snapshot() || cursor.is_within_window())
        };
        while is_behind(self, reading) {
            let fed = self.feed_page(reading).await?;
            stamped += self.stamp().await?;
            if fed.heads > 0 {
                self.persist()?;
            }
        }
        self.caught_up_ms = Some(self.now_ms());
        Ok(stamped)
    }

    pub(super) async fn feed_page(&mut self, reading: &mut R::Reading) -> Step<Fed> {
        let Some(cursor) = &self.memory.cursor else { return Ok(Fed::default()) };
        let now = reading.snapshot().clone();
        let (since, until, after) = cursor.window(&now);
        if !cursor.is_within_window() {
            // Taken before the window's rows are looked at: deletions that were acknowledged by now are in it.
            self.window_seq = self.horizon_before(&until, &now)?;
            self.window_deletes.clear();
        }
        let limit = self.options.feed_page_rows;
        let page = reading.changes(&since, &until, after.as_ref(), limit).await?;
        self.counts.statements += 1;
        let heads = page.len();
        let last = page.last().filter(|_| heads >= limit).map(|change| change.key.clone());
        let is_last = last.is_none();
        self.feed_heads(reading, page).await?;
        if let Some(cursor) = &mut self.memory.cursor {
            cursor.advance(until, last);
        }
        if is_last {
            self.end_window();
        }
        Ok(Fed { heads, is_last })
    }

    async fn feed_heads(&mut self, reading: &mut R::Reading, page: Vec<Change>) -> Step<()> {
        let mut by_collection: BTreeMap<String, Vec<Head>> = BTreeMap::new();
        for Change { key, head } in page {
            by_collection.entry(key.collection).or_default().push(head);
        }
        for (name, heads) in by_collection {
            match self.find(&name)? {
                Some(collection) => _ = self.feed_collection(reading, &collection, heads).await?,
                // Somebody made it: the next look makes it here too.
                None if self.covers(&name) && !self.memory.collections.contains_key(&name) => {
                    self.looked_ms = 0
                }
                None => {}
            }
        }
        Ok(())
    }

    async fn feed_collection(
        &mut self,
        reading: &mut R::Reading,
        collection: &TapCollection,
        heads: Vec<Head>,
    ) -> Step<usize> {
        let mut wanted = self.wanted(collection, heads)?;
        let deletes: Vec<ChunkId> = wanted.iter().filter(|h| h.is_deleted).map(|h| h.id.clone()).collect();
        let lost = collection.count_live(&deletes)?;
        if lost > 0 && self.may_delete(collection, lost)? == Trust::Local {
            collection.soil(&deletes, true)?;
            wanted.retain(|head| !head.is_deleted);
        }
        self.take(reading, collection, &wanted, false).await
    }

    /// The heads that are newer there, or nobody has looked at yet.
    pub(super) fn wanted(&self, collection: &TapCollection, mut heads: Vec<Head>) -> Step<Vec<Head>> {
        for head in &heads {
            self.tap.observe(head.ver);
        }
        let mut verdicts = collection.judge(&heads)?.into_iter();
        heads.retain(|_| verdicts.next() == Some(Verdict::Wanted));
        Ok(heads)
    }

    /// Counts deletions of the window. Whose word counts if they are too many; an error if nobody has said.
    fn may_delete(&mut self, collection: &TapCollection, deletes: usize) -> Step<Trust> {
        if self.verdict == Some(Trust::Local) {
            return Ok(Trust::Local);
        }
        let rows = collection.rows();
        let sum = self.window_deletes.entry(collection.name().to_owned()).or_default();
        let deletes = *sum + deletes;
        // What this window has deleted was there when it began.
        let max = deletes_max(&self.options, rows + *sum);
        if deletes > max {
            let collection = collection.name().to_owned();
            return self.verdict.ok_or_else(|| Block::MassDelete { collection, deletes, rows }.into());
        }
        *sum = deletes;
        Ok(Trust::Database)
    }

    /// The last commit of which everything acknowledged is seen by `until`; nothing if that cannot be told.
    fn horizon_before(&self, until: &Snapshot, now: &Snapshot) -> Step<Option<crate::ids::Seq>> {
        if until != now {
            return Ok(None);
        }
        Ok(Some(self.tap.token()?.seq))
    }

    fn end_window(&mut self) {
        let now = self.now_ms();
        self.caught_up_ms = Some(now);
        self.window_deletes.clear();
        if self.memory.unverified().is_none() {
            self.verdict = None;
        }
        if let Some(seq) = self.window_seq.take()
            && self.horizons.back().is_none_or(|(at, _)| at + 1_000 <= now)
        {
            self.horizons.push_back((now, seq));
        }
    }

    /// Clean graves are not needed once no window begins before them, and once no failover can bring back what they bury.
    pub(super) fn forget_graves(&mut self) -> Step<()> {
        let keep_ms = self.options.ack_retention_seconds * 1_000;
        let now = self.now_ms();
        let mut before = None;
        while let Some((at, seq)) = self.horizons.front()
            && at + keep_ms < now
        {
            before = Some(*seq);
            self.horizons.pop_front();
        }
        let Some(before) = before.filter(|_| self.memory.unverified().is_none()) else { return Ok(()) };
        for collection in self.collections()? {
            collection.forget_graves(before);
        }
        Ok(())
    }
}
