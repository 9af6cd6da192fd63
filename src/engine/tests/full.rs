//! Goal: a disk without room fails the writes that need some, and nothing else; with room again all goes on. Method: a simulated
//! disk with a capacity, filled by the store itself, then by others.

use super::check::{agree, answer_as, recover, state_of};
use super::model::{Op, World, options};
use crate::config::{Durability, Options, Tiny};
use crate::disk::Disk;
use crate::error::ErrorKind;
use crate::record::Chunk;

const RESERVE: u64 = 5 << 20;

fn large(nth: usize) -> Op {
    let row = |i: usize| {
        let chunk = Chunk::new(format!("id-{}", nth * 2 + i)).vector([nth as f32, i as f32, 1.0, 2.0]);
        chunk.text("x".repeat(150 << 10)).meta("lang", "en").meta("n", nth as u64)
    };
    Op::Upsert("a", (0..2).map(row).collect())
}

fn used(world: &World) -> u64 {
    world.disk.files().values().sum()
}

/// Writes until there is no room; how many were taken.
fn fill(world: &mut World) -> usize {
    for nth in 0..1000 {
        let before = world.state().clone();
        let Err(e) = world.step(&large(nth)) else { continue };
        assert_eq!(e.kind(), ErrorKind::Full, "{e}");
        assert_eq!(state_of(world.store()).unwrap(), before);
        return nth;
    }
    panic!("1,000 writes of 300 KiB found room");
}

fn run(durability: Durability) {
    let tiny = Some(Tiny { block_slots: 64, log_file_bytes: 1 << 20 });
    let options = Options { tiny, disk_reserve_bytes: RESERVE, ..options(durability) };
    let mut world = World::new(6_000_001, options);
    world.step(&Op::Create("a")).unwrap();
    world.disk.capacity(used(&world) + 3 * RESERVE);
    let taken = fill(&mut world);
    assert!(taken > 10, "{taken}");

    // Below the reserve: no upserts; deletes and searches.
    let free = world.disk.space().unwrap().free;
    assert!(free > 0 && free < RESERVE, "{free}");
    world.step(&Op::Delete("a", (0..5).map(|n| format!("id-{n}")).collect())).unwrap();
    world.step(&Op::DeleteLang("a", "de")).unwrap();
    let state = world.state().clone();
    answer_as(world.store(), &state).unwrap();
    assert_eq!(world.step(&large(0)).unwrap_err().kind(), ErrorKind::Full);

    // Others take the rest: whatever is refused has changed nothing.
    world.disk.capacity(used(&world));
    for op in [large(1), Op::Create("b")] {
        let before = world.state().clone();
        assert_eq!(world.step(&op).unwrap_err().kind(), ErrorKind::Full);
        answer_as(world.store(), &before).unwrap();
    }
    // No byte is free, and deletes are taken all the same.
    for op in [Op::Delete("a", vec!["id-7".into()]), Op::Flush, Op::Delete("a", vec!["id-8".into()])] {
        world.step(&op).unwrap();
        answer_as(world.store(), world.state()).unwrap();
    }
    if let Err(e) = world.store().checkpoint() {
        assert_eq!(e.kind(), ErrorKind::Full, "{e}");
    }
    assert!(agree(world.store(), &[]).is_err() && !state_of(world.store()).unwrap().is_empty());

    // Room again.
    world.disk.capacity(used(&world) + 8 * RESERVE);
    for op in [large(2), Op::Delete("a", vec!["id-5".into()]), Op::Flush] {
        world.step(&op).unwrap();
    }
    world.store().checkpoint().unwrap();
    let last = world.points.last().unwrap().clone();
    for loss in crate::disk::sim::Loss::ALL {
        recover(&world.disk.image(loss, 1), &world.options, std::slice::from_ref(&last)).unwrap();
    }
    world.store = None;
    recover(&world.disk, &world.options, &[last]).unwrap();
    println!("full, {durability}: {taken} writes taken, then refused");
}

#[test]
fn a_full_disk_fails_upserts_alone_and_room_heals_it() {
    run(Durability::Durable);
}

#[test]
fn a_full_disk_fails_buffered_upserts_alone_and_room_heals_it() {
    run(Durability::Buffered);
}
