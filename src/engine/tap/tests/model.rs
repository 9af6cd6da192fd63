//! Goal: after any run of local writes, versions from a database in any order, acknowledgements, moved rows, checkpoints and
//! restarts, the tap says of every id exactly what a map says. Method: runs drawn from a seed, on a simulated disk with small
//! blocks; then the power goes at operations of the same runs (M2, M3, M4, M5, M15).
//!
//! `NEARFIELD_SEED` runs one seed alone.

use super::durable::{open, options};
use super::*;
use crate::disk::sim::{Loss, Random, SimDisk};
use crate::engine::files::checkpoint::Scope;
use std::collections::BTreeMap;

const IDS: usize = 24;
const STEPS: usize = 60;
const RUNS: u64 = 60;
const CRASH_RUNS: u64 = 12;
/// Images of a run.
const IMAGES: u64 = 60;

/// What stands under an id.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    stamp: Stamp,
    /// Nothing: it was deleted.
    n: Option<u64>,
    is_dirty: bool,
}

type Model = BTreeMap<String, Entry>;

struct Run {
    disk: SimDisk,
    side: Option<Side>,
    model: Model,
    random: Random,
    /// Versions that were in the database once: they come again.
    seen: Vec<Edition>,
    /// The model after each step, and the operations of the disk that were done by then.
    points: Vec<(u64, Model)>,
}

fn seeds(runs: u64) -> impl Iterator<Item = u64> {
    let named = std::env::var("NEARFIELD_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = named.unwrap_or(1);
    first..first + if named.is_some() { 1 } else { runs }
}

/// What the store says of every id.
fn state(side: &Side) -> Model {
    let view = side.docs.inner.view.load_full();
    let digests = side.docs.inner.digests.reader(&view, SEED);
    let entry = |id: String| {
        let entry = match side.docs.inner.here(&view, &id) {
            stage::Here::Row { slot, ver, node, is_dirty } => {
                let stamp = Stamp { ver, node, digest: digests.get(slot).unwrap() };
                Entry { stamp, n: side.n(&id), is_dirty }
            }
            stage::Here::Grave(grave) => {
                let stamp = Stamp { ver: grave.ver, node: grave.node, digest: 0 };
                Entry { stamp, n: None, is_dirty: grave.is_dirty }
            }
            _ => return None,
        };
        Some((id, entry))
    };
    (0..IDS).filter_map(|id| entry(format!("id-{id}"))).collect()
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new();
        let side = of(open(&disk));
        let points = vec![(disk.operations(), Model::new())];
        Self {
            disk,
            side: Some(side),
            model: Model::new(),
            random: Random::new(seed),
            seen: Vec::new(),
            points,
        }
    }

    fn side(&self) -> &Side {
        self.side.as_ref().unwrap()
    }

    fn id(&mut self) -> String {
        format!("id-{}", self.random.below(IDS))
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=6 => self.put(),
            7..=8 => self.delete(),
            9..=13 => self.apply(),
            14..=15 => self.acknowledge(),
            16 => _ = self.side().docs.inner.care(64),
            17 => self.judge(),
            18 => {
                let scope = [Scope::Seal, Scope::Links, Scope::Whole][self.random.below(3)];
                self.side().store.alive.shared.checkpoint(scope, &|_| {}).unwrap();
            }
            _ => self.reopen(),
        }
        let state = state(self.side());
        let mut ids = (0..IDS).map(|id| format!("id-{id}"));
        if let Some(id) = ids.find(|id| state.get(id) != self.model.get(id)) {
            panic!("{id} is {:?}, not {:?}", state.get(&id), self.model.get(&id));
        }
        self.points.push((self.disk.operations(), self.model.clone()));
    }

    fn walk(&mut self, seed: u64) {
        for step in 0..STEPS {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.step()));
            assert!(done.is_ok(), "seed {seed}, step {step}");
        }
        let dirty = self.model.iter().filter(|(_, entry)| entry.is_dirty).map(|(id, _)| id.as_str());
        let out = self.side().out();
        assert!(out.iter().map(|o| &*o.edition.id).eq(dirty.collect::<std::collections::BTreeSet<_>>()));
        assert!(out.iter().all(|o| self.model[&*o.edition.id].stamp == o.edition.stamp));
    }

    /// What a local write left, which has a version above every one before.
    fn remember(&mut self, id: String, n: Option<u64>) {
        let (ver, node) = self.side().stamp(&id).unwrap();
        assert_eq!(node, self.side().tap.node());
        assert!(self.model.get(&id).is_none_or(|before| before.stamp.ver < ver), "M4: {id}");
        let digest = n.map_or(0, |n| digest(&row(&id, n), SEED));
        self.model.insert(id, Entry { stamp: Stamp { ver, node, digest }, n, is_dirty: true });
    }

    fn put(&mut self) {
        for _ in 0..=self.random.below(4) {
            let (id, n) = (self.id(), self.random.next() % 100);
            self.side().put(&id, n);
            self.remember(id, Some(n));
        }
    }

    fn delete(&mut self) {
        let id = self.id();
        self.side().delete(&id);
        if self.model.get(&id).is_some_and(|entry| entry.n.is_some()) {
            self.remember(id, None);
        }
    }

    /// A version that somebody else wrote, or that was in the database before.
    fn draw(&mut self) -> Edition {
        if !self.seen.is_empty() && self.random.eighths(3) {
            return self.seen[self.random.below(self.seen.len())].clone();
        }
        let id = self.id();
        let now = self.side().tap.shared.line.between(|mark| mark.ver).0;
        let known = self.model.get(&id).map_or(now, |entry| entry.stamp.ver.0);
        let ver = Ver([now, known, known + 1, known - 1, now + (1 << 40)][self.random.below(5)].max(1));
        let node = OTHER + self.random.below(3) as u64;
        match self.random.below(3) {
            0 => deletion(&id, ver, node),
            _ => edition(&id, ver, node, self.random.next() % 3),
        }
    }

    fn apply(&mut self) {
        let editions: Vec<Edition> = (0..=self.random.below(6)).map(|_| self.draw()).collect();
        let force = self.random.below(8) == 0;
        self.seen.extend(editions.iter().cloned());
        let (mut conflicts, before) = (0, self.model.clone());
        let mut best: BTreeMap<String, Edition> = BTreeMap::new();
        for edition in &editions {
            let kept = best.entry(edition.id.to_string()).or_insert_with(|| edition.clone());
            if edition.stamp > kept.stamp {
                *kept = edition.clone();
            }
        }
        let n = |e: &Edition| e.row.as_ref()?.payload.as_ref()?.metadata_map()["n"].as_u64();
        let applied = self.side().docs.apply(editions.clone(), force).unwrap();
        for (id, edition) in best {
            match before.get(&id) {
                Some(here) if here.stamp == edition.stamp => {
                    self.model.get_mut(&id).unwrap().is_dirty = false
                }
                Some(here)
                    if here.stamp > edition.stamp && force && (here.n.is_some() || edition.row.is_some()) =>
                {
                    conflicts += usize::from(here.is_dirty);
                    self.remember(id, n(&edition));
                }
                Some(here) if here.stamp > edition.stamp => self.model.get_mut(&id).unwrap().is_dirty = true,
                here => {
                    conflicts += usize::from(here.is_some_and(|here| here.is_dirty));
                    let entry = Entry { stamp: edition.stamp, n: n(&edition), is_dirty: false };
                    self.model.insert(id, entry);
                }
            }
        }
        assert_eq!(applied.conflicts.len(), conflicts);
        assert_eq!(applied.stored + applied.deleted + applied.passed_over, editions.len());
    }

    fn judge(&mut self) {
        let edition = self.draw();
        let here = self.model.get_mut(&*edition.id);
        let verdict = match &here {
            Some(here) if here.stamp == edition.stamp => Verdict::Same,
            Some(here) if here.stamp > edition.stamp => Verdict::Older,
            _ => Verdict::Wanted,
        };
        if let (Some(here), false) = (here, verdict == Verdict::Wanted) {
            here.is_dirty = verdict == Verdict::Older;
        }
        assert_eq!(self.side().docs.judge(&[edition.head()]).unwrap(), [verdict]);
    }

    /// Some of what is sent arrives; some after something else was written.
    fn acknowledge(&mut self) {
        let rows_max = 1 + self.random.below(9);
        let out = self.side().docs.outgoing(rows_max, usize::MAX, &|_| false).unwrap();
        let is_late = self.random.eighths(3);
        if is_late {
            self.put();
        }
        for Outgoing { ticket, edition } in out {
            self.seen.push(edition.clone());
            self.side().docs.acknowledge(&[ticket]);
            // A write pays for moving rows: an acknowledgement of where a row was is lost.
            let may_be_lost = is_late && state(self.side()).get(&*edition.id).is_some_and(|now| now.is_dirty);
            let entry = self.model.get_mut(&*edition.id).unwrap();
            entry.is_dirty &= entry.stamp != edition.stamp || may_be_lost;
        }
    }

    fn reopen(&mut self) {
        let Side { store, .. } = self.side.take().unwrap();
        if self.random.eighths(4) {
            store.close(Duration::from_secs(60)).unwrap();
        }
        drop(store);
        let side = of(open(&self.disk));
        let state = state(&side);
        self.model = found(&self.model, &state).unwrap_or_else(|| panic!("{state:?} after {:?}", self.model));
        self.side = Some(side);
    }
}

/// The model, if `state` is it but for acknowledgements that were lost.
fn found(model: &Model, state: &Model) -> Option<Model> {
    let fits = |(id, entry): (&String, &Entry)| {
        model.get(id).is_some_and(|was| {
            (was.stamp, was.n) == (entry.stamp, entry.n) && (entry.is_dirty || !was.is_dirty)
        })
    };
    (model.len() == state.len() && state.iter().all(fits)).then(|| state.clone())
}

#[test]
fn m3_m4_m5_any_run_leaves_what_the_map_says() {
    for seed in seeds(RUNS) {
        Run::new(seed).walk(seed);
    }
}

#[test]
fn m2_m15_a_power_loss_takes_no_dirty_mark_and_no_grave() {
    for seed in seeds(CRASH_RUNS) {
        let mut run = Run::new(1_000 + seed);
        run.walk(seed);
        let mut replay = run.disk.replay();
        let stride = (run.disk.operations() / IMAGES).max(1);
        loop {
            let at = replay.operations();
            if at > run.points[0].0 && (at + seed).is_multiple_of(stride) {
                let loss = Loss::ALL[(at / stride) as usize % Loss::ALL.len()];
                check(&run, &replay.image(loss, seed ^ at), at)
                    .unwrap_or_else(|e| panic!("seed {seed}, {loss:?} in operation {at}: {e}"));
            }
            if !replay.step() {
                break;
            }
        }
    }
}

/// The store of an image is in the state that was acknowledged last, or in one that the step under way has come to.
fn check(run: &Run, image: &SimDisk, at: u64) -> Result<(), String> {
    let store = Store::open_still(Arc::new(image.clone()), options()).map_err(|e| e.to_string())?;
    let side = of(store);
    let state = state(&side);
    let done = run.points.iter().rposition(|(operations, _)| *operations <= at).unwrap_or(0);
    let before = &run.points[done].1;
    let Some((_, after)) = run.points.get(done + 1) else {
        return found(before, &state).map(drop).ok_or(format!("{state:?} after {before:?}"));
    };
    // A step is several commits, each of which may be the last.
    for (id, entry) in before.iter().filter(|(id, entry)| after.get(*id) == Some(*entry)) {
        let now = state.get(id).ok_or(format!("{id} is gone: {entry:?}"))?;
        if now.stamp < entry.stamp || entry.is_dirty && !now.is_dirty {
            return Err(format!("{id} was {entry:?}, is {now:?}"));
        }
    }
    for (id, entry) in &state {
        let is_known =
            |was: Option<&Entry>| was.is_some_and(|was| (was.stamp, was.n) == (entry.stamp, entry.n));
        let lost = |was: Option<&Entry>| was.is_some_and(|was| was.stamp == entry.stamp && was.is_dirty);
        let is_between =
            after.get(id) != before.get(id) && !is_known(before.get(id)) && !is_known(after.get(id));
        // What came and went within the step is of neither point.
        if is_between && before.get(id).is_some_and(|was| was.stamp >= entry.stamp) {
            return Err(format!("{id} is {entry:?}, was {:?}", before.get(id)));
        }
        if lost(before.get(id)) && lost(after.get(id)) && !entry.is_dirty {
            return Err(format!("{id} is clean and nobody acknowledged it"));
        }
    }
    // Again, from the files alone.
    let again = state.clone();
    side.store.checkpoint().map_err(|e| e.to_string())?;
    drop(side);
    let side = of(open(image));
    if self::state(&side) != again {
        return Err("another state after a checkpoint".into());
    }
    Ok(())
}
