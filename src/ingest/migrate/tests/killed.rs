//! Goal: killed anywhere, a name means the collection of before or that of after, whole, and the same commands finish what was begun. Method: a
//! migration on the simulated disk is walked through again operation by operation, and at each the power goes; then each of its calls
//! to the disk fails.

use super::*;
use crate::disk::sim::{Fault, Loss};

const ROWS: usize = 12;

/// Fill, switch, checkpoint, undo, switch, drop: the disk's clock after each.
fn walked(disk: &SimDisk, is_mirrored: bool) -> Vec<u64> {
    let store = still(disk);
    if is_mirrored {
        store.tap().attach().unwrap();
    }
    filled_with(&store, ROWS);
    let (migration, model) = (Migration::of(&store, "docs"), Model::default());
    let mut done = vec![disk.operations()];
    let mut step = || done.push(disk.operations());
    migration.fill(&model, batches(5), &mut |_| true).unwrap();
    step();
    switch(&migration, &model).unwrap();
    step();
    store.checkpoint().unwrap();
    step();
    migration.undo(false).unwrap();
    step();
    store.checkpoint().unwrap();
    step();
    switch(&migration, &model).unwrap();
    step();
    migration.drop_old(false).unwrap();
    step();
    store.checkpoint().unwrap();
    step();
    done
}

/// Numbers of a vector of `docs`, after so many steps and before the next: what may be.
const MEANS: [&[usize]; 9] = [
    &[BEFORE],
    &[BEFORE, AFTER],
    &[AFTER],
    &[AFTER, BEFORE],
    &[BEFORE],
    &[BEFORE, AFTER],
    &[AFTER],
    &[AFTER],
    &[AFTER],
];

fn run(is_mirrored: bool) {
    let disk = SimDisk::new();
    let done = walked(&disk, is_mirrored);
    let (mut replay, mut images, mut seen) = (disk.replay(), 0, std::collections::BTreeSet::new());
    while replay.operations() < done[0] && replay.step() {}
    loop {
        let at = replay.operations();
        let step = done.iter().rposition(|then| *then <= at).unwrap();
        for (nth, loss) in Loss::ALL.into_iter().enumerate() {
            let image = replay.image(loss, at << 3 | nth as u64);
            let store = still(&image);
            let docs = store.open_collection("docs").unwrap_or_else(|e| panic!("{loss:?} at {at}: {e}"));
            let dim = docs.schema().dim;
            assert!(MEANS[step].contains(&dim), "{loss:?} at {at}, after step {step}: {dim}");
            assert_eq!(
                contents(all(&docs)),
                contents((0..ROWS).map(row).collect::<Vec<_>>()).into_sorted(),
                "{loss:?} at {at}"
            );
            if dim == AFTER {
                check_vectors(&docs);
            }
            let kept = ["docs.next", "docs.old"]
                .map(|name| store.open_collection(name).map(|c| c.schema().dim).ok());
            assert!(kept[0].is_none_or(|next| next == AFTER && dim == BEFORE), "{loss:?} at {at}: {kept:?}");
            assert!(kept[1].is_none_or(|old| old == BEFORE && dim == AFTER), "{loss:?} at {at}: {kept:?}");
            if is_mirrored {
                let there: Vec<_> = store
                    .tap()
                    .collections()
                    .unwrap()
                    .iter()
                    .map(|c| (c.schema().dim, c.name().to_owned()))
                    .collect();
                let expected = |(dim, name): &(usize, String)| {
                    *name == if *dim == BEFORE { "docs" } else { "docs.next" }
                };
                assert!(there.iter().all(expected), "{loss:?} at {at}: {there:?}");
            }
            images += 1;
            seen.insert((step, dim, kept));
            if images % 7 == 0 {
                finish(&store, dim);
            }
        }
        if !replay.step() {
            break;
        }
    }
    assert!(images > 300 && seen.len() > 8, "{images} images, {seen:?}");
}

/// The commands that were cut short, once more.
fn finish(store: &Store, dim: usize) {
    let (migration, model) = (Migration::of(store, "docs"), Model::default());
    if dim == BEFORE {
        fill(&migration, &model).unwrap();
        switch(&migration, &model).unwrap();
    }
    check_vectors(&store.open_collection("docs").unwrap());
    assert_eq!(store.open_collection("docs").unwrap().count(None).unwrap(), ROWS);
}

trait Sorted {
    fn into_sorted(self) -> Self;
}

impl Sorted for Vec<Chunk> {
    fn into_sorted(mut self) -> Self {
        self.sort_by(|a, b| a.id.cmp(&b.id));
        self
    }
}

#[test]
fn killed_anywhere_a_name_means_the_old_or_the_new_and_never_nothing() {
    run(false);
}

#[test]
fn and_a_mirrors_database_calls_them_what_it_did() {
    run(true);
}

#[test]
fn a_disk_that_fails_at_any_call_leaves_the_old_or_the_new() {
    let base = SimDisk::new();
    let store = still(&base);
    filled_with(&store, ROWS);
    fill(&Migration::of(&store, "docs"), &Model::default()).unwrap();
    store.open_collection("docs").unwrap().upsert([row(100)]).unwrap();
    drop(store);
    let (mut n, mut failed) = (0, 0);
    loop {
        let disk = base.snapshot();
        let store = still(&disk);
        disk.fail(disk.calls() + n, Fault::Io, false);
        let switched = switch(&Migration::of(&store, "docs"), &Model::default());
        let met = disk.faults_met();
        disk.heal();
        failed += usize::from(switched.is_err());
        drop(store);
        let store = still(&disk);
        let docs = store.open_collection("docs").unwrap();
        assert_eq!(docs.count(None).unwrap(), ROWS + 1, "call {n}");
        if switched.is_ok() {
            assert_eq!(docs.schema().dim, AFTER, "call {n}");
        }
        finish_of(&store, docs.schema().dim);
        if met == 0 {
            break;
        }
        n += 1;
    }
    assert!(n > 0 && failed > 0, "{failed} of {n} calls were told");
}

fn finish_of(store: &Store, dim: usize) {
    if dim == BEFORE {
        switch(&Migration::of(store, "docs"), &Model::default()).unwrap();
    }
    check_vectors(&store.open_collection("docs").unwrap());
}
