//! A graph that is written and read again is the same graph, also when it was written while rows were linked.

use super::super::FlatGraph;
use super::super::levels::level_of;
use super::bed::{Bed, Random};
use crate::disk::{Disk, Mapping, RealDisk};
use crate::error::{Error, ErrorKind};
use crate::graph::{BlockShape, Graph, Loaded};
use crate::ids::{Level, Slot};
use crate::sets::SlotBits;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const SEED: u64 = 51;
const DIM: usize = 12;
const M: usize = 6;
pub(super) const PATH: &str = "links";

pub(super) fn disk() -> (TempDir, RealDisk) {
    let folder = tempfile::tempdir().unwrap();
    let disk = RealDisk::new(folder.path());
    (folder, disk)
}

/// Clustered rows, every seventh with a twin.
pub(super) fn rows(random: &mut Random, count: usize) -> Vec<Vec<f32>> {
    let mut rows = random.clusters(count, DIM, 12);
    for i in (7..count).step_by(7) {
        rows[i] = rows[i / 2].clone();
    }
    rows
}

/// A graph of blocks with room for `capacities` rows; the first `count` rows of it are linked.
pub(super) fn bed_of(rows: &[Vec<f32>], count: usize, capacities: &[usize]) -> Bed {
    let mut bed = Bed::empty(DIM, M, capacities[0]);
    for &capacity in &capacities[1..] {
        bed.add_block(capacity);
    }
    bed.insert(&rows[..count], 1);
    bed
}

pub(super) fn shapes(bed: &Bed) -> Vec<BlockShape> {
    let vectors = &bed.vectors;
    (0..vectors.blocks())
        .map(|b| BlockShape { capacity: vectors.capacity_of(b), rows: vectors.rows_in(b) })
        .collect()
}

pub(super) fn all(bed: &Bed) -> SlotBits {
    SlotBits::of_rows(&shapes(bed).iter().map(|s| s.rows).collect::<Vec<_>>())
}

pub(super) fn load(bed: &Bed, disk: &dyn Disk, mapping: Mapping) -> Result<Loaded<FlatGraph>, Error> {
    FlatGraph::load(M, 100, disk, PATH, None, mapping, &shapes(bed))
}

/// All lists and chains of the slots of `of`, without what is not in it.
fn picture(graph: &FlatGraph, of: &SlotBits) -> Vec<(Slot, Vec<Vec<Slot>>, Vec<Slot>)> {
    let blocks = graph.blocks.load();
    let lists = super::super::links::Lists(&blocks);
    let of_slot = |slot: Slot| {
        let list = |level| lists.list(slot, Level(level)).iter().filter(|s| of.contains(*s)).collect();
        let levels = (0..=level_of(slot).0).map(list).collect();
        (slot, levels, lists.twins(slot).filter(|s| of.contains(*s)).collect())
    };
    of.iter().map(of_slot).collect()
}

#[test]
fn a_graph_comes_back_as_it_was_and_grows_on() {
    let mut random = Random(SEED);
    let rows = rows(&mut random, 1_400);
    let queries = random.clusters(40, DIM, 12);
    // One block with room, one that is full, several.
    for capacities in [&[1_400][..], &[1_000, 400], &[300, 300, 300, 500]] {
        for mapping in [Mapping::Private, Mapping::Copy] {
            let told = format!("blocks of {capacities:?}, {mapping:?}, seed {SEED}");
            let (_folder, disk) = disk();
            let mut bed = bed_of(&rows, 1_000, capacities);
            let dead = random.sample(&bed.live, 5);
            bed.delete(&dead);
            bed.heal(100);
            bed.mend();
            let dead = random.sample(&bed.live, 10);
            bed.delete(&dead);
            let before = (bed.check(), bed.mean_recall(&queries, 48), bed.graph.entry());
            let lists = picture(&bed.graph, &all(&bed));
            let named = bed.graph.save(&disk, PATH, &all(&bed), &|_| {}).unwrap().unwrap();

            let bytes = disk.read(PATH, 0, 1 << 30).unwrap();
            let loaded = FlatGraph::load(M, 100, &disk, PATH, Some(&named), mapping, &shapes(&bed)).unwrap();
            assert!(loaded.linked.iter().eq(all(&bed).iter()), "{told}");
            bed.graph = loaded.graph;
            assert_eq!(picture(&bed.graph, &all(&bed)), lists, "{told}");
            assert_eq!((bed.check(), bed.mean_recall(&queries, 48), bed.graph.entry()), before, "{told}");

            bed.insert(&rows[1_000..], 2);
            bed.heal(100);
            bed.mend();
            assert_eq!(bed.check(), Ok(0), "{told}");
            bed.assert_healed(&told);
            // What was written to is not what is verified.
            assert_eq!(disk.read(PATH, 0, 1 << 30).unwrap(), bytes, "{told}: the file changed");
        }
    }
}

#[test]
fn no_rows_and_one_row_come_back() {
    for count in [0, 1, 2] {
        let (_folder, disk) = disk();
        let rows = Random(SEED).clusters(4, DIM, 1);
        let mut bed = bed_of(&rows, count, &[4]);
        bed.graph.save(&disk, PATH, &all(&bed), &|_| {}).unwrap();
        bed.graph = load(&bed, &disk, Mapping::Private).unwrap().graph;
        assert_eq!((bed.check(), bed.live.len()), (Ok(0), count));
        bed.insert(&rows[count..], 1);
        assert_eq!(bed.check(), Ok(0));
    }
}

#[test]
fn what_is_not_covered_leaves_no_gap_and_loses_no_twin() {
    let mut random = Random(SEED);
    let mut rows = rows(&mut random, 1_200);
    // A long chain with covered and uncovered slots in any order.
    for i in 0..200 {
        rows[6 * i] = rows[0].clone();
    }
    let mut bed = bed_of(&rows, 1_200, &[500, 800]);
    bed.mend();
    let chained = picture(&bed.graph, &all(&bed)).iter().map(|p| p.2.len()).sum::<usize>();
    assert!(chained > 200, "{chained} twins");
    // Not the head of a long chain: its twins would be lost with it.
    let mut tail = random.sample(&bed.live, 8);
    tail.extend(bed.graph.entry().map(|(s, _)| s));
    tail.retain(|s| bed.chain(*s).len() < 10);
    assert!(tail.len() > 100 && bed.graph.entry().is_some_and(|(s, _)| tail.contains(&s)), "seed {SEED}");
    let covered = all(&bed).with(&[], &tail);
    let (_folder, disk) = disk();
    bed.graph.save(&disk, PATH, &covered, &|_| {}).unwrap();
    let lists = picture(&bed.graph, &covered);
    let loaded = load(&bed, &disk, Mapping::Private).unwrap();
    assert!(loaded.linked.iter().eq(covered.iter()));
    bed.graph = loaded.graph;
    assert_eq!(picture(&bed.graph, &all(&bed).and(&covered)), lists);
    for slot in bed.live.clone().iter() {
        let links = bed.links(slot);
        assert!(links.is_empty() || covered.contains(slot), "slot {} is not covered", slot.0);
        assert!(links.iter().chain(&bed.chain(slot)).all(|s| covered.contains(*s)));
    }
    bed.live = covered.clone();
    let lost = bed.check().unwrap();
    assert!(lost <= 30, "seed {SEED}: {lost} of {} are lost", covered.len());
    bed.live = all(&bed);
    bed.link(&tail, 1);
    bed.mend();
    assert_eq!(bed.check(), Ok(0));
    let live: Vec<Slot> = bed.live.iter().collect();
    assert_eq!(bed.unfound(&live, 300), []);
}

#[test]
fn a_checkpoint_is_taken_while_rows_are_linked() {
    let mut random = Random(SEED);
    let rows = rows(&mut random, 6_000);
    let mut bed = bed_of(&rows, 2_000, &[2_500, 4_000]);
    bed.mend();
    let covered = all(&bed);
    let young = bed.push(&rows[2_000..]);
    let (_folder, disk) = disk();
    let linking = AtomicBool::new(true);
    let mut saved = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            bed.link(&young, 2);
            linking.store(false, Ordering::Release);
        });
        while linking.load(Ordering::Acquire) {
            let path = format!("{PATH}-{saved}");
            bed.graph.save(&disk, &path, &covered, &|_| {}).unwrap();
            saved += 1;
        }
    });
    assert!(saved >= 3, "only {saved} checkpoints while rows were linked");
    for at in [0, saved / 2, saved - 1] {
        let path = format!("{PATH}-{at}");
        let loaded = FlatGraph::load(M, 100, &disk, &path, None, Mapping::Private, &shapes(&bed)).unwrap();
        bed.graph = loaded.graph;
        bed.live = covered.clone();
        let lost = bed.check().unwrap();
        assert!(lost <= 100, "seed {SEED}: {lost} of 2,000 are lost in checkpoint {at} of {saved}");
        bed.mend();
        assert_eq!(bed.check(), Ok(0));
        bed.live = all(&bed);
        bed.link(&young, 2);
        bed.mend();
        assert_eq!(bed.check(), Ok(0));
    }
}

#[test]
fn blocks_are_warmed_and_dropped() {
    let mut random = Random(SEED);
    let rows = rows(&mut random, 900);
    let (_folder, disk) = disk();
    let mut bed = bed_of(&rows, 800, &[300, 300, 300]);
    bed.graph.save(&disk, PATH, &all(&bed), &|_| {}).unwrap();
    bed.graph = load(&bed, &disk, Mapping::Private).unwrap().graph;
    let lists = picture(&bed.graph, &all(&bed));
    // The last block grows: it is in memory already.
    let warmed: Vec<bool> = (0..4).map(|b| bed.graph.warm_block(b).unwrap()).collect();
    assert_eq!(warmed, [true, true, false, false]);
    assert!(!bed.graph.warm_block(0).unwrap());
    assert_eq!(picture(&bed.graph, &all(&bed)), lists);

    for block in [0, 2, 1] {
        let gone: Vec<Slot> = bed.live.iter().filter(|s| s.block().index() == block).collect();
        bed.delete(&gone);
        bed.heal(100);
        bed.mend();
        bed.graph.drop_block(block, &bed.live).unwrap();
        assert!(bed.graph.entry().is_none_or(|(s, _)| bed.live.contains(s)));
        assert_eq!(bed.check(), Ok(0));
        let live: Vec<Slot> = bed.live.iter().collect();
        assert_eq!(bed.unfound(&live, 64), []);
        bed.graph.save(&disk, &format!("{PATH}-{block}"), &all(&bed), &|_| {}).unwrap();
        let mut shapes = shapes(&bed);
        shapes[block] = BlockShape { capacity: 0, rows: 0 };
        let path = format!("{PATH}-{block}");
        if block == 0 {
            let loaded = FlatGraph::load(M, 100, &disk, &path, None, Mapping::Copy, &shapes).unwrap();
            bed.graph = loaded.graph;
            assert_eq!(bed.check(), Ok(0));
        }
    }
    assert_eq!(bed.graph.entry(), None);
    bed.add_block(100);
    // Rows that fill the third block came to an end with it.
    let new = bed.insert(&rows[800..], 1);
    let new: Vec<Slot> = new.into_iter().filter(|s| s.block().index() == 3).collect();
    bed.delete(&bed.live.iter().filter(|s| s.block().index() < 3).collect::<Vec<_>>());
    bed.mend();
    assert_eq!(bed.live.len(), new.len());
}

#[test]
fn a_file_of_another_collection_is_refused() {
    let rows = rows(&mut Random(SEED), 300);
    let bed = bed_of(&rows, 300, &[300]);
    let (_folder, disk) = disk();
    let named = bed.graph.save(&disk, PATH, &all(&bed), &|_| {}).unwrap().unwrap();
    let shape = |capacity, rows| [BlockShape { capacity, rows }];
    let load = |m, named, shapes: &[BlockShape]| {
        FlatGraph::load(m, 100, &disk, PATH, named, Mapping::Private, shapes)
    };
    assert!(load(M, Some(&named), &shape(300, 300)).is_ok());
    let other = crate::disk::Named { check: named.check ^ 1, ..named };
    let refused = [
        load(M + 1, None, &shape(300, 300)),
        load(M, None, &shape(300, 299)),
        load(M, None, &shape(299, 299)),
        load(M, None, &[]),
        load(M, Some(&other), &shape(300, 300)),
    ];
    for (i, refused) in refused.into_iter().enumerate() {
        assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::Corrupt), "case {i}");
    }
}
