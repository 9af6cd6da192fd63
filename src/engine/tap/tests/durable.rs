//! The tap on a disk: restarts, files of before there was a mirror, damaged files, snapshots.

use super::*;
use crate::config::Tiny;
use crate::disk::sim::{Fault, SimDisk};
use crate::disk::{Disk, read_envelope};
use crate::engine::files::checkpoint::Scope;
use crate::manifest::{self, Latest, MIRROR};
use crate::wal::{self, Kind};
use std::collections::BTreeSet;

pub(super) fn options() -> Options {
    let tiny = Some(Tiny { block_slots: 16, log_file_bytes: 4_096 });
    Options { tiny, disk_reserve_bytes: 0, ..Options::default() }
}

pub(super) fn open(disk: &SimDisk) -> Store {
    Store::open_still(Arc::new(disk.clone()), options()).unwrap()
}

fn unsent(side: &Side) -> BTreeSet<(String, Stamp)> {
    side.out().into_iter().map(|o| (o.edition.id.to_string(), o.edition.stamp)).collect()
}

/// Kinds of the records of the log.
fn kinds(disk: &SimDisk) -> Vec<Kind> {
    let Latest::Found { manifest, .. } = manifest::latest(disk).unwrap() else { panic!("no manifest") };
    let mut kinds = Vec::new();
    let scan = wal::scan(disk, manifest.store, Seq(1), manifest.seq, &mut |_, kind, _| {
        kinds.push(kind);
        Ok(())
    });
    scan.unwrap();
    kinds
}

fn sets_version(disk: &SimDisk) -> u32 {
    let path = disk.files().into_keys().filter(|path| path.contains("/sets-")).max().unwrap();
    read_envelope(disk, &path, *b"NFsets\r\n", 2, 1 << 20).unwrap().0
}

#[test]
fn l21_a_store_that_was_never_attached_writes_what_it_always_wrote() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let docs = store.create_collection("docs", schema()).unwrap();
    docs.upsert((0..20).map(|n| chunk(&format!("{n}"), n))).unwrap();
    docs.delete(["3"]).unwrap();
    assert_eq!(kinds(&disk), [Kind::Create, Kind::Rows, Kind::Rows]);
    store.checkpoint().unwrap();
    assert_eq!(sets_version(&disk), 1);
    assert!(disk.len(MIRROR).is_err());
    docs.upsert([chunk("late", 1)]).unwrap();
    // Attached, it goes on from these files: all of it is dirty, now and after every restart.
    let tap = store.tap();
    tap.attach().unwrap();
    drop((store, tap, docs));
    let side = of(open(&disk));
    assert_eq!((side.docs.dirty().rows, side.docs.dirty().graves), (20, 0));
    side.delete("5");
    side.put("3", 1);
    assert_eq!(kinds(&disk), [Kind::Rows, Kind::Mirrored, Kind::Mirrored]);
    let before = unsent(&side);
    assert_eq!(before.len(), 21);
    drop(side);
    assert_eq!(unsent(&of(open(&disk))), before);
}

#[test]
fn m2_m15_marks_survive_a_restart_from_the_log_and_from_files() {
    for scope in [None, Some(Scope::Seal), Some(Scope::Whole)] {
        let disk = SimDisk::new();
        let side = of(open(&disk));
        for n in 0..40 {
            side.put(&format!("{n}"), n);
        }
        side.send();
        for n in 0..10 {
            side.put(&format!("{}", n * 3), 100);
        }
        side.delete("1");
        side.docs
            .apply(vec![deletion("2", Ver(1 << 60), OTHER), deletion("none", Ver(5), OTHER)], false)
            .unwrap();
        side.docs.soil(&["4".into()], false).unwrap();
        let before = unsent(&side);
        let graves = (side.stamp("2"), side.stamp("none"), side.stamp("1"));
        assert_eq!(before.len(), 12);
        if let Some(scope) = scope {
            side.store.alive.shared.checkpoint(scope, &|_| {}).unwrap();
            assert_eq!(sets_version(&disk), 2);
        }
        drop(side);
        let side = of(open(&disk));
        assert_eq!((side.stamp("2"), side.stamp("none"), side.stamp("1")), graves);
        assert!(unsent(&side).is_superset(&before), "{scope:?}");
        if scope.is_some() {
            assert_eq!(unsent(&side), before, "{scope:?}: files remember acknowledgements");
        }
        // Nobody knows of which commits these are.
        assert_eq!(side.tap.clean_seq(), Seq(0));
        let last = side.store.token();
        assert!(!side.tap.wait_clean(Token { incarnation: 1, seq: Seq(1) }, Duration::ZERO).unwrap());
        side.send();
        assert!(side.tap.wait_clean(last, Duration::ZERO).unwrap());
        // A checkpoint remembers that, though nothing was committed.
        side.store.alive.shared.checkpoint(Scope::Seal, &|_| {}).unwrap();
        drop(side);
        assert_eq!(of(open(&disk)).docs.dirty(), Dirty::default());
    }
}

#[test]
fn m2_a_row_that_moves_to_another_block_stays_as_dirty_as_it_was() {
    let disk = SimDisk::new();
    let side = of(open(&disk));
    for n in 0..48 {
        side.put(&format!("{n}"), n);
    }
    let first = side.docs.outgoing(1, usize::MAX, &|_| false).unwrap();
    for o in side.out().iter().filter(|o| &*o.edition.id > "3") {
        side.docs.acknowledge(std::slice::from_ref(&o.ticket));
    }
    for n in (0..16).filter(|n| ![1, 4, 5].contains(n)) {
        side.delete(&format!("{n}"));
    }
    let before = unsent(&side);
    let clean_seq = side.tap.clean_seq();
    while side.docs.inner.care(1_000) {}
    let (view, marks) = side.docs.inner.marked_view();
    assert!(view.live.iter().next().unwrap().0 >= 1 << 16, "the first block is empty");
    drop((view, marks));
    assert_eq!((unsent(&side), side.tap.clean_seq()), (before.clone(), clean_seq));
    // What was sent before the move is of a slot that is gone.
    side.docs.acknowledge(&first.iter().map(|o| o.ticket.clone()).collect::<Vec<_>>());
    assert_eq!(unsent(&side), before);
    drop(side);
    assert!(unsent(&of(open(&disk))).is_superset(&before));
}

#[test]
fn an_upsert_behind_a_move_in_one_group_finds_the_moved_row() {
    let side = side();
    side.put("a", 1);
    let inner = &side.docs.inner;
    let view = inner.view.load_full();
    let mut drafts = crate::engine::write::draft::Drafts::default();
    use crate::engine::write::draft::{Change, Clock};
    let mut clock = Clock::after(Ver(1));
    let slots = view.live.iter().collect();
    let last = side.store.token().seq.0;
    let first = drafts.stage(inner.order(Change::Move(slots), None), Seq(last + 1), &mut clock).unwrap();
    let rows = vec![(0, row("a", 2))];
    let second = drafts.stage(inner.order(Change::Upsert(rows), None), Seq(last + 2), &mut clock).unwrap();
    assert_eq!(second.removed, [first.first]);
}

/// Otherwise rows would be marked that a store, opened again, knows no marks of.
#[test]
fn a_store_whose_mirror_file_cannot_be_written_is_not_attached() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let docs = store.create_collection("docs", schema()).unwrap();
    docs.upsert([chunk("a", 1)]).unwrap();
    let tap = store.tap();
    let mut failed = 0;
    for n in 0..100 {
        disk.fail(disk.calls() + n, Fault::Io, false);
        let attached = tap.attach();
        disk.heal();
        if attached.is_ok() {
            break;
        }
        failed += 1;
        assert!(!tap.tie().is_attached(), "call {n}");
        assert_eq!(tap.remembered().unwrap(), None);
        assert_eq!(tap.collection("docs", &schema()).unwrap().dirty().rows, 0, "call {n}");
    }
    assert!(failed > 1, "its file is written and synced");
    assert!(tap.tie().is_attached() && tap.collection("docs", &schema()).unwrap().dirty().rows == 1);
    drop((tap, docs, store));
    let again = of(open(&disk));
    assert_eq!(again.docs.dirty().rows, 1);
}

#[test]
fn what_is_remembered_survives_and_what_is_damaged_is_forgotten_aloud() {
    let disk = SimDisk::new();
    let side = of(open(&disk));
    side.tap.remember(b"cursor").unwrap();
    side.put("a", 1);
    drop(side);
    let side = of(open(&disk));
    assert_eq!(side.tap.remembered().unwrap().unwrap(), b"cursor");
    drop(side);
    disk.flip(MIRROR, 300).unwrap();
    let store = open(&disk);
    assert!(store.stats().damage.iter().any(|what| what.contains(MIRROR)), "{:?}", store.stats().damage);
    assert_eq!(crate::engine::damage::doctor::examine(&disk).unwrap().findings.len(), 1);
    let side = of(store);
    assert_eq!((side.tap.remembered().unwrap(), side.docs.dirty().rows), (None, 1));
    side.tap.remember(b"anew").unwrap();
    drop(side);
    // Without the file, what only an attached store writes tells.
    disk.remove(MIRROR).unwrap();
    let store = open(&disk);
    assert!(store.tap().tie().is_attached());
    assert!(!store.stats().damage.iter().any(|what| what.contains(MIRROR)));
    // One of a later version is refused by name.
    store.tap().remember(b"x").unwrap();
    drop(store);
    crate::disk::write_envelope(&disk, MIRROR, *b"NFmirror", 2, b"{}").unwrap();
    let error = Store::open_still(Arc::new(disk.clone()), options()).err().unwrap();
    assert_ne!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn l20_damaged_rows_are_told_by_id_and_come_back_from_the_database() {
    const DIM: usize = 256;
    let tiny = Some(Tiny { block_slots: 128, log_file_bytes: 4_096 });
    let options = Options { tiny, ..options() };
    let disk = SimDisk::new();
    let open = || Store::open_still(Arc::new(disk.clone()), options.clone()).unwrap();
    let row =
        |id: usize| admit(Chunk::new(format!("{id}")).vector(vec![id as f32; DIM]), DIM, false).unwrap();
    let store = open();
    let schema = Schema::new(DIM, Metric::L2);
    store.tap().attach().unwrap();
    let docs = store.create_collection("docs", schema.clone()).unwrap();
    docs.upsert((0..130).map(|id| row(id).to_chunk())).unwrap();
    store.close(Duration::from_secs(60)).unwrap();
    drop((store, docs));
    disk.flip("c00000001/block-0000.rows", 8 * 4_096 + 1).unwrap();
    let store = open();
    let tap = store.tap();
    tap.set_seed(SEED);
    let docs = tap.collection("docs", &schema).unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let count = told.clone();
    tap.on_lost(Arc::new(move || _ = count.fetch_add(1, Ordering::Relaxed)));
    store.checkpoint().unwrap();
    let (lost, nameless) = docs.lost();
    assert_eq!((told.load(Ordering::Relaxed), nameless), (1, 0));
    assert!(lost.len() > 50 && lost.len() < 70, "{}", lost.len());
    // What cannot be read is not sent, and in no ledger.
    assert_eq!(docs.dirty().rows, 130 - lost.len());
    let sent = docs.outgoing(usize::MAX, usize::MAX, &|_| false).unwrap();
    assert_eq!(sent.len(), 130 - lost.len());
    docs.acknowledge(&sent.into_iter().map(|o| o.ticket).collect::<Vec<_>>());
    assert_eq!(docs.ledger().unwrap().len(), 130 - lost.len());
    let again = lost.iter().map(|id| {
        let row = row(id.parse().unwrap());
        Edition {
            id: id.clone(),
            stamp: Stamp { ver: Ver(1), node: OTHER, digest: digest(&row, SEED) },
            row: Some(row),
        }
    });
    assert_eq!(docs.apply(again.collect(), false).unwrap().stored, lost.len());
    assert_eq!((docs.lost(), docs.ledger().unwrap().len()), ((vec![], 0), 130));
}

#[test]
fn a_snapshot_keeps_what_is_dirty_and_forgets_the_database() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let side = of(Store::open(at("a"), Options::default()).unwrap());
    side.put("sent", 1);
    side.send();
    side.put("dirty", 1);
    side.put("deleted", 1);
    side.delete("deleted");
    side.tap.remember(b"cursor").unwrap();
    side.store.snapshot(at("b")).unwrap();
    Store::restore(at("b"), at("c")).unwrap();
    for name in ["b", "c"] {
        let copy = of(Store::open(at(name), Options::default()).unwrap());
        assert_eq!(unsent(&copy), unsent(&side), "{name}");
        assert_eq!(copy.tap.remembered().unwrap(), None, "{name}");
        assert_ne!(copy.tap.node(), side.tap.node());
        copy.put("dirty", 2);
        assert_eq!(copy.stamp("dirty").unwrap().1, copy.tap.node());
        assert_eq!(copy.stamp("sent").unwrap().1, side.tap.node());
    }
}
