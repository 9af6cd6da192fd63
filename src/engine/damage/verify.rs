//! `nearfield verify`: checks every byte of an open store, and if asked, that every row can be found by what it says.

use super::diagnosis::{Diagnosis, Finding, IDS_MAX};
use crate::codes::Exact;
use crate::engine::collection::Collection;
use crate::engine::inner::Inner;
use crate::engine::read::run::Job;
use crate::engine::store::Store;
use crate::engine::view::View;
use crate::error::Result;
use crate::manifest::collection_folder;

const REPAIRED: &str = "write the rows again; `nearfield doctor` and lost_rows.jsonl say which";
const REPORT: &str = "please report this";
/// Width of the beam.
const EF: usize = 64;
/// What a distance may be off by.
const ROUNDING: f32 = 1e-6;

impl Store {
    /// Verifies every piece of every file; what is bad is repaired as it would be at any time. `deep`: every row's body is read,
    /// its id looked up, its vector searched for, and the graph is checked.
    pub fn verify(&self, deep: bool) -> Result<Diagnosis> {
        let shared = &self.alive.shared;
        let stats = self.stats();
        let mut out = Diagnosis { seq: Some(stats.token.seq.0), ..Diagnosis::default() };
        if let Some(home) = &shared.home {
            out.place = home.disk.place();
            out.store = Some(home.ident.store);
            out.manifest = home.manifests.lock().first().map(|manifest| manifest.number);
        }
        let bytes = std::cell::Cell::new(0u64);
        let mut scrub = shared.begin_scrub();
        while shared.scrub_step(&mut scrub, &|n| bytes.set(bytes.get() + n as u64))? {
            out.files += 1;
        }
        out.bytes = bytes.get();
        shared.repair()?;
        for what in self.stats().damage {
            out.add(Finding::new("", what, REPAIRED));
        }
        for (first, last) in stats.holes {
            out.add(Finding::new("wal", format!("commits {first} to {last} are gone"), REPAIRED));
        }
        for collection in self.collections() {
            let missing = collection.stats().missing;
            if missing > 0 {
                let what = format!("{missing} rows of collection {:?} are missing", collection.name());
                out.add(finding(&collection, what, REPAIRED).losing(missing, Vec::new()));
            }
            out.rows += collection.inner().view.load().live.len();
            if deep {
                look_up(&collection, &mut out);
            }
        }
        Ok(out.done())
    }
}

fn finding(collection: &Collection, what: String, remedy: &str) -> Finding {
    Finding::new(&collection_folder(collection.inner().number), what, remedy)
}

fn look_up(collection: &Collection, out: &mut Diagnosis) {
    let inner = collection.inner();
    let view = inner.view.load_full();
    let (mut lost, mut strayed, mut weak) = (Vec::new(), Vec::new(), 0);
    for slot in view.live.iter() {
        let Some(row) = view.tables.rows.get(slot) else { continue };
        if inner.ids().get(&view.tables.rows, row.id) != Some(slot) {
            strayed.push(row.id.to_owned());
        }
        let Some(vector) = view.tables.vectors.get(slot).filter(|_| view.ready.contains(slot)) else {
            continue;
        };
        if !finds_itself(inner, &view, vector, false) {
            weak += 1;
            if !finds_itself(inner, &view, vector, true) {
                lost.push(row.id.to_owned());
            }
        }
    }
    for (ids, what) in [(lost, "are not found by their own vector"), (strayed, "are not found by their id")] {
        if !ids.is_empty() {
            let mut finding = finding(collection, format!("{} rows {what}", ids.len()), REPORT);
            finding.lost_ids = ids.into_iter().take(IDS_MAX).collect();
            out.add(finding);
        }
    }
    if weak > 0 {
        out.notes.push(format!("{weak} rows of {:?} are found only by an exact search", collection.name()));
    }
    match collection.check() {
        Ok(0) => {}
        Ok(lost) => {
            out.notes.push(format!("no walk reaches {lost} rows of {:?}; healing will", collection.name()))
        }
        Err(why) => out.add(finding(collection, format!("the graph is broken: {why}"), REPORT)),
    }
}

/// Whether a search for `vector`, which is a row's, finds one that is as near.
fn finds_itself(inner: &Inner, view: &View, vector: &[f32], exact: bool) -> bool {
    let (query, accepted) = (vector, &view.ready);
    let job = Job { view, query, k: 1, ef: EF, accepted, filtered: false, exact };
    let distance = Exact::new(inner.schema.metric, vector).distance(vector);
    inner.run(&job).hits.first().is_some_and(|(nearest, _)| *nearest <= distance + ROUNDING)
}
