//! Damage found while the store serves: the rows it touches leave every set, in memory, at once.
//!
//! A file raises its collection's alarm when a piece does not check. From then on answers say `degraded`; the next repair step
//! (or the first look-up that needs to know) reads the whole file, finds exactly the rows that are damaged, and takes them out of
//! `live`, `ready`, the tail and the id table into `missing`. What is done on the disk about it is `repair.rs`.
//!
//! Invariant: from the first touch of a bad piece until its rows are written again, or their loss is accepted, every answer says `degraded`.

use super::missing::Trace;
use crate::engine::inner::Inner;
use crate::engine::upkeep::pauses::Job;
use crate::engine::view::View;
use crate::engine::{tables::ids, view};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BlockId, Slot};
use crate::manifest::{Name, collection_folder};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a collection knows of its damage, without a lock.
#[derive(Default)]
pub(crate) struct Damage {
    /// Raised by the files of rows.
    pub(crate) alarm: Arc<AtomicBool>,
    /// Rows are missing.
    is_missing: AtomicBool,
    /// Commits are missing.
    has_holes: AtomicBool,
    /// Rows whose pieces check and whose bytes make no sense.
    suspects: Mutex<Vec<Slot>>,
}

impl Damage {
    pub(crate) fn new(alarm: Arc<AtomicBool>, is_missing: bool) -> Self {
        Self { alarm, is_missing: AtomicBool::new(is_missing), ..Self::default() }
    }

    pub(crate) fn set_holes(&self) {
        self.has_holes.store(true, Ordering::Release);
    }

    pub(crate) fn clear_holes(&self) {
        self.has_holes.store(false, Ordering::Release);
    }

    /// A live row could not be read.
    pub(crate) fn suspect(&self, slot: Slot) {
        self.suspects.lock().push(slot);
        self.alarm.store(true, Ordering::Release);
    }

    fn is_raised(&self) -> bool {
        self.alarm.load(Ordering::Acquire)
    }
}

impl Inner {
    /// Whether rows could be missing from an answer. Wakes who repairs.
    pub(crate) fn is_degraded(&self) -> bool {
        let is_raised = self.damage.is_raised();
        if let (true, Some(bell)) = (is_raised, &self.background) {
            bell.ring();
        }
        is_raised
            || self.damage.is_missing.load(Ordering::Acquire)
            || self.damage.has_holes.load(Ordering::Acquire)
    }

    /// Whether a repair step has something to do.
    pub(crate) fn needs_repair(&self) -> bool {
        self.damage.is_raised() || {
            let files = self.files.lock();
            !files.unusable.is_empty()
                || self.damage.is_missing.load(Ordering::Acquire) && !files.missing.untold().is_empty()
        }
    }

    /// Takes what is damaged out of every set; says how many rows that were.
    pub(crate) fn mark_damage(&self) -> usize {
        if !self.damage.is_raised() {
            return 0;
        }
        self.make_names();
        // In this order, so that no answer in between seems whole.
        self.damage.is_missing.store(true, Ordering::Release);
        self.damage.alarm.store(false, Ordering::Release);
        let bad = self.find_damaged(&self.view.load_full());
        let marked = self.take_out(bad);
        self.refresh_missing();
        marked
    }

    /// Answers are whole again without the rows that are missing; says how many those were.
    pub(crate) fn forget_missing(&self) -> usize {
        let forgotten = self.files.lock().missing.forget();
        self.refresh_missing();
        forgotten
    }

    /// Rows were found, or written again.
    pub(crate) fn refresh_missing(&self) {
        let files = self.files.lock();
        self.damage.is_missing.store(!files.missing.is_empty(), Ordering::Release);
    }

    /// Reads every file in which something was found bad, and every row that made no sense.
    fn find_damaged(&self, view: &View) -> Vec<Slot> {
        let rows = &view.tables.rows;
        let mut bad = std::mem::take(&mut *self.damage.suspects.lock());
        for block in 0..rows.blocks() {
            let Some(file) = rows.file(block).filter(|file| !file.file().bad().is_empty()) else { continue };
            file.check_all(&|_| {});
            let slots = file.damaged_rows().into_iter();
            bad.extend(slots.map(|row| Slot::new(BlockId(block as u16), row)));
        }
        // A row that waits for its vector loses nothing with the place of one.
        bad.retain(|slot| !view::is_whole(view, *slot));
        bad.sort_unstable();
        bad.dedup();
        bad
    }

    fn take_out(&self, mut bad: Vec<Slot>) -> usize {
        let _writer = self.writer.lock();
        let _pause = self.line.pauses.begin(Job::Repair);
        let mut view = View::clone(&self.view.load());
        bad.retain(|slot| view.live.contains(*slot));
        if bad.is_empty() {
            return 0;
        }
        let mut ids = self.ids_mut();
        let mut files = self.files.lock();
        for &slot in &bad {
            let trace = Trace::of(&view, self.id_seed, slot);
            ids.remove(&view.tables.rows, slot);
            // Its id may have come again since: then nothing is missing.
            if trace.hash.is_none_or(|hash| ids.find_hash(&view.tables.rows, hash).is_none()) {
                files.missing.insert(slot, trace);
            }
        }
        view.live = view.live.with(&[], &bad);
        view.ready = view.ready.with(&[], &bad);
        view.tail = view.tail.iter().copied().filter(|s| view.ready.contains(*s)).collect();
        self.dead.fetch_add(bad.len(), Ordering::Relaxed);
        // What cannot be read cannot be sent.
        let mut marks = self.marks();
        marks.clean_rows(&bad);
        self.view.store(Arc::new(view));
        drop(marks);
        bad.len()
    }

    /// Slots that were removed by a commit are not missed any more.
    pub(crate) fn clear_missing(&self, removed: &[Slot]) {
        if !self.damage.is_missing.load(Ordering::Acquire) {
            return;
        }
        let mut files = self.files.lock();
        removed.iter().for_each(|slot| files.missing.clear(*slot));
        drop(files);
        self.refresh_missing();
    }

    /// The missing row of `id`, if that is known: its slot, and its tenant if that is known too.
    pub(crate) fn find_missing(&self, id: &str) -> Option<(Slot, Option<Option<Arc<str>>>)> {
        if !self.damage.is_missing.load(Ordering::Acquire) {
            return None;
        }
        let files = self.files.lock();
        let (slot, trace) = files.missing.find(ids::hash(self.id_seed, id))?;
        Some((slot, trace.tenant.clone()))
    }

    /// An error if `id` could be one of a damaged row: then it is wrong to say that it is not there.
    pub(crate) fn ensure_absent(&self, id: &str, tenant: Option<&str>) -> Result<()> {
        self.mark_damage();
        if !self.damage.is_missing.load(Ordering::Acquire) {
            return Ok(());
        }
        let files = self.files.lock();
        if let Some((slot, trace)) = files.missing.find(ids::hash(self.id_seed, id)) {
            let is_other = |of: &Option<Arc<str>>| tenant.is_some() && of.as_deref() != tenant;
            return match &trace.tenant {
                Some(of) if is_other(of) => Ok(()),
                _ => Err(self.unreadable(id, slot, "its row is damaged")),
            };
        }
        match files.missing.nameless() {
            Some(slot) => {
                Err(self.unreadable(id, slot, "it may be one of the damaged rows whose ids are lost"))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn unreadable(&self, id: &str, slot: Slot, why: &str) -> Error {
        let message = format!(
            "chunk {} cannot be read: {why}, in {} of collection {:?}; write it again, or run `nearfield doctor`",
            crate::error::excerpt(id),
            self.file_of(slot),
            self.name()
        );
        Error::new(ErrorKind::Corrupt, message)
    }

    /// The file that holds, or held, a slot.
    pub(crate) fn file_of(&self, slot: Slot) -> String {
        let view = self.view.load();
        match view.tables.rows.file(slot.block().index()) {
            Some(file) => file.file().path().to_owned(),
            None => format!("{}/{}", collection_folder(self.number), Name::Rows(slot.block())),
        }
    }
}
