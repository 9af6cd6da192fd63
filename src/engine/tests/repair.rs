//! Damage of known extent: exactly its rows go, everything says so, and they come back when they are written again.

use super::bed::{Bed, Model, chunk, docs, open};
use crate::ErrorKind;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, temporary};
use crate::engine::Store;
use crate::engine::damage::repair::{LostRow, Refetch};
use crate::engine::files::checkpoint::Scope;
use crate::record::Chunk;
use parking_lot::Mutex;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

const ROWS: &str = "c00000001/block-0000.rows";
const PIECE: u64 = 1 << 16;

fn options_lazy() -> crate::Options {
    super::bed::options().verify_open_bytes(0)
}

/// Opens without a look at rows: they are verified when they are touched.
fn open_lazily(disk: &SimDisk) -> Store {
    Store::open_still(Arc::new(disk.clone()), options_lazy()).unwrap()
}

/// The ids that `get` refuses, which must be all that are not found, and no others of the model.
fn unreadable(store: &Store, model: &Model) -> BTreeSet<String> {
    let docs = docs(store);
    let mut bad = BTreeSet::new();
    for (id, chunk) in model {
        match docs.get(id) {
            Ok(found) => assert_eq!(found.as_ref(), Some(chunk)),
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::Corrupt, "{e}");
                assert!(e.to_string().contains(".rows") && e.to_string().contains("doctor"), "{e}");
                bad.insert(id.clone());
            }
        }
    }
    bad
}

fn in_second_piece(model: &Model) -> BTreeSet<String> {
    in_piece(model, 1)
}

/// The ids of the rows of block 0 with a vector in a piece of its file.
fn in_piece(model: &Model, piece: u64) -> BTreeSet<String> {
    let bytes = super::bed::DIM as u64 * 4;
    let of = |slot: u64| 4096 + slot * bytes..4096 + (slot + 1) * bytes;
    let slots = (0..super::bed::BLOCK_ROWS as u64)
        .filter(|slot| of(*slot).end > piece * PIECE && of(*slot).start < (piece + 1) * PIECE);
    let id = |slot: u64| format!("id-{slot}");
    let is_there = |id: &String| model.get(id).is_some_and(|c| c.meta_version() == 1 && c.vector.is_some());
    slots.map(id).filter(is_there).collect()
}

trait MetaVersion {
    fn meta_version(&self) -> u64;
}

impl MetaVersion for Chunk {
    fn meta_version(&self) -> u64 {
        self.metadata["version"].as_u64().unwrap()
    }
}

#[test]
fn l20_a_bad_piece_costs_its_rows_and_no_other() {
    let bed = Bed::new();
    let model = bed.model();
    for lazy in [false, true] {
        let disk = bed.disk.snapshot();
        disk.flip(ROWS, (PIECE + 1000) * 8).unwrap();
        let store = if lazy { open_lazily(&disk) } else { open(&disk).unwrap() };
        let found = docs(&store).search(&[1.0; super::bed::DIM]).k(500).exact(true).run().unwrap();
        assert!(found.degraded, "the search touched a bad piece");
        store.checkpoint().unwrap();
        let lost = unreadable(&store, model);
        assert_eq!(lost, in_second_piece(model));
        assert_eq!(docs(&store).stats().missing, lost.len());
        let page = docs(&store).scroll(None, None, 1000).unwrap();
        assert!(page.degraded && page.chunks.len() == model.len() - lost.len());
        drop(store);
        // Told once, kept as evidence, and the same after each opening.
        for _ in 0..2 {
            let store = open(&disk).unwrap();
            assert_eq!(unreadable(&store, model), lost);
            let found = docs(&store).search(&[1.0; super::bed::DIM]).k(3).run().unwrap();
            assert!(found.degraded && found.hits.len() == 3);
            store.checkpoint().unwrap();
        }
        let lines = disk.contents().remove("lost_rows.jsonl").unwrap();
        assert_eq!(lines.iter().filter(|b| **b == b'\n').count(), lost.len());
        let first: serde_json::Value =
            serde_json::from_slice(lines.split(|b| *b == b'\n').next().unwrap()).unwrap();
        assert_eq!(first["collection"], "docs");
        assert_eq!(first["pieces"], serde_json::json!([1]));
        assert_eq!(disk.files().keys().filter(|path| path.starts_with("quarantine/")).count(), 1);
    }
}

#[test]
fn l20_a_bad_head_costs_the_rows_of_its_piece_and_no_other() {
    let bed = Bed::new();
    for bit in [0, 100, 50 * 8, 4000 * 8, 30_000 * 8] {
        let disk = bed.disk.snapshot();
        disk.flip(ROWS, bit).unwrap();
        for _ in 0..2 {
            let store = open_lazily(&disk);
            docs(&store).search(&[1.0; super::bed::DIM]).k(500).exact(true).run().unwrap();
            let lost = unreadable(&store, bed.model());
            assert_eq!(lost, in_piece(bed.model(), 0), "bit {bit}");
            assert!(docs(&store).get("no-such-id").unwrap().is_none());
            store.checkpoint().unwrap();
        }
    }
}

#[test]
fn missing_rows_are_cleared_by_writes_and_deletes_for_good() {
    let bed = Bed::new();
    let model = bed.model();
    let disk = bed.disk.snapshot();
    disk.flip(ROWS, (PIECE + 1000) * 8).unwrap();
    let store = open(&disk).unwrap();
    store.checkpoint().unwrap();
    let lost: Vec<String> = unreadable(&store, model).into_iter().collect();
    let (deleted, written) = lost.split_at(lost.len() / 2);
    let (count, _) = docs(&store).delete(deleted.iter().map(String::as_str)).unwrap();
    assert_eq!(count, deleted.len(), "a damaged chunk can be deleted");
    for id in written {
        let n: usize = id.trim_start_matches("id-").parse().unwrap();
        docs(&store).upsert([chunk(n, 9)]).unwrap();
    }
    let check = |store: &Store| {
        let docs = docs(store);
        assert_eq!(docs.stats().missing, 0);
        assert!(deleted.iter().all(|id| docs.get(id).unwrap().is_none()));
        assert!(written.iter().all(|id| docs.get(id).unwrap().unwrap().meta_version() == 9));
        assert!(!docs.search(&[1.0; super::bed::DIM]).run().unwrap().degraded);
        assert_eq!(docs.count(None).unwrap(), model.len() - deleted.len());
    };
    check(&store);
    drop(store);
    // From the log alone, then from a checkpoint.
    let store = open(&disk).unwrap();
    check(&store);
    store.checkpoint().unwrap();
    check(&store);
    drop(store);
    check(&open(&disk).unwrap());
}

#[test]
fn a_file_of_rows_that_is_gone_costs_its_block() {
    let bed = Bed::new();
    let disk = bed.disk.snapshot();
    disk.truncate(ROWS, 5000).unwrap();
    for _ in 0..3 {
        let store = open(&disk).unwrap();
        let docs = docs(&store);
        assert!(docs.search(&[1.0; super::bed::DIM]).run().unwrap().degraded);
        // Whose ids they were, nobody can say.
        assert_eq!(docs.get("no-such-id").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(docs.get("id-150").unwrap().as_ref(), bed.model().get("id-150"));
        docs.upsert([chunk(1, 7)]).unwrap();
        assert_eq!(docs.get("id-1").unwrap().unwrap(), chunk(1, 7));
        store.checkpoint().unwrap();
        assert!(
            store.stats().damage.iter().any(|what| what.contains("block-0000.rows")),
            "{:?}",
            store.stats()
        );
    }
    assert!(disk.files().keys().any(|path| path.starts_with("quarantine/") && path.ends_with("rows-5000")));
}

#[test]
fn bad_codes_are_made_again_under_another_name() {
    let bed = Bed::new();
    let disk = bed.disk.snapshot();
    let codes = |disk: &SimDisk| -> Vec<String> {
        disk.files().into_keys().filter(|path| path.contains("block-") && path.ends_with(".codes")).collect()
    };
    let before = codes(&disk);
    disk.flip(&before[0], 5000 * 8).unwrap();
    let store = open(&disk).unwrap();
    assert!(!docs(&store).search(&[1.0; super::bed::DIM]).run().unwrap().degraded, "nothing is lost");
    store.checkpoint().unwrap();
    drop(store);
    let after = codes(&disk);
    assert_eq!(after.len(), before.len());
    assert!(!after.contains(&before[0]) && after.contains(&before[1]), "{after:?}");
    let store = open(&disk).unwrap();
    assert!(store.stats().damage.is_empty(), "{:?}", store.stats().damage);
    assert_eq!(unreadable(&store, bed.model()), BTreeSet::new());
}

#[test]
fn a_scrub_finds_what_nobody_touched() {
    let bed = Bed::new();
    let disk = bed.disk.snapshot();
    let codes =
        disk.files().into_keys().find(|path| path.contains("block-") && path.ends_with(".codes")).unwrap();
    disk.flip(ROWS, (PIECE + 1000) * 8).unwrap();
    let store = open_lazily(&disk);
    disk.flip(&codes, 5000 * 8).unwrap();
    let shared = &store.alive.shared;
    assert!(!shared.needs_repair(), "nothing was read");
    let (bytes, mut steps) = (Cell::new(0), 0);
    let mut scrub = shared.begin_scrub();
    while shared.scrub_step(&mut scrub, &|n| bytes.set(bytes.get() + n as u64)).unwrap() {
        steps += 1;
    }
    let sizes = disk.files();
    let read = |path: &&String| [".rows", "block-", "links-"].iter().any(|part| path.contains(part));
    let expected: u64 = sizes.iter().filter(|(path, _)| read(path)).map(|(_, len)| *len).sum();
    assert_eq!(steps, sizes.keys().filter(read).count());
    assert!(bytes.get() <= expected && bytes.get() + 40_000 > expected, "{} of {expected}", bytes.get());
    assert!(shared.needs_repair());
    store.checkpoint().unwrap();
    assert_eq!(unreadable(&store, bed.model()), in_second_piece(bed.model()));
    assert!(!disk.files().contains_key(&codes), "made again under another name");
    drop(store);
    let store = open(&disk).unwrap();
    assert!(store.stats().damage.iter().all(|what| !what.contains(".codes")), "{:?}", store.stats().damage);
}

#[test]
fn a_bad_row_of_the_growing_block_stays_missing_when_the_block_is_sealed() {
    let bed = Bed::new();
    let disk = bed.disk.snapshot();
    let head =
        disk.files().into_keys().find(|path| path.contains("head-") && path.ends_with(".rows")).unwrap();
    disk.flip(&head, (disk.files()[&head] - 400) * 8).unwrap();
    let store = open(&disk).unwrap();
    let lost = unreadable(&store, bed.model());
    assert!(!lost.is_empty());
    for n in 400..560 {
        docs(&store).upsert([chunk(n, 1)]).unwrap();
    }
    store.checkpoint().unwrap();
    drop(store);
    for _ in 0..2 {
        let store = open(&disk).unwrap();
        assert_eq!(unreadable(&store, bed.model()), lost);
        assert_eq!(docs(&store).get("id-500").unwrap().unwrap(), chunk(500, 1));
        assert!(docs(&store).get("no-such-id").unwrap().is_none(), "all ids of the lost are known");
        store.checkpoint().unwrap();
    }
}

#[test]
fn many_bad_blocks_are_not_written_off() {
    let bed = Bed::new();
    let disk = bed.disk.snapshot();
    let rows: Vec<String> = disk.files().into_keys().filter(|path| path.ends_with(".rows")).collect();
    assert_eq!(rows.len(), 3);
    let contents = disk.contents();
    rows.iter().for_each(|path| disk.truncate(path, 100).unwrap());
    let store = open(&disk).unwrap();
    assert!(docs(&store).search(&[1.0; super::bed::DIM]).run().unwrap().degraded);
    docs(&store).upsert([chunk(900, 1)]).unwrap();
    assert_eq!(store.checkpoint().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(store.stats().damage[0].contains("3 of 3 blocks"), "{:?}", store.stats().damage);
    drop(store);
    assert!(!disk.files().keys().any(|path| path.starts_with("quarantine") || path.starts_with("lost")));
    // The files come back, and so does every row.
    rows.iter().for_each(|path| disk.overwrite(path, 0, &contents[path]).unwrap());
    let store = open(&disk).unwrap();
    assert_eq!(unreadable(&store, bed.model()), BTreeSet::new());
    assert_eq!(docs(&store).get("id-900").unwrap().unwrap(), chunk(900, 1));
    store.checkpoint().unwrap();
    drop(store);
    // Whoever accepts the loss says so.
    let rows: Vec<String> = disk.files().into_keys().filter(|path| path.ends_with(".rows")).collect();
    rows.iter().for_each(|path| disk.truncate(path, 100).unwrap());
    let accepting = super::bed::options().repair_share_max(1.0);
    Store::open_still(Arc::new(disk.clone()), accepting).unwrap().checkpoint().unwrap();
    assert!(disk.files().contains_key("lost_rows.jsonl"));
}

#[test]
fn l20_an_accepted_loss_is_forgotten_for_good_and_stays_written_down() {
    let bed = Bed::new();
    let model = bed.model();
    let lines = |disk: &SimDisk| {
        let text = disk.contents().remove("lost_rows.jsonl").unwrap();
        text.split(|b| *b == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    // A piece of vectors; a whole block, whose ids are gone too.
    for has_ids in [true, false] {
        let disk = bed.disk.snapshot();
        match has_ids {
            true => disk.flip(ROWS, (PIECE + 1000) * 8).unwrap(),
            false => disk.truncate(ROWS, 100).unwrap(),
        };
        let store = open(&disk).unwrap();
        store.checkpoint().unwrap();
        let last = store.token().seq.0;
        let missing = docs(&store).stats().missing;
        let left = docs(&store).count(None).unwrap();
        assert!(missing > 0 && docs(&store).is_degraded());
        assert_eq!(docs(&store).get("no-such-id").is_ok(), has_ids, "it may be one of the lost");
        assert_eq!(store.accept_loss().unwrap(), missing);
        let check = |store: &Store| {
            let docs = docs(store);
            // The bad piece is met again at opening; a step of repair finds that nothing live is in it.
            assert_eq!(store.accept_loss().unwrap(), 0);
            assert!(!docs.is_degraded() && !docs.search(&[1.0; super::bed::DIM]).run().unwrap().degraded);
            assert_eq!((docs.stats().missing, docs.count(None).unwrap()), (0, left));
            assert!(model.keys().all(|id| docs.get(id).is_ok()) && docs.get("no-such-id").unwrap().is_none());
        };
        check(&store);
        drop(store);
        check(&open(&disk).unwrap());
        let lines = lines(&disk);
        assert_eq!(lines.len(), missing, "one line for each, however often it was opened");
        for line in lines {
            let row: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert!(row["seq_max"].as_u64().is_some_and(|seq| seq > 0 && seq <= last), "{row}");
        }
    }
}

#[test]
fn a_second_copy_is_asked_for_what_was_lost_once() {
    struct Asked(Mutex<Vec<LostRow>>);
    impl Refetch for Asked {
        fn lost(&self, rows: &[LostRow]) {
            self.0.lock().extend_from_slice(rows);
        }
    }
    let bed = Bed::new();
    let disk = bed.disk.snapshot();
    disk.flip(ROWS, (PIECE + 1000) * 8).unwrap();
    let store = open(&disk).unwrap();
    let asked = Arc::new(Asked(Mutex::default()));
    *store.alive.shared.refetch.write() = Some(asked.clone());
    store.checkpoint().unwrap();
    store.checkpoint().unwrap();
    assert_eq!(asked.0.lock().len(), docs(&store).stats().missing);
    assert!(asked.0.lock().iter().all(|row| row.file == ROWS && (row.id.is_some() || row.id_hash.is_some())));
}

#[test]
fn bad_sets_are_made_again_from_the_sets_before_and_the_log_or_not_at_all() {
    let bed = Bed::new();
    let disk = bed.disk.snapshot();
    let mut model = bed.model().clone();
    let store = open(&disk).unwrap();
    let mut seal = |n: usize| {
        docs(&store).upsert((n..n + 90).map(|n| chunk(n, 5))).unwrap();
        model.extend((n..n + 90).map(|n| (format!("id-{n}"), chunk(n, 5))));
        let gone = format!("id-{}", n + 3);
        docs(&store).delete([gone.as_str()]).unwrap();
        model.remove(&gone);
        // The log stays.
        store.alive.shared.checkpoint(Scope::Seal, &|_| {}).unwrap();
    };
    [20, 400, 460].into_iter().for_each(&mut seal);
    drop(store);
    let newest = |disk: &SimDisk| disk.files().into_keys().rfind(|path| path.contains("/sets-")).unwrap();
    disk.flip(&newest(&disk), 1000).unwrap();
    let store = open(&disk).unwrap();
    assert!(store.stats().damage.iter().any(|what| what.contains("/sets-")), "{:?}", store.stats().damage);
    for _ in 0..2 {
        assert_eq!(unreadable(&store, &model), BTreeSet::new());
        assert_eq!(docs(&store).count(None).unwrap(), model.len());
        assert!(!docs(&store).search(&[1.0; super::bed::DIM]).run().unwrap().degraded);
        store.checkpoint().unwrap();
    }
    drop(store);
    // The log was cut: nobody knows what was deleted since the sets before.
    disk.flip(&newest(&disk), 1000).unwrap();
    let error = open(&disk).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("/sets-") && error.to_string().contains("doctor"), "{error}");
}

#[test]
fn links_that_rot_are_found_and_made_again() {
    let bed = Bed::new();
    let disk = bed.disk.snapshot();
    let links = |disk: &SimDisk| disk.files().into_keys().find(|path| path.contains("links-"));
    let path = links(&disk).unwrap();
    let store = open_lazily(&disk);
    disk.flip(&path, (disk.files()[&path] / 2) * 8).unwrap();
    let shared = &store.alive.shared;
    let mut scrub = shared.begin_scrub();
    while shared.scrub_step(&mut scrub, &|_| {}).unwrap() {}
    assert!(store.stats().damage.iter().any(|what| what.contains("links-")), "{:?}", store.stats().damage);
    store.checkpoint().unwrap();
    assert_eq!(links(&disk), None, "no file is made from lists that may be wrong");
    drop(store);
    let store = open(&disk).unwrap();
    assert_eq!(
        docs(&store).stats().tail,
        docs(&store).inner().view.load().ready.len(),
        "all are linked anew"
    );
    while docs(&store).inner().link_waiting(1_000) > 0 {}
    store.checkpoint().unwrap();
    assert!(links(&disk).is_some());
    assert_eq!((docs(&store).check(), unreadable(&store, bed.model())), (Ok(0), BTreeSet::new()));
}

#[test]
fn l15_what_is_being_written_is_removed_by_nobody_but_the_next_opening() {
    let bed = Bed::new();
    let disk = bed.disk.snapshot();
    let store = open(&disk).unwrap();
    let tmp = temporary(&disk, "quarantine/x").unwrap();
    disk.create(&tmp).unwrap();
    // Another thread sweeps before the file is moved to its place.
    store.checkpoint().unwrap();
    store.alive.shared.tidy().unwrap();
    assert!(disk.len(&tmp).is_ok(), "somebody writes it");
    drop(store);
    drop(open(&disk).unwrap());
    assert!(disk.len(&tmp).is_err(), "nobody does any more");
}
