//! Verifying every byte of a store that serves, a file at a time, as slowly as it must be.
//!
//! Codes come first, because searches believe them unread; then links, then rows, which are verified at first touch anyway. Bad codes
//! are made again from rows and swapped in; bad rows raise their collection's alarm, and repair takes it from there.

use crate::block::CodesFile;
use crate::disk::{Mapping, Named, SectionsFile};
use crate::engine::inner::Inner;
use crate::engine::store::Shared;
use crate::engine::upkeep::pauses::Job;
use crate::engine::view::View;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BlockId, Slot};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is left to be verified.
pub(crate) struct Scrub(VecDeque<Part>);

struct Part {
    collection: u32,
    path: String,
    named: Named,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Codes(u16),
    Links,
    Rows(u16),
}

impl Shared {
    /// Everything that the manifest names now.
    pub(crate) fn begin_scrub(&self) -> Scrub {
        let Some(home) = &self.home else { return Scrub(VecDeque::new()) };
        let manifests = home.manifests.lock();
        let mut parts = Vec::new();
        for entry in manifests.first().iter().flat_map(|m| &m.collections) {
            let part = |file: &crate::manifest::FileEntry, kind| Part {
                collection: entry.number,
                path: entry.path(file),
                named: file.named(),
                kind,
            };
            for block in &entry.blocks {
                parts.extend(block.codes.iter().map(|file| part(file, Kind::Codes(block.block))));
                parts.push(part(&block.file, Kind::Rows(block.block)));
            }
            parts.extend(entry.head.iter().map(|head| part(&head.file, Kind::Rows(head.block))));
            parts.extend(entry.links.iter().map(|links| part(&links.file, Kind::Links)));
        }
        parts.sort_by_key(|part| part.kind);
        Scrub(parts.into())
    }

    /// Verifies the next file; false when there is none left. `pace` hears of each piece's bytes.
    pub(crate) fn scrub_step(&self, scrub: &mut Scrub, pace: &dyn Fn(usize)) -> Result<bool> {
        let (Some(home), Some(part)) = (&self.home, scrub.0.pop_front()) else { return Ok(false) };
        let inner = self.open_collections().into_iter().find(|inner| inner.number == part.collection);
        let Some(inner) = inner else { return Ok(true) };
        let disk = &*home.disk;
        let bad = match part.kind {
            Kind::Rows(block) => {
                let view = inner.view.load_full();
                // Rows that are in no file any more were read when they were copied.
                if let Some(file) = view.tables.rows.file(usize::from(block)) {
                    file.check_all(pace);
                }
                return Ok(true);
            }
            Kind::Codes(_) => CodesFile::open(disk, &part.path, Mapping::Shared, Some(&part.named))
                .map(|codes| codes.check_all(pace)),
            Kind::Links => SectionsFile::examine(disk, &part.path, Mapping::Shared, Some(&part.named))
                .map(|links| links.check_all(pace)),
        };
        match bad {
            Ok(bad) if bad.is_empty() => return Ok(true),
            // A checkpoint has replaced it meanwhile.
            _ if !self.is_named(home, &part) => return Ok(true),
            Ok(bad) => {
                self.note_damaged(format!("{}: the checksums of pieces {bad:?} do not match", part.path))
            }
            Err(e) if e.kind() == ErrorKind::Corrupt => self.note_damaged(e.to_string()),
            Err(e) => return Err(e),
        }
        match part.kind {
            Kind::Codes(block) => inner.remake_codes(usize::from(block))?,
            // Walks still end in exact distances, and whatever they miss is mended; the next opening links all rows again.
            Kind::Links => {
                inner.files.lock().has_bad_links = true;
                inner.unmended.store(usize::MAX / 2, Ordering::Relaxed);
            }
            Kind::Rows(_) => {}
        }
        Ok(true)
    }

    fn is_named(&self, home: &crate::engine::files::home::Home, part: &Part) -> bool {
        home.manifests.lock().first().is_some_and(|manifest| manifest.paths().any(|path| path == part.path))
    }
}

impl Inner {
    /// Makes the codes of a sealed block again; the next checkpoint writes them to a file of another name.
    fn remake_codes(&self, block: usize) -> Result<()> {
        let codes_of = |view: &View| {
            let vectors = &view.tables.vectors;
            let slots = (0..vectors.rows_in(block)).map(|row| Slot::new(BlockId(block as u16), row as u16));
            view.tables.codes.with_remade_block(block, slots.map(|slot| vectors.get(slot)))
        };
        // Encoded before anyone has to wait, and again only if the codec was replaced meanwhile.
        let before = self.view.load_full();
        let mut codes = codes_of(&before)?;
        let _pause = self.line.pauses.begin(Job::Repair);
        let _alone = self.linking.write();
        let _writer = self.writer.lock();
        let mut view = View::clone(&self.view.load());
        if !view.tables.codes.is_same(&before.tables.codes) {
            codes = codes_of(&view)?;
        }
        if codes.blocks() != view.tables.codes.blocks() {
            return Err(Error::new(
                ErrorKind::Internal,
                "blocks came while codes were made; please report this",
            ));
        }
        let mut tables = view.tables.as_ref().clone();
        tables.codes = codes;
        view.tables = Arc::new(tables);
        self.view.store(Arc::new(view));
        self.files.lock().remade.insert(block as u16);
        Ok(())
    }
}
