//! The files of the cache: found, read, appended to, merged, removed.
//!
//! Invariants: a file that an earlier process wrote is never appended to; what a kill or a loss of power tore does not check, and
//! what stands after it is still found; the oldest file goes when there is no more room; nothing here ever prevents a store from
//! being opened or written.

use super::format::{
    ALIGN, FORMAT, HEAD_BYTES, HEADER_BYTES, Key, encode, head, parse, parse_head, parse_header, record_bytes,
};
use crate::disk::{Disk, File, Lock, fault, newer, publish, temporary};
use crate::error::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(super) const FOLDER: &str = "embeddings";
/// The room is a whole number of these.
pub(super) const FILES_OF_ROOM: u64 = 8;
/// More files than this are merged when the cache is opened: every process that embeds something begins one.
const FILES_MAX: usize = 16;

/// Where a vector is.
#[derive(Clone, Copy)]
struct Place {
    file: u64,
    offset: u64,
    dim: u32,
}

pub(super) struct Segments {
    disk: Arc<dyn Disk>,
    /// Bytes of each file, by its number.
    files: BTreeMap<u64, u64>,
    places: HashMap<Key, Place>,
    /// The number of the next file: none has been used twice.
    next: u64,
    /// The file that this process writes.
    open: Option<Box<dyn File>>,
    bytes_max: u64,
    /// Records that did not check.
    pub(super) damaged: u64,
    _lock: Box<dyn Lock>,
}

impl Segments {
    pub(super) fn open(disk: Arc<dyn Disk>, bytes_max: u64) -> Result<Self> {
        let made = disk.make_dir(FOLDER).and_then(|()| disk.sync_dir(""));
        made.map_err(|e| fault("make the folder", FOLDER, e))?;
        let lock = format!("{FOLDER}/LOCK");
        let note = format!("{}\n", std::process::id());
        let lock = disk.lock(&lock, &note).map_err(|e| fault("lock", &lock, e))?.map_err(|_| {
            let message = format!(
                "the cache of embeddings of {} is open already; share one VectorCache, it is made to be cloned",
                disk.place()
            );
            Error::new(ErrorKind::AlreadyOpen, message)
        })?;
        let mut segments = Self {
            disk,
            files: BTreeMap::new(),
            places: HashMap::new(),
            next: 1,
            open: None,
            bytes_max,
            damaged: 0,
            _lock: lock,
        };
        let names = segments.disk.list(FOLDER).map_err(|e| fault("list", FOLDER, e))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        for file in numbers {
            segments.scan(file)?;
            segments.next = file.saturating_add(1);
        }
        if segments.files.len() > FILES_MAX {
            segments.merge()?;
        }
        segments.make_room(0);
        Ok(segments)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.files.values().sum()
    }

    /// The vector of a key, checked. One that is damaged or cannot be read is forgotten.
    pub(super) fn get(&mut self, key: &Key) -> Option<Vec<f32>> {
        let Place { file, offset, dim } = *self.places.get(key)?;
        let read = self.disk.read(&path(file), offset, record_bytes(dim as usize));
        match read.ok().and_then(|record| parse(&record, offset)).filter(|(found, _)| found == key) {
            Some((_, vector)) => Some(vector),
            None => {
                self.places.remove(key);
                self.damaged += 1;
                None
            }
        }
    }

    /// Stores vectors, durably.
    pub(super) fn put(&mut self, entries: &[(Key, Vec<f32>)]) -> Result<()> {
        let mut rest = entries;
        while let Some((_, first)) = rest.first() {
            let record = record_bytes(first.len()) as u64;
            // One that is larger than a file may be has a file of its own, or nothing has.
            let file_max = (self.bytes_max / FILES_OF_ROOM).max(HEAD_BYTES as u64 + record);
            let (file, mut at) = self.appendable(record, file_max)?;
            let (mut bytes, mut placed) = (Vec::new(), Vec::new());
            let begin = at;
            while let Some((key, vector)) =
                rest.first().filter(|(_, v)| at + record_bytes(v.len()) as u64 <= file_max)
            {
                encode(key, vector, at, &mut bytes);
                placed.push((*key, Place { file, offset: at, dim: vector.len() as u32 }));
                at = begin + bytes.len() as u64;
                rest = &rest[1..];
            }
            let written = match &self.open {
                Some(open) => open.write_at(begin, &bytes).and_then(|()| open.sync()),
                None => Ok(()),
            };
            if let Err(e) = written {
                // Nobody knows what is in it: the next vectors go elsewhere.
                self.open = None;
                return Err(fault("write to", &path(file), e));
            }
            self.files.insert(file, at);
            self.places.extend(placed);
            self.make_room(file);
        }
        Ok(())
    }

    /// The file to append to, and where it ends.
    fn appendable(&mut self, record: u64, file_max: u64) -> Result<(u64, u64)> {
        let last = self.files.last_key_value().map(|(file, bytes)| (*file, *bytes));
        if let (Some(_), Some((file, bytes))) = (&self.open, last)
            && bytes + record <= file_max
        {
            return Ok((file, bytes));
        }
        let file = self.next;
        self.next = file.saturating_add(1);
        let name = path(file);
        let made = self.disk.create(&name).map_err(|e| fault("make", &name, e))?;
        let head = head();
        self.files.insert(file, head.len() as u64);
        let written = made.write_at(0, &head).and_then(|()| self.disk.sync_dir(FOLDER));
        written.map_err(|e| fault("write to", &name, e))?;
        self.open = Some(made);
        Ok((file, head.len() as u64))
    }

    /// Removes the oldest files until the rest fits; never `keep`.
    fn make_room(&mut self, keep: u64) {
        while self.bytes() > self.bytes_max
            && let Some((&oldest, _)) = self.files.first_key_value()
            && oldest != keep
        {
            // A file that cannot be removed is forgotten all the same; the next opening tries again.
            let _ = self.disk.remove(&path(oldest));
            self.files.remove(&oldest);
            self.places.retain(|_, place| place.file != oldest);
        }
    }

    /// Remembers what stands in a file.
    fn scan(&mut self, file: u64) -> Result<()> {
        let bytes = self.read_whole(file)?;
        self.files.insert(file, bytes.len() as u64);
        match parse_head(&bytes) {
            Some(version) if version > FORMAT => return Err(newer(&path(file), version, FORMAT)),
            Some(_) => {}
            // It was being made.
            None => return Ok(()),
        }
        let mut lost = false;
        let mut at = HEAD_BYTES;
        while at + HEADER_BYTES <= bytes.len() {
            let header = parse_header(&bytes[at..], at as u64);
            match header.filter(|(_, dim)| at + record_bytes(*dim) <= bytes.len()) {
                Some((key, dim)) => {
                    self.places.insert(key, Place { file, offset: at as u64, dim: dim as u32 });
                    at += record_bytes(dim);
                    self.damaged += u64::from(std::mem::take(&mut lost));
                }
                // Where a header is damaged nobody knows how long its record is.
                None => {
                    lost = true;
                    at += ALIGN;
                }
            }
        }
        Ok(())
    }

    /// Puts files that follow each other together, as long as one has room for them.
    fn merge(&mut self) -> Result<()> {
        let file_max = self.bytes_max / FILES_OF_ROOM;
        let mut groups: Vec<Vec<u64>> = Vec::new();
        let mut sum = u64::MAX;
        for (file, bytes) in &self.files {
            sum = sum.saturating_add(*bytes);
            match groups.last_mut().filter(|_| sum <= file_max) {
                Some(group) => group.push(*file),
                None => {
                    groups.push(vec![*file]);
                    sum = *bytes;
                }
            }
        }
        groups.retain(|group| group.len() > 1);
        groups.iter().try_for_each(|group| self.merge_group(group))
    }

    /// The last of them takes in all others. Killed in between, both are there, and that does no harm.
    fn merge_group(&mut self, group: &[u64]) -> Result<()> {
        let Some((&into, others)) = group.split_last() else { return Ok(()) };
        let (mut bytes, mut placed) = (head(), Vec::new());
        for file in group {
            let old = self.read_whole(*file)?;
            let mut here: Vec<(Key, Place)> =
                self.places.iter().filter(|(_, place)| place.file == *file).map(|(k, p)| (*k, *p)).collect();
            here.sort_unstable_by_key(|(_, place)| place.offset);
            for (key, place) in here {
                let record = old.get(place.offset as usize..).unwrap_or_default();
                if let Some((_, vector)) = parse(record, place.offset).filter(|(found, _)| *found == key) {
                    let offset = bytes.len() as u64;
                    encode(&key, &vector, offset, &mut bytes);
                    placed.push((key, Place { file: into, offset, dim: place.dim }));
                } else {
                    self.damaged += 1;
                }
            }
        }
        let tmp = temporary(&*self.disk, &path(into))?;
        let file = self.disk.create(&tmp).map_err(|e| fault("make", &tmp, e))?;
        let written = file.write_at(0, &bytes).and_then(|()| file.sync());
        written.map_err(|e| fault("write", &tmp, e))?;
        publish(&*self.disk, &tmp, &path(into))?;
        self.disk.sync_dir(FOLDER).map_err(|e| fault("sync", FOLDER, e))?;
        self.places.retain(|_, place| !group.contains(&place.file));
        self.places.extend(placed);
        self.files.insert(into, bytes.len() as u64);
        for other in others {
            let _ = self.disk.remove(&path(*other));
            self.files.remove(other);
        }
        Ok(())
    }

    fn read_whole(&self, file: u64) -> Result<Vec<u8>> {
        let name = path(file);
        let len = self.disk.len(&name).map_err(|e| fault("measure", &name, e))?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.disk.read(&name, 0, len).map_err(|e| fault("read", &name, e))
    }
}

fn path(file: u64) -> String {
    format!("{FOLDER}/{file:016x}.vec")
}

fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".vec").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}
