//! Recovery: from a folder to a store. It may be killed anywhere and begun again (L6).
//!
//! The folder is taken, its newest manifest marked as opened; blocks are mapped; the log is read from where files end; what is
//! valid of its last file goes to a new one, because appending to a file whose tail was torn would hide damage; then the store
//! serves, and whatever the links do not cover yet stands in the tail.

use super::home::Home;
use super::replay::Replay;
use super::restore::{self, Restored};
use crate::config::Options;
use crate::disk::{Disk, fault};
use crate::engine::store::Shared;
use crate::engine::tap::Tie;
use crate::engine::upkeep::keeper::Bell;
use crate::engine::write::commit::{Line, Mark};
use crate::engine::write::log::{Log, LogStart};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::Seq;
use crate::manifest::{Bond, Hole, WAL};
use crate::wal::{self, Commit, Kind, Scan};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The commits of the newest file of the log, to be written again.
type Tail = Vec<(Seq, Kind, Vec<u8>)>;

pub(crate) fn open(disk: Arc<dyn Disk>, options: Options, bell: Option<Arc<Bell>>) -> Result<Shared> {
    let home = Home::take(disk.clone())?;
    let (manifest, before) = {
        let manifests = home.manifests.lock();
        (manifests[0].clone(), manifests[1..].to_vec())
    };
    let ident = home.ident;
    disk.make_dir(WAL).and_then(|()| disk.sync_dir("")).map_err(|e| fault("make", WAL, e))?;
    let newest = wal::newest(&*disk)?;

    let bytes = manifest.collections.iter().flat_map(|entry| entry.files()).map(|file| file.len);
    let verify = bytes.fold(0, u64::saturating_add) <= options.verify_open_bytes;
    let restored: Vec<Restored> = manifest
        .collections
        .iter()
        .map(|entry| restore::restore(&*disk, entry, &before, &options, verify))
        .collect::<Result<_>>()?;
    let blocks = restored.iter().map(|r| r.blocks).sum();
    let bad_blocks = restored.iter().map(|r| r.bad_blocks).sum();
    let fallback = fallback(&restored);
    let from = fallback.as_ref().map_or(manifest.replay_from, |(since, _)| manifest.replay_from.min(*since));
    let (bond, bad_bond) = bond_of(&*disk)?;
    let mut replay = Replay::new(restored, &manifest, &options, bond.is_some());
    let mut tail: Tail = Vec::new();
    let scan = wal::scan(&*disk, ident.store, from, manifest.seq, &mut |seq, kind, payload| {
        if newest.is_some_and(|(first, _)| seq >= first) {
            tail.push((seq, kind, payload.to_vec()));
        }
        replay.redo(seq, kind, payload)
    })?;
    if let Some((_, why)) = fallback.filter(|_| !scan.holes.is_empty()) {
        return Err(why);
    }
    let last = Seq(scan.last.0.max(manifest.seq.0));
    let log = begin_log(&disk, &scan, &tail, last, ident.store, newest, &options)?;
    let mark = Mark { seq: last, ver: replay.clock.last() };
    let bond = bond.or_else(|| replay.is_attached.then(Bond::default));
    let tie = Tie::new(ident.node, manifest.origins.clone(), bond);
    let line = Line::new(manifest.incarnation, options.durability, mark, Some(log), tie);
    let shared = Shared::new(options, line, Some(home), bell, ident.id_seed);
    let next_collection = replay.next_collection;
    let collections = replay.finish(&shared, &*disk)?;
    shared.next_collection.store(next_collection, Ordering::Relaxed);
    *shared.collections.write() = collections;
    shared.note_damage(&manifest.holes, &scan);
    bad_bond.into_iter().for_each(|e| shared.note_damaged(e.to_string()));
    shared.judge(blocks, bad_blocks);
    Ok(shared)
}

/// What binds the store to a database. That it is bound is known though what was remembered is damaged; then the mirror begins anew.
fn bond_of(disk: &dyn Disk) -> Result<(Option<Bond>, Option<Error>)> {
    match Bond::read(disk) {
        Ok(bond) => Ok((bond, None)),
        Err(e) if e.kind() == ErrorKind::Corrupt => Ok((Some(Bond::default()), Some(e))),
        Err(e) => Err(e),
    }
}

/// The valid tail of the newest file goes to a file of its own, with a salt of its own.
fn begin_log(
    disk: &Arc<dyn Disk>,
    scan: &Scan,
    tail: &Tail,
    last: Seq,
    store: u64,
    newest: Option<(Seq, u32)>,
    options: &Options,
) -> Result<Log> {
    // What lies behind a hole is not one run of seqs: it stays where it is.
    let start = tail.iter().rposition(|(seq, ..)| !follows(tail, *seq)).unwrap_or(0);
    let tail = &tail[start..];
    let commits: Vec<Commit<'_>> = tail
        .iter()
        .map(|(seq, kind, payload)| Commit { seq: *seq, kind: *kind, payload: [payload, &[]] })
        .collect();
    let is_whole = commits.last().is_some_and(|c| c.seq == last);
    let commits = if is_whole { commits } else { Vec::new() };
    let first = commits.first().map_or(Seq(last.0 + 1), |c| c.seq);
    let start = LogStart {
        store,
        number: newest.map_or(1, |(_, number)| number + 1),
        first,
        tail: &commits,
        older: scan.files.clone(),
    };
    Log::open(disk.clone(), start, options)
}

/// The first commit that the log must hold because sets are older than their manifest, and what is said if it does not.
fn fallback(restored: &[Restored]) -> Option<(Seq, Error)> {
    let old = restored.iter().filter_map(|r| Some((Seq(r.sets_seq.0 + 1), r.bad_sets.as_ref()?.again())));
    old.min_by_key(|(since, _)| *since)
}

/// Whether the commit before `seq` is in the tail too.
fn follows(tail: &Tail, seq: Seq) -> bool {
    seq.0 > 0 && tail.binary_search_by_key(&Seq(seq.0 - 1), |(s, ..)| *s).is_ok()
}

impl Shared {
    /// Remembers what the log has lost, those of its holes that were `known` before among it: every answer says so until it
    /// is made good.
    fn note_damage(&self, known: &[Hole], scan: &Scan) {
        let found = scan.holes.iter().map(|&(first, last)| Hole { first, last });
        let holes = merged(known.iter().copied().chain(found).collect());
        if !holes.is_empty() {
            self.open_collections().iter().for_each(|inner| inner.damage.set_holes());
        }
        self.health.lock().holes = holes;
        let damage = scan.damage.iter().map(|d| format!("wal/{} at offset {}: {}", d.file, d.offset, d.why));
        self.health.lock().damage.extend(damage);
    }
}

/// Each lost commit once, in order: a hole is found again at every opening until the log is cut.
fn merged(mut holes: Vec<Hole>) -> Vec<Hole> {
    holes.sort_by_key(|hole| hole.first);
    let mut merged: Vec<Hole> = Vec::with_capacity(holes.len());
    for hole in holes {
        match merged.last_mut() {
            Some(before) if hole.first.0 <= before.last.0.saturating_add(1) => {
                before.last = before.last.max(hole.last);
            }
            _ => merged.push(hole),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_that_is_found_again_is_one_hole() {
        let hole = |first, last| Hole { first: Seq(first), last: Seq(last) };
        assert_eq!(merged(vec![hole(9, 9), hole(2, 4), hole(2, 4), hole(5, 6)]), [hole(2, 6), hole(9, 9)]);
        assert_eq!(merged(vec![hole(1, u64::MAX), hole(3, 3)]), [hole(1, u64::MAX)]);
    }
}
