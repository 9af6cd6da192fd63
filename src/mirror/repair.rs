//! What the mirror does by itself about differences, and what it does when it was told whom to trust.
//!
//! Invariants: it deletes no more than the guard without being told (M17); before it deletes anything all else was compared
//! (M11); of what this store wrote lately nothing is deleted, for a failover may have lost it (M12).

use super::guards::{Block, deletes_max, is_disk_suspect};
use super::options::{RebuildPolicy, Trust};
use super::remote::{Fault, FaultClass, Reading, Remote};
use super::report::Differences;
use super::sides::Sides;
use super::trouble::{Step, Trouble};
use crate::engine::tap::TapCollection;
use crate::error::Result;
use crate::ids::{ChunkId, Ver};
use crate::record::{Edition, Head, Stamp};

impl<R: Remote> Sides<R> {
    /// Brings a collection that is not known to equal the database nearer to it. True when it does.
    pub(super) async fn verify(&mut self, name: &str) -> Step<bool> {
        let Some(collection) = self.find(name)? else { return Ok(true) };
        if self.wants_fill(&collection) {
            if !self.fill(&collection).await? {
                return Ok(false);
            }
            self.filled.insert(name.to_owned());
        } else if collection.rows() == 0 && self.options.rebuild == RebuildPolicy::Never {
            return self.verified(name);
        }
        let (found, mut reading) = self.look_at(&collection, false).await?;
        self.counts.drift_found += found.len() as u64;
        self.settle(&mut reading, &collection, &found).await?;
        reading.finish().await?;
        self.stamp().await?;
        self.counts.drift_fixed += found.len() as u64;
        self.audits.insert(name.to_owned(), found.report(name, self.now_ms(), false));
        if found.is_cut { Ok(false) } else { self.verified(name) }
    }

    fn verified(&mut self, name: &str) -> Step<bool> {
        if let Some(known) = self.memory.collections.get_mut(name) {
            (known.is_verified, known.fill, known.lacks) = (true, None, false);
        }
        if self.memory.unverified().is_none()
            && self.memory.cursor.as_ref().is_none_or(|c| !c.is_within_window())
        {
            self.verdict = None;
        }
        self.persist()?;
        self.tell_filling()?;
        Ok(true)
    }

    /// At a start: what the policy wants filled, though it was equal when the last process ended, is to be looked at again.
    pub(super) fn doubt(&mut self) -> Result<()> {
        if !matches!(self.options.rebuild, RebuildPolicy::IfCorrupt | RebuildPolicy::Always) {
            return Ok(());
        }
        for collection in self.collections()? {
            let is_wanted = self.wants_fill(&collection);
            if let Some(known) = self.memory.collections.get_mut(collection.name()).filter(|_| is_wanted) {
                known.is_verified = false;
            }
        }
        Ok(())
    }

    fn wants_fill(&self, collection: &TapCollection) -> bool {
        let name = collection.name();
        if self.filled.contains(name) {
            return false;
        }
        let is_begun = self.memory.collections.get(name).is_some_and(|known| known.fill.is_some());
        let is_empty = collection.rows() == 0;
        is_begun
            || match self.options.rebuild {
                RebuildPolicy::Never => false,
                RebuildPolicy::IfEmpty => is_empty,
                RebuildPolicy::IfCorrupt => is_empty || collection.lost().1 > 0,
                RebuildPolicy::Always => true,
            }
    }

    /// Each row by its version; rows that the database does not have by the guard, or by who is trusted.
    async fn settle(
        &mut self,
        reading: &mut R::Reading,
        collection: &TapCollection,
        found: &Differences,
    ) -> Step<()> {
        let theirs = found
            .stale
            .iter()
            .map(|(_, theirs)| theirs)
            .chain(&found.missing_locally)
            .chain(&found.hand_edited);
        let wanted = self.wanted(collection, theirs.cloned().collect())?;
        self.take(reading, collection, &wanted, false).await?;
        let is_fresh = |head: &&Head| self.verdict != Some(Trust::Database) && self.is_fresh(head);
        let fresh: Vec<Head> = found.missing_remotely.iter().filter(is_fresh).cloned().collect();
        let fresh = self.without_tombstones(reading, collection, fresh).await?;
        let ids: Vec<ChunkId> = fresh.iter().map(|head| head.id.clone()).collect();
        collection.soil(&ids, false)?;
        let gone: Vec<Head> = found
            .missing_remotely
            .iter()
            .filter(|head| fresh.binary_search_by(|other| other.id.cmp(&head.id)).is_err())
            .cloned()
            .collect();
        match self.may_drop(collection, found, gone.len())? {
            Trust::Database => _ = self.bury(reading, collection, &gone).await?,
            Trust::Local => {
                _ = collection.soil(&gone.iter().map(|h| h.id.clone()).collect::<Vec<_>>(), true)?
            }
        }
        Ok(())
    }

    /// This store wrote it so lately that a failover may have lost it.
    fn is_fresh(&self, head: &Head) -> bool {
        let written_ms = u64::try_from(head.ver.0 >> 16).unwrap_or(0);
        head.node == self.tap.node()
            && written_ms + self.options.ack_retention_seconds * 1_000 >= self.now_ms()
    }

    async fn without_tombstones(
        &self,
        reading: &mut R::Reading,
        collection: &TapCollection,
        mut heads: Vec<Head>,
    ) -> Step<Vec<Head>> {
        let ids: Vec<ChunkId> = heads.iter().map(|head| head.id.clone()).collect();
        if !ids.is_empty() {
            let there = reading.rows(collection.name(), &ids).await?;
            let buried =
                |head: &Head| there.iter().any(|edition| edition.id == head.id && edition.row.is_none());
            heads.retain(|head| !buried(head));
        }
        Ok(heads)
    }

    fn may_drop(&self, collection: &TapCollection, found: &Differences, deletes: usize) -> Step<Trust> {
        let name = collection.name().to_owned();
        let rows = collection.rows();
        let block = if deletes == 0 {
            return Ok(Trust::Database);
        } else if found.remote.rows == 0 {
            Block::DatabaseEmpty { collection: name, rows }
        } else if deletes > deletes_max(&self.options, rows) {
            Block::MassDelete { collection: name, deletes, rows }
        } else {
            return Ok(Trust::Database);
        };
        self.verdict.ok_or_else(|| block.into())
    }

    /// Deletes rows in the database that are not known here.
    pub(super) async fn delete_there(&mut self, name: &str, heads: &[Head]) -> Step<()> {
        let node = self.tap.node();
        for part in heads.chunks(self.options.batch_rows_max) {
            let mut batch: Vec<Edition> = part
                .iter()
                .map(|head| {
                    let stamp = Stamp { ver: Ver(head.ver.0.saturating_add(1)), node, digest: 0 };
                    Edition { id: head.id.clone(), stamp, row: None }
                })
                .collect();
            batch.sort_by(|a, b| a.id.cmp(&b.id));
            self.memory.sent.pushes += 1;
            self.remote.push(name, &batch, self.memory.sent).await?;
            self.counts.statements += 1;
        }
        Ok(())
    }

    /// A person has decided. What was blocked goes on, in that direction.
    pub(super) fn resolve(&mut self, trust: Trust) -> Step<()> {
        let Some(block) = self.blocked.take() else { return Ok(()) };
        self.backoff.succeed();
        match block {
            Block::ClonedDirectory { found, .. } => {
                self.memory.sent = self.memory.sent.max(found);
                self.memory.sent.node = self.tap.node();
            }
            Block::DatabaseReplaced { is, .. } => {
                self.memory.identity = Some(is);
                self.start_over();
                self.memory.lack();
                self.verdict = Some(trust);
                if trust == Trust::Local {
                    self.dirty_all()?;
                }
            }
            Block::Damage { collection, .. } => _ = self.asked.insert((collection, ChunkId::from(""))),
            Block::MassDelete { .. } | Block::DatabaseEmpty { .. } => self.verdict = Some(trust),
        }
        self.persist()?;
        Ok(())
    }

    fn dirty_all(&mut self) -> Step<()> {
        for collection in self.collections()? {
            let ledger = collection.ledger()?;
            let ids: Vec<ChunkId> =
                (0..ledger.len()).filter_map(|at| ledger.head(at)).map(|head| head.id).collect();
            collection.soil(&ids, false)?;
        }
        Ok(())
    }

    /// Rows that are damaged here come from the database again (L20). Says how many came.
    pub(super) async fn refetch(&mut self) -> Step<usize> {
        let mut came = 0;
        for collection in self.collections()? {
            let name = collection.name().to_owned();
            let (ids, nameless) = collection.lost();
            let is_told = self.asked.contains(&(name.clone(), ChunkId::from("")));
            if !is_told && is_disk_suspect(&self.options, ids.len() + nameless, collection.rows()) {
                let (lost, rows) = (ids.len() + nameless, collection.rows());
                return Err(Block::Damage { collection: name, lost, rows }.into());
            }
            let mut ids = ids;
            ids.retain(|id| !self.asked.contains(&(name.clone(), id.clone())));
            if !ids.is_empty() {
                let heads: Vec<Head> = ids.iter().map(nobody).collect();
                let mut reading = self.remote.read().await?;
                came += self.take(&mut reading, &collection, &heads, false).await?;
                reading.finish().await?;
                self.asked.extend(ids.into_iter().map(|id| (name.clone(), id)));
            }
            let covered = self.nameless.insert(name.clone(), nameless).unwrap_or(0);
            if nameless > covered
                && let Some(known) = self.memory.collections.get_mut(&name)
            {
                known.is_verified = false;
            }
        }
        self.counts.refetched += came as u64;
        Ok(came)
    }

    /// Whether rows are damaged that were not asked for.
    pub(super) fn has_lost(&self) -> Step<bool> {
        Ok(self.collections()?.iter().any(|collection| {
            let (ids, nameless) = collection.lost();
            let name = collection.name();
            nameless > self.nameless.get(name).copied().unwrap_or(0)
                || ids.into_iter().any(|id| !self.asked.contains(&(name.to_owned(), id)))
        }))
    }

    /// Rows that were refused are tried again, in both directions.
    pub(super) async fn retry_letters(&mut self) -> Step<usize> {
        let incoming = self.letters.incoming();
        let held = self.letters.clear();
        for (name, ids) in incoming {
            let Some(collection) = self.find(&name)? else { continue };
            let heads: Vec<Head> = ids.iter().map(nobody).collect();
            let mut reading = self.remote.read().await?;
            self.take(&mut reading, &collection, &heads, false).await?;
            reading.finish().await?;
        }
        self.push_all().await?;
        Ok(held)
    }

    /// Letters of rows that were replaced or deleted since are no letters any more.
    pub(super) fn review_letters(&mut self) -> Step<()> {
        for collection in self.collections()? {
            let name = collection.name();
            let letters = &self.letters;
            let held = collection.outgoing(usize::MAX, usize::MAX, &|ticket| !letters.holds(name, ticket))?;
            let waits: std::collections::HashSet<_> = held.into_iter().map(|out| out.ticket).collect();
            self.letters.retain(name, |ticket| waits.contains(ticket));
        }
        Ok(())
    }

    /// Removes old deletions from the database.
    pub(super) async fn collect(&mut self) -> Step<()> {
        self.forget_graves()?;
        if self.options.tombstone_days > 0 {
            let age_ms = u64::from(self.options.tombstone_days) * 86_400_000;
            let before = self.now_ms().saturating_sub(age_ms) as i64;
            self.remote.collect(Ver(before << 16)).await?;
        }
        Ok(())
    }
}

/// A head that says only which row is meant: whoever looks tells the database what it says, if nobody has.
fn nobody(id: &ChunkId) -> Head {
    Head { id: id.clone(), ver: Ver(0), node: 0, digest: None, is_deleted: false }
}

/// For the public interface: what cannot be done in a state.
pub(super) fn not_connected(last: Option<&str>) -> Trouble {
    let why = last.unwrap_or("it has not answered yet");
    let message = format!("the database cannot be asked now: {why}");
    Trouble::Remote(Fault { class: FaultClass::Transient, code: None, message, remedy: None })
}
