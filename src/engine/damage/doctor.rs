//! `nearfield doctor`: reads every byte of a store's folder without opening the store, and says what is wrong.
//!
//! Invariants: nothing is written, and no lock is taken, so it works on a store that cannot be opened, and beside one that is
//! open (then files may go while they are read: it says so); it shares the readers of the store, so what it finds sound opens.

use super::diagnosis::{Diagnosis, Finding};
use crate::block::{CodesFile, RowsFile, RowsHead};
use crate::disk::{Disk, Mapping, RealDisk, SectionsFile, TMP, fault};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{BlockId, Slot};
use crate::manifest::{
    self, Bond, CollectionEntry, FileEntry, IDENT, Ident, MIRROR, Manifest, Name, Sets, collection_number,
    manifest_name,
};
use crate::record::RowRef;
use crate::wal::{self, Kind, RowsCommit};
use std::collections::HashSet;
use std::path::Path;

const RESTORE: &str = "restore a snapshot, or write the rows again from where they came from";
const REMADE: &str = "nothing: it is made again from rows at the next opening";

/// Looks at the store in a folder.
pub fn doctor(folder: impl AsRef<Path>) -> Result<Diagnosis> {
    let folder = folder.as_ref();
    let disk = RealDisk::new(folder);
    if !folder.is_dir() || disk.list("").map_err(|e| fault("list", &disk.place(), e))?.is_empty() {
        let message = format!("there is no store in {}; name its folder with --data", folder.display());
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    examine(&disk)
}

pub(crate) fn examine(disk: &dyn Disk) -> Result<Diagnosis> {
    let mut doctor = Doctor { disk, out: Diagnosis { place: disk.place(), ..Diagnosis::default() } };
    doctor.lock();
    let ident = doctor.ident();
    doctor.bond();
    let newest = doctor.manifests(ident.as_ref())?;
    if let Some(manifest) = &newest {
        doctor.out.manifest = Some(manifest.number);
        doctor.out.seq = Some(manifest.seq.0);
        for entry in &manifest.collections {
            doctor.collection(entry);
        }
        for hole in &manifest.holes {
            let what = format!("commits {} to {} were lost before", hole.first, hole.last);
            doctor.out.add(Finding::new(&manifest_name(manifest.number), what, RESTORE));
        }
        doctor.log(manifest);
        doctor.leftovers(manifest)?;
    }
    Ok(doctor.out.done())
}

struct Doctor<'a> {
    disk: &'a dyn Disk,
    out: Diagnosis,
}

impl Doctor<'_> {
    /// Asking for the lock would keep others from it, so only its note is read.
    fn lock(&mut self) {
        let note = self.disk.read("LOCK", 0, 32).unwrap_or_default();
        let pid = String::from_utf8_lossy(&note).trim().parse::<u32>().ok();
        if let Some(pid) = pid.filter(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
            self.out.notes.push(format!(
                "LOCK names process {pid}, which runs: if it has the store open, files may change under this report"
            ));
        }
    }

    fn ident(&mut self) -> Option<Ident> {
        self.count(IDENT);
        match Ident::read(self.disk) {
            Ok(ident) => {
                self.out.store = Some(ident.store);
                Some(ident)
            }
            Err(e) => {
                let remedy =
                    "the store does not open without it: bring IDENT back from a snapshot of this store";
                self.out.add(Finding::of(IDENT, &e, remedy));
                None
            }
        }
    }

    fn bond(&mut self) {
        self.count(MIRROR);
        if let Err(e) = Bond::read(self.disk) {
            let remedy = "nothing: the mirror begins anew, and compares every row with the database";
            self.out.add(Finding::of(MIRROR, &e, remedy));
        }
    }

    /// Every manifest; the newest that can be read.
    fn manifests(&mut self, ident: Option<&Ident>) -> Result<Option<Manifest>> {
        let mut newest = None;
        for number in manifest::numbers(self.disk)?.into_iter().rev() {
            let name = manifest_name(number);
            self.count(&name);
            match manifest::read(self.disk, number) {
                Ok(read) => {
                    if ident.is_some_and(|ident| ident.store != read.store) {
                        let what = format!("it is of store {:016x}, IDENT of another", read.store);
                        self.out.add(Finding::new(&name, what, "bring back the files of one store"));
                    }
                    newest = newest.or(Some(read));
                }
                Err(e) if newest.is_none() => {
                    let remedy = "the manifest before it holds, if one can be read; what was committed after that one comes \
                                  from the log, as far back as it reaches";
                    self.out.add(Finding::of(&name, &e, remedy));
                }
                Err(e) => self.out.add(Finding::of(&name, &e, "nothing: a newer manifest holds")),
            }
        }
        if newest.is_none() {
            let what = "no manifest can be read: which files make the store is not known";
            self.out.add(Finding::new("manifest-*", what, RESTORE));
        }
        Ok(newest)
    }

    fn collection(&mut self, entry: &CollectionEntry) {
        let sets = self.sets(entry);
        if let Some(sets) = &sets {
            self.out.rows += sets.live.len();
        }
        if !entry.missing.is_empty() {
            let what = format!(
                "{} rows of collection {:?} are known to be missing",
                entry.missing.len(),
                entry.name
            );
            let remedy = "write them again, or delete them: lost_rows.jsonl lists them";
            let file = format!("c{:08x}", entry.number);
            self.out.add(Finding::new(&file, what, remedy).losing(entry.missing.len(), Vec::new()));
        }
        for block in &entry.blocks {
            self.rows(entry, &block.file, (block.block, block.rows), sets.as_ref());
            block.codes.iter().for_each(|file| self.codes(entry, file));
        }
        if let Some(head) = &entry.head {
            self.rows(entry, &head.file, (head.block, head.rows), sets.as_ref());
            head.codes.iter().for_each(|file| self.codes(entry, file));
        }
        let texts = entry.texts.iter().map(|text| &text.file);
        for file in entry.links.iter().map(|links| &links.file).chain(texts) {
            let path = entry.path(file);
            self.count(&path);
            let bad = SectionsFile::examine(self.disk, &path, Mapping::Shared, Some(&file.named()))
                .map(|file| file.check_all(&|_| {}));
            self.derived(&path, bad);
        }
    }

    fn sets(&mut self, entry: &CollectionEntry) -> Option<Sets> {
        let at = entry.sets.as_ref()?;
        let path = entry.path(&at.file);
        self.count(&path);
        match manifest::read_sets(self.disk, &path, &at.file.named()) {
            Ok(sets) => Some(sets),
            Err(e) => {
                let remedy = "which rows were deleted is not known, and never guessed: restore a snapshot";
                self.out.add(Finding::of(&path, &e, remedy));
                None
            }
        }
    }

    fn rows(
        &mut self,
        entry: &CollectionEntry,
        file: &FileEntry,
        (block, rows): (u16, u32),
        sets: Option<&Sets>,
    ) {
        let path = entry.path(file);
        self.count(&path);
        let is_live = |row: u16| sets.is_none_or(|sets| sets.live.contains(Slot::new(BlockId(block), row)));
        let is_ready = |row: u16| sets.is_none_or(|sets| sets.ready.contains(Slot::new(BlockId(block), row)));
        let known: HashSet<u32> = entry.missing.iter().copied().collect();
        let counts = |row: &u16| is_live(*row) && !known.contains(&Slot::new(BlockId(block), *row).0);
        let head = RowsHead { collection: entry.number, block, dim: entry.schema.dim as u32, rows };
        let opened = RowsFile::open_known(self.disk, &path, Mapping::Shared, &file.named(), head);
        let read = match opened {
            Ok(read) => read,
            Err(e) => {
                let lost = (0..rows).filter(|row| counts(&(*row as u16))).count();
                self.out.add(Finding::of(&path, &e, RESTORE).losing(lost, Vec::new()));
                return;
            }
        };
        let bad = read.check_all(&|_| {});
        let mut lost: Vec<u16> = read.damaged_rows();
        let is_readable = |row: &u16| {
            let body = read.body(usize::from(*row)).and_then(RowRef::parse);
            body.is_some() || lost.binary_search(row).is_ok() || !counts(row)
        };
        let senseless: Vec<u16> =
            (0..read.rows()).map(|row| row as u16).filter(|row| !is_readable(row)).collect();
        let body = |row: &u16| read.body(usize::from(*row)).and_then(RowRef::parse);
        // A row that waits for its vector loses nothing with the place of one.
        lost.retain(|row| counts(row) && (is_ready(*row) || body(row).is_none()));
        if let Some(piece) = bad.first() {
            let id = |row: &u16| {
                read.body(usize::from(*row)).and_then(RowRef::parse).map(|body| body.id.to_owned())
            };
            let ids: Vec<String> = lost.iter().filter_map(id).collect();
            let what =
                format!("{} of its {} pieces do not match their checksums", bad.len(), read.file().pieces());
            let finding = Finding::new(&path, what, RESTORE).at(read.file().piece_range(*piece).start as u64);
            self.out.add(finding.losing(lost.len(), ids));
        }
        if !senseless.is_empty() {
            let what = format!("{} rows match their checksums and make no sense", senseless.len());
            self.out.add(Finding::new(&path, what, RESTORE).losing(senseless.len(), Vec::new()));
        }
    }

    fn codes(&mut self, entry: &CollectionEntry, file: &FileEntry) {
        let path = entry.path(file);
        self.count(&path);
        let bad = CodesFile::open(self.disk, &path, Mapping::Shared, Some(&file.named()))
            .map(|codes| codes.check_all(&|_| {}));
        self.derived(&path, bad);
    }

    /// What can be made again.
    fn derived(&mut self, path: &str, bad: Result<Vec<u32>>) {
        match bad {
            Ok(bad) if bad.is_empty() => {}
            Ok(bad) => {
                let what = format!("pieces {bad:?} do not match their checksums");
                let offset = bad.first().map_or(0, |piece| u64::from(*piece) << 16);
                self.out.add(Finding::new(path, what, REMADE).at(offset));
            }
            Err(e) => self.out.add(Finding::of(path, &e, REMADE)),
        }
    }

    fn log(&mut self, manifest: &Manifest) {
        let mut senseless = Vec::new();
        let scan = wal::scan(
            self.disk,
            manifest.store,
            manifest.replay_from,
            manifest.seq,
            &mut |seq, kind, payload| {
                let is_sound = match kind {
                    Kind::Rows => RowsCommit::parse(payload).is_some(),
                    Kind::Mirrored => RowsCommit::parse_mirrored(payload).is_some(),
                    Kind::Create | Kind::Drop | Kind::Names => true,
                };
                if !is_sound {
                    senseless.push(seq);
                }
                Ok(())
            },
        );
        let scan = match scan {
            Ok(scan) => scan,
            Err(e) => return self.out.add(Finding::of(wal::FOLDER, &e, RESTORE)),
        };
        self.out.files += scan.files.len();
        self.out.bytes += scan.files.iter().map(|file| file.bytes).sum::<u64>();
        for damage in &scan.damage {
            let path = format!("{}/{}", wal::FOLDER, damage.file);
            self.out.add(Finding::new(&path, &*damage.why, RESTORE).at(damage.offset));
        }
        for (first, last) in &scan.holes {
            let what = format!("commits {first} to {last} were acknowledged and are gone");
            self.out.add(Finding::new(wal::FOLDER, what, RESTORE));
        }
        for seq in senseless {
            let what = format!("commit {seq} is whole and makes no sense: the store does not open");
            self.out.add(Finding::new(wal::FOLDER, what, "please report this; restore a snapshot"));
        }
        if scan.torn_bytes > 0 {
            let torn = scan.torn_bytes;
            self.out.notes.push(format!("the log ends in {torn} bytes of a commit that nobody was told of"));
        }
    }

    /// Files that nothing names, evidence, and lists of what was lost.
    fn leftovers(&mut self, manifest: &Manifest) -> Result<()> {
        let list = |folder: &str| self.disk.list(folder).map_err(|e| fault("list", folder, e));
        let named: HashSet<String> = manifest.paths().collect();
        let mut unnamed = 0;
        for folder in list("")?.iter().filter(|name| collection_number(name).is_some()) {
            let names = list(folder.trim_end_matches('/'))?;
            let is_left =
                |name: &&String| Name::parse(name).is_some() && !named.contains(&format!("{folder}{name}"));
            unnamed += names.iter().filter(is_left).count();
        }
        let (tmp, kept) = (list(TMP)?.len(), list("quarantine")?.len());
        let has_list = self.disk.len("lost_rows.jsonl").is_ok();
        let mut note = |count: usize, what: &str| {
            if count > 0 {
                self.out.notes.push(format!("{count} {what}"));
            }
        };
        note(unnamed, "files are older, or unfinished; the next checkpoint removes what it can");
        note(tmp, "temporary files; the next opening removes them");
        note(kept, "pieces of evidence in quarantine/; remove them when nobody needs them");
        note(usize::from(has_list), "list of rows that were lost: lost_rows.jsonl");
        Ok(())
    }

    fn count(&mut self, path: &str) {
        if let Ok(len) = self.disk.len(path) {
            self.out.files += 1;
            self.out.bytes += len;
        }
    }
}
