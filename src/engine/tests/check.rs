//! Goal: say of a disk after a power loss whether the store on it is one that may be. Method: open it, read everything by every
//! way there is, compare with the states that the model allows; look at the files themselves.

use super::model::{DIM, LANGS, Point, Rows, Start, State, TENANTS};
use crate::config::Options;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, TMP};
use crate::engine::{Collection, Store};
use crate::filter::Filter;
use crate::manifest::{self, Latest, Manifest, Name, collection_number};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

pub(super) type Checked<T = ()> = Result<T, String>;

pub(super) fn expect(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

/// Everything that scrolling shows.
pub(super) fn state_of(store: &Store) -> Checked<State> {
    let mut state = State::new();
    for collection in store.collections() {
        let page = collection.scroll(None, None, usize::MAX).map_err(|e| format!("scroll: {e}"))?;
        let n = page.chunks.len();
        let rows: Rows = page.chunks.into_iter().map(|c| (c.id.clone(), c)).collect();
        expect(rows.len() == n, || format!("l19: {} has an id twice", collection.name()))?;
        state.insert(collection.name().to_owned(), Arc::new(rows));
    }
    Ok(state)
}

/// Opens the store of an image and finds it in one of the states of `possible`: which.
pub(super) fn recover(image: &SimDisk, options: &Options, possible: &[Point]) -> Checked<(Store, usize)> {
    let store =
        Store::open_still(Arc::new(image.clone()), options.clone()).map_err(|e| format!("open: {e}"))?;
    let at = agree(&store, possible)?;
    let health = store.alive.shared.health.lock();
    expect(health.holes.is_empty() && health.damage.is_empty(), || {
        format!("l9: a power loss is reported as damage: {:?} {:?}", health.holes, health.damage)
    })?;
    drop(health);
    Ok((store, at))
}

/// The last of `possible` that the store is in.
pub(super) fn agree(store: &Store, possible: &[Point]) -> Checked<usize> {
    let state = state_of(store)?;
    let at = possible.iter().rposition(|point| point.state == state);
    let at = at.ok_or_else(|| format!("l1, l2, l3, l5: {}", difference(&state, possible)))?;
    answer_as(store, &state)?;
    let ver = store.alive.shared.line.between(|mark| mark.ver);
    // Every one that may have been seen: the operation under way was not.
    let seen = possible[..at.max(1).min(possible.len())].iter().filter(|p| p.is_durable);
    for point in seen {
        expect(store.token() > point.token, || {
            format!("l12: token {} after {}", store.token(), point.token)
        })?;
        expect(ver >= point.ver, || format!("l12: version {ver:?} after {:?}", point.ver))?;
    }
    Ok(at)
}

/// L19: every way to read a store in this state agrees with it.
pub(super) fn answer_as(store: &Store, state: &State) -> Checked {
    for collection in store.collections() {
        let name = collection.name();
        answers(&collection, &state[name]).map_err(|e| format!("l19: {name}: {e}"))?;
    }
    Ok(())
}

fn difference(state: &State, possible: &[Point]) -> String {
    let mut text = format!("the state is none of {}", possible.len());
    for (which, point) in possible.iter().enumerate() {
        let names = (state.keys().collect::<Vec<_>>(), point.state.keys().collect::<Vec<_>>());
        text += &format!("; {which}: collections {:?} for {:?}", names.0, names.1);
        for (name, rows) in state {
            let Some(wanted) = point.state.get(name) else { continue };
            let missing: Vec<_> = wanted.keys().filter(|id| !rows.contains_key(*id)).collect();
            let extra: Vec<_> = rows.keys().filter(|id| !wanted.contains_key(*id)).collect();
            let other = rows.iter().filter(|(id, c)| wanted.get(*id).is_some_and(|w| w != *c)).count();
            text += &format!(" {name}: missing {missing:?}, extra {extra:?}, other {other};");
        }
    }
    text
}

/// Count, get, document, filter, tenant and exact search agree with the rows.
fn answers(collection: &Collection, rows: &Rows) -> Checked {
    let failed = |e: crate::Error| e.to_string();
    expect(collection.count(None).map_err(failed)? == rows.len(), || "count".into())?;
    let got = collection.get_many(rows.keys().map(String::as_str)).map_err(failed)?;
    for (got, wanted) in got.iter().zip(rows.values()) {
        expect(got.as_ref() == Some(wanted), || format!("get {}: {got:?}", wanted.id))?;
    }
    let mut documents = BTreeMap::<&str, usize>::new();
    rows.values()
        .filter_map(|c| c.document_id.as_deref())
        .for_each(|d| *documents.entry(d).or_default() += 1);
    for (document, n) in documents {
        let of = collection.document(document).map_err(failed)?;
        expect(of.len() == n && of.iter().all(|c| rows.get(&c.id) == Some(c)), || {
            format!("document {document}")
        })?;
    }
    for lang in LANGS {
        let wanted = rows.values().filter(|c| c.metadata["lang"] == lang).count();
        let n = collection.count(Some(&Filter::eq("lang", lang))).map_err(failed)?;
        expect(n == wanted, || format!("{n} of {lang}, not {wanted}"))?;
    }
    for tenant in TENANTS {
        let wanted = rows.values().filter(|c| c.tenant.as_deref() == Some(tenant)).count();
        let n = collection.tenant(tenant).count(None).map_err(failed)?;
        expect(n == wanted, || format!("{n} of {tenant}, not {wanted}"))?;
    }
    nearest(collection, rows)
}

fn nearest(collection: &Collection, rows: &Rows) -> Checked {
    let query = [0.25; DIM];
    let distance = |v: &[f32]| v.iter().zip(query).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let mut wanted: Vec<(f32, &str)> =
        rows.values().filter_map(|c| Some((distance(c.vector.as_ref()?), c.id.as_str()))).collect();
    wanted.sort_by(|a, b| a.0.total_cmp(&b.0));
    for exact in [true, false] {
        let found = collection.search(&query).k(5).exact(exact).run().map_err(|e| e.to_string())?;
        expect(!found.degraded, || "an answer is degraded".into())?;
        expect(found.hits.len() == wanted.len().min(5), || format!("{} hits", found.hits.len()))?;
        let mut near = found.hits.iter().zip(&wanted);
        // The graph of a few rows finds all of them, but need not; exact search must.
        let fits = |(hit, (distance, _)): (&crate::Hit, &(f32, &str))| {
            let vector = rows.get(&*hit.id).and_then(|c| c.vector.as_ref());
            vector.is_some_and(|v| (self::distance(v, &query) - distance).abs() < 1e-4)
        };
        expect(!exact || near.all(fits), || "exact search".into())?;
        expect(found.hits.iter().all(|hit| rows.contains_key(&*hit.id)), || {
            "a hit of a deleted chunk".into()
        })?;
    }
    Ok(())
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The files of one store over all its images.
#[derive(Default)]
pub(super) struct Files {
    /// Bytes of each file that a manifest has named, by its path and check.
    published: HashMap<(String, u128), u128>,
    /// Salts of the log's files, and the file that each is of.
    salts: HashMap<u64, String>,
}

impl Files {
    /// L13, L14: what the newest manifest names is there, whole, and the same as ever. Salts never come twice.
    pub(super) fn look(&mut self, image: &SimDisk) -> Checked {
        let contents = image.contents();
        for (path, bytes) in
            contents.iter().filter(|(path, bytes)| path.starts_with("wal/") && bytes.len() >= 64)
        {
            let salt = u64::from_le_bytes(bytes[16..24].try_into().unwrap());
            let first = self.salts.entry(salt).or_insert_with(|| path.clone());
            expect(salt == 0 || first == path, || format!("{path} has the salt of {first}"))?;
        }
        let newest = match manifest::latest(image).map_err(|e| e.to_string())? {
            Latest::Empty => return Ok(()),
            Latest::Found { manifest, .. } => manifest,
            Latest::Lost { why } => return Err(why),
        };
        for entry in &newest.collections {
            for file in entry.files() {
                let path = entry.path(file);
                let Some(bytes) = contents.get(&path) else {
                    return Err(format!("l14: {path} is not there"));
                };
                let is_whole = bytes.len() as u64 == file.len && bytes.ends_with(&file.check.to_le_bytes());
                expect(is_whole, || format!("l14: {path} is not whole"))?;
                let hash = xxh3_128(bytes);
                let known = *self.published.entry((path.clone(), file.check)).or_insert(hash);
                expect(known == hash, || format!("l13, l14: {path} has other bytes than before"))?;
            }
        }
        Ok(())
    }
}

/// L15: after a checkpoint there are no files but those that somebody needs.
pub(super) fn swept(disk: &SimDisk, store: &Store) -> Checked {
    let kept = manifest::kept(disk).map_err(|e| e.to_string())?;
    let named: HashSet<String> = kept.iter().flat_map(Manifest::paths).collect();
    let numbers: HashSet<u64> = kept.iter().map(|m| m.number).collect();
    let files = disk.files();
    for path in files.keys() {
        let is_known = match path.rsplit_once('/') {
            None => manifest::manifest_number(path).is_none_or(|number| numbers.contains(&number)),
            Some(("wal", _)) => true,
            Some((TMP, _)) => false,
            Some((_, name)) => Name::parse(name).is_none() || named.contains(path),
        };
        expect(is_known, || format!("l15: {path} is left over"))?;
    }
    let logs = files.keys().filter(|path| path.starts_with("wal/")).count();
    expect(logs == 1, || format!("l15: {logs} files of the log after a whole checkpoint"))?;
    let alive: HashSet<u32> = store.collections().iter().map(|c| c.inner().number).collect();
    let of_kept: HashSet<u32> = kept.iter().flat_map(|m| m.collections.iter().map(|c| c.number)).collect();
    for folder in disk.list("").map_err(|e| e.to_string())? {
        let is_known = collection_number(&folder).is_none_or(|n| alive.contains(&n) || of_kept.contains(&n));
        expect(is_known, || format!("l15: folder {folder} is left over"))?;
    }
    Ok(())
}

/// What the next opener of this store must find.
pub(super) fn start_of(store: &Store) -> Checked<Start> {
    let ver = store.alive.shared.line.between(|mark| mark.ver);
    Ok(Start { state: state_of(store)?, token: store.token(), ver })
}
