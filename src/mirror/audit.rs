//! The audit: both sides are brought to one snapshot, then compared. It changes nothing but what the feed would have.
//!
//! Invariant: no false alarm. All that the snapshot shows is applied here before the ledger is taken, and nothing is acknowledged
//! between the two, so a clean row here is a row of the snapshot.

use super::compare::compare;
use super::options::Trust;
use super::remote::{Reading, Remote};
use super::report::{AuditReport, Differences};
use super::sides::Sides;
use super::trouble::Step;
use crate::engine::tap::TapCollection;
use crate::error::{Error, ErrorKind};
use crate::record::Head;

/// Rows edited by hand may come while an audit looks at others; then it looks again.
const TRIES: usize = 3;
/// How long one comparison looks for differences at one snapshot (M24): what is found is put right, and another finds the rest.
const COMPARE_MS: u64 = 15_000;

impl<R: Remote> Sides<R> {
    pub(super) async fn audit(&mut self, name: &str, is_deep: bool) -> Step<AuditReport> {
        let collection = self.expect(name)?;
        let (found, reading) = self.look_at(&collection, is_deep).await?;
        reading.finish().await?;
        let report = found.report(name, self.now_ms(), is_deep);
        self.counts.drift_found += report.drift() as u64;
        self.audits.insert(name.to_owned(), report.clone());
        Ok(report)
    }

    pub(super) fn expect(&self, name: &str) -> Step<TapCollection> {
        let lacks = || {
            let message = format!("there is no mirrored collection {}", crate::error::excerpt(name));
            Error::new(ErrorKind::NotFound, message)
        };
        Ok(self.find(name)?.ok_or_else(lacks)?)
    }

    /// Compares at one snapshot, and hands over the reading that sees it.
    pub(super) async fn look_at(
        &mut self,
        collection: &TapCollection,
        is_deep: bool,
    ) -> Step<(Differences, R::Reading)> {
        // Before the snapshot, which is not to be held for so long.
        let deep = if is_deep { Some(self.suspects(collection).await?) } else { None };
        let mut tries = TRIES;
        loop {
            let mut reading = self.remote.read().await?;
            // Who must decide about deletions first wants to see what differs.
            let stamped = if self.blocked.is_none() { self.feed_up_to(&mut reading).await? } else { 0 };
            // What somebody holds has no digest there yet, and is the same here.
            let held = self.stamps.get(collection.name()).into_iter().flatten();
            let ledger = collection.ledger_without(&held.map(|head| head.id.clone()).collect())?;
            tries -= 1;
            if stamped > 0 && tries > 0 {
                // The snapshot still shows them as nobody's.
                reading.finish().await?;
                continue;
            }
            let (began_ms, clock) = (self.now_ms(), self.clock.clone());
            let is_late = move || clock().saturating_sub(began_ms) > COMPARE_MS;
            let found = compare(&mut reading, collection.name(), &ledger, deep.as_ref(), &is_late).await?;
            self.counts.statements += 1;
            return Ok((found, reading));
        }
    }

    /// Applies what an audit finds in one direction, sends what follows from it, and looks again. With `dry_run` it only looks.
    pub(super) async fn repair(&mut self, name: &str, trust: Trust, dry_run: bool) -> Step<AuditReport> {
        let collection = self.expect(name)?;
        let (mut repaired, mut was_whole) = (0, false);
        // Somebody looked at bytes and now wants what was found put right.
        let mut is_deep = self.audits.get(name).is_some_and(|last| last.is_deep && last.drift() > 0);
        loop {
            let (found, mut reading) = self.look_at(&collection, is_deep).await?;
            let drift = found.len();
            // What a repair of everything has left is told.
            if dry_run || drift == 0 || was_whole {
                reading.finish().await?;
                let report = AuditReport { repaired, ..found.report(name, self.now_ms(), is_deep) };
                self.counts.drift_found += if dry_run { drift as u64 } else { 0 };
                self.audits.insert(name.to_owned(), report.clone());
                return Ok(report);
            }
            match trust {
                Trust::Database => self.follow(&mut reading, &collection, &found).await?,
                Trust::Local => self.assert(&mut reading, &collection, &found).await?,
            }
            reading.finish().await?;
            self.stamp().await?;
            self.push_all().await?;
            repaired += drift;
            was_whole = !found.is_cut;
            self.counts.drift_found += drift as u64;
            self.counts.drift_fixed += drift as u64;
            is_deep = false;
        }
    }

    /// This side becomes as the database is.
    async fn follow(
        &mut self,
        reading: &mut R::Reading,
        collection: &TapCollection,
        found: &Differences,
    ) -> Step<()> {
        self.take(reading, collection, &found.missing_locally, false).await?;
        let stale: Vec<Head> = found.stale.iter().map(|(_, theirs)| theirs.clone()).collect();
        self.take(reading, collection, &stale, true).await?;
        let (unseen, seen): (Vec<Head>, Vec<Head>) =
            found.hand_edited.iter().cloned().partition(|head| head.digest.is_none());
        self.take(reading, collection, &unseen, true).await?;
        self.take_as_they_read(reading, collection, &seen).await?;
        // What decayed here is as new as what is there: it becomes a version of its own.
        self.take_as_they_read(reading, collection, &found.decayed).await?;
        self.bury(reading, collection, &found.missing_remotely).await?;
        Ok(())
    }

    /// Rows whose stored digests say something else than their bytes.
    async fn take_as_they_read(
        &mut self,
        reading: &mut R::Reading,
        collection: &TapCollection,
        heads: &[Head],
    ) -> Step<()> {
        let seed = self.database.as_ref().map_or(0, |database| database.digest_seed);
        for part in heads.chunks(500) {
            part.iter().for_each(|head| self.tap.observe(head.ver));
            let ids: Vec<_> = part.iter().map(|head| head.id.clone()).collect();
            let mut editions = reading.rows(collection.name(), &ids).await?;
            for edition in &mut editions {
                if let Some(row) = &edition.row {
                    edition.stamp.digest = crate::record::digest(row, seed);
                }
                // Older than any: with force the content counts, under a version of this store's own.
                edition.stamp.ver = crate::ids::Ver(0);
            }
            self.apply(collection, editions, true)?;
            // Those that were not here, too: the database must hear of their digests.
            collection.soil(&ids, true)?;
        }
        Ok(())
    }

    /// Rows here that the database does not have live: tombstones are applied, the rest is dropped.
    pub(super) async fn bury(
        &mut self,
        reading: &mut R::Reading,
        collection: &TapCollection,
        heads: &[Head],
    ) -> Step<usize> {
        let mut gone = 0;
        for part in heads.chunks(500) {
            gone += self.take(reading, collection, part, false).await?;
            gone += collection.drop_clean(part)?;
        }
        Ok(gone)
    }

    /// The database becomes as this side is.
    async fn assert(
        &mut self,
        reading: &mut R::Reading,
        collection: &TapCollection,
        found: &Differences,
    ) -> Step<()> {
        for head in found.stale.iter().map(|(_, theirs)| theirs).chain(&found.hand_edited) {
            self.tap.observe(head.ver);
        }
        let name = collection.name();
        for part in found.missing_remotely.chunks(500) {
            let ids: Vec<_> = part.iter().map(|head| head.id.clone()).collect();
            for edition in reading.rows(name, &ids).await? {
                self.tap.observe(edition.stamp.ver);
            }
        }
        let stale = found.stale.iter().map(|(ours, _)| ours.id.clone());
        let missing = found.missing_remotely.iter().map(|head| head.id.clone());
        let edited = found.hand_edited.iter().map(|head| head.id.clone());
        let ids: Vec<_> = stale.chain(missing).chain(edited).collect();
        collection.soil(&ids, true)?;
        let unknown_here: Vec<Head> = {
            let ledger = collection.ledger()?;
            let is_here = |head: &&Head| {
                ledger.dirty().binary_search(&head.id).is_ok()
                    || ledger.head(ledger.place(&head.id)).is_some_and(|ours| ours.id == head.id)
            };
            let edited = found.hand_edited.iter().filter(|head| !is_here(head));
            found.missing_locally.iter().chain(edited).cloned().collect()
        };
        self.delete_there(name, &unknown_here).await
    }
}
