//! What stands in for words in a build without the feature `text`.

use super::{TextHits, Wanted};
use crate::config::Schema;
use crate::disk::{Disk, Mapping};
use crate::engine::read::answer::Snippet;
use crate::engine::stats::TextStats;
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BlockId, Slot};
use crate::manifest::CollectionEntry;
use crate::sets::SlotBits;
use std::cmp::Ordering;
use std::sync::Arc;

pub(crate) struct Words;

impl Words {
    pub(crate) fn new(_: u32, _: &Schema) -> Result<Self> {
        Ok(Self)
    }

    pub(crate) fn with_files(
        self,
        _: &Arc<dyn Disk>,
        _: Mapping,
        _: &CollectionEntry,
        _: Vec<usize>,
    ) -> Self {
        self
    }

    pub(crate) fn lag(&self, _: &View, _: usize) -> usize {
        0
    }

    pub(crate) fn catch_up(&self, _: &View, _: usize) -> bool {
        true
    }

    pub(crate) fn step(&self, _: &View) -> Result<bool> {
        Ok(false)
    }

    pub(crate) fn drop_block(&self, _: BlockId) {}

    /// What another build saved goes: it is not kept up to date here.
    pub(crate) fn save(&self, _: &dyn Disk, entry: &mut CollectionEntry, _: &dyn Fn(usize)) -> Result<bool> {
        entry.texts.clear();
        Ok(false)
    }

    pub(crate) fn bring_in(&self, _: &dyn Disk, _: Mapping, _: &CollectionEntry) {}

    pub(crate) fn search(
        &self,
        _: &View,
        _: &str,
        _: Wanted,
        _: &SlotBits,
        _: usize,
        _: &dyn Fn(Slot, Slot) -> Ordering,
    ) -> Result<TextHits> {
        let lacks = "a search for words needs the feature `text`, which this build lacks";
        Err(Error::new(ErrorKind::Unavailable, lacks))
    }

    pub(crate) fn snippet(&self, _: &str, _: &str) -> Option<Snippet> {
        None
    }

    pub(crate) fn stats(&self, _: &View) -> (TextStats, usize) {
        Default::default()
    }
}
