//! One simulated file without its name: what the process sees, what surely survives, and what lies between.
//!
//! - `pending`: edits since the last sync. A sync that works makes them durable.
//! - `doubtful`: edits that a failed sync left behind. The system has marked their pages clean, so no later sync writes
//!   them; only writing the same bytes again does. At a crash each of their sectors is old or new.
//!
//! Invariant: `durable` with `doubtful` and then `pending` on top is `live`.

use super::pages::Pages;
use super::random::Random;
use std::sync::Arc;

/// What a disk writes whole or not at all.
pub(super) const SECTOR: u64 = 512;

#[derive(Clone, Default)]
pub(super) struct Inode {
    live: Pages,
    durable: Pages,
    doubtful: Vec<Edit>,
    pending: Vec<Edit>,
}

#[derive(Clone)]
struct Edit {
    /// Grows with every edit of any file: the last of a machine is found by it.
    time: u64,
    change: Change,
}

#[derive(Clone)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen(u64),
}

impl Change {
    fn apply(&self, pages: &mut Pages) {
        match self {
            Self::Write { offset, bytes } => pages.write(*offset, bytes),
            Self::SetLen(len) => pages.set_len(*len),
        }
    }
}

/// How the last write of a machine was cut.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    time: u64,
    /// Bytes of it that reached the disk.
    kept: usize,
}

impl Inode {
    /// A file that holds exactly these bytes, now and after any crash.
    pub(super) fn of(pages: Pages) -> Self {
        Self { live: pages.clone(), durable: pages, ..Self::default() }
    }

    pub(super) fn live(&self) -> &Pages {
        &self.live
    }

    pub(super) fn is_clean(&self) -> bool {
        self.pending.is_empty() && self.doubtful.is_empty()
    }

    pub(super) fn edit(&mut self, time: u64, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(Edit { time, change });
    }

    /// Changes what the process sees and what survives at once: damage from outside.
    pub(super) fn force(&mut self, change: &Change) {
        change.apply(&mut self.live);
        change.apply(&mut self.durable);
    }

    pub(super) fn sync(&mut self) {
        if self.doubtful.is_empty() {
            self.durable = self.live.clone();
            self.pending.clear();
            return;
        }
        if !self.pending.is_empty() {
            self.settle_lens();
        }
        for edit in std::mem::take(&mut self.pending) {
            edit.change.apply(&mut self.durable);
            self.doubtful = self.doubtful.iter().flat_map(|d| without(d, &edit.change)).collect();
        }
    }

    /// Lengths stand with the rest of what is known about a file, which the next sync that has work writes whole.
    fn settle_lens(&mut self) {
        let mut writes: Vec<Edit> = Vec::new();
        for edit in std::mem::take(&mut self.doubtful) {
            if let Change::SetLen(_) = edit.change {
                edit.change.apply(&mut self.durable);
                writes = writes.iter().flat_map(|w| without(w, &edit.change)).collect();
            } else {
                writes.push(edit);
            }
        }
        self.doubtful = writes;
    }

    pub(super) fn fail_sync(&mut self) {
        self.doubtful.append(&mut self.pending);
    }

    pub(super) fn durable(&self) -> Pages {
        self.durable.clone()
    }

    /// Each unsynced sector old or new, `share` of 8 of them new; any length since the last sync.
    pub(super) fn scattered(&self, share: u64, random: &mut Random) -> Pages {
        let mut pages = self.durable.clone();
        // The same edits in full, for the lengths that the file had.
        let mut whole = self.durable.clone();
        let mut lens = vec![whole.len()];
        for edit in self.doubtful.iter().chain(&self.pending) {
            edit.change.apply(&mut whole);
            lens.push(whole.len());
            match &edit.change {
                Change::Write { offset, bytes } => {
                    for (at, piece) in sectors(*offset, bytes) {
                        if random.eighths(share) {
                            pages.write(at, piece);
                        }
                    }
                }
                Change::SetLen(len) if random.eighths(share) => pages.set_len(*len),
                Change::SetLen(_) => {}
            }
        }
        let len = if random.eighths(4) { whole.len() } else { lens[random.below(lens.len())] };
        pages.set_len(len);
        pages
    }

    /// When the last unsynced write was, and how it is cut: at any byte, or between sectors.
    pub(super) fn last_write(&self) -> Option<(u64, u64, usize)> {
        self.pending.iter().rev().find_map(|edit| match &edit.change {
            Change::Write { offset, bytes } if !bytes.is_empty() => Some((edit.time, *offset, bytes.len())),
            _ => None,
        })
    }

    /// Everything, but of the last write only a part.
    pub(super) fn torn(&self, cut: Cut) -> Pages {
        let mut pages = self.durable.clone();
        for edit in self.doubtful.iter().chain(&self.pending) {
            match &edit.change {
                Change::Write { offset, bytes } if edit.time == cut.time => {
                    pages.write(*offset, &bytes[..cut.kept.min(bytes.len())]);
                }
                change => change.apply(&mut pages),
            }
        }
        pages
    }
}

/// A cut of the write of `len` bytes at `offset`.
pub(super) fn cut((time, offset, len): (u64, u64, usize), random: &mut Random) -> Cut {
    let kept = random.below(len);
    let between_sectors = (offset + kept as u64) / SECTOR * SECTOR;
    let kept = if random.eighths(4) { kept } else { between_sectors.saturating_sub(offset) as usize };
    Cut { time, kept }
}

/// A write, in parts that lie in one sector each.
fn sectors(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let first = ((SECTOR - offset % SECTOR) as usize).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let rest = rest.chunks(SECTOR as usize).enumerate();
    let rest = rest.map(move |(i, piece)| (offset + first as u64 + i as u64 * SECTOR, piece));
    std::iter::once((offset, head)).chain(rest)
}

/// What stays in doubt of a write after `synced` is durable.
fn without(edit: &Edit, synced: &Change) -> Vec<Edit> {
    let Change::Write { offset, bytes } = &edit.change else { return vec![edit.clone()] };
    let within = |at: u64| at.saturating_sub(*offset).min(bytes.len() as u64) as usize;
    let kept = match synced {
        // Before the synced range, and behind it.
        Change::Write { offset: from, bytes: by } => {
            [0..within(*from), within(from + by.len() as u64)..bytes.len()]
        }
        Change::SetLen(len) => [0..within(*len), 0..0],
    };
    let kept = kept.into_iter().filter(|part| !part.is_empty());
    kept.map(|part| {
        let change = Change::Write { offset: offset + part.start as u64, bytes: bytes[part].into() };
        Edit { time: edit.time, change }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few random edits within two pages, some of them synced, some syncs failed.
    fn random_inode(random: &mut Random) -> Inode {
        let mut inode = Inode::default();
        for time in 0..12 {
            match random.below(6) {
                0 => inode.sync(),
                1 => inode.fail_sync(),
                2 => inode.edit(time, Change::SetLen(random.below(2000) as u64)),
                _ => {
                    let bytes = vec![time as u8 + 1; 1 + random.below(1200)];
                    let offset = random.below(1500) as u64;
                    inode.edit(time, Change::Write { offset, bytes: bytes.into() });
                }
            }
        }
        inode
    }

    #[test]
    fn durable_with_doubtful_and_pending_on_top_is_live() {
        let mut random = Random::new(1);
        for case in 0..20_000 {
            let inode = random_inode(&mut random);
            let mut pages = inode.durable();
            inode.doubtful.iter().chain(&inode.pending).for_each(|edit| edit.change.apply(&mut pages));
            assert_eq!(pages.all(), inode.live().all(), "case {case}");
        }
    }

    #[test]
    fn a_write_falls_into_its_sectors() {
        for (offset, len) in [(0, 0), (0, 512), (5, 3), (500, 12), (500, 13), (511, 1027)] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let pieces: Vec<_> = sectors(offset, &bytes).collect();
            assert_eq!(pieces.iter().flat_map(|(_, p)| p.to_vec()).collect::<Vec<_>>(), bytes);
            let mut at = offset;
            for (start, piece) in pieces.into_iter().filter(|(_, p)| !p.is_empty()) {
                assert_eq!(start, at);
                at += piece.len() as u64;
                assert_eq!(start / SECTOR, (at - 1) / SECTOR, "in one sector");
            }
        }
    }
}
