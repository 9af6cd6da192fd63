//! Power losses at every operation: of a run that is stopped there, and of one run walked through again.

use super::super::{Loss, SimDisk};
use super::{keep, workload};
use crate::disk::Disk;

#[test]
fn the_operation_that_meets_the_loss_and_all_after_it_fail() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", b"old");
    disk.crash_after(disk.operations() + 1);
    file.write_at(0, b"new").unwrap();
    assert_eq!(file.write_at(3, b"!").unwrap_err().to_string(), "the power is gone");
    assert!(file.sync().is_err() && disk.remove("a").is_err() && disk.lock("LOCK", "").is_err());
    assert_eq!(disk.contents()["a"], b"new", "the process saw no more");
    assert_eq!(disk.image(Loss::Unsynced, 0).contents()["a"], b"old");
    assert_eq!(disk.image(Loss::Nothing, 0).contents()["a"], b"new!", "it was under way");
}

#[test]
fn a_sync_that_meets_the_loss_did_nothing() {
    let disk = SimDisk::new();
    let file = keep(&disk, "a", b"old");
    file.write_at(0, b"new").unwrap();
    disk.crash_after(disk.operations());
    assert!(file.sync().is_err());
    assert_eq!(disk.image(Loss::Unsynced, 0).contents()["a"], b"old");
}

#[test]
fn images_follow_from_the_seed() {
    let disk = SimDisk::new();
    workload(&disk, 1, 100).unwrap();
    let mut differ = 0;
    for loss in Loss::ALL {
        for seed in 0..50 {
            let contents = disk.image(loss, seed).contents();
            assert_eq!(contents, disk.image(loss, seed).contents());
            differ += usize::from(contents != disk.image(loss, seed + 1).contents());
        }
    }
    assert!(differ > 40, "seeds differ: {differ}");
}

/// Both ways to the images of a crash in operation `n` of the same run, from the same start.
fn compare(start: &SimDisk, seed: u64) {
    let whole = start.snapshot();
    workload(&whole, seed, 80).unwrap();
    let mut replay = whole.replay();
    for n in 0..=whole.operations() {
        assert_eq!(replay.operations(), n);
        let stopped = start.snapshot();
        stopped.crash_after(n);
        assert_eq!(workload(&stopped, seed, 80).is_ok(), n == whole.operations());
        for loss in Loss::ALL {
            let direct = stopped.image(loss, n).contents();
            assert_eq!(replay.image(loss, n).contents(), direct, "run {seed}, operation {n}, {loss:?}");
        }
        assert_eq!(replay.step(), n < whole.operations());
    }
}

#[test]
fn a_replay_gives_the_images_of_a_stopped_run() {
    for seed in 0..10 {
        compare(&SimDisk::new(), seed);
    }
}

#[test]
fn a_replay_starts_where_the_machine_did() {
    let disk = SimDisk::new();
    let file = keep(&disk, "other", b"old");
    file.write_at(0, &[9; 2000]).unwrap();
    compare(&disk, 7);
    let image = disk.image(Loss::Scattered, 1);
    compare(&image, 8);
}

#[test]
fn one_image_is_that_of_the_walk() {
    let disk = SimDisk::new();
    workload(&disk, 5, 80).unwrap();
    let mut replay = disk.replay();
    for n in 0..30 {
        let walked = replay.image(Loss::Scattered, 3).contents();
        assert_eq!(disk.image_at(n, Loss::Scattered, 3).contents(), walked);
        replay.step();
    }
}

#[test]
fn a_replay_repeats_faults_and_damage() {
    use super::super::Fault;
    let disk = SimDisk::new();
    let file = keep(&disk, "a", &[1; 3000]);
    disk.fail(disk.calls() + 1, Fault::Io, false);
    disk.fail(disk.calls() + 3, Fault::Short, false);
    disk.capacity(4000);
    file.write_at(0, &[2; 2000]).unwrap();
    assert!(file.sync().is_err());
    file.write_at(1000, &[3; 500]).unwrap();
    assert!(file.write_at(2500, &[4; 400]).is_err());
    disk.overwrite("b", 0, b"damage").unwrap();
    assert!(file.write_at(2900, &[5; 5000]).is_err());
    file.sync().unwrap();
    for loss in Loss::ALL {
        let direct = disk.image(loss, 9).contents();
        assert_eq!(disk.image_at(u64::MAX, loss, 9).contents(), direct, "{loss:?}");
    }
}

/// Prints what an image costs: some 400 operations and 200 KB, an image of each loss at every operation.
#[test]
#[ignore = "a measurement; run it with --nocapture"]
fn images_per_second() {
    let disk = SimDisk::new();
    workload(&disk, 2, 300).unwrap();
    let bytes: u64 = disk.counters().bytes_written;
    let (start, mut images) = (std::time::Instant::now(), 0u32);
    for seed in 0..50 {
        let mut replay = disk.replay();
        loop {
            for loss in Loss::ALL {
                std::hint::black_box(replay.image(loss, seed));
                images += 1;
            }
            if !replay.step() {
                break;
            }
        }
    }
    let each = start.elapsed() / images;
    println!("{} operations, {bytes} bytes written: {images} images, {each:?} each", disk.operations());
}
