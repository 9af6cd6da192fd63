//! What a power loss may leave of a disk.

use super::inode::{Cut, Inode, cut};
use super::model::{Folder, Model, Names, Node};
use super::random::Random;
use std::sync::Arc;

/// What is lost of all that no sync has made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All of it.
    Unsynced,
    /// Nothing.
    Nothing,
    /// Names made, moved and removed; all bytes are kept.
    Names,
    /// Bytes; all names are kept.
    Bytes,
    /// Any sectors, any length that the file had, and any last changes of each folder.
    Scattered,
    /// The end of the last write, from any byte or any sector on.
    Torn,
}

impl Loss {
    pub(crate) const ALL: [Self; 6] =
        [Self::Unsynced, Self::Nothing, Self::Names, Self::Bytes, Self::Scattered, Self::Torn];
}

/// One loss with its dice rolled as far as they are common to all files.
struct Fate {
    loss: Loss,
    random: Random,
    /// Of 8 unsynced sectors, how many are kept.
    share: u64,
    cut: Option<Cut>,
}

impl Model {
    /// One possible content of the disk when the power comes back.
    pub(super) fn after(&self, loss: Loss, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let share = [4, 1, 7][random.below(3)];
        let cut = match loss {
            Loss::Torn => self.last_write().map(|last| cut(last, &mut random)),
            _ => None,
        };
        let mut fate = Fate { loss, random, share, cut };
        let mut after = Self::new();
        after.files = vec![Arc::default(); self.files.len()];
        after.folders = vec![Arc::default(); self.folders.len()];
        let (mut is_known, mut todo) = (vec![false; self.files.len()], vec![0]);
        while let Some(number) = todo.pop() {
            let folder = fate.folder(&self.folders[number]);
            for node in folder.live.values() {
                match node {
                    Node::Folder(inner) => todo.push(*inner),
                    // In two folders, if a move between them is half lost.
                    Node::File(file) if is_known[*file] => {}
                    Node::File(file) => {
                        after.files[*file] = fate.file(&self.files[*file]);
                        is_known[*file] = true;
                    }
                }
            }
            after.folders[number] = folder;
        }
        after
    }

    /// The last unsynced write to a file that the process sees.
    fn last_write(&self) -> Option<(u64, u64, usize)> {
        let files = self.paths().into_values();
        files.filter_map(|file| self.files[file].last_write()).max()
    }
}

impl Fate {
    fn folder(&mut self, folder: &Arc<Folder>) -> Arc<Folder> {
        if folder.pending.is_empty() {
            return Arc::clone(folder);
        }
        let names = match self.loss {
            Loss::Unsynced | Loss::Names => folder.durable.clone(),
            Loss::Nothing | Loss::Bytes | Loss::Torn => folder.live.clone(),
            Loss::Scattered => self.first_changes(folder),
        };
        Arc::new(Folder { live: names.clone(), durable: names, pending: Vec::new() })
    }

    /// Changes of one folder reach the disk in order.
    fn first_changes(&mut self, folder: &Folder) -> Names {
        let mut names = folder.durable.clone();
        let kept = self.random.below(folder.pending.len() + 1);
        folder.pending[..kept].iter().for_each(|entry| entry.apply(&mut names));
        names
    }

    fn file(&mut self, file: &Arc<Inode>) -> Arc<Inode> {
        if file.is_clean() {
            return Arc::clone(file);
        }
        let pages = match (self.loss, self.cut) {
            (Loss::Unsynced | Loss::Bytes, _) => file.durable(),
            (Loss::Scattered, _) => file.scattered(self.share, &mut self.random),
            (Loss::Torn, Some(cut)) => file.torn(cut),
            (Loss::Nothing | Loss::Names | Loss::Torn, _) => file.live().clone(),
        };
        Arc::new(Inode::of(pages))
    }
}
