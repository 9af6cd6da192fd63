//! Snapshots on a disk that fails: whichever call it is, nothing is left of the attempt and the store goes on.

use super::*;
use crate::config::{Metric, Options, Schema};
use crate::disk::sim::{Fault, SimDisk};
use crate::record::Chunk;
use std::sync::Arc;

fn rows(ids: std::ops::Range<usize>) -> impl Iterator<Item = Chunk> {
    ids.map(|id| Chunk::new(id.to_string()).vector([id as f32, 1.0]))
}

fn count(folder: &Path) -> usize {
    let store = Store::open(folder, Options::default()).unwrap();
    store.open_collection("docs").unwrap().count(None).unwrap()
}

#[test]
fn l16_whichever_call_fails_nothing_is_left_of_it() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: String| home.path().join(name);
    let (mut n, mut failed) = (0, 0);
    loop {
        let disk = SimDisk::new();
        let store = Store::open_still(Arc::new(disk.clone()), Options::default()).unwrap();
        let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
        docs.upsert(rows(0..20)).unwrap();
        disk.fail(disk.calls() + n, Fault::Io, false);
        let first = store.snapshot(at(format!("first-{n}")));
        if disk.faults_met() == 0 {
            first.unwrap();
            break;
        }
        if let Err(e) = first {
            failed += 1;
            assert!(!at(format!("first-{n}")).exists(), "call {n}: {e}");
        }
        docs.upsert(rows(20..30)).unwrap();
        let second = store.snapshot(at(format!("second-{n}"))).unwrap();
        assert_eq!(second.token, store.token(), "call {n}");
        Store::restore(at(format!("second-{n}")), at(format!("copy-{n}"))).unwrap();
        assert_eq!(count(&at(format!("copy-{n}"))), 30, "call {n}");
        n += 1;
    }
    assert!(failed > 10, "{failed} of {n} calls were told");
}

#[test]
fn every_bit_that_a_restoration_reads_is_verified() {
    let home = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let store = Store::open_still(Arc::new(disk.clone()), Options::default()).unwrap();
    let docs = store.create_collection("docs", Schema::new(2, Metric::L2)).unwrap();
    docs.upsert(rows(0..3)).unwrap();
    let report = store.snapshot(home.path().join("snapshot")).unwrap();
    let manifest = store.alive.shared.home.as_ref().unwrap().manifests.lock()[0].clone();
    let told = Cell::new((0, 0));
    verify(&disk, &manifest, &|done, all| told.set((done, all))).unwrap();
    // Pieces and bodies; tables and trailers are read beside.
    assert!(told.get().0 <= report.bytes && told.get().1 == report.bytes, "{:?}", told.get());
    for path in manifest.paths() {
        let bits = disk.len(&path).unwrap() * 8;
        for bit in (0..bits).step_by(97) {
            disk.flip(&path, bit).unwrap();
            let error = verify(&disk, &manifest, &|_, _| {}).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(&path), "{path}: {error}");
            disk.flip(&path, bit).unwrap();
        }
    }
}
