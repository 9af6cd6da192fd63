//! What is done on the disk about damaged rows: evidence to the quarantine, a line for each lost row, a call for other copies.
//!
//! Policy, all of it:
//! - Only rows of bad pieces are written off (L20). The manifest says so with the next checkpoint; until then a restart finds the
//!   same damage again, so a crash between loses nothing.
//! - Nothing is asked of a row but its own bytes. There is no second copy yet: [`Refetch`] is where one will come from, and
//!   what it brings are new rows, written like any other.
//! - When more than [`Options::repair_share_max`](crate::Options) of the blocks are bad at opening, and three or more, the disk
//!   is suspected, not the rows: half a copy, a folder that is not mounted. Then the store serves what it can read and takes
//!   writes into its log, but no checkpoint runs and nothing is written off, moved or swept: when the files come back, every
//!   row does. Whoever accepts the loss opens with a share of 1.

use crate::block::quarantine;
use crate::disk::{Disk, fault, publish, temporary};
use crate::engine::files::home::Home;
use crate::engine::inner::Inner;
use crate::engine::store::Shared;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Seq, Slot};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;

/// Bad blocks that are repaired however few blocks there are.
const BAD_BLOCKS_MIN: usize = 3;
/// One line for each row that was lost, for people and for who has another copy.
const LOST_ROWS: &str = "lost_rows.jsonl";
/// What an older list is kept as when it has grown too long to be read.
const LOST_ROWS_OLD: &str = "lost_rows.old.jsonl";
const LOST_ROWS_BYTES_MAX: u64 = 64 << 20;
const COPY_BYTES: usize = 1 << 20;

/// A row whose only copy here is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LostRow {
    pub(crate) collection: String,
    pub(crate) slot: u32,
    /// Where the body can still be read, or nothing.
    pub(crate) id: Option<String>,
    pub(crate) version: Option<i64>,
    /// The hash of the id with the store's seed, where that is all that is left of it.
    pub(crate) id_hash: Option<String>,
    /// The row was committed at this seq or before: rows do not know the commit that wrote them.
    pub(crate) seq_max: u64,
    pub(crate) file: String,
    /// The bad pieces of that file; none if the file as a whole cannot be used.
    pub(crate) pieces: Vec<u32>,
}

/// What a line of the list says of which row it is. A slot is a row's name for ever.
#[derive(PartialEq, Eq, Hash, Deserialize)]
struct LostKey {
    collection: String,
    slot: u32,
}

/// Somebody who may have other copies.
pub(crate) trait Refetch: Send + Sync {
    /// Is handed rows as they are lost, once, after they were written down. It upserts what it can get; that clears the rows.
    fn lost(&self, rows: &[LostRow]);
}

impl Shared {
    /// One step: everything that was found since the last is written down. Nothing to do for a store in memory.
    pub(crate) fn repair(&self) -> Result<()> {
        let Some(home) = &self.home else { return Ok(()) };
        // One at a time: the list of lost rows is read, added to and written back.
        let _alone = home.repairing.lock();
        for inner in self.open_collections() {
            inner.mark_damage();
            if self.suspicion().is_none() && inner.needs_repair() {
                self.write_down(home, &inner)?;
            }
        }
        Ok(())
    }

    /// Forgets what is missing, once it is written down, and that commits are. Says how many rows that were.
    pub(crate) fn accept_loss(&self) -> Result<usize> {
        self.check_suspicion()?;
        self.repair()?;
        let collections = self.open_collections();
        let accepted = collections.iter().map(|inner| inner.forget_missing()).sum();
        self.health.lock().holes.clear();
        collections.iter().for_each(|inner| inner.damage.clear_holes());
        // The log that has the holes ends, and a manifest says what is missing: nothing.
        self.checkpoint_whole()?;
        Ok(accepted)
    }

    /// Whether [`Self::repair`] has something to do.
    pub(crate) fn needs_repair(&self) -> bool {
        self.suspicion().is_none() && self.open_collections().iter().any(|inner| inner.needs_repair())
    }

    /// Why nothing is written off.
    pub(crate) fn suspicion(&self) -> Option<String> {
        self.health.lock().suspicion.clone()
    }

    /// Refuses a checkpoint while the disk is suspected: it would make the loss of rows final.
    pub(crate) fn check_suspicion(&self) -> Result<()> {
        self.suspicion().map_or(Ok(()), |why| Err(Error::new(ErrorKind::Corrupt, why)))
    }

    /// Decides at opening whether damage is repaired.
    pub(crate) fn judge(&self, blocks: usize, bad: usize) {
        if !is_suspect(blocks, bad, self.options.repair_share_max) {
            return;
        }
        let why = format!(
            "{bad} of {blocks} blocks are bad, more than can be a local damage: nothing is written off, and no checkpoint runs; \
             bring the files back, or open with repair_share_max 1 to accept the loss"
        );
        let mut health = self.health.lock();
        health.damage.insert(0, why.clone());
        health.suspicion = Some(why);
    }

    fn write_down(&self, home: &Home, inner: &Inner) -> Result<()> {
        let disk = &*home.disk;
        let unusable = inner.files.lock().unusable.clone();
        for path in &unusable {
            keep_copy(disk, path)?;
        }
        let slots: Vec<Slot> = inner.files.lock().missing.untold().iter().copied().collect();
        let seq_max = home.manifests.lock().first().map_or(Seq(0), |manifest| manifest.seq);
        let rows: Vec<LostRow> = slots.iter().map(|slot| inner.lost_row(*slot, seq_max)).collect();
        for (path, pieces) in self.keep_pieces(disk, inner)? {
            self.note_damaged(format!("{path}: the checksums of pieces {pieces:?} do not match"));
        }
        append(disk, &rows)?;
        if !rows.is_empty() {
            let first = &rows[0].file;
            let what = format!(
                "{} rows of collection {:?} are missing, of {first} and on",
                rows.len(),
                inner.name()
            );
            self.note_damaged(what);
        }
        let mut files = inner.files.lock();
        files.missing.told(&slots);
        files.unusable.retain(|path| !unusable.contains(path));
        drop(files);
        if let Some(refetch) = self.refetch.read().clone().filter(|_| !rows.is_empty()) {
            refetch.lost(&rows);
        }
        Ok(())
    }

    /// Copies every bad piece; says which.
    fn keep_pieces(&self, disk: &dyn Disk, inner: &Inner) -> Result<Vec<(String, Vec<u32>)>> {
        let view = inner.view.load_full();
        let rows = &view.tables.rows;
        let mut kept = Vec::new();
        for file in (0..rows.blocks()).filter_map(|block| rows.file(block)) {
            let bad = file.file().bad();
            for piece in &bad {
                quarantine(disk, file.file(), *piece)?;
            }
            if !bad.is_empty() {
                kept.push((file.file().path().to_owned(), bad));
            }
        }
        Ok(kept)
    }
}

impl Inner {
    /// Only rows of files are lost, and the manifest that names a file is not older than its rows.
    fn lost_row(&self, slot: Slot, seq_max: Seq) -> LostRow {
        let view = self.view.load_full();
        let body = view.tables.rows.get(slot);
        let hash = self.files.lock().missing.hash_of(slot);
        let file = view.tables.rows.file(slot.block().index());
        LostRow {
            collection: self.name().to_string(),
            slot: slot.0,
            id: body.as_ref().map(|row| row.id.to_owned()),
            version: body.as_ref().map(|row| row.ver.0),
            id_hash: hash.filter(|_| body.is_none()).map(|hash| format!("{hash:016x}")),
            seq_max: seq_max.0,
            file: self.file_of(slot),
            pieces: file.map(|file| file.file().bad()).unwrap_or_default(),
        }
    }
}

/// Whether so much is bad that it is no local damage.
fn is_suspect(blocks: usize, bad: usize, share_max: f64) -> bool {
    bad >= BAD_BLOCKS_MIN && bad as f64 > share_max * blocks as f64
}

/// Copies a file that cannot be used, if there is one. A copy that is there already is left alone.
fn keep_copy(disk: &dyn Disk, path: &str) -> Result<()> {
    let Ok(len) = disk.len(path) else { return Ok(()) };
    let to = format!("quarantine/{}-{len}", path.replace('/', "-"));
    if disk.len(&to).is_ok() {
        return Ok(());
    }
    disk.make_dir("quarantine").map_err(|e| fault("make", "quarantine", e))?;
    let tmp = temporary(disk, &to)?;
    let written = (|| {
        let copy = disk.create(&tmp)?;
        let mut at = 0;
        while at < len {
            let bytes = disk.read(path, at, COPY_BYTES)?;
            if bytes.is_empty() {
                break;
            }
            copy.write_at(at, &bytes)?;
            at += bytes.len() as u64;
        }
        copy.sync()
    })();
    if let Err(e) = written {
        let _ = disk.remove(&tmp);
        return Err(fault("copy to", &to, e));
    }
    publish(disk, &tmp, &to)?;
    disk.sync_dir("quarantine").map_err(|e| fault("sync", "quarantine", e))
}

/// Adds a line for each row that has none yet: a repair that was cut short is done again.
fn append(disk: &dyn Disk, rows: &[LostRow]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let failed = |e| fault("write", LOST_ROWS, e);
    let mut text = match disk.len(LOST_ROWS) {
        Ok(len) if len > LOST_ROWS_BYTES_MAX => {
            disk.rename(LOST_ROWS, LOST_ROWS_OLD).map_err(failed)?;
            Vec::new()
        }
        Ok(len) => disk.read(LOST_ROWS, 0, usize::try_from(len).unwrap_or(0)).map_err(failed)?,
        Err(_) => Vec::new(),
    };
    if text.last().is_some_and(|byte| *byte != b'\n') {
        text.push(b'\n');
    }
    let held: HashSet<LostKey> =
        text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let before = text.len();
    for row in rows {
        let line = serde_json::to_vec(row)
            .map_err(|e| Error::new(ErrorKind::Internal, "a lost row is no JSON").with_source(e))?;
        if !held.contains(&LostKey { collection: row.collection.clone(), slot: row.slot }) {
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
    }
    if text.len() == before {
        return Ok(());
    }
    let tmp = temporary(disk, LOST_ROWS)?;
    let written = disk.create(&tmp).and_then(|file| file.write_at(0, &text).and_then(|()| file.sync()));
    if let Err(e) = written {
        let _ = disk.remove(&tmp);
        return Err(failed(e));
    }
    publish(disk, &tmp, LOST_ROWS)?;
    disk.sync_dir("").map_err(failed)
}

/// Where the hook hangs; empty until there is a mirror.
pub(crate) type Refetcher = parking_lot::RwLock<Option<Arc<dyn Refetch>>>;

#[cfg(test)]
mod tests {
    use super::is_suspect;

    #[test]
    fn a_few_bad_blocks_are_repaired_and_many_are_not() {
        for (blocks, bad, share, expected) in [
            (1, 1, 0.2, false),
            (2, 2, 0.2, false),
            (3, 3, 0.2, true),
            (15, 3, 0.2, false),
            (14, 3, 0.2, true),
            (100, 20, 0.2, false),
            (100, 21, 0.2, true),
            (100, 100, 1.0, false),
        ] {
            assert_eq!(is_suspect(blocks, bad, share), expected, "{bad} of {blocks} at {share}");
        }
    }
}
