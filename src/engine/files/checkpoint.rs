//! Writing the state into files: full blocks are sealed, sets and links are saved, a manifest names them, the log is cut.
//!
//! Invariants: a file is complete and durable before a manifest names it (L14), and is never changed after (L13); files that no
//! kept manifest names are removed after, never before; one checkpoint runs at a time; commits and searches wait for none of it,
//! but for the pointer that brings a sealed block's file in.

use super::home::Home;
use super::restore::mapping;
use super::seal;
use crate::disk::{Bug, fault, planted};
use crate::engine::inner::{Called, Inner};
use crate::engine::store::Shared;
use crate::engine::upkeep::pauses::Job;
use crate::engine::view::View;
use crate::engine::write::commit::Mark;
use crate::error::Result;
use crate::ids::Seq;
use crate::manifest::{
    self, AtSeq, CollectionEntry, FileEntry, Manifest, Marked, Name, Sets, collection_folder, write_sets,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How much is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Full blocks.
    Seal,
    /// Full blocks and links: what a start after a kill would have to make again.
    Links,
    /// The block that grows too: nothing is left in the log.
    Whole,
}

/// A collection at one instant.
pub(crate) struct Subject {
    pub(crate) inner: Arc<Inner>,
    pub(crate) called: Called,
    pub(crate) view: Arc<View>,
    /// Blocks whose codes need a file that is not the one that they have.
    pub(crate) remade: BTreeSet<u16>,
    /// What the mirror has to know, and which state of it that is; nothing in a store that was never attached.
    pub(crate) marked: Option<(Marked, u64)>,
}

impl Shared {
    /// Everything, while writes go on.
    pub(crate) fn checkpoint_whole(&self) -> Result<()> {
        self.checkpoint(Scope::Whole, &|_| {})
    }

    pub(crate) fn checkpoint(&self, scope: Scope, pace: &dyn Fn(usize)) -> Result<()> {
        let Some(home) = &self.home else { return Ok(()) };
        self.before_checkpoint(pace)?;
        self.checkpoint_of(home, &mut home.manifests.lock(), scope, pace)
    }

    /// The same for who holds the manifests already.
    pub(crate) fn checkpoint_of(
        &self,
        home: &Home,
        manifests: &mut Vec<Manifest>,
        scope: Scope,
        pace: &dyn Fn(usize),
    ) -> Result<()> {
        let (mark, subjects) = self.instant();
        // What the sets show and only the log holds must not be lost with the end of the log.
        self.line.with_log_for(Job::Checkpoint, |log| log.flush()).unwrap_or(Ok(()))?;
        let mut next = manifests[0].clone();
        next.number = home.next_number();
        next.seq = mark.seq;
        next.ver = u64::try_from(mark.ver.0).unwrap_or(0);
        next.next_collection = self.next_collection.load(std::sync::atomic::Ordering::Relaxed);
        next.holes = self.health.lock().holes.clone();
        let before = std::mem::take(&mut next.collections);
        for subject in &subjects {
            let old = before.iter().find(|entry| entry.number == subject.inner.number);
            let mut entry = old.cloned().unwrap_or_else(|| {
                CollectionEntry::new(subject.inner.number, &subject.called.here, subject.inner.schema.clone())
            });
            entry.name = subject.called.here.to_string();
            entry.mirror_name = subject.called.there.as_ref().map(|there| there.to_string());
            next.collections.push(self.write_collection(
                home,
                subject,
                entry,
                mark,
                next.number,
                scope,
                pace,
            )?);
        }
        next.collections.sort_by_key(|entry| entry.number);
        next.replay_from = replay_from(&next, &subjects, mark);
        if scope == Scope::Whole {
            self.line.with_log_for(Job::Checkpoint, |log| log.cut()).unwrap_or(Ok(()))?;
        }
        let replay_from = next.replay_from;
        home.commit(manifests, next)?;
        if planted(Bug::ManifestBeforeFiles) {
            let folders = subjects.iter().map(|subject| collection_folder(subject.inner.number));
            folders.for_each(|folder| drop(home.disk.sync_dir(&folder)));
        }
        self.bring_in(home, &manifests[0], &subjects)?;
        self.clean(home, manifests, replay_from)
    }

    /// Whether a block takes no more rows and has no file, or was dropped and has one.
    pub(crate) fn has_blocks_to_settle(&self) -> bool {
        self.collections.read().values().any(|inner| {
            let view = inner.view.load();
            let (vectors, rows) = (&view.tables.vectors, &view.tables.rows);
            let is_full =
                |b: &usize| vectors.rows_in(*b) > 0 && vectors.rows_in(*b) == vectors.capacity_of(*b);
            let is_heap = |b: &usize| rows.file(*b).is_none_or(|file| file.rows() < vectors.rows_in(*b));
            let files = inner.files.lock();
            files.dropped.len() > files.dropped_saved
                || (0..vectors.blocks()).any(|b| is_full(&b) && is_heap(&b))
        })
    }

    /// Puts files in the place of memory.
    fn bring_in(&self, home: &Home, manifest: &Manifest, subjects: &[Subject]) -> Result<()> {
        for subject in subjects {
            if let Some(entry) = manifest.collections.iter().find(|e| e.number == subject.inner.number) {
                subject.inner.files.lock().dropped_saved = entry.dropped_blocks.len();
                subject.inner.bring_in(&*home.disk, entry)?;
                subject.inner.words.bring_in(&*home.disk, mapping(subject.inner.options.io), entry);
                let mut files = subject.inner.files.lock();
                files.remade.retain(|block| !subject.remade.contains(block));
                files.has_bad_sets = false;
                if let Some((_, changes)) = &subject.marked {
                    subject.inner.marks().saved(*changes);
                }
            }
        }
        Ok(())
    }

    /// Rows that go from one file to another are verified first: what is damaged must not get a checksum that holds.
    fn before_checkpoint(&self, pace: &dyn Fn(usize)) -> Result<()> {
        self.check_suspicion()?;
        for inner in self.open_collections() {
            let rows = &inner.view.load_full().tables.rows;
            let growing = (0..rows.blocks()).filter(|block| rows.grows(*block));
            growing.filter_map(|block| rows.file(block)).for_each(|file| drop(file.check_all(pace)));
        }
        self.repair()
    }

    /// All collections between two commits.
    fn instant(&self) -> (Mark, Vec<Subject>) {
        let collections = self.collections.read();
        self.line.between(|mark| {
            let subject = |inner: &Arc<Inner>| Subject {
                inner: inner.clone(),
                called: inner.called(),
                remade: inner.files.lock().remade.clone(),
                view: inner.view.load_full(),
                marked: self.line.tie().is_attached().then(|| inner.marks().image()),
            };
            (mark, collections.values().map(subject).collect())
        })
    }

    /// Writes what is new of one collection; the entry that names it.
    #[allow(clippy::too_many_arguments, reason = "one step of one function, on its own to be read")]
    fn write_collection(
        &self,
        home: &Home,
        subject: &Subject,
        mut entry: CollectionEntry,
        mark: Mark,
        number: u64,
        scope: Scope,
        pace: &dyn Fn(usize),
    ) -> Result<CollectionEntry> {
        let Subject { inner, view, .. } = subject;
        let disk = &*home.disk;
        let folder = collection_folder(inner.number);
        let mut is_new = seal::write_full_blocks(disk, subject, &mut entry, pace)?;
        let dropped = inner.files.lock().dropped.clone();
        entry.blocks.retain(|block| !dropped.contains(&block.block));
        if entry.head.as_ref().is_some_and(|head| dropped.contains(&head.block)) {
            entry.head = None;
        }
        let dropped: Vec<u16> = dropped.into_iter().collect();
        // Lists that were saved before a block was dropped may lead into it.
        let must_relink = std::mem::replace(&mut entry.dropped_blocks, dropped) != entry.dropped_blocks;
        if scope != Scope::Seal || must_relink {
            is_new |= seal::write_links(disk, inner, view, &mut entry, mark.seq, number, pace)?;
        }
        entry.texts.retain(|text| entry.dropped_blocks.binary_search(&text.block).is_err());
        if scope != Scope::Seal {
            is_new |= inner.words.save(disk, &mut entry, pace)?;
        }
        if scope == Scope::Whole {
            is_new |= seal::write_head(disk, subject, &mut entry, mark.seq, number, pace)?;
        }
        let missing: Vec<u32> = inner.files.lock().missing.slots().map(|slot| slot.0).collect();
        let is_bad = inner.files.lock().has_bad_sets;
        let is_unsaved = subject.marked.is_some() && inner.marks().is_unsaved();
        if is_bad
            || is_unsaved
            || entry.sets.as_ref().is_none_or(|at| at.seq < view.seq)
            || entry.missing != missing
        {
            let name = Name::Sets(number);
            let marked = subject.marked.as_ref().map(|(marked, _)| marked.clone());
            let sets = Sets { live: view.live.clone(), ready: view.ready.clone(), marked };
            let named = write_sets(disk, &format!("{folder}/{name}"), &sets)?;
            entry.sets = Some(AtSeq { seq: mark.seq, file: FileEntry::new(name, named) });
            entry.missing = missing;
            is_new = true;
        } else if let Some(sets) = &mut entry.sets {
            // Nothing has changed since.
            sets.seq = mark.seq;
        }
        let is_later = planted(Bug::SkipFolderSync) || planted(Bug::ManifestBeforeFiles);
        if is_new && !is_later {
            disk.sync_dir(&folder).map_err(|e| fault("sync", &folder, e))?;
        }
        Ok(entry)
    }

    /// Removes what an earlier process left behind.
    pub(crate) fn tidy(&self) -> Result<()> {
        let Some(home) = &self.home else { return Ok(()) };
        let manifests = home.manifests.lock();
        let replay_from = manifests.first().map_or(Seq(0), |m| m.replay_from);
        self.clean(home, &manifests, replay_from)
    }

    /// Removes what the new state does not need.
    fn clean(&self, home: &Home, manifests: &[Manifest], replay_from: Seq) -> Result<()> {
        let from = if planted(Bug::DeleteLogTooEarly) { Seq(u64::MAX) } else { replay_from };
        // Not between two commits: removing a large file takes longer than a write may wait.
        let obsolete = self.line.with_log_for(Job::Checkpoint, |log| log.obsolete(from)).unwrap_or_default();
        for path in &obsolete {
            home.disk.remove(path).map_err(|e| fault("remove", path, e))?;
            self.line.with_log_for(Job::Checkpoint, |log| log.forget(path));
        }
        let spared = |folder: &str| {
            // A collection that was made a moment ago is in no manifest yet.
            let numbers = self.collections.read();
            numbers.values().any(|inner| folder == format!("{}/", collection_folder(inner.number)))
        };
        let mut kept: Vec<Manifest> = manifests.iter().skip(1).cloned().map(fallback).collect();
        kept.extend(manifests.first().cloned());
        manifest::sweep(&*home.disk, &kept, &spared).map(drop)
    }
}

/// The first seq whose rows no file holds.
fn replay_from(next: &Manifest, subjects: &[Subject], mark: Mark) -> Seq {
    let mut from = Seq(mark.seq.0 + 1);
    for Subject { inner, view, .. } in subjects {
        let Some(entry) = next.collections.iter().find(|entry| entry.number == inner.number) else {
            continue;
        };
        let files = inner.files.lock();
        for (&block, &first) in &files.block_seqs {
            let rows = view.tables.vectors.rows_in(usize::from(block));
            let is_sealed = entry.blocks.binary_search_by_key(&block, |b| b.block).is_ok()
                || entry.dropped_blocks.contains(&block);
            let head = entry.head.as_ref().filter(|head| head.block == block);
            let is_held = is_sealed || head.is_some_and(|head| head.rows as usize == rows);
            if rows > 0 && !is_held {
                from = from.min(head.map_or(first, |head| first.max(Seq(head.seq.0 + 1))));
            }
        }
    }
    from
}

/// What an older manifest, kept to fall back to, asks for: rows that the newest has too, and its sets. Keeping its links, codes
/// and growing block as well would double a store.
fn fallback(mut manifest: Manifest) -> Manifest {
    for entry in &mut manifest.collections {
        entry.blocks.clear();
        entry.head = None;
        entry.links = None;
        entry.texts.clear();
    }
    manifest
}
